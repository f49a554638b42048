"""The folders of this machine's devices, and how a user names a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.home import Home, find_home
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import NotFoundError, UsageError
from freehold.domain.ids import Address, address
from freehold.node.agent.settings import FILE, NAME, load

DeviceArgument = Annotated[
    str, typer.Argument(help="A device of this machine by its name, another by its address.")
]
PLACE = "place.json"
"""What the owner keeps of a device: which one, where it stands, and the salt of that."""
NameArgument = Annotated[str, typer.Argument(help="A name for the device on this machine.")]


def folder_of(home: Home, name: str) -> Path:
    """The folder of the device ``name``; UsageError where that cannot be one."""
    if NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name[:40]!r} cannot name a device", remedy="Use at most 32 of a-z, 0-9 and -."
        )
    return home.root / "devices" / name


def names(home: Home) -> dict[Address, str]:
    """What devices are called here, by their address: those of this machine, and those that were
    added by their codes."""
    root = home.root / "devices"
    folders = sorted(each for each in root.iterdir() if each.is_dir()) if root.is_dir() else []
    found = ((_device_in(folder), folder.name) for folder in folders)
    return {device: name for device, name in found if device is not None}


def device_of(root: Path | None, text: str) -> Address:
    """The device that a user names; UsageError for a broken address, NotFoundError for a name
    that no device here has."""
    if text[:2].lower() == "0x":
        return address(text)
    found = _device_in(folder_of(find_home(root), text))
    if found is None:
        raise NotFoundError(
            f"no device is called {text!r} here",
            remedy="`freehold device list` shows yours; others are named by their address.",
        )
    return found


def _device_in(folder: Path) -> Address | None:
    """The device of a folder: by its own settings, else as it was added here."""
    if (folder / FILE).is_file():
        return load(folder).address
    try:
        fields = parse_document((folder / PLACE).read_bytes())
    except (OSError, MalformedError):
        return None
    known = fields.get("device") if isinstance(fields, dict) else None
    return address(known) if isinstance(known, str) else None
