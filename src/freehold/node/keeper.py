"""Keeps the beacon going: anyone may fix and store a period's seed, so every node will."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address, keccak, raw_address
from freehold.node.logs import fields
from freehold.node.ports import Chain

BLOCKS = 256
"""How far back a contract can read a block's hash."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Times:
    """The beacon's fixed times, in seconds."""

    genesis: int
    period: int
    grace: int


class Keeper:
    """Fixes and stores the seed of the present period, each node after a wait of its own.

    The wait is drawn from the node's address and the period over the first half of the grace,
    so that usually one node pays and the others find the work done. For ``rest`` seconds,
    and at least a period, after its start it keeps nothing: where a whole network comes back, a
    round that begins while most nodes are still starting would fault them for the time they were
    off.
    """

    def __init__(self, chain: Chain, node: Address, *, rest: int = 0) -> None:
        self._chain = chain
        self._node = node
        self._rest = rest
        self._started: int | None = None
        self._times: _Times | None = None

    def step(self) -> None:
        """Do what the present period still needs, if its grace allows it."""
        times = self._times = self._times or self._ask_times()
        now = self._chain.now()
        if now < times.genesis or self._resting(now, times.period):
            return
        period, age = divmod(now - times.genesis, times.period)
        if not self._wait(period, times.grace) <= age <= times.grace:
            return
        if self._chain.beacon.round_of(period) is None:
            self._act(period)

    def _resting(self, now: int, period: int) -> bool:
        if self._started is None:
            self._started = now
        return self._rest > 0 and now < self._started + max(self._rest, period)

    def pending(self) -> bool:
        """Whether the present period is fixed and may still become a round."""
        times = self._times = self._times or self._ask_times()
        period, age = divmod(self._chain.now() - times.genesis, times.period)
        beacon = self._chain.beacon
        return (
            0 <= age <= times.grace
            and beacon.fixed_block(period) > 0
            and beacon.round_of(period) is None
        )

    def _ask_times(self) -> _Times:
        beacon = self._chain.beacon
        genesis = beacon.period_start(0)
        return _Times(genesis, beacon.period_start(1) - genesis, beacon.grace())

    def _act(self, period: int) -> None:
        head, fixed = self._chain.head().number, self._chain.beacon.fixed_block(period)
        if not fixed or head >= fixed + BLOCKS:
            self._try("fix", period)
        elif head >= fixed:
            self._try("store", period)

    def _wait(self, period: int, grace: int) -> int:
        seed = keccak(raw_address(self._node) + period.to_bytes(8, "big"))
        draw = int.from_bytes(seed[:8], "big")
        return draw % (grace // 2 + 1)

    def _try(self, what: str, period: int) -> None:
        act = self._chain.beacon.fix if what == "fix" else self._chain.beacon.store
        try:
            receipt = act(period)
        except RefusedError as error:
            # Another node was faster, or the grace ran out on the way: both are in order.
            _log.debug("beacon", extra=fields(what=what, period=period, refused=error.message))
            return
        _log.info("beacon", extra=fields(what=what, period=period, transaction=receipt.hash))
