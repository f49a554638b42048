"""A device beside its peers: weather is no news, a departure is, and who has no peers is silent."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import cohort, evidence, incidents

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SIZE, ROWS, FRONT = 12, 900, 600
ASKS = evidence.ALERT / evidence.MOST
NAMES = ("temperature", "load")


def peers(cohorts: int = 4, seed: int = 2) -> tuple[Floats, Ints]:
    """Rows (rows, devices, 2) of devices with offsets under one weather, which jumps at FRONT;
    the second metric is each device's own."""
    rng = np.random.default_rng(seed)
    weather = 5 * np.sin(np.arange(ROWS) / 100) + np.where(np.arange(ROWS) >= FRONT, 15.0, 0.0)
    site = rng.normal(0, 3, cohorts * SIZE)
    rows = rng.normal(0, 0.3, (ROWS, cohorts * SIZE, 2))
    rows[..., 0] += weather[:, None] + site
    return rows, np.repeat(np.arange(cohorts), SIZE)


def scores(rows: Floats, cohorts: Ints) -> Floats:
    state, found = cohort.start(cohorts, rows.shape[2]), []
    for row in rows:
        state, score = cohort.step(state, row)
        found.append(score)
    return np.array(found)


def test_weather_that_reaches_all_is_no_alert() -> None:
    assert (scores(*peers()) < ASKS).all()


def test_the_one_that_departs_is_found_and_no_other() -> None:
    rows, cohorts = peers()
    rows[700:, 17, 0] += 2.5
    found = scores(rows, cohorts) >= ASKS
    assert found[700:710, 17].any()
    assert not np.delete(found, 17, axis=1).any()


def test_who_leaves_slowly_is_found() -> None:
    rows, cohorts = peers()
    rows[700:, 17, 0] += np.linspace(0, 2, 200)
    found = scores(rows, cohorts) >= ASKS
    assert found[700:, 17].any()
    assert not found[:700].any()


def test_who_stays_behind_when_all_move_is_found() -> None:
    rows, cohorts = peers()
    rows[FRONT:, 5, 0] -= 15
    assert (scores(rows, cohorts)[FRONT : FRONT + 3, 5] >= ASKS).any()


@pytest.mark.parametrize("size", [1, cohort.LEAST - 1])
def test_too_few_are_no_cohort(size: int) -> None:
    rows, _ = peers(1)
    rows[700:, 0] += 50
    assert not scores(rows[:, :size], np.zeros(size, dtype=np.int64)).any()
    assert not scores(rows, np.full(SIZE, cohort.ALONE)).any()


def test_cohorts_do_not_see_each_other() -> None:
    """Of any sizes and in any order, each is scored as it would be alone."""
    rows, cohorts = peers(5)
    kept = np.random.default_rng(4).permutation(len(cohorts))[: len(cohorts) - 11]
    rows, cohorts = rows[:300, kept], cohorts[kept]
    rows[200:, 3] += 4
    rows[np.random.default_rng(5).random(rows.shape) < 0.05] = np.nan
    together = scores(rows, cohorts)
    for one in range(5):
        mine = cohorts == one
        assert np.array_equal(together[:, mine], scores(rows[:, mine], cohorts[mine]))


def test_median_and_spread_are_numpys() -> None:
    rng = np.random.default_rng(6)
    cohorts = rng.integers(0, 40, 400)
    values = rng.normal(size=(400, 2))
    values[rng.random(values.shape) < 0.2] = np.nan
    middle, around = cohort._middles(cohort.start(cohorts, 2), values)
    for one in range(40):
        mine = cohorts == one
        for metric in range(2):
            here = values[mine, metric]
            here = here[np.isfinite(here)]
            if len(here) < cohort.LEAST:
                assert np.isnan(middle[mine, metric]).all()
                continue
            centre = np.median(here)
            spread = 1.4826 * np.median(np.abs(here - centre))
            assert middle[mine, metric] == pytest.approx(centre)
            assert around[mine, metric] == pytest.approx(spread)


def test_an_explanation_names_the_metric_and_what_the_peers_expect() -> None:
    rows, cohorts = peers()
    usual = rows[702, 17, 0]
    rows[700:, 17, 0] += 10
    state, open_ = cohort.start(cohorts, 2), incidents.start(len(cohorts))
    for row in rows[:703]:
        state, score = cohort.step(state, row)
        open_, _ = incidents.step(open_, np.where(score >= ASKS, score, 0.0), 60)
    (found,) = cohort.explain(state, rows[702], [17], open_, NAMES)
    assert (found.series, found.metric) == (17, "temperature")
    assert 700 <= found.since <= 702
    assert found.low < usual < found.high < found.value


def test_new_devices_and_other_cohorts_keep_what_is_known() -> None:
    rows, cohorts = peers()
    state = cohort.start(cohorts[:-1], 2)
    for row in rows[:650]:
        state, _ = cohort.step(state, row[:-1])
    state = cohort.regroup(state, cohorts)
    rows[700:, 17, 0] += 4
    found = []
    for row in rows[650:720]:
        state, score = cohort.step(state, row)
        found.append(score)
    asked = np.array(found) >= ASKS
    assert asked[50:, 17].any()
    assert not np.delete(asked, 17, axis=1).any()
    with pytest.raises(UsageError, match="have a cohort"):
        cohort.regroup(state, cohorts[:-1])


def test_what_is_no_cohort_is_refused() -> None:
    for cohorts, metrics in ((np.zeros(0, dtype=np.int64), 1), (np.zeros(3, dtype=np.int64), 0)):
        with pytest.raises(UsageError, match="no cohorts"):
            cohort.start(cohorts, metrics)


def test_one_thing_read_twice_is_no_departure() -> None:
    """A load that all see, some a little later: what is between them is small beside its moves."""
    rng = np.random.default_rng(4)
    load = 7 + np.cumsum(rng.normal(0, 0.05, ROWS))
    rows = np.repeat(load[:, None, None], SIZE, axis=1) + rng.normal(0, 1e-4, (ROWS, SIZE, 1))
    rows[700, 5] += 0.02
    assert (scores(rows, np.zeros(SIZE, dtype=np.int64)) < ASKS).all()
    rows[800, 5] += 5.0
    assert scores(rows, np.zeros(SIZE, dtype=np.int64))[800, 5] >= ASKS


def test_a_state_from_before_levels_were_kept_goes_on() -> None:
    rows, cohorts = peers()
    state = cohort.start(cohorts, 2)
    for row in rows[:50]:
        state, _ = cohort.step(state, row)
    kept = {name: a for name, a in cohort.arrays(state).items() if name not in ("usual", "stray")}
    assert not cohort.restore(kept, cohorts).stray.any()
