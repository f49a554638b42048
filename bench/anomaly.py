"""How well anomalies are found: the Numenta Anomaly Benchmark, baselines beside us.

    uv run python bench/anomaly.py --data ../shared/data/nab --json

Protocol: one configuration for all files; a detector is given one row at a time, and of a file
as a whole only how many rows its probation has, never its range (the published detectors were
given each file's least and largest value); one threshold for all files, swept over all scores. It
is chosen (a) on all files, as NAB publishes, and (b) on the other half of the files: files are
parted in two by a seed, each half is scored under the threshold that is best for the other, and
mean and deviation over the seeds are given. ``neighbours`` are other block counts than the one we
use: what a score owes to the choice of one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

if __package__ is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.nab import Curve, Floats, Profile, Series, curve, normalised, profiles, read
from freehold.domain.errors import FreeholdError
from freehold.learning.anomaly import fleet, incidents, novelty

PROTOCOL = (
    "NAB 1.1 scoring; one causal configuration for all files, rows one at a time, no range given;"
    " probation min(15 %, 750 rows); threshold (a) best on all files, (b) best on the other half"
    " of the files, mean and deviation over seeds"
)
PUBLISHED = {
    "ARTime": {"all_files": 74.9, "other_half": 73.2},
    "HTM": {"all_files": 70.1, "other_half": 67.9},
    "CAD-OSE": {"all_files": 69.9, "other_half": 68.6},
}
"""Standard scores over all seven categories of NAB, each detector given every file's range."""
NEIGHBOURS = (80, 85, 95, 100, 110)
BASELINE_MEMORY = 4096
Scores = list[Floats]


@dataclass(frozen=True, slots=True)
class Score:
    """Under one profile: thresholds from all files, and from the other half."""

    all_files: float
    other_half: float
    other_half_deviation: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Row:
    """One detector; seconds on one core for every row of every file."""

    detector: str
    scores: dict[str, Score]
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    protocol: str
    files: int
    rows: int
    windows: int
    seeds: int
    detectors: tuple[Row, ...]
    neighbours: dict[str, Score]
    published: dict[str, dict[str, float]]
    alerts: dict[str, list[str]]
    """Times of our alerts by file, under the standard threshold of all files."""


def novel(series: Series, blocks: int = novelty.BLOCKS) -> Floats:
    """Our scores of one file, fed a row at a time, one alert per incident."""
    state = novelty.start(1, max(1, series.probation), blocks=blocks)
    open_, found = incidents.start(1), np.zeros(len(series.values))
    for at in range(len(found)):
        state, scores = novelty.step(state, series.values[at : at + 1])
        open_, news = incidents.step(open_, scores, state.quiet)
        found[at] = news[0]
    return found


def baselines(files: Sequence[Series]) -> dict[str, Scores]:
    """Exponentially weighted level and spread, a file a device: deviations; their ranks; and
    those with one alert per incident."""
    longest = max(len(series.values) for series in files)
    rows = np.full((longest, len(files), 1), np.nan)
    for at, series in enumerate(files):
        rows[: len(series.values), at, 0] = series.values
    state = fleet.start(len(files), 1, memory=BASELINE_MEMORY)
    open_ = incidents.start(len(files))
    quiet = np.array([int(novelty.QUIET * series.probation) for series in files])
    found = np.zeros((3, longest, len(files)))
    for at, row in enumerate(rows):
        state, scores = fleet.step(state, row)
        off = fleet.deviations(state)
        open_, news = incidents.step(open_, scores, quiet)
        found[:, at] = off / (1 + off), scores, news
    names = ("EWMA robust z", "+ online rank p-value", "+ one alert per incident")
    return {
        name: [part[: len(series.values), at] for at, series in enumerate(files)]
        for name, part in zip(names, found, strict=True)
    }


def judge(files: Sequence[Series], scores: Scores, profile: Profile, seeds: int) -> Score:
    """Both protocols under one profile."""
    whole = curve(files, scores, profile)
    halves = [_halves(files, scores, profile, seed) for seed in range(seeds)]
    return Score(
        all_files=round(_points(whole, whole.best(), profile), 2),
        other_half=round(float(np.mean(halves)), 2),
        other_half_deviation=round(float(np.std(halves)), 2),
        threshold=round(whole.best(), 6),
    )


