"""Which metrics devices report: as a service knows them, or as the last statement of pay says.

The statement is for everybody: so buyers, too, can see what a pattern fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from freehold.domain.errors import FreeholdError, NotFoundError, UsageError
from freehold.domain.ids import Address

if TYPE_CHECKING:
    from pathlib import Path

    from freehold.economics.data_pay import Query
    from freehold.ledger.ledger import Ledger

EPOCHS, SHOWN = 24, 12
"""Newest epochs among which the last statement is looked for; names that a refusal lists."""
ASKED_MAX = 64
"""Metrics that one question names at most."""


def settled(ledger: Ledger) -> Mapping[Address, frozenset[str]] | None:
    """The metrics that counted in the last settled epoch, by device; None where nobody can say."""
    from freehold.node.telemetry.statement import Statement, canonical, load
    from freehold.node.watcher.paysource import sources

    try:
        for source in sources(ledger):
            for number in reversed(source.epochs()[-EPOCHS:]):
                told = load(source.statement(number))
                if "version" in told:
                    works = Statement.read(canonical(told)).works
                    return {work.device: frozenset(work.counted) for work in works}
    except FreeholdError:
        return None
    return None


def members(
    home: Path | None, *, everybody: bool = False
) -> Mapping[Address, frozenset[str]] | None:
    """The same as the service of this home knows it now, with ``everybody`` of nodes, too; None
    where none runs here."""
    from freehold.cli.home import find_home
    from freehold.cli.telemetry.caller import calling

    if not (find_home(home).telemetry / "admin.token").is_file():
        return None
    try:
        with calling(home) as caller:
            return {
                Address(str(each["id"])): metrics_of(each)
                for each in caller.pages()
                if each.get("kind") in (("device", "node") if everybody else ("device",))
            }
    except FreeholdError:
        return None


def known(
    home: Path | None, ledger: Ledger, *, everybody: bool = False
) -> Mapping[Address, frozenset[str]] | None:
    """Both together; None where nobody can say."""
    now, before = members(home, everybody=everybody), settled(ledger)
    if now is None or before is None:
        return before if now is None else now
    none = frozenset[str]()
    return {who: now.get(who, none) | before.get(who, none) for who in {**now, **before}}


def fitting(query: Query, found: Mapping[Address, frozenset[str]]) -> list[Address]:
    """The devices of which a query asks for something, cells aside: those are not shown."""
    from freehold.economics.data_pay import matches

    return [
        device
        for device, metrics in found.items()
        if query.device in (None, device) and any(matches(query.metric, name) for name in metrics)
    ]


def metrics_of(member: Mapping[str, object]) -> frozenset[str]:
    """The metrics of a member in JSON."""
    found = member.get("metrics")
    return frozenset(map(str, found)) if isinstance(found, list) else frozenset()


def is_pattern(name: str) -> bool:
    """Whether a name stands for several."""
    return "*" in name


def any_of(asked: Iterable[str], having: Iterable[str]) -> bool:
    """Whether one of ``having`` is asked for."""
    from freehold.economics.data_pay import matches

    names = list(having)
    return any(matches(each, name) for each in asked for name in names)


def expand(asked: Sequence[str], having: Iterable[str]) -> list[str]:
    """The metrics that are asked for, a ``*`` for any text; NotFoundError where none is such."""
    from freehold.economics.data_pay import matches

    names = sorted(having)
    found = dict.fromkeys(
        name
        for each in asked
        for name in (
            filter(lambda name: matches(each, name), names) if is_pattern(each) else [each]
        )
    )
    if not found and asked:
        raise NotFoundError(
            f"no metric is like {', '.join(asked)}", remedy=f"It reports {listed(names)}."
        )
    if len(found) > ASKED_MAX:
        raise UsageError(
            f"{len(found)} metrics are like {', '.join(asked)}",
            remedy=f"Ask for {ASKED_MAX} at most: give a longer pattern.",
        )
    return list(found)


def listed(names: Iterable[str]) -> str:
    """Names for a sentence, the first ones: ``"a, b and 3 more"``."""
    found = sorted(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{', '.join(found[:SHOWN])}{more}" if found else "nothing"
