"""Evidence: seldom of noise, whatever its shape; soon of one wild score, and of many small ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import evidence

Floats = npt.NDArray[np.float64]
ROWS, SERIES = 600, 200


def nats(scores: Floats, width: int = 1, memory: int = 64) -> Floats:
    """Nats (rows, series) of scores (rows, series), one row at a time; NaN is absent."""
    state, found = evidence.start(scores.shape[1], width=width, memory=memory), []
    for row in scores:
        state, now = evidence.step(state, row, np.isfinite(row))
        found.append(now)
    return np.array(found)


def noise(kind: str = "normal") -> Floats:
    drawn = np.random.default_rng(8).normal(size=(ROWS, SERIES))
    return np.abs(np.exp(drawn) if kind == "lognormal" else drawn)


@pytest.mark.parametrize("kind", ["normal", "lognormal"])
@pytest.mark.parametrize("width", [1, 10])
def test_noise_is_no_evidence(kind: str, width: int) -> None:
    reached = (nats(noise(kind), width) >= evidence.ALERT).any(axis=0).mean()
    assert reached < 0.02


def test_one_wild_score_is_enough_at_once() -> None:
    scores = noise()
    scores[405] = 200.0
    for width in (1, 10):
        found = nats(scores, width)
        assert (found[405] >= evidence.ALERT).all()
        assert (found[404] < evidence.ALERT).mean() > 0.99


def test_many_small_ones_are_as_much_as_one() -> None:
    scores = noise()
    scores[400:420] = np.maximum(scores[400:420], 3.5)
    found = nats(scores, memory=256)
    assert (found[400:420].max(axis=0) > 6).mean() > 0.9
    assert (found[400] < found[405]).mean() > 0.9


def test_evidence_goes_when_its_cause_does() -> None:
    scores = noise()
    scores[400:410] = 200.0
    found = nats(scores)
    assert (found[409] > 5).all()
    assert (found[450] < 5).mean() > 0.95


def test_a_block_is_one_score_its_highest() -> None:
    scores = noise()
    wide = nats(scores, width=10)[9::10]
    peaks = scores.reshape(-1, 10, SERIES).max(axis=1)
    assert np.allclose(wide, nats(peaks))


def test_the_absent_and_the_new_have_none() -> None:
    scores = noise()
    scores[405], scores[406:, 0] = 200.0, np.nan
    found = nats(scores)
    assert not found[: evidence.YOUNG].any()
    assert not found[406:, 0].any()
    assert (found <= evidence.MOST).all()


def test_more_series_leave_the_first_as_they_are() -> None:
    scores = noise()
    state = evidence.start(SERIES, memory=64)
    for row in scores[:400]:
        state, _ = evidence.step(state, row, np.isfinite(row))
    state = evidence.grown(state, SERIES + 3)
    row = np.append(scores[400], [5.0, 5.0, 5.0])
    state, found = evidence.step(state, row, np.isfinite(row))
    assert np.array_equal(found[:SERIES], nats(scores[:401])[400])
    assert not found[SERIES:].any()


def test_some_series_step_alone_as_they_would_with_all() -> None:
    scores = noise()
    scores[100:, 50:] = np.nan
    state, some = evidence.start(SERIES, memory=64), np.arange(50)
    for row in scores[:100]:
        state, _ = evidence.step(state, row, np.isfinite(row))
    for row in scores[100:400]:
        part, found = evidence.step(evidence.at(state, some), row[some], np.ones(50, dtype=bool))
        evidence.put(state, some, part)
    assert np.array_equal(found, nats(scores[:400])[399, :50])
    part, found = evidence.step(evidence.at(state, some), scores[400, some], np.ones(50, bool))
    untouched = state.past.count[some]
    assert (untouched == 400).all()
    assert (state.past.count[50:] == 100).all()


def test_an_empty_block_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        evidence.start(3, width=0)
