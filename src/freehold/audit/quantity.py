"""Numbers, bytes and texts out of JSON-RPC objects, checked at the border."""

from __future__ import annotations

import re
from collections.abc import Mapping

from freehold.domain.errors import UnavailableError

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


def number_of(value: object, name: str) -> int:
    """The number of a JSON-RPC quantity; UnavailableError when it is not one."""
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise _wrong(name, value, "a quantity")
    return int(value, 16)


def bytes_of(value: object, name: str) -> bytes:
    """The bytes of JSON-RPC data; UnavailableError when it is not any."""
    if not isinstance(value, str) or _DATA.fullmatch(value) is None:
        raise _wrong(name, value, "hexadecimal bytes")
    return bytes.fromhex(value[2:])


def quantity_of(fields: Mapping[str, object], name: str) -> int:
    """The quantity that stands under ``name``."""
    return number_of(fields.get(name), name)


def data_of(fields: Mapping[str, object], name: str) -> bytes:
    """The bytes that stand under ``name``."""
    return bytes_of(fields.get(name), name)


def text_of(fields: Mapping[str, object], name: str) -> str:
    """The text that stands under ``name``."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise _wrong(name, value, "a text")
    return value


def mapping_of(value: object, name: str) -> dict[str, object]:
    """``value`` where it is a JSON object."""
    if not isinstance(value, dict):
        raise _wrong(name, value, "an object")
    return {str(key): item for key, item in value.items()}


def list_of(value: object, name: str) -> list[object]:
    """``value`` where it is a JSON array."""
    if not isinstance(value, list):
        raise _wrong(name, value, "a list")
    return list(value)


def _wrong(name: str, value: object, wanted: str) -> UnavailableError:
    return UnavailableError(
        f"the RPC answered {str(value)[:80]!r} for {name}, which is not {wanted}",
        remedy="Ask another RPC of the chain.",
    )
