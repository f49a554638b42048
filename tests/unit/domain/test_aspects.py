"""Aspects by name and as the ledger has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.aspects import REACHABLE, aspect, metric_of, name_of, reading
from freehold.domain.errors import UsageError


def test_an_aspect_is_its_name_filled_with_zeros() -> None:
    assert b"reachable" + bytes(23) == REACHABLE
    assert reading("roof.temperature") == b"reading:roof.temperature".ljust(32, b"\0")


@given(st.from_regex(r"[a-z0-9_.:]{1,32}", fullmatch=True))
def test_a_name_comes_back(name: str) -> None:
    assert name_of(aspect(name)) == name


@pytest.mark.parametrize("name", ["", "x" * 33, "a\nb", "é" * 17])
def test_what_has_no_such_bytes_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no aspect"):
        aspect(name)


def test_only_readings_have_a_metric() -> None:
    assert metric_of(reading("load")) == "load"
    assert metric_of(REACHABLE) == ""
    assert metric_of(bytes(32)) == ""


@pytest.mark.parametrize("raw", [bytes(32), b"\xff" * 32, b"a\nb".ljust(32, b"\0")])
def test_what_is_no_text_is_shown_in_hex(raw: bytes) -> None:
    assert name_of(raw) == "0x" + raw.hex()
