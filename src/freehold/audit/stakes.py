"""Stake run again: share pools, locks, unbonding entries and slashes with their split.

A pool's shares are worth its amount; a slash lowers the amount of both pools of a node pro rata.
Virtual shares stand on both sides of every conversion, and every conversion rounds against
whoever asks for it (PROTOCOL.md, Stake).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from freehold.audit.events import Event
from freehold.domain.ids import ZERO_ADDRESS, Address

CHECK = "stakes"
VIRTUAL_SHARES = 10**6
VIRTUAL_AMOUNT = 1
LEAST_FACTOR = 10**9


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
class Node:
    """The stake behind a node."""

    active: Pool = field(default_factory=Pool)
    unbonding: Pool = field(default_factory=Pool)
    locked: int = 0
    locked_by: dict[str, int] = field(default_factory=dict)
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)
    entries: dict[tuple[str, int], Entry] = field(default_factory=dict)
    opened: Counter[str] = field(default_factory=Counter)

    def shares(self, staker: str) -> int:
        """A staker's shares of the present active pool."""
        shares, generation = self.positions.get(staker, (0, 0))
        return shares if generation == self.active.generation else 0

    def free(self) -> int:
        """Active stake that nothing holds."""
        return max(0, self.active.amount - self.locked)

    def take(self, amount: int) -> int:
        """Slash both pools pro rata; what was taken, with the dust of a retired pool."""
        whole = self.active.amount + self.unbonding.amount
        taken = min(amount, whole)
        if taken == 0:
            return 0
        first = taken * self.active.amount // whole
        dust = self.active.shrink(first)
        return taken + dust + self.unbonding.shrink(taken - first)


@dataclass(frozen=True, slots=True)
class Request:
    """A slash that a slasher's rules ask for; ``reporter`` is None where no log tells it."""

    amount: int
    victim: Address
    victim_amount: int
    reporter: Address | None
    bounty: int


class Slasher(Protocol):
    """The rules of a contract that may slash, recomputed."""

    def requested(self, event: Event) -> Request:
        """The slash that must stand where the staking contract logged one."""


