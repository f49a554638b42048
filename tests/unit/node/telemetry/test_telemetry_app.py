from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterator
from math import ceil
from pathlib import Path

import cramjam
import httpx2
import pytest

from freehold.domain.did import ForgedError
from freehold.domain.directive import Directive, Orders
from freehold.domain.errors import CapacityError, UnavailableError
from freehold.domain.ids import Address
from freehold.node.telemetry.access import Want
from freehold.node.telemetry.refusals import BusyError
from freehold.telemetry.alerts.alert import Silence
from freehold.telemetry.partition import Outcome
from freehold.telemetry.reading import BATCH_MAX, open_batch
from freehold.telemetry.refusals import RollbackError
from unit.node.telemetry.service import (
    BUYER,
    DEVICE,
    DOMAIN,
    OTHER,
    OWNER,
    STRANGER,
    FakeRights,
    World,
    world,
)
from unit.node.world import NOW
from unit.telemetry.devices import KEYS, NETWORK, batch, sealed
from unit.telemetry.test_remote_write import UP, request, series

BATCH = sealed(batch())
PUSH = request(series(UP, [(1.0, NOW * 1000)]))
OTLP = (
    b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"up","gauge":{"dataPoints":'
    b'[{"timeUnixNano":"%d","asInt":"1"},{"asInt":"1"}]}}]}]}]}' % (NOW * 10**9)
)
DIRECTIVE = (
    Directive(DEVICE, 1, Orders(10).render(), NOW + 60).sign(DOMAIN, OWNER.sign).render().encode()
)
HUSH = b'{"subject":"%s","seconds":60,"reason":"works"}' % DEVICE.encode()
KINDS = ("none", "wrong", "source", "admin", "owner", "buyer", "stranger", "watcher")
Ask = Callable[..., Awaitable[httpx2.Response]]
Script = Callable[[World, Ask], Awaitable[None]]


def play(home: Path, script: Script, *, rate: float = 1e6) -> None:
    """Run ``script`` against the API; ``ask(method, path, ...)`` sends a request as ``who``."""

    async def run() -> None:
        made: Iterator[World] = world(home, asyncio.get_running_loop(), rate=rate)
        here = next(made)

        async def ask(
            method: str, path: str, body: bytes = b"", *, who: str = "none", **headers: str
        ) -> httpx2.Response:
            token = here.credential(who, method, path.partition("?")[0], body)
            more = {"authorization": token} if token else {}
            more |= {name.replace("_", "-"): value for name, value in headers.items()}
            transport = httpx2.ASGITransport(here.app, client=("192.0.2.1", 5))
            async with httpx2.AsyncClient(transport=transport, base_url="http://t") as client:
                return await client.request(method, path, content=body, headers=more)

        await script(here, ask)
        assert next(made, None) is None

    asyncio.run(run())


EVERYBODY = dict.fromkeys(KINDS, 200)
DENIED = {"none": 401, "wrong": 401, "source": 401}
OWN = DENIED | {"admin": 200, "owner": 200, "buyer": 403, "stranger": 403, "watcher": 403}
READERS = OWN | {"buyer": 200}
CHECKERS = READERS | {"watcher": 200}
SIGNERS = CHECKERS | {"stranger": 200}
ADMINS = OWN | {"owner": 403}
PUSHERS = dict.fromkeys(KINDS, 401) | {"source": 200}
Row = tuple[str, str, bytes, dict[str, int]]
MATRIX: tuple[Row, ...] = (
    ("POST", "/readings", BATCH, EVERYBODY),
    ("POST", "/prometheus/write", PUSH, PUSHERS),
    ("POST", "/otlp/v1/metrics", OTLP, PUSHERS),
    ("POST", "/hello", b"{}", EVERYBODY),
    ("POST", "/receipts", b"{}", EVERYBODY),
    ("PUT", f"/directives/{DEVICE}", DIRECTIVE, EVERYBODY),
    ("GET", f"/directives/{DEVICE}", b"", dict.fromkeys(KINDS, 404)),
    ("GET", "/devices", b"", SIGNERS),
    ("GET", f"/readings?device={DEVICE}", b"", READERS),
    ("GET", f"/readings?device={OTHER}", b"", ADMINS),
    ("GET", "/readings?device=source:prom", b"", ADMINS),
    ("GET", f"/alerts?device={DEVICE}", b"", OWN),
    ("GET", f"/alerts?device={OTHER}", b"", ADMINS),
    ("GET", "/alerts", b"", ADMINS | dict.fromkeys(KINDS[4:], 400)),
    ("POST", "/alerts/7/ack", b"", OWN),
    ("POST", "/silences", HUSH, OWN),
    ("POST", "/silences", b'{"seconds":60,"reason":"works"}', ADMINS),
    ("GET", "/epochs", b"", EVERYBODY),
    ("GET", "/epochs/3", b"", EVERYBODY),
    ("GET", "/epochs/3/leaves", b"", EVERYBODY),
    ("POST", "/epochs/3/signatures", b"{}", EVERYBODY),
    ("GET", f"/epochs/3/evidence/{DEVICE}", b"", CHECKERS),
    ("GET", f"/epochs/3/evidence/{OTHER}", b"", ADMINS | {"watcher": 200}),
    ("GET", "/health", b"", EVERYBODY),
    ("GET", "/metrics", b"", EVERYBODY),
)


@pytest.mark.parametrize(
    ("method", "path", "body", "wanted"), MATRIX, ids=[f"{row[0]} {row[1]}" for row in MATRIX]
)
def test_every_route_for_every_caller(
    tmp_path: Path, method: str, path: str, body: bytes, wanted: dict[str, int]
) -> None:
    async def script(_: World, ask: Ask) -> None:
        found = {}
        for who in KINDS:
            answer = await ask(method, path, body, who=who, content_type="application/json"
                               if "otlp" in path else "application/x-protobuf")  # fmt: skip
            found[who] = 200 if answer.status_code in (201, 204) else answer.status_code
        assert found == wanted

    play(tmp_path, script)


def test_the_matrix_has_every_route(tmp_path: Path) -> None:
    async def script(here: World, _: Ask) -> None:
        routes = {
            (method, route.path)  # type: ignore[attr-defined]
            for route in here.app.routes
            for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
        }
        tried = {(method, path.partition("?")[0]) for method, path, _, _ in MATRIX}
        matched = {
            (method, route)
            for method, route in routes
            if any(m == method and _fits(route, path) for m, path in tried)
        }
        assert routes - matched == {("GET", "/alerts/live")}  # it has tests of its own

    play(tmp_path, script)


def _fits(route: str, path: str) -> bool:
    ours, theirs = route.split("/"), path.split("/")
    return len(ours) == len(theirs) and all(
        a == b or a.startswith("{") for a, b in zip(ours, theirs, strict=True)
    )


def test_a_batch_is_handed_in_as_it_came(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        here.intake.answer = Outcome(new=False, missing=2)
        answer = await ask("POST", "/readings", BATCH)
        assert answer.json() == {"new": False, "missing": 2}
        assert here.intake.taken == [BATCH]

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (sealed(batch(key=KEYS[1]), KEYS[1]), 403, "UnknownError"),
        (b"", 422, "MalformedError"),
        (b"x" * 200, 422, "MalformedError"),
        (bytes(BATCH_MAX + 1_025), 413, "TooLargeError"),
    ],
    ids=["another key", "empty", "no batch", "too large"],
)
def test_what_no_member_sent_goes_no_further(
    tmp_path: Path, body: bytes, status: int, kind: str
) -> None:
    async def script(here: World, ask: Ask) -> None:
        answer = await ask("POST", "/readings", body)
        assert (answer.status_code, answer.json()["kind"]) == (status, kind)
        assert answer.json()["remedy"]
        assert here.intake.taken == []

    play(tmp_path, script)


