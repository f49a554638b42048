"""Verdicts on roots by which no bond was taken yet: void roots, and who disproved them.

The transaction that makes a root void says so and no more; another one, by anyone, takes the bond.
Whoever sent the first may have stopped before the second, so that everybody looks here.
"""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.roots import Header, Roots
from freehold.ledger.index import Index

LOOKED = 1_000
"""Proposed and void roots that are looked through, the newest: until a verdict is settled no other
root comes, so that only those that were open with it are newer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A void root, and whom part of its proposer's bond is due."""

    header: Header
    winner: Address


def unsettled(index: Index, roots: Roots) -> list[Verdict]:
    """Those of the roots at a place, the newest first, as far as the index has read."""
    count = roots.state().unsettled
    found: list[Verdict] = []
    if not count:
        return found
    headers = _proposed(index, roots.name)
    for event in index.events(roots.name, "Voided", limit=LOOKED, newest_first=True):
        verdict = _verdict(roots, headers, event.number("position"), event.address("winner"))
        if verdict is not None and verdict not in found:
            found.append(verdict)
        if len(found) == count:
            break
    return found


def _proposed(index: Index, place: str) -> list[Header]:
    events = index.events(place, "Proposed", limit=LOOKED, newest_first=True)
    return [convert(Header, event.args["header"]) for event in events]


def _verdict(roots: Roots, headers: list[Header], position: int, winner: Address) -> Verdict | None:
    """What stands at a position, where that is a verdict for the winner."""
    stands = roots.stands(position)
    for header in headers:
        if header.position == position and header.verdict(winner) == stands:
            return Verdict(header, winner)
    return None
