"""The epochs that were settled: statements and leaves on disk, the evidence behind them, and the
watchers' signatures under the newest.

A statement is written whole and never changed. What a caller can do here is read, and hand in a
signature, which counts only when one of the roots' watchers made it over the statement that waits.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from freehold.domain.errors import AccessError, ConflictError, NotFoundError
from freehold.domain.files import PUBLIC, write_whole
from freehold.domain.ids import Address
from freehold.domain.keys import recover
from freehold.economics.trees import Tree
from freehold.ledger.ledger import Ledger
from freehold.node.attesting import (
    Attestation,
    header_at,
    holding,
    is_watcher,
    read_signature,
)
from freehold.node.telemetry.facts import Calendar
from freehold.node.telemetry.statement import Statement, parse
from freehold.telemetry.reading import TIME_MAX
from freehold.telemetry.replay import Bounds

EVIDENCE_MAX = 15 * 2**20
"""Bytes of evidence of a device and epoch that count: those that arrived first."""
LENGTH = 4
KEPT = 1_024
"""Statements that stay on disk, the newest."""
PLACE = "roots"
"""Which roots pay devices."""
_PAGE = 1_024
_TIME, _TIME_AT = struct.Struct("<Q"), 52
"""Where a batch has the time at which it was sealed."""
_AHEAD = Bounds().ahead
"""Milliseconds that a batch may be sealed ahead of its arrival."""


class Log(Protocol):
    """What a partition keeps of its devices."""

    def evidence(self, since: int, until: int, member: str) -> Iterator[bytes]:
        """The batches of a device that arrived in a span of milliseconds."""

    def marked(self, member: str, since: int = 0) -> str:
        """Why a device was found lying at ``since`` or later; empty where it was not."""


class Kept(Protocol):
    """What is known of epochs before they are settled."""

    def epochs(self) -> Sequence[int]:
        """Those of which batches are kept."""

    def epoch(self, number: int) -> Mapping[str, object]:
        """What arrived in one; NotFoundError."""


class Books:
    """The folder of statements: ``N.json``, ``N.leaves``, and ``N.signatures`` of the newest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._read: Statement | None = None

    def numbers(self) -> list[int]:
        """The epochs with a statement, in order."""
        return sorted(int(file.stem) for file in self._folder.glob("*.json") if file.stem.isdigit())

    def newest(self) -> Statement | None:
        """The statement of the latest epoch; IntegrityError where it is damaged."""
        numbers = self.numbers()
        if not numbers:
            return None
        known = self._read
        if known is None or known.epoch != numbers[-1]:
            self._read = known = self.read(numbers[-1])
        return known

    def text(self, number: int) -> bytes:
        """A statement as it was written; NotFoundError."""
        return self._bytes(f"{number}.json", number)

    def read(self, number: int) -> Statement:
        """A statement; NotFoundError, IntegrityError."""
        return Statement.read(self.text(number))

    def tree(self, number: int) -> Tree:
        """The tree of a statement's root; NotFoundError, also where it has none."""
        return Tree.read(self._bytes(f"{number}.leaves", number))

    def keep(self, statement: Statement) -> None:
        """Write a statement, its leaves first, so that whoever sees it sees them."""
        number, self._read = statement.epoch, None
        if statement.tree is not None:
            write_whole(self._folder / f"{number}.leaves", statement.tree.data(), mode=PUBLIC)
        write_whole(self._folder / f"{number}.json", statement.text(), mode=PUBLIC)
        for old in self.numbers()[:-KEPT]:
            for kind in ("json", "leaves", "signatures"):
                (self._folder / f"{old}.{kind}").unlink(missing_ok=True)

    def signatures(self, number: int) -> dict[Address, bytes]:
        """The signatures that were handed in for a statement; none where the file is damaged, for
        watchers give them again."""
        try:
            told = json.loads((self._folder / f"{number}.signatures").read_bytes())
            return {Address(name): bytes.fromhex(text) for name, text in told.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def sign(self, number: int, signatures: Mapping[Address, bytes]) -> None:
        """Keep the signatures under a statement."""
        told = {name: signature.hex() for name, signature in sorted(signatures.items())}
        write_whole(self._folder / f"{number}.signatures", json.dumps(told).encode(), mode=PUBLIC)

    def _bytes(self, name: str, number: int) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(
                f"epoch {number} is not settled", remedy="See GET /epochs for those that are."
            ) from error


class Epochs:
    """``views.Evidence``: what was settled, what is kept of the rest, and signatures.

    ``of`` gives the log of a device.
    """

    def __init__(
        self, ledger: Ledger, calendar: Calendar, books: Books, *, of: Callable[[str], Log],
        kept: Kept | None = None,
    ) -> None:  # fmt: skip
        self._ledger, self._calendar, self.books = ledger, calendar, books
        self._of, self._kept = of, kept
        self._lock = threading.Lock()

    def epochs(self) -> Sequence[int]:
        """Those with a statement, and those of which batches are kept."""
        known = set(self.books.numbers())
        return sorted(known if self._kept is None else known | set(self._kept.epochs()))

    def epoch(self, number: int) -> Mapping[str, object]:
        """The statement of an epoch; before there is one, what arrived in it."""
        try:
            return parse(self.books.text(number))
        except NotFoundError:
            if self._kept is None:
                raise
            return self._kept.epoch(number)

    def leaves(self, number: int) -> Iterator[bytes]:
        """Accounts and grains in JSON, in the order of the tree."""
        return _leaves(self.books.tree(number))

    def batches(
        self, number: int, device: str, *, since: int = 0, until: int = TIME_MAX + 1
    ) -> Iterator[bytes]:
        """What ``evidence`` gives, each after its length."""
        for batch in self.evidence(number, device, since=since, until=until):
            yield len(batch).to_bytes(LENGTH, "little") + batch

    def evidence(
        self, number: int, device: str, *, since: int = 0, until: int = TIME_MAX + 1
    ) -> Iterator[bytes]:
        """The batches of a device that arrived from the epoch's beginning to its cut and were
        sealed from ``since`` to before ``until`` (milliseconds), as long as they are no more than
        ``EVIDENCE_MAX`` bytes."""
        begin, cut = 1_000 * self._calendar.begin(number), 1_000 * self._calendar.cut(number)
        size = 0
        for batch in self._of(device).evidence(max(begin, since - _AHEAD), cut, device):
            if not since <= _TIME.unpack_from(batch, _TIME_AT)[0] < until:
                continue
            size += LENGTH + len(batch)
            if size > EVIDENCE_MAX:
                return
            yield batch

    def marked(self, number: int, device: str) -> str:
        """Why a device gets nothing for an epoch."""
        return self._of(device).marked(device, 1_000 * self._calendar.begin(number))

    def sign(self, number: int, letter: bytes) -> Mapping[str, object]:
        """Take a watcher's signature: ``{"signature": HEX}`` over the newest statement on top of
        the roots as they stand. UsageError, ConflictError, AccessError."""
        signature = read_signature(letter)
        with self._lock:
            newest = self.books.newest()
            if newest is None or newest.epoch != number:
                raise ConflictError(
                    f"the statement of epoch {number} does not wait for signatures",
                    remedy="Sign the newest, see GET /epochs.",
                )
            watcher = recover(digest(self._ledger, newest), signature)
            if not is_watcher(self._ledger, PLACE, watcher):
                raise AccessError(
                    f"{watcher} is no watcher of the roots, or signed something else",
                    remedy="Have the governor name it, or fetch the statement and the tip again.",
                )
            known = self.books.signatures(number) | {watcher: signature}
            self.books.sign(number, known)
        return {"epoch": number, "signatures": len(known)}

    def signed(self, statement: Statement) -> list[bytes]:
        """The signatures that hold for a statement now, in rising order of the watchers."""
        wanted = digest(self._ledger, statement)
        with self._lock:
            known = self.books.signatures(statement.epoch)
        return holding(self._ledger, PLACE, wanted, known)


def digest(ledger: Ledger, statement: Statement) -> bytes:
    """What a watcher signs for a statement: its root on top of the last one as it stands now."""
    told = Attestation(statement.epoch, statement.root, statement.count, statement.hash)
    return told.digest(ledger, PLACE, header_at(ledger, PLACE, ledger.roots.state().tip))


def _leaves(tree: Tree) -> Iterator[bytes]:
    yield b"["
    for first in range(0, tree.count, _PAGE):
        page = (tree.leaf(at) for at in range(first, min(first + _PAGE, tree.count)))
        text = json.dumps([[leaf.account, leaf.grains] for leaf in page])[1:-1]
        yield (", " if first else "").encode() + text.encode()
    yield b"]"
