from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from freehold.domain.errors import AccessError, ConflictError, IntegrityError, UsageError
from freehold.telemetry.alerts.alert import HOUR, Rules
from freehold.telemetry.alerts.courier import AGE, Courier
from freehold.telemetry.alerts.desk import Desk
from freehold.telemetry.alerts.hooks import Hooks
from freehold.telemetry.alerts.signing import HEADER, TAG, sign, verify
from freehold.telemetry.findings import Severity
from unit.telemetry.alerts.findings import T0, Turned, finding


class Receiver(ThreadingHTTPServer):
    """Answers what it is told to, in turn, then 204; keeps what it got."""

    daemon_threads = True

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.got: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers.items()), body))
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Where a redirect would lead."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver(500, 302)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks(tmp_path / "hooks.json")


@pytest.fixture
def desk(tmp_path: Path, clock: Turned, hooks: Hooks) -> Iterator[Desk]:
    with Desk(tmp_path / "a.db", clock=clock, hooks=hooks.all) as opened:
        yield opened


def url(receiver: Receiver) -> str:
    return f"http://localhost:{receiver.server_address[1]}/in?x=1"


def test_a_message_arrives_signed_after_failures(
    desk: Desk, hooks: Hooks, clock: Turned, receiver: Receiver
) -> None:
    hook = hooks.add("ops", url(receiver), private=True)
    desk.tell([finding("k"), finding("i", kind="note", severity=Severity.INFO)])
    with Courier(desk, hooks, clock=clock, chance=lambda: 0.5) as courier:
        assert courier.deliver() == 0
        assert courier.deliver() == 0  # not due yet
        clock.now += 2000
        assert courier.deliver() == 0  # a redirect is not followed
        clock.now += 4000
        assert courier.deliver() == 1
    assert len(receiver.got) == 3
    assert len({headers[TAG] for headers, _ in receiver.got}) == 1
    headers, body = receiver.got[-1]
    assert headers["Host"] == url(receiver).split("/")[2]
    verify(hook.secret, headers[HEADER], body, clock.now // 1000)
    told = json.loads(body)
    assert (told["event"], told["key"], told["severity"]) == ("open", "k", "warning")
    assert desk.outbox.waiting() == (0, 0)


def test_a_message_survives_a_restart(tmp_path: Path, clock: Turned, hooks: Hooks) -> None:
    hooks.add("ops", "https://example.org/")
    with Desk(tmp_path / "b.db", clock=clock, hooks=hooks.all) as desk:
        desk.tell([finding("k")])
    with Desk(tmp_path / "b.db", clock=clock, hooks=hooks.all) as desk:
        assert desk.outbox.waiting() == (1, 0)


def test_who_never_answers_is_given_up_and_told_of(desk: Desk, hooks: Hooks, clock: Turned) -> None:
    def gone(request: httpx2.Request) -> httpx2.Response:
        if request.extensions["sni_hostname"] == "bad.example":
            raise httpx2.ConnectError("no route")
        return httpx2.Response(200, content=iter([b""]))

    hooks.add("bad", "https://bad.example/")
    hooks.add("good", "https://good.example/")
    desk.tell([finding("k")])
    transport = httpx2.MockTransport(gone)
    with Courier(
        desk, hooks, clock=clock, transport=transport, resolve=lambda *_: ["8.8.8.8"], tries=3
    ) as courier:
        assert courier.deliver() == 1  # the hook that works is not held up
        arrived = 0
        for _ in range(3):
            clock.now += 20_000
            arrived += courier.deliver()
        assert [alert.kind for alert in desk.list()] == ["undelivered", "anomaly"]
        assert "no route" in desk.list()[0].reason
        assert arrived == 1  # told to the good hook, not to the bad one
        assert desk.outbox.waiting() == (0, 1)


def test_a_message_that_is_refused_holds_up_no_other(
    desk: Desk, hooks: Hooks, clock: Turned
) -> None:
    def picky(request: httpx2.Request) -> httpx2.Response:
        bad = json.loads(request.content)["key"] == "bad"
        return httpx2.Response(500 if bad else 200, content=iter([b""]))

    hooks.add("ops", "https://picky.example/")
    desk.tell([finding("bad"), finding("good", metric="m")])
    transport = httpx2.MockTransport(picky)
    with Courier(
        desk, hooks, clock=clock, transport=transport, resolve=lambda *_: ["8.8.8.8"]
    ) as courier:
        assert courier.deliver() == 0
        clock.now += 4000
        assert courier.deliver() == 1


def test_what_is_too_old_is_given_up_in_one_alert(desk: Desk, hooks: Hooks, clock: Turned) -> None:
    def gone(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("no route")

    hooks.add("ops", "https://gone.example/")
    desk.tell([finding(f"k{n}", metric=f"m{n}") for n in range(20)])
    clock.now += AGE + 1
    with Courier(
        desk, hooks, clock=clock, transport=httpx2.MockTransport(gone),
        resolve=lambda *_: ["8.8.8.8"],
    ) as courier:  # fmt: skip
        courier.deliver()
    (alert,) = (alert for alert in desk.list() if alert.kind == "undelivered")
    assert "messages: 20" in alert.reason


def test_a_hook_that_stalls_holds_up_no_other(desk: Desk, hooks: Hooks, clock: Turned) -> None:
    go_on = threading.Event()

    def slow(request: httpx2.Request) -> httpx2.Response:
        if request.extensions["sni_hostname"] == "slow.example":
            go_on.wait(20)
        return httpx2.Response(200, content=iter([b""]))

    hooks.add("slow", "https://slow.example/")
    hooks.add("good", "https://good.example/")
    desk.tell([finding("k")])
    with Courier(
        desk, hooks, clock=clock, transport=httpx2.MockTransport(slow),
        resolve=lambda *_: ["8.8.8.8"], timeout=0.05,
    ) as courier:  # fmt: skip
        assert courier.deliver() == 1
        desk.tell([finding("l", metric="m")])
        assert courier.deliver() == 1
        go_on.set()
        while desk.outbox.waiting() != (0, 0):
            courier.deliver()


def test_messages_of_a_hook_that_is_gone_are_dropped(
    desk: Desk, hooks: Hooks, clock: Turned
) -> None:
    hooks.add("ops", "https://example.org/")
    desk.tell([finding("k")])
    hooks.remove("ops")
    with Courier(desk, hooks, clock=clock) as courier:
        assert courier.deliver() == 0
    assert desk.outbox.waiting() == (0, 0)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1", "0.0.0.0",
     "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1", "224.0.0.1", "100.64.0.1"],
)  # fmt: skip
def test_private_targets_are_refused(desk: Desk, hooks: Hooks, clock: Turned, address: str) -> None:
    asked: list[httpx2.Request] = []

    def take(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, content=iter([b""]))

    hooks.add("ops", "https://rebound.example/")
    desk.tell([finding("k")])
    with Courier(
        desk, hooks, clock=clock, transport=httpx2.MockTransport(take),
        resolve=lambda *_: ["8.8.8.8", address],
    ) as courier:  # fmt: skip
        assert courier.deliver() == 0
    assert not asked


