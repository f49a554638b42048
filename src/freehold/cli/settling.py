"""What ended epochs brought a node's stake, handed out; and from when on new stake earns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.cli.amounts import brief, moment
from freehold.cli.session import sender

if TYPE_CHECKING:
    from freehold.cli.screen import Screen
    from freehold.domain.ids import Address
    from freehold.ledger.contracts.rewards import Due
    from freehold.ledger.ledger import Ledger

MOST = 16
"""Transactions that one command sends to hand out what is owed."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """A network's epochs of ``seconds`` each, the first of which began at ``genesis``."""

    genesis: int
    seconds: int

    @classmethod
    def of(cls, ledger: Ledger) -> Epochs | None:
        """Those of a network; None where work earns no emission."""
        if "rewards" not in ledger.network.contracts:
            return None
        return cls(ledger.rewards.genesis(), ledger.rewards.epoch_seconds())

    def begun(self, time: int) -> int:
        """When the epoch began that ``time`` is in."""
        return time - (time - self.genesis) % self.seconds

    def next(self, time: int) -> int:
        """When the first epoch begins that does so no earlier than ``time``."""
        return self.begun(time + self.seconds - 1)


@dataclass(frozen=True, slots=True)
class Wait:
    """What of an account's stake behind a node does not earn yet, base units.

    ``ends_at`` is the block time when the epoch ends in which the last of it came; None where it
    is over, and only older work that is not handed out keeps the stake waiting.
    """

    amount: int = 0
    ends_at: int | None = None

    @property
    def over(self) -> bool:
        """Whether stake waits although its epoch is over."""
        return self.amount > 0 and self.ends_at is None

    def to_json(self) -> dict[str, object]:
        """Two fields of a command's JSON object."""
        return {"waiting": self.amount, "earns_from": self.ends_at}


def wait_of(ledger: Ledger, node: Address) -> Wait:
    """What of the wallet's stake behind a node waits, and until when at least."""
    amount, epochs = ledger.staking.waiting_of(sender(ledger), node), Epochs.of(ledger)
    if not amount or epochs is None:
        return Wait(amount)
    ends_at = epochs.next(ledger.staking.arrival(node).since)
    return Wait(amount, ends_at if ends_at > ledger.now() else None)


def tell_new(screen: Screen, wait: Wait, called: str) -> None:
    """Say from when on stake earns that just came, and what else may delay it."""
    if not wait.amount:
        return
    when = "once what the node did before is handed out"
    if wait.ends_at:
        when = f"from {moment(wait.ends_at)} on, when this epoch ends"
    screen.tell(
        f"{brief(wait.amount)} of it can earn {when}; it is slashed like the rest from now on. "
        f"Where the node does not let it earn by itself, `freehold stake claim {called}` does then."
        " Whoever adds stake while some waits sets the wait of all of it anew: to the end of the "
        "epoch in which the last of it came."
    )


def tell_wait(screen: Screen, wait: Wait, called: str) -> None:
    """Say why stake still waits."""
    if wait.ends_at:
        screen.tell(
            f"{brief(wait.amount)} of your stake waits; it can earn from {moment(wait.ends_at)} "
            "on, when this epoch ends: run it again then."
        )
    elif wait.amount:
        screen.tell(
            f"{brief(wait.amount)} of your stake waits, because what the node did before it came "
            "cannot be handed out yet: run it again later. `freehold rewards show --node "
            f"{called}` tells what is missing."
        )


def hand_out(ledger: Ledger, node: Address) -> bool:
    """Have what a node's ended epochs brought given to its stake; whether all of it is.

    Sends nothing where nothing is owed, and stops where a transaction brought nothing forward.
    """
    for _ in range(MOST):
        if not _owed(ledger, node):
            return True
        before = _trail(ledger, node)
        ledger.staking.admit(node)
        if _trail(ledger, node) == before:
            break
    return not _owed(ledger, node)


def admit(ledger: Ledger, node: Address) -> bool:
    """Let the wallet's stake earn whose epoch is over; whether none of it waits any more."""
    if hand_out(ledger, node) and wait_of(ledger, node).amount:
        ledger.staking.admit(node)
    return not wait_of(ledger, node).amount


def before_leaving(screen: Screen, ledger: Ledger, node: Address, *, yes: bool) -> None:
    """Hand out what the stake earned before a part of it leaves; CancelledError where not all of
    it can be, and the user would rather wait."""
    if not hand_out(ledger, node):
        screen.confirm(
            "What ended epochs brought the node cannot all be handed out yet, and what comes later "
            "is for those who stay. Unbond now?",
            yes=yes,
        )


def _owed(ledger: Ledger, node: Address) -> bool:
    """Whether something of an ended epoch is not handed out."""
    epochs = Epochs.of(ledger)
    return epochs is not None and ledger.rewards.owed_since(node) < epochs.begun(ledger.now())


def _trail(ledger: Ledger, node: Address) -> tuple[int, Due, int]:
    """What changes as long as handing out goes on."""
    due = ledger.rewards.due(ledger.faults.set_of(node))
    return ledger.rewards.owed_since(node), due, ledger.issuance.closed()
