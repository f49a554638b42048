"""The folders of this machine's devices, and how a user names a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.home import Home, find_home
from freehold.domain.errors import NotFoundError, UsageError
from freehold.domain.ids import Address, address
from freehold.node.agent.settings import FILE, NAME, load

DeviceArgument = Annotated[
    str, typer.Argument(help="A device of this machine by its name, another by its address.")
]
NameArgument = Annotated[str, typer.Argument(help="A name for the device on this machine.")]


def folder_of(home: Home, name: str) -> Path:
    """The folder of the device ``name``; UsageError where that cannot be one."""
    if NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name[:40]!r} cannot name a device", remedy="Use at most 32 of a-z, 0-9 and -."
        )
    return home.root / "devices" / name


def names(home: Home) -> dict[Address, str]:
    """The devices of this machine, by their address."""
    root = home.root / "devices"
    found = sorted(each.parent for each in root.glob(f"*/{FILE}")) if root.is_dir() else []
    return {load(folder).address: folder.name for folder in found}


def device_of(root: Path | None, text: str) -> Address:
    """The device that a user names; UsageError for a broken address, NotFoundError for a name
    that no device here has."""
    if text[:2].lower() == "0x":
        return address(text)
    folder = folder_of(find_home(root), text)
    if not (folder / FILE).is_file():
        raise NotFoundError(
            f"no device of this machine is called {text!r}",
            remedy="`freehold device list` shows yours; others are named by their address.",
        )
    return load(folder).address
