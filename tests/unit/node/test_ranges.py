from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.node.ranges import Span, parse_range, requested
from freehold.node.refusals import RangeError

SIZES = st.integers(1, 300)
ENDS = st.integers(0, 400)


@given(SIZES, ENDS, ENDS)
def test_a_range_is_a_slice(total: int, first: int, last: int) -> None:
    data = bytes(i % 251 for i in range(total))
    wanted = data[first : last + 1] if first <= last else b""
    if not wanted:
        with pytest.raises(RangeError):
            parse_range(f"bytes={first}-{last}", total)
        return
    span = parse_range(f"bytes={first}-{last}", total)
    assert data[span.start : span.start + span.length] == wanted
    assert span.content_range() == f"bytes {first}-{first + len(wanted) - 1}/{total}"


@given(SIZES, ENDS)
def test_an_open_range_runs_to_the_end(total: int, first: int) -> None:
    if first >= total:
        with pytest.raises(RangeError):
            parse_range(f"bytes={first}-", total)
    else:
        assert parse_range(f"bytes={first}-", total) == Span(first, total - first, total, True)


@given(SIZES, st.integers(1, 400))
def test_a_suffix_is_the_end(total: int, length: int) -> None:
    span = parse_range(f"bytes=-{length}", total)
    assert (span.start, span.length) == (max(total - length, 0), min(length, total))


@given(st.text(max_size=30), SIZES)
def test_any_text_gives_a_span_inside_or_a_refusal(text: str, total: int) -> None:
    try:
        span = parse_range(text, total)
    except RangeError:
        return
    assert 0 <= span.start < span.start + span.length <= total


@pytest.mark.parametrize(
    "header", ["bytes=-0", "bytes=-", "bytes=1-2,4-5", "items=0-1", "bytes=a-b", "bytes=5-2", ""]
)
def test_what_cannot_be_served_is_refused(header: str) -> None:
    with pytest.raises(RangeError, match="cannot be served"):
        parse_range(header, 10)


def test_if_range_decides_whether_the_range_stands() -> None:
    ask = {"etag": '"a"', "total": 10, "range_header": "bytes=2-3"}
    assert requested(if_range='"a"', **ask) == Span(2, 2, 10, True)  # type: ignore[arg-type]
    assert requested(if_range=None, **ask) == Span(2, 2, 10, True)  # type: ignore[arg-type]
    for other in ('"b"', 'W/"a"', "Sun, 06 Nov 1994 08:49:37 GMT"):
        assert requested(if_range=other, **ask) == Span(0, 10, 10)  # type: ignore[arg-type]
