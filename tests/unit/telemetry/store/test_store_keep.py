from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from freehold.domain.errors import CapacityError, IntegrityError, UnavailableError, UsageError
from freehold.telemetry.marks import Mark
from freehold.telemetry.store.limits import DAY, HOUR, MINUTE, StoreLimits
from freehold.telemetry.store.store import Store
from unit.telemetry.store.rowset import T0, everything, rows_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "s") as opened:
        yield opened


def test_what_was_kept_is_there_once_and_after_reopening(tmp_path: Path) -> None:
    told = [("a", "t", T0 + 5, 1.5, 0), ("b", "t", T0 + DAY, 2.5, 2), ("a", "h", T0 + 6, 3.0, 0)]
    with Store(tmp_path / "s") as store:
        store.keep("x", rows_of(told))
        store.keep("x", rows_of(told))
        assert everything(store) == sorted(told)
    with Store(tmp_path / "s") as store:
        store.keep("x", rows_of(told))
        assert everything(store) == sorted(told)
    days = sorted(path.name for path in (tmp_path / "s" / "readings").iterdir())
    assert days == ["day=2026-01-01", "day=2026-01-02"]


def test_a_second_process_is_told_to_wait(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be used"):
        Store(tmp_path / "s")


def test_questions_by_device_metric_and_time(store: Store) -> None:
    told = [(d, m, T0 + i * 1000, float(i), 0) for d in "abc" for m in "xy" for i in range(10)]
    store.keep("1", rows_of(told))
    (answer,) = store.query(["a", "c"], ["y"], since=T0 + 2000, until=T0 + 4000)
    assert [row[:4] for row in answer.rows] == [
        ("a", "y", T0 + 2000, 2.0),
        ("c", "y", T0 + 2000, 2.0),
        ("a", "y", T0 + 3000, 3.0),
        ("c", "y", T0 + 3000, 3.0),
    ]
    assert not answer.more


def test_many_devices_are_asked_by_a_table(store: Store) -> None:
    told = [(f"d{i:04}", "x", T0, float(i), 0) for i in range(300)]
    store.keep("1", rows_of(told))
    wanted = [f"d{i:04}" for i in range(0, 300, 2)]
    (answer,) = store.query(wanted, since=T0, until=T0 + 1)
    assert answer.column("device") == wanted


def test_names_from_outside_are_never_sql(store: Store) -> None:
    evil = "x') ; DROP TABLE files; --"
    store.keep("'; --", rows_of([(evil, "t", T0, 1.0, 0)]))
    (answer,) = store.query([evil], ["t"], since=T0, until=T0 + 1)
    assert answer.column("device") == [evil]
    assert not list(store.query(["' OR 1=1 --"], since=T0, until=T0 + 1))


def test_an_answer_is_cut_and_says_so(store: Store) -> None:
    store.keep("1", rows_of([("a", "x", T0 + i * DAY, 0.0, 0) for i in range(6)]))
    answers = list(store.query(since=T0, until=T0 + 9 * DAY, most=4))
    assert sum(map(len, answers)) == 4
    assert [answer.more for answer in answers if len(answer)][-1] or answers[-1].more
    whole = list(store.query(since=T0, until=T0 + 9 * DAY, most=6))
    assert sum(map(len, whole)) == 6
    assert not any(answer.more for answer in whole)


def test_spans_leave_out_the_unsound(store: Store) -> None:
    told = [("a", "x", T0 + i * 1000, float(i), 0) for i in range(60)]
    told.append(("a", "x", T0 + 500, 1e6, int(Mark.SPIKE)))
    store.keep("1", rows_of(told))
    (answer,) = store.query(since=T0 + 1, until=T0 + 29_999, step=30_000)
    assert answer.rows == [("a", "x", T0, 30, 14.5, 0.0, 29.0, 29.0)]
    (answer,) = store.query(since=T0, until=T0 + 30_000, step=30_000, unsound=True)
    assert answer.rows[0][6] == 1e6


def test_an_estimate_is_no_reading_and_shown_only_with_the_unsound(store: Store) -> None:
    rows = rows_of([("a", "m", T0 + at * 1_000, float(at), 0) for at in range(4)])
    store.keep("1", replace(rows, std=np.array([0.0, 0.5, 0.5, 0.0])))
    (read,) = store.query(since=T0, until=T0 + MINUTE)
    (all_,) = store.query(since=T0, until=T0 + MINUTE, unsound=True)
    assert read.column("value") == [0.0, 3.0]
    assert all_.column("std") == [0.0, 0.5, 0.5, 0.0]
    assert store.devices().rows == [("a", T0, T0 + 3_000, 2, 0)]
    store.downsample(T0 + HOUR)
    for step in (30_000, MINUTE, HOUR):
        (span,) = store.query(since=T0, until=T0 + MINUTE, step=step)
        assert (span.column("count"), span.column("mean")) == ([2], [1.5])
    assert store.devices().rows == [("a", T0, T0 + 3_000, 2, 0)]


def test_the_latest_is_a_reading(store: Store) -> None:
    rows = rows_of([("a", "m", T0 + at * 1_000, float(at), 0) for at in range(2)])
    store.keep("1", replace(rows, std=np.array([0.0, 0.5])))
    assert store.latest(["a"]).column("value") == [0.0]


def test_blocks_are_seen_at_once(store: Store) -> None:
    values = np.arange(8.0).reshape(4, 2)
    values[1, 1] = np.nan
    store.keep_block(
        "b1",
        tuple("abcd"),
        np.array([T0, T0, T0 + DAY, T0]),
        ("p", "q"),
        values,
        np.zeros(4, np.float32),
    )
    expected = [
        (device, metric, T0 + DAY * (device == "c"), values[at, column], 0)
        for at, device in enumerate("abcd")
        for column, metric in enumerate("pq")
        if (device, metric) != ("b", "q")
    ]
    assert everything(store) == sorted(expected)
    (answer,) = store.query(metrics=["q"], since=T0, until=T0 + DAY, step=MINUTE)
    assert answer.column("device") == ["a", "d"]


def test_only_files_that_may_have_the_answer_are_opened(store: Store, tmp_path: Path) -> None:
    store.keep("1", rows_of([("a", "x", T0, 1.0, 0)]))
    store.keep("2", rows_of([("b", "x", T0 + HOUR, 2.0, 0)]))
    by_time = {path.stat().st_mtime_ns: path for path in (tmp_path / "s").rglob("*.parquet")}
    by_time[max(by_time)].write_bytes(b"broken")
    (answer,) = store.query(since=T0, until=T0 + 1)
    assert answer.rows[0][3] == 1.0
    (answer,) = store.query(["a"], since=T0, until=T0 + DAY)
    assert answer.rows[0][3] == 1.0


@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_a_damaged_file_is_named_and_the_others_stay_readable(
    store: Store, tmp_path: Path, how: str
) -> None:
    store.keep("1", rows_of([("a", "x", T0 + i, i / 7, 0) for i in range(1000)]))
    (bad,) = (tmp_path / "s").rglob("*.parquet")
    store.keep("2", rows_of([("a", "x", T0 + DAY, 2.0, 0)]))
    raw = bytearray(bad.read_bytes())
    if how == "gone":
        bad.unlink()
    else:
        raw[60:90] = bytes(30)
        bad.write_bytes(raw[:-9] if how == "cut" else raw)
    name = str(bad.relative_to(tmp_path / "s"))
    with pytest.raises(IntegrityError, match=name):
        list(store.query(since=T0, until=T0 + 2 * DAY))
    assert store.check(set_aside=True) == [name]
    assert store.check() == []
    assert [row[3] for row in everything(store)] == [2.0]


def test_a_full_store_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    with Store(tmp_path / "s", limits=StoreLimits(bytes=1)) as store:
        store.keep("1", rows_of([("a", "x", T0, 1.0, 0)]))
        with pytest.raises(CapacityError) as refused:
            store.keep("2", rows_of([("a", "x", T0, 2.0, 0)]))
        assert "fewer days" in refused.value.remedy
        assert len(everything(store)) == 1


def test_a_store_without_room_for_more_memory_says_so(tmp_path: Path) -> None:
    with Store(tmp_path / "s", limits=StoreLimits(spare=1 << 60)) as store:
        with pytest.raises(CapacityError, match="no room"):
            store.keep("1", rows_of([("a", "x", T0, 1.0, 0)]))
        assert not list((tmp_path / "s").rglob("*.tmp"))


def test_a_segment_of_many_days_makes_few_files(tmp_path: Path) -> None:
    told = [("a", "x", T0 + i * DAY, float(i), 0) for i in range(50)]
    with Store(tmp_path / "s", limits=StoreLimits(days=4)) as store:
        store.keep("1", rows_of(told))
        assert len(list((tmp_path / "s").rglob("*.parquet"))) == 4
        assert everything(store) == sorted(told)
        (answer, *_) = store.query(since=T0 + 3 * DAY, until=T0 + 4 * DAY)
        assert answer.column("value") == [3.0]


def test_latest_and_devices(store: Store) -> None:
    told = [("a", "x", T0 + i, float(i), 0) for i in range(5)]
    told += [("a", "x", T0 + 9, 99.0, int(Mark.SPIKE)), ("b", "y", T0 + DAY, 7.0, 0)]
    store.keep("1", rows_of(told))
    assert store.latest(["a", "b", "c"]).rows == [
        ("a", "x", T0 + 4, 4.0, 0.0),
        ("b", "y", T0 + DAY, 7.0, 0.0),
    ]
    expected = [("a", T0, T0 + 9, 6, 1), ("b", T0 + DAY, T0 + DAY, 1, 0)]
    assert store.devices().rows == expected
    store.downsample(T0 + 9 * DAY)
    assert store.devices().rows == expected


@pytest.mark.parametrize("format", ["parquet", "csv", "json"])
def test_export(store: Store, tmp_path: Path, format: str) -> None:
    told = [(d, "x", T0 + i, float(i), 0) for d in "ab" for i in range(20)]
    store.keep("1", rows_of(told))
    out = tmp_path / "out"
    size = store.export(out, format=format, devices=["a"], since=T0, until=T0 + DAY)  # type: ignore[arg-type]
    assert size == out.stat().st_size
    if format != "parquet":
        assert len(out.read_text().splitlines()) == 20 + (format == "csv")
    else:
        assert out.read_bytes()[:4] == b"PAR1"
    assert not list((tmp_path / "s" / "exports").iterdir())
    store.export(tmp_path / "none", format="csv", devices=["z"], since=T0, until=T0 + DAY)
    assert len((tmp_path / "none").read_text().splitlines()) == 1


def test_an_empty_segment_and_nonsense(store: Store) -> None:
    store.keep("0", rows_of([]))
    assert everything(store) == []
    with pytest.raises(UsageError):
        store.keep("1", rows_of([("a", "x", -1, 1.0, 0)]))
    with pytest.raises(UsageError):
        store.keep("", rows_of([]))
    with pytest.raises(UsageError):
        store.query(since=5, until=4)
    with pytest.raises(UsageError):
        store.query(since=0, until=4, step=1)
    with pytest.raises(UsageError):
        store.latest([])


def test_a_question_that_takes_too_long_is_ended(store: Store) -> None:
    engine = store._engine
    slow = "SELECT sum(a.i * b.i) FROM range(1000000) a(i), range(1000000) b(i)"
    with engine.cursor(seconds=0.1) as cursor, pytest.raises(engine.error) as ended:
        cursor.execute(slow).fetchall()
    assert isinstance(refusal := engine.refusal(ended.value), CapacityError)
    assert "longer" in refusal.message


def test_without_duckdb_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(UnavailableError) as refused:
        Store(tmp_path / "s")
    assert refused.value.remedy == "pip install 'freehold[ops]'"


def test_many_threads_keep_and_ask_at_once(store: Store) -> None:
    def work(number: int) -> None:
        for turn in range(4):
            told = [(f"d{number}", "x", T0 + turn, float(turn), 0)]
            store.keep(f"{number} {turn}", rows_of(told))
            rows = [
                row
                for answer in store.query([f"d{number}"], since=T0, until=T0 + 99)
                for row in answer.rows
            ]
            assert len(rows) == turn + 1
            store.compact(T0 + DAY)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(everything(store)) == 16


def test_the_database_reaches_nothing_outside(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    engine = store._engine
    for text in (
        f"SELECT * FROM read_csv('{tmp_path}/secret.csv')",
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
        "INSTALL httpfs",
        "SET enable_external_access=true",
    ):
        with engine.cursor() as cursor, pytest.raises(engine.error):
            cursor.execute(text).fetchall()
