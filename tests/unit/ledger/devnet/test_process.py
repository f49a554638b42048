"""The devnet as a process: what survives stops, kills and damage, and what it refuses."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from freehold.domain.clock import SystemClock
from freehold.domain.errors import ConflictError, UnavailableError, VersionError
from freehold.domain.ids import Address
from freehold.ledger.book import Book
from freehold.ledger.clock import ChainClock
from freehold.ledger.devnet import dumps
from freehold.ledger.devnet.disk import FolderDisk
from freehold.ledger.devnet.journal import Block, encode
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.rpc import Rpc
from freehold.ledger.sender import Sender
from freehold.ledger.transaction import CREATION
from freehold.ledger.wire import RpcRefusal
from unit.ledger.devnet.waiting import until
from unit.ledger.fake_chain import address

# Answers the time, the number, and the hash of the block whose number is asked.
READER = bytes.fromhex("6013600c5f3960135ff3" + "0000" + "425f52436020525f354060405260605ff3")
# Keeps the hash of the block before, at every call.
KEEPER = bytes.fromhex("6008600c5f3960085ff3" + "0000" + "6001430340435500")
SOMEONE = address(0x5151)


class Site:
    """A home folder and whatever devnet runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.devnet: Devnet | None = None
        self.open: list[Rpc | Sender] = []

    def start(self, *, admin: bool = True, dump_records: int | None = None) -> Rpc:
        """Start it; an RPC to it."""
        self.devnet = Devnet.start(self.folder, admin=admin, dump_records=dump_records)
        rpc = Rpc([self.devnet.url], chain_id=self.devnet.chain_id)
        self.open.append(rpc)
        return rpc

    def sender(self, rpc: Rpc) -> Sender:
        """The funder's sender."""
        book = Book(self.folder / "book.sqlite", "funder")
        sender = Sender(rpc, self.running.funder, book, SystemClock())
        self.open.append(sender)
        return sender

    def close(self) -> None:
        """Close everything and end the devnet."""
        for each in self.open:
            each.close()
        if self.devnet is not None:
            self.devnet.stop()

    @property
    def running(self) -> Devnet:
        """The devnet."""
        assert self.devnet is not None
        return self.devnet

    @property
    def disk(self) -> FolderDisk:
        """Its dumps and journals."""
        return FolderDisk(self.running.home.folder / "chain")


@pytest.fixture
def site(anvil: Path, tmp_path: Path) -> Iterator[Site]:
    """A home folder; its devnet is ended afterwards."""
    made = Site(tmp_path)
    yield made
    made.close()


def status(rpc: Rpc) -> dict[str, object]:
    """The server's own account of itself."""
    answer = rpc.request("freehold_status")
    assert isinstance(answer, dict)
    return dict(answer)


def engine_pid(rpc: Rpc) -> int:
    """The engine's process."""
    pid = status(rpc)["engine_pid"]
    assert isinstance(pid, int)
    return pid


