"""Co-signs the roots that pay model nodes: reckons what a proposer offers, and signs only its own.

The batch and the leaves that the proposer serves are compared byte for byte with what this watcher
reckoned from the chain alone. The first difference is logged by name, and nothing is signed.

Threats: a proposer that lies (nothing of it is used: the signature is over one's own reckoning);
one that keeps the files back, so that nobody could doubt the root (they are fetched first); floods
(as many bytes are read as one's own file has, and one more); ones that hang (each is asked beside
the others, and for so long only). Not met: a proposer that serves watchers and nobody else; whoever
doubts the root then demands its pieces on the chain.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from freehold.audit.competing import Court, Draft, named
from freehold.domain.errors import FreeholdError, IntegrityError, UnavailableError
from freehold.domain.keys import Key
from freehold.ledger.ledger import Ledger
from freehold.markets.models.trace.claims import first_difference
from freehold.markets.models.trace.served import MAGIC, read
from freehold.markets.models.trace.values import Batch, word
from freehold.node.attesting import is_watcher
from freehold.node.judging.desk import PLACE, digest
from freehold.node.judging.renewing import renews
from freehold.node.judging.source import PROPOSERS_MAX, Source
from freehold.node.logs import fields

AGAIN, AGAIN_PARTS = 600, 8
"""Seconds after which an offer is looked at again that has not become a root, at most; and parts of
an epoch that this is, where that is less."""
AT_ONCE = PROPOSERS_MAX
"""Proposers that are asked at once."""
_REMEMBERED = 256
_log = logging.getLogger(__name__)


class OfferError(IntegrityError):
    """An offered root that is not what the chain says."""


@dataclass(frozen=True, slots=True)
class Look:
    """An offer to look at: what it has to be, and the digest that is signed then."""

    source: Source
    draft: Draft
    wanted: bytes
    tip_total: int


class Cosigner:
    """The chore; ``sources`` tells whom to ask now."""

    def __init__(
        self, ledger: Ledger, key: Key, court: Court, *, sources: Callable[[], Sequence[Source]]
    ) -> None:
        self._ledger, self._key, self._court = ledger, key, court
        self._sources = sources
        self._again: dict[tuple[str, bytes], int] = {}

    def step(self) -> None:
        """Look at what each proposer offers, where the roots know this watcher."""
        if not is_watcher(self._ledger, PLACE, self._key.address):
            return
        self._court.sync()
        sources = self._sources()
        # All at once: those that hang must not keep the signature from one that does not.
        with ThreadPoolExecutor(AT_ONCE, "offers") as pool:
            told = list(pool.map(self._told, sources))
            due = [self._wanted(source, epoch) for source, epoch in zip(sources, told, strict=True)]
            deque(pool.map(self._look, filter(None, due)), maxlen=0)

    def _told(self, source: Source) -> int | None:
        """The epoch whose root waits with a proposer, as it says."""
        try:
            return source.waiting()
        except FreeholdError as error:
            _refuse(source, error)
            return None

    def _wanted(self, source: Source, epoch: int | None) -> Look | None:
        """What to look at; None where there is nothing, or what is named cannot be reckoned."""
        try:
            return None if epoch is None else self._due(source, epoch)
        except FreeholdError as error:
            _refuse(source, error)
            return None

    def _due(self, source: Source, epoch: int) -> Look | None:
        """What to look at; None where no such root can come, or it was looked at a while ago."""
        state = self._court.state()
        if not state.next_epoch <= epoch < self._court.ended():
            return None
        draft = self._court.draft(epoch)
        wanted = digest(self._ledger, draft, self._court.parent(state.tip))
        seen, now = (source.node, wanted), self._ledger.now()
        if now < self._again.get(seen, 0):
            return None
        # A signature can be lost, and what was refused may have been served in part only.
        self._remember(seen, now + min(AGAIN, self._court.calendar.length // AGAIN_PARTS))
        return Look(source, draft, wanted, state.tip_total)

    def _look(self, look: Look) -> None:
        source, epoch = look.source, look.draft.epoch
        try:
            self.check(source, look.draft, tip_total=look.tip_total)
            source.sign(epoch, self._key.sign(look.wanted))
        except UnavailableError as error:
            self._again.pop((source.node, look.wanted), None)
            _refuse(source, error)
        except FreeholdError as error:
            _refuse(source, error)
        else:
            _log.info("co-signed", extra=fields(proposer=source.node, epoch=epoch))

    def check(self, source: Source, draft: Draft, *, tip_total: int) -> None:
        """OfferError with the first thing in an offer that is not so."""
        if draft.tree is None or not self._is_due(draft, tip_total):
            raise OfferError(
                f"nothing is to be paid up to epoch {draft.epoch}", remedy="Nothing is signed."
            )
        own = draft.file()
        served = source.trace(draft.epoch, len(own) + 1)
        if served != own:
            raise _differs(_first(draft, served))
        leaves = draft.tree.data()
        if source.leaves(draft.epoch, len(leaves) + 1) != leaves:
            raise _differs("the accounts")

    def _is_due(self, draft: Draft, tip_total: int) -> bool:
        end = self._court.calendar.begin(draft.epoch + 1)
        return draft.total > tip_total or renews(self._ledger, draft, end=end)

    def _remember(self, seen: tuple[str, bytes], until: int) -> None:
        while len(self._again) >= _REMEMBERED:
            del self._again[next(iter(self._again))]
        self._again[seen] = until


def _refuse(source: Source, error: FreeholdError) -> None:
    told = fields(proposer=source.node, reason=error.message)
    _log.warning("not co-signed", extra=told)


def _first(draft: Draft, served: bytes) -> str:
    """The first difference of a served batch from one's own, in words."""
    try:
        told = read(served, _name_of(served))
    except IntegrityError as error:
        return error.message
    claim = first_difference(draft.bundle, told)
    return named(claim) if claim else "the batch"


def _name_of(served: bytes) -> bytes:
    """The hash of the batch with which a file begins."""
    head = served[len(MAGIC) : len(MAGIC) + 160].ljust(160, b"\0")
    version, subnets, count, cells, cell_count = (
        int.from_bytes(head[at : at + 32], "big") for at in range(0, 160, 32)
    )
    return Batch(word(subnets), count, word(cells), cell_count, version).hash()


def _differs(what: str) -> OfferError:
    return OfferError(
        f"what is offered differs: {what}", remedy="Nothing is signed; look into the proposer."
    )
