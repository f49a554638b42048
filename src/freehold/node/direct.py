"""Reads long spans of pieces past the page cache, unless they are asked for again.

What a node holds is far more than its memory, and most of it is read once in a long while: to
fill pages of the cache with it costs more than the disk does, and pushes out what is read often.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable

from freehold.node.blockfile import ALIGN

LONG = 2**20
"""Bytes of a span from which the cache is passed by."""
LATELY = 4096
"""Spans that are remembered."""
_threads = threading.local()


class Lately:
    """Which spans were read lately, the last ``size`` of them; for threads."""

    def __init__(self, size: int = LATELY) -> None:
        self._size = size
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = threading.Lock()

    def again(self, span: Hashable) -> bool:
        """Whether a span was read lately; it was from now on."""
        with self._lock:
            known = span in self._seen
            self._seen[span] = None
            self._seen.move_to_end(span)
            if len(self._seen) > self._size:
                self._seen.popitem(last=False)
        return known


def pass_by_cache(handle: int) -> None:
    """Let ``read`` take what this handle reads from the disk, where the system can."""
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    try:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags | getattr(os, "O_DIRECT", 0))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def read(handle: int, length: int, offset: int) -> bytes:
    """As ``os.pread``, also for handles that pass by the cache."""
    direct = getattr(os, "O_DIRECT", 0)
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    if flags & direct:
        try:
            return _blocks(handle, length, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fcntl.fcntl(handle, fcntl.F_SETFL, flags & ~direct)
    return os.pread(handle, length, offset)


def _blocks(handle: int, length: int, offset: int) -> bytes:
    """Whole blocks around a span, into memory that the thread keeps; the span of them."""
    start, end = offset // ALIGN * ALIGN, offset + length
    whole = -(-(end - start) // ALIGN) * ALIGN
    view = memoryview(_buffer(whole))
    got = 0
    while got < end - start and got % ALIGN == 0:
        more = os.preadv(handle, [view[got:whole]], start + got)
        if not more:
            break
        got += more
    return bytes(view[offset - start : min(got, end - start)])


def _buffer(size: int) -> mmap.mmap:
    kept = getattr(_threads, "buffer", None)
    if not isinstance(kept, mmap.mmap) or len(kept) < size:
        kept = _threads.buffer = mmap.mmap(-1, size)
    return kept
