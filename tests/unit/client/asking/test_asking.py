"""Requests to models over nodes that fail in every way: real servers, one event loop."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.client.asking.asker import Asker
from freehold.client.asking.caller import Caller, Reply
from freehold.client.asking.candidate import Agreement, Effort, Limits
from freehold.client.asking.inputs import tensors
from freehold.client.asking.refusals import (
    AllFailedError,
    CrowdedError,
    DeadlineError,
    DisagreementError,
    Kind,
    NobodyError,
    TooDearError,
    UnwantedInputError,
)
from freehold.client.asking.router import Router
from freehold.domain.errors import (
    CancelledError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from freehold.domain.ids import Address
from freehold.markets.models.agree import Quorum
from freehold.markets.models.tensor import Limits as TensorLimits
from freehold.markets.models.tensor import MismatchError, Schema, Spec
from unit.client.asking.fakes import (
    BAD,
    INPUTS,
    SUBNET,
    FakeNode,
    Got,
    Listed,
    World,
    answer_body,
    certificate,
    good,
    hang,
    http,
    number,
    says,
    sends,
)

SOON = Effort(deadline=5.0)
KINDS = {
    "hangs": Kind.SILENT,
    "trickles": Kind.SILENT,
    "drops": Kind.DROPPED,
    "dies midway": Kind.DROPPED,
    "500": Kind.BROKEN,
    "404": Kind.BROKEN,
    "redirect": Kind.BROKEN,
    "400": Kind.REFUSED,
    "429": Kind.BUSY,
    "503": Kind.BUSY,
    "402": Kind.UNPAID,
}


def run(work: Coroutine[object, object, None], *, fast: bool = True) -> None:
    """In the event loop that ``Asker`` and the gateway use, or in Python's own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if fast else None) as runner:
        runner.run(asyncio.wait_for(work, 60))


async def ask(world: World, **wishes: object) -> Reply:
    return await world.router.ask(SUBNET, INPUTS, **({"effort": SOON} | wishes))  # type: ignore[arg-type]


@pytest.mark.parametrize("fast", [True, False])
def test_a_request_in_the_protocol_s_form_gets_the_answer(fast: bool) -> None:
    async def work() -> None:
        async with World(FakeNode(1)) as world:
            reply = await ask(world)
            assert reply.arrays["y"].tolist()[0] == pytest.approx([0.1, 0.7, 0.2])
            assert (reply.node, reply.uid, reply.paid) == (number(1), 1, 0)
            (got,) = world.nodes[0].got
            assert (got.method, got.path) == ("POST", "/v2/models/digits/infer")
            assert json.loads(got.body) == {
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]
            }

    run(work(), fast=fast)


def test_connections_are_kept_and_pinned() -> None:
    async def work() -> None:
        async with World(FakeNode(1, secure=True)) as world:
            for _ in range(3):
                await ask(world)
            assert len(world.nodes[0].writers) == 1

    run(work())


def test_another_certificate_gets_no_word_from_us() -> None:
    async def work() -> None:
        async with World(FakeNode(1, secure=True)) as world:
            world.ranking.known = [world.nodes[0].candidate(fingerprint=bytes(32))]
            with pytest.raises(AllFailedError, match="shows certificate") as caught:
                await ask(world)
            assert caught.value.failures[0].kind is Kind.IMPOSTER
            assert world.nodes[0].got == []

    run(work())


@pytest.mark.parametrize(
    "endpoint",
    ["http://10.0.0.1:1", "ftp://h:1", "https://a b:1", "https://h:1/x", "x", "https://[::1"],
)
def test_odd_endpoints_are_not_reached(endpoint: str) -> None:
    async def work() -> None:
        async with World(FakeNode(1)) as world:
            world.ranking.known = [world.nodes[0].candidate(endpoint=endpoint)]
            with pytest.raises(AllFailedError, match="no https endpoint"):
                await ask(world)

    run(work())


