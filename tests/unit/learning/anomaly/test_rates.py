"""How often anomalies are missed, and how often honest devices are accused, on labelled fleets."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import TypedDict

import numpy as np
import pytest

from bench import fleets, labelled, rates
from freehold.domain.errors import UsageError


class Share(TypedDict):
    hits: int
    trials: int
    low: float
    high: float


class Counts(TypedDict):
    detector: str
    false: Share
    missed: dict[str, Share]


LOUD = {"step", "stuck", "relation", "departure", "season"}
"""Faults that detectors are for; others are measured and not promised."""


@pytest.fixture(scope="module")
def report() -> dict[str, Counts]:
    """False and missed by detector, as the command prints them of one small fleet."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        patch.setattr("sys.argv", ["rates.py", "--json", "--seeds", "1"])
        for name, value in (("COHORTS", 16), ("DAYS", 2), ("CELLS", 16)):
            patch.setattr(rates, name, value)
        rates.main()
    held = json.loads(out.getvalue())
    assert held["seeds"] == [fleets.seed()]
    return {row["detector"]: row for row in [*held["anomalies"], held["spoofing"]]}


@pytest.mark.xdist_group("rates")
def test_rates_on_a_labelled_fleet(
    report: dict[str, Counts], record_property: Callable[[str, object], None]
) -> None:
    assert set(report) == {*rates.ALERTS, "spoofing"}
    together = report[rates.TOGETHER]
    print(json.dumps(together, indent=1))
    record_property("together", together)
    assert together["false"]["low"] < 0.05
    assert together["false"]["trials"] > 200
    assert set(together["missed"]) == set(labelled.shapes())
    for kind, missed in together["missed"].items():
        assert kind not in LOUD or missed["low"] < 0.4, f"{kind}: {missed}"


@pytest.mark.xdist_group("rates")
def test_each_detector_finds_what_it_is_for(report: dict[str, Counts]) -> None:
    for kind, detector in (
        ("departure", "cohort"),
        ("season", "cohort"),
        ("relation", "multivariate"),
        ("stuck", "stuck (cleaning)"),
    ):
        if kind in labelled.shapes():
            assert report[detector]["missed"][kind]["low"] < 0.4, f"{kind} by {detector}"


def test_a_fleet_is_drawn_from_its_seed_and_labelled() -> None:
    one, same, other = (
        labelled.draw(np.random.default_rng(seed), ("step", "spike"), cohorts=4, days=2)
        for seed in (5, 5, 6)
    )
    assert np.array_equal(one.values, same.values, equal_nan=True)
    assert one.faults == same.faults
    assert not np.array_equal(one.values, other.values, equal_nan=True)
    assert {fault.kind for fault in one.faults} == {"step", "spike"}
    assert {int(one.cohorts[fault.device]) for fault in one.faults} == {1, 3}
    assert all(labelled.LEARNT <= fault.begins < fault.ends for fault in one.faults)


@pytest.mark.parametrize("kind", labelled.SHAPES)
def test_a_fault_changes_its_rows_and_no_other(kind: str) -> None:
    rng = np.random.default_rng(1)
    usual = labelled._honest(rng, 2 * labelled.DAY, 1)[:, 0]
    series = usual.copy()
    labelled.SHAPES[kind](rng, series, 1_500, 1_700)
    changed = (series != usual).any(axis=1)
    assert changed[1_500:1_700].mean() > 0.9
    assert not changed[:1_500].any()
    assert not changed[1_700:].any()


def test_counting_by_hand() -> None:
    day = labelled.DAY
    fault = labelled.Fault(1, "step", 2 * day, 2 * day + 10)
    late = labelled.Fault(2, "step", 2 * day, 2 * day + 10)
    drawn = labelled.Labelled(np.zeros((3 * day, 4, 1)), np.zeros(4, dtype=np.int64), (fault, late))
    found = np.zeros((3 * day, 4), dtype=np.bool_)
    found[2 * day + 10 + rates.GRACE - 1, 1] = True
    found[2 * day + 10 + rates.GRACE, 2] = True
    found[day, 0], found[day + 1, 0], found[rates.SETTLED - 1, 3] = True, True, True
    tally = rates.Tally()
    rates.count(drawn, found, tally)
    assert tally.rates("any").false == rates.share(1, 6)
    assert tally.rates("any").missed == {"step": rates.share(1, 2)}


def test_the_environment_names_lies_and_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_FLEET_SHAPES", "looped, spike,relation")
    assert labelled.shapes() == ("spike", "relation")
    monkeypatch.setenv("FREEHOLD_FLEET_SHAPES", "looped")
    assert labelled.shapes() == tuple(labelled.SHAPES) == fleets.FAULTS
    monkeypatch.setenv("FREEHOLD_FLEET_SHAPES", "sagging")
    with pytest.raises(UsageError, match="unknown shapes: sagging") as caught:
        labelled.shapes()
    assert "relation" in caught.value.remedy
