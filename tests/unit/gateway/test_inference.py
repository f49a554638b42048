"""The gateway's endpoint: any client of the protocol, keys, limits, refusals; on a real socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine

import httpx2
import numpy as np
import pytest

from freehold.client.asking.candidate import Effort, Limits
from freehold.domain.errors import UsageError
from freehold.gateway import inference
from freehold.gateway.inference import Gateway, Terms, make_server, status_of
from freehold.gateway.inference import serve as answer
from freehold.markets.models.tensor import (
    Request,
    decode_response,
    encode_request,
    from_arrays,
    to_arrays,
)
from unit.client.asking.fakes import (
    BAD,
    INPUTS,
    SUBNET,
    FakeNode,
    World,
    answer_body,
    hang,
    number,
    says,
)
from unit.client.asking.test_asking import run

PATH = f"/v2/models/{SUBNET}/infer"
BODY = {
    "id": "mine",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}],
}
Work = Callable[[httpx2.AsyncClient, World], Coroutine[object, object, None]]


def serve(work: Work, *nodes: FakeNode, terms: Terms | None = None) -> None:
    """Run ``work`` against a gateway before ``nodes``."""

    async def inside() -> None:
        terms_ = terms or Terms(effort=Effort(deadline=2.0))
        async with World(*nodes) as world:
            gateway = Gateway(world.router, world.ranking, terms_)
            left, port = threading.Event(), asyncio.get_running_loop().create_future()
            serving = asyncio.ensure_future(
                answer(gateway, host="127.0.0.1", port=0, left=left, started=port.set_result)
            )
            url = f"http://127.0.0.1:{await port}"
            try:
                async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
                    await work(client, world)
            finally:
                left.set()
                await serving

    run(inside())


def test_a_plain_client_of_the_protocol_gets_an_answer() -> None:
    async def work(client: httpx2.AsyncClient, world: World) -> None:
        assert (await client.get("/v2/health/live")).status_code == 200
        assert (await client.get("/v2/health/ready")).status_code == 200
        assert (await client.get("/v2")).json()["name"] == "freehold"
        about = (await client.get(f"/v2/models/{SUBNET}")).json()
        assert about["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
        assert (await client.get(f"/v2/models/{SUBNET}/ready")).json()["ready"] is True
        answer = await client.post(PATH, json=BODY)
        found = answer.json()
        assert (found["id"], found["model_name"]) == ("mine", SUBNET)
        assert found["outputs"][0]["data"] == pytest.approx([0.1, 0.7, 0.2])
        assert answer.headers["freehold-node"] == number(1)
        assert answer.headers["freehold-paid"] == "0"
        assert b"mine" not in world.nodes[0].got[0].body
        metrics = (await client.get("/metrics")).text
        assert 'freehold_gateway_requests_total{status="200"} 1.0' in metrics

    serve(work, FakeNode(1))


def test_binary_tensors_go_through() -> None:
    async def work(client: httpx2.AsyncClient, world: World) -> None:
        asked = encode_request(Request(from_arrays(INPUTS), binary_output=True), binary=True)
        answer = await client.post(PATH, content=asked.data, headers=asked.headers())
        length = int(answer.headers["inference-header-content-length"])
        found = to_arrays(decode_response(answer.content, length).outputs)
        assert np.allclose(found["y"], [[0.1, 0.7, 0.2]])

    serve(work, FakeNode(1))


def test_the_outputs_that_are_asked_for_come_in_the_form_that_is_asked_for() -> None:
    async def work(client: httpx2.AsyncClient, world: World) -> None:
        wanted = [{"name": "y", "parameters": {"binary_data": True}}]
        found = await client.post(PATH, json=BODY | {"outputs": wanted})
        length = int(found.headers["inference-header-content-length"])
        assert to_arrays(decode_response(found.content, length).outputs)["y"].argmax() == 1
        assert b"outputs" not in world.nodes[0].got[0].body
        other = await client.post(PATH, json=BODY | {"outputs": [{"name": "z"}]})
        assert other.status_code == 400

    serve(work, FakeNode(1))


def test_odd_bodies_are_refused_before_a_node_is_asked() -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}
    bodies = {
        b"": 400,
        b"[" * 900: 400,
        b"{}": 400,
        json.dumps({"inputs": [tensor | {"name": "z"}]}).encode(): 400,
        json.dumps({"inputs": [tensor | {"shape": [3, 3]}]}).encode(): 400,
        json.dumps({"inputs": [tensor | {"data": [1.0, float("nan")]}]}).encode(): 400,
        b"x" * 2_000: 413,
    }

    async def work(client: httpx2.AsyncClient, world: World) -> None:
        for body, status in bodies.items():
            found = await client.post(PATH, content=body)
            assert found.status_code == status, body[:60]
            assert set(found.json()) >= {"error", "remedy", "kind"}
        assert world.nodes[0].got == []

    serve(work, FakeNode(1), terms=Terms(body=1_000))


def test_a_body_without_a_length_is_bounded_too() -> None:
    async def parts() -> object:
        for _ in range(100):
            yield b"x" * 100

    async def work(client: httpx2.AsyncClient, world: World) -> None:
        answer = await client.post(PATH, content=parts())  # type: ignore[arg-type]
        assert answer.status_code == 413

    serve(work, FakeNode(1), terms=Terms(body=1_000))


def test_bodies_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "BODIES", 2**18)

    async def work(client: httpx2.AsyncClient, world: World) -> None:
        small = json.dumps(BODY).encode()
        large = small + b" " * 200_000
        found = await asyncio.gather(*(client.post(PATH, content=large) for _ in range(3)))
        assert sorted(each.status_code for each in found) == [429, 429, 504]
        refused = next(each for each in found if each.status_code == 429)
        assert refused.json()["kind"] == "BusyError"
        assert refused.headers["retry-after"] == "1"
        assert (await client.post(PATH, content=small)).status_code == 504  # the room is free again

    serve(work, FakeNode(1, hang), terms=Terms(body=2**18, effort=Effort(deadline=0.5)))


def test_without_its_key_nothing_is_routed() -> None:
    async def work(client: httpx2.AsyncClient, world: World) -> None:
        routes = [("POST", PATH), ("GET", f"/v2/models/{SUBNET}"), ("GET", f"{PATH[:-5]}ready")]
        odd = ["Bearer", "Bearer wrong", "Basic secret", "secret", "Bearer sécret", "Bearersecret"]
        for method, path in routes:
            bare = await client.request(method, path, json=BODY)
            assert bare.status_code == 401
            for header in odd:
                sent = {"authorization": header.encode()}
                answer = await client.request(method, path, json=BODY, headers=sent)  # type: ignore[arg-type]
                assert answer.status_code == 401, header
            assert world.nodes[0].got == []
            good = {"authorization": "Bearer secret"}
            assert (await client.request(method, path, json=BODY, headers=good)).status_code == 200
            world.nodes[0].got.clear()

    serve(work, FakeNode(1), terms=Terms(key="secret"))


def test_a_web_page_spends_nothing() -> None:
    async def work(client: httpx2.AsyncClient, world: World) -> None:
        for odd in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"host": "evil.example"},
            {"host": "evil:1"},
            {"host": "127.0.0.1.evil.example"},
        ):
            answer = await client.post(PATH, json=BODY, headers=odd)
            assert answer.status_code == 401, odd
        assert world.nodes[0].got == []

    serve(work, FakeNode(1))


def test_wishes_in_headers_are_bounded_by_the_gateway_s() -> None:
    async def work(client: httpx2.AsyncClient, world: World) -> None:
        agreed = await client.post(PATH, json=BODY, headers={"freehold-agree": "2/3"})
        assert agreed.status_code == 200
        assert agreed.headers["freehold-node"] != number(1)
        for odd in (
            {"freehold-agree": "3/2"},
            {"freehold-deadline": "nan"},
            {"freehold-deadline": "-1"},
            {"freehold-max-price": "1.5"},
        ):
            assert (await client.post(PATH, json=BODY, headers=odd)).status_code == 400
        world.ranking.known = [world.nodes[0].candidate(price=50)]
        dear = await client.post(PATH, json=BODY, headers={"freehold-max-price": "99"})
        assert dear.status_code == 402
        assert "more than" in dear.json()["error"]

    lie = says(200, answer_body((0.9, 0.05, 0.05)))
    terms = Terms(limits=Limits(max_price=40), effort=Effort(deadline=2.0))
    serve(work, FakeNode(1, lie), FakeNode(2), FakeNode(3), terms=terms)


def test_what_nodes_did_is_told() -> None:
    async def work(client: httpx2.AsyncClient, world: World) -> None:
        late = await client.post(PATH, json=BODY, headers={"freehold-deadline": "0.2"})
        assert late.status_code == 504
        assert {each["kind"] for each in late.json()["nodes"]} == {"silent", "broken"}
        world.nodes[0].behave = BAD["500"]
        broken = await client.post(PATH, json=BODY)
        assert broken.status_code == 503
        assert broken.headers["retry-after"] == "1"

    serve(work, FakeNode(1, hang), FakeNode(2, BAD["500"]))


def test_a_gateway_for_others_needs_a_key() -> None:
    class Any:
        async def __call__(self, *_: object) -> None: ...

    with pytest.raises(UsageError, match="needs a key"):
        make_server(Any(), host="0.0.0.0", key="")  # type: ignore[arg-type]


def test_unknown_errors_are_the_gateway_s_own() -> None:
    from freehold.domain.errors import FreeholdError

    assert status_of(FreeholdError("odd", remedy="none")) == 500
