"""Tables of readings, members and alerts that fit a terminal of 80 columns.

Names of metrics are never broken, so that they can be copied; accounts are short, and their full
addresses follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from freehold.cli.telemetry import moments
from freehold.cli.telemetry.plot import spark

if TYPE_CHECKING:
    from freehold.cli.handles import Handles
    from freehold.cli.screen import Screen

Points = Sequence[tuple[int, float | None]]
"""Milliseconds, and the value where there is one."""
COURSE_MIN, COURSE_MAX = 8, 32
_CHROME = 3
"""Characters between two columns."""
_ZERO = 273.15
_COLOURS = {"critical": "red", "warning": "yellow", "info": "dim"}


@lru_cache(1_024)
def symbol(metric: str) -> str:
    """The SI unit of a metric, empty of plain numbers and where its name does not tell."""
    from freehold.telemetry.foreign import guess_unit
    from freehold.telemetry.metrics import limits
    from freehold.telemetry.units import UNITS, unit

    quantity = limits(metric).quantity or unit(guess_unit(metric)).quantity
    plain = (each for each in UNITS if each.scale == 1.0 and each.offset == 0.0)
    found = next((each.symbol for each in plain if each.quantity == quantity), "")
    return "" if found == "1" else found


def amount(metric: str, value: float | None) -> str:
    """A value with its unit, temperatures also in Cel: ``"294.55 K (21.4 Cel)"``."""
    if value is None:
        return ""
    unit = symbol(metric)
    people = f" ({value - _ZERO:,.1f} Cel)" if unit == "K" else ""
    return f"{value:,.6g} {unit}".rstrip() + people


def readings(
    screen: Screen, found: Sequence[tuple[str, Mapping[str, Points]]], called: Handles
) -> None:
    """A line for each series: who, metric, the latest value, its course where there is room."""
    lines = [
        (called.of_text(device), metric, points, amount(metric, points[-1][1]))
        for device, series in found
        for metric, points in series.items()
    ]
    room = _room(screen, [(who, metric, latest) for who, metric, _, latest in lines])
    head = ("device", "metric", "latest", "course")[: 4 if room else 3]
    cells = [
        (who, metric, latest, spark([value for _, value in points], width=room or COURSE_MIN))
        for who, metric, points, latest in lines
    ]
    draw(screen, "readings", head, [row[: len(head)] for row in cells], whole=head[1:])


def members(screen: Screen, found: Sequence[Mapping[str, object]], called: Handles) -> None:
    """A line for each member of a service."""
    columns = ("who", "kind", "last reading", "metrics", "quality", "marked")
    draw(screen, "members", columns, [_member(each, called) for each in found], whole=columns[1:5])


def alerts(screen: Screen, found: Sequence[Mapping[str, object]], called: Handles) -> None:
    """Two lines for each alert: how bad, what kind and metric; who and since when; and why."""
    columns = ("id", "what", "who and since", "why")
    draw(screen, "alerts", columns, [_alert(each, called) for each in found], whole=columns[:3])


def draw(
    screen: Screen,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    whole: Sequence[str] = (),
) -> None:
    """A table in which the columns of ``whole`` are not broken; only the title of an empty one."""
    if screen.as_json:
        return
    from rich.table import Table

    table = Table(header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column in whole, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = screen.console()
    console.print(f"[bold]{title}[/]", soft_wrap=True)
    if rows:
        console.print(table)


def _room(screen: Screen, lines: Sequence[Sequence[str]]) -> int:
    """Characters that are left for the course of a series, 0 where they are too few."""
    taken = sum(max(map(len, column)) for column in zip(*lines, strict=True))
    left = screen.console().width - taken - 4 * _CHROME - 1
    return 0 if left < COURSE_MIN else min(left, COURSE_MAX)


def _member(each: Mapping[str, object], called: Handles) -> Sequence[str]:
    metrics, seen, quality = each.get("metrics"), each["seen"], each["quality"]
    return (
        called.of_text(str(each["id"])),
        str(each["kind"]),
        moments.ago(seen if isinstance(seen, int) else 0),
        str(len(metrics)) if isinstance(metrics, list) else "0",
        f"{quality:.2f}" if isinstance(quality, int | float) else "",
        f"[red]{each['marked']}[/]" if each["marked"] else "",
    )


def _alert(alert: Mapping[str, object], called: Handles) -> Sequence[str]:
    from rich.markup import escape

    since, state, times = alert["since"], alert["state"], alert["times"]
    colour = _COLOURS.get(str(alert["severity"]), "default")
    beside = [
        *([str(state)] if state != "open" else []),
        *([f"{times} times"] if times != 1 else []),
    ]
    return (
        str(alert["id"]),
        f"[{colour}]{alert['severity']}[/] {alert['kind']}\n{alert['metric']}".rstrip(),
        f"{called.of_text(str(alert['subject']))}\n"
        f"{moments.ago(since if isinstance(since, int) else 0)}",
        escape(str(alert["reason"])) + (f" ({', '.join(beside)})" if beside else ""),
    )
