"""Where the time of a transfer goes: seconds in seal, erasure, hash, network and disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, local

STAGES = ("seal", "erasure", "hash", "network", "disk")


class Timing:
    """Seconds by stage, summed over all threads of one transfer; a stage inside another counts
    for itself alone."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = Lock()
        self._nested = local()
        self._seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the block under one of ``STAGES``."""
        outer = getattr(self._nested, "seconds", 0.0)
        self._nested.seconds = 0.0
        started = self._clock()
        try:
            yield
        finally:
            spent = self._clock() - started
            with self._lock:
                self._seconds[name] += spent - self._nested.seconds
            self._nested.seconds = outer + spent

    def seconds(self) -> dict[str, float]:
        """Seconds by stage so far."""
        with self._lock:
            return dict(self._seconds)

    def shares(self) -> dict[str, float]:
        """Each stage's part of the whole, 0 to 1; all zero before anything was timed."""
        seconds = self.seconds()
        whole = sum(seconds.values())
        return {name: spent / whole if whole else 0.0 for name, spent in seconds.items()}
