"""Memory that is kept from one use to the next.

Where the machine is a virtual one, memory that was given back is expensive to get again: two fresh
segments cost a transfer up to 0.3 seconds of processor time, more than ciphers and codes do.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class Buffers:
    """A few buffers in turn, ``kept`` of them between uses; safe to use from several threads."""

    def __init__(self, make: Callable[[int], memoryview], *, kept: int) -> None:
        self._make, self._kept = make, kept
        self._free: list[memoryview] = []
        self._lock = Lock()

    def take(self, size: int) -> memoryview:
        """A buffer of at least ``size`` bytes, whose contents mean nothing."""
        with self._lock:
            for at, buffer in enumerate(self._free):
                if buffer.nbytes >= size:
                    return self._free.pop(at)
        return self._make(size)

    def give(self, buffer: memoryview) -> None:
        """A whole buffer that nobody uses any more; the largest are kept."""
        with self._lock:
            self._free.append(buffer)
            self._free.sort(key=lambda kept: kept.nbytes)
            del self._free[: max(0, len(self._free) - self._kept)]

    def clear(self) -> None:
        """Let go of all of them."""
        with self._lock:
            self._free.clear()
