"""What is expected is what can be, and what an older version kept is enough to go on from."""

from __future__ import annotations

import numpy as np
import pytest

from freehold.domain.errors import IntegrityError
from freehold.telemetry import states
from freehold.telemetry.drifting import Clocks
from freehold.telemetry.pipeline import Alert, anomaly


@pytest.mark.parametrize(
    ("metric", "low", "high"),
    [("net.flow", 0.0, 5e4), ("cpu.share", 0.0, 1.0), ("any.thing", -79_235.0, 5e4)],
)
def test_what_is_expected_is_within_the_limits_of_the_metric(
    metric: str, low: float, high: float
) -> None:
    alert = Alert(0, 0, 0, value=9e5, low=-79_235.0, high=5e4, score=0.9, far=8.0)
    found = anomaly("device", metric, 0, alert)
    assert (found.low, found.high) == (low, high)
    assert found.reason == f"{metric} is 900000, expected {low:g} to {high:g}"


def test_a_state_without_what_is_new_is_as_if_nothing_were_known_of_that() -> None:
    kept = states.named("clocks", Clocks.empty(3), 3)
    older = {name: kept[name] for name in ("clocks.arrival", "clocks.offset")}
    assert states.unnamed("clocks", older, Clocks.empty(1)).sealed.tolist() == [0, 0, 0]
    with pytest.raises(IntegrityError):
        states.unnamed("clocks", {}, Clocks.empty(1))
    with pytest.raises(IntegrityError):
        states.unnamed("clocks", {"clocks.arrival": np.zeros(3)}, Clocks.empty(1))
