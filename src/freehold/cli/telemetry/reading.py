"""``telemetry status|query|export``: how the service does, and what was measured."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.home import Home, open_home
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.telemetry import moments
from freehold.cli.telemetry.caller import (
    Caller,
    ServiceOption,
    TokenOption,
    calling,
    fields,
)
from freehold.cli.telemetry.plot import plot, spark
from freehold.domain.errors import ConflictError, NotFoundError, UsageError

if TYPE_CHECKING:
    from freehold.domain.ids import Address

DeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="A device or node by name, address or id; default: all."),
]
MetricOption = Annotated[
    list[str] | None, typer.Option("--metric", help="A metric; may be repeated. Default: all.")
]
SinceOption = Annotated[str, typer.Option("--since", help="1h (ago), or 2026-11-28T10:00.")]
UntilOption = Annotated[str, typer.Option("--until", help="As --since; default: now.")]
StepOption = Annotated[str, typer.Option("--step", help="Means over spans of this, such as 1m.")]
ROWS, MEMBERS_MAX, HEIGHT = 100_000, 64, 8
EXPORT_MAX = 2**34


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    for verb in (status, query, export):
        app.command()(verb)


def status(
    *,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the service: members, rates, lag, store, and how good everybody's readings are."""
    screen = Screen(as_json)
    with cancellable(), calling(home, service, token_file) as caller:
        health = fields(caller.health())
        members = list(caller.pages())
    called = names(open_home(home))
    screen.emit({**health, "devices": members})
    counts = fields(health.get("members", {}))
    kinds = ", ".join(f"{count} {kind}s" for kind, count in sorted(counts.items())) or "none"
    screen.facts(
        f"telemetry  {health.get('service')}",
        {
            "state": health.get("status"), "members": kinds,
            "readings a second": f"{_real(health.get('readings_per_second')):,.1f}",
            "readings since the start": f"{int(_real(health.get('readings'))):,}",
            "lag": f"{int(_real(health.get('lag_ms'))):,} ms",
            "partitions": health.get("partitions"),
            "store": f"{int(_real(health.get('store_bytes'))):,} bytes",
            "broker": "yes" if health.get("broker") else "no",
        },
    )  # fmt: skip
    for problem in rows_of_text(health.get("problems")):
        screen.say(f"[red]✗[/] {problem}")
    columns = ("name", "id", "kind", "last reading", "metrics", "quality", "marked")
    screen.table("members", columns, [_member(each, called) for each in members])