def test_plain_http_is_only_for_who_asks_for_it() -> None:
    async def work() -> None:
        node = await FakeNode(1).start()
        router = Router(Listed(node.candidate()), Caller(), chance=random.Random(1))
        with pytest.raises(AllFailedError, match="no https endpoint"):
            await router.ask(SUBNET, INPUTS)
        await router.close()
        await node.stop()
        assert node.got == []

    run(work())


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", sorted(BAD))
def test_a_good_node_stands_in_for_one_that_fails(name: str, fast: bool) -> None:
    async def work() -> None:
        # The bad one has the score: it is asked first.
        bad, other = FakeNode(1, BAD[name], score=1.0), FakeNode(2, good, score=0.05)
        async with World(bad, other) as world:
            reply = await ask(world, effort=Effort(deadline=2.0, hedge=True))
            assert reply.node == other.node
            assert len(bad.got) == 1

    run(work(), fast=fast)


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_a_node_did_is_told(name: str) -> None:
    async def work() -> None:
        async with World(FakeNode(1, BAD[name])) as world:
            kinds: tuple[type[Exception], ...] = (AllFailedError, DeadlineError, UnwantedInputError)
            with pytest.raises(kinds) as caught:
                await ask(world, effort=Effort(deadline=0.3))
            (failure,) = caught.value.failures  # type: ignore[attr-defined]
            assert failure.kind is KINDS.get(name, Kind.GARBAGE)
            assert str(number(1)) in str(caught.value)

    run(work())


def test_a_refusal_in_a_node_s_words_is_cleaned_and_short() -> None:
    async def work() -> None:
        told = json.dumps({"error": "\x1b[31mred\n" + "x" * 10_000}).encode()
        async with World(FakeNode(1, says(500, told))) as world:
            with pytest.raises(AllFailedError) as caught:
                await ask(world)
            assert "\x1b" not in caught.value.message
            assert len(caught.value.message) < 500

    run(work())


def test_all_dead_and_the_dead_live_again() -> None:
    async def work() -> None:
        first, second = FakeNode(1), FakeNode(2)
        async with World(first, second) as world:
            await ask(world)
            for node in world.nodes:
                await node.stop()
            with pytest.raises(AllFailedError) as caught:
                await ask(world)
            assert {each.node for each in caught.value.failures} == {number(1), number(2)}
            await second.start()
            assert (await ask(world)).node == second.node

    run(work())


def test_a_node_that_is_busy_is_left_alone() -> None:
    async def work() -> None:
        busy = FakeNode(1, BAD["429"], score=1.0)
        async with World(busy, FakeNode(2, score=0.01)) as world:
            for _ in range(20):
                await ask(world)
            assert len(busy.got) == 1

    run(work())


def test_a_hedged_request_is_answered_by_the_faster() -> None:
    async def work() -> None:
        slow = FakeNode(1, good, score=1.0)
        async with World(slow, FakeNode(2, score=0.05)) as world:
            for _ in range(10):
                await ask(world)
            slow.behave = hang
            loop = asyncio.get_running_loop()
            began = loop.time()
            reply = await ask(world, effort=Effort(deadline=20.0, hedge=True))
            assert reply.node == number(2)
            assert loop.time() - began < 0.4

    run(work())


def test_a_known_node_that_falls_silent_is_rested_at_once() -> None:
    async def work() -> None:
        silent = FakeNode(1, score=1.0)
        async with World(silent, FakeNode(2, score=0.05)) as world:
            for _ in range(10):
                await ask(world)
            silent.behave = hang
            assert (await ask(world, effort=Effort(deadline=20.0))).node == number(2)
            assert world.router.measures.of(silent.node).resting

    run(work())


def test_a_cancelled_request_leaves_nothing_behind() -> None:
    async def work() -> None:
        async with World(FakeNode(1, hang)) as world:
            asked = asyncio.ensure_future(ask(world))
            while not world.nodes[0].got:
                await asyncio.sleep(0)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            await _until(lambda: world.router.measures.of(number(1)).flying == 0)
            (reader,) = world.nodes[0].readers
            await _until(reader.at_eof)
            world.nodes[0].behave = good
            assert (await ask(world)).node == number(1)
            assert not [task for task in asyncio.all_tasks() if "Caller" in repr(task)]

    run(work())


