from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import CapacityError
from freehold.telemetry.store.limits import DAY, HOUR
from freehold.telemetry.store.manifest import Manifest
from freehold.telemetry.store.store import Store
from unit.telemetry.store.crasher import told
from unit.telemetry.store.rowset import T0, everything, rows_of

PATHS = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, PATHS))}


def counts(store: Store) -> int:
    """How many readings the spans of an hour count."""
    answers = store.query(since=T0, until=T0 + 5 * DAY, step=HOUR)
    return sum(int(str(row[3])) for answer in answers for row in answer.rows)


@pytest.mark.parametrize(("what", "deaths"), [("keep", 20), ("tidy", 62)])
def test_a_store_that_is_killed_has_each_row_once(tmp_path: Path, what: str, deaths: int) -> None:
    base = tmp_path / "base"
    with Store(base) as store:
        for segment in range(3):
            store.keep(str(segment), rows_of(told(segment)))
    places = range(0, deaths, 3 if what == "keep" else 8)
    for at in places:
        shutil.copytree(base, tmp_path / f"{what}{at}")
    command = [sys.executable, "-m", "unit.telemetry.store.crasher", str(tmp_path), what, "x"]
    done = subprocess.run(
        [*command, ",".join(map(str, places))], check=True, capture_output=True, text=True,
        timeout=60, env=ENVIRONMENT,
    )  # fmt: skip
    killed = [line.split() for line in done.stdout.splitlines()]
    assert [at for at, status in killed if status == "-9"], "nobody died"
    for place, status in killed:
        path = tmp_path / f"{what}{place}"
        before = sorted(row for segment in range(3) for row in told(segment))
        after = sorted(before + told(9)) if what == "keep" else before
        with Store(path) as store:
            found = everything(store)
            assert found in ((before, after) if status == "-9" else (after,)), place
            assert counts(store) == len(found)
            if what == "keep":
                store.keep("9", rows_of(told(9)))
            store.downsample(T0 + 9 * DAY)
            store.compact(T0 + 9 * DAY)
            assert everything(store) == after
            assert counts(store) == len(after)
        assert not list(path.rglob("*.tmp"))


SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from unit.telemetry.store.rowset import rows_of, everything, T0
from freehold.domain.errors import CapacityError
from freehold.telemetry.store.store import Store
with Store(Path(sys.argv[1])) as store:
    store.keep("1", rows_of([("a", "x", T0, 1.0, 0)]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    values = np.random.default_rng(1).normal(size=(20_000, 2))
    ids = np.array(["a"] * 20_000, object)
    try:
        store.keep_block("2", ids, np.full(20_000, T0), ("x", "y"), values,
                         np.zeros(20_000, np.float32))
    except CapacityError as error:
        print("refused", error.remedy)
    print(len(everything(store)), len(list(Path(sys.argv[1]).rglob("readings/*/*"))))
"""


def test_a_disk_that_fills_while_writing_leaves_nothing_half_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "s")], capture_output=True, text=True,
        timeout=60, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("refused Free space"), done.stdout + done.stderr
    assert done.stdout.endswith("1 1\n")


def test_a_manifest_that_cannot_be_written_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise CapacityError("full", remedy="free")

    with Store(tmp_path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(Manifest, "change", full)
            with pytest.raises(CapacityError):
                store.keep("1", rows_of(told(1)))
        assert not list(tmp_path.rglob("*.parquet"))
        store.keep("1", rows_of(told(1)))
        assert everything(store) == sorted(told(1))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["compact", "downsample", "retain", "reopen", "crash"]),
                  st.integers(0, 3)),
    ),
    max_size=9,
)  # fmt: skip


class Crash(Exception):
    """As if the process ended."""


@settings(max_examples=10, deadline=None)
@given(STEPS)
def test_any_order_of_work_keeps_each_row_once(steps: list[tuple[str, int]]) -> None:
    now = T0 + 2 * DAY
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        store, kept, dropped = Store(Path(folder)), set[int](), False
        for step, number in steps:
            if step == "keep":
                store.keep(str(number), rows_of(told(number)))
                kept.add(number)
            elif step == "compact":
                store.compact(now)
            elif step == "downsample":
                store.downsample(now)
            elif step == "retain":
                store.retain(now, raw_days=1, minute_days=5, hour_days=5)
                dropped = True
            else:
                if step == "crash":
                    _crash(store, number, patch)
                store.close()
                store = Store(Path(folder))
            newest = [row for each in kept for row in told(each) if row[2] >= T0 + DAY]
            rows = [row for row in everything(store) if int(str(row[2])) >= T0 + DAY]
            assert rows == sorted(newest)
            assert counts(store) == 4 * len(kept)
        if not dropped:
            assert everything(store) == sorted(row for each in kept for row in told(each))
        store.close()


def _crash(store: Store, number: int, patch: pytest.MonkeyPatch) -> None:
    """End in the midst of a chore: before the manifest changes, or just after."""

    def before(*_: object, **__: object) -> None:
        raise Crash

    change = Manifest.change

    def after(self: Manifest, **more: object) -> None:
        change(self, **more)  # type: ignore[arg-type]
        raise Crash

    with patch.context() as inner:
        inner.setattr(Manifest, "change", after if number % 2 else before)
        with suppress(Crash):
            (store.compact if number < 2 else store.downsample)(T0 + 2 * DAY)
