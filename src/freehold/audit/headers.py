"""Block headers: their hash, what they commit to, and the bloom of their logs.

Source: Ethereum yellow paper 4.4 and EIP-1559, 4895, 4844, 4788, 7685 for the later fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from freehold.audit import rlp
from freehold.audit.quantity import data_of, quantity_of, text_of
from freehold.domain.errors import IntegrityError
from freehold.domain.ids import keccak

BLOOM_BYTES = 256
MAX_HEADER = 2_048

_FIELDS = (
    ("parentHash", 32), ("sha3Uncles", 32), ("miner", 20), ("stateRoot", 32),
    ("transactionsRoot", 32), ("receiptsRoot", 32), ("logsBloom", BLOOM_BYTES),
    ("difficulty", None), ("number", None), ("gasLimit", None), ("gasUsed", None),
    ("timestamp", None), ("extraData", -1), ("mixHash", 32), ("nonce", 8),
)  # fmt: skip
_LATER = (
    ("baseFeePerGas", None), ("withdrawalsRoot", 32), ("blobGasUsed", None),
    ("excessBlobGas", None), ("parentBeaconBlockRoot", 32), ("requestsHash", 32),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """What a check needs of a block header; ``hash`` is the Keccak-256 of its encoding."""

    hash: bytes
    parent: bytes
    number: int
    timestamp: int
    transactions_root: bytes
    receipts_root: bytes
    bloom: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Header:
        """Decode a header's RLP; IntegrityError when it is malformed."""
        fields = rlp.as_list(rlp.decode(raw))
        if not len(_FIELDS) <= len(fields) <= len(_FIELDS) + len(_LATER) + 4:
            raise _malformed(f"it has {len(fields)} fields")
        parts = {name: rlp.as_bytes(item) for (name, _), item in zip(_FIELDS, fields, strict=False)}
        for name, size in _FIELDS:
            if size is not None and size >= 0 and len(parts[name]) != size:
                raise _malformed(f"{name} has {len(parts[name])} bytes")
        return cls(
            hash=keccak(raw),
            parent=parts["parentHash"],
            number=rlp.as_number(parts["number"]),
            timestamp=rlp.as_number(parts["timestamp"]),
            transactions_root=parts["transactionsRoot"],
            receipts_root=parts["receiptsRoot"],
            bloom=parts["logsBloom"],
        )


def encode_header(block: Mapping[str, object]) -> bytes:
    """The RLP of a block's header from its JSON-RPC fields.

    IntegrityError when it does not hash to the ``hash`` that the RPC gives: the chain has header
    fields that this program does not know, or the RPC lies.
    """
    known = [(name, size) for name, size in _LATER if block.get(name) is not None]
    parts = [_field(block, name, size) for name, size in (*_FIELDS, *known)]
    raw = rlp.encode(parts)
    claimed = data_of(block, "hash")
    if keccak(raw) != claimed:
        raise IntegrityError(
            f"the header of block {text_of(block, 'number')} hashes to 0x{keccak(raw).hex()}, "
            f"the RPC says 0x{claimed.hex()}",
            remedy="Ask another RPC; a chain with other header fields needs a newer freehold.",
        )
    return raw


def bloom_of(entries: Iterable[bytes]) -> bytes:
    """The 256-byte bloom of log addresses and topics."""
    bits = 0
    for entry in entries:
        bits |= _bloom_bits(entry)
    return bits.to_bytes(BLOOM_BYTES, "big")


def may_contain(bloom: bytes, entry: bytes) -> bool:
    """Whether a block with this bloom may hold a log with this address or topic."""
    bits = _bloom_bits(entry)
    return int.from_bytes(bloom, "big") & bits == bits


@lru_cache(maxsize=65_536)
def _bloom_bits(entry: bytes) -> int:
    digest = keccak(entry)
    pairs = (digest[0:2], digest[2:4], digest[4:6])
    return sum({1 << (int.from_bytes(pair, "big") & 2047) for pair in pairs})


def _field(block: Mapping[str, object], name: str, size: int | None) -> bytes:
    if size is None:
        return rlp.number(quantity_of(block, name))
    return data_of(block, name)


def _malformed(reason: str) -> IntegrityError:
    return IntegrityError(f"the block header is malformed: {reason}", remedy="Export again.")