async def _until(true: object) -> None:
    while not true():  # type: ignore[operator]
        await asyncio.sleep(0)


@pytest.mark.parametrize("extra", ["same write", "later", "half of it"])
def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next(extra: str) -> None:
    async def work() -> None:
        lie = http(200, answer_body((0.9, 0.05, 0.05)))

        halved: set[asyncio.StreamWriter] = set()

        async def splits(node: FakeNode, got: object, writer: asyncio.StreamWriter) -> None:
            if extra == "half of it":
                writer.write(lie[-9:] if writer in halved else http(200, answer_body()) + lie[:-9])
                halved.add(writer)
            elif extra == "same write":
                writer.write(http(200, answer_body()) + lie)
            else:
                writer.write(http(200, answer_body()))
                await writer.drain()
                writer.write(lie)

        async with World(FakeNode(1, splits)) as world:
            for _ in range(5):
                reply = await ask(world)
                assert reply.arrays["y"].argmax() == 1

    run(work())


def test_a_chunked_answer_and_one_after_a_continue_are_read() -> None:
    async def work() -> None:
        body = answer_body()
        parts = b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in body) + b"0\r\n\r\n"
        raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        async with World(FakeNode(1, sends(raw + parts))) as world:
            for _ in range(2):
                assert (await ask(world)).arrays["y"].argmax() == 1
            assert len(world.nodes[0].writers) == 1

    run(work())


def test_a_connection_that_was_closed_while_idle_is_not_held_against_a_node() -> None:
    async def work() -> None:
        used: set[asyncio.StreamWriter] = set()

        async def once(node: FakeNode, got: Got, writer: asyncio.StreamWriter) -> None:
            if writer in used:
                writer.transport.abort()
            else:
                used.add(writer)
                await good(node, got, writer)

        async with World(FakeNode(1, once)) as world:
            for _ in range(3):
                await ask(world)
            assert world.router.measures.of(number(1)).trust == 1.0

    run(work())


def test_more_nodes_that_hang_than_are_asked_at_once() -> None:
    async def work() -> None:
        stuck = [FakeNode(n, hang, score=1.0) for n in range(7)]
        async with World(*stuck, FakeNode(99, score=0.01)) as world:
            reply = await ask(world, effort=Effort(deadline=2.0, spare=1))
            assert reply.node == number(99)

    run(work())


def test_a_node_that_closes_each_time_is_asked_on_new_connections() -> None:
    async def work() -> None:
        closing = http(200, answer_body(), connection="close")
        async with World(FakeNode(1, sends(closing, close=True))) as world:
            for _ in range(3):
                assert (await ask(world)).node == number(1)

    run(work())


def test_more_than_may_wait_is_refused() -> None:
    async def work() -> None:
        async with World(FakeNode(1, hang), under_way=2, waiting=2) as world:
            asked = [
                asyncio.ensure_future(ask(world, effort=Effort(deadline=0.3))) for _ in range(4)
            ]
            await asyncio.sleep(0)
            with pytest.raises(CrowdedError):
                await ask(world)
            found = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(each, DeadlineError) for each in found)
            world.nodes[0].behave = good
            await ask(world)

    run(work())


@pytest.mark.parametrize("value", [[[1, 2]], [[0.1, 2]], ((1.0, 2.0),), INPUTS["x"]])
def test_lists_become_what_the_schema_says(value: object) -> None:
    async def work() -> None:
        async with World(FakeNode(1)) as world:
            await world.router.ask(SUBNET, {"x": value})
            assert b'"datatype":"FP32"' in world.nodes[0].got[0].body

    run(work())


