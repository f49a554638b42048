"""Proposers that tell one thing wrong, and go on from it as if it were true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from freehold.domain.ids import Address
from freehold.markets.models.trace.batch import Bundle, grown
from freehold.markets.models.trace.build import Builder
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.merkle import Merkle
from freehold.markets.models.trace.values import (
    NOBODY,
    Batch,
    Bond,
    Cell,
    Column,
    Facts,
    Member,
    Node,
    Pay,
)

LAST = Address("0x" + "FF" * 20)
Twist = Callable[[Random, Any, Builder], Any]


def number(pick: Random, value: int, _: Builder) -> int:
    """Another number, not below 0."""
    return value + 1 if value == 0 or pick.random() < 0.5 else value - 1


def node(pick: Random, value: Node, _: Builder) -> Node:
    """Another holder, generation, time or stake."""
    return pick.choice(
        [
            replace(value, account=NOBODY),
            replace(value, generation=value.generation + 1),
            replace(value, registered=value.registered + 1),
            replace(value, stake=value.stake + 10),
        ]
    )


def entry(pick: Random, value: Sequence[int], _: Builder) -> list[int]:
    """One number of a vector changed; the same vector where it is empty."""
    made = list(value)
    if made:
        at = pick.randrange(len(made))
        rises = made[at] < 2 or (made[at] != 65_535 and pick.random() < 0.5)
        made[at] += 1 if rises else -1
    return made


def weights(pick: Random, value: Sequence[int], _: Builder) -> list[int]:
    """One weight changed, given or taken away."""
    made = list(value)
    if not made:
        return made
    at = pick.randrange(len(made))
    made[at] = pick.choice([0, 1, (made[at] + 1) % 65_536])
    if made == list(value):
        made[at] = (made[at] + 1) % 65_536
    return made


def permits(pick: Random, value: list[int], builder: Builder) -> list[int]:
    """One more, one less, one for another, or in no order."""
    others = [uid for uid in range(builder.count) if uid not in value]
    less, more = sorted(value[1:]), sorted([*value, *others[:1]])
    return pick.choice(
        [less, more, sorted([*value[:-1], *others[-1:]]), value[::-1], [*value, builder.count]]
    )


def members(pick: Random, value: list[Member], builder: Builder) -> list[Member]:
    """One left out, made up, changed or twice."""
    made_up = Member(pick.randrange(builder.count), -1, True, 5)
    more = sorted([*value, made_up], key=lambda member: member.uid)
    if not value:
        return more
    at = pick.randrange(len(value))
    each = value[at]
    changed = pick.choice(
        [
            replace(each, active=not each.active),
            replace(each, share=each.share + 1),
            replace(each, was=-1) if each.was >= 0 else replace(each, share=each.share + 2),
            replace(each, uid=builder.count),
        ]
    )
    return pick.choice([value[1:], more, [*value[:at], changed, *value[at + 1 :]], value[::-1]])


def table(pick: Random, value: list[tuple[int, int]], _: Builder) -> list[tuple[int, int]]:
    """Another active stake or row sum."""
    made = list(value)
    if made:
        at = pick.randrange(len(made))
        active, total = made[at]
        # A row sum of nothing is divided by nowhere.
        made[at] = pick.choice([(active + 1, total), (active, total + 1)])
    return made


def column(pick: Random, value: Column, _: Builder) -> Column:
    """Another consensus or rank."""
    more = replace(value, consensus=value.consensus + 1)
    return pick.choice([more, replace(value, rank=value.rank + 1)])


def bond(pick: Random, value: Bond, builder: Builder) -> Bond:
    """Another bond, or another gain."""
    if pick.random() < 0.5:
        return replace(value, stored=tuple(entry(pick, value.stored, builder)))
    return replace(value, gains=tuple(entry(pick, value.gains, builder)))


def cell(pick: Random, value: Cell, _: Builder) -> Cell:
    """More or less for somebody."""
    name = pick.choice(["server", "validator", "combined", "remainder"])
    return replace(value, **{name: getattr(value, name) + 1})


def pair(pick: Random, value: tuple[int, int], _: Builder) -> tuple[int, int]:
    """One of two numbers."""
    first, second = value
    return pick.choice([(first + 1, second), (first, second + 1)])


def ranks(pick: Random, value: tuple[bool, int], _: Builder) -> tuple[bool, int]:
    """Another sum, or another flag."""
    return pick.choice([(not value[0], value[1]), (value[0], value[1] + 1)])


def paid(pick: Random, value: tuple[int, int, int], _: Builder) -> tuple[int, int, int]:
    """Another sum, remainder or uid."""
    made = list(value)
    made[pick.randrange(3)] += 1
    return made[0], made[1], made[2]


def prune(pick: Random, value: int, builder: Builder) -> int:
    """One place of the list changed, two swapped, or all of it cut."""
    places = [value >> (240 - 16 * k) & 0xFFFF for k in range(16)]
    at = pick.randrange(min(16, builder.count + 1))
    places[at] = pick.choice([0xFFFF, builder.count, pick.randrange(builder.count), places[at - 1]])
    made = 0
    for uid in places:
        made = made << 16 | uid
    return made


@dataclass(frozen=True, slots=True)
class Lie:
    """A part of the builder that is told wrong, whether there is one for each uid, how, and what
    a watcher finds."""

    part: str
    each: bool
    twist: Twist
    kinds: tuple[str, ...]

    def told(self, pick: Random, facts: Facts, past: Built | None) -> Builder:
        """A builder that lies once."""
        at = pick.randrange(len(facts.nodes))
        body: Mapping[str, Any] = {
            self.part: _method(self, at, pick) if self.each else _value(self, pick)
        }
        liar: type[Builder] = type("Liar", (Builder,), dict(body))
        return liar(facts, past)


def _method(lie: Lie, at: int, pick: Random) -> Callable[..., Any]:
    honest = getattr(Builder, lie.part)

    def told(self: Builder, uid: int, *rest: Any) -> Any:
        value = honest(self, uid, *rest)
        return lie.twist(pick, value, self) if uid == at else value

    return told


def _value(lie: Lie, pick: Random) -> property:
    honest = getattr(Builder, lie.part).func
    kept: list[Any] = []

    def told(self: Builder) -> Any:
        if not kept:
            kept.append(lie.twist(pick, honest(self), self))
        return kept[0]

    return property(told)


LIES = (
    Lie("node", True, node, ("node",)),
    Lie("stakes_after", True, number, ("sums",)),
    Lie("stake", False, number, ("totals",)),
    Lie("permits", False, permits, ("permits", "permit")),
    Lie("members", False, members, ("members", "member")),
    Lie("weights_of", True, weights, ("weight",)),
    Lie("rows_after", True, entry, ("rows",)),
    Lie("table", False, table, ("table",)),
    Lie("column", True, column, ("column",)),
    Lie("ranks_after", True, ranks, ("sums",)),
    Lie("ranks", False, ranks, ("totals",)),
    Lie("incentives_after", True, number, ("sums",)),
    Lie("incentives", False, number, ("totals",)),
    Lie("bond", True, bond, ("bond",)),
    Lie("dividends_after", True, entry, ("dividends",)),
    Lie("dividend_totals", False, pair, ("dividend_totals",)),
    Lie("emission", False, pair, ("emission",)),
    Lie("cell", True, cell, ("cell",)),
    Lie("paid_after", True, paid, ("sums",)),
    Lie("dust", False, pair, ("totals",)),
    Lie("prune", False, prune, ("prune",)),
)


def repaid(bundle: Bundle, pays: Sequence[Pay]) -> Bundle:
    """The same traces with another list of what is paid."""
    tree = Merkle.of([pay.hash() for pay in pays])
    batch = replace(bundle.batch, cells=tree.root, cell_count=len(pays))
    return replace(bundle, batch=batch, pays=tuple(pays), pay_tree=tree)


def recounted(bundle: Bundle, traces: Sequence[Built]) -> Bundle:
    """Other traces with the same list of what is paid."""
    tree = Merkle.of([built.trace.hash() for built in traces])
    batch = Batch(tree.root, len(traces), bundle.batch.cells, bundle.batch.cell_count)
    return replace(bundle, batch=batch, traces=tuple(traces), trace_tree=tree)


def pay_lies(bundle: Bundle, pick: Random, thief: Address) -> list[tuple[str, Bundle]]:
    """Lists that pay wrongly, and what a watcher finds first."""
    pays = list(bundle.pays)
    at = pick.randrange(len(pays))
    pay = pays[at]
    last, others = pays[-1], [*pays[:at], *pays[at + 1 :]]
    made = [
        ("lack", summed(others)),
        ("pay", summed([*pays[:at], replace(pay, grains=pay.grains + 1), *pays[at + 1 :]])),
        ("order", [*pays[:at], replace(pay, before=pay.before + 1), *pays[at + 1 :]]),
        ("order", [*pays[:at], pay, pay, *pays[at + 1 :]]),
        ("pay", summed([*pays, replace(last, uid=70_000, grains=5)])),
        ("order", summed([*pays, replace(last, account=LAST, grains=0)])),
        ("pay", summed(sorted([*pays, replace(pay, subnet=90)], key=Pay.rank))),
        ("pay", summed(sorted([*pays, replace(pay, uid=99)], key=Pay.rank))),
        (
            "pay",
            summed(
                sorted([*pays[:at], replace(pay, account=thief), *pays[at + 1 :]], key=Pay.rank)
            ),
        ),
    ]
    if len(pays) > 1:
        made.append(("order", pays[::-1]))
    return [(kind, repaid(bundle, each)) for kind, each in made]


def summed(pays: Sequence[Pay]) -> list[Pay]:
    """The sums of accounts put right."""
    so_far: dict[Address, int] = {}
    made = []
    for pay in pays:
        made.append(replace(pay, before=so_far.get(pay.account, 0)))
        so_far[pay.account] = so_far.get(pay.account, 0) + pay.grains
    return made


def growth_lies(
    before: Mapping[Address, int], bundle: Bundle, pick: Random, thief: Address
) -> list[dict[Address, int]]:
    """Grains of accounts that do not follow from a batch."""
    due = grown(before, bundle.pays)
    somebody = pick.choice(sorted(due))
    return [
        due | {somebody: due[somebody] + 1},
        due | {thief: 5},
        due | {thief: 1, somebody: due[somebody] + 2},
    ]