def gone(pid: int) -> bool:
    """Whether a process is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


@pytest.mark.parametrize("end", [Devnet.stop, Devnet.kill], ids=["stop", "kill"])
def test_everything_acknowledged_survives(site: Site, end: Callable[[Devnet], None]) -> None:
    rpc = site.start()
    sender = site.sender(rpc)
    reader = sender.send(CREATION, READER).contract
    receipts = [sender.send(SOMEONE, b"", value=5) for _ in range(5)]
    rpc.request("evm_increaseTime", 3_600)
    engine = engine_pid(rpc)
    end(site.running)
    until(lambda: gone(engine), "the engine outlived its server")
    rpc = site.start()
    assert rpc.balance(SOMEONE) == 25
    assert reader is not None
    assert rpc.code(reader)
    for receipt in receipts:
        found = rpc.receipt(receipt.hash)
        assert found is not None
        assert found.block == receipt.block
    clock = ChainClock(rpc, SystemClock())
    assert 3_590 < clock.now() - SystemClock().now() < 3_660
    site.sender(rpc).send(SOMEONE, b"", value=5)
    assert rpc.balance(SOMEONE) == 30
    check_block_hashes(rpc, reader)


def check_block_hashes(rpc: Rpc, reader: Address) -> None:
    """BLOCKHASH tells the hashes that the headers have, from before a restart too."""
    head = rpc.block_number()
    for number in range(head):
        answer = rpc.call(reader, number.to_bytes(32, "big"))
        assert answer[64:].hex() == rpc.header(number).hash[2:], number


def test_a_truncated_dump_and_a_torn_journal_lose_nothing(site: Site) -> None:
    rpc = site.start()
    sender = site.sender(rpc)
    for _ in range(3):
        sender.send(SOMEONE, b"", value=1)
    rpc.request("freehold_dump")
    sender.send(SOMEONE, b"", value=1)
    rpc.request("freehold_dump")
    sender.send(SOMEONE, b"", value=1)
    site.running.kill()
    newest = dumps.highest(site.disk)
    chain = site.running.home.folder / "chain"
    state = chain / dumps.state_name(newest)
    state.write_bytes(state.read_bytes()[:-20])
    with (chain / dumps.journal_name(newest)).open("ab") as journal:
        journal.write(encode(Block(1, ("0x1234",)))[:-3])
    rpc = site.start()
    assert rpc.balance(SOMEONE) == 5
    found = dumps.newest(site.disk)
    assert found is not None
    assert found.number == newest + 1


def test_a_dead_engine_is_replaced(site: Site) -> None:
    rpc = site.start()
    sender = site.sender(rpc)
    sender.send(SOMEONE, b"", value=1)
    for _ in range(2):
        killed = engine_pid(rpc)
        os.kill(killed, signal.SIGKILL)
        sender.send(SOMEONE, b"", value=1)
        assert engine_pid(rpc) != killed
    assert rpc.balance(SOMEONE) == 3
    assert status(rpc)["restarts"] == 2


def test_the_chain_rests_after_three_blocks(site: Site) -> None:
    rpc = site.start()
    block = site.sender(rpc).send(SOMEONE, b"", value=1).block
    until(lambda: status(rpc)["trailing"] == 0, "the chain does not come to rest")
    assert rpc.block_number() == block + 3


def test_only_one_devnet_a_home(site: Site) -> None:
    site.start()
    with pytest.raises(ConflictError, match="runs already"):
        Devnet.start(site.folder)
    found = Devnet.attach(site.folder)
    assert (found.pid, found.url) == (site.running.pid, site.running.url)
    found.stop()
    assert not found.alive
    with pytest.raises(UnavailableError, match="no devnet runs"):
        Devnet.attach(site.folder)


def test_errors_of_the_server_reach_the_caller_typed(site: Site, tmp_path: Path) -> None:
    site.start()
    site.running.stop()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", site.running.home.port))
        squatter.listen()
        with pytest.raises(ConflictError, match="is taken"):
            Devnet.start(site.folder)
    settings = site.running.home.folder / "devnet.json"
    settings.write_text(
        settings.read_text().replace('"freehold_devnet": 1', '"freehold_devnet": 7')
    )
    with pytest.raises(VersionError):
        Devnet.start(site.folder)


def test_what_the_server_refuses(site: Site) -> None:
    rpc = site.start(admin=False)
    for method, *params in (
        ("anvil_setBalance", SOMEONE, "0x1"),
        ("anvil_impersonateAccount", SOMEONE),
        ("evm_increaseTime", 5),
        ("anvil_reorg", 1),
        ("eth_sendTransaction", {"from": SOMEONE}),
        ("eth_accounts",),
        ("debug_traceTransaction", "0x"),
        ("txpool_content",),
    ):
        with pytest.raises(RpcRefusal, match=r"does not offer|needs a devnet") as caught:
            rpc.request(method, *params)
        assert caught.value.code == -32601
    for raw in ("", "0x", "0xzz", "0x123", 5, None, "0x02" + "ff" * 50):
        with pytest.raises(RpcRefusal):
            rpc.request("eth_sendRawTransaction", raw)
    assert rpc.block_number() == status(rpc)["records"]


def test_how_the_server_speaks_http(site: Site) -> None:
    rpc = site.start(admin=True)
    with pytest.raises(RpcRefusal, match="does not offer"):
        rpc.request("anvil_setBalance", SOMEONE, "0x1")
    url = site.running.url
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    with httpx2.Client(trust_env=False) as client:
        assert client.get(f"{url}/health").json()["restarts"] == 0
        assert client.get(url).status_code == 405
        assert client.post(url, content=b"{").status_code == 400
        assert client.post(url, json=[]).status_code == 400
        assert client.post(url, json=[call] * 101).status_code == 400
        assert client.post(url, content=b"[" * 100_000).status_code == 400
        assert client.post(url, content=b"x" * (5 * 2**20)).status_code == 413
        assert client.post(url, json=call, headers={"host": "evil.test"}).status_code == 403
        assert (
            client.post(url, json=call, headers={"origin": "http://evil.test"}).status_code == 403
        )
        answers = client.post(
            url, json=[call, 5, {**call, "params": {}}, {**call, "id": "x"}]
        ).json()
    assert [answer.get("result") for answer in answers] == ["0x7a69", None, None, "0x7a69"]
    assert answers[3]["id"] == "x"


def test_a_reorganisation_survives_a_restart(site: Site) -> None:
    rpc = site.start()
    sender = site.sender(rpc)
    sender.send(SOMEONE, b"", value=1)
    dropped = sender.send(SOMEONE, b"", value=1, tag="t")
    until(lambda: status(rpc)["trailing"] == 0, "the chain does not come to rest")
    rpc.request("anvil_reorg", 4)
    assert rpc.receipt(dropped.hash) is None
    site.running.kill()
    rpc = site.start()
    assert rpc.balance(SOMEONE) == 1
    site.sender(rpc).send(SOMEONE, b"", value=1, tag="t")
    assert rpc.balance(SOMEONE) == 2


def test_a_devnet_ends_with_its_parent_unless_detached(site: Site) -> None:
    site.start()
    assert site.running._process is not None
    assert site.running._process.stdin is not None
    site.running._process.stdin.close()
    until(lambda: not site.running.alive, "it outlived its parent")


def test_a_network_id_is_not_a_chain_id(site: Site) -> None:
    site.devnet = Devnet.start(site.folder, chain_id=77_001)
    with Rpc([site.devnet.url], chain_id=77_001) as rpc:
        rpc.check_chain()


def test_a_kill_changes_no_hash_and_nothing_that_was_read_from_one(site: Site) -> None:
    rpc = site.start()
    sender = site.sender(rpc)
    keeper = sender.send(CREATION, KEEPER).contract
    assert keeper is not None
    receipts = []
    for _ in range(3):
        rpc.request("evm_mine", 2)
        receipts.append(sender.send(keeper, b""))
        receipts.append(sender.send(SOMEONE, b"", value=5))
    rpc.request("evm_mine", 2)
    hashes = [rpc.header(number).hash for number in range(rpc.block_number())]
    for end in (Devnet.kill, Devnet.kill, Devnet.stop):
        end(site.running)
        rpc = site.start()
        assert [rpc.header(number).hash for number in range(len(hashes))] == hashes
        for receipt in receipts:
            assert rpc.receipt(receipt.hash) == receipt
        for receipt in receipts[::2]:
            kept = rpc.request("eth_getStorageAt", keeper, hex(receipt.block), "latest")
            assert kept == hashes[receipt.block - 1]
