"""Declared capacity run again: what each node offers of a role, what markets hold of it, and the
stake that is locked for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from freehold.audit import inputs
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.audit.report import Spot
from freehold.domain.ids import Address
from freehold.economics.stake import MULTIPLIER_MAX, UNITS_MAX, WHOLE_BPS, Rule

CHECK = "capacity"
ROLES = tuple(1 << bit for bit in range(6))
NONE = Rule(0, per=0)


@dataclass(frozen=True, slots=True)
class Declaration:
    """Units of a role, how many of them markets hold, and their terms; ``multiplier`` in basis
    points, ``amount`` base units for every ``per`` units."""

    units: int = 0
    held: int = 0
    multiplier: int = 0
    per: int = 0
    amount: int = 0

    def stake(self) -> int:
        """Base units that stand behind all of it."""
        if not self.units:
            return 0
        return Rule(self.amount, self.per).stake(self.units, Fraction(self.multiplier, WHOLE_BPS))

    def cheaper(self, other: Declaration) -> bool:
        """Whether a unit asks less than one of another declaration, both of a rule."""
        mine = self.amount * self.multiplier * other.per
        return mine < other.amount * other.multiplier * self.per


class Capacity:
    """The capacity contract's state, recomputed; the stake's and the registry's are asked for."""

    def __init__(
        self, made: Fields, *, staking: Address, registry: Address, counts: Counter[str]
    ) -> None:
        for name, expected in (("staking_", staking), ("registry_", registry)):
            found = inputs.account(made, name)
            Spot(CHECK).same(f"the {name[:-1]} of capacity", expected=expected, found=found)
        self._counts = counts
        self.rules: dict[int, Rule] = {}
        self.declared: dict[tuple[str, int], Declaration] = {}
        self.holds: Counter[tuple[str, int, str]] = Counter()
        self.locked_by: Callable[[str], int] = lambda _: 0
        self.short: Callable[[str], bool] = lambda _: False
        self.active: Callable[[str, int], bool] = lambda _node, _role: True
        self._markets: set[str] = set()
        self._touched: set[str] = set()
        self._routes: dict[str, Callable[[Event], None]] = {
            "RuleSet": self._rule_set, "MarketSet": self._market_set, "Declared": self._declare,
            "Held": self._hold, "Released": self._release,
        }  # fmt: skip

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[CHECK] += 1

    def see_lock(self, event: Event) -> None:
        """Note a lock or release in the staking contract by this one."""
        self._touched.add(event.text("node"))

    def finish(self, spot: Spot) -> None:
        """Differs where another stake is locked than what is declared asks for."""
        for node in sorted(self._touched):
            asked = sum(self._of(node, role).stake() for role in ROLES)
            found = self.locked_by(node)
            spot.same("the stake locked for declared capacity", expected=asked, found=found)
        self._touched.clear()

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        if view == "rule":
            rule = self.rules.get(int(arguments[0]), NONE)
            return [{"amount": rule.amount, "per": rule.per, "weighed": rule.weighed}]
        if view == "declaration":
            told = self._of(str(arguments[0]), int(arguments[1]))
            return [{name: getattr(told, name) for name in Declaration.__slots__}]
        return None

    def _of(self, node: str, role: int) -> Declaration:
        return self.declared.get((node, role), Declaration())

    def _rule_set(self, event: Event) -> None:
        weighed = event.number("weighed") != 0
        rule = Rule(event.number("amount"), event.number("per"), weighed)
        self.rules[event.number("role")] = rule

    def _market_set(self, event: Event) -> None:
        change = self._markets.add if event.number("allowed") else self._markets.discard
        change(event.text("market"))

    def _declare(self, event: Event) -> None:
        node, role, units = event.text("node"), event.number("role"), event.number("units")
        before, spot = self._of(node, role), event.spot(CHECK)
        spot.same("units that can be told", expected=True, found=units <= UNITS_MAX)
        spot.same("units that no market holds", expected=True, found=units >= before.held)
        allowed = units <= before.units or self.active(node, role)
        spot.same("a node in the role", expected=True, found=allowed)
        made = self._terms(event, before)
        ruled = units == 0 or made.amount > 0
        spot.same("a rule of the role", expected=True, found=ruled)
        for name in ("multiplier", "amount", "per"):
            event.same(CHECK, name, getattr(made, name))
        event.same(CHECK, "locked", made.stake())
        self.declared[node, role] = made
        self._touched.add(node)

    def _terms(self, event: Event, before: Declaration) -> Declaration:
        """Those of the rule, or the ones before: where a market holds units that asked for more,
        and where fewer units would ask for more than they did."""
        rule = self.rules.get(event.number("role"), NONE)
        least, told = WHOLE_BPS, event.number("multiplier")
        most = MULTIPLIER_MAX if rule.weighed else least
        made = Declaration(
            event.number("units"), before.held, min(max(told, least), most), rule.per, rule.amount
        )
        # What the owner asked for is not told where the terms before were kept: some multiplier
        # must have led to that.
        same = (told, event.number("amount")) == (before.multiplier, before.amount)
        if same and event.number("per") == before.per:
            lowest, highest = (replace(made, multiplier=each) for each in (least, most))
            if _keeps(lowest, highest, before):
                return replace(before, units=made.units)
        kept = _keeps(made, made, before)
        event.spot(CHECK).same("terms that had to stay", expected=False, found=kept)
        return made

    def _hold(self, event: Event) -> None:
        node, role, units, market = self._use(event)
        before, spot = self._of(node, role), event.spot(CHECK)
        spot.same("one of the markets", expected=True, found=market in self._markets)
        free = 0 < units <= before.units - before.held
        spot.same("units that are free", expected=True, found=free)
        able = self.active(node, role) and not self.short(node)
        spot.same("a node that can take something new", expected=True, found=able)
        self._change(event, units)

    def _release(self, event: Event) -> None:
        node, role, units, market = self._use(event)
        held = 0 < units <= self.holds[node, role, market]
        event.spot(CHECK).same("units that the market holds", expected=True, found=held)
        self._change(event, -units)

    def _change(self, event: Event, units: int) -> None:
        node, role, _, market = self._use(event)
        before = self._of(node, role)
        self.holds[node, role, market] += units
        self.declared[node, role] = replace(before, held=before.held + units)
        event.same(CHECK, "held", before.held + units)

    def _use(self, event: Event) -> tuple[str, int, int, str]:
        names = event.text("node"), event.number("role")
        return *names, event.number("units"), event.text("market")


def _keeps(lowest: Declaration, highest: Declaration, before: Declaration) -> bool:
    """Whether terms stay for new ones that ask between ``lowest`` and ``highest``."""
    if before.held and lowest.cheaper(before):
        return True
    fewer = 0 < highest.units < before.units
    return fewer and (not highest.amount or before.cheaper(highest))