@pytest.mark.parametrize(
    "value",
    [np.array([[1.0, 2.0]]), [[1], [1, 2]], [["a", "b"]], [[1e300, 1]], None, [[True, False]]],
)
def test_values_that_do_not_fit_are_the_caller_s_fault(value: object) -> None:
    async def work() -> None:
        async with World(FakeNode(1)) as world:
            with pytest.raises((UsageError, IntegrityError)):
                await world.router.ask(SUBNET, {"x": value})
            assert world.nodes[0].got == []

    run(work())


def test_whole_numbers_are_not_cut() -> None:
    schema = Schema((Spec("n", "UINT8", (-1,)),), (Spec("y", "FP32", (-1,)),))
    (fits,) = tensors({"n": [1, 255]}, schema)
    assert fits.datatype == "UINT8"
    for odd in ([1, 256], [-1], [1.5]):
        (kept,) = tensors({"n": odd}, schema)
        with pytest.raises(MismatchError):
            schema.check_inputs((kept,))


@pytest.mark.parametrize("chunked", [True, False])
def test_an_answer_without_end_is_cut_off(chunked: bool) -> None:
    async def work() -> None:
        async def endless(node: FakeNode, got: object, writer: asyncio.StreamWriter) -> None:
            length = b"transfer-encoding: chunked" if chunked else b"content-length: 10001"
            writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
            while not node.gone.is_set() and not writer.transport.is_closing():
                writer.write(b"3e8\r\n" + b"x" * 1_000 + b"\r\n")
                await asyncio.sleep(0)

        node = await FakeNode(1, endless).start()
        caller = Caller(plain=True, limits=TensorLimits(body=10_000))
        router = Router(Listed(node.candidate()), caller, chance=random.Random(1))
        with pytest.raises(AllFailedError, match="more than 10,000 bytes"):
            await router.ask(SUBNET, INPUTS, effort=Effort(deadline=5.0))
        await router.close()
        await node.stop()

    run(work())


def test_inputs_are_checked_before_anybody_is_asked() -> None:
    async def work() -> None:
        async with World(FakeNode(1)) as world:
            with pytest.raises(MismatchError):
                await world.router.ask(SUBNET, {"wrong": [1.0]})
            assert world.nodes[0].got == []

    run(work())


def test_input_that_every_node_refuses_is_the_caller_s_fault() -> None:
    async def work() -> None:
        async with World(FakeNode(1, BAD["400"]), FakeNode(2, BAD["400"])) as world:
            with pytest.raises(UnwantedInputError, match="do not like") as caught:
                await ask(world)
            assert caught.value.exit_code == 2
            assert len(caught.value.failures) == 2

    run(work())


def test_nobody_and_too_dear() -> None:
    async def work() -> None:
        async with World(FakeNode(1, price=5)) as world:
            with pytest.raises(TooDearError, match="cheapest"):
                await ask(world)
            with pytest.raises(TooDearError, match="nothing is there to pay with"):
                await ask(world, limits=Limits(max_price=5))
            with pytest.raises(NobodyError):
                await ask(world, limits=Limits(max_price=5, without=frozenset({number(1)})))
            world.ranking.known = []
            with pytest.raises(NobodyError):
                await ask(world)

    run(work())


def test_two_of_three_agree_against_a_liar() -> None:
    async def work() -> None:
        lie = says(200, answer_body((0.9, 0.05, 0.05)))
        for seed in range(6):
            nodes = [FakeNode(1, lie, score=1.0), FakeNode(2), FakeNode(3)]
            async with World(*nodes, seed=seed) as world:
                reply = await ask(world, agreement=Agreement(Quorum(2, 3)))
                assert reply.node != number(1)
                assert reply.arrays["y"].argmax() == 1

    run(work())


def test_liars_that_differ_from_each_other_get_no_agreement() -> None:
    async def work() -> None:
        lies = [says(200, answer_body((0.1 * n, 0.5, 0.2))) for n in range(3)]
        async with World(*[FakeNode(n, lies[n]) for n in range(3)]) as world:
            with pytest.raises(DisagreementError, match="groups of 1, 1, 1") as caught:
                await ask(world, agreement=Agreement(Quorum(2, 3)))
            assert {each for group in caught.value.classes for each in group} == {
                number(n) for n in range(3)
            }

    run(work())


