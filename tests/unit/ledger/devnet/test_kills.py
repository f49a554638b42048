"""Random kill -9 of server and engine under load: no acknowledged transaction lost or doubled."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from random import Random

import pytest

from freehold.domain.clock import SystemClock
from freehold.domain.errors import UnavailableError
from freehold.domain.keys import Key
from freehold.ledger.book import Book
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.rpc import Rpc
from freehold.ledger.sender import Patience, Sender
from unit.ledger.fake_chain import address

KILLS = 24
SEED = 20_261_122
PAYEES = [address(0xAA00 + n) for n in range(3)]


class Payer:
    """A thread that pays one wei again and again, each payment under a tag of its own, and
    tries a payment again until it is acknowledged."""

    def __init__(self, url: str, chain_id: int, key: Key, folder: Path, number: int) -> None:
        self.acknowledged: list[str] = []
        self.stop = threading.Event()
        self.failed: BaseException | None = None
        self._payee = PAYEES[number]
        self._rpc = Rpc([url], chain_id=chain_id, rounds=2, timeout=5)
        book = Book(folder / f"payer-{number}.sqlite", "payer")
        self._sender = Sender(
            self._rpc, key, book, SystemClock(), patience=Patience(bump=3, give_up=30)
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Stop after the payment at hand."""
        self.stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._sender.close()
        self._rpc.close()

    def _run(self) -> None:
        try:
            while not self.stop.is_set():
                tag = f"payment {len(self.acknowledged)}"
                try:
                    receipt = self._sender.send(self._payee, b"", value=1, tag=tag)
                except UnavailableError:
                    continue
                self.acknowledged.append(receipt.hash)
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failed = error


def engine_pid(rpc: Rpc) -> int:
    """The engine's process."""
    status = rpc.request("freehold_status")
    assert isinstance(status, dict)
    pid = status["engine_pid"]
    assert isinstance(pid, int)
    return pid


@pytest.mark.timeout(180)
def test_kills_at_random_lose_and_double_nothing(anvil: Path, tmp_path: Path) -> None:
    random = Random(SEED)
    keys = [Key.from_secret(bytes([n + 1]) * 32) for n in range(len(PAYEES))]
    devnet = Devnet.start(tmp_path, dump_records=25)
    fund(devnet, tmp_path, keys)
    payers = [
        Payer(devnet.url, devnet.chain_id, key, tmp_path, number) for number, key in enumerate(keys)
    ]
    for payer in payers:
        payer.start()
    for _ in range(KILLS):
        progress(payers, random.randrange(1, 12))
        if random.random() < 0.3:
            with Rpc([devnet.url], chain_id=devnet.chain_id) as rpc:
                os.kill(engine_pid(rpc), signal.SIGKILL)
        else:
            devnet.kill()
            devnet = Devnet.start(tmp_path, dump_records=25)
    progress(payers, 3)
    for payer in payers:
        payer.finish()
    assert [payer.failed for payer in payers] == [None] * len(payers)
    with Rpc([devnet.url], chain_id=devnet.chain_id) as rpc:
        for payer, payee, key in zip(payers, PAYEES, keys, strict=True):
            assert len(set(payer.acknowledged)) == len(payer.acknowledged)
            assert rpc.balance(payee) == len(payer.acknowledged), "a payment was lost or doubled"
            assert rpc.nonce(key.address) == len(payer.acknowledged)
            assert all(rpc.receipt(name) for name in payer.acknowledged[::10])
    devnet.stop()
    total = sum(len(payer.acknowledged) for payer in payers)
    print(f"{KILLS} kills, {total} acknowledged transactions, none lost, none doubled")


def fund(devnet: Devnet, folder: Path, keys: list[Key]) -> None:
    """Give the payers coins."""
    with Rpc([devnet.url], chain_id=devnet.chain_id) as rpc:
        sender = Sender(rpc, devnet.funder, Book(folder / "funder.sqlite", "f"), SystemClock())
        for key in keys:
            sender.send(key.address, b"", value=10**20)
        sender.close()


def progress(payers: list[Payer], payments: int) -> None:
    """Wait until so many more payments are acknowledged."""
    goal = sum(len(payer.acknowledged) for payer in payers) + payments
    for _ in range(12_000):
        if sum(len(payer.acknowledged) for payer in payers) >= goal:
            return
        assert not any(payer.failed for payer in payers), [payer.failed for payer in payers]
        threading.Event().wait(0.005)
    raise AssertionError("no payment goes through any more")
