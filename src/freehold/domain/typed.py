"""EIP-712 typed data of flat structs, and the ones that parties of a network sign.

Every domain carries the network id as salt: nothing replays between networks that share a
chain id (PROTOCOL.md, Identity and signatures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.ids import Address, address, keccak, raw_address

Value = int | bytes | str | bool

_DOMAIN = (
    "EIP712Domain(string name,string version,uint256 chainId,"
    "address verifyingContract,bytes32 salt)"
)


@dataclass(frozen=True, slots=True)
class Domain:
    """An EIP-712 domain; ``contract`` is a contract's name, ``salt`` the 32-byte network id."""

    name: str
    chain_id: int
    contract: Address
    salt: bytes
    version: str = "1"

    def separator(self) -> bytes:
        """The 32-byte domain separator."""
        return keccak(
            keccak(_DOMAIN.encode())
            + keccak(self.name.encode())
            + keccak(self.version.encode())
            + _word("uint256", self.chain_id)
            + _word("address", self.contract)
            + _word("bytes32", self.salt)
        )


@dataclass(frozen=True, slots=True)
class Struct:
    """The type of a flat EIP-712 struct, such as ``Voucher(uint256 rail,uint256 amount)``."""

    signature: str

    def types(self) -> list[str]:
        """The types of the members, in order."""
        members = self.signature.partition("(")[2].rstrip(")")
        return [member.split(" ")[0] for member in members.split(",")]

    def digest(self, domain: Domain, values: Sequence[Value]) -> bytes:
        """The 32 bytes that a key signs for ``values``, in the order of the members."""
        words = [_word(*each) for each in zip(self.types(), values, strict=True)]
        hashed = keccak(keccak(self.signature.encode()) + b"".join(words))
        return keccak(b"\x19\x01" + domain.separator() + hashed)


def _word(kind: str, value: Value) -> bytes:
    """The 32 bytes of a member: by hand, since an ABI library weighs 14 MB on a small device."""
    if kind in ("string", "bytes"):
        return _hashed(value)
    if kind == "address" and isinstance(value, str):
        return bytes(12) + raw_address(address(value))
    if kind == "bytes32" and isinstance(value, bytes) and len(value) == 32:
        return value
    if kind == "bool" and isinstance(value, bool):
        return bytes(31) + bytes([value])
    bits = kind.removeprefix("uint")
    if bits.isdigit() and isinstance(value, int) and 0 <= value < 2 ** int(bits):
        return value.to_bytes(32, "big")
    raise TypeError(f"{value!r} is no {kind}")


def _hashed(value: Value) -> bytes:
    if isinstance(value, int):
        raise TypeError("a dynamic member takes text or bytes, not a number")
    return keccak(value.encode() if isinstance(value, str) else value)


CONSENT = Struct("Consent(address node,address owner,uint64 generation,uint64 deadline)")
ACCEPTANCE = Struct(
    "Acceptance(address node,address client,address mover,address token,bytes32 root,uint64 size,"
    "uint8 height,uint256 price,uint64 term_end,uint64 deadline,uint256 nonce)"
)
VOUCHER = Struct("Voucher(uint256 rail,uint256 amount)")
REQUEST = Struct(
    "Request(address audience,string method,string path,bytes32 body,uint64 expiry,bytes32 nonce)"
)
OFFER = Struct(
    "Offer(address node,uint256 price,uint256 retrieval_price,uint64 min_term,uint64 max_term,"
    "uint64 capacity_free,uint64 expiry)"
)
PERMIT = Struct(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
ATTESTATION = Struct(
    "Attestation(uint256 epoch,bytes32 root,uint256 count,bytes32 data,bytes32 parent)"
)
"""What watchers co-sign for a root of rewards; ``parent`` is the hash of the root before it."""
ENROLMENT = Struct(
    "Enrolment(address device,address owner,bytes32 key,uint64 generation,uint64 deadline)"
)
"""A device's consent to its owner; ``key`` is the keccak of its did:key in multicodec form."""
RECEIPT = Struct("Receipt(uint256 command,address device,uint8 outcome,bytes32 detail,uint64 at)")
"""A device's answer to a command; ``at`` in seconds by its own clock."""
