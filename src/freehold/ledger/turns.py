"""Writers of one SQLite file take turns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


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
