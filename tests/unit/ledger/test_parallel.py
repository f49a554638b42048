"""Threads and processes that send from one key at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from freehold.domain.clock import SystemClock
from freehold.ledger.book import Book
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.rpc import Rpc
from freehold.ledger.sender import Sender
from unit.ledger.fake_chain import address

PROGRAM = """
import sys
from freehold.domain.clock import SystemClock
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.ledger.book import Book
from freehold.ledger.rpc import Rpc
from freehold.ledger.sender import Sender
from pathlib import Path

url, chain_id, secret, book, payee, count = sys.argv[1:]
with Rpc([url], chain_id=int(chain_id)) as rpc:
    key = Key.from_secret(bytes.fromhex(secret))
    sender = Sender(rpc, key, Book(Path(book), "shared"), SystemClock())
    for _ in range(int(count)):
        sender.send(Address(payee), b"", value=1)
    sender.close()
"""


def test_processes_and_threads_share_a_key(devnet: Devnet, tmp_path: Path) -> None:
    payee = address(0x9999_0001)
    book = tmp_path / "book.sqlite"
    secret = devnet.funder.secret.hex()
    arguments = [devnet.url, str(devnet.chain_id), secret, str(book), payee, "12"]
    processes = [subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments]) for _ in range(2)]
    with Rpc([devnet.url], chain_id=devnet.chain_id) as rpc:
        before = rpc.balance(payee)
        sender = Sender(rpc, devnet.funder, Book(book, "shared"), SystemClock())
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: sender.send(payee, b"", value=1), range(18)))
        assert [process.wait(60) for process in processes] == [0, 0]
        assert before == 0
        assert rpc.balance(payee) == 42
        sender.close()