def _points(made: Curve, threshold: float, profile: Profile) -> float:
    return normalised(made.at(threshold), made.windows, profile)


def _halves(files: Sequence[Series], scores: Scores, profile: Profile, seed: int) -> float:
    order = np.random.default_rng(seed).permutation(len(files))
    parts = order[: len(files) // 2], order[len(files) // 2 :]
    one, two = (curve([files[i] for i in p], [scores[i] for i in p], profile) for p in parts)
    total = one.at(two.best()) + two.at(one.best())
    return normalised(total, one.windows + two.windows, profile)


def measure(folder: Path, seeds: int, neighbours: Sequence[int]) -> Report:
    """Everything, over one folder."""
    files, kinds = read(folder), profiles(folder)
    began = time.process_time()
    ours = [novel(series) for series in files]
    spent = time.process_time() - began
    began = time.process_time()
    others = baselines(files)
    each = (time.process_time() - began) / len(others)
    rows = [_row("freehold", files, ours, kinds, seeds, spent)]
    rows += [_row(name, files, scores, kinds, seeds, each) for name, scores in others.items()]
    return Report(
        protocol=PROTOCOL,
        files=len(files),
        rows=sum(len(series.values) for series in files),
        windows=sum(len(series.windows) for series in files),
        seeds=seeds,
        detectors=tuple(rows),
        neighbours={
            str(blocks): judge(files, [novel(series, blocks) for series in files], kinds[0], seeds)
            for blocks in neighbours
        },
        published=PUBLISHED,
        alerts=alerts(files, ours, kinds[0]),
    )


def _row(
    name: str,
    files: Sequence[Series],
    scores: Scores,
    kinds: Sequence[Profile],
    seeds: int,
    seconds: float,
) -> Row:
    found = {profile.name: judge(files, scores, profile, seeds) for profile in kinds}
    return Row(name, found, round(seconds, 2))


def alerts(files: Sequence[Series], scores: Scores, profile: Profile) -> dict[str, list[str]]:
    """When each file's alerts are raised after its probation."""
    threshold = curve(files, scores, profile).best()
    return {
        series.name: [
            str(moment)
            for moment in series.times[series.probation :][score[series.probation :] >= threshold]
        ]
        for series, score in zip(files, scores, strict=True)
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/anomaly.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder of NAB data")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seeds", type=int, default=20, help="ways to part the files in halves")
    parser.add_argument("--quick", action="store_true", help="leave the neighbours out")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds is at least 1")
    return options


def table(report: Report) -> Iterator[str]:
    """Lines for people."""
    yield report.protocol
    yield f"{report.files} files, {report.rows} rows, {report.windows} windows"
    yield f"{'':26} {'profile':22} all files   other half"
    for row in report.detectors:
        for name, score in row.scores.items():
            yield f"{row.detector:26} {name:22} {_figures(score)}"
    for blocks, score in report.neighbours.items():
        yield f"{'freehold, blocks ' + blocks:26} {'standard':22} {_figures(score)}"
    for name, held in report.published.items():
        yield (
            f"{name + ' (published)':26} {'standard':22} {held['all_files']:9.1f}"
            f" {held['other_half']:8.1f}"
        )


def _figures(score: Score) -> str:
    return f"{score.all_files:9.1f} {score.other_half:8.1f} +- {score.other_half_deviation:.1f}"


def main() -> None:
    options = arguments()
    try:
        report = measure(options.data, options.seeds, () if options.quick else NEIGHBOURS)
    except FreeholdError as error:
        print(f"{error.message}. {error.remedy}", file=sys.stderr)
        sys.exit(error.exit_code)
    if options.json:
        json.dump(asdict(report), sys.stdout, indent=1)
        print()
        return
    print(*table(report), sep="\n")


if __name__ == "__main__":
    main()
