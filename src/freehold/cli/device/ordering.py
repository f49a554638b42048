"""What an owner tells a device: ``retire``, ``direct`` (how to report), ``order`` (a command)."""

from __future__ import annotations

from typing import Annotated

import typer

from freehold.cli.device.folder import DeviceArgument, device_of
from freehold.cli.home import open_home
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account
from freehold.cli.spans import parse_span
from freehold.domain.errors import UsageError

CommandArgument = Annotated[str, typer.Argument(help="What its board knows, such as 'relay.1 on'.")]
HoldOption = Annotated[
    str, typer.Option("--hold", help="How long until the device undoes it, such as 10m.")
]


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    for command in (retire, direct, order):
        app.command()(command)


def retire(
    device: DeviceArgument,
    *,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a device out of service: its readings count no more, and its rules are void."""
    screen, target = Screen(as_json), device_of(home, device)
    screen.confirm(f"Retire {target}? Its rules are void then.", yes=yes)
    with cancellable(), open_account(home, password_file) as ledger:
        receipt = ledger.devices.retire(target)
    screen.emit({"transaction": receipt.hash, "device": target, "retired": True})
    screen.say(f"[green]✓[/] {device} is retired")


def direct(
    device: DeviceArgument,
    *,
    interval: Annotated[
        int | None, typer.Option("--interval", help="Seconds between readings.")
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Readings in a batch.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Score, 0 to 1, from which a reading is sent at once."),
    ] = None,
    off: Annotated[list[str] | None, typer.Option("--off", help="A metric not to read.")] = None,
    on: Annotated[list[str] | None, typer.Option("--on", help="A metric to read again.")] = None,
    lasts: Annotated[str, typer.Option("--for", help="How long it holds, such as 30d.")] = "30d",
    service: Annotated[
        str, typer.Option("--service", help="Telemetry service; default: that of a device here.")
    ] = "",
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign how a device is to report, and leave it with the service for the device to fetch."""
    import time

    from freehold.cli.device.service import hand_in, service_of
    from freehold.cli.session import read_password
    from freehold.cli.wallets import WalletFolder
    from freehold.domain.directive import Directive, Orders

    screen, root = Screen(as_json), open_home(home)
    target, now = device_of(home, device), int(time.time())
    switches = dict.fromkeys(off or (), False) | dict.fromkeys(on or (), True)
    orders = Orders(interval, batch, switches, threshold)
    if orders == Orders():
        raise UsageError(
            "nothing is ordered", remedy="Give --interval, --batch, --threshold, --off or --on."
        )
    url, fingerprint = service_of(root, service)
    if not url:
        raise UsageError("no service is known", remedy="Name it with --service https://...")
    key = WalletFolder(root.wallet).key(read_password(root, password_file))
    directive = Directive(
        target, time.time_ns() // 1_000_000, orders.render(), now + seconds_of(lasts)
    )
    signed = directive.sign(root.network().domain("devices"), key.sign)
    with cancellable():
        hand_in(url, fingerprint, target, signed.render())
    screen.emit({"device": target, "sequence": directive.sequence, "expiry": directive.expiry})
    screen.say(f"[green]✓[/] {device} fetches it from {url} at its next look")


def order(
    device: DeviceArgument,
    command: CommandArgument,
    *,
    hold: HoldOption,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Command a device through the ledger; its signed receipt comes back there."""
    screen, target, seconds = Screen(as_json), device_of(home, device), seconds_of(hold)
    with cancellable(), open_account(home, password_file) as ledger:
        receipt = ledger.automation.order(target, command, hold=seconds)
    number = receipt.one("Commanded").number("id")
    screen.emit({"transaction": receipt.hash, "device": target, "command": number})
    screen.say(f"[green]✓[/] command {number} waits for {device}")


def seconds_of(text: str) -> int:
    """A span of time that a user wrote, such as 10m; UsageError."""
    seconds = parse_span(text)
    if not seconds:
        raise UsageError("a span of time is needed", remedy="Write it as 30s, 10m, 2h or 7d.")
    return seconds
