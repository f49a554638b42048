"""Evidence over HTTP from services that lie, dawdle, flood or are gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest

from contracts.evm import NETWORK_ID, signer
from freehold.client.connection import Peer, Timeouts
from freehold.client.token import Identity
from freehold.domain.did import Did
from freehold.domain.ids import checksum
from freehold.domain.keys import Key, recover
from freehold.node.tokens import parse_token
from freehold.node.watcher.observe import evidence
from freehold.node.watcher.observe.evidence import STRIKES, Epochs, Evidence
from freehold.node.watcher.observe.field import Watched
from freehold.node.watcher.observe.honesty import Span
from unit.node.watcher.crowd import Sensor
from unit.node.world import HandClock, network

TIMEOUTS = Timeouts(connect=2.0, idle=2.0)
SPAN = Span(1_000_000, 2_000_000, 3_000_000)
SENSOR = Sensor(signer("sensor"))
OWN = Watched(SENSOR.id, checksum(b"\x05" * 20), Did.of(SENSOR.key.public_key()))
ONE, TWO, THREE = (SENSOR.send(NETWORK_ID, 1_500_000 + n, 20.0) for n in range(3))
OLD = SENSOR.send(NETWORK_ID, 999_999, 20.0)
NET = network()
WATCHER = Key.from_secret(b"\x66" * 32)
NONCES = count(1)
IDENTITY = Identity(
    WATCHER, NET.domain("registry"), HandClock(), lambda _: next(NONCES).to_bytes(32, "big")
)
Answer = Callable[[str], tuple[int, bytes]]


def length(*batches: bytes) -> bytes:
    return b"".join(len(data).to_bytes(4, "little") + data for data in batches)


@contextmanager
def service(
    answer: Answer, number: int = 4, tokens: list[str | None] | None = None
) -> Iterator[Peer]:
    """A plain HTTP server; ``tokens`` gets what it is asked with."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if tokens is not None:
                tokens.append(self.headers["authorization"])
            status, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        port = server.server_address[1]
        yield Peer(checksum(bytes([number]) * 20), f"http://127.0.0.1:{port}", bytes(32))
    finally:
        server.shutdown()
        server.server_close()


def ask(*services: Peer, times: int = 1, go_on: Callable[[], bool] = lambda: True,
        sleep: Callable[[float], None] = lambda _: None,
        timer: Callable[[], float] = lambda: 0.0) -> list[bytes] | None:  # fmt: skip
    """What is gathered of the sensor from epochs of 2,000 seconds."""
    epochs = Epochs(0, 2_000)
    door = Evidence(NETWORK_ID, epochs, TIMEOUTS, identity=IDENTITY, sleep=sleep, timer=timer)
    return door.gather([OWN] * times, services, SPAN, go_on=go_on).get(OWN.device)


def test_evidence_of_the_epochs_of_a_span_is_taken_once_and_only_what_the_device_signed() -> None:
    asked: list[str] = []

    def answer(path: str) -> tuple[int, bytes]:
        asked.append(path)
        forged = THREE[:-1] + bytes([THREE[-1] ^ 1])
        return 200, length(ONE, forged, OLD, b"x", TWO if "/1/" in path else THREE)

    with service(answer) as peer:
        assert ask(peer) == [ONE, THREE, TWO]
    where = f"evidence/{OWN.device}?since=1000000&until=3000000"
    assert asked == [f"/epochs/0/{where}", f"/epochs/1/{where}"]


def test_each_request_carries_a_token_of_its_own() -> None:
    tokens: list[str | None] = []
    answers = iter([429, 200, 200])
    with service(lambda _: (next(answers), b""), tokens=tokens) as peer:
        assert ask(peer) == []
    found = [parse_token(each) for each in tokens]
    assert [(each.audience, each.method) for each in found] == [(peer.node, "GET")] * 3
    where = [f"/epochs/{n}/evidence/{OWN.device}" for n in (0, 0, 1)]
    assert [each.path for each in found] == where
    assert len({each.nonce for each in found}) == 3
    assert all(recover(each.digest(NET), each.signature) == WATCHER.address for each in found)


def test_a_service_that_refuses_is_none() -> None:
    for status in (401, 403):
        with service(lambda _, status=status: (status, b"")) as peer:  # type: ignore[misc]
            assert ask(peer) is None


def test_what_any_service_has_counts() -> None:
    with (
        service(lambda _: (200, length(ONE))) as one,
        service(lambda _: (200, length(TWO, ONE)), 5) as two,
    ):
        assert ask(one, two) == [ONE, TWO]


def test_a_service_that_keeps_nothing_of_the_round_says_nothing_of_devices() -> None:
    with service(lambda _: (200, b"")) as peer:
        assert ask(peer) == []
    with service(lambda path: (404 if "/1/" in path else 200, b"")) as peer:
        assert ask(peer) is None
    with service(lambda path: (404 if "/0/" in path else 200, b"")) as peer:
        assert ask(peer) == []


def test_a_service_that_is_gone_is_asked_no_more_in_the_round() -> None:
    asked = count()
    with service(lambda _: (500, bytes(next(asked) * 0))) as peer:
        assert ask(peer, times=STRIKES + 3) is None
    assert next(asked) == STRIKES
    with service(lambda _: (200, length(ONE)), 5) as other:
        assert ask(peer, other) == [ONE]


def test_a_service_that_asks_for_patience_is_asked_again() -> None:
    answers = iter([429, 429, 200, 429, 200])
    waited: list[float] = []
    with service(lambda _: (next(answers), b"")) as peer:
        assert ask(peer, sleep=waited.append) == []
    assert len(waited) == 3
    with service(lambda _: (429, b"")) as peer:
        assert ask(peer, sleep=waited.append) is None
    assert len(waited) == 33


@pytest.mark.parametrize("body", [length(b"whole")[:-1], b"\0" * 4, b"\xff\xff\xff\x7f", b"\1"])
def test_evidence_that_is_cut_off_is_none(body: bytes) -> None:
    with service(lambda _: (200, body)) as peer:
        assert ask(peer) is None


def test_more_than_is_bearable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "BYTES_MAX", 100)
    with service(lambda _: (200, length(b"x" * 97))) as peer:
        assert ask(peer) is None


def test_of_all_services_together_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "BYTES_MAX", 2 * len(ONE) + 8)
    with (
        service(lambda _: (200, length(ONE, TWO))) as one,
        service(lambda _: (200, length(THREE)), 5) as two,
    ):
        assert ask(one, two) == [ONE, TWO]


def test_who_sends_too_slowly_is_left() -> None:
    ticks = count(0.0, 1_000.0)
    with service(lambda _: (200, length(ONE))) as peer:
        assert ask(peer, timer=lambda: next(ticks)) is None


def test_when_time_is_up_nobody_is_asked() -> None:
    asked = count()
    with service(lambda _: (200, bytes(next(asked) * 0))) as peer:
        assert ask(peer, go_on=lambda: False) is None
    assert next(asked) == 0


def test_endpoints_that_are_none_are_passed_over() -> None:
    for text in ("", "ftp://x", "http://[", "https://", "http://127.0.0.1:notaport"):
        assert ask(Peer(OWN.device, text, bytes(32))) is None
