"""Contract wallets: whether their code takes a signature for its own (ERC-1271)."""

from __future__ import annotations

from eth_abi.abi import encode

from freehold.domain.ids import Address
from freehold.ledger.rpc import Rpc
from freehold.ledger.wire import RpcRefusal

GAS = 300_000
"""For a wallet to check a signature; one that burns more has not signed."""
_MAGIC = bytes.fromhex("1626ba7e")
"""Selector of ``isValidSignature(bytes32,bytes)``, and its answer where the signature is valid."""


def question(digest: bytes, signature: bytes) -> bytes:
    """The calldata that asks a wallet about a signature of a 32-byte digest."""
    return _MAGIC + encode(["bytes32", "bytes"], [digest, signature])


def agrees(answer: bytes) -> bool:
    """Whether that is a wallet's yes; an account without code answers nothing."""
    return answer == _MAGIC.ljust(32, b"\0")


def signed(rpc: Rpc, account: Address, digest: bytes, signature: bytes) -> bool:
    """Whether ``account`` is a contract that takes ``signature`` for its own, at the head."""
    try:
        return agrees(rpc.call(account, question(digest, signature), gas=GAS))
    except RpcRefusal:
        return False
