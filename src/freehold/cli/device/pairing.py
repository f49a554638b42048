"""``device add`` and ``device pair``: a device and its owner find each other."""

from __future__ import annotations

import io
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.device.folder import NameArgument, folder_of
from freehold.cli.device.service import UNHEARD, with_service
from freehold.cli.home import find_home, open_home, read_text
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, sender
from freehold.domain.files import PUBLIC, write_whole

QUIET = 1
"""Modules of margin around a QR code: scanners do with it, and the code fits 80 columns."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
SensorsOption = Annotated[
    str | None,
    typer.Option(
        "--sensors", help="host, disk, gpu, file:PATH, exec:COMMAND, with commas between."
    ),
]
ServiceOption = Annotated[
    str, typer.Option("--service", help="Where readings go: http(s):// or mqtt(s)://, commas.")
]
FingerprintOption = Annotated[
    str, typer.Option("--fingerprint", help="SHA-256 of the service's own certificate.")
]
IntervalOption = Annotated[
    int | None, typer.Option("--interval", help="Seconds between readings.", min=1)
]
BoardOption = Annotated[
    Path | None, typer.Option("--board", help="Folder of relays that commands may switch.")
]
CellOption = Annotated[
    str, typer.Option("--cell", help="Where it stands, coarsely; only a salted hash is told.")
]


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    app.command()(add)
    app.command()(pair)


def add(
    name: NameArgument,
    code: Annotated[
        str | None, typer.Argument(help="Pairing code of a device; none: this machine.")
    ] = None,
    *,
    sensors: SensorsOption = None,
    cell: CellOption = "unknown",
    service: ServiceOption = "",
    fingerprint: FingerprintOption = "",
    interval: IntervalOption = None,
    board: BoardOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol a device under this wallet: this machine, or the one that shows a pairing code.

    Options of a device of this machine that is enrolled already change its settings.
    """
    from freehold.cli.device import enrolling
    from freehold.domain.pairing import PairingCode

    screen, target = Screen(as_json), open_home(home)
    folder = folder_of(target, name)
    given = None if code is None else PairingCode.decode(code)
    with cancellable(), open_account(home, password_file) as ledger:
        owner = sender(ledger)
        if given is None:
            wishes = enrolling.Wishes(sensors, service, fingerprint, interval, board)
            settings, keys = enrolling.prepare(folder, target.network(), owner, wishes)
            settings = with_service(home, folder, settings)
            entry = ledger.devices.device(keys.agent.address)
            if entry.generation and not entry.retired and wishes != enrolling.Wishes():
                screen.emit({"device": settings.device, "folder": str(folder)})
                screen.say(f"[green]✓[/] settings of {name} are changed, for its next run")
                return
            given = enrolling.pairing_code(
                target.network(), keys, owner=owner, generation=entry.generation + 1,
                now=ledger.now(),
            )  # fmt: skip
        receipt = enrolling.enrol(ledger, given, owner=owner, cell=cell, folder=folder)
    screen.emit(
        {"transaction": receipt.hash, "device": given.device, "did": given.did.text,
         "generation": given.generation, "folder": str(folder)}
    )  # fmt: skip
    screen.say(f"[green]✓[/] {name} is enrolled: {given.device}")
    if code is None:
        screen.say(f"Its readings go to {', '.join(settings.services) or 'nobody yet'}")
        screen.say(f"Start it with [bold]freehold device run {name}[/]")


def pair(
    name: NameArgument,
    *,
    owner: Annotated[str, typer.Option("--owner", help="Account that is to own this device.")],
    network: Annotated[Path, typer.Option("--network", help="network.json of the network.")],
    generation: Annotated[
        int, typer.Option("--generation", help="Above 1 after the device was retired.", min=1)
    ] = 1,
    png: Annotated[Path | None, typer.Option("--png", help="Write the QR code here too.")] = None,
    sensors: SensorsOption = None,
    service: ServiceOption = "",
    fingerprint: FingerprintOption = "",
    interval: IntervalOption = None,
    board: BoardOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make this machine a device of somebody else's wallet, and show the code to add it by."""
    from freehold.cli.device import enrolling
    from freehold.domain.ids import address
    from freehold.domain.network import Network

    screen, target = Screen(as_json), find_home(home)
    found, account = Network.parse(read_text(network)), address(owner)
    target.claim()
    if not target.descriptor.exists():
        write_whole(target.descriptor, found.render().encode(), mode=PUBLIC)
    folder = folder_of(target, name)
    wishes = enrolling.Wishes(sensors, service, fingerprint, interval, board)
    settings, keys = enrolling.prepare(folder, found, account, wishes)
    settings = with_service(home, folder, settings)
    code = enrolling.pairing_code(
        found, keys, owner=account, generation=generation, now=int(time.time())
    )
    text = code.encode()
    if png is not None:
        _write_png(text, png)
    screen.emit({"device": code.device, "did": code.did.text, "code": text, "folder": str(folder)})
    if as_json:
        return
    _show(text, screen)
    screen.say(f"Device {code.device}; its owner adds it within a week with:")
    sys.stdout.write(f"freehold device add {name} '{text}'\n")
    screen.say(f"Then start it here with [bold]freehold device run {name}[/]")
    if not settings.services:
        screen.tell(f"[yellow]{UNHEARD}[/]")


def _show(text: str, screen: Screen) -> None:
    drawn = _drawn(text)
    width, room = max(map(len, _plain(drawn))), shutil.get_terminal_size().columns
    if width <= room:
        sys.stdout.write(drawn)
        return
    screen.tell(
        f"[yellow]The QR code is {width} columns wide and this terminal has {room}: widen it and "
        "show the code again, or have it written as a picture with --png FILE.[/]"
    )


def _plain(drawn: str) -> list[str]:
    """Its lines without what colours them."""
    return _COLOURS.sub("", drawn).splitlines()


def _drawn(text: str) -> str:
    """A QR code in half blocks."""
    import segno

    canvas = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(canvas, compact=True, border=QUIET)
    return canvas.getvalue()


def _write_png(text: str, file: Path) -> None:
    import segno

    from freehold.domain.errors import UsageError

    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(picture, kind="png", scale=6)
    try:
        write_whole(file, picture.getvalue(), mode=PUBLIC)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}", remedy="Name another file."
        ) from error
