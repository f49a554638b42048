"""``device list`` and ``device show``: what the ledger and the service say of devices."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import moment
from freehold.cli.device.folder import DeviceArgument, device_of, names
from freehold.cli.handles import Handles
from freehold.cli.home import find_home, open_home
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_ledger
from freehold.domain.errors import FreeholdError, NotFoundError
from freehold.domain.ids import Address, address

if TYPE_CHECKING:
    from freehold.ledger.contracts.automation import Command
    from freehold.ledger.contracts.devices import Device
    from freehold.ledger.ledger import Ledger

ServiceOption = Annotated[
    str, typer.Option("--service", help="Telemetry service to ask; default: that of a device here.")
]
TokenOption = Annotated[
    Path | None, typer.Option("--token-file", help="The service's admin.token, to ask it.")
]

COMMANDS = 5
"""Commands of a device that are shown, the newest."""
OUTCOMES = ("none yet", "done", "refused", "failed", "none came")
"""What a device's receipt says, by the number of the outcome on the ledger."""


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    app.command("list")(list_)
    app.command()(show)


def list_(
    *,
    owner: Annotated[
        str | None, typer.Option("--owner", help="Another account; default: this wallet.")
    ] = None,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the devices of an account: on the ledger, and as the service last saw them."""
    screen, target = Screen(as_json), open_home(home)
    account = address(owner) if owner else _own_account(home)
    with cancellable(), open_ledger(home) as ledger:
        found = _devices_of(ledger, account)
    told = _told(screen, home, service, token_file)
    here = names(target)
    rows = [_json(device, entry, here, told) for device, entry in found.items()]
    screen.emit({"owner": account, "devices": rows})
    handles = Handles(here)
    columns = ("device", "state", "firmware", "last seen", "quality")
    screen.table(f"devices of {account}", columns, [_row(row, handles) for row in rows])
    if not rows:
        screen.tell("None yet: [bold]freehold device add NAME[/] makes one of this machine.")
    handles.tell(screen)


def show(
    device: DeviceArgument,
    *,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a device: its keys, its binding, rules and open commands, and how it does."""
    from freehold.domain.did import Did
    from freehold.domain.pairing import check

    screen, target = Screen(as_json), device_of(home, device)
    with cancellable(), open_ledger(home) as ledger:
        entry = ledger.devices.device(target)
        if entry.generation == 0:
            raise NotFoundError(
                f"device {target} is not enrolled", remedy="Enrol it with `freehold device add`."
            )
        did = Did.read(entry.key)
        rules, waiting = ledger.automation.rules_of(target), ledger.automation.open_of(target)
        commands = _commands(ledger, target)
        network_id = ledger.network.network_id
    try:
        check(did, entry.binding, network_id=network_id, device=target, owner=entry.owner)
        bound = True
    except FreeholdError:
        bound = False
    told = _told(screen, home, service, token_file)
    row = _json(target, entry, names(find_home(home)), told)
    row |= {"did": did.text, "bound": bound, "rules": rules, "open": waiting}
    row["commands"] = [_told_of(number, each) for number, each in commands]
    screen.emit(row)
    screen.facts(
        f"{device}  {target}",
        {
            "owner": entry.owner, "paid to": entry.payout, "state": row["state"],
            "generation": entry.generation, "enrolled": moment(entry.enrolled_at),
            "firmware": entry.firmware, "key": did.text,
            "binding": "by this key" if bound else "[red]wrong: this device counts for nobody[/]",
            "rules": _list(rules), "open commands": _list(waiting),
            "last seen": _seen(row["seen"]), "quality": _quality(row["quality"]),
        },
    )  # fmt: skip
    if commands:
        columns = ("command", "rule", "does", "given", "receipt", "answered")
        screen.table("last commands", columns, [_line(*each) for each in commands])


def _commands(ledger: Ledger, device: Address) -> list[tuple[int, Command]]:
    """The last commands that a device was given, by their numbers, newest first."""
    from freehold.ledger.paging import every

    ledger.index.sync()
    events = every(ledger.index, "automation", "Commanded", {"device": device})
    numbers = [event.number("id") for event in events][-COMMANDS:]
    return [(number, ledger.automation.command(number)) for number in reversed(numbers)]


def _told_of(number: int, given: Command) -> dict[str, object]:
    return {"id": number, **asdict(given), "detail": "0x" + given.detail.hex()}


def _line(number: int, given: Command) -> tuple[object, ...]:
    answered = moment(given.answered_at) if given.answered_at else "-"
    return (
        number, given.rule or "order", given.command, moment(given.issued_at),
        OUTCOMES[given.outcome], answered,
    )  # fmt: skip


def _devices_of(ledger: Ledger, account: Address) -> dict[Address, Device]:
    """The devices that an account ever enrolled, in order."""
    from freehold.ledger.paging import every

    ledger.index.sync()
    events = every(ledger.index, "devices", "Enrolled", {"owner": account})
    found = dict.fromkeys(event.address("device") for event in events)
    return {device: ledger.devices.device(device) for device in found}


def _own_account(home: Path | None) -> Address:
    from freehold.cli.wallets import WalletFolder

    return WalletFolder(open_home(home).wallet).address()


def _told(
    screen: Screen, home: Path | None, service: str, token_file: Path | None
) -> dict[str, dict[str, object]]:
    """What the service says, nothing where there is none or it does not answer."""
    from freehold.cli.device.service import seen, service_of

    target = find_home(home)
    url, fingerprint = service_of(target, service)
    if not url:
        return {}
    try:
        return seen(target, url, fingerprint, token_file)
    except FreeholdError as error:
        screen.tell(f"[yellow]what the service saw is not known: {error.message}[/]")
        return {}


def _json(
    device: Address,
    entry: Device,
    here: dict[Address, str],
    told: dict[str, dict[str, object]],
) -> dict[str, object]:
    known = told.get(device, {})
    fields = {name: value for name, value in asdict(entry).items() if name not in _BYTES}
    return {
        "device": device,
        "name": here.get(device, ""),
        "state": "retired" if entry.retired else "enrolled",
        **fields,
        "place": "0x" + entry.place.hex(),
        "seen": known.get("seen"),
        "quality": known.get("quality"),
    }


_BYTES = ("key", "binding", "place")
_MINUTE = len("2026-11-28 10:00")


def _row(row: dict[str, object], handles: Handles) -> tuple[object, ...]:
    return (
        handles.of_text(str(row["device"])), row["state"], row["firmware"],
        _seen(row["seen"])[:_MINUTE], _quality(row["quality"]),
    )  # fmt: skip


def _seen(milliseconds: object) -> str:
    known = isinstance(milliseconds, int) and milliseconds > 0
    return moment(int(str(milliseconds)) // 1_000) if known else "unknown"


def _quality(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "unknown"


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none"
