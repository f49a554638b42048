"""Pieces on the disk of one node, and an account of their room that survives ``kill -9``.

A piece is a file named by its CID beside the cached proof tree that answers challenges about
it. Both are written under temporary names, synced and renamed before the record is committed;
a record therefore always has its files, and a file without a record is a leftover.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.clock import Clock
from freehold.domain.errors import ConflictError, IntegrityError, NotFoundError
from freehold.domain.ids import Address
from freehold.markets.storage.piece import Piece, parse_cid
from freehold.node.database import Cell, Database, blob, integer, text
from freehold.node.files import disk, make_folder, publish_file, remove_file
from freehold.node.refusals import DiskFullError, QuarantinedError, QuotaError

TREE_SHARE = 64
"""A cached tree takes at most one byte in this many of its piece (see hashing.py)."""
PAGE = 500
_SELECT = "SELECT cid, root, height, size, stored_at, fault FROM pieces"


@dataclass(frozen=True, slots=True)
class Held:
    """A piece this node holds; ``fault`` says why it is quarantined, empty when it is sound."""

    cid: str
    root: bytes
    height: int
    size: int
    stored_at: int
    fault: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes: offered, taken by pieces and trees, promised to uploads, and left to promise."""

    capacity: int
    used: int
    reserved: int

    @property
    def free(self) -> int:
        """Bytes that may still be promised."""
        return max(self.capacity - self.used - self.reserved, 0)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a start found: leftovers removed, and pieces whose files are gone."""

    leftovers: int
    lost: tuple[str, ...]


def footprint(size: int) -> int:
    """Bytes of disk to promise for a piece of ``size`` bytes and its tree."""
    return size + size // TREE_SHARE + 4096


class Store:
    """The pieces under ``home/pieces``; records in ``database``; at most ``capacity`` bytes."""

    def __init__(self, home: Path, database: Database, *, capacity: int, clock: Clock) -> None:
        self.incoming = home / "incoming"
        self._pieces = home / "pieces"
        self._trees = home / "trees"
        self._database = database
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.RLock()
        for folder in (self.incoming, self._pieces, self._trees):
            make_folder(folder)

    def piece_file(self, cid: str) -> Path:
        """Where the bytes of ``cid`` lie; UsageError when it is not a canonical PieceCID v2."""
        return self._pieces / parse_cid(cid).cid

    def tree_file(self, cid: str) -> Path:
        """Where the cached proof tree of ``cid`` lies."""
        return self._trees / parse_cid(cid).cid

    def usage(self) -> Usage:
        """The account of room, from the records."""
        return Usage(
            self._capacity,
            self._database.number("SELECT sum(bytes) FROM pieces"),
            self._database.number("SELECT sum(bytes) FROM uploads"),
        )

    def check_room(self, size: int) -> None:
        """DiskFullError unless ``size`` bytes fit the capacity and the disk."""
        need, free = footprint(size), self.usage().free
        if need > free:
            raise DiskFullError(
                f"the node has {free} bytes left to offer, the piece needs {need}",
                remedy="Choose another node.",
            )
        with disk(self.incoming):
            status = os.statvfs(self.incoming)
        if need > status.f_bavail * status.f_frsize:
            raise DiskFullError(
                "the node's disk is fuller than its owner planned", remedy="Choose another node."
            )

    def find(self, cid: str) -> Held:
        """The piece of that name; NotFoundError when this node does not hold it."""
        row = self._database.row(_SELECT + " WHERE cid = ?", (cid,))
        if row is None:
            raise NotFoundError(
                f"this node does not hold {cid}", remedy="Ask the nodes of the deal's columns."
            )
        return _held(row)

    def sound(self, cid: str) -> Held:
        """As ``find``; QuarantinedError when the bytes are no longer what the name says."""
        held = self.find(cid)
        if held.fault:
            raise QuarantinedError(
                f"piece {cid} is quarantined: {held.fault}",
                remedy="Read another column; the node's owner must restore this one.",
            )
        return held

    def find_root(self, root: bytes, height: int) -> Held | None:
        """The piece with that commitment and tree height, if held."""
        row = self._database.row(_SELECT + " WHERE root = ? AND height = ?", (root, height))
        return None if row is None else _held(row)

    def all(self) -> Iterator[Held]:
        """Every piece, by name, in pages."""
        last = ""
        while True:
            rows = self._database.rows(
                _SELECT + " WHERE cid > ? ORDER BY cid LIMIT ?", (last, PAGE)
            )
            yield from map(_held, rows)
            if len(rows) < PAGE:
                return
            last = text(rows[-1][0])

    @contextmanager
    def opened(self, cid: str) -> Iterator[int]:
        """A file handle on the bytes of a held piece, for ``os.pread``."""
        file = self.piece_file(cid)
        with disk(file):
            handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield handle
        finally:
            os.close(handle)

    def adopt(
        self, piece: Piece, *, data: Path, tree: Path, upload: str, account: Address, until: int
    ) -> Held:
        """Make the synced files of a finished upload a held piece, claimed by ``account``.

        Nothing is held until this returns; afterwards a crash loses neither bytes nor record.
        """
        with self._lock:
            known = self._database.row(
                "SELECT 1 FROM pieces WHERE cid = ? AND fault = ''", (piece.cid,)
            )
            if known is None:
                publish_file(tree, self.tree_file(piece.cid))
                publish_file(data, self.piece_file(piece.cid))
            self._record(piece, upload=upload, account=account, until=until)
            # Until here a crash leaves the upload as it was, to be finished again; from here on
            # it leaves at worst these names, which ``recover`` removes.
            with disk(data):
                data.unlink()
                tree.unlink()
            return self.find(piece.cid)

    def _record(self, piece: Piece, *, upload: str, account: Address, until: int) -> None:
        now = self._clock.now()
        room = piece.raw_size + self.tree_file(piece.cid).stat().st_size
        with self._database.write():
            self._database.run(
                "INSERT INTO pieces VALUES (?, ?, ?, ?, ?, ?, ?, '') "
                "ON CONFLICT (cid) DO UPDATE SET fault = ''",
                (piece.cid, piece.root, piece.height, piece.raw_size, room, now, now),
            )
            self._database.run("DELETE FROM uploads WHERE id = ?", (upload,))
            self.claim(piece.cid, account, until=until)

    def claim(self, cid: str, account: Address, *, until: int) -> None:
        """Keep a piece for ``account`` at least until then (seconds of this machine)."""
        with self._database.write():
            self._database.run(
                "INSERT INTO claims VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
                (cid, account, until),
            )

    def has_claim(self, cid: str, account: Address) -> bool:
        """Whether the account stored this piece here."""
        return bool(
            self._database.number(
                "SELECT count(*) FROM claims WHERE cid = ? AND account = ?", (cid, account)
            )
        )

    def claimed_until(self, cid: str, account: Address) -> int:
        """When the account's claim ends (0: it has none)."""
        return self._database.number(
            "SELECT until FROM claims WHERE cid = ? AND account = ?", (cid, account)
        )

    def give_up(self, cid: str, account: Address) -> None:
        """Drop a claim, and the piece when it was the last; ConflictError under a deal."""
        with self._lock:
            with self._database.write():
                self._check_unbound(cid)
                if not self._database.run(
                    "DELETE FROM claims WHERE cid = ? AND account = ?", (cid, account)
                ):
                    raise NotFoundError(
                        f"{account} has nothing to delete under {cid}",
                        remedy="Only the account that stored a piece may delete it.",
                    )
                left = self._database.number("SELECT count(*) FROM claims WHERE cid = ?", (cid,))
            if not left:
                self.remove(cid)

    def _check_unbound(self, cid: str) -> None:
        if self.bound(cid):
            raise ConflictError(
                f"piece {cid} is under a deal or an acceptance",
                remedy="Close the deal; the node deletes the piece once it is finished.",
            )

    def quarantine(self, cid: str, fault: str) -> None:
        """Serve the piece no longer; its bytes stay, because sound parts can still be proven."""
        with self._database.write():
            self._database.run("UPDATE pieces SET fault = ? WHERE cid = ?", (fault, cid))

    def remove(self, cid: str) -> None:
        """Forget a piece and then its files; ConflictError while a deal or acceptance holds it."""
        with self._lock:
            with self._database.write():
                self._check_unbound(cid)
                self._database.run("DELETE FROM claims WHERE cid = ?", (cid,))
                self._database.run("DELETE FROM pieces WHERE cid = ?", (cid,))
            remove_file(self.piece_file(cid))
            remove_file(self.tree_file(cid))

    def bound(self, cid: str) -> bool:
        """Whether a column of a deal or an acceptance that may still be opened holds the piece."""
        return bool(
            self._database.number("SELECT count(*) FROM columns WHERE cid = ?", (cid,))
            or self._database.number("SELECT count(*) FROM acceptances WHERE cid = ?", (cid,))
        )

    def unclaimed(self, now: int) -> list[str]:
        """Up to a page of pieces that nothing keeps: no deal, no acceptance, no live claim."""
        rows = self._database.rows(
            "SELECT cid FROM pieces p WHERE "
            "NOT EXISTS (SELECT 1 FROM columns c WHERE c.cid = p.cid) AND "
            "NOT EXISTS (SELECT 1 FROM acceptances a WHERE a.cid = p.cid) AND "
            "NOT EXISTS (SELECT 1 FROM claims l WHERE l.cid = p.cid AND l.until > ?) "
            "ORDER BY cid LIMIT ?",
            (now, PAGE),
        )
        return [text(row[0]) for row in rows]

    def staged(self, account: Address) -> int:
        """Bytes that the account is sending or has stored here and no deal pays for."""
        return self._database.number(
            "SELECT coalesce((SELECT sum(size) FROM uploads WHERE account = ?1), 0) + "
            "coalesce((SELECT sum(p.size) FROM claims l JOIN pieces p ON p.cid = l.cid "
            "WHERE l.account = ?1 AND NOT EXISTS "
            "(SELECT 1 FROM columns c WHERE c.cid = p.cid)), 0)",
            (account,),
        )

    def check_staged(self, account: Address, size: int, *, limit: int) -> None:
        """QuotaError when the account's bytes that no deal pays for would pass ``limit``."""
        staged = self.staged(account)
        if staged + size > limit:
            raise QuotaError(
                f"{account} has {staged} bytes here that no deal pays for, of {limit} allowed",
                remedy="Open the deals of what is stored, or delete it, and try again.",
            )

    def recover(self) -> Recovery:
        """Put files and records in step after a crash; run once, before anything is served."""
        uploads = {text(row[0]) for row in self._database.rows("SELECT id FROM uploads")}
        leftovers = _sweep(self.incoming, uploads)
        names = {held.cid for held in self.all()}
        leftovers += _sweep(self._pieces, names) + _sweep(self._trees, names)
        present = set(os.listdir(self._pieces)) & set(os.listdir(self._trees))
        lost = tuple(sorted(names - present))
        for cid in lost:
            self.quarantine(cid, "its files are gone")
        return Recovery(leftovers, lost)


def _sweep(folder: Path, known: set[str]) -> int:
    found = [name for name in os.listdir(folder) if name not in known]
    for name in found:
        remove_file(folder / name)
    return len(found)


def _held(row: tuple[Cell, ...]) -> Held:
    cid, root, height, size, stored_at, fault = row
    return Held(
        text(cid), blob(root), integer(height), integer(size), integer(stored_at), text(fault)
    )


def check_name(cid: str, piece: Piece) -> None:
    """IntegrityError unless the bytes that arrived have the name they were sent under."""
    if piece.cid != cid:
        raise IntegrityError(
            f"the bytes received are {piece.cid}, not {cid}",
            remedy="Send the piece again; nothing was kept.",
        )
