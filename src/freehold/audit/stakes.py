"""Stake run again: own and delegated, what of it waits, locks, notices, unbonding entries,
rewards, and slashes with their split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from freehold.audit.events import Event
from freehold.audit.pools import MAX_COMMISSION, Arrival, Commission, Entry, Node, Notice, Terms
from freehold.domain.ids import ZERO_ADDRESS, Address

CHECK = "stakes"


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


Payer = Callable[[Address, int], int]
"""A contract that pays rewards, recomputed: from when on a node's work is owed some, at a moment;
that moment where it is owed none."""


class Stakes:
    """The staking contract's state, recomputed."""

    def __init__(self, *, contract: Address, unbonding: int, counts: Counter[str]) -> None:
        self._contract = contract
        self._unbonding = unbonding
        self._counts = counts
        self.nodes: dict[str, Node] = {}
        self.total = 0
        self.rewards = 0
        self.slashed = 0
        self.terms = Terms(1_000, unbonding)
        self.owner_of: Callable[[str], object] = lambda node: self.node(node).owner
        self.slashers: dict[Address, Slasher] = {}
        self.payers: dict[Address, Payer] = {}
        self._admitting: Address | None = None
        self._roles: dict[str, set[str]] = {}
        self._routes: dict[str, Callable[[Event], None]] = {
            "Staked": self._staked, "Admitted": self._admitted, "Unbonded": self._unbonded,
            "Withdrawn": self._withdrawn,
            "Locked": self._locked, "Unlocked": self._locked, "Slashed": self._slashed,
            "NoticeSet": self._noticed, "CommissionSet": self._commissioned,
            "Rewarded": self._rewarded, "RewardsClaimed": self._claimed,
            "RoleSet": self._role_set, "DelegationSet": self._delegation_set,
        }  # fmt: skip

    @property
    def held(self) -> int:
        """Tokens that the contract must have: all stake, and rewards that nobody claimed yet."""
        return self.total + self.rewards

    def node(self, name: str) -> Node:
        """The stake behind a node, none where it never had any."""
        return self.nodes.setdefault(name, Node())

    def shared(self, name: str) -> bool:
        """Whether others than its owner have stake behind a node."""
        node = self.nodes.get(name, Node())
        return node.active.amount > node.active.worth(node.shares(node.owner))

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._check_admitting(event)
        route = self._routes.get(event.name)
        if route is not None:
            route(event)

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        texts = [each for each in arguments if isinstance(each, str)]
        node = self.nodes.get(texts[-1], Node()) if texts else Node()
        if view == "entry" and isinstance(arguments[-1], int):
            found = node.entries.get((texts[0], arguments[-1]), Entry())
            return [_shown(found, "shares", "generation", "ready_at")]
        if view == "arrival":
            return [_shown(node.arrival, "number", "shares", "since")]
        staker = texts[0] if texts else ""
        worth = {
            "active": node.active.amount, "unbonding": node.unbonding.amount,
            "locked": node.locked, "stake_of": node.active.worth(node.shares(staker)),
            "own": node.active.worth(node.shares(node.owner)), "free": node.free(self.terms),
            "waiting_of": node.active.worth(node.fresh(staker)),
            "claimable": node.earned(staker), "total": self.total, "rewards": self.rewards,
        }  # fmt: skip
        return [worth[view]] if view in worth else None

    def _role_set(self, event: Event) -> None:
        holders = self._roles.setdefault(event.text("role"), set())
        (holders.add if event.number("allowed") else holders.discard)(event.address("account"))

    def _delegation_set(self, event: Event) -> None:
        self.terms = Terms(event.number("least_own_bps"), event.number("exit_term"))

    def _staked(self, event: Event) -> None:
        node, amount = self.node(event.address("node")), event.number("amount")
        shares = node.active.shares_for(amount)
        event.same(CHECK, "shares", shares)
        staker = event.address("staker")
        self._owned(event, node, staker)
        self._check_evaluated(event)
        self._check_waits(event)
        node.join(staker, amount, shares)
        if event.number("waits"):
            node.wait(staker, shares, event.time)
        if staker != node.owner:
            backed = node.active.amount <= node.backed(self.terms)
            event.spot(CHECK).same("the owner's own share", expected=True, found=backed)
        self.total += amount
        self._counts[CHECK] += 1

    def _admitted(self, event: Event) -> None:
        node, spot = self.node(event.address("node")), event.spot(CHECK)
        event.same(CHECK, "arrival", node.arrival.number)
        event.same(CHECK, "shares", node.arrival.shares)
        spot.same("stake that waits", expected=True, found=node.arrival.shares > 0)
        owed, _ = self._owed_since(event)
        given = owed >= node.arrival.since
        spot.same("all given that was due before it came", expected=True, found=given)
        node.admit(node.active.generation)
        self._counts[CHECK] += 1

    def _owed_since(self, event: Event) -> tuple[int, bool]:
        """From when on rewards for a node's work are owed, and whether every evaluator is known.

        One that is not may be owed more; the governor can name any contract.
        """
        named = self._roles.get("evaluator", set())
        payers = [payer for account, payer in self.payers.items() if account in named]
        owed = [payer(event.address("node"), event.time) for payer in payers]
        return min([event.time, *owed]), len(payers) == len(named)

    def _overdue(self, event: Event) -> bool:
        """Whether an arrival at the event's node must be admitted now."""
        arrival, (owed, certain) = self.node(event.address("node")).arrival, self._owed_since(event)
        return certain and arrival.shares > 0 and owed >= arrival.since

    def _check_evaluated(self, event: Event) -> None:
        """Differs where stake came or went, and what could be admitted first was not."""
        overdue = self._overdue(event)
        event.spot(CHECK).same("stake that waits for nothing", expected=False, found=overdue)

    def _check_waits(self, event: Event) -> None:
        owed, certain = self._owed_since(event)
        if certain or owed < event.time:
            event.same(CHECK, "waits", owed < event.time)

    def _check_admitting(self, event: Event) -> None:
        """Differs where a reward was all that stake waited for, and it was not admitted at once."""
        due, self._admitting = self._admitting, None
        if due is not None:
            found = event.address("node") if event.name == "Admitted" else None
            event.spot(CHECK).same("the node whose stake is admitted", expected=due, found=found)

    def _unbonded(self, event: Event) -> None:
        node, amount = self.node(event.address("node")), event.number("amount")
        staker, spot = event.address("staker"), event.spot(CHECK)
        cost = node.active.shares_of(amount)
        free = amount <= node.most(staker, cost, event.time, self.terms)
        spot.same("stake that is free", expected=True, found=free)
        spot.same("enough shares", expected=True, found=cost <= node.shares(staker))
        self._check_evaluated(event)
        node.leave(staker, amount, cost)
        notice = node.notice(staker)
        notice.shares -= min(notice.shares, cost)
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
        self._check_evaluated(event)
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
            free = amount <= node.free(self.terms)
            spot.same("stake that is free", expected=True, found=free)
        else:
            amount = -amount
        held = node.locked_by.get(locker, 0) + amount
        spot.same("a lock that is held", expected=True, found=held >= 0)
        node.locked_by[locker] = held
        node.locked += amount
        event.same(CHECK, "total", node.locked)

    def _noticed(self, event: Event) -> None:
        node, staker = self.node(event.address("node")), event.address("staker")
        amount, spot = event.number("amount"), event.spot(CHECK)
        shares = node.active.shares_of(amount)
        event.same(CHECK, "shares", shares)
        event.same(CHECK, "ready_at", event.time + self.terms.exit_term if amount else 0)
        spot.same("a delegator's notice", expected=True, found=staker != node.owner)
        spot.same("enough shares", expected=True, found=shares <= node.shares(staker))
        ready_at = event.number("ready_at")
        node.notices[staker] = Notice(shares, node.active.generation, ready_at)
        self._counts[CHECK] += 1

    def _commissioned(self, event: Event) -> None:
        node, spot = self.node(event.address("node")), event.spot(CHECK)
        asked = event.number("raised") or event.number("bps")
        spot.same("a commission in bounds", expected=True, found=asked <= MAX_COMMISSION)
        before, made = node.commission.at(event.time), Commission(asked)
        if asked > before and node.delegated():
            wait = self.terms.exit_term + self._unbonding
            made = Commission(before, asked, event.time + wait)
        for name in ("bps", "raised", "raised_at"):
            event.same(CHECK, name, getattr(made, name))
        node.commission = made
        self._counts[CHECK] += 1

    def _rewarded(self, event: Event) -> None:
        node, amount = self.node(event.address("node")), event.number("amount")
        self._owned(event, node, event.address("owner"))
        event.same(CHECK, "owner", node.owner)
        event.same(CHECK, "active", node.active.amount)
        part = node.part(amount, event.time)
        event.same(CHECK, "commission", part)
        node.rewards.owed[node.owner] += part
        if part < amount:
            node.rewards.share(node.active.generation, node.earning, amount - part)
        self.rewards += amount
        self._admitting = event.address("node") if self._overdue(event) else None
        self._counts["rewards"] += 1

    def _claimed(self, event: Event) -> None:
        node, staker = self.node(event.address("node")), event.address("staker")
        earned = node.earned(staker)
        event.same(CHECK, "amount", earned)
        node.settle(staker)
        node.rewards.owed[staker] = 0
        self.rewards -= earned
        covered = self.rewards >= 0
        event.spot(CHECK).same("rewards that were given", expected=True, found=covered)
        self._counts["rewards"] += 1

    def _owned(self, event: Event, node: Node, first: Address) -> None:
        """Learn a node's owner: before anybody delegates, who stakes or is paid as the owner is."""
        if not node.owner:
            told = self.owner_of(event.address("node")) or first
            event.spot(CHECK).same("the node's owner", expected=told, found=first)
            node.owner = first

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


def _shown(found: Arrival | Entry, *names: str) -> dict[str, int]:
    """Fields as the contract's view names them."""
    return {name: getattr(found, name) for name in names}
