"""A node's reports: it finds the service, says who it is, and loses nothing meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from freehold.domain.errors import FreeholdError
from freehold.domain.ids import Address, checksum
from freehold.ledger.contracts.registry import OPERATOR, Node
from freehold.node.agent.sensors import Value
from freehold.node.hello import Hello
from freehold.node.market import Market
from freehold.node.reporter import Finder, Reporter
from freehold.node.settings import load
from freehold.telemetry.columns import unpack
from freehold.telemetry.reading import Batch, open_batch
from unit.node.world import NODE, NOW, FakeIndex, FakeRegistry, event, network

NET = network()
OWNER, SERVICE = checksum(b"\x21" * 20), checksum(b"\x22" * 20)


@dataclass
class Service:
    """An HTTP server that takes hellos and batches."""

    server: ThreadingHTTPServer
    hellos: list[Hello] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    knows: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, object]]:
        if path == "/hello":
            self.hellos.append(Hello.parse(body))
            return 200, {}
        if not self.knows:
            self.knows = True
            return 403, {"kind": "UnknownError", "error": "who are you"}
        self.batches.append(open_batch(body, network_id=NET.network_id))
        return 200, {"new": True, "missing": 0}


@pytest.fixture
def service() -> Iterator[Service]:
    made: Service

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, fields = made.answer(self.path, body)
            content = json.dumps(fields).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    made = Service(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@dataclass
class Chain:
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    index: FakeIndex = field(default_factory=FakeIndex)

    def now(self) -> int:
        return NOW

    def list(self, service: Address, url: str, *, roles: int = OPERATOR) -> None:
        self.registry.entries[service] = Node(
            OWNER, OWNER, roles, 1, NOW, False, url, bytes(32), bytes(32)
        )
        self.index.log.append(
            event("NodeRegistered", contract="registry", node=service, owner=OWNER, roles=roles)
        )


@dataclass
class Clock:
    time: int = NOW * 1_000

    def __call__(self) -> int:
        return self.time


@dataclass(frozen=True)
class Sensor:
    name: str = "own"

    def read(self) -> list[Value]:
        return [Value("node.test", "1", 7.0)]


def reporter(home: Path, chain: Chain, clock: Clock, *, report: str = "auto") -> Reporter:
    chain.registry.entries[NODE.address] = Node(
        OWNER, OWNER, 1, 1, NOW, False, "", bytes(32), bytes(32)
    )
    return Reporter(
        home, NET, NODE, chain=chain, sensors=[Sensor()], report=report,
        random=lambda size: b"\x09" * size, millis=clock,
    )  # fmt: skip


def later(clock: Clock) -> None:
    clock.time += 61_000


def test_a_node_finds_the_service_and_reports_signed(tmp_path: Path, service: Service) -> None:
    chain, clock = Chain(), Clock()
    made = reporter(tmp_path, chain, clock)
    made.send()
    made.sense()
    assert service.hellos == []
    chain.list(SERVICE, service.url)
    later(clock)
    made.send()
    (hello,) = service.hellos
    hello.check(NET.domain("registry"))
    hello.check_owner(NET.domain("registry"), OWNER)
    assert (hello.node, hello.service) == (NODE.address, SERVICE)
    made.sense()
    made.send()
    (batch,) = service.batches
    assert batch.device == hello.did
    names = unpack(batch).table.names
    assert {"node.test", "host.cpu.load", "host.memory.used"} <= set(names)
    made.close()


def test_what_waits_is_sent_after_a_restart_in_a_new_boot(tmp_path: Path, service: Service) -> None:
    chain, clock = Chain(), Clock()
    chain.list(SERVICE, service.url)
    made = reporter(tmp_path, chain, clock)
    made.send()
    made.sense()
    made.close()
    again = reporter(tmp_path, chain, clock)
    again.send()
    again.sense()
    again.send()
    assert [(batch.boot, batch.sequence) for batch in service.batches] == [(1, 1), (2, 1)]
    assert len({hello.did for hello in service.hellos}) == 1
    again.close()


def test_a_service_that_forgot_the_node_is_greeted_again(tmp_path: Path, service: Service) -> None:
    chain, clock = Chain(), Clock()
    chain.list(SERVICE, service.url)
    made = reporter(tmp_path, chain, clock)
    made.send()
    service.knows = False
    made.sense()
    with pytest.raises(FreeholdError):
        made.send()
    made.send()
    assert (len(service.hellos), len(service.batches)) == (2, 1)
    made.close()


def test_a_service_that_moved_is_followed(tmp_path: Path, service: Service) -> None:
    chain, clock = Chain(), Clock()
    chain.list(SERVICE, "http://127.0.0.1:1")
    made = reporter(tmp_path, chain, clock)
    with pytest.raises(FreeholdError):
        made.send()
    made.sense()
    chain.list(SERVICE, service.url)
    later(clock)
    made.send()
    assert len(service.batches) == 1
    made.close()


def test_off_does_nothing_and_an_address_chooses(tmp_path: Path) -> None:
    chain = Chain()
    assert reporter(tmp_path, chain, Clock(), report="off").chores() == []
    assert [each.name for each in reporter(tmp_path, chain, Clock()).chores()] == [
        "readings", "reports",
    ]  # fmt: skip
    other = checksum(b"\x23" * 20)
    chain.list(other, "https://other:1")
    chain.list(SERVICE, "http://here:1")
    chain.list(checksum(b"\x24" * 20), "http://no-operator:1", roles=1)
    found = Finder(chain, "auto").find()
    assert found is not None
    assert found.service == other
    found = Finder(chain, SERVICE).find()
    assert found is not None
    assert found.url == "http://here:1"
    assert Finder(Chain(), "auto").find() is None
    settings = load(tmp_path, flags={"report": SERVICE.lower()}, environment={})
    assert settings.report == SERVICE


def test_a_nodes_counters_become_readings() -> None:
    registry = CollectorRegistry()
    proofs = Counter("freehold_node_proofs", "-", ("when",), registry=registry)
    proofs.labels("in time").inc(3)
    proofs.labels("late").inc(1)
    Gauge("freehold_node_held_bytes", "-", registry=registry).set(5)
    values = {each.metric: each.value for each in Market(registry, lambda: -1.0).read()}
    assert values == {"node.proofs.count": 4.0, "node.held.used": 5.0, "node.chain.lag": 0.0}
