"""EIP-1559 transactions: encoded and signed with the account's key, nothing else.

A few lines of RLP instead of eth_account's signer: it is imported in every command that writes,
and costs half a second there.
"""

from __future__ import annotations

from freehold.domain.ids import ZERO_ADDRESS, Address, checksum, keccak, raw_address
from freehold.domain.keys import Key
from freehold.ledger.book import Draft

GAS_LIMIT = 16_777_216
"""The most gas one transaction may carry (EIP-7825)."""
CREATION = Address("")
"""The target of a transaction that deploys a contract."""

_Item = bytes | int | list["_Item"]


def sign(draft: Draft, *, chain_id: int, nonce: int, key: Key) -> tuple[str, bytes]:
    """The 0x-hash and the raw bytes of the signed transaction."""
    target = b"" if draft.target == CREATION else raw_address(draft.target)
    fields: list[_Item] = [
        chain_id, nonce, draft.tip, draft.fee, draft.gas, target, draft.value, draft.data, [],
    ]  # fmt: skip
    signature = key.sign(keccak(b"\x02" + rlp(fields)))
    parity = signature[64] - 27
    r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:64]))
    raw = b"\x02" + rlp([*fields, parity, r, s])
    return "0x" + keccak(raw).hex(), raw


def created_address(sender: Address, nonce: int) -> Address:
    """Where a contract lands that ``sender`` deploys with ``nonce``."""
    if sender == ZERO_ADDRESS:
        raise ValueError("the zero address deploys nothing")
    return checksum(keccak(rlp([raw_address(sender), nonce]))[12:])


def rlp(item: _Item) -> bytes:
    """Recursive length prefix encoding; integers without leading zeros."""
    if isinstance(item, list):
        body = b"".join(rlp(each) for each in item)
        return _length(len(body), 0xC0) + body
    body = item.to_bytes((item.bit_length() + 7) // 8, "big") if isinstance(item, int) else item
    if len(body) == 1 and body[0] < 0x80:
        return body
    return _length(len(body), 0x80) + body


def _length(size: int, offset: int) -> bytes:
    if size <= 55:
        return bytes([offset + size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(digits)]) + digits
