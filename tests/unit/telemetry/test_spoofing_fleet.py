"""How often spoofing is missed, and how often honest devices are accused, on labelled fleets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from freehold.domain.errors import UsageError
from freehold.telemetry.metrics import limits
from freehold.telemetry.spoofing import Finding, detect
from unit.telemetry import fleet

CELLS = 256


def accused(findings: tuple[Finding, ...], lies: set[int]) -> tuple[set[int], set[int]]:
    """Rows of findings that name a liar, or only honest devices; beside whom a copy stands is not
    told from it, so a finding with a liar in it is right."""
    right = {row for f in findings if lies & set(f.devices) for row in f.devices}
    wrong = {row for f in findings if not lies & set(f.devices) for row in f.devices}
    return right, wrong - lies


def test_rates_on_a_labelled_fleet(record_property: Callable[[str, object], None]) -> None:
    drawn = fleet.draw(np.random.default_rng(fleet.seed()), fleet.shapes(), cells=CELLS)
    found = detect(drawn.window, limits("roof.temperature"))
    right, wrong = accused(found, set(drawn.lies))
    honest = len(drawn.window.values) - len(drawn.lies)
    low, high = fleet.wilson(len(wrong), honest)
    record_property("false_positives", f"{len(wrong)}/{honest} [{low:.4f}, {high:.4f}]")
    print(f"false positives {len(wrong)}/{honest}, 95 % {low:.4f} to {high:.4f}")
    assert high < 0.005, sorted(wrong)
    liars = Counter(drawn.lies.values())
    missed = Counter(name for row, name in drawn.lies.items() if row not in right)
    for name, count in liars.items():
        low, high = fleet.wilson(missed[name], count)
        record_property(f"missed_{name}", f"{missed[name]}/{count} [{low:.3f}, {high:.3f}]")
        print(f"missed {name} {missed[name]}/{count}, 95 % {low:.3f} to {high:.3f}")
        assert low < 0.2, f"{name}: {missed[name]} of {count} missed"


def test_the_environment_chooses_seed_and_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_FLEET_SEED", "7")
    monkeypatch.setenv("FREEHOLD_FLEET_SHAPES", "looped, collusive")
    assert fleet.seed() == 7
    assert fleet.shapes() == ("looped", "collusive")
    drawn = fleet.draw(np.random.default_rng(7), fleet.shapes(), cells=4)
    assert set(drawn.lies.values()) == {"looped", "collusive"}


def test_what_the_environment_cannot_mean_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_FLEET_SHAPES", "looped,warped")
    with pytest.raises(UsageError, match="unknown shapes: warped") as caught:
        fleet.shapes()
    assert "collusive" in caught.value.remedy
    monkeypatch.setenv("FREEHOLD_FLEET_SEED", "-1")
    with pytest.raises(UsageError, match="FREEHOLD_FLEET_SEED"):
        fleet.seed()


def test_wilson_intervals_as_published() -> None:
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for hits, trials, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert fleet.wilson(hits, trials) == pytest.approx((low, high), abs=5e-5)
