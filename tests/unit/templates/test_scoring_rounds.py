"""Rounds: hidden, fair, bounded, and ended by nobody's answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest

from freehold.domain.errors import CapacityError, UsageError
from freehold.markets.models import scoring
from freehold.markets.models.scoring import Question, Round, run
from freehold.markets.models.task import (
    Form,
    Judgement,
    Kind,
    NotYetError,
    Reply,
    Task,
    Tensors,
    Terms,
    fault,
)

FORM = Form("y", np.dtype(np.float64), (-1, 3))
TERMS = Terms(tasks=40, seconds=1.0)
THEME = np.random.default_rng(0)
KINDS = (Kind.PLAIN, Kind.PROBE, Kind.CANARY, Kind.PLAIN, Kind.PROBE)


class Toy:
    """Asks for three times the input; ``late`` tasks have no truth yet."""

    def __init__(self, kinds: tuple[Kind, ...] = KINDS) -> None:
        self.kinds = kinds
        self.late = False
        self.scored = 0

    def tasks(self, random: np.random.Generator, theme: np.random.Generator, /) -> Iterator[Task]:
        while True:
            for kind in self.kinds:
                x = random.normal(size=(2, 3))
                yield Task({"x": x}, {"y": 3 * x}, kind)

    def score(self, task: Task, answer: Tensors, seconds: float, /) -> float:
        if self.late:
            raise NotYetError
        self.scored += 1
        wrong = answer["y"].astype(np.float64) - task.truth["y"].astype(np.float64)
        return float(np.exp(-np.abs(wrong).mean()))


def value(inputs: Tensors) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return 3 * inputs["x"].astype(np.float64)


def right(inputs: Tensors) -> Reply:
    return Reply({"y": value(inputs)}, 0.1)


def plan(toy: Toy, uids: list[int], *, terms: Terms = TERMS, seed: int = 1) -> Round:
    random = np.random.default_rng(seed)
    return Round.plan(toy, uids, random=random, theme=THEME, forms=[FORM], terms=terms)


def judged(*nodes: Callable[[Tensors], Reply], toy: Toy | None = None) -> dict[int, Judgement]:
    round_ = plan(toy or Toy(), list(range(len(nodes))))
    for _ in run(round_, lambda uid, inputs: nodes[uid](inputs), clock=lambda: 0.0):
        pass
    return round_.judge(dict.fromkeys(range(len(nodes)), 0.0))


def test_every_node_gets_the_same_tasks_in_its_own_order() -> None:
    round_ = plan(Toy(), [4, 7, 9])
    orders = {uid: [q.task for q in round_.questions if q.uid == uid] for uid in (4, 7, 9)}
    assert all(sorted(order) == list(range(40)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 3


def test_neither_order_nor_inputs_tell_the_kind() -> None:
    """Over 300 rounds each kind stands anywhere; what is sent has no trace of it."""
    places = np.zeros((40, 3))
    order = list(Kind)
    for seed in range(300):
        round_ = plan(Toy(), [1], seed=seed)
        for place, question in enumerate(round_.questions):
            kind = KINDS[question.task % len(KINDS)]
            places[place, order.index(kind)] += 1
            assert set(round_.inputs(question)) == {"x"}
    expected = np.array([16, 8, 16]) * 300 / 40
    square = ((places - expected) ** 2 / expected).sum()
    assert square < 78 + 4 * np.sqrt(2 * 78)


def test_nothing_is_scored_between_two_questions() -> None:
    toy = Toy()
    round_ = plan(toy, [1, 2])
    for _ in run(round_, lambda uid, inputs: right(inputs), clock=lambda: 0.0):
        assert toy.scored == 0
    round_.judge({1: 0.0, 2: 0.0})
    assert toy.scored == 2 * 24


def test_seeds_decide_a_round() -> None:
    first, again, other = (plan(Toy(), [1, 2], seed=seed) for seed in (1, 1, 2))
    assert first.questions == again.questions != other.questions
    for question in first.questions:
        assert np.array_equal(first.inputs(question)["x"], again.inputs(question)["x"])


def test_who_is_right_gets_all_and_probes_are_not_scored() -> None:
    (found,) = judged(right).values()
    assert found == Judgement(quality=1.0, score=1.0, asked=40, answered=40)


@pytest.mark.parametrize(
    ("outputs", "seconds", "reason"),
    [
        (None, 0.1, "no answer"),
        ({"y": np.ones((2, 3))}, 1.1, "slower than 1 s"),
        ({"y": np.ones((2, 3))}, float("nan"), "slower than 1 s"),
        ({"y": np.ones((2, 3))}, -1.0, "slower than 1 s"),
        ({"z": np.ones((2, 3))}, 0.1, "outputs of other names"),
        ({"y": np.ones((2, 3)), "z": np.ones(1)}, 0.1, "outputs of other names"),
        ({}, 0.1, "outputs of other names"),
        ({"y": np.ones((2, 3), dtype=np.float32)}, 0.1, "y is not of type float64"),
        ({"y": np.full((2, 3), "a", dtype=object)}, 0.1, "y is not of type float64"),
        ({"y": np.ones((3, 3))}, 0.1, "y has another shape"),
        ({"y": np.ones((2, 3, 1))}, 0.1, "y has another shape"),
        ({"y": np.ones(())}, 0.1, "y has another shape"),
        ({"y": np.full((2, 3), np.nan)}, 0.1, "y holds numbers that are none"),
        ({"y": np.full((2, 3), -np.inf)}, 0.1, "y holds numbers that are none"),
    ],
)
def test_garbage_scores_nothing_and_says_why(
    outputs: Tensors | None, seconds: float, reason: str
) -> None:
    found = judged(right, lambda inputs: Reply(outputs, seconds))
    assert found[0].score == 1
    assert found[1].quality == found[1].score == 0
    assert found[1].answered == 0
    assert reason in found[1].reasons


def test_what_is_no_array_is_a_fault_too() -> None:
    task = Task({"x": np.ones((2, 3))})
    reply = Reply({"y": [[1.0] * 3] * 2}, 0.1)  # type: ignore[dict-item]
    assert fault([FORM], task, reply, seconds=1.0) == "y is not of type float64"
    text = Form("y", np.dtype(object), (-1,))
    mixed = Reply({"y": np.array([b"a", 1], dtype=object)}, 0.1)
    assert fault([text], task, mixed, seconds=1.0) == "y holds what is no text"


@pytest.mark.parametrize("raised", [ValueError("x"), KeyError("y"), ZeroDivisionError()])
def test_a_scorer_that_fails_ends_nothing(raised: Exception) -> None:
    toy = Toy()
    score = toy.score

    def failing(task: Task, answer: Tensors, seconds: float, /) -> float:
        if answer["y"].astype(np.float64).sum() == 0:
            raise raised
        return score(task, answer, seconds)

    toy.score = failing  # type: ignore[method-assign]
    found = judged(right, lambda inputs: Reply({"y": np.zeros((2, 3))}, 0.1), toy=toy)
    assert found[0].score == 1
    assert found[1].score == 0
    assert found[1].reasons[f"the scorer failed: {type(raised).__name__}"] == 24


@pytest.mark.parametrize("given", [float("nan"), -3.0, float("-inf"), 2.0, float("inf")])
def test_scores_are_kept_within_bounds(given: float) -> None:
    toy = Toy((Kind.PLAIN,))
    toy.score = lambda task, answer, seconds, /: given  # type: ignore[method-assign]
    expected = 1.0 if given == 2 else 0.0
    assert judged(right, toy=toy)[0].score == expected


def test_who_hangs_is_given_up_and_the_rest_counts_against_it() -> None:
    asked: Counter[int] = Counter()

    def hang(inputs: Tensors) -> Reply:
        asked[1] += 1
        return Reply(None, 1.0, "timed\nout" + "!" * 99)

    found = judged(right, hang)
    assert asked[1] == found[1].asked == 3
    assert found[1].score == 0
    assert found[1].reasons["asked no more"] == 37
    assert "timedout" + "!" * 55 in found[1].reasons


def test_who_is_always_late_is_given_up_too() -> None:
    found = judged(right, lambda inputs: Reply({"y": value(inputs)}, 1.5))
    assert found[1].asked == 3
    assert found[1].reasons == {"slower than 1 s": 3, "asked no more": 37} | _missed(3, found[1])


def _missed(most: int, judgement: Judgement) -> dict[str, int]:
    """What is held against who missed all canaries that it got."""
    found = judgement.reasons.get("missed the canaries", 0)
    assert found <= most
    return {"missed the canaries": found} if found else {}


def test_one_who_stumbles_is_asked_on() -> None:
    count = 0

    def stumble(inputs: Tensors) -> Reply:
        nonlocal count
        count += 1
        return Reply(None, 1.0) if count % 3 else right(inputs)

    found = judged(stumble)[0]
    assert found.asked == 40
    assert 0 < (found.quality or 0) < 0.5


def test_who_misses_the_canaries_is_out() -> None:
    canaries = Toy((Kind.PLAIN, Kind.CANARY))

    def blind(inputs: Tensors) -> Reply:
        known = {task.inputs["x"].tobytes() for task in tasks[1::2]}
        wrong = inputs["x"].tobytes() in known
        return Reply({"y": value(inputs) + 9 * wrong}, 0.1)

    tasks = list(islice(canaries.tasks(np.random.default_rng(1), THEME), 40))
    found = judged(right, blind, toy=canaries)
    assert (found[1].quality or 0) > 0.5
    assert found[1].score == 0
    assert found[1].reasons == {"missed the canaries": 20}


def test_a_copy_loses_to_who_is_older() -> None:
    random = np.random.default_rng(2)

    def other(inputs: Tensors) -> Reply:
        return Reply({"y": value(inputs) + random.normal(0, 0.3, (2, 3))}, 0.1)

    found = judged(right, other, right, toy=Toy((Kind.PROBE, Kind.PLAIN)))
    assert [found[uid].copy_of for uid in range(3)] == [None, None, 0]
    assert found[2].quality == 1
    assert found[2].score == 0
    assert found[2].reasons == {"answers like 0, which is older": 1}


def test_a_node_that_was_worse_before_is_the_younger() -> None:
    random = np.random.default_rng(2)
    nodes = (right, lambda inputs: Reply({"y": random.normal(size=(2, 3))}, 0.1), right)
    round_ = plan(Toy((Kind.PROBE, Kind.PLAIN)), [0, 1, 2])
    for _ in run(round_, lambda uid, inputs: nodes[uid](inputs), clock=lambda: 0.0):
        pass
    registered = {0: 10.0, 1: 10.0, 2: 20.0}
    assert round_.judge(registered)[2].copy_of == 0
    found = round_.judge(registered, {0: [(15.0, 0.3), (25.0, 0.3)]})
    assert (found[0].copy_of, found[2].copy_of) == (2, None)


def test_a_round_that_was_cut_short_clears_no_copy() -> None:
    round_ = plan(Toy((Kind.PROBE, Kind.PLAIN)), [0, 1])
    for asked, _ in enumerate(run(round_, lambda uid, inputs: right(inputs), clock=lambda: 0.0)):
        if asked == 9:
            break
    since = {0: 10.0, 1: 20.0}
    assert round_.judge(since)[1].copy_of is None
    found = round_.judge(since, accused={1: 0, 0: 5})
    assert (found[0].copy_of, found[1].copy_of) == (None, 0)
    assert found[1].score == 0


def test_numbers_however_large_are_compared() -> None:
    random = np.random.default_rng(4)

    def huge(inputs: Tensors) -> Reply:
        return Reply({"y": random.choice([-1.7e308, 1.7e308], (2, 3))}, 0.1)

    found = judged(right, huge, right, toy=Toy((Kind.PROBE,)))
    assert [found[uid].copy_of for uid in range(3)] == [None, None, 0]


def test_text_is_compared_as_well() -> None:
    form = Form("y", np.dtype(object), (-1,))
    random = np.random.default_rng(3)

    def say(words: list[bytes]) -> Reply:
        return Reply({"y": np.array(words, dtype=object)}, 0.1)

    def own(inputs: Tensors) -> Reply:
        return say([bytes(random.integers(97, 123, 8).tolist()) for _ in range(2)])

    def same(inputs: Tensors) -> Reply:
        return say([row.tobytes() for row in inputs["x"]])

    toy = Toy((Kind.PROBE,))
    random = np.random.default_rng(1)
    round_ = Round.plan(toy, [0, 1, 2], random=random, theme=THEME, forms=[form], terms=TERMS)
    nodes = (same, own, same)
    for _ in run(round_, lambda uid, inputs: nodes[uid](inputs), clock=lambda: 0.0):
        pass
    found = round_.judge({0: 0.0, 1: 1.0, 2: 2.0})
    assert [found[uid].copy_of for uid in range(3)] == [None, None, 0]


def test_a_round_ends_in_time_and_holds_nothing_against_the_unasked() -> None:
    now = 0.0

    def slow(uid: int, inputs: Tensors) -> Reply:
        nonlocal now
        now += 1.0
        return right(inputs)

    round_ = plan(Toy(), [0, 1, 2])
    assert len(list(run(round_, slow, clock=lambda: now, seconds=30.0))) == 30
    found = round_.judge({0: 0.0, 1: 0.0, 2: 0.0})
    assert sum(judgement.asked for judgement in found.values()) == 30
    assert all(judgement.score == 1 for judgement in found.values())
    nobody = plan(Toy(), [0]).judge({0: 0.0})[0]
    assert (nobody.quality, nobody.score, nobody.asked) == (None, None, 0)


def test_answers_wait_for_their_truth() -> None:
    toy = Toy()
    toy.late = True
    round_ = plan(toy, [0])
    for _ in run(round_, lambda uid, inputs: right(inputs), clock=lambda: 0.0):
        pass
    assert round_.judge({0: 0.0})[0] == round_.judge({0: 0.0})[0]
    assert round_.judge({0: 0.0})[0].waiting == 24
    toy.late = False
    assert round_.judge({0: 0.0})[0] == Judgement(quality=1.0, score=1.0, asked=40, answered=40)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "HELD_BYTES", 10 * 48)
    monkeypatch.setattr(scoring, "ANSWER_BYTES", 48)
    toy = Toy()
    toy.late = True
    round_ = plan(toy, [0, 1])

    def ask(uid: int, inputs: Tensors) -> Reply:
        return Reply({"y": np.ones((200, 3))}, 0.1) if uid else right(inputs)

    for _ in run(round_, ask, clock=lambda: 0.0):
        assert len(round_._held) <= 40
        assert round_._bytes <= 11 * 48
    found = round_.judge({0: 0.0, 1: 0.0})
    assert found[0].waiting == 10
    assert found[1].reasons == {"more than 48 bytes": 40, "missed the canaries": 8}


def test_only_so_many_reasons_are_kept() -> None:
    count = 0

    def inventive(inputs: Tensors) -> Reply:
        nonlocal count
        count += 1
        return Reply(None, 0.1, f"reason {count}") if count % 3 else right(inputs)

    reasons = judged(inventive)[0].reasons
    assert len(reasons) <= scoring.REASONS + 3
    assert reasons["other"] > 10


class Bad(Toy):
    """Yields what is no task."""

    def __init__(self, *made: object) -> None:
        super().__init__()
        self.made = made

    def tasks(self, random: np.random.Generator, theme: np.random.Generator, /) -> Iterator[Task]:
        yield from self.made  # type: ignore[misc]


class Broken(Toy):
    """Lacks a file."""

    def tasks(self, random: np.random.Generator, theme: np.random.Generator, /) -> Iterator[Task]:
        raise FileNotFoundError("held_out.npz is missing")


def test_a_scorer_that_cannot_ask_says_why() -> None:
    with pytest.raises(UsageError, match=r"no tasks: FileNotFoundError: held_out\.npz is missing"):
        plan(Broken(), [1])


def test_tasks_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="has no tasks"):
        plan(Bad(), [1])
    for made in ("hello", Task({})):
        with pytest.raises(UsageError, match="which is no task"):
            plan(Bad(made), [1])
    with pytest.raises(CapacityError, match="is larger than"):
        plan(Bad(Task({"x": np.zeros(1 << 20)})), [1])
    assert plan(Bad(Task({"x": np.zeros(1)})), [1, 1]).questions == (Question(1, 0),)


def test_terms_are_read_and_checked() -> None:
    assert Terms.read({"tasks": 8, "floor": 0.5, "half_life": 2}) == Terms(8, 2.0, 0.5, 2.0)
    with pytest.raises(UsageError, match="floors"):
        Terms.read({"floors": 1})
    for value in ("many", True, None, 8.5):
        with pytest.raises(UsageError, match="tasks"):
            Terms.read({"tasks": value})
    for name, value in (("tasks", 0), ("seconds", -1.0), ("floor", 1.0), ("floor", float("nan"))):
        with pytest.raises(UsageError, match=f"{name} = "):
            Terms.read({name: value})
    assert Terms.read({}) == Terms()


def test_knowing_nothing_earns_nothing() -> None:
    terms = Terms(tasks=40, seconds=1.0, floor=0.9)
    round_ = plan(Toy((Kind.PLAIN,)), [0, 1], terms=terms)

    def ask(uid: int, inputs: Tensors) -> Reply:
        return Reply({"y": value(inputs) + uid * 0.2}, 0.1)

    for _ in run(round_, ask, clock=lambda: 0.0):
        pass
    found = round_.judge({0: 0.0, 1: 0.0})
    assert found[0].score == 1
    assert 0.8 < (found[1].quality or 0) < 0.9
    assert found[1].score == 0
