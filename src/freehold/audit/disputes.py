"""The judge of the roots that pay models, run again: what it made void, what it was asked to show.

Whether something in a root was false the chain found out by its own reckoning: that is told here
and not judged. A root is void by the judge's word alone where the judge says so in the same
transaction, and held as long as a demand is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from freehold.audit import inputs
from freehold.audit.abi import interface
from freehold.audit.events import Event
from freehold.audit.frauds import UNSERVED, Header
from freehold.audit.inputs import Fields
from freehold.audit.report import Spot
from freehold.audit.roots import Roots
from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.ledger.modeling import CHECKERS

CHECK = "disputes"
REASONS = ("column", "standing", "payout")
LEAST_PREPAID = 250_000 * 10**9
KINDS = 7


@dataclass(frozen=True, slots=True)
class Demand:
    """A piece of a root's traces that was asked for; ``challenger`` is None where no input tells
    who asked."""

    header: Header
    deadline: int
    challenger: Address | None


@dataclass(slots=True)
class Verdict:
    """A root that must become void in this transaction, for whom and why; ``winner`` is None where
    no input tells."""

    position: int
    winner: Address | None
    reason: str


class Disputes:
    """The contract's state, recomputed; ``prizes`` are the roots that it judges."""

    def __init__(
        self, network: Network, made: Fields, *, prizes: Roots, counts: Counter[str]
    ) -> None:
        for name, place in {"prizes": "prizes", "subnets": "subnet"}.items():
            self._check_place(network, made, name, place)
        for name in CHECKERS:
            self._check_place(network, made, name, name)
        self._prizes, self._counts, self._me = prizes, counts, network.contracts[CHECK]
        self.demands: dict[int, Demand] = {}
        self.demand_count = 0
        self.ended: dict[int, tuple[int, int]] = {}
        self._verdict: Verdict | None = None
        self._holds: Counter[tuple[str, bytes]] = Counter()
        self._routes: dict[str, Callable[[Event], None]] = {
            "Disproved": self._disproved, "Demanded": self._demanded, "Answered": self._answered,
            "Expired": self._expired, "Settled": self._settled,
        }  # fmt: skip

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[CHECK] += 1

    def see_roots(self, event: Event) -> None:
        """Note what happened to the roots; Differs where the judge did it and told nothing."""
        if event.name in ("Held", "Released"):
            key, spot = (event.name, event.data("header")), event.spot(CHECK)
            spot.same("a demand behind it", expected=True, found=self._holds[key] > 0)
            self._holds[key] -= 1
        elif event.name == "Voided" and (self._verdict or self._prizes.by_judge(event)):
            self._see_void(event)

    def finish(self, spot: Spot) -> None:
        """Differs where a transaction promised what it did not do."""
        spot.same("a root that is not void", expected=None, found=self._verdict)
        spot.same("roots not held or released", expected={}, found=dict(+self._holds))
        self._holds.clear()

    def prune(self, subnet: int) -> tuple[int, int]:
        """Whom newcomers of a subnet replace, 16 uids in a word, and when that was reckoned up
        to."""
        return self.ended.get(subnet, (0, 0))

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        if view == "demand_count":
            return [self.demand_count]
        return list(self.prune(int(arguments[0]))) if view == "prune_list" else None

    def _check_place(self, network: Network, made: Fields, name: str, place: str) -> None:
        expected, found = network.contracts.get(place), inputs.account(made, f"{name}_")
        Spot(CHECK).same(f"the {name} of disputes", expected=expected, found=found)

    def _open(self, event: Event) -> Header:
        for header in self._prizes.headers.values():
            if header.hash() == event.data("header") and self._prizes.is_open(header):
                return header
        name = "0x" + event.data("header").hex()
        raise event.spot(CHECK).differs("the root", expected="an open one", found=name)

    def _disproved(self, event: Event) -> None:
        header = self._open(event)
        caller = inputs.caller(event.transaction, self._me, CHECK)
        self._verdict = Verdict(header.position, caller, self._reason(event))
        self._counts["proofs of fraud"] += 1

    def _reason(self, event: Event) -> str:
        """Whose function it is that told that something is false."""
        selector = event.data("selector")
        for name, reason in zip(CHECKERS, REASONS, strict=True):
            if selector in interface(name).selectors:
                return reason
        found = "0x" + selector.hex()
        raise event.spot(CHECK).differs("what told", expected="a checker's function", found=found)

    def _see_void(self, event: Event) -> None:
        verdict, self._verdict = self._verdict, None
        if verdict is None:
            raise event.spot(CHECK).differs(
                "what is void", expected="something disproved", found="nothing"
            )
        event.same(CHECK, "position", verdict.position)
        event.same(CHECK, "reason", verdict.reason)
        if verdict.winner is not None:
            event.same(CHECK, "winner", verdict.winner)

    def _demanded(self, event: Event) -> None:
        header = self._open(event)
        self.demand_count += 1
        event.same(CHECK, "id", self.demand_count)
        event.same(CHECK, "deadline", event.time + self._prizes.rules["answer_window"])
        for what, holds in (
            ("a root that can be disputed", event.time <= header.until),
            ("a kind of piece", event.number("kind") < KINDS),
            ("the answer's gas", event.number("prepaid") >= LEAST_PREPAID),
        ):
            event.spot(CHECK).same(what, expected=True, found=holds)
        challenger = inputs.caller(event.transaction, self._me, CHECK)
        self.demands[self.demand_count] = Demand(header, event.number("deadline"), challenger)
        self._holds["Held", header.hash()] += 1

    def _close(self, event: Event) -> Demand:
        found = self.demands.pop(event.number("id"), None)
        if found is None:
            raise event.spot(CHECK).differs("the demand", expected="an open one", found="none")
        self._holds["Released", found.header.hash()] += 1
        return found

    def _answered(self, event: Event) -> None:
        self._close(event)

    def _expired(self, event: Event) -> None:
        demand = self._close(event)
        late = event.time > demand.deadline
        event.spot(CHECK).same("the deadline over", expected=True, found=late)
        if self._prizes.is_open(demand.header):
            self._verdict = Verdict(demand.header.position, demand.challenger, UNSERVED)

    def _settled(self, event: Event) -> None:
        """Taken over from a final root, each later than the one before."""
        subnet, end = event.number("subnet"), event.number("ended_at")
        roots, spot = self._prizes, event.spot(CHECK)
        ends = {roots.genesis + (epoch + 1) * roots.epoch_length for epoch in roots.leaves.roots}
        spot.same("the end of an epoch with a final root", expected=True, found=end in ends)
        later = end > self.prune(subnet)[1]
        spot.same("a later one than is settled", expected=True, found=later)
        self.ended[subnet] = (event.number("prune"), end)
