"""The engine and its journal as one machine: a block is durable before it is made.

Records are journaled and synced with the block's time before the engine sees them; so a replay
makes the same blocks from the same transactions at the same times, with the same hashes (see
seals.py), and a dump is taken between two blocks. One task at a time may use it: ``chain.py``
takes turns.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from freehold.domain.clock import Clock
from freehold.domain.errors import FreeholdError, IntegrityError, UnavailableError
from freehold.domain.ids import keccak
from freehold.ledger import wire
from freehold.ledger.devnet import dumps
from freehold.ledger.devnet.anvil import Anvil, EngineError, EngineRefusal
from freehold.ledger.devnet.disk import Disk
from freehold.ledger.devnet.gate import Gate
from freehold.ledger.devnet.home import Home
from freehold.ledger.devnet.journal import Block, Journal, Record, Skew, parse, without_refused
from freehold.ledger.devnet.replay import Replay, reread_hashes
from freehold.ledger.devnet.saver import DumpPolicy, Saver
from freehold.ledger.devnet.seals import Seal, seal_of
from freehold.ledger.values import Header
from freehold.ledger.wire import Json

_log = logging.getLogger("freehold.devnet")

_DRAINS = 64
_REVIVALS = 5

Outcome = str | EngineRefusal
"""A transaction's hash, or why the engine did not take it."""


