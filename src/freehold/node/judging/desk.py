"""Where watchers hand in signatures for a root that is to pay model nodes."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from freehold.audit.competing import Draft
from freehold.domain.errors import AccessError, ConflictError
from freehold.domain.keys import recover
from freehold.ledger.ledger import Ledger
from freehold.node.attesting import (
    Attestation,
    header_at,
    holding,
    is_watcher,
    read_signature,
)
from freehold.node.judging.shelf import Offer, Shelf

PLACE = "prizes"
"""Which roots pay model nodes."""


class Desk:
    """Takes a signature only from a watcher of the roots, over a root that waits."""

    def __init__(self, ledger: Ledger, shelf: Shelf) -> None:
        self._ledger, self.shelf = ledger, shelf
        self._lock = threading.Lock()

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
            if not is_watcher(self._ledger, PLACE, watcher):
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
        if offer is None or offer.epoch < self._ledger.prizes.state().next_epoch:
            return None
        return offer if offer.parent == tip(self._ledger) else None


def tip(ledger: Ledger) -> bytes:
    """The hash of the last root's header."""
    return header_at(ledger, PLACE, ledger.prizes.state().tip)


def digest(ledger: Ledger, draft: Draft, parent: bytes) -> bytes:
    """What a watcher signs for a root on top of another, given by the hash of its header."""
    told = Attestation(draft.epoch, draft.root, draft.count, draft.data)
    return told.digest(ledger, PLACE, parent)
