from __future__ import annotations

import numpy as np

from freehold.telemetry.drifting import Clocks, drift
from unit.telemetry.devices import NOW

MINUTE = 60_000


def flags(offsets: list[int], *, interval: int = MINUTE) -> list[bool]:
    """Whether each batch of one device is marked; ``offsets`` is arrival less device time."""
    clocks, out = Clocks.empty(1), []
    for index, offset in enumerate(offsets):
        at = NOW + interval * index
        clocks, found = drift(clocks, np.array([0]), np.array([at - offset]), np.array([at]))
        out.append(bool(found[0]))
    return out


def test_a_clock_that_is_right_is_never_marked_whatever_the_delay() -> None:
    delays = np.random.default_rng(1).exponential(2_000, 300).astype(int).tolist()
    assert not any(flags(delays))


def test_a_wrong_clock_is_marked_either_way_and_until_it_is_right() -> None:
    assert flags([60_000, 60_100, 60_050, 50]) == [False, True, True, False]
    assert flags([-6_000, 100]) == [True, True]
    assert flags([-4_000]) == [False]


def test_a_clock_that_runs_slow_is_marked_in_time() -> None:
    assert flags([10 * index for index in range(1_000)]).index(True) == 501


def test_a_buffer_that_is_sent_late_is_not_a_wrong_clock() -> None:
    assert not any(flags([100, 7_200_000, 3_600_000, 100]))


def test_a_newcomer_that_catches_up_has_no_wrong_clock() -> None:
    """Batches of five seconds, the oldest a minute old, sent a quarter of a second apart."""
    behind = [59_000 - 4_750 * place for place in range(12)]
    clocks, at = Clocks.empty(1), NOW
    for place, offset in enumerate([*behind, 200, 300]):
        at += 250 if place < len(behind) else 5_000
        clocks, found = drift(clocks, np.array([0]), np.array([at - offset]), np.array([at]))
        assert not found[0], place


def test_what_a_newcomer_sends_once_more_later_is_no_evidence() -> None:
    clocks = Clocks.empty(1)
    for at, offset in ((NOW, 40_000), (NOW + 200, 59_000), (NOW + 5_000, 100)):
        clocks, found = drift(clocks, np.array([0]), np.array([at - offset]), np.array([at]))
        assert not found[0]


def test_devices_are_apart_and_the_given_state_stays() -> None:
    clocks = Clocks.empty(3)
    devices, sealed = np.array([2, 0]), np.array([NOW, NOW + MINUTE])
    after, found = drift(clocks, devices, sealed, np.array([NOW, NOW]))
    assert found.tolist() == [False, True]
    assert after.arrival.tolist() == [NOW, 0, NOW]
    assert not clocks.arrival.any()
