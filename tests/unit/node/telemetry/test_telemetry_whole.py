"""Readings through the real partition, store and desk, from the door to the answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2

from freehold.domain.did import Did
from freehold.node.telemetry.detector import FleetDetector
from freehold.telemetry.alerts.desk import Desk
from freehold.telemetry.embedded import Embedded
from freehold.telemetry.members import Members
from freehold.telemetry.partition import Partition, Place
from freehold.telemetry.reading import Batch, Reading, pack
from freehold.telemetry.store.store import Store
from unit.node.telemetry.service import ADMIN, DEVICE, FINDING, Backs, world
from unit.node.world import NOW
from unit.telemetry.devices import KEYS, NETWORK, sealed
from unit.telemetry.test_remote_write import UP, request, series

TIME = NOW * 1000


def test_what_is_sent_can_be_read(tmp_path: Path) -> None:
    async def run() -> None:
        with (
            Store(tmp_path / "store") as store,
            Desk(tmp_path / "desk", clock=lambda: TIME) as desk,
        ):
            engines: list[Embedded] = []

            def backs(members: Members) -> Backs:
                partition = Partition(
                    Place(tmp_path / "part.sqlite", NETWORK), members=members,
                    detector=FleetDetector, sink=store, listener=desk.tell, now=TIME,
                )  # fmt: skip
                engines.append(Embedded([partition], members=members, clock=lambda: TIME))
                return Backs(engines[0], store, desk)

            made = world(tmp_path, asyncio.get_running_loop(), backs=backs)
            here = next(made)
            try:
                transport = httpx2.ASGITransport(here.app, client=("192.0.2.1", 5))
                async with httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
                    await exchange(http, here.source_token, engines[0], desk)
            finally:
                engines[0].close()
            assert next(made, None) is None

    asyncio.run(run())


async def exchange(http: httpx2.AsyncClient, token: str, engine: Embedded, desk: Desk) -> None:
    readings = [Reading("roof.temperature", "Cel", TIME - 2_000 + n, 20.0 + n) for n in range(2)]
    batch = Batch(NETWORK, Did.of(KEYS[0].public_key()), 1, 1, TIME, pack(readings))
    answers = [await http.post("/readings", content=sealed(batch)) for _ in range(2)]
    assert [answer.json()["new"] for answer in answers] == [True, False]
    forged = bytearray(sealed(batch))
    forged[-1] ^= 1
    assert (await http.post("/readings", content=bytes(forged))).status_code == 403
    pushed = await http.post(
        "/prometheus/write", content=request(series(UP, [(1.0, TIME)])),
        headers={"authorization": f"Bearer {token}"},
    )  # fmt: skip
    assert pushed.status_code == 204
    assert await asyncio.to_thread(engine.settle, 30)
    http.headers["authorization"] = f"Bearer {ADMIN}"
    found = (await http.get("/readings", params={"device": DEVICE})).json()
    columns = found["columns"]
    values = [row[columns.index("value")] for row in found["rows"]]
    assert values == [293.15, 294.15]
    source = (await http.get("/readings", params={"device": "source:prom"})).json()
    assert [row[columns.index("metric")] for row in source["rows"]] == ["up"]
    await asyncio.to_thread(desk.tell, [FINDING])
    alerts = (await http.get("/alerts", params={"device": DEVICE})).json()
    alert = next(alert for alert in alerts if alert["kind"] == FINDING.kind)
    assert (await http.post(f"/alerts/{alert['id']}/ack")).status_code == 204
    (alert,) = (await http.get("/alerts", params={"state": "acknowledged"})).json()
    assert alert["subject"] == DEVICE
    silence = {"subject": DEVICE, "seconds": 60, "reason": "works"}
    assert (await http.post("/silences", json=silence)).status_code == 201
    assert [kept.by for kept in desk.silences()] == ["administrator"]
