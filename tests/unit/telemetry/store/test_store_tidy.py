from __future__ import annotations

from pathlib import Path

import pytest

from freehold.domain.errors import IntegrityError, UsageError
from freehold.telemetry.marks import Mark
from freehold.telemetry.store.limits import DAY, HOUR, MINUTE, TIME_END, StoreLimits
from freehold.telemetry.store.store import Store
from unit.telemetry.store.rowset import T0, Told, everything, rows_of

LATER = T0 + 30 * DAY


def told(segment: int) -> list[Told]:
    """Readings of one segment: two devices, a minute and a half apart, now and then unsound."""
    return [
        (device, "x", T0 + segment * 90_000 + i * 1000, float(i + segment), 16 * (i == 3))
        for device in "ab"
        for i in range(10)
    ]


def files(path: Path) -> int:
    """How many files there are."""
    return len(list(path.rglob("*.parquet")))


def spans(store: Store, step: int) -> list[tuple[object, ...]]:
    """All spans of a store."""
    found = store.query(since=0, until=TIME_END - DAY, step=step)
    return sorted(row for answer in found for row in answer.rows)


def test_merged_files_hold_each_row_once(tmp_path: Path) -> None:
    expected = sorted(row for segment in range(8) for row in told(segment))
    with Store(tmp_path) as store:
        for segment in range(8):
            store.keep(str(segment), rows_of(told(segment)))
        assert store.compact(T0 + MINUTE) == 0  # the hour is not over
        assert store.compact(LATER) == 7
        assert (files(tmp_path), everything(store)) == (1, expected)
        store.keep("3", rows_of(told(3)))
        assert everything(store) == expected
        assert store.compact(LATER) == 0


def test_a_question_that_began_before_a_merge_goes_on(tmp_path: Path) -> None:
    with Store(tmp_path, limits=StoreLimits(batch=4)) as store:
        for day in range(3):
            for segment in "ab":
                rows = rows_of([(segment, "x", T0 + day * DAY + i, float(i), 0) for i in range(9)])
                store.keep(f"{day} {segment}", rows)
        answers = store.query(since=T0, until=LATER)
        first = next(answers)
        assert store.compact(LATER) == 3
        assert files(tmp_path) == 9
        assert len(first) + sum(map(len, answers)) == 54
        assert files(tmp_path) == 3


@pytest.mark.parametrize("step", [MINUTE, 5 * MINUTE, HOUR, 7 * HOUR, DAY])
def test_spans_are_the_same_from_every_level(tmp_path: Path, step: int) -> None:
    with Store(tmp_path, limits=StoreLimits(merge_rows=60)) as store:
        for segment in range(8):
            store.keep(str(segment), rows_of(told(segment)))
        before = spans(store, step)
        assert store.downsample(LATER) >= 8
        assert store.downsample(LATER) == 0
        assert spans(store, step) == before
        store.compact(LATER)
        assert spans(store, step) == before
        late: list[Told] = [("a", "x", T0 + 2000, 50.0, 0)]
        store.keep("late", rows_of(late))
        mixed = spans(store, step)
        assert sum(int(str(row[3])) for row in mixed) == 8 * 18 + 1
        store.downsample(LATER)
        store.compact(LATER)
        assert spans(store, step) == mixed


def test_old_levels_go_and_coarser_ones_answer(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for day in range(6):
            for at in range(4):
                row = ("a", "x", T0 + day * DAY + at * 20_000, float(day), 0)
                store.keep(f"{day} {at}", rows_of([row]))
        now = T0 + 6 * DAY
        assert store.retain(now, raw_days=1, minute_days=3, hour_days=5)
        assert [row[2] for row in everything(store)] == [
            T0 + 5 * DAY + at * 20_000 for at in range(4)
        ]
        counts = [(row[2], row[3]) for row in spans(store, 20_000)]
        assert counts == [
            (T0 + 1 * DAY, 4), (T0 + 2 * DAY, 4),
            (T0 + 3 * DAY, 3), (T0 + 3 * DAY + MINUTE, 1),
            (T0 + 4 * DAY, 3), (T0 + 4 * DAY + MINUTE, 1),
            *[(T0 + 5 * DAY + at * 20_000, 1) for at in range(4)],
        ]  # fmt: skip
        assert sum(int(str(row[3])) for row in spans(store, DAY)) == 20
        assert not (tmp_path / "readings" / "day=2026-01-01").exists()


def test_what_comes_late_is_folded_before_it_goes(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.keep("1", rows_of([("a", "x", T0, 1.0, 0)]))
        store.retain(LATER, raw_days=1, minute_days=60, hour_days=60)
        store.keep("2", rows_of([("a", "x", T0 + 1, 3.0, int(Mark.GAP))]))
        assert spans(store, MINUTE) == [("a", "x", T0, 2, 2.0, 1.0, 3.0, 3.0)]
        store.retain(LATER, raw_days=1, minute_days=60, hour_days=60)
        assert everything(store) == []
        assert spans(store, MINUTE) == [("a", "x", T0, 2, 2.0, 1.0, 3.0, 3.0)]


def test_damage_is_not_merged(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for segment in range(3):
            store.keep(str(segment), rows_of(told(segment)))
        bad = next(tmp_path.rglob("*.parquet"))
        raw = bytearray(bad.read_bytes())
        raw[50] ^= 1
        bad.write_bytes(raw)
        with pytest.raises(IntegrityError, match=bad.name):
            store.compact(LATER)
        assert files(tmp_path) == 3


def test_days_that_make_no_sense(tmp_path: Path) -> None:
    with Store(tmp_path) as store, pytest.raises(UsageError):
        store.retain(LATER, raw_days=9, minute_days=3, hour_days=5)


def test_what_came_during_the_fold_is_not_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path) as store:
        fold = store._tidy._fold

        def late(before: int) -> int:
            folded = fold(before)
            store.keep("late", rows_of([("a", "x", T0, 1.0, 0)]))
            return folded

        monkeypatch.setattr(store._tidy, "_fold", late)
        store.retain(LATER, raw_days=1, minute_days=60, hour_days=60)
        assert len(everything(store)) == 1
        monkeypatch.undo()
        store.retain(LATER, raw_days=1, minute_days=60, hour_days=60)
        assert spans(store, MINUTE) == [("a", "x", T0, 1, 1.0, 1.0, 1.0, 1.0)]


def test_a_span_without_a_sound_reading_is_no_row(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.keep("1", rows_of([("a", "x", T0, 1.0, int(Mark.RANGE))]))
        assert spans(store, MINUTE) == []
        store.downsample(LATER)
        assert spans(store, MINUTE) == []
