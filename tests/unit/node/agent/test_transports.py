"""Ways to the service: HTTP, pinned HTTPS, MQTT over a real broker; and the owner's directives."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from freehold.domain.directive import Directive, Orders
from freehold.domain.errors import AccessError, FreeholdError, IntegrityError, UnavailableError
from freehold.domain.ids import checksum
from freehold.domain.keys import Key
from freehold.node.agent.buffer import Sealed
from freehold.node.agent.directives import Directives, devices_domain
from freehold.node.agent.door import BODY_MAX, Answer, Door
from freehold.node.agent.mqtt import RECEIPT, REFUSED, Mqtt
from freehold.node.agent.rounds import Rounds
from freehold.node.agent.settings import Settings
from freehold.node.agent.transports import Http, LaterError, open_transport
from freehold.node.tls import ensure_certificate
from freehold.telemetry.reading import Reading
from unit.node.agent.homes import NETWORK, OWNER, make_home, serving, until

ME = checksum(b"\x05" * 20)


def sealed(tmp_path: Path, count: int) -> list[Sealed]:
    _, keys = make_home(tmp_path / "home")
    from time import time

    now = int(time() * 1000)
    rounds = Rounds(network_id=NETWORK, did=keys.did, boot=1, sign=keys.sign)
    return [
        each
        for n in range(count)
        for each in rounds.take([Reading("a", "1", now, n)], now=now, batch=1)
    ]


def test_batches_are_settled_one_by_one_and_duplicates_count_once(tmp_path: Path) -> None:
    batches, settled = sealed(tmp_path, 3), []
    with serving(tmp_path / "g") as service:
        way = Http(Door(service.url))
        for _ in range(2):
            way.send(batches, lambda batch, why: settled.append((batch.sequence, why)))
        way.close()
    assert settled == [(1, ""), (2, ""), (3, "")] * 2
    assert service.counted == [(1, 1), (1, 2), (1, 3)]


def refused(status: int, kind: str, wait: str = "") -> tuple[int, dict[str, str], bytes]:
    headers = {"Retry-After": wait} if wait else {}
    return status, headers, json.dumps({"error": "why", "kind": kind}).encode()


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (refused(409, "ReplayError"), ""),
        (refused(409, "AlteredError"), "AlteredError: why"),
        (refused(400, "MalformedError"), "MalformedError: why"),
        (refused(403, "ForgedError"), "ForgedError: why"),
        (refused(413, "TooLargeError"), "TooLargeError: why"),
    ],
)
def test_answers_that_are_final(
    tmp_path: Path, answer: tuple[int, dict[str, str], bytes], verdict: str
) -> None:
    settled: list[str] = []
    with serving(tmp_path / "g") as service:
        service.down = answer
        way = Http(Door(service.url))
        way.send([Sealed(1, 1, b"x")], lambda _batch, why: settled.append(why))
        way.close()
    assert settled == [verdict]


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (refused(429, "BusyError", "7"), 7), (refused(503, "UnavailableError"), 0),
        (refused(403, "UnknownError"), 0), (refused(507, "DiskFullError", "x"), 0),
        ((502, {}, b"<html>"), 0), ((404, {}, b"[]"), 0), ((500, {}, b"{" * 5_000), 0),
        (refused(400, "VersionError"), 0), ((302, {}, b""), 0),
    ],
)  # fmt: skip
def test_answers_to_wait_for(
    tmp_path: Path, answer: tuple[int, dict[str, str], bytes], wait: int
) -> None:
    with serving(tmp_path / "g") as service:
        service.down = answer
        way = Http(Door(service.url))
        with pytest.raises(LaterError) as caught:
            way.send([Sealed(1, 1, b"x")], lambda *_: pytest.fail("settled"))
        way.close()
    assert caught.value.wait == wait


def test_what_was_taken_before_an_error_stays_settled(tmp_path: Path) -> None:
    batches, settled = sealed(tmp_path, 2), []
    with serving(tmp_path / "g") as service:
        way = Http(Door(service.url))

        def settle(batch: Sealed, why: str) -> None:
            settled.append(batch.sequence)
            service.down = (503, {}, b"")

        with pytest.raises(LaterError):
            way.send(batches, settle)
        way.close()
    assert settled == [1]


def test_nobody_there(tmp_path: Path) -> None:
    door = Door("http://127.0.0.1:9", seconds=1)
    with pytest.raises(UnavailableError, match="does not answer"):
        door.ask("GET", "/x")


def test_a_kept_connection_that_the_server_closed_is_opened_again(tmp_path: Path) -> None:
    with serving(tmp_path / "g") as service:
        door = Door(service.url)
        assert door.ask("GET", "/x").status == 404
        assert door._connection.sock is not None
        door._connection.sock.shutdown(socket.SHUT_RDWR)
        assert door.ask("GET", "/x").status == 404
        door.close()


def test_answers_are_bounded(tmp_path: Path) -> None:
    with serving(tmp_path / "g") as service:
        service.down = (200, {}, bytes(BODY_MAX + 1))
        door = Door(service.url)
        with pytest.raises(IntegrityError, match="more than"):
            door.ask("GET", "/x")
        door.close()


def test_a_server_that_says_nothing_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        door = Door(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)
        with pytest.raises(UnavailableError):
            door.ask("GET", "/x")


def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    made = ensure_certificate(tmp_path, host="127.0.0.1", now=1_700_000_000)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.file)
    return context, made.fingerprint.hex()


def test_only_the_pinned_certificate_is_spoken_to(tmp_path: Path) -> None:
    context, fingerprint = certificate(tmp_path)
    with serving(tmp_path / "g", context) as service:
        door = Door(service.url, fingerprint=fingerprint)
        assert door.ask("GET", "/directives/x").status == 404
        door.close()
        seen = len(service.requests)
        wrong = Door(service.url, fingerprint=hashlib.sha256(b"x").hexdigest())
        with pytest.raises(AccessError, match="another certificate"):
            wrong.ask("POST", "/readings", b"secret")
        unpinned = Door(service.url)
        with pytest.raises(UnavailableError, match="certificate verify failed"):
            unpinned.ask("POST", "/readings", b"secret")
        assert len(service.requests) == seen, "nothing may be said before the check"


NATS = shutil.which("nats-server")
needs_nats = pytest.mark.skipif(NATS is None, reason="nats-server is not installed")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A real MQTT broker with TLS: its port and fingerprint."""
    _, fingerprint = certificate(tmp_path)
    port = free_port()
    pem, config = tmp_path / "tls.pem", tmp_path / "nats.conf"
    config.write_text(
        f'server_name: t\nlisten: "127.0.0.1:{free_port()}"\n'
        f'jetstream {{ store_dir: "{tmp_path / "js"}" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{port}"\n'
        f'  tls {{ cert_file: "{pem}", key_file: "{pem}" }} }}\n'
    )
    child = subprocess.Popen(
        [NATS or "", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: reachable(port), "the broker listens")
        yield port, fingerprint
    finally:
        child.kill()
        child.wait()


def reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@needs_nats
def test_batches_are_delivered_over_a_real_broker(tmp_path: Path, broker: tuple[int, str]) -> None:
    port, fingerprint = broker
    got: list[tuple[str, bytes]] = []
    ready = threading.Event()
    listener = Client(CallbackAPIVersion.VERSION2, client_id="listener")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    listener.tls_set_context(context)

    def heard(_client: Client, _data: object, message: MQTTMessage) -> None:
        got.append((message.topic, bytes(message.payload)))

    def count(client: Client, data: object, message: MQTTMessage) -> None:
        heard(client, data, message)
        number = len(got)
        client.publish("fh/ack/" + "05" * 20, RECEIPT.pack(1, number, number != 7))

    listener.on_message = count
    listener.on_subscribe = lambda *_: ready.set()
    listener.connect("127.0.0.1", port)
    listener.loop_start()
    listener.subscribe("fh/dev/#", qos=1)
    assert ready.wait(10)

    batches, settled = sealed(tmp_path, 20), []
    way = open_transport(f"mqtts://127.0.0.1:{port}", device=ME, fingerprint=fingerprint)
    way.send(batches, lambda batch, why: settled.append((batch.sequence, why)))
    until(lambda: len(got) == 20, "the listener has all")
    listener.disconnect()
    listener.loop_stop()
    assert sorted(settled) == [(n, REFUSED if n == 7 else "") for n in range(1, 21)]
    assert {topic for topic, _ in got} == {"fh/dev/" + "05" * 20}
    assert [data for _, data in got] == [batch.data for batch in batches]
    way.close()


@needs_nats
def test_a_broker_with_another_certificate_hears_nothing(broker: tuple[int, str]) -> None:
    port, _ = broker
    way = Mqtt(f"mqtts://127.0.0.1:{port}", device=ME, fingerprint="ab" * 32)
    with pytest.raises(AccessError, match="another certificate"):
        way.send([Sealed(1, 1, b"x")], lambda *_: pytest.fail("settled"))
    plain = Mqtt(f"mqtt://127.0.0.1:{port}", device=ME, seconds=1)
    with pytest.raises(UnavailableError):
        plain.send([Sealed(1, 1, b"x")], lambda *_: pytest.fail("settled"))


def test_a_broker_that_is_away_settles_nothing() -> None:
    way = Mqtt(f"mqtt://127.0.0.1:{free_port()}", device=ME, seconds=1)
    with pytest.raises(UnavailableError, match="does not answer"):
        way.send([Sealed(1, 1, b"x")], lambda *_: pytest.fail("settled"))


def test_a_broker_that_never_acknowledges_settles_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"\x20\x02\x00\x00")  # CONNACK
                connection.recv(1_000)
                connection.sendall(b"\x90\x03\x00\x01\x00")  # SUBACK, and then nothing
                while connection.recv(1_000):
                    pass

        thread = threading.Thread(target=greet)
        thread.start()
        way = Mqtt(f"mqtt://127.0.0.1:{server.getsockname()[1]}", device=ME, seconds=0.5)
        with pytest.raises(UnavailableError, match="did not acknowledge"):
            way.send([Sealed(1, 1, b"x")], lambda *_: pytest.fail("settled"))
        thread.join()


