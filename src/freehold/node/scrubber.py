"""Reads every piece again, slowly, to find rot before a challenge does."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from freehold.domain.clock import Clock
from freehold.node.database import Database, text
from freehold.node.files import disk, replace_file
from freehold.node.hashing import READ, PieceHasher
from freehold.node.logs import fields
from freehold.node.metrics import Metrics
from freehold.node.settings import Settings
from freehold.node.store import Held, Store

_log = logging.getLogger(__name__)


class Scrubber:
    """Recomputes commitments at a bounded rate; quarantines what rotted, frees what healed.

    ``wait(seconds)`` sleeps and says whether the node is shutting down.
    """

    def __init__(
        self,
        store: Store,
        database: Database,
        settings: Settings,
        *,
        metrics: Metrics,
        clock: Clock,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._store = store
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._wait = wait or threading.Event().wait

    def step(self) -> None:
        """Check the piece that was checked longest ago, if it is due."""
        row = self._database.row(
            "SELECT cid FROM pieces WHERE scrubbed_at <= ? ORDER BY scrubbed_at LIMIT 1",
            (self._clock.now() - self._settings.scrub_every,),
        )
        if row is not None:
            self.check(self._store.find(text(row[0])))

    def check(self, held: Held) -> bool:
        """Read one piece; True when it is sound. A damaged tree beside sound bytes is remade."""
        if not self._store.piece_file(held.cid).exists():
            self._finished(held, "its file is gone")
            return False
        read = self._read(held)
        if read is None:
            return False
        found, tree = read
        fault = "" if found == held.cid else f"its bytes are {found or 'gone'}"
        if not fault:
            self._mend_tree(held, tree)
        self._finished(held, fault)
        return not fault

    def _read(self, held: Held) -> tuple[str, bytes] | None:
        """The CID of the bytes on the disk and their tree; None when the node shuts down."""
        hasher, offset = PieceHasher(held.size), 0
        with self._store.opened(held.cid) as handle:
            while True:
                with disk(self._store.piece_file(held.cid)):
                    block = os.pread(handle, READ, offset)
                if not block:
                    break
                hasher.update(block)
                offset += len(block)
                if self._wait(len(block) / self._settings.scrub_rate):
                    return None
            # What was read only to be checked should not push out what clients read.
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        self._metrics.scrubbed.inc(offset)
        if not offset:
            return "", b""
        piece, tree = hasher.finish()
        return piece.cid, tree

    def _mend_tree(self, held: Held, tree: bytes) -> None:
        file = self._store.tree_file(held.cid)
        if not file.exists() or file.read_bytes() != tree:
            replace_file(file, tree)
            _log.warning("mended a cached tree", extra=fields(cid=held.cid))

    def _finished(self, held: Held, fault: str) -> None:
        with self._database.write():
            self._database.run(
                "UPDATE pieces SET scrubbed_at = ? WHERE cid = ?", (self._clock.now(), held.cid)
            )
            if fault != held.fault:
                self._store.quarantine(held.cid, fault)
        if fault and not held.fault:
            self._metrics.rot.inc()
            _log.error(
                "a piece rotted",
                extra=fields(
                    cid=held.cid,
                    reason=fault,
                    remedy="Restore the file from a backup; the disk may be failing.",
                ),
            )
        elif held.fault and not fault:
            _log.info("a piece is sound again", extra=fields(cid=held.cid))
