"""Emission that halves by what has been issued, not by height: Bittensor's rule in integers.

A block emits ``amount >> h`` where h is the largest with ``issuance * 2^h >= cap * (2^h - 1)``:
half of what is left of the cap is one era.
"""

from __future__ import annotations

ERAS = 128


def halvings(issuance: int, cap: int) -> int:
    """How often a block's emission has been halved once ``issuance`` of ``cap`` is out."""
    if issuance >= cap:
        return ERAS
    return (cap // (cap - issuance)).bit_length() - 1


def block(*, amount: int, issuance: int, cap: int) -> int:
    """What a block emits, never past the cap."""
    return min(amount >> halvings(issuance, cap), max(cap - issuance, 0))


def issued(*, amount: int, cap: int, blocks: int) -> int:
    """What the first ``blocks`` blocks emit together, era by era."""
    issuance = 0
    while blocks and issuance < cap:
        each = block(amount=amount, issuance=issuance, cap=cap)
        if each == 0:
            break
        count = min(blocks, _blocks_left(each, issuance, cap))
        issuance += each * count
        blocks -= count
    return issuance


def _blocks_left(each: int, issuance: int, cap: int) -> int:
    """Blocks of ``each`` until the next halving; at least one, and none past the cap."""
    era = halvings(issuance, cap)
    end = cap - (cap >> (era + 1))
    return min(max(-(-(end - issuance) // each), 1), (cap - issuance) // each)