def test_the_connection_goes_to_the_address_that_was_checked(
    desk: Desk, hooks: Hooks, clock: Turned
) -> None:
    asked: list[httpx2.Request] = []

    def take(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, content=iter([bytes(100_000)] * 9))

    hooks.add("ops", "https://name.example:8443/p")
    desk.tell([finding("k")])
    with Courier(
        desk, hooks, clock=clock, transport=httpx2.MockTransport(take),
        resolve=lambda *_: ["8.8.8.8"],
    ) as courier:  # fmt: skip
        assert courier.deliver() == 1
    (request,) = asked
    assert str(request.url) == "https://8.8.8.8:8443/p"
    assert request.headers["host"] == "name.example:8443"
    assert request.extensions["sni_hostname"] == "name.example"


def test_the_outbox_is_bounded(tmp_path: Path, clock: Turned, hooks: Hooks) -> None:
    hooks.add("ops", "https://example.org/")
    rules = Rules(outbox=3)
    with Desk(tmp_path / "b.db", clock=clock, hooks=hooks.all, rules=rules) as desk:
        desk.tell([finding(f"k{n}", metric=f"m{n}") for n in range(5)])
        assert desk.outbox.waiting() == (3, 0)
        assert desk.dropped() == {"dropped messages": 2}


def test_what_is_silenced_is_not_sent(desk: Desk, hooks: Hooks) -> None:
    hooks.add("ops", "https://example.org/", minimum=Severity.INFO)
    desk.silence(kind="copied", until=T0 + HOUR, by="ann", reason="tests")
    desk.tell([finding("k", kind="copied", severity=Severity.CRITICAL)])
    assert desk.outbox.waiting() == (0, 0)


def test_the_file_is_private_and_read_again(tmp_path: Path, hooks: Hooks) -> None:
    hook = hooks.add("ops", "https://example.org/")
    path = tmp_path / "hooks.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Hooks(path).all() == (hook,)
    assert hook.secret not in repr(hook)
    with pytest.raises(ConflictError):
        hooks.add("ops", "https://example.org/")
    hooks.remove("ops")
    assert Hooks(path).all() == ()
    path.write_text('[{"name": 1}]')
    with pytest.raises(IntegrityError):
        Hooks(path)


@pytest.mark.parametrize("bad", ["ftp://example.org/", "file:///etc/passwd", "https://", "x", ""])
def test_other_urls_are_refused(hooks: Hooks, bad: str) -> None:
    with pytest.raises(UsageError):
        hooks.add("ops", bad)


def test_signatures() -> None:
    header = sign("secret", b"body", 1000)
    verify("secret", header, b"body", 1300)
    for secret, text, body, now in [
        ("other", header, b"body", 1000),
        ("secret", header, b"bodz", 1000),
        ("secret", header, b"body", 1301),
        ("secret", header.replace("t=1000", "t=1001"), b"body", 1000),
        ("secret", "t=1,v1=00", b"body", 1000),
        ("secret", "", b"body", 1000),
    ]:
        with pytest.raises(AccessError):
            verify(secret, text, body, now)
