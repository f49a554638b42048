"""A stranger delegates to a working node, on a devnet: when that earns, what it brings, and what
whoever leaves first takes along."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from freehold.cli import earnings, stake
from freehold.cli.session import sender
from freehold.cli.settling import Epochs
from freehold.domain.errors import CapacityError, ConflictError, InsufficientFundsError
from freehold.domain.money import UNIT
from unit.cli.town import EPOCH, Earner, Town, grown, open_town
from unit.ledger.founding import installed_engine

pytestmark = pytest.mark.xdist_group("staked")
BEHIND = 500 * UNIT


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    installed_engine()
    with open_town(tmp_path_factory.mktemp("town")) as opened:
        yield opened


@pytest.fixture
def told(
    town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Runs a command with the stranger's wallet; what it tells a program."""
    monkeypatch.setattr(stake, "open_account", lambda *_: nullcontext(town.stranger))

    def run(command: Any, *args: object, **options: object) -> Any:
        capsys.readouterr()
        command(*args, home=town.home.root, as_json=True, **options)
        return json.loads(capsys.readouterr().out)

    return run


def worked(town: Town) -> None:
    """An epoch in which both nodes work passes; nobody closes it."""
    town.settle()
    town.back()
    town.round()
    town.next_epoch()


def test_new_stake_earns_for_what_was_done_after_it_came(
    town: Town, told: Callable[..., Any]
) -> None:
    grown(town)
    first, me = town.earners[0], sender(town.stranger)
    node = first.key.address
    town.ledger.token.transfer(me, 600 * UNIT)
    check_refusals(town, told, first)
    town.warp(town.ledger.now() + 1)  # who comes with the first second of an epoch need not wait
    came = town.epoch
    done = told(stake.delegate, node, "500")
    ends = Epochs(town.ledger.rewards.genesis(), EPOCH).begun(town.ledger.now()) + EPOCH
    assert (done["stake"], done["waiting"], done["earns_from"]) == (BEHIND, BEHIND, ends)
    early = told(stake.claim, node)
    assert (early["transaction"], early["waiting"], early["earns_from"]) == (None, BEHIND, ends)

    # What the epoch brought in which it came is the owner's; the claim gives it out.
    worked(town)
    due = told(stake.claim, node)
    assert (due["admitted"], due["amount"], due["waiting"]) == (True, 0, 0)
    owner = town.ledger.staking.claimable(sender(town.ledger), node)
    assert 0 <= town.due(first, range(came, came + 1)) - owner <= 1 < owner

    # Six epochs later, more than one transaction hands out, it leaves and has its part of all.
    begun = town.epoch
    for _ in range(6):
        worked(town)
    left = told(stake.undelegate, node, yes=True)
    assert left["ready_at"] > town.ledger.now()
    part = town.due(first, range(begun, town.epoch)) * 500 // 1_500
    amount = told(stake.claim, node)["amount"]
    assert 0 <= part - amount <= 6 < amount
    check_earnings(town, told, first, since=came)


def check_refusals(town: Town, told: Callable[..., Any], earner: Earner) -> None:
    """Nothing is sent, and nothing the ledger would have to refuse."""
    node, head = earner.key.address, town.ledger.head().number
    with pytest.raises(ConflictError, match="not a node of yours"):
        told(stake.add, node, "1")
    with pytest.raises(InsufficientFundsError, match="holds 600 tokens"):
        told(stake.delegate, node, "601")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("freehold.cli.pledges._check_held", lambda *_: None)
        with pytest.raises(CapacityError, match="room for 9,000 more"):
            told(stake.delegate, node, "9000.0001")
    assert town.ledger.head().number == head


def check_earnings(town: Town, told: Callable[..., Any], earner: Earner, *, since: int) -> None:
    """What went to the shared stake is told apart, and is in no sum."""
    found = told(earnings.earnings)
    mine = [each for each in found["incomes"] if each["account"] == earner.key.address]
    own, shared = [each for each in mine if each["kind"] == "rewards"]
    assert (own["shared"], shared["shared"]) == (False, True)
    assert own["earned"] == town.due(earner, range(since))
    assert shared["earned"] == town.due(earner, range(since, town.epoch))
    sums = [each["earned"] for each in found["incomes"] if not each["shared"]]
    assert found["earned"] == sum(sums)