class Stakes:
    """The staking contract's state, recomputed."""

    def __init__(self, *, contract: Address, unbonding: int, counts: Counter[str]) -> None:
        self._contract = contract
        self._unbonding = unbonding
        self._counts = counts
        self.nodes: dict[str, Node] = {}
        self.total = 0
        self.slashed = 0
        self.slashers: dict[Address, Slasher] = {}
        self._roles: dict[str, set[str]] = {}

    def node(self, name: str) -> Node:
        """The stake behind a node, none where it never had any."""
        return self.nodes.setdefault(name, Node())

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        if event.name == "Staked":
            self._staked(event)
        elif event.name == "Unbonded":
            self._unbonded(event)
        elif event.name == "Withdrawn":
            self._withdrawn(event)
        elif event.name in ("Locked", "Unlocked"):
            self._locked(event)
        elif event.name == "Slashed":
            self._slashed(event)
        elif event.name == "RoleSet":
            holders = self._roles.setdefault(event.text("role"), set())
            (holders.add if event.number("allowed") else holders.discard)(event.address("account"))

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        texts = [each for each in arguments if isinstance(each, str)]
        node = self.nodes.get(texts[-1], Node()) if texts else Node()
        if view == "active":
            return [node.active.amount]
        if view == "unbonding":
            return [node.unbonding.amount]
        if view == "locked":
            return [node.locked]
        if view == "stake_of":
            return [node.active.worth(node.shares(texts[0]))]
        if view == "entry" and isinstance(arguments[-1], int):
            found = node.entries.get((texts[0], arguments[-1]), Entry())
            named = ("shares", "generation", "ready_at")
            return [{name: getattr(found, name) for name in named}]
        return None

    def _staked(self, event: Event) -> None:
        node, amount = self.node(event.address("node")), event.number("amount")
        shares = node.active.shares_for(amount)
        event.same(CHECK, "shares", shares)
        staker = event.address("staker")
        node.positions[staker] = (node.shares(staker) + shares, node.active.generation)
        node.active.amount += amount
        node.active.shares += shares
        self.total += amount
        self._counts[CHECK] += 1

    def _unbonded(self, event: Event) -> None:
        node, amount = self.node(event.address("node")), event.number("amount")
        staker, spot = event.address("staker"), event.spot(CHECK)
        spot.same("stake that is free", expected=True, found=amount <= node.free())
        cost = node.active.shares_of(amount)
        left = node.shares(staker) - cost
        spot.same("enough shares", expected=True, found=left >= 0)
        node.positions[staker] = (left, node.active.generation)
        node.active.amount -= amount
        node.active.shares -= cost
        shares = node.unbonding.shares_for(amount)
        event.same(CHECK, "shares", shares)
        event.same(CHECK, "ready_at", event.time + self._unbonding)
        event.same(CHECK, "entry", node.opened[staker])
        entry = Entry(shares, node.unbonding.generation, event.number("ready_at"))
        node.entries[staker, node.opened[staker]] = entry
        node.opened[staker] += 1
        node.unbonding.amount += amount
        node.unbonding.shares += shares
        self._counts[CHECK] += 1

    def _withdrawn(self, event: Event) -> None:
        node, staker = self.node(event.address("node")), event.address("staker")
        entry = node.entries.pop((staker, event.number("entry")), Entry())
        ready = 0 < entry.ready_at <= event.time
        event.spot(CHECK).same("an entry that is ready", expected=True, found=ready)
        amount = 0
        if entry.generation == node.unbonding.generation:
            amount = node.unbonding.worth(entry.shares)
            node.unbonding.amount -= amount
            node.unbonding.shares -= entry.shares
        event.same(CHECK, "amount", amount)
        self.total -= amount
        self._counts[CHECK] += 1

    def _locked(self, event: Event) -> None:
        node, amount = self.node(event.address("node")), event.number("amount")
        locker, spot = event.address("locker"), event.spot(CHECK)
        if event.name == "Locked":
            self._may(event, "locker", locker)
            spot.same("stake that is free", expected=True, found=amount <= node.free())
        else:
            amount = -amount
        held = node.locked_by.get(locker, 0) + amount
        spot.same("a lock that is held", expected=True, found=held >= 0)
        node.locked_by[locker] = held
        node.locked += amount
        event.same(CHECK, "total", node.locked)

    def _slashed(self, event: Event) -> None:
        slasher = event.address("slasher")
        self._may(event, "slasher", slasher)
        rules = self.slashers.get(slasher)
        if rules is None:
            raise event.spot(CHECK).differs("the slasher", expected="one known", found=slasher)
        asked = rules.requested(event)
        spot = event.spot(CHECK)
        spot.same("a slash that the rules ask for", expected=True, found=asked.amount > 0)
        taken = self.node(event.address("node")).take(asked.amount)
        event.same(CHECK, "amount", taken)
        event.same(CHECK, "victim", asked.victim)
        if asked.reporter is not None:
            event.same(CHECK, "reporter", asked.reporter)
        victim = self._part(asked, asked.victim_amount, event.address("victim"), taken)
        bounty = self._part(asked, asked.bounty, event.address("reporter"), taken)
        event.same(CHECK, "victim_amount", victim)
        event.same(CHECK, "bounty", bounty)
        event.same(CHECK, "burned", taken - victim - bounty)
        self.total -= taken
        self.slashed += taken
        self._counts["slashes"] += 1

    def _part(self, asked: Request, wanted: int, receiver: Address, taken: int) -> int:
        """What a victim or reporter gets where less may have been there than was asked for."""
        if receiver in (ZERO_ADDRESS, self._contract):
            return 0
        return wanted * min(taken, asked.amount) // asked.amount

    def _may(self, event: Event, role: str, account: Address) -> None:
        held = account in self._roles.get(role, set())
        event.spot(CHECK).same(f"the role of {role}", expected=True, found=held)
