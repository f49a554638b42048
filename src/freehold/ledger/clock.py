"""Chain time: this machine's clock plus the skew that the chain's heads show."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from freehold.domain.clock import Clock
from freehold.domain.errors import UnavailableError
from freehold.ledger.rpc import Rpc
from freehold.ledger.values import Header
from freehold.ledger.wire import RpcRefusal


class ChainClock:
    """Seconds as the next block would count them.

    The pending block tells the chain's own time wherever it is served (a devnet whose time was
    moved included); elsewhere heads tell it when they are fresh, that is when they were seen
    to arrive. Asked at most once per ``refresh`` seconds of ``monotonic``.
    """

    def __init__(
        self,
        rpc: Rpc,
        clock: Clock,
        *,
        refresh: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rpc = rpc
        self._clock = clock
        self._refresh = refresh
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._skew = 0
        self._seen: int | None = None

    def now(self) -> int:
        """Chain time; while the chain cannot be reached, the last known skew is used."""
        with self._lock:
            moment = self._monotonic()
            if self._asked is None or moment - self._asked >= self._refresh:
                self._asked = moment
                self._learn()
            return self._clock.now() + self._skew

    def observe(self, head: Header) -> None:
        """Learn from a head that has just arrived."""
        with self._lock:
            self._skew = max(self._skew, head.time - self._clock.now())

    def forget(self) -> None:
        """Ask the chain again at the next ``now``."""
        with self._lock:
            self._asked = None

    def _learn(self) -> None:
        try:
            latest, pending = self._rpc.edge()
        except (UnavailableError, RpcRefusal):
            return
        if latest is None:
            return
        if pending is not None and pending.time > latest.time:
            self._skew = pending.time - self._clock.now()
        elif self._seen is not None and latest.number > self._seen:
            self._skew = latest.time - self._clock.now()
        else:
            self._skew = max(self._skew, latest.time - self._clock.now())
        self._seen = latest.number
