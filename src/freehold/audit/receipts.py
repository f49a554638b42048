"""Consensus receipts: their bytes, their logs and what their bloom must be.

Source: EIP-2718 (``type || rlp([status, cumulative gas, bloom, logs])``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from freehold.audit import rlp
from freehold.audit.headers import BLOOM_BYTES, bloom_of
from freehold.audit.quantity import bytes_of, data_of, list_of, mapping_of, quantity_of
from freehold.domain.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Log:
    """A log as the chain commits to it: 20-byte address, 32-byte topics, data."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction did: whether it succeeded, its logs, and the block's gas so far."""

    succeeded: bool
    cumulative_gas: int
    bloom: bytes
    logs: tuple[Log, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Receipt:
        """Decode a consensus receipt; IntegrityError when it is malformed."""
        body = raw[1:] if raw and raw[0] < 0x80 else raw
        fields = rlp.as_list(rlp.decode(body))
        if len(fields) < 4:
            raise _malformed(f"it has {len(fields)} fields")
        bloom = rlp.as_bytes(fields[2])
        if len(bloom) != BLOOM_BYTES:
            raise _malformed(f"its bloom has {len(bloom)} bytes")
        return cls(
            succeeded=rlp.as_number(fields[0]) == 1,
            cumulative_gas=rlp.as_number(fields[1]),
            bloom=bloom,
            logs=tuple(_log(item) for item in rlp.as_list(fields[3])),
        )

    def expected_bloom(self) -> bytes:
        """The bloom of the logs that are there."""
        return bloom_of(entry for log in self.logs for entry in (log.address, *log.topics))


def encode_receipt(fields: Mapping[str, object]) -> bytes:
    """The consensus bytes of a receipt from its JSON-RPC fields."""
    kind = quantity_of(fields, "type") if fields.get("type") is not None else 0
    logs: list[rlp.Item] = [_encode_log(item) for item in list_of(fields.get("logs"), "logs")]
    body = rlp.encode(
        [
            rlp.number(quantity_of(fields, "status")),
            rlp.number(quantity_of(fields, "cumulativeGasUsed")),
            data_of(fields, "logsBloom"),
            logs,
            *_deposit_fields(fields),
        ]
    )
    return body if kind == 0 else bytes([kind]) + body


def _deposit_fields(fields: Mapping[str, object]) -> Sequence[bytes]:
    """Fields that OP-stack chains add to the receipts of deposits."""
    names = ("depositNonce", "depositReceiptVersion")
    return [rlp.number(quantity_of(fields, n)) for n in names if fields.get(n) is not None]


def _encode_log(item: object) -> list[rlp.Item]:
    log = mapping_of(item, "log")
    topics: list[rlp.Item] = [bytes_of(t, "topic") for t in list_of(log.get("topics"), "topics")]
    return [data_of(log, "address"), topics, data_of(log, "data")]


def _log(item: rlp.Item) -> Log:
    fields = rlp.as_list(item)
    if len(fields) != 3:
        raise _malformed("a log has not three fields")
    address, topics, data = fields
    log = Log(
        address=rlp.as_bytes(address),
        topics=tuple(rlp.as_bytes(topic) for topic in rlp.as_list(topics)),
        data=rlp.as_bytes(data),
    )
    if len(log.address) != 20 or any(len(topic) != 32 for topic in log.topics):
        raise _malformed("a log's address or topic has the wrong length")
    return log


def _malformed(reason: str) -> IntegrityError:
    return IntegrityError(f"the receipt is malformed: {reason}", remedy="Export again.")
