from __future__ import annotations

import numpy as np
import pytest

from freehold.telemetry.cleaning import Floats, Rules, State, Whole, clean
from freehold.telemetry.imputing import FILL_MAX, Imputed, impute
from unit.telemetry.devices import NOW

MINUTE, DEVICES = 60_000, 400


def filled(values: Floats, kept: Whole, name: str = "x") -> Imputed:
    """What is estimated where only ``kept`` ticks of ``values`` came."""
    times = NOW + MINUTE * kept
    _, found = clean(
        State.empty(1), Rules.of([name]), np.zeros(len(kept), np.int64), times, values[kept]
    )
    return impute(times, values[kept], found)


def without(count: int, start: int, size: int) -> Whole:
    ticks = np.arange(count, dtype=np.int64)
    return ticks[(ticks < start) | (ticks >= start + size)]


def test_a_gap_is_filled_along_the_line_and_least_sure_in_the_middle() -> None:
    values = np.arange(60.0) + np.random.default_rng(1).normal(0, 0.1, 60)
    found = filled(values, without(60, 40, 5))
    assert found.times.tolist() == [NOW + MINUTE * tick for tick in range(40, 45)]
    np.testing.assert_allclose(found.values, np.interp(range(40, 45), [39, 45], values[[39, 45]]))
    assert found.std[2] > found.std[0] == pytest.approx(found.std[4])
    assert set(found.after.tolist()) == {40}


def coverage(values: Floats, sizes: Whole) -> float:
    """How often the truth is within 1.96 standard deviations, gaps of ``sizes`` from tick 80 on."""
    ticks, devices = (axis.ravel() for axis in np.meshgrid(np.arange(120), np.arange(DEVICES)))
    came = (ticks < 80) | (ticks >= 80 + sizes[devices])
    series, times, sent = devices[came], NOW + MINUTE * ticks[came], values.ravel()[came]
    _, found = clean(State.empty(DEVICES), Rules.of(["x"] * DEVICES), series, times, sent)
    guesses = impute(times, sent, found)
    truth = values[series[guesses.after], (guesses.times - NOW) // MINUTE]
    assert len(truth) > 0.9 * sizes.sum()
    return float((np.abs(guesses.values - truth) < 1.96 * guesses.std).mean())


@pytest.mark.parametrize("walks", [False, True])
def test_the_truth_lies_within_two_standard_deviations(walks: bool) -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1.0, (DEVICES, 120))
    values = np.cumsum(values, axis=1) if walks else values
    assert 0.93 < coverage(values, rng.integers(2, 20, DEVICES)) < 0.999


def test_one_missing_reading_of_white_noise_has_an_exact_interval() -> None:
    values = np.random.default_rng(6).normal(0, 1.0, (DEVICES, 120))
    assert 0.92 < coverage(values, np.full(DEVICES, 1)) < 0.98


def test_long_gaps_and_gaps_that_end_in_a_spike_stay_open() -> None:
    values = np.random.default_rng(2).normal(0, 1.0, 300)
    assert len(filled(values, without(300, 100, FILL_MAX)).values) == FILL_MAX
    assert len(filled(values, without(300, 100, FILL_MAX + 1)).values) == 0
    values[110] = 1e6
    assert len(filled(values, without(300, 100, 10)).values) == 0


def test_nothing_missing_gives_nothing() -> None:
    assert len(filled(np.arange(30.0), np.arange(30, dtype=np.int64)).values) == 0