def query(
    *,
    device: DeviceOption = None,
    metric: MetricOption = None,
    since: SinceOption = "1h",
    until: UntilOption = "now",
    step: StepOption = "",
    unsound: Annotated[
        bool, typer.Option("--unsound", help="Also readings that are marked as unsound.")
    ] = False,
    as_plot: Annotated[bool, typer.Option("--plot", help="Draw each series.")] = False,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show readings: a line for each series, its course, and its latest value (SI units)."""
    screen, target = Screen(as_json), open_home(home)
    given = _range(metric, since, until, step) | {"unsound": int(unsound), "limit": ROWS}
    called = names(target)
    with cancellable(), calling(home, service, token_file) as caller:
        found = [
            fields(caller.get("/readings", device=each, **given))
            for each in _wanted(caller, target, device)
        ]
    screen.emit(found)
    if not as_json:
        _show(screen, found, called, as_plot=as_plot)


def export(
    file: Annotated[Path, typer.Argument(help="The new file: .csv, .json or .parquet.")],
    *,
    device: DeviceOption = None,
    metric: MetricOption = None,
    since: SinceOption = "1d",
    until: UntilOption = "now",
    step: StepOption = "",
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write readings to a file, all that there are; for the service's administrator."""
    screen, target = Screen(as_json), open_home(home)
    kind = file.suffix.removeprefix(".").lower()
    if kind not in ("csv", "json", "parquet"):
        raise UsageError(f"{file} has no known ending", remedy="Use .csv, .json or .parquet.")
    if file.exists():
        raise ConflictError(f"{file} exists", remedy="Choose a new name.")
    given = _range(metric, since, until, step) | {"format": kind}
    if device is not None:
        given["devices"] = resolve(target, device)
    with cancellable(), calling(home, service, token_file) as caller:
        size = caller.fetch("/export", file, **given)
    screen.emit({"file": str(file), "bytes": size})
    screen.say(f"[green]✓[/] {file}: {size:,} bytes")


def names(home: Home) -> dict[str, str]:
    """What nodes, devices and the service of this machine are called, by id."""
    from freehold.cli.device import folder
    from freehold.cli.live import names_of

    return {
        str(member): name
        for found in (names_of(home), folder.names(home))
        for member, name in found.items()
    }


def rows_of_text(found: object) -> list[str]:
    """The texts of a list in JSON."""
    return [str(each) for each in found] if isinstance(found, list) else []


def _wanted(caller: Caller, home: Home, device: str | None) -> Sequence[str]:
    if device is not None:
        return (resolve(home, device),)
    members = [str(each["id"]) for each in caller.pages() if each.get("seen")]
    if not members:
        raise NotFoundError(
            "nobody has reported yet", remedy="Look again in a few seconds, or pair a device."
        )
    return members[:MEMBERS_MAX]


def resolve(home: Home, text: str) -> str:
    """The id of a node or device by its name here, its address or its id."""
    if text.startswith("source:"):
        return text
    for member, name in names(home).items():
        if text == name:
            return member
    from freehold.domain.ids import address

    found: Address = address(text)
    return found


def _range(metrics: Sequence[str] | None, since: str, until: str, step: str) -> dict[str, object]:
    return {
        "metrics": ",".join(metrics or ()),
        "since": moments.moment(since),
        "until": moments.moment(until) + 1,
        "step": moments.span(step) * 1_000 if step else 0,
    }


def _member(each: Mapping[str, object], called: Mapping[str, str]) -> Sequence[object]:
    metrics = each.get("metrics")
    return (
        called.get(str(each["id"]), ""),
        each["id"],
        each["kind"],
        moments.ago(int(_real(each["seen"]))),
        len(metrics) if isinstance(metrics, list) else 0,
        f"{_real(each['quality']):.2f}",
        f"[red]{each['marked']}[/]" if each["marked"] else "",
    )


def _show(
    screen: Screen,
    found: Sequence[Mapping[str, object]],
    called: Mapping[str, str],
    *,
    as_plot: bool,
) -> None:
    width = max(20, min(shutil.get_terminal_size((100, 24)).columns - 4, 160))
    lines = []
    for answer in found:
        device = str(answer["device"])
        for metric, points in _series(answer).items():
            name = called.get(device, device)
            values = [value for _, value in points]
            latest = values[-1]
            shown = "" if latest is None else f"{latest:,.6g}"
            if as_plot:
                _draw(screen, f"{name}  {metric}", points, width)
            else:
                lines.append((name, metric, len(points), spark(values, width=32), shown))
        if not answer.get("complete", True):
            screen.tell(f"[yellow]{device}: only the first rows; ask for less, or a --step[/]")
    if not as_plot:
        screen.table("readings", ("device", "metric", "rows", "course", "latest"), lines)


def _draw(
    screen: Screen, title: str, points: Sequence[tuple[int, float | None]], width: int
) -> None:
    known = [value for _, value in points if value is not None]
    if not known:
        return
    screen.say(f"[bold]{title}[/]  {min(known):,.6g} to {max(known):,.6g}, last {known[-1]:,.6g}")
    for line in plot([value for _, value in points], width=width, height=HEIGHT):
        screen.say(f"  {line}")
    first, last = (time.strftime("%m-%d %H:%M:%S", time.localtime(points[at][0] / 1_000))
                   for at in (0, -1))  # fmt: skip
    screen.say(f"  [dim]{first} … {last}[/]\n")


def _series(answer: Mapping[str, object]) -> dict[str, list[tuple[int, float | None]]]:
    """Points by metric, in order of time."""
    columns, found = rows_of_text(answer.get("columns")), answer.get("rows")
    if not columns or not isinstance(found, list):
        return {}
    metric, at = columns.index("metric"), columns.index("time")
    value = columns.index("value" if "value" in columns else "mean")
    series: dict[str, list[tuple[int, float | None]]] = {}
    for row in found:
        point = (int(_real(row[at])), None if row[value] is None else _real(row[value]))
        series.setdefault(str(row[metric]), []).append(point)
    return {name: sorted(points, key=lambda each: each[0]) for name, points in series.items()}


def _real(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
