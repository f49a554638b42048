"""The stake behind one node, as numbers: share pools, delegations, notices, arrivals, rewards.

A pool's shares are worth its amount; a slash lowers the amount of both pools of a node pro rata.
Virtual shares stand on both sides of every conversion, and every conversion rounds against
whoever asks for it (PROTOCOL.md, Stake). A reward raises an index per share, and a position earns
from its mark on; its fresh shares, those of an arrival, from that one's admission on.
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
class Position:
    """A staker's shares, ``fresh`` ones among them, and the index that the others earn from."""

    shares: int = 0
    generation: int = 0
    mark: int = 0
    fresh: int = 0
    arrival: int = 0


@dataclass(slots=True)
class Arrival:
    """Shares of a node's stake that do not earn yet, the last of which came at ``since``."""

    number: int = 0
    shares: int = 0
    since: int = 0


@dataclass(slots=True)
class Rewards:
    """What a node's stake earned; indexes by generation, what is left of a division carried.

    ``admitted`` has by arrival the index that its shares earn from.
    """

    indexes: Counter[int] = field(default_factory=Counter)
    admitted: dict[int, int] = field(default_factory=dict)
    owed: Counter[str] = field(default_factory=Counter)
    carried: int = 0

    def share(self, generation: int, earning: int, amount: int) -> None:
        """Raise a generation's index by a reward of so many shares."""
        step, self.carried = divmod(amount * INDEX_UNIT + self.carried, earning)
        self.indexes[generation] += step


@dataclass(slots=True)
class Node:
    """The stake behind a node; ``owner`` is empty until an event names it."""

    active: Pool = field(default_factory=Pool)
    unbonding: Pool = field(default_factory=Pool)
    locked: int = 0
    locked_by: dict[str, int] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    arrival: Arrival = field(default_factory=Arrival)
    entries: dict[tuple[str, int], Entry] = field(default_factory=dict)
    opened: Counter[str] = field(default_factory=Counter)
    owner: str = ""
    notices: dict[str, Notice] = field(default_factory=dict)
    commission: Commission = field(default_factory=Commission)
    rewards: Rewards = field(default_factory=Rewards)

    def shares(self, staker: str) -> int:
        """A staker's shares of the present active pool."""
        found = self.positions.get(staker, Position())
        return found.shares if found.generation == self.active.generation else 0

    def fresh(self, staker: str) -> int:
        """What of a staker's shares does not earn yet."""
        found = self.positions.get(staker, Position())
        waits = found.arrival == self.arrival.number
        return found.fresh if waits and found.generation == self.active.generation else 0

    @property
    def earning(self) -> int:
        """Shares of the active pool that earn."""
        return self.active.shares - self.arrival.shares

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
        found = self.positions.get(staker, Position())
        index = self.rewards.indexes[found.generation]
        scaled = (found.shares - found.fresh) * (index - found.mark)
        if found.fresh and found.arrival < self.arrival.number:
            scaled += found.fresh * (index - self.rewards.admitted[found.arrival])
        return self.rewards.owed[staker] + scaled // INDEX_UNIT

    def settle(self, staker: str) -> Position:
        """Book what a staker's position earned; the position of today."""
        self.rewards.owed[staker] = self.earned(staker)
        generation = self.active.generation
        made = Position(
            self.shares(staker), generation, self.rewards.indexes[generation],
            self.fresh(staker), self.arrival.number,
        )  # fmt: skip
        self.positions[staker] = made
        return made

    def join(self, staker: str, amount: int, shares: int) -> None:
        """Add stake that earns at once."""
        self.settle(staker).shares += shares
        self.active.amount += amount
        self.active.shares += shares

    def wait(self, staker: str, shares: int, moment: int) -> None:
        """Let shares that a staker has brought at a moment earn from the arrival's admission on."""
        self.positions[staker].fresh += shares
        self.arrival.shares += shares
        self.arrival.since = moment

    def leave(self, staker: str, amount: int, shares: int) -> None:
        """Take active stake away, the newest first."""
        position = self.settle(staker)
        fresh = min(position.fresh, shares)
        self.arrival.shares -= fresh
        position.fresh -= fresh
        position.shares -= shares
        self.active.amount -= amount
        self.active.shares -= shares

    def admit(self, generation: int) -> None:
        """Let an arrival, which is of a generation of the active pool, earn from now on."""
        self.rewards.admitted[self.arrival.number] = self.rewards.indexes[generation]
        self.arrival = Arrival(self.arrival.number + 1)

    def part(self, amount: int, moment: int) -> int:
        """The owner's part of a reward."""
        if not self.active.amount or not self.earning:
            return amount
        if self.locked > self.active.amount:
            return 0
        return amount * self.commission.at(moment) // BPS

    def take(self, amount: int) -> int:
        """Slash both pools pro rata; what was taken, with the dust of a retired pool.

        The arrival of a retired pool is worth nothing, and makes room for the next one.
        """
        whole = self.active.amount + self.unbonding.amount
        taken = min(amount, whole)
        if taken == 0:
            return 0
        first = taken * self.active.amount // whole
        generation = self.active.generation
        dust = self.active.shrink(first)
        if self.active.generation != generation:
            self.admit(generation)
        return taken + dust + self.unbonding.shrink(taken - first)
