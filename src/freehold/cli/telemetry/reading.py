"""``telemetry status|query|export``: how the service does, and what was measured."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.handles import Handles
from freehold.cli.home import Home, open_home
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.telemetry import moments, reported, tables
from freehold.cli.telemetry.caller import (
    Caller,
    ServiceOption,
    TokenOption,
    calling,
    fields,
)
from freehold.cli.telemetry.plot import plot
from freehold.domain.errors import ConflictError, NotFoundError, UsageError

if TYPE_CHECKING:
    from freehold.domain.ids import Address

DeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="A device or node by name, address or id; default: all."),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", help="A metric, * for any text in it; may be repeated. Default: all."),
]
SinceOption = Annotated[str, typer.Option("--since", help="1h (ago), or 2026-11-28T10:00.")]
UntilOption = Annotated[str, typer.Option("--until", help="As --since; default: now.")]
StepOption = Annotated[str, typer.Option("--step", help="Means over spans of this, such as 1m.")]
ROWS, MEMBERS_MAX, HEIGHT = 100_000, 64, 8


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    for verb in (status, query, export):
        app.command()(verb)


def status(
    *,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the service: members, rates, lag, store, and how good everybody's readings are."""
    screen = Screen(as_json)
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        health = fields(caller.health())
        members = list(caller.pages())
    called = Handles.of(home)
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
    tables.members(screen, members, called)
    if not members:
        screen.tell("Nobody is a member yet: [bold]freehold device add NAME[/] makes a device.")
    called.tell(screen)


def query(
    *,
    device: DeviceOption = None,
    metric: MetricOption = None,
    since: SinceOption = "1h",
    until: UntilOption = "now",
    step: StepOption = "",
    unsound: Annotated[
        bool,
        typer.Option(
            "--unsound", help="Also what is marked as unsound, and estimates of what is missing."
        ),
    ] = False,
    as_plot: Annotated[bool, typer.Option("--plot", help="Draw each series.")] = False,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show readings: a line for each series, its course, and its latest value (SI units)."""
    screen, target, called = Screen(as_json), open_home(home), Handles.of(home)
    given = _range(since, until, step) | {"unsound": int(unsound), "limit": ROWS}
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        wanted = _wanted(caller, target, device, metric or ())
        found = [
            fields(caller.get("/readings", device=each, metrics=",".join(asked), **given))
            for each, asked in wanted.items()
        ]
    screen.emit([{**answer, "units": _units(answer)} for answer in found])
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
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write readings to a file, all that there are; for the service's administrator."""
    screen, target = Screen(as_json), open_home(home)
    kind = file.suffix.removeprefix(".").lower()
    if kind not in ("csv", "json", "parquet"):
        raise UsageError(f"{file} has no known ending", remedy="Use .csv, .json or .parquet.")
    if file.exists():
        raise ConflictError(f"{file} exists", remedy="Choose a new name.")
    given = _range(since, until, step) | {"format": kind}
    if device is not None:
        given["devices"] = resolve(target, device)
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        given["metrics"] = ",".join(_exported(caller, metric or ()))
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


def _wanted(
    caller: Caller, home: Home, device: str | None, metrics: Sequence[str]
) -> Mapping[str, Sequence[str]]:
    """Whom to ask for which metrics; NotFoundError where that is nobody, or nothing."""
    if device is not None:
        target = resolve(home, device)
        return {target: _metrics(caller, home, target, metrics)}
    heard = [each for each in caller.pages() if each.get("seen")]
    if not heard:
        raise NotFoundError(
            "no device or node of yours has reported yet",
            remedy="Look again in a few seconds, or add a device: `freehold device add NAME`. "
            "For readings that you bought, name whose: --device ADDRESS --metric NAME.",
        )
    having = {str(each["id"]): reported.metrics_of(each) for each in heard}
    if any(map(reported.is_pattern, metrics)):
        reported.expand(metrics, frozenset[str]().union(*having.values()))
        having = {who: own for who, own in having.items() if reported.any_of(metrics, own)}
        asked = {who: reported.expand(metrics, own) for who, own in having.items()}
    else:
        asked = {who: list(metrics) for who in having}
    return {who: asked[who] for who in list(asked)[:MEMBERS_MAX]}


def _metrics(caller: Caller, home: Home, target: str, asked: Sequence[str]) -> Sequence[str]:
    """The metrics of one member that patterns name."""
    if not any(map(reported.is_pattern, asked)):
        return asked
    for each in caller.pages():
        if each["id"] == target:
            return reported.expand(asked, reported.metrics_of(each))
    from freehold.cli.session import open_ledger

    with open_ledger(home.root) as ledger:
        settled = reported.settled(ledger) or {}
    for member, metrics in settled.items():
        if member == target:
            return reported.expand(asked, metrics)
    raise NotFoundError(
        f"which metrics {target} reports is not known here",
        remedy="Name each metric in full, without *.",
    )


def _exported(caller: Caller, asked: Sequence[str]) -> Sequence[str]:
    if not any(map(reported.is_pattern, asked)):
        return asked
    return reported.expand(
        asked, frozenset[str]().union(*(reported.metrics_of(each) for each in caller.pages()))
    )


def resolve(home: Home, text: str) -> str:
    """The id of a node or device by its name here, its address or its id; NotFoundError lists the
    names."""
    if text.startswith("source:"):
        return text
    called = names(home)
    for member, name in called.items():
        if text == name:
            return member
    if text[:2].lower() != "0x":
        raise NotFoundError(
            f"nobody here is called {text[:48]!r}",
            remedy=f"Names here: {reported.listed(called.values())}. Others are named by their "
            "address, 0x and 40 digits, or as source:NAME.",
        )
    from freehold.domain.ids import address

    found: Address = address(text)
    return found


def _range(since: str, until: str, step: str) -> dict[str, object]:
    return {
        "since": moments.moment(since),
        "until": moments.moment(until) + 1,
        "step": moments.span(step) * 1_000 if step else 0,
    }


def _units(answer: Mapping[str, object]) -> dict[str, str]:
    return {metric: tables.symbol(metric) for metric in _series(answer)}


def _show(
    screen: Screen, found: Sequence[Mapping[str, object]], called: Handles, *, as_plot: bool
) -> None:
    series = [(str(answer["device"]), _series(answer)) for answer in found]
    for answer in found:
        if not answer.get("complete", True):
            who = called.of_text(str(answer["device"]))
            screen.tell(f"[yellow]{who}: only the first rows; ask for less, or a --step[/]")
    if not any(points for _, points in series):
        screen.tell(
            "Nothing was measured in this span: ask for a longer one with --since, or see with "
            "[bold]freehold telemetry status[/] who reports."
        )
    elif as_plot:
        _plot(screen, series, called)
    else:
        tables.readings(screen, series, called)
    called.tell(screen)


def _plot(
    screen: Screen, found: Sequence[tuple[str, Mapping[str, tables.Points]]], called: Handles
) -> None:
    width = max(20, min(shutil.get_terminal_size((100, 24)).columns - 4, 160))
    for device, series in found:
        for metric, points in series.items():
            title = f"{called.of_text(device)}  {metric} {tables.symbol(metric)}".rstrip()
            _draw(screen, title, points, width)


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
