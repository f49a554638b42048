"""Where watchers hand in signatures for a root that is to pay model nodes.

Threats: strangers who ask or sign without end (who may sign is read from the index, and the chain
is asked where the roots stand once in ``FRESH`` seconds, however many ask).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from time import monotonic

from freehold.audit.competing import Draft
from freehold.domain.errors import AccessError, ConflictError
from freehold.domain.keys import recover
from freehold.ledger.ledger import Ledger
from freehold.node.attesting import (
    Attestation,
    header_at,
    holding,
    named_watchers,
    read_signature,
)
from freehold.node.judging.shelf import Offer, Shelf

PLACE = "prizes"
"""Which roots pay model nodes."""
FRESH = 2.0
"""Seconds for which it counts where the roots stood."""


class Desk:
    """Takes a signature only from a watcher of the roots, over a root that waits."""

    def __init__(
        self,
        ledger: Ledger,
        shelf: Shelf,
        *,
        fresh: float = FRESH,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._ledger, self.shelf = ledger, shelf
        self._fresh, self._clock = fresh, clock
        self._lock, self._looking = threading.Lock(), threading.Lock()
        self._stand: tuple[float, int, bytes] | None = None

    def listing(self) -> Mapping[str, object]:
        """The epochs with a root, and that of the newest which waits for signatures."""
        epochs = self.shelf.epochs()
        waits = [epoch for epoch in epochs[-1:] if self._waiting(epoch) is not None]
        return {"epochs": epochs, "waiting": waits[0] if waits else None}

    def sign(self, epoch: int, letter: bytes) -> Mapping[str, object]:
        """Take ``{"signature": HEX}``. IntegrityError for another body, ConflictError where no such
        root waits, AccessError for who is no watcher or signed something else."""
        signature = read_signature(letter)
        with self._lock:
            offer = self._waiting(epoch)
            if offer is None:
                raise ConflictError(
                    f"no root of epoch {epoch} waits for signatures",
                    remedy="Sign what GET /traces tells as waiting.",
                )
            watcher = recover(offer.digest, signature)
            if watcher not in named_watchers(self._ledger, PLACE):
                raise AccessError(
                    f"{watcher} is no watcher of the roots, or signed something else",
                    remedy="Have the governor name it, or reckon the root and the tip again.",
                )
            known = self.shelf.signatures(offer) | {watcher: signature}
            self.shelf.sign(offer, known)
        return {"epoch": epoch, "signatures": len(known)}

    def signed(self, offer: Offer) -> list[bytes]:
        """The signatures that hold now, in rising order of the watchers."""
        with self._lock:
            known = self.shelf.signatures(offer)
        return holding(self._ledger, PLACE, offer.digest, known)

    def _waiting(self, epoch: int) -> Offer | None:
        """The offer of an epoch, if it stands on the last root."""
        offer = self.shelf.offer(epoch)
        if offer is None:
            return None
        _, next_epoch, parent = self._standing()
        return offer if offer.epoch >= next_epoch and offer.parent == parent else None

    def _standing(self) -> tuple[float, int, bytes]:
        """When it was looked, the first epoch without a root, the hash of the last header."""
        with self._looking:
            if self._stand is None or self._clock() - self._stand[0] >= self._fresh:
                state = self._ledger.prizes.state()
                parent = header_at(self._ledger, PLACE, state.tip)
                self._stand = self._clock(), state.next_epoch, parent
            return self._stand


def digest(ledger: Ledger, draft: Draft, parent: bytes) -> bytes:
    """What a watcher signs for a root on top of another, given by the hash of its header."""
    told = Attestation(draft.epoch, draft.root, draft.count, draft.data)
    return told.digest(ledger, PLACE, parent)
