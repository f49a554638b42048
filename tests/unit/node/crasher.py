"""Uploads pieces until it is killed: ``python -m unit.node.crasher HOME SEED``.

Every line it prints was true, durably, before it was printed: ``offset ID N`` (N bytes of an
upload are kept) and ``held CID N`` (the piece of the N-th payload is kept).
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from freehold.domain.clock import SystemClock
from freehold.domain.ids import Address
from freehold.markets.storage.piece import commit
from freehold.node import blockfile
from freehold.node import uploads as upload_module
from freehold.node.database import Database
from freehold.node.hashing import PieceHasher
from freehold.node.settings import MIB, Settings
from freehold.node.store import Store
from freehold.node.uploads import Uploads

BLOCK = 10_000
ACCOUNT = Address("0x" + "22" * 20)


def payload(seed: int, number: int) -> bytes:
    """The bytes of the N-th piece under a seed; a few hundred KiB."""
    draw = random.Random(f"{seed}/{number}")
    return draw.randbytes(draw.randrange(1, 400_000))


def open_store(home: Path) -> tuple[Store, Uploads, Database]:
    """The store of a home, put in order as at a node's start."""
    home.mkdir(exist_ok=True)
    settings = Settings(home, home, home, home, capacity=512 * MIB)
    database, clock = Database(home / "node.sqlite"), SystemClock()
    store = Store(home, database, capacity=settings.capacity, clock=clock)
    uploads = Uploads(
        store,
        database,
        settings,
        clock=clock,
        hasher=PieceHasher,
    )
    store.recover()
    return store, uploads, database


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main(home: Path, seed: int) -> None:
    # Small, so that they are passed in the middle of a request.
    blockfile.BLOCK, upload_module.CHECKPOINT = 32 * 1024, 64 * 1024
    _, uploads, _ = open_store(home)
    draw = random.Random(seed)
    for number in range(10_000):
        data = payload(seed, number)
        made = uploads.create(ACCOUNT, len(data))
        offset = 0
        while offset < len(data):
            end = min(offset + draw.randrange(1, 200_000), len(data))
            writer = uploads.write_from(made.id, ACCOUNT, offset)
            for start in range(offset, end, BLOCK):
                writer.write(data[start : min(start + BLOCK, end)])
            done = writer.keep() if draw.random() < 0.5 else writer.close()
            offset = done.offset
            say("offset", made.id, done.durable, number)
        held = uploads.finish(made.id, ACCOUNT, commit(data).cid)
        say("held", held.cid, number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
