"""The chain over a disk that loses every unsynced write when the power goes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from freehold.domain.clock import SystemClock
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import ZERO_ADDRESS
from freehold.ledger.book import Draft
from freehold.ledger.devnet import chain as chain_module
from freehold.ledger.devnet import machine as machine_module
from freehold.ledger.devnet.anvil import EngineError, EngineRefusal
from freehold.ledger.devnet.chain import BusyError, Chain
from freehold.ledger.devnet.home import Home, create_or_open
from freehold.ledger.devnet.journal import Record
from freehold.ledger.devnet.machine import Machine, Outcome
from freehold.ledger.devnet.saver import DumpPolicy
from freehold.ledger.devnet.server import Server
from freehold.ledger.transaction import CREATION, sign
from unit.ledger.devnet.lossy_disk import Crash, LossyDisk

CRASHES, READS = 10, 200


class Bench:
    """A home with a disk in memory, and the funder's transactions by nonce."""

    def __init__(self, folder: Path, anvil: Path, random: Random) -> None:
        self.home: Home = create_or_open(
            folder, now=1_700_000_000, random=random.randbytes, chain_id=31_337
        )
        self.anvil = anvil
        self.disk = LossyDisk(random)

    def chain(self, *, records: int = 6) -> Chain:
        """A chain as a fresh process would open it."""
        machine = Machine(
            home=self.home,
            binary=self.anvil,
            disk=self.disk,
            clock=SystemClock(),
            policy=DumpPolicy(records=records, share=0),
        )
        return Chain(machine)

    def transaction(self, nonce: int, *, value: int = 1) -> str:
        """A signed transfer."""
        return self._signed(Draft(ZERO_ADDRESS, b"", value, 21_000, 10**11, 10**9), nonce)

    def heavy(self, nonce: int) -> str:
        """A signed transaction that burns 25 million gas in a loop."""
        return self._signed(Draft(CREATION, b"\x5b\x5f\x56", 0, 25_000_000, 10**12, 10**9), nonce)

    def _signed(self, draft: Draft, nonce: int) -> str:
        _, raw = sign(draft, chain_id=31_337, nonce=nonce, key=self.home.funder)
        return "0x" + raw.hex()

    async def nonce(self, chain: Chain) -> int:
        """How many of the funder's transactions are mined."""
        count = await chain.engine.ask(
            "eth_getTransactionCount", self.home.funder.address, "latest"
        )
        return int(str(count), 16)


@pytest.fixture
def bench(tmp_path: Path, anvil: Path) -> Bench:
    """A fresh home."""
    return Bench(tmp_path, anvil, Random(3))


async def run_until_crash(chain: Chain, bench: Bench, nonce: int) -> int:
    """Send one transaction after another until the power goes; how many were acknowledged."""
    while True:
        sent = asyncio.create_task(chain.submit(bench.transaction(nonce)))
        miner = chain._tasks[0]
        await asyncio.wait({sent, miner}, return_when=asyncio.FIRST_COMPLETED)
        if not sent.done():
            sent.cancel()
            return nonce
        await sent
        nonce += 1


def power_cut(chain: Chain) -> None:
    """Nothing of a crashed process runs on."""
    for task in chain._tasks:
        task.cancel()
        if task.done() and not task.cancelled():
            task.exception()
    if saving := chain._machine._saver._saving:
        saving.add_done_callback(lambda task: task.cancelled() or task.exception())


def test_no_acknowledged_transaction_is_lost_with_unsynced_writes(bench: Bench) -> None:
    async def live() -> None:
        acknowledged = 0
        for _ in range(CRASHES):
            chain = bench.chain()
            try:
                await chain.open()
                mined = await bench.nonce(chain)
                assert mined >= acknowledged, "an acknowledged transaction is lost"
                bench.disk.fuse = bench.disk.random.randrange(2, 40)
                acknowledged = await run_until_crash(chain, bench, mined)
            except Crash:
                pass
            power_cut(chain)
            await chain.engine.kill()
            bench.disk.reboot()
        chain = bench.chain()
        await chain.open()
        assert await bench.nonce(chain) >= acknowledged > CRASHES
        await chain.close()

    asyncio.run(live())


def test_a_full_disk_refuses_and_takes_up_again(bench: Bench) -> None:
    async def live() -> None:
        chain = bench.chain()
        await chain.open()
        await chain.submit(bench.transaction(0))
        bench.disk.full = True
        with pytest.raises(UnavailableError, match="cannot write its journal"):
            await chain.submit(bench.transaction(1))
        assert await bench.nonce(chain) == 1, "what was not written must not be mined"
        bench.disk.full = False
        await chain.submit(bench.transaction(1))
        assert await bench.nonce(chain) == 2
        await chain.close()
        chain = bench.chain()
        await chain.open()
        assert await bench.nonce(chain) == 2
        await chain.close()

    asyncio.run(live())


