"""JSON of strangers, bounded before it is parsed."""

from __future__ import annotations

import json
import re

SIZE_MAX = 2**20
PARTS_MAX = 1_000
"""Objects and lists together, which also bounds how deep they nest."""
DEPTH_MAX = 32
"""How deep a text of more parts may nest."""
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_PLAIN = bytes(set(range(256)) - set(b"[]{}"))


class MalformedError(ValueError):
    """What the text is not, for the typed error of whoever reads it."""


def parse_document(data: bytes | str, *, size: int = SIZE_MAX, parts: int = PARTS_MAX) -> object:
    """The value of a JSON text (bytes: in UTF-8) of at most ``size`` bytes (characters, of a
    ``str``) and ``parts`` objects and lists, nested 32 deep at most where they are more than 1000;
    MalformedError otherwise.

    All is looked at first: the parser recurses in C, where a raised recursion limit ends the
    process, not the call.
    """
    if len(data) > size:
        raise MalformedError(f"it is longer than {size:,} bytes")
    found = _parts(data)
    if found > parts:
        raise MalformedError(f"it has more than {parts:,} objects and lists")
    if found > PARTS_MAX and _is_deep(data):
        raise MalformedError("it nests too deep, or its brackets do not match")
    try:
        # In another encoding, which json.loads would find out by itself, brackets hide from
        # ``_is_deep``.
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError("it is not JSON") from error
    return value


def _parts(data: bytes | str) -> int:
    if isinstance(data, str):
        return data.count("[") + data.count("{")
    return data.count(b"[") + data.count(b"{")


def _is_deep(data: bytes | str) -> bool:
    """Whether brackets are left when the innermost pairs are taken away so often as is allowed."""
    raw = data.encode(errors="replace") if isinstance(data, str) else data
    nesting = _TEXT.sub(b"", raw).translate(None, _PLAIN)
    for _ in range(DEPTH_MAX):
        if not nesting:
            return False
        nesting = nesting.replace(b"[]", b"").replace(b"{}", b"")
    return bool(nesting)
