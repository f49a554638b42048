"""Records of stake, committees and places, as the contract keeps them."""

from __future__ import annotations

import pytest

from contracts.fielded import sensor
from contracts.recording import address
from contracts.watchers import OTHER, STAKE, SUBJECT
from contracts.world import UNBONDING, alice, mallory
from freehold.audit.members import Record
from freehold.control.consensus import Seat
from freehold.domain.ids import Address
from unit.audit.sensed import Sensed

TWO = Record(time=20, weight=7, time_before=10, weight_before=5)


@pytest.mark.parametrize(
    ("cut", "hold", "expected"),
    [
        (21, False, Record(30, 9, 20, 7)),
        (20, False, Record(30, 9, 10, 5)),
        (20, True, TWO),
        (21, True, Record(30, 9, 20, 7)),
    ],
)
def test_a_record_since_the_cut_is_replaced_or_held(cut: int, hold: bool, expected: Record) -> None:
    assert TWO.added(30, 9, cut=cut, hold=hold) == expected


@pytest.mark.parametrize("hold", [True, False])
def test_the_first_record_is_taken_whatever_the_cut(hold: bool) -> None:
    assert Record().added(30, 9, cut=0, hold=hold) == Record(30, 9)


@pytest.mark.parametrize(
    ("cut", "end", "weight"),
    [(21, 25, 7), (20, 25, 5), (None, 25, 7), (21, 120, 7), (21, 121, 0), (20, 111, 0), (5, 9, 5)],
)
def test_the_record_before_the_cut_counts_until_it_lapses(
    cut: int | None, end: int, weight: int
) -> None:
    assert TWO.in_force(cut, end, life=100) == weight


def same_committee(net: Sensed, subject: str = SUBJECT, *, seats: int = 24) -> list[Seat]:
    """The present committee, by the model and the contract."""
    status = net.founded.models.sensing.status
    assert status is not None
    found = status.members.committee(net.watch.round, address(subject), seats)
    told = net.watch.status.call("committee", net.watch.round, subject)
    assert found == [Seat(address(seat.watcher), seat.weight) for seat in told]
    return found


def weights(seats: list[Seat]) -> dict[Address, int]:
    return {each.watcher: each.weight for each in seats}


def test_stake_that_nobody_recorded_anew_lapses() -> None:
    net = Sensed()
    one, two = net.watch.members(STAKE, 2 * STAKE)
    net.compare()
    assert sorted(weights(same_committee(net)).values()) == [STAKE, 2 * STAKE]
    net.founded.chain.warp(UNBONDING - 300)
    net.watch.second_half()
    net.watch.status.send("refresh", two.address, sender=mallory.address)
    net.watch.next_round(3)
    net.compare()
    found = weights(same_committee(net))
    assert found == {address(one.address): 0, address(two.address): 2 * STAKE}


def test_a_watcher_of_low_score_has_a_part_of_its_stake_on_the_line_alone() -> None:
    net = Sensed(seats=3)
    watch = net.watch
    hots = watch.members(*[1_600] * 6)
    net.world.setup(watch.status, "set_parameters", (1_000, 3, 4_999, 500))
    watch.next_period()
    watch.seed()
    watch.next_period()
    watch.next_round()
    drawn = watch.committee(watch.round)
    liar = min(drawn, key=lambda watcher: drawn[watcher])
    assert len(drawn) > 1
    watch.agree({hot: 5_000 if hot.address == liar else 50 for hot in hots})
    assert watch.status.call("score_of", liar) < 4_999
    for _ in range(5):
        watch.seed()
        watch.second_half()
        for hot in hots:
            watch.status.send("refresh", hot.address, sender=mallory.address)
        watch.next_period()
        watch.next_round()
        net.compare()
        for subject in (SUBJECT, OTHER, sensor.address, alice.address):
            same_committee(net, subject, seats=3)


def test_the_smallest_stake_counts_where_none_is_asked_for() -> None:
    net = Sensed()
    net.world.setup(net.watch.status, "set_parameters", (0, 24, 1_000, 500))
    net.watch.members(0, 5)
    net.compare()
    assert sorted(weights(same_committee(net)).values()) == [1, 5]
