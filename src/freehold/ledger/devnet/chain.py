"""The chain behind the journal: waiting transactions in, blocks out, one after another.

The engine never mines by itself. Waiting transactions are gathered into batches, each of which
becomes one journal record and one block.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from freehold.domain.errors import FreeholdError, UnavailableError
from freehold.ledger.devnet.anvil import Anvil, EngineError, EngineRefusal
from freehold.ledger.devnet.gas import gas_limit
from freehold.ledger.devnet.home import BLOCK_GAS
from freehold.ledger.devnet.machine import Machine, Outcome
from freehold.ledger.wire import Json

_log = logging.getLogger("freehold.devnet")

QUEUE_LIMIT = 4_096
BATCH_LIMIT = 128
BATCH_BYTES = 4 * 2**20
TRAILING_BLOCKS = 3
TRAILING_SECONDS = 0.5
"""Empty blocks behind the last transaction, and the pause before each: `beacon.fix` names block
+ 2, and a later transaction must be able to read that block's hash, within the grace interval of
the shortest periods. Then the chain rests and grows no more."""
_WATCH_SECONDS = 0.5


@dataclass(slots=True)
class _Submission:
    raw: str
    done: asyncio.Future[str]


class BusyError(Exception):
    """Too much is waiting; the caller tries again."""


class Chain:
    """One devnet's chain. ``open`` recovers it, ``close`` dumps and ends the engine.

    ``submit`` returns a transaction's hash once it is durable and handed to the engine; it
    raises EngineRefusal when the engine refuses it, BusyError when too many wait, and
    UnavailableError when the journal cannot be written or the engine cannot be restarted.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._turn = asyncio.Lock()
        self._queue: asyncio.Queue[_Submission] = asyncio.Queue(QUEUE_LIMIT)
        self._held: _Submission | None = None
        self._trailing = TRAILING_BLOCKS
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def failed(self) -> asyncio.Event:
        """Set when the engine cannot be restarted: the server should end."""
        return self._machine.failed

    @property
    def engine(self) -> Anvil:
        """The engine, for reading; EngineError while it is being restarted."""
        return self._machine.engine

    async def read_state(self, body: bytes) -> bytes:
        """Hand on a question about the state at a block: the answer is of no later one."""
        return await self._machine.read_state(body)

    def status(self) -> dict[str, Json]:
        """What `freehold doctor` and the benchmark look at."""
        return {**self._machine.status(), "trailing": max(self._trailing, 0)}

    async def open(self) -> None:
        """Recover from dump and journal, then take transactions."""
        async with self._turn:
            await self._machine.load()
        self._tasks = [asyncio.create_task(self._mine()), asyncio.create_task(self._watch())]

    async def close(self) -> None:
        """Dump what is new, then end the engine."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        waiting = [] if self._held is None else [self._held]
        while not self._queue.empty():
            waiting.append(self._queue.get_nowait())
        _fail(waiting, _stopping())
        async with self._turn:
            await self._machine.close()

    # --- transactions --------------------------------------------------------------------------

    async def submit(self, raw: str) -> str:
        """Journal a raw transaction, hand it to the engine, mine; its hash."""
        submission = _Submission(raw, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(submission)
        except asyncio.QueueFull as error:
            raise BusyError from error
        return await submission.done

    async def _mine(self) -> None:
        while True:
            first = await self._next()
            batch = [] if first is None else self._gather(first)
            try:
                async with self._turn:
                    _answer(batch, await self._machine.make_block([each.raw for each in batch]))
            except (FreeholdError, EngineError) as error:
                _log.error("no block was made: %s", error)
                _fail(batch, error)
            self._trailing = TRAILING_BLOCKS if batch else self._trailing - 1

    async def _next(self) -> _Submission | None:
        if self._held is not None:
            first, self._held = self._held, None
            return first
        if self._trailing <= 0:
            return await self._queue.get()
        try:
            return await asyncio.wait_for(self._queue.get(), TRAILING_SECONDS)
        except TimeoutError:
            return None

    def _gather(self, first: _Submission) -> list[_Submission]:
        """As many as one block can take: a replay must find every block's transactions in it."""
        batch, size, gas = [first], len(first.raw), _gas(first)
        while len(batch) < BATCH_LIMIT and size < BATCH_BYTES and not self._queue.empty():
            following = self._queue.get_nowait()
            gas += _gas(following)
            if gas > BLOCK_GAS:
                self._held = following
                break
            batch.append(following)
            size += len(following.raw)
        return batch

    async def _watch(self) -> None:
        """Restart the engine when it dies while nobody asks anything of it."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if not self._machine.dead:
                continue
            async with self._turn:
                if self._machine.dead:
                    with suppress(FreeholdError):  # `failed` tells the server
                        await self._machine.revive()

    # --- what tests and operators may do ---------------------------------------------------------

    async def mine(self, blocks: int) -> None:
        """Add empty blocks."""
        for _ in range(blocks):
            async with self._turn:
                await self._machine.make_block([])

    async def move_time(self, seconds: int) -> int:
        """Move the chain's clock on, durably; the new skew."""
        async with self._turn:
            return await self._machine.move_time(seconds)

    async def reorganise(self, depth: int) -> None:
        """Drop the newest blocks with their transactions, as a chain's consensus might."""
        async with self._turn:
            await self._machine.reorganise(depth)

    async def dump(self) -> None:
        """Dump now and wait until it is on the disk."""
        async with self._turn:
            await self._machine.dump()


def _answer(batch: Sequence[_Submission], outcomes: Sequence[Outcome]) -> None:
    for each, outcome in zip(batch, outcomes, strict=True):
        if each.done.done():
            continue  # the caller has gone
        if isinstance(outcome, EngineRefusal):
            each.done.set_exception(outcome)
        else:
            each.done.set_result(outcome)


def _fail(batch: Sequence[_Submission], error: Exception) -> None:
    for each in batch:
        if not each.done.done():
            each.done.set_exception(error)


def _gas(submission: _Submission) -> int:
    return gas_limit(bytes.fromhex(submission.raw[2:]), otherwise=BLOCK_GAS)


def _stopping() -> UnavailableError:
    return UnavailableError("the devnet is stopping", remedy="Try again after its next start.")
