from __future__ import annotations

import numpy as np
import pytest

from freehold.domain.errors import UsageError
from freehold.telemetry.cleaning import Floats
from freehold.telemetry.metrics import limits
from freehold.telemetry.spoofing import (
    Finding,
    Kind,
    Window,
    collusive,
    copied,
    detect,
    impossible,
    own,
    replayed,
)
from unit.telemetry import fleet

LIMITS = limits("roof.temperature")
TICKS, CELL = 256, 10


def window(values: Floats, cells: list[int] | None = None) -> Window:
    times = fleet.START + fleet.INTERVAL * np.arange(values.shape[1], dtype=np.int64)
    return Window(times, values, np.array(cells or [0] * len(values), np.int64))


def honest(seed: int = 1, devices: int = CELL, *, weather: float = 0.05) -> Floats:
    rng = np.random.default_rng(seed)
    felt = 290.0 + np.cumsum(rng.normal(0, weather, TICKS))
    return felt + rng.normal(0, 0.3, (devices, 1)) + rng.normal(0, 0.1, (devices, TICKS))


def tick(finding: Finding) -> int:
    return (finding.since - fleet.START) // fleet.INTERVAL


def test_honest_devices_are_left_alone() -> None:
    for seed in range(20):
        assert detect(window(honest(seed)), LIMITS) == ()
        assert detect(window(honest(seed, weather=0.5)), LIMITS) == ()


def test_copies_are_found_across_cells() -> None:
    values = honest(devices=2 * CELL)
    values[15] = values[3] + 4.0
    (found,) = copied(window(values, [0] * CELL + [1] * CELL))
    assert (found.kind, found.devices, tick(found)) == (Kind.COPIED, (3, 15), 0)
    assert found.score > 0.99


def test_of_a_late_copy_the_later_is_named() -> None:
    values = honest()
    values[2, 5:] = values[7, :-5].copy()
    (found,) = copied(window(values))
    assert found.devices == (2,)
    assert "row 7, 5 ticks late" in found.reason


def test_a_copy_in_another_scale_with_noise_is_found() -> None:
    values = honest()
    noise = np.random.default_rng(9).normal(0, 0.02, TICKS)
    values[4] = 10 + 1.1 * values[8] + noise
    found = copied(window(values))
    assert [each.devices for each in found] == [(4, 8)]


def test_a_replay_of_ones_own_past_is_found_with_its_beginning() -> None:
    values = honest()
    values[6, 128:] = values[6, :128]
    (found,) = replayed(own(window(values)))
    assert found.devices == (6,)
    assert 126 <= tick(found) <= 144
    assert "1,280 seconds before" in found.reason


def test_a_sensor_that_stands_still_replays_nothing() -> None:
    values = honest()
    values[6, 20:] = 291.0
    assert replayed(own(window(values))) == copied(window(values)) == ()


def test_a_leap_that_no_temperature_makes_is_found() -> None:
    values = honest()
    values[1, 200:] += 30.0
    found = [each for each in impossible(window(values), LIMITS) if "tick" in each.reason]
    assert [(each.devices, tick(each)) for each in found] == [((1,), 200)]


def test_leaving_a_tick_out_hides_no_leap() -> None:
    values = honest()
    values[1, 200:] += 30.0
    values[1, 199] = np.nan
    assert [each.devices for each in impossible(window(values), LIMITS) if "tick" in each.reason]


def test_one_that_stands_apart_from_all_is_found_even_with_gaps() -> None:
    values = honest()
    values[1, 150:] += 9.0
    values[1, [170, 250]] = np.nan
    (found,) = impossible(window(values), LIMITS)
    assert (found.devices, tick(found)) == ((1,), 150)


def test_who_stands_apart_stands_further_than_noise_and_than_the_others_do() -> None:
    noise = np.random.default_rng(4).normal(0, 0.1, (CELL, TICKS))
    beyond_their_range = 290.0 + noise[:5] + 0.75 * np.eye(5)[:, :1]
    assert impossible(window(beyond_their_range), LIMITS) == ()
    sites = np.zeros((CELL, 1))
    sites[:2] = [[2.0], [3.0]]
    assert impossible(window(290.0 + noise + sites), LIMITS) == ()
    sites[0] = 7.0
    assert [each.devices for each in impossible(window(290.0 + noise + sites), LIMITS)] == [(0,)]


def test_a_clique_is_found_and_the_honest_rest_is_not() -> None:
    values = honest()
    story = 296.0 + np.cumsum(np.random.default_rng(7).normal(0, 0.05, TICKS - 100))
    values[[2, 5, 9], 100:] = story + np.random.default_rng(8).normal(0, 0.1, (3, TICKS - 100))
    (found,) = collusive(window(values))
    assert found.devices == (2, 5, 9)
    assert 96 <= tick(found) <= 112
    assert 0.5 < found.score < 1


def test_half_of_a_cell_is_no_clique() -> None:
    values = honest()
    values[:5, 100:] += 6.0
    assert collusive(window(values)) == ()


def test_a_small_cell_accuses_nobody_of_standing_apart() -> None:
    values = honest(devices=4)
    values[0] += 9.0
    assert detect(window(values), LIMITS) == ()


def test_silence_is_no_finding() -> None:
    values = honest()
    values[3] = np.nan
    values[:, 100:120] = np.nan
    assert detect(window(values), LIMITS) == ()
    assert detect(window(np.full((CELL, TICKS), np.nan)), LIMITS) == ()


def test_rows_may_stand_in_any_order() -> None:
    values = honest(devices=3 * CELL)
    values[25] = values[3]
    values[11, 128:] = values[11, :128]
    cells = [0] * CELL + [1] * CELL + [2] * CELL
    order = np.random.default_rng(3).permutation(len(values))
    found = {(f.kind, frozenset(f.devices)) for f in detect(window(values, cells), LIMITS)}
    moved = detect(window(values[order], np.array(cells)[order].tolist()), LIMITS)
    back = {(f.kind, frozenset(int(order[row]) for row in f.devices)) for f in moved}
    assert back == found
    assert len(found) == 2


def test_windows_that_say_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        window(np.zeros((3, 63)))
    with pytest.raises(UsageError, match="shapes"):
        Window(np.arange(70), np.zeros((3, 71)), np.zeros(3, np.int64))
