"""Alerts: what the telemetry service found odd, who looks after it, who is told."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlsplit

import typer

from freehold.cli.handles import Handles
from freehold.cli.home import open_home
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.telemetry import moments, tables
from freehold.cli.telemetry.caller import (
    Caller,
    ServiceOption,
    TokenOption,
    calling,
    fields,
    rows,
)
from freehold.cli.telemetry.reading import names, resolve
from freehold.cli.telemetry.targets import check_public
from freehold.domain.errors import AccessError, UsageError

app = typer.Typer(name="alert", help="What is odd, and who is told of it.", no_args_is_help=True)
hook = typer.Typer(name="hook", help="URLs that are told of alerts.", no_args_is_help=True)
app.add_typer(hook)
DeviceOption = Annotated[
    str, typer.Option("--device", help="Of one device or node only, by name, address or id.")
]
POLL_SECONDS, PAGE = 1.0, 200
SILENCE_MAX = 7 * 86_400
"""Seconds."""
_COLOURS = {"critical": "red", "warning": "yellow", "info": "dim"}


@app.command("list")
def list_(
    *,
    state: Annotated[
        str, typer.Option("--state", help="open, acknowledged or resolved; default: not resolved.")
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    device: DeviceOption = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1_000, help="How many at most.")
    ] = 100,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List alerts, newest first."""
    screen, target = Screen(as_json), open_home(home)
    subject = resolve(target, device) if device else ""
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        if state or every:
            found = _page(caller, state=state, device=subject, limit=limit)
        else:
            found = [
                alert
                for each in ("open", "acknowledged")
                for alert in _page(caller, state=each, device=subject, limit=limit)
            ]
    found = sorted(found, key=_number, reverse=True)[:limit]
    called = Handles.of(home)
    screen.emit(found)
    tables.alerts(screen, found, called)
    if not found:
        resolved = "" if state or every else " Those that ended: [bold]--all[/]."
        screen.tell(f"No alert is like that.{resolved}")
    called.tell(screen)


@app.command()
def watch(
    *,
    device: DeviceOption = "",
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show alerts as they come, until Ctrl-C; with --json a line each."""
    screen, target = Screen(as_json), open_home(home)
    subject, called = (resolve(target, device) if device else ""), names(target)
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        known = {_number(each): _news(each) for each in _page(caller, device=subject, limit=PAGE)}
        screen.say(f"[dim]watching; {len(known)} so far (Ctrl-C ends)[/]")
        while True:
            for alert in reversed(_page(caller, device=subject, limit=PAGE)):
                if known.get(_number(alert)) != _news(alert):
                    known[_number(alert)] = _news(alert)
                    screen.emit(alert)
                    screen.say(_line(alert, called))
            time.sleep(POLL_SECONDS)


@app.command()
def ack(
    alert: Annotated[int, typer.Argument(help="Number of the alert.", min=1)],
    *,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that you look after an alert."""
    screen = Screen(as_json)
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        caller.post(f"/alerts/{alert}/ack", {})
    screen.emit({"acknowledged": alert})
    screen.say(f"[green]✓[/] alert {alert} is yours")


@app.command()
def silence(
    subject: Annotated[
        str,
        typer.Argument(help="A device or node by name, address or id; * for all."),
    ],
    *,
    span: Annotated[str, typer.Option("--for", help="How long, such as 2h; 7d at most.")],
    kind: Annotated[
        str, typer.Option("--kind", help="Of this kind only: silent, anomaly, …")
    ] = "*",
    metric: Annotated[str, typer.Option("--metric", help="Of these metrics only (* and ?).")] = "*",
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "by `freehold alert silence`",
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell nobody of what matches, for a while; it is recorded all the same."""
    screen, target = Screen(as_json), open_home(home)
    body = {
        "subject": "" if subject == "*" else resolve(target, subject),
        "kind": kind, "metric": metric, "seconds": _hushed(span), "reason": reason,
    }  # fmt: skip
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        made = fields(caller.post("/silences", body))
    screen.emit(made)
    screen.say(f"[green]✓[/] silence {made['id']}: {subject} for {span}")


@hook.command("add")
def add(
    url: Annotated[str, typer.Argument(help="http(s) URL that is told, by POST.")],
    *,
    name: Annotated[str, typer.Option("--name", help="Name; default: the URL's host.")] = "",
    minimum: Annotated[
        str, typer.Option("--minimum", help="Least severity: info, warning or critical.")
    ] = "warning",
    private: Annotated[
        bool, typer.Option("--private", help="Allow an address of this machine or its networks.")
    ] = False,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a URL of alerts, signed; the secret is shown this once."""
    screen = Screen(as_json)
    if not private:
        check_public(_host(url))
    body = {"name": name or _host(url), "url": url, "minimum": minimum, "private": private}
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        made = fields(caller.post("/hooks", body))
    screen.emit(made)
    screen.say(f"[green]✓[/] {made['name']} is told of alerts")
    screen.say(f"secret (shown this once): [bold]{made['secret']}[/]")


@hook.command("list")
def hooks(
    *,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who is told of alerts."""
    screen = Screen(as_json)
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        found = rows(caller.get("/hooks"))
    screen.emit(found)
    columns = ("name", "url", "minimum")
    screen.table("hooks", columns, [[each[name] for name in columns] for each in found])


@hook.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of the hook.")],
    *,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a URL no more."""
    screen = Screen(as_json)
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        caller.delete(f"/hooks/{name}")
    screen.emit({"removed": name})
    screen.say(f"[green]✓[/] {name} is told no more")


def _page(
    caller: Caller, *, state: str = "", device: str = "", limit: int
) -> list[Mapping[str, object]]:
    try:
        return rows(caller.get("/alerts", state=state, device=device, limit=limit))
    except AccessError as error:
        if device:
            raise
        raise AccessError(
            error.message, remedy="Name a device of yours: --device NAME, or its address."
        ) from error


def _hushed(span: str) -> int:
    seconds = moments.span(span)
    if not 0 < seconds <= SILENCE_MAX:
        raise UsageError(f"a silence cannot last {span[:20]}", remedy="Give 1s to 7d: 7d at most.")
    return seconds


def _number(alert: Mapping[str, object]) -> int:
    found = alert["id"]
    return found if isinstance(found, int) else 0


def _news(alert: Mapping[str, object]) -> tuple[object, ...]:
    """What is worth a line when it changes."""
    return alert["state"], alert["severity"], alert["times"]


def _row(alert: Mapping[str, object], called: Mapping[str, str]) -> Sequence[object]:
    since = alert["since"]
    return (
        alert["id"],
        _coloured(str(alert["severity"])),
        f"{alert['kind']} {alert['metric']}".strip(),
        called.get(str(alert["subject"]), alert["subject"]),
        alert["state"],
        moments.ago(since if isinstance(since, int) else 0),
        alert["times"],
        alert["reason"],
    )


def _line(alert: Mapping[str, object], called: Mapping[str, str]) -> str:
    number, severity, what, who, state, _, _, why = _row(alert, called)
    return f"{time.strftime('%H:%M:%S')} {severity} #{number} {who}: {what} ({state}): {why}"


def _coloured(severity: str) -> str:
    colour = _COLOURS.get(severity)
    return f"[{colour}]{severity}[/]" if colour else severity


def _host(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host:
        raise UsageError(f"{url[:80]!r} is no URL", remedy="Write http(s)://host/path.")
    return host
