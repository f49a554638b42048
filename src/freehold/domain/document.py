"""JSON of strangers, bounded before it is parsed."""

from __future__ import annotations

import json

SIZE_MAX = 2**20
PARTS_MAX = 1_000
"""Objects and lists together, which also bounds how deep they nest."""


class MalformedError(ValueError):
    """What the text is not, for the typed error of whoever reads it."""


def parse_document(data: bytes | str, *, size: int = SIZE_MAX) -> object:
    """The value of a JSON text of at most ``size`` bytes (characters, of a ``str``) and 1000
    objects and lists; MalformedError otherwise.

    Both are counted first: the parser recurses in C, where a raised recursion limit ends the
    process, not the call.
    """
    if len(data) > size:
        raise MalformedError(f"it is longer than {size:,} bytes")
    if _parts(data) > PARTS_MAX:
        raise MalformedError(f"it has more than {PARTS_MAX:,} objects and lists")
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedError("it is not JSON") from error
    return value


def _parts(data: bytes | str) -> int:
    if isinstance(data, str):
        return data.count("[") + data.count("{")
    return data.count(b"[") + data.count(b"{")
