"""What everybody is due, reckoned by hand from what the contracts logged and nothing else."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from freehold.domain.ids import Address
from freehold.domain.money import UNIT
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event
from journeys.seasons import EPOCH

FEE_BPS, BURN_BPS, SHARE_BPS, STORAGE_BPS = 50, 5_000, 9_000, 7_000
PER_TOKEN = 2**20 * 2_592_000 * 160
"""MiB-seconds that a burned token backs: of the 2.5 tokens that a TiB costs a month, a quarter of a
hundredth burns, which is a 160th of a token."""


@dataclass(slots=True)
class Rail:
    """A payment flow: whose fees, and what was paid and taken so far."""

    payee: Address
    paid: int = 0
    fee: int = 0


@dataclass(slots=True)
class Account:
    """A node's: work that fees back, and done work by epoch."""

    credit: int = 0
    work: dict[int, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(slots=True)
class Books:
    """Rewards by hand. ``burned`` and ``used`` are fees by the account that they were paid to."""

    genesis: int
    rails: dict[int, Rail] = field(default_factory=dict)
    accounts: dict[int, Account] = field(default_factory=lambda: defaultdict(Account))
    burned: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    used: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    budgets: dict[int, int] = field(default_factory=dict)

    def read(self, event: Event) -> None:
        """What an event means, where it means anything for rewards."""
        act = {
            "RailOpened": self._opened,
            "RailSettled": self._settled,
            "Backed": self._backed,
            "Proven": self._proven,
        }.get(event.name)
        if act is not None:
            act(event)
        elif (event.contract, event.name) == ("issuance", "EpochClosed"):
            self.budgets[event.number("epoch")] = event.number("budget")

    def _opened(self, event: Event) -> None:
        self.rails[event.number("rail")] = Rail(event.address("payee"))

    def _settled(self, event: Event) -> None:
        rail = self.rails[event.number("rail")]
        rail.paid += event.number("paid")
        fee = rail.paid * FEE_BPS // 10_000 - rail.fee
        rail.fee += fee
        self.burned[rail.payee] += fee * BURN_BPS // 10_000

    def _backed(self, event: Event) -> None:
        payee, account = event.address("payee"), self.accounts[event.number("account")]
        more = (self.burned[payee] - self.used[payee]) * PER_TOKEN // UNIT
        self.used[payee] += -(-more * UNIT // PER_TOKEN)
        account.credit += more

    def _proven(self, event: Event) -> None:
        account = self.accounts[event.number("set_id")]
        done = min(event.number("span") * 32 * EPOCH // 2**20, account.credit)
        account.credit -= done
        account.work[(event.time - self.genesis) // EPOCH] += done

    def emission(self, epoch: int) -> tuple[int, int]:
        """An epoch's emission to storage, and its work."""
        work = sum(account.work.get(epoch, 0) for account in self.accounts.values())
        earned = work * SHARE_BPS * UNIT // (10_000 * PER_TOKEN)
        return min(earned, self.budgets[epoch] * STORAGE_BPS // 10_000), work

    def scarce(self, epoch: int) -> bool:
        """Whether the budget was less than what was earned."""
        return self.emission(epoch)[0] == self.budgets[epoch] * STORAGE_BPS // 10_000

    def due(self, number: int, epochs: int) -> int:
        """What an account earned in so many epochs."""
        total = 0
        for epoch in range(epochs):
            amount, work = self.emission(epoch)
            rate = amount * 2**96 // work if work else 0
            total += self.accounts[number].work.get(epoch, 0) * rate // 2**96
        return total


def told(ledger: Ledger, contract: str, name: str) -> list[Event]:
    return ledger.index.events(contract, name, limit=10**6)


READ = (
    ("payments", "RailOpened"), ("payments", "RailSettled"), ("rewards", "Backed"),
    ("pdp", "Proven"), ("issuance", "EpochClosed"),
)  # fmt: skip


def books_of(ledger: Ledger) -> Books:
    """The books of everything that happened, in order."""
    ledger.index.sync()
    books = Books(ledger.beacon.genesis())
    events = [event for kind in READ for event in told(ledger, *kind)]
    for event in sorted(events, key=lambda each: (each.block, each.index)):
        books.read(event)
    return books
