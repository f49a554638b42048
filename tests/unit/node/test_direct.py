"""Reading past the page cache gives what reading through it gives."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.node import direct
from freehold.node.direct import Lately

SIZE = 3 * 2**20 + 1234
DATA = os.urandom(SIZE)


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "piece"
    path.write_bytes(DATA)
    opened = os.open(path, os.O_RDONLY)
    os.fsync(opened)
    yield opened
    os.close(opened)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, SIZE + 5000), st.integers(0, 2**20))
def test_any_span_is_what_the_cache_would_give(handle: int, offset: int, length: int) -> None:
    direct.pass_by_cache(handle)
    assert direct.read(handle, length, offset) == DATA[offset : offset + length]


def test_where_the_system_cannot_it_goes_through_the_cache(
    handle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "not here")

    direct.pass_by_cache(handle)
    monkeypatch.setattr(os, "preadv", refuse)
    assert direct.read(handle, 5000, 7) == DATA[7:5007]


def test_a_failing_disk_is_told(handle: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "rotten")

    direct.pass_by_cache(handle)
    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(OSError, match="rotten"):
        direct.read(handle, 5000, 7)


def test_the_last_spans_are_remembered() -> None:
    lately = Lately(2)
    assert [lately.again(name) for name in "aabc"] == [False, True, False, False]
    assert not lately.again("a"), "two came since"
    assert lately.again("c")
