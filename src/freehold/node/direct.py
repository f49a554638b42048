"""Past the page cache: handles that read and write whole blocks of the disk.

What a node holds is far more than its memory, and most of it is read once in a long while: to
fill pages of the cache with it costs more than the disk does, and pushes out what is read often.
Where the system cannot do without its cache, the same calls go through it.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable

ALIGN = 4096
"""Bytes: what disks want the offsets and lengths of direct access to be multiples of."""
LONG = 2**20
"""Bytes of a span from which the cache is passed by."""
LATELY = 4096
"""Spans that are remembered."""
_FLAG: int = getattr(os, "O_DIRECT", 0)
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
    """Let a handle pass by the cache, where the system can: use ``read``, and write blocks."""
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    try:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags | _FLAG)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def back_to_cache(handle: int, error: OSError) -> None:
    """Let a handle use the cache again, to be tried once more; raises ``error`` where passing by
    the cache was not the reason."""
    if error.errno != errno.EINVAL:
        raise error
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    if not flags & _FLAG:
        raise error
    fcntl.fcntl(handle, fcntl.F_SETFL, flags & ~_FLAG)


def read(handle: int, length: int, offset: int) -> bytes:
    """As ``os.pread``, also for handles that pass by the cache."""
    if fcntl.fcntl(handle, fcntl.F_GETFL) & _FLAG:
        try:
            return _blocks(handle, length, offset)
        except OSError as error:
            back_to_cache(handle, error)
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
