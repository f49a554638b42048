"""The stake behind one node, as numbers: share pools, delegations, notices, rewards.

A pool's shares are worth its amount; a slash lowers the amount of both pools of a node pro rata.
Virtual shares stand on both sides of every conversion, and every conversion rounds against
whoever asks for it (PROTOCOL.md, Stake). A reward raises an index per share, and a position earns
from its mark on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

VIRTUAL_SHARES = 10**6
VIRTUAL_AMOUNT = 1
LEAST_FACTOR = 10**9
BPS = 10_000
INDEX_UNIT = 10**36
MAX_COMMISSION = 5_000


@dataclass(slots=True)
class Pool:
    """Shares and what they are worth together; a slash to nothing starts a new generation."""

    amount: int = 0
    shares: int = 0
    generation: int = 0

    def shares_for(self, amount: int) -> int:
        """Shares that an amount buys, rounded down."""
        return amount * (self.shares + VIRTUAL_SHARES) // (self.amount + VIRTUAL_AMOUNT)

    def shares_of(self, amount: int) -> int:
        """Shares that an amount costs, rounded up."""
        return -(-amount * (self.shares + VIRTUAL_SHARES) // (self.amount + VIRTUAL_AMOUNT))

    def worth(self, shares: int) -> int:
        """What shares are worth, rounded down."""
        return shares * (self.amount + VIRTUAL_AMOUNT) // (self.shares + VIRTUAL_SHARES)

    def shrink(self, amount: int) -> int:
        """Slash an amount; what is taken beyond it because too little would be left."""
        left = self.amount - amount
        if self.shares > 0 and left * VIRTUAL_SHARES * LEAST_FACTOR <= self.shares:
            self.amount, self.shares = 0, 0
            self.generation += 1
            return left
        self.amount = left
        return 0


@dataclass(slots=True)
class Entry:
    """Unbonding shares of a staker, ready at a moment."""

    shares: int = 0
    generation: int = 0
    ready_at: int = 0


@dataclass(slots=True)
class Notice:
    """Shares of a delegator that will leave, locked or not, from a moment on."""

    shares: int = 0
    generation: int = 0
    ready_at: int = 0


@dataclass(slots=True)
class Commission:
    """The owner's part of rewards, basis points, and an announced raise (0: none)."""

    bps: int = 0
    raised: int = 0
    raised_at: int = 0

    def at(self, moment: int) -> int:
        """What is in force at a moment."""
        return self.raised if 0 < self.raised_at <= moment else self.bps


@dataclass(slots=True)
class Terms:
    """What the governor sets: the least own share, basis points, and the exit term, seconds."""

    least_own_bps: int
    exit_term: int


@dataclass(slots=True)
class Rewards:
    """What a node's stake earned; indexes by generation, what is left of a division carried."""

    indexes: Counter[int] = field(default_factory=Counter)
    marks: dict[str, int] = field(default_factory=dict)
    owed: Counter[str] = field(default_factory=Counter)
    carried: int = 0

    def share(self, pool: Pool, amount: int) -> None:
        """Raise the index of a pool's generation by a reward."""
        step, self.carried = divmod(amount * INDEX_UNIT + self.carried, pool.shares)
        self.indexes[pool.generation] += step


@dataclass(slots=True)
class Node:
    """The stake behind a node; ``owner`` is empty until an event names it."""

    active: Pool = field(default_factory=Pool)
    unbonding: Pool = field(default_factory=Pool)
    locked: int = 0
    locked_by: dict[str, int] = field(default_factory=dict)
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)
    entries: dict[tuple[str, int], Entry] = field(default_factory=dict)
    opened: Counter[str] = field(default_factory=Counter)
    owner: str = ""
    notices: dict[str, Notice] = field(default_factory=dict)
    commission: Commission = field(default_factory=Commission)
    rewards: Rewards = field(default_factory=Rewards)

    def shares(self, staker: str) -> int:
        """A staker's shares of the present active pool."""
        shares, generation = self.positions.get(staker, (0, 0))
        return shares if generation == self.active.generation else 0

    def notice(self, staker: str) -> Notice:
        """A delegator's notice on shares of the present active pool."""
        found = self.notices.get(staker, Notice())
        return found if found.generation == self.active.generation else Notice()

    def delegated(self) -> int:
        """Shares of the active pool that are not the owner's."""
        return self.active.shares - self.shares(self.owner)

    def noticed(self) -> int:
        """What of the active stake is under notice."""
        return self.active.worth(sum(self.notice(staker).shares for staker in self.notices))

    def backed(self, terms: Terms) -> int:
        """The active stake that the owner's own share lets count."""
        if not self.delegated():
            return self.active.amount
        own = self.active.worth(self.shares(self.owner))
        return min(self.active.amount, own * BPS // terms.least_own_bps)

    def free(self, terms: Terms) -> int:
        """Active stake that a locker can still hold."""
        counted = min(self.active.amount - self.noticed(), self.backed(terms))
        return max(0, counted - self.locked)

    def most(self, staker: str, cost: int, moment: int, terms: Terms) -> int:
        """The most that a staker may unbond at a moment, for so many shares."""
        notice = self.notice(staker)
        if cost <= notice.shares:
            unlocked = self.active.amount - self.locked
            return self.active.amount if moment >= notice.ready_at else max(0, unlocked)
        loose = self.active.amount - self.noticed() - self.locked
        if staker == self.owner and self.delegated():
            needed = -(-self.locked * terms.least_own_bps // BPS)
            loose = min(loose, self.active.worth(self.shares(staker)) - needed)
        return max(0, loose)

    def earned(self, staker: str) -> int:
        """What a staker may claim: what is booked, and what the position earned since its mark."""
        shares, generation = self.positions.get(staker, (0, 0))
        rise = self.rewards.indexes[generation] - self.rewards.marks.get(staker, 0)
        return self.rewards.owed[staker] + shares * rise // INDEX_UNIT

    def move(self, staker: str, change: int) -> None:
        """Change a staker's shares, booking first what the position earned."""
        self.rewards.owed[staker] = self.earned(staker)
        self.rewards.marks[staker] = self.rewards.indexes[self.active.generation]
        self.positions[staker] = (self.shares(staker) + change, self.active.generation)

    def part(self, amount: int, moment: int) -> int:
        """The owner's part of a reward."""
        if not self.active.amount or not self.active.shares:
            return amount
        if self.locked > self.active.amount:
            return 0
        return amount * self.commission.at(moment) // BPS

    def take(self, amount: int) -> int:
        """Slash both pools pro rata; what was taken, with the dust of a retired pool."""
        whole = self.active.amount + self.unbonding.amount
        taken = min(amount, whole)
        if taken == 0:
            return 0
        first = taken * self.active.amount // whole
        dust = self.active.shrink(first)
        return taken + dust + self.unbonding.shrink(taken - first)
