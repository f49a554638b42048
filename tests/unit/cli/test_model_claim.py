"""`model claim` fetches what a final root owes, once, for the owner and not for the node's key."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from freehold.audit.competing import Court
from freehold.cli.model.claiming import Due, last_final, pay, shared
from freehold.domain.errors import NotFoundError
from freehold.domain.ids import Address, checksum
from freehold.economics.trees import GRAIN, Leaf, Tree, proves
from freehold.ledger.ledger import Ledger

OWNER, NODE, OTHER = (checksum(bytes([n]) * 20) for n in (1, 2, 3))
TREE = Tree.of({NODE: 70 * GRAIN, OTHER: 5 * GRAIN})


@dataclass
class Prizes:
    """The roots, which check proofs as the contract does."""

    paid: dict[Address, int] = field(default_factory=dict)
    payouts: dict[Address, Address] = field(default_factory=dict)

    def claimed(self, account: Address) -> int:
        return self.paid.get(account, 0)

    def payout_of(self, account: Address) -> Address:
        return self.payouts.get(account, account)

    def set_payout(self, account: Address, payout: Address) -> None:
        self.payouts[account] = payout

    def claim(self, epoch: int, account: Address, grains: int, index: int, path: Any) -> None:
        assert epoch == 4
        assert proves(TREE.root, Leaf(account, grains), index, path)
        self.paid[account] = grains


def ledger(prizes: Prizes, *, owner: Address = OWNER) -> Ledger:
    registry = SimpleNamespace(owner_of=lambda _: owner)
    key = SimpleNamespace(address=OWNER)
    return cast("Ledger", SimpleNamespace(prizes=prizes, registry=registry, key=key))


def test_what_is_due_is_paid_once_to_the_owner() -> None:
    prizes, due = Prizes(), Due(4, TREE)
    assert pay(ledger(prizes), due, NODE) == 70 * GRAIN
    assert prizes.payouts == {NODE: OWNER}
    assert pay(ledger(prizes), due, NODE) == 0
    prizes.paid[NODE] = 60
    assert pay(ledger(prizes), due, NODE) == 10 * GRAIN


def test_nodes_of_others_keep_their_payout_and_strangers_are_due_nothing() -> None:
    prizes, due = Prizes(), Due(4, TREE)
    assert pay(ledger(prizes, owner=OTHER), due, NODE) == 70 * GRAIN
    assert prizes.payouts == {}
    assert pay(ledger(prizes), due, OWNER) == 0


def test_before_a_root_is_final() -> None:
    found: list[Any] = [None, (SimpleNamespace(tree=TREE), SimpleNamespace(epoch=4))]
    made = SimpleNamespace(
        sync=lambda: None, state=lambda: SimpleNamespace(final=1), root=lambda _: found.pop(0)
    )
    with pytest.raises(NotFoundError, match="no root that pays models is final"):
        last_final(cast("Court", made))
    assert last_final(cast("Court", made)) == Due(4, TREE)


@pytest.mark.parametrize(("active", "own", "told"), [(10, 10, False), (10, 9, True), (0, 0, False)])
def test_a_stake_that_others_share_gets_what_its_node_earned(
    active: int, own: int, told: bool
) -> None:
    staking = SimpleNamespace(active=lambda _: active, own=lambda _: own)
    assert shared(cast("Ledger", SimpleNamespace(staking=staking)), NODE) == told
