"""The network's emission: its schedule, epochs, shares of markets, grants and vesting."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt

ALLOCATOR = "allocator"
"""The power to grant from a budget, as the governor lists it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The schedule as deployed; see ``freehold.economics.schedules.plan`` for the fields."""

    kind: int
    limit: int
    amount: int
    storage: int
    initial: int
    step: int
    factor: int
    steps: int
    grain: int
    budget: int
    window: int


@dataclass(frozen=True, slots=True)
class Share:
    """A market's ten-thousandths of every epoch's budget."""

    market: bytes
    bps: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """A genesis allocation: nothing before ``cliff`` seconds after ``start``, then in parts."""

    beneficiary: Address
    amount: int
    start: int
    cliff: int
    parts: int


@dataclass(frozen=True, slots=True)
class Allocator:
    """Who may grant ``cap`` in all from ``since`` on, and has granted ``spent``; zeros: nobody."""

    cap: int
    spent: int
    since: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """Filecoin's baseline, now and at network time; bytes, and sums of bytes over epochs."""

    target: int
    effective: int
    time: int
    wanted: int
    realized: int


class Issuance(Contract):
    """Mints by the schedule; amounts in base units, markets are names of 32 bytes."""

    name = "issuance"

    def advance(self, most: int) -> Receipt:
        """Close up to ``most`` ended epochs, in order; anyone."""
        return self._send("advance", most)

    def draw(self, epoch: int, amount: int, to: Address) -> Receipt:
        """Mint from a closed epoch; the distributor of a market."""
        return self._send("draw", epoch, amount, to)

    def grant(self, to: Address, amount: int, reason: bytes) -> Receipt:
        """Mint from an allocator's budget, with a reason of 32 bytes."""
        return self._send("grant", to, amount, reason)

    def claim(self, allocation: int) -> Receipt:
        """Mint what is due of a genesis allocation to its beneficiary; anyone."""
        return self._send("claim", allocation)

    def plan(self) -> Plan:
        """The schedule and its reserves."""
        return self._view(Plan, "plan")

    def baseline(self) -> Baseline:
        """Where an exponential schedule's storage part stands."""
        return self._view(Baseline, "baseline")

    def genesis(self) -> int:
        """When epoch 0 began."""
        return self._view(int, "genesis")

    def epoch_seconds(self) -> int:
        """The length of an epoch."""
        return self._view(int, "epoch_seconds")

    def reserved(self) -> int:
        """What this contract may ever mint."""
        return self._view(int, "reserved")

    def minted(self) -> int:
        """What it has minted."""
        return self._view(int, "minted")

    def closed(self) -> int:
        """How many epochs are closed."""
        return self._view(int, "closed")

    def ended(self) -> int:
        """How many epochs have ended."""
        return self._view(int, "ended")

    def scheduled_total(self) -> int:
        """The budgets of all closed epochs together."""
        return self._view(int, "scheduled_total")

    def drawn_total(self) -> int:
        """What markets have drawn."""
        return self._view(int, "drawn_total")

    def scheduled(self, seconds: int) -> int:
        """What time alone allows ``seconds`` after genesis."""
        return self._view(int, "scheduled", seconds)

    def budget(self, epoch: int) -> tuple[int, int]:
        """A closed epoch's budget, and the number of its split."""
        amount, split = self._views(int, "budget", epoch)
        return amount, split

    def split(self, number: int) -> list[Share]:
        """The shares of a split."""
        return self._views(Share, "split", number)

    def split_count(self) -> int:
        """The number of the split in force."""
        return self._view(int, "split_count")

    def market_drawable(self, market: bytes, epoch: int) -> int:
        """What a market may still draw of a closed epoch."""
        return self._view(int, "market_drawable", market, epoch)

    def distributor(self, market: bytes) -> Address:
        """Who draws a market's share now."""
        return self._view(Address, "distributor", market)

    def market_of(self, account: Address) -> bytes:
        """The market that an account draws for, ever; zeros where none."""
        return self._view(bytes, "market_of", account)

    def power(self) -> Address:
        """Who tells the fee-backed bytes of an epoch."""
        return self._view(Address, "power")

    def allocator(self, account: Address) -> Allocator:
        """What an account may grant."""
        return self._view(Allocator, "allocators", account)

    def allocation_count(self) -> int:
        """How many genesis allocations there are."""
        return self._view(int, "allocation_count")

    def allocation(self, number: int) -> Allocation:
        """A genesis allocation."""
        return self._view(Allocation, "allocation", number)

    def vested(self, number: int, moment: int) -> int:
        """What of an allocation is due at a moment, claimed or not."""
        return self._view(int, "vested", number, moment)

    def claimed(self, number: int) -> int:
        """What of an allocation was minted."""
        return self._view(int, "claimed", number)