class Machine:
    """One devnet's engine, journal and dumps. ``load`` first.

    What it does raises UnavailableError when the journal cannot be written or the engine cannot
    be restarted (``failed`` is set then), and EngineError when the engine died elsewhere than in
    ``make_block``, which restarts it.
    """

    def __init__(
        self,
        *,
        home: Home,
        binary: Path,
        disk: Disk,
        clock: Clock,
        policy: DumpPolicy | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._binary = binary
        self._disk = disk
        self._clock = clock
        self._monotonic = monotonic
        self._saver = Saver(disk, policy or DumpPolicy(), monotonic=monotonic)
        self._engine: Anvil | None = None
        self._ready = False
        self._journal: Journal | None = None
        self._refused: list[tuple[int, int]] = []
        self._seals: list[Seal] = []
        self._skew = 0
        self._last_time = 0
        self._revivals = 0
        self._gate = Gate()
        self.failed = asyncio.Event()

    @property
    def engine(self) -> Anvil:
        """The engine, to be asked by others; EngineError while it is not where the journal ends:
        half a replay would tell nonces and balances of the past."""
        if not self._ready:
            raise EngineError("the engine is starting")
        return self._own

    async def read_state(self, body: bytes) -> bytes:
        """Hand on a question about the state, between two blocks; the answer as it came."""
        async with self._gate.reading():
            return await self.engine.forward(body)

    @property
    def _own(self) -> Anvil:
        if self._engine is None:
            raise EngineError("the engine is starting")
        return self._engine

    @property
    def dead(self) -> bool:
        """Whether there should be a running engine and is none."""
        return self._engine is not None and not self._engine.alive

    def status(self) -> dict[str, Json]:
        """What `freehold doctor` and the benchmark look at."""
        engine, journal = self._engine, self._journal
        return {
            "engine_pid": None if engine is None else engine.process.pid,
            "journal": None if journal is None else journal.name,
            "records": 0 if journal is None else journal.count,
            "bytes": 0 if journal is None else journal.sound,
            "skew": self._skew,
            "dump_seconds": round(self._saver.seconds, 4),
            "restarts": self._revivals,
        }

    async def close(self) -> None:
        """Dump what is new, then end the engine."""
        if self._engine is not None and self._engine.alive and self._unsaved():
            await self._dump()
        await self._saver.saved()
        if self._engine is not None:
            await self._engine.kill()
        if self._journal is not None:
            self._journal.close()

    def _unsaved(self) -> bool:
        return self._journal is not None and self._journal.count > 0

    # --- blocks ----------------------------------------------------------------------------------

    async def make_block(self, raws: Sequence[str]) -> list[Outcome]:
        """Journal the transactions, hand them to the engine, mine; what became of each."""
        record = Block(self._block_time(), tuple(raws), tuple(self._refused), tuple(self._seals))
        journal, number = await self._write(record)
        self._refused.clear()
        self._seals.clear()
        try:
            outcomes = await self._apply(record)
            if raws:
                await self._drain()
        except EngineError:
            await self.revive()
            outcomes = await self._look_up(raws)
        if self._journal is journal:
            refusals = (isinstance(outcome, EngineRefusal) for outcome in outcomes)
            self._refused += [(number, at) for at, refused in enumerate(refusals) if refused]
        if self._dump_due():
            await self._try_dump()
        return outcomes

    async def _try_dump(self) -> None:
        try:
            await self._dump()
        except EngineError as error:
            _log.error("no dump was made, the journal stands for it: %s", error)

    async def _write(self, record: Record) -> tuple[Journal, int]:
        """Append a record; the journal and the record's number in it."""
        journal = self._journal
        if journal is None:
            raise UnavailableError(
                "the devnet has no journal", remedy="Restart it; read its log for the cause."
            )
        if journal.broken:
            # Cut what a failed write may have left, so that a replay cannot bring it back.
            sound = parse(self._disk.read(journal.name)[: journal.sound], journal.name)
            journal.close()
            self._journal = journal = Journal.resume(self._disk, journal.name, sound)
        await asyncio.to_thread(journal.append, record)
        return journal, journal.count - 1

    async def _apply(self, record: Record) -> list[Outcome]:
        if isinstance(record, Skew):
            self._skew = record.seconds
            return []
        outcomes: list[Outcome] = []
        for raw in record.transactions:
            try:
                sent = await self._own.ask("eth_sendRawTransaction", raw)
                outcomes.append(wire.hash_text(sent))
            except EngineRefusal as error:
                outcomes.append(error)
        await self._mine_at(record.time)
        return outcomes

    async def _mine_at(self, moment: int) -> None:
        self._last_time = max(self._last_time, moment)
        async with self._gate.changing():
            await self._told("evm_mine", hex(self._last_time))
        head = await self._told("eth_getBlockByNumber", "latest", False)
        self._seals.append(seal_of(wire.fields(head)))

    async def _drain(self) -> None:
        """Mine what came into the pool behind a missing nonce and did not fit into the block."""
        for _ in range(_DRAINS):
            pool = wire.fields(await self._told("txpool_status"))
            if not wire.quantity(pool.get("pending")):
                return
            record = Block(self._block_time(), seals=tuple(self._seals))
            await self._write(record)
            self._seals.clear()
            await self._apply(record)

    async def _told(self, method: str, *params: Json) -> Json:
        """A call that the engine cannot refuse while it is sane."""
        try:
            return await self._own.ask(method, *params)
        except EngineRefusal as error:
            raise EngineError(f"the engine refused {method}: {error}") from error

    def _block_time(self) -> int:
        return max(self._last_time, self._clock.now() + self._skew)

    async def _look_up(self, raws: Sequence[str]) -> list[Outcome]:
        """What became of transactions that were journaled when the engine died."""
        outcomes: list[Outcome] = []
        for raw in raws:
            name = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
            known = await self._told("eth_getTransactionByHash", name)
            lost: dict[str, Json] = {"code": -32000, "message": "the engine refused it"}
            outcomes.append(EngineRefusal(lost) if known is None else name)
        return outcomes

    # --- what tests and operators may do ---------------------------------------------------------

    async def move_time(self, seconds: int) -> int:
        """Move the chain's clock on, durably; the new skew."""
        record = Skew(self._skew + seconds)
        await self._write(record)
        await self._apply(record)
        await self._tell_time()
        return self._skew

    async def reorganise(self, depth: int) -> None:
        """Drop the newest blocks with their transactions, as a chain's consensus might."""
        async with self._gate.changing():
            await self._own.ask("anvil_reorg", depth, [])
        self._seals.clear()
        self._last_time = (await self._head()).time
        await self._tell_time()
        await self.dump()  # the journal cannot tell a reorganisation: a dump does

    async def dump(self) -> None:
        """Dump now and wait until it is on the disk."""
        await self._dump()
        await self._saver.saved()

    # --- dumps -----------------------------------------------------------------------------------

    def _dump_due(self) -> bool:
        journal = self._journal
        return journal is not None and journal.count > 0 and self._saver.due(journal)

    async def _dump(self) -> None:
        """Take the state, switch to a new journal, write the state behind the next blocks.

        Until the state is on the disk, the dump before it and both journals stand for it.
        """
        await self._saver.saved()
        begun = self._monotonic()
        state = wire.data(await self._told("anvil_dumpState"))
        head = await self._head()
        number = dumps.highest(self._disk) + 1
        journal = await asyncio.to_thread(Journal.create, self._disk, dumps.journal_name(number))
        if self._journal is not None:
            self._journal.close()
        self._journal = journal
        self._refused.clear()
        dump = dumps.Dump(number, head.number, head.hash, self._skew, state)
        self._saver.save(dump, begun=begun)

    async def _head(self) -> Header:
        return wire.header(await self._told("eth_getBlockByNumber", "latest", False))

    # --- recovery --------------------------------------------------------------------------------

    async def load(self) -> None:
        """Start the engine and bring it to where the journal ends."""
        self._ready = False
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        dump = await asyncio.to_thread(dumps.newest, self._disk)
        self._engine = await Anvil.start(self._binary, self._home)
        if dump is not None:
            await self._restore(dump)
        self._last_time = (await self._head()).time
        replayed = await self._replay(0 if dump is None else dump.number)
        await self._drain()
        await self._tell_time()
        self._saver.rest()
        if replayed:
            # So that the next start need not do it again.
            await self.dump()
            dumps.drop_unusable(self._disk)
        self._ready = True

    async def _restore(self, dump: dumps.Dump) -> None:
        await self._told("anvil_loadState", "0x" + dump.state.hex())
        head = await self._head()
        if (head.number, head.hash) != (dump.head, dump.head_hash):
            raise IntegrityError(
                f"the engine loaded dump {dump.number} up to block {head.number} {head.hash}, "
                f"not {dump.head} {dump.head_hash}",
                remedy="Set FREEHOLD_ANVIL to the anvil version that wrote it.",
            )
        self._skew = dump.skew
        await reread_hashes(self._told)

    async def _replay(self, number: int) -> int:
        records: list[Record] = []
        for each in dumps.journals_from(self._disk, number):
            name = dumps.journal_name(each)
            contents = parse(await asyncio.to_thread(self._disk.read, name), name)
            if contents.torn:
                _log.warning("journal %s: %d torn bytes at its end are cut", name, contents.torn)
            records += without_refused(contents.records)
            if self._journal is not None:
                self._journal.close()
            self._journal = (
                Journal.resume(self._disk, name, contents)
                if contents.sound
                else Journal.create(self._disk, name)
            )
        if self._journal is None:
            self._journal = Journal.create(self._disk, dumps.journal_name(number))
        self._refused.clear()
        await self._apply_again(records)
        return len(records)

    async def _apply_again(self, records: Sequence[Record]) -> None:
        """Make the blocks of a journal as they were, the random part of their hashes included.

        Only the seal of the last one may not have reached the disk: nothing has read its hash.
        """
        known = [seal for each in records if isinstance(each, Block) for seal in each.seals]
        seals = {seal.number: seal for seal in (*known, *self._seals)}
        self._seals.clear()
        replay = Replay(self._told, seals)
        number = (await self._head()).number
        for record in records:
            if isinstance(record, Block):
                number += 1
                await self._mend_before(replay, record, number)
            await self._apply(record)
            if isinstance(record, Block):
                await replay.mined()
        await replay.mend()
        await self._reload(replay)
        self._seals = [seal for seal in self._seals if seal.number not in seals]

    async def _mend_before(self, replay: Replay, record: Block, number: int) -> None:
        if record.transactions or not replay.knows(number):
            await replay.mend()
        if not replay.knows(number):
            await self._reload(replay)

    async def _reload(self, replay: Replay) -> None:
        """Let a fresh engine take over mended blocks: one that was mended still finds receipts
        under the hashes it made itself."""
        if not replay.mended:
            return
        head = await self._head()
        state = await replay.state()
        await self._own.kill()
        self._engine = await Anvil.start(self._binary, self._home)
        await self._restore(dumps.Dump(0, head.number, head.hash, self._skew, state))
        replay.mended = 0

    async def _tell_time(self) -> None:
        """Set the engine's own clock, which calls and pending blocks go by."""
        await self._told("evm_setTime", hex(self._block_time()))

    async def revive(self) -> None:
        """Replace a dead engine; after too many failures the server gives up."""
        self._revivals += 1
        _log.error("the engine died; restart %d from dump and journal", self._revivals)
        self._ready = False
        if self._engine is not None:
            await self._engine.kill()
            self._engine = None
        try:
            if self._revivals > _REVIVALS:
                raise UnavailableError(
                    f"the devnet's engine died {self._revivals} times",
                    remedy=f"Read {self._home.log}; check the machine's memory.",
                )
            await self.load()
        except (EngineError, FreeholdError) as error:
            self.failed.set()
            _log.critical("the engine cannot be restarted: %s", error)
            raise UnavailableError(
                f"the devnet's engine cannot be restarted: {error}",
                remedy=f"Read {self._home.log}, then start the devnet again.",
            ) from error
