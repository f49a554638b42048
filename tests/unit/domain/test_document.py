from __future__ import annotations

import json
import sys

import pytest

from freehold.domain.document import DEPTH_MAX, PARTS_MAX, MalformedError, parse_document

ROOM = {"size": 2**27, "parts": 10**6 + PARTS_MAX}


@pytest.mark.parametrize("text", ['{"a": [1, {}]}', b'"text"', b"null", b"\xef\xbb\xbf{}"[3:]])
def test_small_documents_are_parsed(text: str | bytes) -> None:
    assert parse_document(text) in ({"a": [1, {}]}, "text", None, {})


@pytest.mark.parametrize("text", ["", "{", "nul", b"\xff\xfe", "1" * 10_000, '{"a":}'])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(MalformedError, match="not JSON"):
        parse_document(text)


@pytest.mark.parametrize("opened", ["[", '{"a":'])
@pytest.mark.parametrize("binary", [False, True])
def test_a_deep_document_never_reaches_the_parser(opened: str, binary: bool) -> None:
    text = opened * 100_000
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(MalformedError, match="more than 1,000 objects and lists"):
            parse_document(text.encode() if binary else text)
    finally:
        sys.setrecursionlimit(limit)


def test_both_bounds_are_exact() -> None:
    lists = ",".join(["[]"] * (PARTS_MAX - 1))
    assert parse_document(f"[{lists}]", size=len(lists) + 2) == [[]] * (PARTS_MAX - 1)
    with pytest.raises(MalformedError, match="objects and lists"):
        parse_document(f"[{lists},[]]")
    with pytest.raises(MalformedError, match="longer than"):
        parse_document(f"[{lists}]", size=len(lists) + 1)


@pytest.mark.parametrize("binary", [False, True])
def test_who_allows_more_parts_gets_them(binary: bool) -> None:
    rows = [["[{", ']\\"}', at, 'é"'] for at in range(50_000)]
    text = json.dumps({"rows": rows}, ensure_ascii=False)
    assert parse_document(text.encode() if binary else text, **ROOM) == {"rows": rows}
    with pytest.raises(MalformedError, match="more than 1,000 objects and lists"):
        parse_document(text, size=2**27)
    with pytest.raises(MalformedError, match="more than 50,001 objects"):
        parse_document(f"[{text}]", size=2**27, parts=50_001)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "[" * 100_000 + '"' + "]" * 100_000,
        ("[" + '"]",') * 50_000 + "1" + "]" * 50_000,
        '["' + '\\\\"' * 2 + "[" * 100_000,
    ],
)
def test_with_more_parts_too_depth_never_reaches_the_parser(text: str) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(MalformedError, match="nests too deep"):
            parse_document(text, **ROOM)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32"])
def test_no_other_encoding_hides_the_depth(encoding: str) -> None:
    """A byte of U+2200 looks like the quote that opens a text."""
    hidden = '["\u2200",' + "[" * 50_000 + "]" * 50_000 + ',"\u2200"]'
    limit = sys.getrecursionlimit()
    try:
        for text in ('{"a": 1}', hidden):  # the deep one would end the process
            with pytest.raises(MalformedError):
                parse_document(text.encode(encoding), **ROOM)
            sys.setrecursionlimit(10**6)
    finally:
        sys.setrecursionlimit(limit)
    assert parse_document(b"\xef\xbb\xbf[1]") == [1]


def test_the_depth_is_exact() -> None:
    many = ",".join(["[]"] * PARTS_MAX)
    inner = "[" * (DEPTH_MAX - 1) + many + "]" * (DEPTH_MAX - 1)
    parse_document(inner, **ROOM)
    with pytest.raises(MalformedError, match="nests too deep"):
        parse_document(f"[{inner}]", **ROOM)
