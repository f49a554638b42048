"""The judge of what models are paid: false leaves, demands, who has to go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from freehold.domain.ids import Address
from freehold.ledger import abi
from freehold.ledger.contracts.base import Contract
from freehold.ledger.contracts.roots import Header, header_words
from freehold.ledger.modeling import CHECKERS
from freehold.ledger.values import Receipt

BATCH, TRACE, LEAF, WEIGHTS, MEMBERS, PERMITS, PAY = range(7)
"""What can be demanded."""
MAX_PROOF = 8_192
"""Bytes of a proof for ``disprove``; whole rows and bonds among many validators have more."""
Place: TypeAlias = Sequence[object]
"""A trace with its batch and path, as ``markets.models.trace.proofs`` makes it."""
Opening: TypeAlias = Sequence[object]
"""Place, leaf with its path, words of a list, what is paid and its path."""


@dataclass(frozen=True, slots=True)
class Demand:
    """An open demand of a piece of a root's traces; ``deadline`` 0 where there is none."""

    header: bytes
    kind: int
    trace: int
    index: int
    deadline: int
    challenger: Address
    prepaid: int


class Disputes(Contract):
    """Roots are those of ``prizes``; ``place`` and ``opening`` are of the trace's structs."""

    name = "disputes"

    def disprove(self, checker: int, proof: bytes) -> Receipt:
        """Make a root void by the call (``proof_of``) of a checker's function that tells so."""
        return self._send(disproving(proof), checker, proof)

    def demand(self, header: Header, kind: int, trace: int, index: int, value: int) -> Receipt:
        """Ask for a piece, prepaying ``value`` wei for the answer's gas."""
        return self._send("demand", header_words(header), kind, trace, index, value=value)

    def answer(self, id: int, header: Header, opening: Opening) -> Receipt:
        """Answer a demand; anyone."""
        return self._send("answer", id, header_words(header), opening)

    def expire(self, id: int, header: Header) -> Receipt:
        """Make the root void whose demand was not answered in time; anyone."""
        return self._send("expire", id, header_words(header))

    def settle(self, header: Header, place: Place) -> Receipt:
        """Take over from a final root whom newcomers of a subnet replace; anyone."""
        return self._send("settle", header_words(header), place)

    def prune_list(self, subnet: int) -> tuple[int, int]:
        """16 uids of 16 bits, the first in the upper ones, and when that trace's epoch ended."""
        word, ended_at = self._views(int, "prune_list", subnet)
        return word, ended_at

    def demanded(self, id: int) -> Demand:
        """An open demand."""
        return self._view(Demand, "demanded", id)

    def demand_count(self) -> int:
        """How many demands there ever were; their ids begin at 1."""
        return self._view(int, "demand_count")


def disproving(proof: bytes) -> str:
    """The function that takes a proof: one for long ones, whose memory costs more."""
    return "disprove" if len(proof) <= MAX_PROOF else "disprove_long"


def proof_of(checker: int, function: str, arguments: Sequence[object]) -> bytes:
    """A call of a checker's function as ``disprove`` takes it.

    UsageError where an argument does not fit, NotFoundError for an unknown function.
    """
    return abi.artifact(CHECKERS[checker]).calldata(function, arguments)
