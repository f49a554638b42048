"""What a proposer serves, in a folder: the batch, the leaves and the signatures of each root.

A root's files are whole before it is listed, and it is listed before it is proposed; so whoever is
paid by it, or doubts it, finds all of it whenever this process died.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from freehold.audit.competing import Draft
from freehold.domain.errors import NotFoundError, UsageError
from freehold.domain.files import PUBLIC, write_whole
from freehold.domain.ids import Address, hex32
from freehold.node.files import disk, make_folder

KEPT = 256
"""Roots that stay on disk, those of the latest epochs."""
_KINDS = ("json", "trace", "leaves", "signatures")


@dataclass(frozen=True, slots=True)
class Offer:
    """A root as it is offered for signing: over which epochs, on top of which one (the hash of its
    header), with which digest."""

    since: int
    epoch: int
    parent: bytes
    digest: bytes


class Shelf:
    """The folder: ``N.trace``, ``N.leaves``, ``N.json`` and ``N.signatures`` of a root that ends
    with epoch N. UnavailableError and DiskFullError where the disk fails."""

    def __init__(self, folder: Path) -> None:
        with disk(folder):
            make_folder(folder)
        self._folder = folder

    def epochs(self) -> list[int]:
        """The epochs of which there is a root, in order."""
        with disk(self._folder):
            names = [file.stem for file in self._folder.glob("*.json")]
        return sorted(int(name) for name in names if name.isdecimal())

    def offer(self, epoch: int) -> Offer | None:
        """The root of an epoch as it was offered last; None where there is none, or its file is
        damaged, for it is reckoned again."""
        try:
            told = json.loads((self._folder / f"{epoch}.json").read_bytes())
            since, digest = told["since"], hex32(told["digest"])
            return Offer(int(since), epoch, hex32(told["parent"]), digest)
        except (OSError, ValueError, KeyError, TypeError, UsageError):
            return None

    def keep(self, offer: Offer, draft: Draft) -> None:
        """Write a root's files, and list it; one of the same epoch is replaced."""
        number = offer.epoch
        leaves = draft.tree.data() if draft.tree else b""
        told = {"since": offer.since, "parent": _hex(offer.parent), "digest": _hex(offer.digest)}
        for kind, data in (
            ("trace", draft.file()), ("leaves", leaves), ("json", json.dumps(told).encode()),
        ):  # fmt: skip
            self._write(f"{number}.{kind}", data)
        for old in self.epochs()[:-KEPT]:
            for kind in _KINDS:
                with disk(self._folder):
                    (self._folder / f"{old}.{kind}").unlink(missing_ok=True)

    def trace(self, epoch: int) -> bytes:
        """The served batch; NotFoundError."""
        return self._read(f"{epoch}.trace", epoch)

    def leaves(self, epoch: int) -> bytes:
        """The accounts and grains; NotFoundError."""
        return self._read(f"{epoch}.leaves", epoch)

    def blocks(self, kind: str, epoch: int, size: int) -> Generator[bytes, None, None]:
        """A file of a root in parts of ``size`` bytes; NotFoundError. One that is replaced
        meanwhile is read to its end."""
        file = self._folder / f"{epoch}.{kind}"
        with disk(file):
            try:
                opened = file.open("rb")
            except FileNotFoundError as error:
                raise _unknown(epoch) from error
            with opened:
                while part := opened.read(size):
                    yield part

    def signatures(self, offer: Offer) -> dict[Address, bytes]:
        """Those that were handed in for an offer; none of another, nor where the file is damaged,
        for watchers give them again."""
        try:
            told = json.loads((self._folder / f"{offer.epoch}.signatures").read_bytes())
            if told["digest"] != _hex(offer.digest):
                return {}
            given = told["signatures"].items()
            return {Address(name): bytes.fromhex(text) for name, text in given}
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            return {}

    def sign(self, offer: Offer, signatures: Mapping[Address, bytes]) -> None:
        """Keep the signatures for an offer."""
        given = {name: signature.hex() for name, signature in sorted(signatures.items())}
        told = {"digest": _hex(offer.digest), "signatures": given}
        self._write(f"{offer.epoch}.signatures", json.dumps(told).encode())

    def _write(self, name: str, data: bytes) -> None:
        with disk(self._folder / name):
            write_whole(self._folder / name, data, mode=PUBLIC)

    def _read(self, name: str, epoch: int) -> bytes:
        with disk(self._folder / name):
            try:
                return (self._folder / name).read_bytes()
            except FileNotFoundError as error:
                raise _unknown(epoch) from error


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _unknown(epoch: int) -> NotFoundError:
    return NotFoundError(
        f"there is no root of epoch {epoch} here", remedy="See GET /traces for those there are."
    )
