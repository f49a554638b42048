"""One alert for one incident."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.learning.anomaly import incidents

QUIET = 10
THRESHOLD = 0.5


def news(scores: list[float]) -> tuple[list[float], list[int]]:
    """What passes, and rows with an alert."""
    state, passed, rows = incidents.start(1), [], []
    for row, score in enumerate(scores):
        state, found = incidents.step(state, np.array([score]), QUIET)
        passed.append(float(found[0]))
        if incidents.alerts(state, THRESHOLD)[0]:
            rows.append(row)
    return passed, rows


def test_a_long_incident_is_one_alert() -> None:
    passed, rows = news([0] * 5 + [0.9] * 9 + [0] * 20)
    assert rows == [5]
    assert [row for row, score in enumerate(passed) if score] == [5]


def test_an_incident_that_grows_alerts_once_when_it_reaches_the_threshold() -> None:
    passed, rows = news([0, 0.2, 0.4, 0.6, 0.8, 0.7, 0])
    assert passed == [0, 0.2, 0.4, 0.6, 0.8, 0, 0]
    assert rows == [3]


def test_after_quiet_the_same_score_is_news() -> None:
    assert news([0.9] + [0] * QUIET + [0.9])[1] == [0, QUIET + 1]
    assert news([0.9] + [0] * (QUIET - 1) + [0.9])[1] == [0]


def test_an_incident_knows_when_it_began() -> None:
    state = incidents.start(2)
    for scores in ([0, 0], [0.3, 0], [0.9, 0.4]):
        state, _ = incidents.step(state, np.array(scores), QUIET)
    assert state.since.tolist() == [1, 2]


@given(st.lists(st.sampled_from([0.0, 0.3, 0.6, 0.9]), max_size=60))
def test_two_alerts_are_never_within_one_quiet_time_of_news(scores: list[float]) -> None:
    passed, rows = news(scores)
    told = [row for row, score in enumerate(passed) if score]
    for earlier, later in itertools.pairwise(rows):
        gaps = np.diff([row for row in told if earlier <= row <= later])
        assert gaps.max() > QUIET


@pytest.mark.parametrize("quiet", [QUIET, np.array([QUIET, 3])])
def test_each_series_has_its_own_incidents(quiet: int) -> None:
    state, found = incidents.start(2), []
    for scores in ([0.9, 0], [0.9, 0.8], [0, 0.8]):
        state, passed = incidents.step(state, np.array(scores), quiet)
        found.append(passed.tolist())
    assert found == [[0.9, 0], [0, 0.8], [0, 0]]
