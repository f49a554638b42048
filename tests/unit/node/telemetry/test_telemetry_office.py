"""The office: its routes are the administrator's, and do what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np

from freehold.node.telemetry.app import Api
from freehold.node.telemetry.members import Roll
from freehold.node.telemetry.office import Desks, Office
from freehold.telemetry.alerts.desk import Desk
from freehold.telemetry.alerts.hooks import Hooks
from freehold.telemetry.rows import Rows
from freehold.telemetry.store.store import Store
from unit.node.telemetry import test_telemetry_members as listed
from unit.node.telemetry.service import ADMIN, OWNER, STRANGER, World, world
from unit.node.world import NOW, sign_request

DEVICE = listed.AGENT.address
Act = Callable[[httpx2.AsyncClient, World, Store], Awaitable[None]]


def run(tmp_path: Path, act: Act) -> None:
    async def begun() -> None:
        made = world(tmp_path, asyncio.get_running_loop())
        here = next(made)
        with (
            Store(tmp_path / "store") as store,
            Desk(tmp_path / "desk", clock=lambda: NOW * 1_000) as desk,
            ThreadPoolExecutor(2) as pool,
        ):
            app = _api(here).build(_office(here, tmp_path, store, desk, pool).routes())
            transport = httpx2.ASGITransport(app, client=("192.0.2.1", 5))
            async with httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
                await act(http, here, store)
        assert next(made, None) is None

    asyncio.run(begun())


def _api(here: World) -> Api:
    return Api(here.parts)


def _office(here: World, home: Path, store: Store, desk: Desk, pool: ThreadPoolExecutor) -> Office:
    index = listed.Index([listed.enrolled(owner=OWNER.address)])
    roll = Roll(index, listed.NET, home / "members", service=listed.SERVICE, now=lambda: NOW)
    roll.refresh()
    (home / "exports").mkdir()
    return Office(
        Desks(
            access=here.parts.access, roll=roll, sources=here.sources,
            hooks=Hooks(home / "hooks.json"), alerts=desk, store=store, exports=home / "exports",
            owner=OWNER.address, random=lambda size: b"\x08" * size, now=lambda: NOW * 1_000,
            pool=pool,
        )
    )  # fmt: skip


ROUTES = (
    ("GET", "/sources", b""),
    ("POST", "/sources", b'{"name": "new"}'),
    ("DELETE", "/sources/prom", b""),
    ("GET", "/hooks", b""),
    ("POST", "/hooks", b'{"name": "new", "url": "https://example.com"}'),
    ("DELETE", "/hooks/new", b""),
    ("GET", "/silences", b""),
    ("DELETE", "/silences/1", b""),
    ("GET", "/export", b""),
)


def test_nobody_else_gets_in(tmp_path: Path) -> None:
    async def act(http: httpx2.AsyncClient, here: World, _: Store) -> None:
        for method, path, body in ROUTES:
            for kind, code in (("owner", 403), ("stranger", 403), ("wrong", 401), ("none", 401)):
                header = here.credential(kind, method, path, body)
                headers = {} if header is None else {"authorization": header}
                answer = await http.request(method, path, content=body, headers=headers)
                assert answer.status_code == code, (method, path, kind)
        assert [each.name for each in here.sources.all()] == ["prom"]

    run(tmp_path, act)


def test_sources_come_with_a_token_and_go(tmp_path: Path) -> None:
    async def act(http: httpx2.AsyncClient, here: World, _: Store) -> None:
        http.headers["authorization"] = f"Bearer {ADMIN}"
        made = await http.post("/sources", json={"name": "otel"})
        assert made.status_code == 201
        assert here.sources.admit(made.json()["token"]).name == "otel"
        names = [each["name"] for each in (await http.get("/sources")).json()]
        assert names == ["otel", "prom"]
        assert "token" not in (await http.get("/sources")).text
        assert (await http.delete("/sources/otel")).status_code == 204
        assert (await http.delete("/sources/otel")).status_code == 404
        assert (await http.post("/sources", json={"name": "../x"})).status_code == 400

    run(tmp_path, act)


def test_hooks_show_their_secret_once(tmp_path: Path) -> None:
    async def act(http: httpx2.AsyncClient, here: World, _: Store) -> None:
        http.headers["authorization"] = f"Bearer {ADMIN}"
        body = {"name": "pager", "url": "https://example.com/a", "minimum": "critical"}
        secret = (await http.post("/hooks", json=body)).json()["secret"]
        shown = await http.get("/hooks")
        assert secret not in shown.text
        assert shown.json() == [{**body, "private": False}]
        bad = await http.post("/hooks", json={**body, "minimum": "awful"})
        assert bad.status_code == 400
        assert (await http.delete("/hooks/pager")).status_code == 204

    run(tmp_path, act)


def test_only_its_owner_tells_where_a_device_stands(tmp_path: Path) -> None:
    path = f"/devices/{DEVICE}/cell"
    right = b'{"salt": "0x%s", "cell": "u33d"}' % listed.SALT.hex().encode()
    wrong = right.replace(b"u33d", b"u33e")

    # the fixture's rights know one device, so the administrator stands for its owner here
    async def admin(http: httpx2.AsyncClient, here: World, _: Store) -> None:
        http.headers["authorization"] = f"Bearer {ADMIN}"
        assert (await http.put(path, content=wrong)).status_code == 403
        assert (await http.put(path, content=b'{"salt": "1", "cell": "a"}')).status_code == 400
        assert (await http.put(path, content=right)).status_code == 204
        header = sign_request(listed.PLAIN, STRANGER, "PUT", path, right)
        answer = await http.put(path, content=right, headers={"authorization": header})
        assert answer.status_code == 403

    run(tmp_path, admin)


def test_an_export_is_the_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def act(http: httpx2.AsyncClient, here: World, store: Store) -> None:
        http.headers["authorization"] = f"Bearer {ADMIN}"
        time = np.arange(3, dtype=np.int64) + NOW * 1_000 - 10
        zeros = np.zeros(3)
        rows = Rows(
            (DEVICE,), ("a",), zeros.astype(np.int32), zeros.astype(np.int32), time,
            np.array([1.5, 2.5, 3.5]), zeros.astype(np.uint8), zeros, zeros.astype(np.float32),
        )  # fmt: skip
        store.keep("one", rows)
        answer = await http.get("/export", params={"format": "csv"})
        assert answer.status_code == 200
        head, *lines = answer.text.splitlines()
        assert "value" in head
        assert len(lines) == 3
        assert (await http.get("/export", params={"format": "xls"})).status_code == 400
        assert list((tmp_path / "exports").iterdir()) == []

    run(tmp_path, act)
