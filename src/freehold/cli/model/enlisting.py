"""A model's way into a competition: its node is made, funded, registered, and takes a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.cli.amounts import brief
from freehold.cli.enlist import Enlistment, due, enlist
from freehold.cli.screen import Screen
from freehold.cli.sending import COIN_GAS
from freehold.cli.session import sender
from freehold.cli.subnet.joining import join, quote
from freehold.cli.subnet.named import check_held
from freehold.domain.errors import ConflictError, InsufficientFundsError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import Key
from freehold.ledger.contracts.registry import MODEL
from freehold.ledger.sender import how_to_get_coins

if TYPE_CHECKING:
    from freehold.cli.subnet.named import Found
    from freehold.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Budget:
    """What the user lets an entry cost: stake and coins (wei) for the node, the most for a place
    (None: its price), and the bond that it may post."""

    stake: int
    coins: int
    place: int | None = None
    bond: int = 0


@dataclass(frozen=True, slots=True)
class Bill:
    """What an entry takes, base units: burned by registering the node and by the place, staked,
    sent to the node for its bond; coins for gas, in wei."""

    node: int
    place: int
    stake: int
    coins: int
    bond: int = 0

    @property
    def tokens(self) -> int:
        """All of it that is tokens."""
        return self.node + self.place + self.stake + self.bond

    def text(self) -> str:
        """In words, the parts that cost something."""
        parts = [
            f"{brief(amount, up=True)} {what}"
            for amount, what in (
                (self.node, "tokens burned to register the node"),
                (self.place, "tokens burned for a place in the subnet"),
                (self.stake, "tokens staked"),
                (self.bond, "tokens sent to the node, to post as its bond"),
                (self.coins, "coins for the node's gas"),
            )
            if amount
        ]
        return ", ".join(parts) or "nothing"


def bill(ledger: Ledger, found: Found, node: Address, budget: Budget) -> Bill:
    """What is still to be paid; refused where it cannot be, before anything is."""
    _check_owner(ledger, node)
    taken = ledger.subnet.place_of(found.id, node) is not None
    made = Bill(
        node=due(ledger, node),
        place=0 if taken else quote(ledger, found, budget.place),
        stake=max(0, budget.stake - ledger.staking.active(node)),
        coins=max(0, budget.coins - ledger.balance(node)),
    )
    check_held(ledger, made.tokens, f"joining {found.name}")
    _check_coins(ledger, made.coins)
    return made


def enter(
    ledger: Ledger, found: Found, node: Key, costs: Bill, budget: Budget, *, screen: Screen
) -> int:
    """Take every step that is missing; the uid. Called again after a crash it goes on."""
    if costs.coins:
        with screen.step("the node has coins for its gas"):
            ledger.transfer(node.address, costs.coins)
    with screen.step("the node is registered"):
        enlist(ledger, node, Enlistment(roles=MODEL, stake=budget.stake))
        _add_role(ledger, node.address)
    uid = ledger.subnet.place_of(found.id, node.address)
    if uid is None:
        with screen.step(f"it has a place in {found.name}"):
            uid = join(ledger, found, node.address, costs.place).uid
    return uid


def _add_role(ledger: Ledger, node: Address) -> None:
    entry = ledger.registry.node(node)
    if entry.roles & MODEL:
        return
    ledger.registry.update(
        node, roles=entry.roles | MODEL, endpoint=entry.endpoint, tls=entry.tls, info=entry.info,
        payout=entry.payout,
    )  # fmt: skip


def _check_owner(ledger: Ledger, node: Address) -> None:
    owner = ledger.registry.owner_of(node)
    if owner not in (ZERO_ADDRESS, sender(ledger)):
        raise ConflictError(
            f"the node of this model belongs to {owner}",
            remedy="Use that account's wallet, or serve under another --name.",
        )


def _check_coins(ledger: Ledger, coins: int) -> None:
    account = sender(ledger)
    held, gas = ledger.balance(account), COIN_GAS * 2 * ledger.gas_price()
    if coins and held < coins + gas:
        raise InsufficientFundsError(
            f"{account} has {brief(held)} coins, the node is to get {brief(coins, up=True)}",
            remedy=how_to_get_coins(account, coins + gas - held),
        )
