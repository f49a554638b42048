"""The scorer against what can be known by hand, and the benchmark on a small folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import anomaly, nab
from bench.nab import Profile, Series
from freehold.domain.errors import NotFoundError, UsageError

ROOT = Path(__file__).parents[3]
STANDARD = Profile("standard", 1.0, 0.11, 1.0)
LOW_FP = Profile("reward_low_FP_rate", 1.0, 0.22, 1.0)
LOW_FN = Profile("reward_low_FN_rate", 1.0, 0.11, 2.0)
ROWS, FIRST, LAST = 1_000, 400, 499


def file(windows: tuple[tuple[int, int], ...] = ((FIRST, LAST),)) -> Series:
    times = np.datetime64("2026-01-01T00:00", "us") + np.arange(ROWS) * np.timedelta64(1, "m")
    return Series("one.csv", times, np.zeros(ROWS), windows)


def points(*rows: int, profile: Profile = STANDARD, series: Series | None = None) -> float:
    """The score of alerts at those rows and nowhere else."""
    scores = np.zeros(ROWS)
    scores[list(rows)] = 1.0
    made = nab.curve([series or file()], [scores], profile)
    return nab.normalised(made.at(1.0), made.windows, profile)


@pytest.mark.parametrize("profile", [STANDARD, LOW_FP, LOW_FN])
def test_silence_is_0_and_perfection_100(profile: Profile) -> None:
    assert points(profile=profile) == 0
    assert points(FIRST, profile=profile) == pytest.approx(100)


@pytest.mark.parametrize(
    ("position", "worth"),
    [(-1.0, 0.98661), (-0.5, 0.84828), (0.0, 0.0), (1.0, -0.98661), (3.0, -1.0), (9.0, -1.0)],
)
def test_the_sigmoid_is_the_published_one(position: float, worth: float) -> None:
    assert float(nab.sigmoid(position)) == pytest.approx(worth, abs=1e-5)


def test_earlier_in_the_window_is_better_and_only_the_earliest_counts() -> None:
    assert points(FIRST + 10) > points(FIRST + 60) > points(LAST) > points() == 0
    assert points(FIRST + 10, FIRST + 60, LAST) == points(FIRST + 10)


def test_a_false_positive_costs_the_more_the_later_after_a_window() -> None:
    costs = [points(FIRST) - points(FIRST, row) for row in (LAST + 1, LAST + 50, 700, 999)]
    assert costs == sorted(costs)
    assert 0 < costs[0] < 1
    # Three widths past the window a false positive weighs 0.11 of what a window does.
    assert costs[-1] == pytest.approx(100 * 0.11 / 2)


def test_before_the_first_window_a_false_positive_costs_all() -> None:
    assert points(FIRST) - points(FIRST, 300) == pytest.approx(100 * 0.11 / 2)
    assert points(300) == pytest.approx(-100 * 0.11 / 2)
    assert points(300, 310) == pytest.approx(-100 * 0.22 / 2)
    assert points(300, profile=LOW_FP) == pytest.approx(-100 * 0.22 / 2)


def test_missing_a_window_costs_twice_under_low_fn() -> None:
    two = file(((FIRST, LAST), (700, 799)))
    assert points(FIRST, series=two) == pytest.approx(50)
    assert nab.curve([two], [np.zeros(ROWS)], LOW_FN).at(nab.SILENT) == -4


def test_probation_is_not_scored() -> None:
    assert nab.probation(ROWS) == 150
    assert nab.probation(20_000) == 750
    assert points(FIRST, 0, 149) == points(FIRST)
    assert points(FIRST, 150) < points(FIRST)


def test_one_threshold_is_swept_over_all_files() -> None:
    one, two = np.zeros(ROWS), np.zeros(ROWS)
    one[FIRST], two[FIRST], two[300] = 0.9, 0.5, 0.6
    made = nab.curve([file(), file()], [one, two], STANDARD)
    assert made.windows == 2
    assert made.best() == 0.5
    by_hand = {0.95: -2, 0.9: 0, 0.7: 0, 0.6: -0.11, 0.55: -0.11, 0.5: 2 - 0.11}
    for threshold, total in by_hand.items():
        assert made.at(threshold) == pytest.approx(total)


def test_the_threshold_of_the_other_half_is_not_the_best_of_ones_own() -> None:
    good, noisy = np.zeros(ROWS), np.zeros(ROWS)
    good[FIRST], noisy[FIRST], noisy[200:390] = 0.6, 0.9, 0.7
    found = anomaly.judge([file(), file()], [good, noisy], STANDARD, seeds=2)
    assert found.threshold == 0.9
    assert found.all_files == pytest.approx(50)
    # Each under the other's: 0.9 misses the first window, 0.6 lets 190 false positives in.
    assert found.other_half == pytest.approx(100 * (-1 + 1 - 190 * 0.11 + 2) / 4)


def test_files_without_a_window_cannot_be_normalised() -> None:
    with pytest.raises(UsageError, match="no labelled window"):
        points(series=file(()))


def test_a_folder_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"combined_windows\.json"):
        nab.read(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two of NAB's files by shape: a spike and a step in noise."""
    duckdb = pytest.importorskip("duckdb", reason="reading Parquet needs duckdb")
    rng, windows, rows = np.random.default_rng(2), {}, []
    for name, at in (("a/spike.csv", 450), ("a/step.csv", 700)):
        values = rng.normal(size=ROWS)
        values[at : at + (3 if "spike" in name else 60)] += 30
        times = [str(moment).replace("T", " ") for moment in file().times]
        rows += [f"('{name}', TIMESTAMP_NS '{t}', {v})" for t, v in zip(times, values, strict=True)]
        windows[name] = [[times[at - 50], times[at + 50]]]
    with duckdb.connect() as store:
        store.execute("create table series (file varchar, timestamp timestamp_ns, value double)")
        store.execute(f"insert into series values {','.join(rows)}")
        store.execute(f"copy series to '{tmp_path}/series.parquet' (format parquet)")
    (tmp_path / "combined_windows.json").write_text(json.dumps(windows))
    costs = {
        each.name: {"CostMatrix": {"tpWeight": each.tp, "fpWeight": each.fp, "fnWeight": each.fn}}
        for each in (STANDARD, LOW_FP, LOW_FN)
    }
    (tmp_path / "profiles.json").write_text(json.dumps(costs))
    return tmp_path


def test_the_benchmark_prints_both_protocols_for_every_profile(folder: Path) -> None:
    command = [sys.executable, "bench/anomaly.py", "--data", str(folder), "--json", "--quick"]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    report = json.loads(ran.stdout)
    ours = report["detectors"][0]
    assert ours["detector"] == "freehold"
    assert set(ours["scores"]) == {"standard", "reward_low_FP_rate", "reward_low_FN_rate"}
    assert ours["scores"]["standard"]["all_files"] > 80
    assert {"all_files", "other_half", "other_half_deviation"} <= set(ours["scores"]["standard"])
    assert len(report["detectors"]) == 4
    assert "one causal configuration" in report["protocol"]


def test_labels_of_another_release_are_refused(folder: Path) -> None:
    (folder / "combined_windows.json").write_text(
        json.dumps({"a/spike.csv": [["1999-01-01 00:00:00", "1999-01-02 00:00:00"]]})
    )
    with pytest.raises(UsageError, match="has no row"):
        nab.read(folder)
