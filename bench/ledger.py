"""The devnet's journal against the bare engine: transactions a second, restarts, dumps.

`uv run python bench/ledger.py [--transactions N] [--json]`. The same signed transfers go to the
engine itself (mining each transaction at once, as anvil does by default, history pruned) and
through the server that journals them first; both by one client that waits for every receipt,
and by sixteen at once. Then the server is killed and started, and stopped and started.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2

from freehold.domain.clock import SystemClock
from freehold.domain.errors import FreeholdError, UnavailableError
from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.keys import Key
from freehold.ledger.book import Book, Draft
from freehold.ledger.devnet import dumps, engine
from freehold.ledger.devnet.disk import FolderDisk
from freehold.ledger.devnet.ports import free_port
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.rpc import Rpc
from freehold.ledger.sender import Sender
from freehold.ledger.transaction import sign
from freehold.ledger.wire import Json

CLIENTS = 16
CHAIN_ID = 31_337
_FUNDS = 10**21


@dataclass(frozen=True, slots=True)
class Result:
    """Rates in transactions a second, times in seconds, sizes in bytes."""

    transactions: int
    bare_one_client: float
    bare_sixteen_clients: float
    journaled_one_client: float
    journaled_sixteen_clients: float
    ratio_one_client: float
    ratio_sixteen_clients: float
    sender_one_client: float
    journal_bytes_each: float
    restart_after_kill: float
    replayed: int
    restart_after_stop: float
    dump: float
    dump_bytes: int


@dataclass(frozen=True, slots=True)
class Account:
    """A key and its transfers, signed before the clock runs."""

    key: Key
    raws: tuple[str, ...]


def accounts(label: str, count: int, each: int) -> list[Account]:
    """Accounts with signed transfers of one wei."""
    made = []
    for number in range(count):
        key = Key.from_secret(f"{label}{number}".encode().rjust(32, b"-"))
        drafts = [Draft(ZERO_ADDRESS, b"", 1, 21_000, 10**12, 10**9) for _ in range(each)]
        raws = [
            sign(draft, chain_id=CHAIN_ID, nonce=nonce, key=key)[1]
            for nonce, draft in enumerate(drafts)
        ]
        made.append(Account(key, tuple("0x" + raw.hex() for raw in raws)))
    return made


async def _send_all(url: str, group: Sequence[Account]) -> None:
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        await asyncio.gather(*(_send_each(client, url, each.raws) for each in group))


async def _send_each(client: httpx2.AsyncClient, url: str, raws: Sequence[str]) -> None:
    for raw in raws:
        name = await _ask(client, url, "eth_sendRawTransaction", raw)
        while await _ask(client, url, "eth_getTransactionReceipt", name) is None:
            await asyncio.sleep(0.001)


async def _ask(client: httpx2.AsyncClient, url: str, method: str, *params: Json) -> Json:
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    answer = (await client.post(url, json=call)).json()
    if "error" in answer:
        raise UnavailableError(f"{method}: {answer['error']}", remedy="Run the benchmark again.")
    result: Json = answer["result"]
    return result


def rate(url: str, group: Sequence[Account]) -> float:
    """Transactions a second until the last receipt is there."""
    seconds = timed(lambda: asyncio.run(_send_all(url, group)))
    return sum(len(each.raws) for each in group) / seconds


def timed(action: Callable[[], object]) -> float:
    """How long something takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


@contextmanager
def bare_engine(folder: Path, funded: Sequence[Account]) -> Iterator[str]:
    """The engine alone, as one would start it by hand, with pruned history."""
    port = free_port()
    genesis = {
        "config": {"chainId": CHAIN_ID},
        "nonce": "0x0",
        "timestamp": hex(int(time.time())),
        "extraData": "0x",
        "gasLimit": hex(60_000_000),
        "difficulty": "0x0",
        "mixHash": "0x" + "00" * 32,
        "coinbase": ZERO_ADDRESS,
        "alloc": {each.key.address: {"balance": hex(_FUNDS)} for each in funded},
    }
    (folder / "genesis.json").write_text(json.dumps(genesis))
    command = [
        str(engine.install()), "--port", str(port), "--quiet", "--accounts", "0",
        "--init", str(folder / "genesis.json"), "--prune-history", "10",
    ]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, "HOME": str(folder)})
    try:
        url = f"http://127.0.0.1:{port}"
        with Rpc([url], chain_id=CHAIN_ID, rounds=8) as rpc:
            rpc.block_number()
        yield url
    finally:
        process.terminate()
        process.wait()