def test_refused_transactions_stay_refused_after_a_replay(bench: Bench) -> None:
    async def live() -> None:
        chain = bench.chain(records=10_000)
        await chain.open()
        with pytest.raises(EngineRefusal):
            await chain.submit(bench.transaction(0, value=10**40))
        await chain.submit(bench.transaction(0))
        with pytest.raises(EngineRefusal, match=r"nonce too low|already"):
            await chain.submit(bench.transaction(0))
        power_cut(chain)
        await chain.engine.kill()
        chain = bench.chain()
        await chain.open()
        assert await bench.nonce(chain) == 1
        await chain.close()

    asyncio.run(live())


def test_what_does_not_fit_into_one_block_goes_into_the_next(bench: Bench) -> None:
    async def live() -> None:
        chain = bench.chain()
        await chain.open()
        await asyncio.gather(*(chain.submit(bench.heavy(nonce)) for nonce in range(5)))
        assert await bench.nonce(chain) == 5
        assert await chain.engine.ask("txpool_status") == {"pending": "0x0", "queued": "0x0"}
        power_cut(chain)
        await chain.engine.kill()
        chain = bench.chain()
        await chain.open()
        assert await bench.nonce(chain) == 5
        await chain.close()

    asyncio.run(live())


def test_what_waited_for_a_nonce_is_mined_with_it(bench: Bench) -> None:
    async def live() -> None:
        chain = bench.chain()
        await chain.open()
        for nonce in (4, 3, 2, 1, 0):
            await chain.submit(bench.heavy(nonce))
        assert await bench.nonce(chain) == 5
        await chain.close()

    asyncio.run(live())


def test_too_many_waiting_are_turned_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "QUEUE_LIMIT", 3)

    async def live() -> None:
        chain = bench.chain()
        await chain.open()
        sent = [asyncio.create_task(chain.submit(bench.transaction(n))) for n in range(12)]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        assert any(isinstance(outcome, BusyError) for outcome in outcomes)
        assert await bench.nonce(chain) == sum(isinstance(each, str) for each in outcomes)
        await chain.close()

    asyncio.run(live())


def test_nobody_is_answered_in_the_middle_of_a_replay(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = Machine._apply

    async def watched(self: Machine, record: Record) -> list[Outcome]:
        if replaying:
            with pytest.raises(EngineError):
                await self.engine.forward(b"{}")
            seen.append(record)
        return await apply(self, record)

    replaying = False
    seen: list[Record] = []
    monkeypatch.setattr(Machine, "_apply", watched)

    async def live() -> None:
        nonlocal replaying
        chain = bench.chain(records=10_000)
        await chain.open()
        await chain.submit(bench.transaction(0))
        replaying = True
        chain.engine.process.kill()
        await chain.mine(1)
        replaying = False
        assert seen
        assert await bench.nonce(chain) == 1
        await chain.close()

    asyncio.run(live())


def test_the_state_at_the_head_is_not_that_of_the_next_block(bench: Bench) -> None:
    async def live() -> None:
        chain = bench.chain(records=READS)
        await chain.open()
        server, nonces, done = Server(chain, admin=False), dict[int, int](), asyncio.Event()

        async def ask(method: str, *params: object) -> int:
            call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
            body = json.dumps(call).encode()
            answer = await server._one(json.loads(body), body)
            return int(json.loads(answer)["result"], 16)

        async def read() -> list[tuple[int, int]]:
            told = []
            while not done.is_set():
                head = await ask("eth_blockNumber")
                count = await ask("eth_getTransactionCount", bench.home.funder.address, hex(head))
                told.append((head, count))
            return told

        readers = [asyncio.create_task(read()) for _ in range(4)]
        for nonce in range(READS):
            await chain.submit(bench.transaction(nonce))
            nonces[await ask("eth_blockNumber")] = nonce + 1
        done.set()
        told = [each for reader in readers for each in await reader]
        await chain.close()
        known = [(head, count) for head, count in told if head in nonces]
        assert len(known) > READS
        assert [each for each in known if each[1] != nonces[each[0]]] == []

    asyncio.run(live())


def test_an_engine_that_keeps_dying_ends_the_server(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_module, "_REVIVALS", 0)

    async def live() -> None:
        chain = bench.chain()
        await chain.open()
        chain.engine.process.kill()
        with pytest.raises(UnavailableError):
            await chain.submit(bench.transaction(0))
        assert chain.failed.is_set()
        await chain.close()

    asyncio.run(live())
