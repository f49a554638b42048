"""The folders of this machine's models, and how a user names the node that serves one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from freehold.cli.home import Home, find_home
from freehold.cli.processes import start_mark
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import ConflictError, FreeholdError, NotFoundError, UsageError
from freehold.domain.files import write_whole
from freehold.domain.ids import Address, address
from freehold.node.workloads.models.settings import FILE

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY, READY, RUNS = "key.json", "ready.json", "process.json"
ROOMS = {"models": "", "validators": "validator-"}
"""Folders of a home whose own folders hold the key of a node each, besides those of storage, and
what goes before their names."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process that serves a model, and the state file that it wrote once it did."""

    pid: int
    started: str
    url: str


def folder_of(home: Home, name: str) -> Path:
    """The folder of the model ``name``; UsageError where that cannot be one."""
    if NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name[:40]!r} cannot name a model",
            remedy="Use 1 to 64 letters, digits, dots, dashes and underscores: --name NAME.",
        )
    return home.root / "models" / name


def folders(home: Home) -> list[Path]:
    """The folders of this machine's models, by their names."""
    room = home.root / "models"
    found = room.iterdir() if room.is_dir() else ()
    return sorted(each for each in found if (each / FILE).is_file())


def names(home: Home) -> dict[Address, str]:
    """What nodes that serve models or validate are called here."""
    from freehold.cli.wallets import keystore_address

    keys = [
        (prefix, key)
        for room, prefix in ROOMS.items()
        for key in sorted((home.root / room).glob(f"*/{KEY}"))
    ]
    return {keystore_address(key): prefix + key.parent.name for prefix, key in keys}


def member_of(root: Path | None, text: str) -> Address:
    """The node that a user names: an address, the name of a model, or of another node here."""
    from freehold.cli.handles import node_of

    if text[:2].lower() == "0x":
        return address(text)
    here = {name: node for node, name in names(find_home(root)).items()}
    if text in here:
        return here[text]
    try:
        return node_of(root, text)
    except NotFoundError as error:
        known = f" Its models: {', '.join(here)}." if here else ""
        raise NotFoundError(error.message, remedy=error.remedy + known) from error


def note_process(folder: Path, pid: int) -> None:
    """Write down which process serves the model of a folder."""
    fields = {"pid": pid, "started": start_mark(pid) or ""}
    write_whole(folder / RUNS, json.dumps(fields).encode())


def running(folder: Path) -> Running | None:
    """The process that serves the model of a folder, None where none does."""
    found, ready = _read(folder / RUNS), _read(folder / READY)
    pid, started = found.get("pid"), found.get("started")
    if not isinstance(pid, int) or not isinstance(started, str) or start_mark(pid) != started:
        return None
    url = ready.get("url") if ready.get("pid") == pid else ""
    return Running(pid, started, url if isinstance(url, str) else "")


def running_in(home: Home, room: str) -> dict[str, Running]:
    """What runs of a room of ``ROOMS``, by the names of the folders."""
    here = home.root / room
    found = {each.name: running(each) for each in sorted(here.iterdir())} if here.is_dir() else {}
    return {name: runs for name, runs in found.items() if runs is not None}


def check_port(port: int) -> None:
    """ConflictError, before anything is paid, where something listens on a port already."""
    from freehold.ledger.devnet.ports import free_port

    if port and free_port(port) != port:
        raise ConflictError(
            f"port {port} is in use",
            remedy="Stop what listens there, or choose another with --port.",
        )


def ready(folder: Path, pid: int) -> dict[str, str] | None:
    """What the server of a process said once it served, None before."""
    found = _read(folder / READY)
    if found.get("pid") != pid:
        return None
    return {name: str(value) for name, value in found.items()}


def _read(path: Path) -> dict[str, object]:
    try:
        found = parse_document(path.read_bytes())
    except (OSError, MalformedError, FreeholdError):
        return {}
    return found if isinstance(found, dict) else {}