def fund(devnet: Devnet, folder: Path, group: Sequence[Account]) -> None:
    """Give the accounts coins on the devnet."""
    with Rpc([devnet.url], chain_id=CHAIN_ID) as rpc:
        sender = Sender(rpc, devnet.funder, Book(folder / "fund.sqlite", "f"), SystemClock())
        for each in group:
            sender.send(each.key.address, b"", value=_FUNDS)
        sender.close()


def sender_rate(devnet: Devnet, folder: Path, count: int) -> float:
    """Transactions a second of one Sender: estimate, price, nonce book, send, receipt."""
    with Rpc([devnet.url], chain_id=CHAIN_ID) as rpc:
        sender = Sender(rpc, devnet.funder, Book(folder / "fund.sqlite", "f"), SystemClock())
        seconds = timed(lambda: [sender.send(ZERO_ADDRESS, b"", value=1) for _ in range(count)])
        sender.close()
    return count / seconds


def status(devnet: Devnet) -> dict[str, Json]:
    """The server's own account of itself."""
    with Rpc([devnet.url], chain_id=CHAIN_ID) as rpc:
        found = rpc.request("freehold_status")
    return found if isinstance(found, dict) else {}


def measure(folder: Path, transactions: int) -> Result:
    """Everything, in one run."""
    serial = accounts("serial", 1, max(transactions // 8, 20))
    many = accounts("many", CLIENTS, transactions // CLIENTS)
    (folder / "bare").mkdir()
    with bare_engine(folder / "bare", [*serial, *many]) as url:
        bare = rate(url, serial), rate(url, many)
    never = 10**9
    devnet = Devnet.start(folder / "home", admin=True, dump_records=never)
    try:
        fund(devnet, folder, [*serial, *many])
        before = status(devnet)
        journaled = rate(devnet.url, serial), rate(devnet.url, many)
        after = status(devnet)
        through_sender = sender_rate(devnet, folder, 50)
        replayed = int(str(status(devnet)["records"]))
        devnet.kill()
        killed = timed(lambda: _restart(folder))
        devnet = Devnet.attach(folder / "home")
        with Rpc([devnet.url], chain_id=CHAIN_ID) as rpc:
            dump = timed(lambda: rpc.request("freehold_dump"))
        devnet.stop()
        stopped = timed(lambda: _restart(folder))
        devnet = Devnet.attach(folder / "home")
        disk = FolderDisk(devnet.home.folder / "chain")
        newest = dumps.newest(disk)
    finally:
        devnet.stop()
    sent = sum(len(each.raws) for each in [*serial, *many])
    grown = int(str(after["bytes"])) - int(str(before["bytes"]))
    return Result(
        transactions=sent,
        bare_one_client=round(bare[0], 1),
        bare_sixteen_clients=round(bare[1], 1),
        journaled_one_client=round(journaled[0], 1),
        journaled_sixteen_clients=round(journaled[1], 1),
        ratio_one_client=round(journaled[0] / bare[0], 2),
        ratio_sixteen_clients=round(journaled[1] / bare[1], 2),
        sender_one_client=round(through_sender, 1),
        journal_bytes_each=round(grown / sent, 1),
        restart_after_kill=round(killed, 3),
        replayed=replayed,
        restart_after_stop=round(stopped, 3),
        dump=round(dump, 3),
        dump_bytes=0 if newest is None else len(newest.state),
    )


def _restart(folder: Path) -> None:
    Devnet.start(folder / "home", admin=True, detached=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--transactions", type=int, default=1_600)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            result = asdict(measure(Path(scratch), max(options.transactions, CLIENTS)))
    except FreeholdError as error:
        print(f"{error}\n{error.remedy}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):28} {value:>12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
