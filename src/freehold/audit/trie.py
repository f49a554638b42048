"""Roots of the Merkle-Patricia tries that a block header commits to.

Source: Ethereum yellow paper, appendix D; the key of item ``i`` is ``rlp(i)``.
"""

from __future__ import annotations

from collections.abc import Sequence

from freehold.audit import rlp
from freehold.domain.ids import keccak

EMPTY_ROOT = keccak(rlp.encode(b""))

_Pair = tuple[tuple[int, ...], bytes]


def ordered_root(values: Sequence[bytes]) -> bytes:
    """The 32-byte root of the trie of ``rlp(index) -> value``."""
    pairs = [(_nibbles(rlp.encode(rlp.number(i))), value) for i, value in enumerate(values)]
    if not pairs:
        return EMPTY_ROOT
    return keccak(rlp.encode(_node(sorted(pairs), 0)))


def _nibbles(key: bytes) -> tuple[int, ...]:
    return tuple(half for byte in key for half in (byte >> 4, byte & 15))


def _node(pairs: Sequence[_Pair], at: int) -> list[rlp.Item]:
    """The node of sorted ``pairs`` whose keys agree on the first ``at`` nibbles."""
    if len(pairs) == 1:
        key, value = pairs[0]
        return [_path(key[at:], leaf=True), value]
    shared = _shared(pairs[0][0], pairs[-1][0], at)
    if shared > at:
        return [_path(pairs[0][0][at:shared], leaf=False), _reference(_node(pairs, shared))]
    return _branch(pairs, at)


def _branch(pairs: Sequence[_Pair], at: int) -> list[rlp.Item]:
    ended = [value for key, value in pairs if len(key) == at]
    children = [[p for p in pairs if len(p[0]) > at and p[0][at] == n] for n in range(16)]
    slots = [_reference(_node(child, at + 1)) if child else b"" for child in children]
    return [*slots, ended[0] if ended else b""]


def _reference(node: list[rlp.Item]) -> rlp.Item:
    encoded = rlp.encode(node)
    return node if len(encoded) < 32 else keccak(encoded)


def _shared(first: tuple[int, ...], last: tuple[int, ...], at: int) -> int:
    while at < min(len(first), len(last)) and first[at] == last[at]:
        at += 1
    return at


def _path(nibbles: Sequence[int], *, leaf: bool) -> bytes:
    """Hex-prefix encoding of a piece of a key."""
    flag = (2 if leaf else 0) + len(nibbles) % 2
    padded = [flag, *nibbles] if len(nibbles) % 2 else [flag, 0, *nibbles]
    return bytes(high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=True))
