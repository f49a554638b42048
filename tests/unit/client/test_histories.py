"""Whatever processes do at once and wherever they die: names mean what was acknowledged."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from unit.client.histories import History


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 120),
    switches=st.sampled_from([0.01, 0.03, 0.1]),
    deaths=st.sampled_from([0.002, 0.01, 0.03]),
)
def test_names_mean_what_was_acknowledged(
    seed: int, steps: int, switches: float, deaths: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder), random.Random(seed), switches, deaths)
        try:
            history.run(steps)
            history.end()
        finally:
            history.close()
