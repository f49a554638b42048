"""What a device knows of its network, its owner and its service: ``device.json`` in its folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import NotFoundError, UsageError, VersionError
from freehold.domain.files import write_whole
from freehold.domain.ids import Address, address

VERSION = 1
FILE = "device.json"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
SCHEMES = ("http", "https", "mqtt", "mqtts")
INTERVAL_MAX, BATCH_MAX = 86_400, 4_096
SENSORS_MAX, URLS_MAX = 32, 8
BUFFER_MIN, BUFFER = 2**20, 64 * 2**20
"""Bytes of batches that wait while nobody takes them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A device's settings; ``interval`` in seconds, ``batch`` in readings, ``buffer`` in bytes.

    Readings go to the first of ``services``; the first one over HTTP gives directives and takes
    receipts. ``fingerprint`` is the SHA-256 of their certificate in hex, empty where a public
    authority vouches for it. ``board`` is the folder of relays, empty where there is none.
    """

    name: str
    network_id: str
    chain_id: int
    devices: str
    automation: str
    rpc_urls: tuple[str, ...]
    device: str
    did: str
    owner: str
    services: tuple[str, ...] = ()
    fingerprint: str = ""
    sensors: tuple[str, ...] = ("host",)
    interval: int = 10
    batch: int = 128
    threshold: float = 0.5
    buffer: int = BUFFER
    board: str = ""

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise UsageError(
                f"the settings of device {self.name!r} are wrong: {problem}",
                remedy=f"Correct its {FILE}, or pair the device again.",
            )

    @property
    def network(self) -> bytes:
        """The 32-byte network id."""
        return bytes.fromhex(self.network_id.removeprefix("0x"))

    @property
    def address(self) -> Address:
        """The device's id."""
        return address(self.device)

    @property
    def owner_address(self) -> Address:
        """The account that owns the device."""
        return address(self.owner)

    @property
    def api(self) -> str:
        """The service over HTTP, empty where there is none."""
        return next((url for url in self.services if url.startswith("http")), "")

    def write(self, folder: Path) -> None:
        """Keep the settings in ``folder``, readable by the owner only."""
        fields = {"freehold_device": VERSION, **asdict(self)}
        write_whole(folder / FILE, (json.dumps(fields, indent=2) + "\n").encode())


def load(folder: Path) -> Settings:
    """The settings in ``folder``; NotFoundError, UsageError, or VersionError of a newer file."""
    file = folder / FILE
    if not file.is_file():
        raise NotFoundError(
            f"there is no device in {folder}",
            remedy="Make one with `freehold device add` or `freehold device pair`.",
        )
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(f"{file} cannot be read: {error}") from error


def parse(text: str) -> Settings:
    """The settings that a ``device.json`` holds."""
    try:
        fields = parse_document(text)
    except MalformedError as error:
        raise _unreadable(f"{FILE} is malformed: {error}") from error
    if not isinstance(fields, dict) or fields.pop("freehold_device", None) != VERSION:
        raise VersionError(
            f"{FILE} is not of version {VERSION}", remedy="Install a newer release of freehold."
        )
    return _build(fields)


def _build(fields: Mapping[str, object]) -> Settings:
    def text(name: str, default: str | None = None) -> str:
        value = fields[name] if default is None else fields.get(name, default)
        if not isinstance(value, str):
            raise TypeError(f"{name} must be text")
        return value

    def number(name: str, default: float) -> float:
        value = fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number")
        return value

    def texts(name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = fields.get(name, default)
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise TypeError(f"{name} must be a list of texts")
        return tuple(value)

    try:
        return Settings(
            name=text("name"),
            network_id=text("network_id"),
            chain_id=int(number("chain_id", 0)),
            devices=text("devices"),
            automation=text("automation", ""),
            rpc_urls=texts("rpc_urls"),
            device=text("device"),
            did=text("did"),
            owner=text("owner"),
            services=texts("services"),
            fingerprint=text("fingerprint", ""),
            sensors=texts("sensors"),
            interval=int(number("interval", 10)),
            batch=int(number("batch", 128)),
            threshold=float(number("threshold", 0.5)),
            buffer=int(number("buffer", BUFFER)),
            board=text("board", ""),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _unreadable(f"{FILE} lacks or misstates {error}") from error


def _problems(given: Settings) -> list[str]:
    """Why the settings cannot be used; empty when they can."""
    checks = {
        "its name is not of a-z, 0-9 and -": NAME.fullmatch(given.name) is None,
        "the network id is not 32 bytes in hex": not _hex(given.network_id, 32),
        f"more than {URLS_MAX} URLs": max(len(given.rpc_urls), len(given.services)) > URLS_MAX,
        "a service is not an http(s) or mqtt(s) URL": not all(map(_service, given.services)),
        "the fingerprint is not a SHA-256 in hex": bool(given.fingerprint)
        and not _hex(given.fingerprint, 32),
        f"more than {SENSORS_MAX} sensors": len(given.sensors) > SENSORS_MAX,
        f"the interval is not 1 to {INTERVAL_MAX} seconds": not 1 <= given.interval <= INTERVAL_MAX,
        f"the batch is not 1 to {BATCH_MAX:,} readings": not 1 <= given.batch <= BATCH_MAX,
        "the edge's threshold is not from 0 to 1": not 0 <= given.threshold <= 1,
        f"the buffer is under {BUFFER_MIN:,} bytes": given.buffer < BUFFER_MIN,
    }
    for text in (given.device, given.owner, given.devices, given.automation or given.devices):
        address(text)
    return [problem for problem, found in checks.items() if found]


def _hex(text: str, size: int) -> bool:
    return re.fullmatch(rf"(0x)?[0-9a-fA-F]{{{2 * size}}}", text) is not None


def _service(text: str) -> bool:
    try:
        parts = urlsplit(text)
        named = parts.username is not None and parts.scheme.startswith("http")
        return parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0 and not named
    except ValueError:
        return False


def _unreadable(reason: str) -> UsageError:
    return UsageError(reason, remedy="Correct the file, or pair the device again.")
