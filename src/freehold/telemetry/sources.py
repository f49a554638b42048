"""Senders that cannot sign: a token for each, and a key under which the service vouches for them.

Whoever shows the token of a source is that source; of the token only its SHA-256 is kept. Readings
are sealed as batches of the source's own Ed25519 key, so that they go the way of all others. Each
opening is a new boot of every source, written before it is used and no less than the time: no
number is given twice, also where the folder came back from a backup.

One file for each source, mode 0600: name, owner, hash of the token, key and boot.

Threats: a stolen token speaks for its source until ``remove``; a flood of names under it ends at
``METRICS_KEPT``. Not met here: that a source tells the truth. Nobody signed, so nobody is paid.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from freehold.domain.did import Did
from freehold.domain.document import MalformedError as NoDocumentError
from freehold.domain.document import parse_document
from freehold.domain.errors import (
    AccessError,
    CapacityError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from freehold.domain.files import sync_folder, write_whole
from freehold.telemetry.foreign import Harvest, parcels
from freehold.telemetry.reading import COUNT_MAX, Batch, Reading, pack, seal

SOURCES_MAX = 256
METRICS_KEPT = 4_096
"""Metrics of one source between two starts; samples of more are left out."""
AHEAD = 60_000
"""Milliseconds that a sample may be ahead of this machine's clock."""
TOKEN = 32
FILE_MAX = 4_096
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_FIELDS = {"version", "name", "owner", "token", "key", "boot"}
_VERSION = 1


class BadTokenError(AccessError):
    """A token that no source has."""


@dataclass(frozen=True, slots=True)
class Source:
    """Somebody who pushes readings; ``token`` is the SHA-256 of the real one."""

    name: str
    owner: str
    token: bytes = field(repr=False)
    key: bytes = field(repr=False)
    boot: int = 0

    @property
    def id(self) -> str:
        """What its readings are kept under; no address of a device looks like it."""
        return f"source:{self.name}"

    @property
    def did(self) -> Did:
        """The name of the key that seals its batches."""
        return Did.of(Ed25519PrivateKey.from_private_bytes(self.key).public_key())


@dataclass(frozen=True, slots=True)
class Sealed:
    """Batches to hand in, and how many samples were left out."""

    batches: tuple[bytes, ...]
    readings: int
    skipped: int


@dataclass(slots=True)
class _Running:
    source: Source
    did: Did
    key: Ed25519PrivateKey
    sequence: int = 0
    metrics: set[str] = field(default_factory=set)


