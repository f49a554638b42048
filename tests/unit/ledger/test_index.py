"""The index follows a chain that grows, reorganises, refuses wide ranges, and moves meanwhile."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from eth_abi.abi import encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.domain.errors import UnavailableError, UsageError, VersionError
from freehold.domain.ids import raw_address
from freehold.domain.network import Network
from freehold.ledger import abi, shelf
from freehold.ledger import index as module
from freehold.ledger.index import Index
from freehold.ledger.rpc import Rpc
from unit.ledger.fake_chain import CHAIN_ID, FakeChain, Refusal, address

TOKEN = address(0x70)
NETWORK = Network(
    "test",
    CHAIN_ID,
    b"\x01" * 32,
    {"token": TOKEN, "governor": address(0x60)},
    {},
    ("http://a",),
    2,
)


def movement(amount: int, *, sender: int = 1, recipient: int = 2) -> dict[str, object]:
    """A Movement log of the token."""
    kind = abi.artifact("token").event("Movement")
    indexed = [raw_address(address(n)).rjust(32, b"\0") for n in (0x70, sender, recipient)]
    return {
        "address": TOKEN,
        "topics": ["0x" + topic.hex() for topic in (kind.topic, *indexed)],
        "data": "0x" + encode(["uint256", "uint8"], [amount, 3]).hex(),
        "transactionHash": "0x" + amount.to_bytes(32, "big").hex(),
    }


def opened(chain: FakeChain, folder: Path, *, database: str | None = None) -> Index:
    """An index as a fresh process would open it."""
    rpc = Rpc(["http://a"], chain_id=CHAIN_ID, rounds=1, transport=chain.transport())
    return Index.open(NETWORK, rpc=rpc, state=folder, database=database)


def amounts(index: Index, **where: object) -> list[int]:
    """The amounts of the Movements that match."""
    found = index.events("token", "Movement", where=where or None)
    return [event.number("amount") for event in found]


def test_it_follows_and_survives_reopening(tmp_path: Path) -> None:
    chain = FakeChain()
    for amount in range(10):
        chain.mine(logs=[movement(amount)])
    index = opened(chain, tmp_path)
    assert index.sync() == 10
    assert amounts(index) == list(range(1, 10)), "nothing before the network's first block"
    index.close()
    index = opened(chain, tmp_path)
    chain.asked.clear()
    assert index.sync() == 10
    assert "eth_getLogs" not in chain.asked
    chain.mine(logs=[movement(77), movement(78)])
    assert index.sync() == 11
    last = index.last("token", "Movement")
    assert last is not None
    assert (last.number("amount"), last.block, last.index) == (78, 11, 1)
    assert last.time == chain.blocks[-1].time


def test_queries(tmp_path: Path) -> None:
    chain = FakeChain()
    chain.mine()
    for n in range(1, 31):
        chain.mine(logs=[movement(n, sender=n % 3, recipient=n % 2)])
    index = opened(chain, tmp_path)
    index.sync()
    assert amounts(index, sender=address(1)) == list(range(1, 31, 3))
    assert amounts(index, sender=address(1), recipient=address(1)) == [1, 7, 13, 19, 25]
    assert amounts(index, amount=9) == [9]
    assert index.count("token", "Movement", where={"sender": address(2)}) == 10
    assert [e.block for e in index.events("token", "Movement", since=30)] == [30, 31]
    assert [e.block for e in index.events("token", "Movement", until=3)] == [2, 3]
    newest = index.events("token", "Movement", limit=2, newest_first=True)
    assert [e.number("amount") for e in newest] == [30, 29]
    page = index.events("token", "Movement", limit=7)
    more = index.events("token", "Movement", limit=7, after=page[-1])
    assert [e.number("amount") for e in page + more] == list(range(1, 15))
    with pytest.raises(UsageError, match="no argument colour"):
        index.events("token", "Movement", where={"colour": 1})
    with pytest.raises(UsageError, match="not indexed"):
        index.count("token", "Movement", where={"amount": 1})


def test_more_matches_than_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 4)
    chain = FakeChain()
    for block in range(10):
        chain.mine(logs=[movement(block * 3 + n) for n in range(3)])
    index = opened(chain, tmp_path)
    index.sync()
    assert amounts(index) == list(range(3, 30))
    assert amounts(index, amount=29) == [29]


@pytest.mark.parametrize("depth", [1, 3, 9, 12])
def test_a_reorganisation_is_rolled_back(tmp_path: Path, depth: int) -> None:
    chain = FakeChain()
    for amount in range(12):
        chain.mine(logs=[movement(amount)])
    index = opened(chain, tmp_path)
    index.sync()
    chain.reorganise(depth)
    for amount in range(100, 100 + depth + 1):
        chain.mine(logs=[movement(amount)])
    assert index.sync() == 13
    expected = [log["transactionHash"] for block in chain.blocks[2:] for log in block.logs]
    assert [e.transaction for e in index.events("token", "Movement")] == expected
    assert index.rollbacks() == 1


def test_a_chain_that_became_shorter_is_followed(tmp_path: Path) -> None:
    chain = FakeChain()
    for amount in range(12):
        chain.mine(logs=[movement(amount)])
    index = opened(chain, tmp_path)
    index.sync()
    chain.reorganise(5)
    assert index.sync() == 7
    assert amounts(index) == [1, 2, 3, 4, 5, 6]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("mine"), st.integers(1, 40)),
            st.tuples(st.just("reorganise"), st.integers(1, 30)),
            st.tuples(st.just("sync"), st.integers(1, 20)),
        ),
        max_size=14,
    )
)
def test_whatever_happens_the_index_equals_the_chain(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    chain = FakeChain()
    chain.mine()
    folder = tmp_path_factory.mktemp("index")
    index = opened(chain, folder)
    amount = 0
    for action, number in steps:
        if action == "mine":
            for _ in range(number):
                amount += 1
                chain.mine(logs=[movement(amount)] if amount % 3 else [])
        elif action == "reorganise":
            depth = min(number, len(chain.blocks) - 1)
            if depth:
                chain.reorganise(depth)
        else:
            index.sync(blocks=number)
    if len(chain.blocks) == 1:
        chain.mine()
    index.sync()
    expected = [log["transactionHash"] for block in chain.blocks[2:] for log in block.logs]
    assert [e.transaction for e in index.events("token", "Movement")] == expected
    index.close()


def test_a_reorganisation_between_logs_and_headers_is_noticed(tmp_path: Path) -> None:
    chain = FakeChain()
    for amount in range(6):
        chain.mine(logs=[movement(amount)])
    index = opened(chain, tmp_path)

    def moving(params: list[object]) -> object:
        del chain.answers["eth_getLogs"]
        before = chain._eth_getLogs(params)
        chain.reorganise(3)
        for amount in range(50, 54):
            chain.mine(logs=[movement(amount)])
        return before

    chain.answers["eth_getLogs"] = moving
    index.sync()
    assert amounts(index) == [1, 2, 50, 51, 52]
    index.sync()
    assert amounts(index) == [1, 2, 50, 51, 52, 53]


def test_spans_shrink_while_the_rpc_refuses_them(tmp_path: Path) -> None:
    chain = FakeChain()
    for amount in range(300):
        chain.mine(logs=[movement(amount)] if amount % 50 == 1 else [])

    def narrow(params: list[object]) -> object:
        query = params[0]
        assert isinstance(query, dict)
        if int(query["toBlock"], 16) - int(query["fromBlock"], 16) > 40:
            raise Refusal("query exceeds max block range 40")
        return chain._eth_getLogs(params)

    chain.answers["eth_getLogs"] = narrow
    index = opened(chain, tmp_path)
    assert index.sync() == 300
    assert amounts(index) == [1, 51, 101, 151, 201, 251]


def test_old_blocks_are_thinned_and_a_deep_reorganisation_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "NEAR", 8)
    monkeypatch.setattr(shelf, "_THIN_EVERY", 10)
    monkeypatch.setattr(module, "SPAN", 20)
    chain = FakeChain()
    index = opened(chain, tmp_path)
    for amount in range(400):
        chain.mine(logs=[movement(amount)] if amount % 40 == 7 else [])
        if amount % 10 == 0:
            index.sync()
    index.sync()
    stored = sqlite3.connect(tmp_path / "index.sqlite").execute(
        "SELECT count(*) FROM freehold_blocks"
    )
    assert stored.fetchone()[0] < 120
    chain.reorganise(200)
    for amount in range(1_000, 1_210):
        chain.mine(logs=[movement(amount)] if amount % 40 == 7 else [])
    index.sync()
    expected = [log["transactionHash"] for block in chain.blocks[2:] for log in block.logs]
    assert [e.transaction for e in index.events("token", "Movement")] == expected


def test_two_processes_may_share_the_file(tmp_path: Path) -> None:
    chain = FakeChain()
    for amount in range(30):
        chain.mine(logs=[movement(amount)])
    first, second = opened(chain, tmp_path), opened(chain, tmp_path)
    first.sync(blocks=10)
    second.sync()
    first.sync()
    assert amounts(first) == amounts(second) == list(range(1, 30))


def test_a_span_read_before_another_process_rolled_back_is_not_stored(tmp_path: Path) -> None:
    chain = FakeChain()
    for amount in range(12):
        chain.mine(logs=[movement(amount)])
    first, second = opened(chain, tmp_path), opened(chain, tmp_path)
    first.sync(blocks=8)

    def meanwhile(params: list[object]) -> object:
        del chain.answers["eth_getLogs"]
        second._shelf.roll_back(shelf.Cursor(4, chain.blocks[4].hash))
        return chain._eth_getLogs(params)

    chain.answers["eth_getLogs"] = meanwhile
    first.sync()
    assert amounts(first) == list(range(1, 12))


def test_logs_that_nobody_asked_for_are_refused(tmp_path: Path) -> None:
    chain = FakeChain()
    chain.mine()
    chain.mine(logs=[{**movement(1), "address": address(0x99)}])
    with pytest.raises(UnavailableError, match="not asked for"):
        opened(chain, tmp_path).sync()


def test_foreign_and_newer_databases_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.sqlite").write_text("this is no database at all" * 50)
    with pytest.raises(VersionError, match="not an event index"):
        opened(FakeChain(), tmp_path / "a")
    opened(FakeChain(), tmp_path / "b").close()
    changed = sqlite3.connect(tmp_path / "b" / "index.sqlite")
    changed.execute("UPDATE freehold_index SET version = 9")
    changed.commit()
    changed.close()
    with pytest.raises(VersionError, match="version 9"):
        opened(FakeChain(), tmp_path / "b")


def test_a_bad_database_url_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="database URL"):
        opened(FakeChain(), tmp_path, database="nonsense://")


def test_a_database_server_that_is_down_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="index cannot be used"):
        opened(FakeChain(), tmp_path, database="postgresql+pg8000://nobody@127.0.0.1:9/none")


def test_postgresql_serves_as_well(tmp_path: Path) -> None:
    url = os.environ.get("FREEHOLD_TEST_POSTGRES")
    if not url:
        pytest.skip(
            "no PostgreSQL: start one (Debian: postgresql) and name an empty database in "
            "FREEHOLD_TEST_POSTGRES=postgresql+pg8000://USER@127.0.0.1:PORT/NAME"
        )
    chain = FakeChain(fork=os.urandom(8).hex())
    index = opened(chain, tmp_path, database=url)
    index._shelf.roll_back(index._shelf.origin())
    for amount in range(20):
        chain.mine(logs=[movement(amount)])
    index.sync()
    chain.reorganise(4)
    chain.mine(logs=[movement(500)])
    index.sync()
    assert amounts(index) == [*range(1, 16), 500]
    assert amounts(index, sender=address(1), amount=500) == [500]
    index.close()
