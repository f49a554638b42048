"""What a watcher spends gas on."""

from __future__ import annotations

import pytest

from freehold.control.consensus import TOLD_MAX, VALUE_MAX, Observation, Tolerance
from freehold.domain.aspects import REACHABLE, reading
from freehold.domain.ids import ZERO_ADDRESS, checksum
from freehold.ledger.contracts.automation import Rule
from freehold.ledger.contracts.status import Agreed
from freehold.node.watcher.observe.choosing import Standing, Terms, choose
from freehold.node.watcher.observe.field import Wish
from freehold.node.watcher.observe.rounds import Rounds

ROUNDS = Rounds(1_000, 100)
NUMBER = 50
NODE = checksum(b"\x01" * 20)
TERMS = Terms(ROUNDS, NUMBER)


def stands(value: int = 9_000, *, ago: int = 1, bps: int = 1_000) -> Standing:
    number = NUMBER - ago
    at = ROUNDS.start(number + 1) + 10 if ago else 0
    return Standing(Agreed(value, at, number if ago else 0, 10_000, 0), Tolerance(bps, 1))


def wish(threshold: int = 8_000, *, above: bool = True, max_age: int = 10_000) -> Wish:
    terms = Rule(
        ZERO_ADDRESS, 1, NODE, REACHABLE, above, threshold, "x", 1, 1, max_age, 2**40, 0, 0, False
    )  # fmt: skip
    return Wish(1, terms)


@pytest.mark.parametrize(
    ("value", "standing", "wishes", "due"),
    [
        (9_000, stands(ago=0), (), True),
        (9_900, stands(), (), False),
        (9_901, stands(), (), True),
        (8_099, stands(), (), True),
        (9_000, stands(ago=23), (), False),
        (9_000, stands(ago=24), (), True),
        (9_000, stands(), (wish(),), False),
        (8_500, stands(), (wish(8_700),), True),
        (8_500, stands(), (wish(8_700, above=False),), True),
        (9_000, stands(), (wish(max_age=239),), True),
        (9_000, stands(), (wish(max_age=240),), False),
    ],
)
def test_what_moved_is_old_or_waited_for_is_told(
    value: int, standing: Standing, wishes: tuple[Wish, ...], due: bool
) -> None:
    assert TERMS.is_due(value, standing, wishes) is due


def test_what_rules_wait_for_comes_before_what_is_oldest() -> None:
    seen = [Observation(checksum(bytes([n]) * 20), REACHABLE, 1) for n in range(1, 5)]
    ages = (3, 9, 5, 1)
    standing = {(s.subject, s.aspect): stands(ago=age) for s, age in zip(seen, ages, strict=True)}
    last = seen[3]
    wishes = {(last.subject, last.aspect): [wish()]}
    assert choose(seen, standing, wishes, TERMS) == (last, seen[1], seen[2], seen[0])


def test_a_round_takes_so_many_and_no_value_out_of_bounds() -> None:
    seen = [Observation(checksum(n.to_bytes(20, "big")), REACHABLE, 1) for n in range(1, 200)]
    wild = Observation(NODE, reading("x"), VALUE_MAX + 1)
    standing = {(s.subject, s.aspect): stands(ago=0) for s in (*seen, wild)}
    told = choose([wild, *seen], standing, {}, TERMS)
    assert len(told) == TOLD_MAX
    assert wild not in told
    assert choose([*reversed(seen)], standing, {}, TERMS) == told


def test_a_round_has_its_times() -> None:
    assert ROUNDS.at(1_000 + 250) == 2
    assert [ROUNDS.probes_due(1_000 + age) for age in (0, 4, 5, 26, 99)] == [1, 1, 2, 6, 6]
    assert [ROUNDS.is_commit_time(1_000 + age) for age in (29, 30, 49, 50)] == [0, 1, 1, 0]
    assert [ROUNDS.turn(place, 5) for place in range(5)] == [0, 5, 10, 15, 20]
