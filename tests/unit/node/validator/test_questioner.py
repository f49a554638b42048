"""How questions are put: bounded, one at a time to a node, paid where that is asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from freehold.client.asking.caller import Call, Caller, Reply
from freehold.client.asking.candidate import Candidate
from freehold.client.asking.refusals import AttemptError, Kind
from freehold.domain.ids import Address, checksum
from freehold.markets.models.scoring import GIVE_UP, HELD_BYTES, Round
from freehold.markets.models.task import Form, Task, Tensors, Terms
from freehold.markets.models.tensor import Tensor
from freehold.node.validator.fares import PostedFares
from freehold.node.validator.questioner import Pace, Questioner

TOKEN = checksum(b"\x77" * 20)
FORMS = (Form("y", np.dtype("<f4"), (-1, 1)),)


class Scorer:
    """All answers are worth 1; it remembers whether any question flew when it scored."""

    def __init__(self) -> None:
        self.flying: Callable[[], int] = lambda: 0
        self.disturbed = 0

    def tasks(self, random: np.random.Generator, theme: np.random.Generator, /) -> Iterator[Task]:
        while True:
            yield Task({"x": random.random((1, 1)).astype("<f4")})

    def score(self, task: Task, answer: Tensors, seconds: float, /) -> float:
        self.disturbed += bool(self.flying())
        return 1.0


class Nodes:
    """Answers by hand; counts what flies at once."""

    def __init__(
        self, answer: Callable[[Candidate], Reply] | None = None, *, rows: int = 1
    ) -> None:
        self._answer, self._rows = answer, rows
        self.now: Counter[Address] = Counter()
        self.most: Counter[Address] = Counter()
        self.together = 0
        self.asked: list[tuple[int, int]] = []

    async def ask(self, candidate: Candidate, call: Call) -> Reply:
        assert call.subnet == "digits"
        self.now[candidate.node] += 1
        self.most[candidate.node] = max(self.most[candidate.node], self.now[candidate.node])
        self.together = max(self.together, self.now.total())
        self.asked.append((candidate.uid, candidate.price))
        try:
            await asyncio.sleep(0)
            if self._answer is not None:
                return self._answer(candidate)
            array = np.zeros((self._rows, 1), "<f4")
            return Reply("digits", candidate.node, candidate.uid, (Tensor.of("y", array),), 0.1)
        finally:
            self.now[candidate.node] -= 1


def candidate(uid: int) -> Candidate:
    return Candidate(checksum(bytes([uid + 1]) * 20), uid, "http://127.0.0.1:1", bytes(32), 0.0)


def held(scorer: Scorer, nodes: int, tasks: int) -> Round:
    random = np.random.default_rng(1)
    terms = Terms(tasks=tasks, seconds=0.5)
    return Round.plan(scorer, range(nodes), random=random, theme=random, forms=FORMS, terms=terms)


def put(nodes: Nodes, round_: Round, count: int, pace: Pace, fares: object = None) -> Questioner:
    asked = Questioner(
        cast("Caller", nodes), {uid: candidate(uid) for uid in range(count)},
        subnet="digits", pace=pace, fares=fares,  # type: ignore[arg-type]
    )  # fmt: skip
    asyncio.run(asked.ask(round_))
    return asked


def test_one_at_a_time_to_a_node_and_so_many_in_all() -> None:
    nodes, scorer = Nodes(), Scorer()
    round_ = held(scorer, 9, 5)
    assert put(nodes, round_, 9, Pace(0.5, 10.0, together=4)).asked == 45
    assert set(nodes.most.values()) == {1}
    assert nodes.together == 4
    judged = round_.judge(dict.fromkeys(range(9), 0.0))
    assert {each.score for each in judged.values()} == {1.0}


def test_nothing_is_scored_while_an_answer_is_under_way() -> None:
    rows = HELD_BYTES // 64 // 4 // 4  # 64 answers are a quarter of what is held
    nodes, scorer = Nodes(rows=rows), Scorer()
    scorer.flying = nodes.now.total
    form = (Form("y", np.dtype("<f4"), (rows, 1)),)
    random = np.random.default_rng(1)
    round_ = Round.plan(
        scorer, range(4), random=random, theme=random, forms=form,
        terms=Terms(tasks=100, seconds=0.5),
    )  # fmt: skip
    assert put(nodes, round_, 4, Pace(0.5, 60.0, together=4)).asked == 400
    assert scorer.disturbed == 0
    assert sum(len(record.scores) for record in round_._records.values()) > 200


def test_who_hangs_is_given_up_and_the_others_are_not_kept() -> None:
    class Hanging(Nodes):
        async def ask(self, candidate: Candidate, call: Call) -> Reply:
            if candidate.uid == 0:
                self.asked.append((0, 0))
                await asyncio.Event().wait()
            return await super().ask(candidate, call)

    nodes, scorer = Hanging(), Scorer()
    round_ = held(scorer, 3, 20)
    put(nodes, round_, 3, Pace(0.02, 10.0, together=2))
    assert nodes.asked.count((0, 0)) == GIVE_UP
    assert len(nodes.asked) == GIVE_UP + 40
    judged = round_.judge(dict.fromkeys(range(3), 0.0))
    assert (judged[0].score, judged[1].score) == (0.0, 1.0)
    assert judged[0].reasons["silent"] == GIVE_UP


def test_no_node_ends_the_round_for_all() -> None:
    def answer(asked: Candidate) -> Reply:
        if asked.uid == 0:
            raise ZeroDivisionError
        array = Tensor.of("y", np.zeros((1, 1), "<f4"))
        return Reply("digits", asked.node, asked.uid, (array,), 0.1)

    round_ = held(Scorer(), 2, 4)
    put(Nodes(answer), round_, 2, Pace(0.5, 5.0))
    judged = round_.judge({0: 0.0, 1: 0.0})
    assert (judged[0].score, judged[1].score) == (0.0, 1.0)


def test_the_whole_is_bounded() -> None:
    round_ = held(Scorer(), 2, 20)
    asked = Questioner(
        cast("Caller", Nodes()), {0: candidate(0), 1: candidate(1)}, subnet="digits",
        pace=Pace(0.5, 0.05, spread=100.0),
    )  # fmt: skip
    assert not asyncio.run(asked.ask(round_))
    assert asked.asked < 5


@pytest.mark.parametrize(("priced", "score"), [(True, 1.0), (False, 0.0)])
def test_who_wants_to_be_paid_is_where_that_is_allowed(priced: bool, score: float) -> None:
    def answer(asked: Candidate) -> Reply:
        if not asked.price:
            raise AttemptError(Kind.UNPAID, "status 402")
        array = Tensor.of("y", np.zeros((1, 1), "<f4"))
        return Reply("digits", asked.node, asked.uid, (array,), 0.1)

    class Fares:
        times = 0

        async def of(self, asked: Candidate, /) -> Candidate | None:
            self.times += 1
            return replace(asked, price=7) if priced else None

    nodes, fares = Nodes(answer), Fares()
    round_ = held(Scorer(), 1, 6)
    put(nodes, round_, 1, Pace(0.5, 5.0), fares)
    assert round_.judge({0: 0.0})[0].score == score
    if priced:
        assert (nodes.asked[0], nodes.asked[1:]) == ((0, 0), [(0, 7)] * 6)
        assert fares.times == 1


@pytest.mark.parametrize(
    ("about", "price"),
    [
        (f'{{"price": "7", "token": "{TOKEN}"}}', 7),
        (f'{{"price": "0", "token": "{TOKEN}"}}', None),
        (f'{{"price": "11", "token": "{TOKEN}"}}', None),
        (f'{{"price": 7, "token": "{TOKEN}"}}', None),
        ('{"price": "7", "token": "0x01"}', None),
        (f'{{"price": "{"9" * 50}", "token": "{TOKEN}"}}', None),
        ("7", None),
        ("", None),
    ],
)
def test_a_price_is_read_where_it_is_one(about: str, price: int | None) -> None:
    body = f'{{"name": "freehold", "freehold": {about}}}'.encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def asked() -> Candidate | None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            at = replace(candidate(1), endpoint=f"http://127.0.0.1:{port}")
            return await PostedFares(token=TOKEN, most=10, plain=True).of(at)

    found = asyncio.run(asked())
    assert (found.price if found else None) == price
    if found:
        assert (found.token, found.node) == (TOKEN, candidate(1).node)
