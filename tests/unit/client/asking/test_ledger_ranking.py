"""The ranking that the ledger gives: seats, endpoints, payees, prices that nodes say, scores."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import pytest

from freehold.client.asking.choice import order
from freehold.client.asking.listing import BYTES, SECONDS, listings, schema_of
from freehold.client.asking.measured import Measures
from freehold.client.asking.standing import LISTED, SILENT, LedgerRanking
from freehold.client.connection import Peer
from freehold.domain.errors import NotFoundError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.ledger.contracts.registry import MODEL, VALIDATOR, Node
from freehold.ledger.contracts.subnet import PAGE, Seat
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import View
from unit.client.asking.fakes import SCHEMA, SUBNET, number

OWNER, PAYEE = number(1), number(2)


@dataclass
class Answers:
    """What a server on loopback says by path, and how often it was asked."""

    url: str = ""
    by_path: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hang: threading.Event | None = None

    def say(self, price: object = "0", **told: object) -> None:
        self.by_path["/v2"] = 200, json.dumps({"freehold": {"price": price, **told}}).encode()


@contextmanager
def answering() -> Iterator[Answers]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answers.asked.append(self.path)
            if answers.hang is not None:
                answers.hang.wait(20)
            status, body = answers.by_path.get(self.path, (404, b"{}"))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    answers.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Town:
    """A ledger with one subnet."""

    seats: list[Seat] = field(default_factory=list)
    nodes: dict[Address, Node] = field(default_factory=dict)
    schema: bytes = SCHEMA.hash()

    def add(self, seed: int, url: str, *, roles: int = MODEL, **changes: object) -> Address:
        node = number(100 + seed)
        entry = Node(OWNER, PAYEE, roles, 1, 5, False, url, bytes(32), bytes(32))
        self.nodes[node] = replace(entry, **changes)  # type: ignore[arg-type]
        self.seats.append(Seat(node, 10, 1))
        return node

    def page(self, _: int, first: int = 0) -> list[Seat]:
        return self.seats[first : first + PAGE]

    def call_many(self, views: list[View]) -> list[object]:
        return [asdict(self.nodes[cast("Address", view.args[0])]) for view in views]

    @property
    def ledger(self) -> Ledger:
        subnet = SimpleNamespace(
            id_of=lambda name: 1 if name == SUBNET else 0,
            seats=self.page,
            epoch=lambda: 3,
            task_at=lambda *_: SimpleNamespace(schema=self.schema),
        )
        return cast("Ledger", SimpleNamespace(subnet=subnet, call_many=self.call_many))


@dataclass
class Final:
    shares: dict[int, tuple[int, float]]

    def incentives(self, subnet: int) -> Mapping[int, tuple[int, float]]:
        assert subnet == 1
        return self.shares


@pytest.fixture
def node() -> Iterator[Answers]:
    with answering() as answers:
        answers.say("7", token=number(9))
        yield answers


def ranking(town: Town, scores: Final | None = None, **more: Any) -> LedgerRanking:
    return LedgerRanking(town.ledger, scores, plain=True, **more)


def test_candidates_are_the_model_nodes_that_answer(node: Answers) -> None:
    town = Town()
    first = town.add(0, node.url)
    town.add(1, node.url, roles=VALIDATOR)
    town.add(2, node.url, retired=True)
    town.add(3, "")
    town.add(4, "http://127.0.0.1:1")
    town.add(5, "ftp://127.0.0.1")
    last = town.add(6, node.url)
    found = ranking(town, Final({0: (1, 0.2), 6: (1, 0.8)})).load(SUBNET)
    assert [(each.node, each.uid, each.score) for each in found.candidates] == [
        (first, 0, 0.25),
        (last, 6, 1.0),
    ]
    (one, _) = found.candidates
    assert (one.price, one.token, one.payee, one.owner) == (7, number(9), PAYEE, OWNER)
    assert found.silent == 2


def test_a_newcomer_inherits_no_score(node: Answers) -> None:
    town = Town()
    town.add(0, node.url)
    town.add(1, node.url)
    town.seats[0] = replace(town.seats[0], generation=2)
    found = ranking(town, Final({0: (1, 0.9), 1: (1, 0.1)})).load(SUBNET)
    assert [each.score for each in found.candidates] == [0.0, pytest.approx(1 / 9)]
    assert [each.score for each in ranking(town).load(SUBNET).candidates] == [0.0, 0.0]


def test_nodes_without_a_score_are_asked_now_and_then(node: Answers) -> None:
    import random

    town = Town()
    for seed in range(3):
        town.add(seed, node.url)
    found = ranking(town, Final({0: (1, 1.0)})).load(SUBNET).candidates
    chance, firsts = random.Random(7), [0, 0, 0]
    for _ in range(1_000):
        firsts[order(found, Measures(), chance=chance, now=0.0)[0].uid] += 1
    assert firsts[0] > 900
    assert min(firsts) > 5


def test_a_price_is_kept_for_a_while_and_silence_for_less(node: Answers) -> None:
    clock = [0.0]
    town = Town()
    town.add(0, node.url)
    made = ranking(town, monotonic=lambda: clock[0])
    before = made.load(SUBNET).candidates
    clock[0] = LISTED - 1
    made.refresh()
    assert made.candidates(SUBNET) is before
    assert node.asked.count("/v2") == 1
    node.by_path.pop("/v2")
    clock[0] = LISTED
    made.refresh()
    assert made.candidates(SUBNET) == ()
    node.say("8")
    made.refresh()
    assert made.candidates(SUBNET) == ()
    clock[0] = LISTED + SILENT
    made.refresh()
    assert [each.price for each in made.candidates(SUBNET)] == [8]


def test_a_schema_is_believed_by_its_hash_alone(node: Answers) -> None:
    path = f"/v2/models/{SUBNET}"
    told = {"name": SUBNET, **SCHEMA.metadata()}
    with answering() as liar:
        liar.say()
        lie = json.loads(json.dumps(told))
        lie["inputs"][0]["shape"] = [9]
        liar.by_path[path] = 200, json.dumps(lie).encode()
        town = Town()
        town.add(0, liar.url)
        made = ranking(town)
        assert made.load(SUBNET).schema is None
        node.by_path[path] = 200, json.dumps(told).encode()
        town.add(1, node.url)
        assert made.load(SUBNET).schema == SCHEMA
        asked = len(node.asked)
        assert made.load(SUBNET).schema == SCHEMA
        assert len(node.asked) == asked
        town.schema = bytes(32)
        assert made.load(SUBNET).schema is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"freehold": []}',
        b'{"freehold": {"price": "-1"}}',
        b'{"freehold": {"price": 5}}',
        b'{"freehold": {"price": "1e9"}}',
        b'{"freehold": {"price": "' + b"9" * 32 + b'"}}',
        b'{"freehold": {"price": "1", "token": "0x12"}}',
        b'{"a": "' + b"x" * BYTES + b'"}',
    ],
)
def test_garbage_is_no_listing(node: Answers, body: bytes) -> None:
    node.by_path["/v2"] = 200, body
    assert listings([Peer(OWNER, node.url, b"")], plain=True) == [None]


def test_loopback_is_asked_only_where_that_is_allowed(node: Answers) -> None:
    peers = [Peer(OWNER, node.url, b"")]
    assert listings(peers, plain=False) == [None]
    assert schema_of(peers, SUBNET, hashed=SCHEMA.hash(), plain=False) is None
    assert node.asked == []
    node.by_path["/v2"] = 200, b"{}"
    (found,) = listings(peers, plain=True)
    assert found is not None
    assert (found.price, found.token) == (0, ZERO_ADDRESS)


def test_who_hangs_holds_nobody_up(node: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.client.asking.listing.SECONDS", SECONDS / 10)
    with answering() as silent:
        silent.hang = threading.Event()
        peers = [Peer(number(seed), silent.url, b"") for seed in range(40)]
        found = listings([*peers, Peer(OWNER, node.url, b"")], plain=True)
        silent.hang.set()
    assert found[:-1] == [None] * 40
    assert found[-1] is not None


def test_all_of_them_together_are_bounded(node: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.client.asking.listing.AT_ONCE", 1)
    monkeypatch.setattr("freehold.client.asking.listing.WHOLE", 0.2)
    with answering() as silent:
        silent.hang = threading.Event()
        peers = [Peer(OWNER, node.url, b""), *(Peer(number(n), silent.url, b"") for n in range(9))]
        first, *others = listings(peers, plain=True)
        silent.hang.set()
    assert first is not None
    assert others == [None] * 9
    assert len(silent.asked) <= 1


def test_all_seats_are_read_page_by_page(node: Answers) -> None:
    town = Town()
    for seed in range(2 * PAGE):
        town.add(seed, node.url if seed % 100 == 0 else "")
    assert [each.uid for each in ranking(town).load(SUBNET).candidates] == [0, 100, 200]


def test_what_was_not_loaded_is_not_there() -> None:
    made = ranking(Town())
    for look in (made.candidates, made.schema, made.load):
        with pytest.raises(NotFoundError, match="no subnet 'gone'"):
            look("gone")
