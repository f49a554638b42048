"""Writers of one SQLite file take turns."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else of this machine is in such a block for the folder: SQLite refuses one of two who
    make the same file at once instead of letting him wait."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def turn(db: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: all of the block or nothing; a block inside another joins it.

    For connections in autocommit mode (``isolation_level=None``).
    """
    if db.in_transaction:
        yield
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