class Sources:
    """The sources of one service, in ``folder``; may be used from any thread."""

    def __init__(
        self, folder: Path, *, network_id: bytes, random: Callable[[int], bytes], now: int
    ) -> None:
        """Open them all for a new boot at ``now`` (milliseconds). UnavailableError, or
        IntegrityError for a bad file."""
        self._folder, self._network_id, self._random = folder, network_id, random
        self._now = now
        self._lock = threading.Lock()
        self._by_name: dict[str, _Running] = {}
        self._by_token: dict[bytes, str] = {}
        self._by_did: dict[Did, str] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files = sorted(folder.glob("*.json"))
        except OSError as error:
            raise _disk(folder, error) from error
        for file in files:
            self._start(_load(file))

    def _start(self, known: Source) -> Source:
        if known.boot >= COUNT_MAX:
            raise _damaged(self._file(known.name), "its boot")
        source = replace(known, boot=max(known.boot + 1, self._now))
        self._save(source)
        key = Ed25519PrivateKey.from_private_bytes(source.key)
        self._by_name[source.name] = _Running(source, source.did, key)
        self._by_token[source.token] = source.name
        self._by_did[source.did] = source.name
        return source

    def add(self, name: str, *, owner: str) -> tuple[Source, str]:
        """Make a source; returns it and its token, which nobody can be told again.

        UsageError for a bad name, ConflictError for one that is taken, CapacityError.
        """
        if _NAME.fullmatch(name) is None:
            raise UsageError(
                f"{name[:40]!r} is no name of a source",
                remedy="Use up to 32 of a-z, 0-9 and -, beginning with a letter or digit.",
            )
        token = self._random(TOKEN)
        with self._lock:
            if name in self._by_name:
                raise ConflictError(
                    f"there is a source {name} already",
                    remedy="Remove it first, or choose another name.",
                )
            if len(self._by_name) >= SOURCES_MAX:
                raise CapacityError(
                    f"there are {SOURCES_MAX} sources already", remedy="Remove one first."
                )
            text = token.hex()
            return self._start(Source(name, owner, _hash(text), self._random(32))), text

    def remove(self, name: str) -> None:
        """Forget a source and its key; NotFoundError."""
        with self._lock:
            running = self._by_name.get(name)
            if running is None:
                raise NotFoundError(f"there is no source {name!r}", remedy="List the sources.")
            try:
                self._file(name).unlink(missing_ok=True)
                sync_folder(self._folder)
            except OSError as error:
                raise _disk(self._folder, error) from error
            del self._by_name[name]
            del self._by_token[running.source.token]
            del self._by_did[running.did]

    def all(self) -> list[Source]:
        """The sources by name."""
        with self._lock:
            return [self._by_name[name].source for name in sorted(self._by_name)]

    def find(self, did: Did) -> Source | None:
        """The source that seals under this key."""
        with self._lock:
            name = self._by_did.get(did)
            return None if name is None else self._by_name[name].source

    def admit(self, token: str) -> Source:
        """The source with this token; BadTokenError.

        The look-up is by the hash: how long it takes tells nothing of the token.
        """
        with self._lock:
            name = self._by_token.get(_hash(token))
            if name is None:
                raise BadTokenError(
                    "no source has this token",
                    remedy="Give the token that `freehold telemetry source add` showed.",
                )
            return self._by_name[name].source

    def seal(self, name: str, harvest: Harvest, *, now: int) -> Sealed:
        """Batches of what a source sent; ``now`` in milliseconds. NotFoundError.

        Samples too far ahead of ``now``, or of too many metrics, are left out.
        """
        with self._lock:
            running = self._by_name.get(name)
            if running is None:
                raise NotFoundError(f"there is no source {name!r}", remedy="List the sources.")
            kept = list(_kept(running.metrics, harvest, now + AHEAD))
            batches = tuple(self._batch(running, parcel, now) for parcel in parcels(kept))
        skipped = harvest.skipped + len(harvest.readings) - len(kept)
        return Sealed(batches, len(kept), skipped)

    def _batch(self, running: _Running, parcel: list[Reading], now: int) -> bytes:
        running.sequence += 1
        time = max(now, parcel[-1].time)
        batch = Batch(
            self._network_id, running.did, running.source.boot, running.sequence, time,
            pack(parcel),
        )  # fmt: skip
        return seal(batch, running.key.sign)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _save(self, source: Source) -> None:
        try:
            write_whole(self._file(source.name), _render(source))
        except OSError as error:
            raise _disk(self._folder, error) from error


def _kept(metrics: set[str], harvest: Harvest, latest: int) -> Iterator[Reading]:
    for reading in harvest.readings:
        if reading.time > latest:
            continue
        if reading.metric not in metrics:
            if len(metrics) >= METRICS_KEPT:
                continue
            metrics.add(reading.metric)
        yield reading


def _hash(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()


def _render(source: Source) -> bytes:
    fields = {
        "version": _VERSION,
        "name": source.name,
        "owner": source.owner,
        "token": source.token.hex(),
        "key": source.key.hex(),
        "boot": source.boot,
    }
    return (json.dumps(fields, indent=2) + "\n").encode()


def _load(file: Path) -> Source:
    try:
        with file.open("rb") as opened:
            fields = parse_document(opened.read(FILE_MAX + 1), size=FILE_MAX)
    except OSError as error:
        raise _disk(file, error) from error
    except NoDocumentError as error:
        raise _damaged(file, str(error)) from error
    if not isinstance(fields, dict) or set(fields) != _FIELDS or fields["version"] != _VERSION:
        raise _damaged(file, "it is none of this release")
    name, boot = fields["name"], fields["boot"]
    if name != file.stem or type(boot) is not int or not 0 <= boot <= COUNT_MAX:
        raise _damaged(file, "its name or its boot")
    try:
        token, key = (bytes.fromhex(str(fields[part])) for part in ("token", "key"))
    except ValueError as error:
        raise _damaged(file, "its key") from error
    if len(token) != 32 or len(key) != 32:
        raise _damaged(file, "its key")
    return Source(name, str(fields["owner"]), token, key, boot)


def _damaged(file: Path, reason: str) -> IntegrityError:
    return IntegrityError(
        f"{file} is no source's file: {reason}",
        remedy="Remove the file and add the source again.",
    )


def _disk(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"{path} cannot be read or written: {error.strerror}",
        remedy="Check the disk and the rights of the folder.",
    )
