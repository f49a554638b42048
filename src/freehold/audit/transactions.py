"""Signed transactions as bytes: their hash, and what a check reads out of them.

Source: EIP-155 (legacy), 2930, 1559, 4844, 7702.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from freehold.audit import rlp
from freehold.audit.quantity import bytes_of, data_of, list_of, mapping_of, quantity_of
from freehold.domain.errors import FreeholdError, IntegrityError, UnavailableError
from freehold.domain.ids import Address, checksum, keccak
from freehold.domain.keys import recover

_LEGACY_FIELDS = 9
_SHAPES = {1: (11, 1, 4), 2: (12, 1, 5), 3: (14, 1, 5), 4: (13, 1, 5)}
"""Type: number of fields, index of the nonce, index of ``to`` (value and input follow it)."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction; ``to`` is None for a creation, ``data`` its input, ``raw`` its bytes.

    Types that are not known (a rollup's own) keep ``nonce`` -1 and no input.
    """

    raw: bytes
    hash: bytes
    nonce: int
    to: Address | None
    data: bytes
    known: bool = True

    @classmethod
    def parse(cls, raw: bytes) -> Transaction:
        """Decode a signed transaction; IntegrityError when it is malformed."""
        if not raw:
            raise _malformed("it is empty")
        if raw[0] >= 0xC0:
            return cls._build(raw, raw, (_LEGACY_FIELDS, 0, 3))
        if raw[0] not in _SHAPES:
            return cls(raw, keccak(raw), -1, None, b"", known=False)
        return cls._build(raw, raw[1:], _SHAPES[raw[0]])

    @classmethod
    def _build(cls, raw: bytes, body: bytes, shape: tuple[int, int, int]) -> Transaction:
        fields = rlp.as_list(rlp.decode(body))
        count, nonce, to = shape
        if len(fields) != count:
            raise _malformed(f"it has {len(fields)} fields, not {count}")
        recipient = rlp.as_bytes(fields[to])
        if len(recipient) not in (0, 20):
            raise _malformed("its recipient is no address")
        return cls(
            raw=raw,
            hash=keccak(raw),
            nonce=rlp.as_number(fields[nonce]),
            to=checksum(recipient) if recipient else None,
            data=rlp.as_bytes(fields[to + 2]),
        )

    def sender(self) -> Address | None:
        """Who signed it; None for an unknown type or a signature that fits no key."""
        if not self.known:
            return None
        typed = self.raw[0] < 0x80
        fields = rlp.as_list(rlp.decode(self.raw[1:] if typed else self.raw))
        v, r, s = (rlp.as_number(item) for item in fields[-3:])
        unsigned = [*fields[:-3]]
        if not typed and v >= 35:
            unsigned += [rlp.number((v - 35) // 2), b"", b""]
            parity = (v - 35) % 2
        else:
            parity = v if typed else v - 27
        digest = keccak((self.raw[:1] if typed else b"") + rlp.encode(unsigned))
        return _signer(digest, r, s, parity)

    def caller(self, contract: Address) -> Address | None:
        """Who called a contract with it; None where another contract may have."""
        return self.sender() if self.to == contract else None

    def created(self) -> Address | None:
        """The address of the contract that it creates, None where it creates none."""
        if self.to is not None or not self.known:
            return None
        sender = self.sender()
        if sender is None:
            return None
        pair: list[rlp.Item] = [bytes.fromhex(sender[2:]), rlp.number(self.nonce)]
        return checksum(keccak(rlp.encode(pair))[12:])


def _signer(digest: bytes, r: int, s: int, parity: int) -> Address | None:
    if parity not in (0, 1):
        return None
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + parity])
    try:
        return recover(digest, signature)
    except FreeholdError:
        return None


def encode_transaction(fields: Mapping[str, object]) -> bytes:
    """The signed bytes of a transaction from its JSON-RPC fields.

    Knows legacy, 2930 and 1559 transactions; UnavailableError for others, IntegrityError when
    the bytes do not hash to the ``hash`` that the RPC gives.
    """
    kind = quantity_of(fields, "type") if fields.get("type") is not None else 0
    if kind not in (0, 1, 2):
        raise UnavailableError(
            f"the RPC does not give the bytes of a transaction of type {kind}",
            remedy="Use an RPC with eth_getRawTransactionByHash.",
        )
    raw = _legacy(fields) if kind == 0 else bytes([kind]) + _typed(fields, kind)
    if keccak(raw) != data_of(fields, "hash"):
        raise IntegrityError(
            f"transaction {fields.get('hash')} does not hash to its name",
            remedy="Ask another RPC of the chain.",
        )
    return raw


def _legacy(fields: Mapping[str, object]) -> bytes:
    numbers = ("nonce", "gasPrice", "gas")
    return rlp.encode(
        [
            *(rlp.number(quantity_of(fields, name)) for name in numbers),
            *_call(fields),
            *(rlp.number(quantity_of(fields, name)) for name in ("v", "r", "s")),
        ]
    )


def _typed(fields: Mapping[str, object], kind: int) -> bytes:
    prices = ("gasPrice",) if kind == 1 else ("maxPriorityFeePerGas", "maxFeePerGas")
    parity = "yParity" if fields.get("yParity") is not None else "v"
    access: list[rlp.Item] = [_access(item) for item in list_of(fields.get("accessList"), "access")]
    return rlp.encode(
        [
            *(rlp.number(quantity_of(fields, n)) for n in ("chainId", "nonce", *prices, "gas")),
            *_call(fields),
            access,
            *(rlp.number(quantity_of(fields, name)) for name in (parity, "r", "s")),
        ]
    )


def _call(fields: Mapping[str, object]) -> list[bytes]:
    to = b"" if fields.get("to") is None else data_of(fields, "to")
    return [to, rlp.number(quantity_of(fields, "value")), data_of(fields, "input")]


def _access(item: object) -> list[rlp.Item]:
    entry = mapping_of(item, "access list")
    keys: list[rlp.Item] = [
        bytes_of(key, "storageKeys") for key in list_of(entry.get("storageKeys"), "storageKeys")
    ]
    return [data_of(entry, "address"), keys]


def _malformed(reason: str) -> IntegrityError:
    return IntegrityError(f"the transaction is malformed: {reason}", remedy="Export again.")