def test_a_batch_under_a_sources_key_does_not_come_by_the_devices_door(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        assert (await ask("POST", "/prometheus/write", PUSH, who="source")).status_code == 204
        (made,) = here.intake.taken
        assert (await ask("POST", "/readings", made)).status_code == 403

    play(tmp_path, script)


def test_refusals_travel_with_their_status(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        here.intake.answer = Outcome(False, refusal=RollbackError("old", remedy="-"))
        assert (await ask("POST", "/readings", BATCH)).status_code == 409
        for error, status in (
            (CapacityError("full", remedy="wait"), 429), (UnavailableError("x", remedy="-"), 503)
        ):  # fmt: skip
            here.intake.raised = error
            for path, body, who in (
                ("/readings", BATCH, "none"), ("/prometheus/write", PUSH, "source"),
                ("/otlp/v1/metrics", OTLP, "source"),
            ):  # fmt: skip
                kind = "application/json" if "otlp" in path else "application/x-protobuf"
                answer = await ask("POST", path, body, who=who, content_type=kind)
                assert answer.status_code == status
                assert int(answer.headers["retry-after"]) >= 1

    play(tmp_path, script)


def test_a_device_and_an_address_may_send_so_much(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        statuses = [(await ask("POST", "/readings", BATCH)).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        answer = await ask("GET", "/health")
        assert answer.status_code == 429
        here.clock.time += ceil(1 / 3)
        assert (await ask("POST", "/readings", BATCH)).status_code == 200

    play(tmp_path, script, rate=3)


def test_what_a_source_pushes_is_sealed_and_counted(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        bad = request(series(UP, [(1.0, NOW * 1000), (float("nan"), NOW * 1000)]))
        answer = await ask("POST", "/prometheus/write", bad, who="source")
        assert (answer.status_code, answer.headers["freehold-skipped"]) == (204, "1")
        found = open_batch(here.intake.taken[0], network_id=NETWORK)
        source = here.sources.find(found.device)
        assert source is not None
        assert source.name == "prom"
        assert b'samples_total{result="skipped"} 1.0' in here.meters.render()
        none = request(series(UP, [(float("nan"), NOW * 1000)]))
        assert (await ask("POST", "/prometheus/write", none, who="source")).status_code == 400

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/prometheus/write", {"content_encoding": "gzip"}, 415),
        ("/prometheus/write", {"content_type": "text/plain"}, 415),
        ("/prometheus/write",
         {"content_type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}, 415),
        ("/otlp/v1/metrics", {"content_type": "text/plain"}, 415),
        ("/otlp/v1/metrics", {"content_type": "application/json", "content_encoding": "br"}, 415),
        ("/otlp/v1/metrics", {"content_type": "application/x-protobuf"}, 422),
    ],
)  # fmt: skip
def test_other_forms_are_refused(
    tmp_path: Path, path: str, headers: dict[str, str], status: int
) -> None:
    async def script(_: World, ask: Ask) -> None:
        assert (await ask("POST", path, b"\xff", who="source", **headers)).status_code == status

    play(tmp_path, script)


def test_otlp_answers_in_the_form_it_was_asked_in(tmp_path: Path) -> None:
    async def script(_: World, ask: Ask) -> None:
        answer = await ask(
            "POST", "/otlp/v1/metrics", gzip.compress(OTLP), who="source",
            content_type="application/json; charset=utf-8", content_encoding="gzip",
        )  # fmt: skip
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "1"
        refused = await ask(
            "POST", "/otlp/v1/metrics", b"\xff", who="source",
            content_type="application/x-protobuf",
        )  # fmt: skip
        assert refused.headers["content-type"] == "application/x-protobuf"
        assert refused.content[:1] == b"\x12"

    play(tmp_path, script)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        bomb = bytes(cramjam.snappy.compress_raw(bytes(9 * 2**20)))
        assert (await ask("POST", "/prometheus/write", bomb, who="source")).status_code == 413
        assert here.intake.taken == []

    play(tmp_path, script)


ROWS: list[tuple[int | float | None, ...]] = [(1, 0.5), (2, float("nan")), (3, 1e-7)]


def test_readings_come_as_json_and_as_csv(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        here.reads.rows = list(ROWS)
        more = "metrics=a,b&since=5&until=9000&step=2000&limit=3&unsound=1"
        path = f"/readings?device={DEVICE.lower()}&{more}"
        found = (await ask("GET", path, who="owner")).json()
        assert here.reads.asked == [((DEVICE,), ("a", "b"), 5, 9000, 2000, True, 3)]
        assert found["columns"] == ["time", "value"]
        assert found["rows"] == [[1, 0.5], [2, None], [3, 1e-7]]
        assert found["complete"] is False
        answer = await ask("GET", path + "&format=csv", who="owner")
        assert answer.text == "time,value\r\n1,0.5\r\n2,\r\n3,1e-07\r\n"
        here.reads.rows = []
        found = (await ask("GET", path, who="owner")).json()
        assert (found["columns"], found["rows"], found["complete"]) == ([], [], True)

    play(tmp_path, script)


def test_whole_steps_must_be_bought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[Want] = []

    def may_read(_: FakeRights, account: Address, device: str, want: Want) -> bool:
        wanted.append(want)
        return False

    async def script(here: World, ask: Ask) -> None:
        for more in ("", "&step=2000"):
            path = f"/readings?device={DEVICE}&metrics=a&since=5&until=9000{more}"
            assert (await ask("GET", path, who="buyer")).status_code == 403
        assert wanted == [Want(("a",), 5, 9_000), Want(("a",), 0, 10_000)]
        assert here.reads.asked == []

    monkeypatch.setattr(FakeRights, "may_read", may_read)
    play(tmp_path, script)


@pytest.mark.parametrize(
    "more",
    ["since=5&until=5", "since=-1", "limit=1000001", "step=x", "metrics=A", "until=1e3",
     "metrics=" + ",".join(f"m{n}" for n in range(65)), "limit=" + "9" * 5000],
)  # fmt: skip
def test_bad_queries_are_refused(tmp_path: Path, more: str) -> None:
    async def script(here: World, ask: Ask) -> None:
        answer = await ask("GET", f"/readings?device={DEVICE}&{more}", who="admin")
        assert answer.status_code in (400, 422)
        assert here.reads.asked == []

    play(tmp_path, script)


def test_what_fails_at_once_is_told(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        here.reads.rows, here.reads.fails_after = list(ROWS), 0
        assert (await ask("GET", f"/readings?device={DEVICE}", who="admin")).status_code == 404

    play(tmp_path, script)


def test_who_did_it_is_written_down(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        await ask("POST", "/alerts/7/ack", who="owner")
        await ask("POST", "/silences", HUSH, who="admin")
        assert here.alerts.acknowledged == [(7, OWNER.address)]
        until = NOW * 1000 + 60_000
        assert here.alerts.silences == [
            Silence(1, DEVICE, "*", "*", until, "administrator", "works")
        ]
        assert (await ask("POST", "/alerts/8/ack", who="admin")).status_code == 404
        assert (await ask("POST", "/alerts/x/ack", who="admin")).status_code == 400

    play(tmp_path, script)


@pytest.mark.parametrize(
    "body",
    ["", "[]", '{"seconds":60}', '{"seconds":60,"reason":""}', '{"seconds":0,"reason":"x"}',
     '{"seconds":604801,"reason":"x"}', '{"seconds":"60","reason":"x"}',
     '{"seconds":1.5,"reason":"x"}', '{"seconds":60,"reason":"x","subject":"0x12"}',
     '{"seconds":60,"reason":"x","more":1}'],
)  # fmt: skip
def test_silences_have_a_limit(tmp_path: Path, body: str) -> None:
    async def script(here: World, ask: Ask) -> None:
        assert (await ask("POST", "/silences", body.encode(), who="admin")).status_code == 400
        assert here.alerts.silences == []

    play(tmp_path, script)


def test_a_directive_is_the_owners_and_only_moves_on(tmp_path: Path) -> None:
    def made(sequence: int, key: object = OWNER, expiry: int = NOW + 60) -> bytes:
        signer = STRANGER if key is STRANGER else OWNER
        directive = Directive(DEVICE, sequence, Orders(10).render(), expiry)
        return directive.sign(DOMAIN, signer.sign).render().encode()

    async def script(_: World, ask: Ask) -> None:
        path = f"/directives/{DEVICE}"
        for body, status in (
            (made(2), 204), (made(2), 204), (made(1), 409), (made(3, STRANGER), 403),
            (made(3, expiry=NOW), 409), (b"{}", 400), (made(4), 204),
            (made(4, expiry=NOW + 9), 409),
        ):  # fmt: skip
            assert (await ask("PUT", path, body)).status_code == status
        assert (await ask("GET", path)).content == made(4)
        assert (await ask("PUT", f"/directives/{OTHER}", made(5))).status_code == 400
        for bad in (f"/directives/{OTHER}", "/directives/x"):
            assert (await ask("GET", bad)).status_code in (400, 404)

    play(tmp_path, script)


def test_unknown_places_and_epochs_are_named(tmp_path: Path) -> None:
    async def script(_: World, ask: Ask) -> None:
        for path in ("/nothing", "/epochs/4", "/epochs/4/leaves", f"/epochs/4/evidence/{DEVICE}"):
            answer = await ask("GET", path, who="watcher")
            assert answer.status_code == 404
            assert answer.json()["remedy"]
        assert (await ask("GET", "/epochs/x")).status_code == 400
        assert (await ask("DELETE", "/readings")).status_code == 405

    play(tmp_path, script)


def test_alerts_are_asked_for_by_device_and_state(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        found = await ask("GET", f"/alerts?device={DEVICE.lower()}&state=open", who="owner")
        assert (found.json()[0]["id"], found.json()[0]["severity"]) == (7, "warning")
        await ask("GET", "/alerts", who="admin")
        assert here.alerts.listed == [("open", DEVICE), (None, None)]
        assert (await ask("GET", "/alerts?state=x", who="admin")).status_code == 400

    play(tmp_path, script)


def test_evidence_may_be_asked_for_of_a_span(tmp_path: Path) -> None:
    async def script(_: World, ask: Ask) -> None:
        path = f"/epochs/3/evidence/{DEVICE}"
        for who in ("watcher", "owner", "admin"):
            assert (await ask("GET", f"{path}?since=5&until=9", who=who)).content == b"5-9"
        found = await ask("GET", f"{path}?since=5", who="watcher")
        assert found.content == b"5-%d" % (2**48 + 1)
        for wrong in ("since=9&until=9", "since=x", "until=-1", f"until={2**49}"):
            assert (await ask("GET", f"{path}?{wrong}", who="watcher")).status_code == 400

    play(tmp_path, script)


def test_who_bought_an_epoch_sees_evidence_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, end = 1_300_000, 1_400_000
    wanted: list[Want] = []

    def may_read(_: FakeRights, account: Address, device: str, want: Want) -> bool:
        wanted.append(want)
        return account == BUYER.address

    async def script(_: World, ask: Ask) -> None:
        path = f"/epochs/3/evidence/{DEVICE}"
        for more, shown in (
            ("", (begin, end)), ("?since=5", (begin, end)),
            (f"?since={begin + 1}&until={end - 1}", (begin + 1, end - 1)),
            (f"?since=5&until={end + 1}", (begin, end)),
        ):  # fmt: skip
            assert (await ask("GET", path + more, who="buyer")).content == b"%d-%d" % shown
        refused = await ask("GET", f"{path}?since={begin}&until={begin + 1}", who="stranger")
        assert refused.status_code == 403
        assert "metric=*" in refused.json()["remedy"]
        assert set(wanted) == {Want((), begin, end)}

    monkeypatch.setattr(FakeRights, "may_read", may_read)
    play(tmp_path, script)


def test_a_token_for_other_evidence_opens_none(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        path = f"/epochs/3/evidence/{DEVICE}"
        for method, signed in (
            ("GET", "/epochs/2/evidence"), ("GET", f"/epochs/3/evidence/{OTHER}"), ("POST", path),
        ):  # fmt: skip
            header = here.credential("watcher", method, signed) or ""
            assert (await ask("GET", path, authorization=header)).status_code == 403
        header = here.credential("watcher", "GET", path) or ""
        statuses = [(await ask("GET", path, authorization=header)).status_code for _ in range(2)]
        assert statuses == [200, 401]

    play(tmp_path, script)


def test_forged_batches_use_up_nothing_of_a_device(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        here.intake.answer = Outcome(False, refusal=ForgedError("forged", remedy="-"))
        door = here.door
        for _ in range(9):
            with pytest.raises(ForgedError):
                await door.post(BATCH)
        here.intake.answer = Outcome(new=True)
        for _ in range(3):
            assert (await door.post(BATCH)).new
        with pytest.raises(BusyError):
            await door.post(BATCH)

    play(tmp_path, script, rate=3)


def test_a_wrong_token_is_refused_before_the_body(tmp_path: Path) -> None:
    async def script(_: World, ask: Ask) -> None:
        answer = await ask("POST", "/prometheus/write", bytes(2**21), who="wrong")
        assert answer.status_code == 401

    play(tmp_path, script)


def test_a_signed_request_counts_once(tmp_path: Path) -> None:
    async def script(here: World, ask: Ask) -> None:
        header = here.credential("owner", "GET", "/devices") or ""
        statuses = [
            (await ask("GET", "/devices", authorization=header)).status_code for _ in range(2)
        ]
        assert statuses == [200, 401]

    play(tmp_path, script)
