"""JSON-RPC as it stands on the wire: requests, checked answers, hexadecimal quantities."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeAlias

from freehold.domain.errors import IntegrityError, RefusedError
from freehold.domain.ids import Address, checksum
from freehold.ledger.values import Header, Log

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


class RpcRefusal(RefusedError):
    """The chain's RPC answered with an error; ``code`` and ``data`` are its own."""

    def __init__(self, message: str, *, remedy: str, code: int = 0, data: bytes = b"") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.data = data


class WireError(Exception):
    """An answer that is not JSON-RPC, or of the wrong shape; the caller tries another URL."""


def render(calls: Sequence[tuple[str, Sequence[Json]]], first_id: int) -> bytes:
    """The body of one request, or of a batch when there are several calls."""
    items = [
        {"jsonrpc": "2.0", "id": first_id + offset, "method": method, "params": list(params)}
        for offset, (method, params) in enumerate(calls)
    ]
    return json.dumps(items if len(items) > 1 else items[0]).encode()


def parse(body: bytes, count: int, first_id: int) -> list[Json]:
    """The results in the order of the calls; WireError when ids or shapes are wrong,
    RpcRefusal when the RPC answered a call with an error."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError("the answer is not JSON") from error
    answers = content if isinstance(content, list) and count > 1 else [content]
    if any(not isinstance(answer, dict) for answer in answers):
        raise WireError("the answer is not a JSON-RPC object")
    if count > 1 and len(answers) == 1 and "error" in answers[0]:
        raise _refusal(answers[0]["error"])
    by_id = {number: a for a in answers if isinstance(number := a.get("id"), int)}
    wanted = range(first_id, first_id + count)
    if len(answers) != count or set(by_id) != set(wanted):
        raise WireError("the answer is for another request")
    return [_result(by_id[number]) for number in wanted]


def _result(answer: dict[str, Json]) -> Json:
    if answer.get("error") is not None:
        raise _refusal(answer["error"])
    if "result" not in answer:
        raise WireError("the answer has neither a result nor an error")
    return answer["result"]


def _refusal(error: Json) -> RpcRefusal:
    if not isinstance(error, dict):
        raise WireError("the error of the answer is not an object")
    code, message, data = error.get("code"), error.get("message"), error.get("data")
    if isinstance(data, dict):
        data = data.get("data")
    text = data if isinstance(data, str) and _DATA.fullmatch(data) else "0x"
    return RpcRefusal(
        f"the chain's RPC refused: {str(message)[:500]}",
        remedy="Check the request; `freehold doctor` checks the chain.",
        code=code if isinstance(code, int) else 0,
        data=bytes.fromhex(text[2:]),
    )


def quantity(value: Json) -> int:
    """A hexadecimal quantity."""
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise WireError(f"{str(value)[:80]!r} is not a quantity")
    return int(value, 16)


def data(value: Json) -> bytes:
    """Hexadecimal bytes."""
    if not isinstance(value, str) or _DATA.fullmatch(value) is None:
        raise WireError(f"{str(value)[:80]!r} is not hexadecimal data")
    return bytes.fromhex(value[2:])


def hash_text(value: Json) -> str:
    """A 32-byte hash as lower-case 0x-hex."""
    if not isinstance(value, str) or _HASH.fullmatch(value) is None:
        raise WireError(f"{str(value)[:80]!r} is not a hash")
    return value.lower()


def account(value: Json) -> Address:
    """An address, checksummed."""
    raw = data(value)
    if len(raw) != 20:
        raise WireError(f"{str(value)[:80]!r} is not an address")
    return checksum(raw)


def fields(value: Json) -> dict[str, Json]:
    """An object."""
    if not isinstance(value, dict):
        raise WireError(f"{str(value)[:80]!r} is not an object")
    return value


def items(value: Json) -> list[Json]:
    """An array."""
    if not isinstance(value, list):
        raise WireError(f"{str(value)[:80]!r} is not an array")
    return value


def header(value: Json) -> Header:
    """A block; a pending one has an empty hash."""
    block = fields(value)
    raw_hash = block.get("hash")
    return Header(
        number=quantity(block.get("number")),
        hash="" if raw_hash is None else hash_text(raw_hash),
        parent=hash_text(block.get("parentHash")),
        time=quantity(block.get("timestamp")),
        base_fee=quantity(block.get("baseFeePerGas", "0x0")),
        gas_limit=quantity(block.get("gasLimit", "0x0")),
    )


def log(value: Json) -> Log:
    """A mined log."""
    entry = fields(value)
    return Log(
        address=account(entry.get("address")),
        topics=tuple(bytes.fromhex(hash_text(t)[2:]) for t in items(entry.get("topics"))),
        data=data(entry.get("data")),
        block=quantity(entry.get("blockNumber")),
        block_hash=hash_text(entry.get("blockHash")),
        transaction=hash_text(entry.get("transactionHash")),
        index=quantity(entry.get("logIndex")),
    )


def broken(what: str, error: WireError) -> IntegrityError:
    """The error to raise when every source answers ``what`` in a wrong shape."""
    return IntegrityError(
        f"the chain's RPC answered {what} wrongly: {error}",
        remedy="Check that --rpc names an Ethereum JSON-RPC; name a second one to fail over.",
    )