def told(
    settings: Settings, orders: Orders, *, key: Key = OWNER, sequence: int = 1, expiry: int = 100
) -> Answer:
    directive = Directive(settings.address, sequence, orders.render(), expiry)
    return Answer(200, directive.sign(devices_domain(settings), key.sign).render().encode())


def test_the_owners_directive_holds_until_its_end_and_over_restarts(tmp_path: Path) -> None:
    settings, _ = make_home(tmp_path)
    now = [50.0]
    directives = Directives(tmp_path, settings, clock=lambda: now[0])
    orders = Orders(interval=5, metrics={"a.b": False}, edge_threshold=0.9)
    assert directives.take(told(settings, orders))
    assert not directives.take(told(settings, orders)), "the same again is no news"
    again = Directives(tmp_path, settings, clock=lambda: now[0])
    pace = again.pace()
    assert (pace.interval, pace.batch, pace.threshold) == (5, settings.batch, 0.9)
    assert pace.metrics == {"a.b": False}
    now[0] = 100.0
    assert again.pace().interval == settings.interval
    with pytest.raises(FreeholdError):
        again.take(told(settings, Orders(interval=9), sequence=1, expiry=999))


def test_directives_that_the_owner_did_not_give(tmp_path: Path) -> None:
    settings, keys = make_home(tmp_path)
    directives = Directives(tmp_path, settings, clock=lambda: 50.0)
    directives.take(told(settings, Orders(interval=5), sequence=7))
    other = replace(settings, device=checksum(b"\x08" * 20))
    for bad in (
        told(settings, Orders(interval=1), key=keys.agent, sequence=8),
        told(settings, Orders(interval=1), sequence=6),
        told(settings, Orders(interval=1), sequence=8, expiry=50),
        told(other, Orders(interval=1), sequence=8),
        Answer(200, b"{}"), Answer(200, b"\xff"),
    ):  # fmt: skip
        with pytest.raises(FreeholdError):
            directives.take(bad)
    assert directives.pace().interval == 5


def test_directives_come_from_the_service(tmp_path: Path) -> None:
    settings, _ = make_home(tmp_path)
    directives = Directives(tmp_path, settings, clock=lambda: 50.0)
    with serving(tmp_path / "g") as service:
        door = Door(service.url)
        assert not directives.poll(door)
        service.directive = told(settings, Orders(batch=9)).body
        assert directives.poll(door)
        service.down = (503, {}, b"")
        with pytest.raises(LaterError):
            directives.poll(door)
        door.close()
    assert directives.pace().batch == 9
    assert service.requests[0][1] == f"/directives/{settings.device}"