def test_failures_are_replaced_until_enough_agree() -> None:
    async def work() -> None:
        behaviours = [BAD["500"], BAD["drops"], hang, good, good]
        for seed in range(4):
            nodes = [FakeNode(n, each) for n, each in enumerate(behaviours)]
            async with World(*nodes, seed=seed) as world:
                reply = await ask(
                    world, agreement=Agreement(Quorum(2, 2)), effort=Effort(1.0, hedge=True)
                )
                assert reply.node in {number(3), number(4)}

    run(work())


def test_nodes_of_one_owner_count_once() -> None:
    async def work() -> None:
        owner = Address(number(99))
        async with World(FakeNode(1), FakeNode(2), FakeNode(3)) as world:
            world.ranking.known = [node.candidate(owner=owner) for node in world.nodes]
            with pytest.raises(NobodyError, match="of 1 owner, and 2"):
                await ask(world, agreement=Agreement(Quorum(2, 2)))
            world.ranking.known = [
                world.nodes[0].candidate(owner=owner, score=1.0),
                world.nodes[1].candidate(owner=owner, score=1.0),
                world.nodes[2].candidate(),
            ]
            await ask(world, agreement=Agreement(Quorum(2, 2)))
            assert len(world.nodes[2].got) == 1
            assert len(world.nodes[0].got) + len(world.nodes[1].got) == 1

    run(work())


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(sorted(BAD)), min_size=0, max_size=5),
    st.integers(0, 2**30),
    st.booleans(),
)
def test_requests_never_fail_while_one_good_node_lives(
    script: list[str], seed: int, hedge: bool
) -> None:
    async def work() -> None:
        bad = [FakeNode(n, BAD[name], score=1.0) for n, name in enumerate(script)]
        async with World(*bad, FakeNode(99, good, score=0.01), seed=seed) as world:
            for _ in range(2):
                reply = await ask(world, effort=Effort(deadline=4.0, hedge=hedge))
                assert reply.node == number(99)

    run(work())


def test_nodes_that_change_for_the_worse_midway() -> None:
    async def work() -> None:
        chance = random.Random(5)
        nodes = [FakeNode(n) for n in range(6)]
        async with World(*nodes) as world:
            for turn in range(40):
                for node in nodes:
                    node.behave = BAD[chance.choice(sorted(BAD))]
                nodes[turn % 6].behave = good
                reply = await ask(world, effort=Effort(deadline=3.0, hedge=True))
                assert reply.node == nodes[turn % 6].node

    run(work())


def test_a_program_without_an_event_loop_asks_as_well() -> None:
    certificate()
    started = asyncio.new_event_loop()
    node = started.run_until_complete(FakeNode(1).start())
    stop = asyncio.Event()

    async def serve() -> None:
        await stop.wait()
        await node.stop()

    thread = threading.Thread(target=started.run_until_complete, args=(serve(),))
    thread.start()
    try:
        ranking = Listed(node.candidate())
        with Asker(lambda: Router(ranking, Caller(plain=True), chance=random.Random(1))) as asker:
            assert asker.ask(SUBNET, INPUTS).node == number(1)
            with pytest.raises(MismatchError):
                asker.ask(SUBNET, {"no": [1]})
            asker.settle()
            seen = len(node.got)
            node.behave = hang
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(asker.ask, SUBNET, INPUTS)
                while len(node.got) == seen:
                    pass
                asker.close()
                with pytest.raises((CancelledError, UnavailableError)):
                    waiting.result()
        asker.close()
    finally:
        started.call_soon_threadsafe(stop.set)
        thread.join()
        started.close()


def test_what_cannot_be_made_ends_the_thread() -> None:
    def fails() -> Router:
        raise NotFoundError("no such home", remedy="Make it.")

    with pytest.raises(NotFoundError):
        Asker(fails)
