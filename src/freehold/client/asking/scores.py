"""Scores of model nodes: incentives in the last final root, from the file that its proposer serves.

The file is taken only where it is what the root commits to, so whoever serves it can withhold it
and no more. Where nobody does, the epochs are reckoned from the chain alone, if they are few.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from freehold.audit.competing import Court, header_hash
from freehold.client.asking.refusals import AttemptError
from freehold.client.asking.standing import seats_of
from freehold.client.asking.wire import Line, pinned, question
from freehold.client.connection import Peer
from freehold.domain.errors import FreeholdError, IntegrityError, NotFoundError
from freehold.ledger.contracts.registry import VALIDATOR
from freehold.ledger.ledger import Ledger
from freehold.ledger.roster import serving
from freehold.markets.models.trace.served import read
from freehold.markets.models.trace.values import Header

SECONDS = 20.0
FILE_MAX = 2**27
ROOTS_MAX = 64
"""Roots that are reckoned from the chain: each takes some exchanges with it."""
PROPOSERS = 8
"""Validators that are asked for the file, one after the other."""
_INCENTIVES = (113, (1 << 39) - 1)
"""Where a leaf's running sum of incentives begins in its word, and what of that belongs to it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Shares of the incentives by subnet and uid, 0 to 1, and when their epoch ended."""

    shares: tuple[tuple[float, ...], ...]
    ended: int


class FinalScores:
    """``standing.Scores`` of the last final root; asked anew when there is another one."""

    def __init__(self, ledger: Ledger, *, plain: bool = False) -> None:
        self._ledger, self._plain = ledger, plain
        self._court = (
            Court(ledger) if {"prizes", "subnet"} <= set(ledger.network.contracts) else None
        )
        self._known: tuple[bytes, Ranked] | None = None

    def incentives(self, subnet: int) -> Mapping[int, tuple[int, float]]:
        """By uid its generation and share; nothing of who came after that epoch, nor where nobody
        tells what the root says."""
        try:
            ranked = self._ranked()
        except (IntegrityError, NotFoundError) as error:
            # Nodes can be asked without scores, too; who withholds or breaks a root ends nothing.
            _log.warning("no scores: %s", error.message)
            return {}
        if ranked is None or subnet > len(ranked.shares):
            return {}
        shares = ranked.shares[subnet - 1]
        return {
            uid: (seat.generation, shares[uid])
            for uid, seat in enumerate(seats_of(self._ledger, subnet)[: len(shares)])
            if seat.registered_at < ranked.ended
        }

    def _ranked(self) -> Ranked | None:
        court = self._court
        if court is None:
            return None
        court.sync()
        header = court.header(court.state().final)
        if header is None:
            return None
        hashed = header_hash(header)
        if self._known is None or self._known[0] != hashed:
            found = self._from_file(header) or self._from_chain(header)
            if found is None:
                return None
            self._known = hashed, found
        return self._known[1]

    def _from_file(self, header: Header) -> Ranked | None:
        ended = self._ended(header)
        for peer in self._proposers(header):
            try:
                served = read(
                    asyncio.run(_file(peer, header.epoch, plain=self._plain)), header.data
                )
            except (FreeholdError, AttemptError, TimeoutError):
                continue
            sums = [[_incentives(leaf.sums) for leaf in trace.leaves] for trace in served.traces]
            return Ranked(tuple(map(_shares, sums)), ended)
        return None

    def _from_chain(self, header: Header) -> Ranked | None:
        if self._court is None or header.position > ROOTS_MAX:
            return None
        try:
            found = self._court.root(header.position)
        except FreeholdError:
            return None
        if found is None:
            return None
        sums = [[each.incentives for each in built.sums] for built in found[0].bundle.traces]
        return Ranked(tuple(map(_shares, sums)), self._ended(header))

    def _ended(self, header: Header) -> int:
        return 0 if self._court is None else self._court.calendar.begin(header.epoch + 1)

    def _proposers(self, header: Header) -> list[Peer]:
        """Validators that answer somewhere, who proposed the root first."""
        found = [
            (header.proposer not in (node, entry.owner), Peer(node, entry.endpoint, entry.tls))
            for node, entry in serving(self._ledger, VALIDATOR)
        ]
        return [peer for _, peer in sorted(found, key=lambda each: each[0])[:PROPOSERS]]


async def _file(peer: Peer, epoch: int, *, plain: bool) -> bytes:
    line = Line(peer, tls=pinned(), plain=plain, most=FILE_MAX)
    try:
        asked = question("GET", f"/traces/{epoch}", authority=line.authority, headers={})
        answer = await asyncio.wait_for(line.ask(asked), SECONDS)
    finally:
        line.close()
    return bytes(answer.body) if answer.status == 200 else b""


def _incentives(word: int) -> int:
    place, mask = _INCENTIVES
    return word >> place & mask


def _shares(sums: list[int]) -> tuple[float, ...]:
    """Shares from what ran up before each uid, and behind the last."""
    total = sums[-1] if sums else 0
    return tuple((b - a) / total if total else 0.0 for a, b in pairwise(sums))
