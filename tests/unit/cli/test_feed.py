from __future__ import annotations

import re
from collections.abc import Mapping

from freehold.cli.feed import Cast, tell
from freehold.domain.ids import Address
from freehold.ledger.values import Event, Value

ONE, TWO, STRANGER = (Address(f"0x{digit * 40}") for digit in "123")
CAST = Cast({ONE: "node-2", TWO: "node-10"}, sets={1: "node-2", 2: "node-10"}, rails={5: "node-2"})


def event(name: str, time: int, **args: Value) -> Event:
    fields: Mapping[str, Value] = args
    return Event("any", name, fields, time, 0, "0x00", "0x00", time)


def told(*events: Event, count: int = 12) -> list[str]:
    """The lines without their hours and colours."""
    return [re.sub(r"\[.*?\]", "", line)[10:] for line in tell(events, CAST, count=count)]


def proven(time: int, number: int, proof_set: int, *, in_time: bool = True) -> Event:
    return event("Proven", time, round=number, set_id=proof_set, in_time=in_time, span=1)


def test_the_proofs_of_a_round_share_a_line_with_their_nodes_in_order() -> None:
    assert told(proven(1, 7, 2), proven(2, 7, 1), proven(3, 8, 3)) == [
        "round 7 proved by node-2, node-10",
        "round 8 proved by set 3",
    ]


def test_late_proofs_stand_apart() -> None:
    lines = told(proven(1, 7, 1), proven(2, 7, 2, in_time=False))
    assert lines == ["round 7 proved by node-2", "round 7 proved late by node-10"]


def test_payments_of_one_node_add_up() -> None:
    paid = [event("RailSettled", 60 + i, rail=5, paid=2 * 10**6, seconds=120) for i in range(3)]
    assert told(*paid) == ["node-2 was paid 6 pico for 3 columns"]


def test_misses_and_failures_name_node_and_amount() -> None:
    assert told(
        event("FaultsCharged", 1, node=ONE, misses=1, amount=479 * 10**9),
        event("FaultsCharged", 2, node=STRANGER, misses=2, amount=0),
        event("NodeFailed", 3, node=ONE, round=2, slashed=10**18),
    ) == [
        "node-2 missed a proof, fee 479 nano",
        "0x333333… missed 2 proofs, fee 0",
        "node-2 failed, 1 of its stake slashed",
    ]


def test_repairs_of_a_node_share_a_line_that_names_the_others() -> None:
    moved = [
        event("ColumnReplaced", 1, deal=3, slot=0, node=node, old_node=ONE)
        for node in (TWO, STRANGER, TWO)
    ]
    assert told(moved[0]) == ["1 column of node-2 rebuilt on node-10"]
    assert told(*moved) == ["3 columns of node-2 rebuilt on 0x333333…, node-10"]


def test_only_the_newest_lines_are_kept() -> None:
    lines = told(*(event("Stored", i, round=i) for i in range(20)), count=3)
    assert lines == ["round 17 began", "round 18 began", "round 19 began"]


def test_every_event_that_is_read_can_be_told() -> None:
    whole: dict[str, Value] = {
        "deal": 1, "k": 4, "n": 6, "amount": 10**15, "node": ONE, "id": 9, "round": 2,
    }  # fmt: skip
    for name in ("DealOpened", "DealClosed", "RepairPaid", "NodeJoined", "NoticeGiven"):
        assert told(event(name, 1, **whole))[0]
    assert told(event("SpotExpired", 1, **whole)) == ["spot check 9 expired unanswered"]
