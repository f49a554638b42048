"""Checks again, outside the contract, every proof that the chain took as good."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from freehold.domain.errors import IntegrityError
from freehold.ledger.abi import artifact
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event
from freehold.markets.storage import proof as merkle
from freehold.node.logs import fields
from freehold.node.watcher.metrics import Metrics

PAGE = 200
NODE = 32
_log = logging.getLogger(__name__)


class Checker:
    """Follows ``Proven`` and recomputes challenges and Merkle paths from the call's own bytes.

    A set whose tree has changed since (a removal was applied) can no longer be asked where a
    leaf stood; such proofs are counted as skipped here and left to ``freehold verify``, which
    replays the whole history.
    """

    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._after: Event | None = None
        self._challenges = ledger.pdp.challenges()

    def step(self) -> None:
        """Check the proofs since the last step."""
        for event in self._fresh():
            self._check(event)
            self._after = event

    def _fresh(self) -> Iterator[Event]:
        if self._after is None:
            self._after = self._ledger.index.last("pdp", "Proven")
            return
        while page := self._ledger.index.events("pdp", "Proven", after=self._after, limit=PAGE):
            yield from page

    def _check(self, event: Event) -> None:
        set_id, span = event.number("set_id"), event.number("span")
        if span == 0 or self._changed_since(event, set_id):
            self._metrics.proofs.labels("skipped").inc()
            return
        seed = self._ledger.beacon.round(event.number("round")).seed
        rest = self._given(event)
        for i in range(self._challenges):
            index = merkle.challenge_index(seed, set_id, i, span)
            spot = self._ledger.pdp.find(set_id, index)
            piece = self._ledger.pdp.piece(set_id, spot.piece_id)
            path, rest = rest[: NODE * (piece.height + 1)], rest[NODE * (piece.height + 1) :]
            if not merkle.verify(piece.root, piece.height, spot.offset, path):
                raise self._disproved(event, i)
        if rest:
            raise self._disproved(event, self._challenges)
        self._metrics.proofs.labels("sound").inc()

    def _changed_since(self, event: Event, set_id: int) -> bool:
        return bool(
            self._ledger.index.events(
                "pdp", "PieceRemoved", where={"set_id": set_id}, since=event.block, limit=1
            )
        )

    def _given(self, event: Event) -> bytes:
        """The proof in the call data of the event's transaction, sent to the verifier itself."""
        calldata = self._ledger.calldata(event.transaction)
        contract = artifact("pdp")
        given = contract.arguments("prove", calldata)
        if given is None or not isinstance(given[2], bytes):
            raise IntegrityError(
                f"transaction {event.transaction} reports a proof but is no call of pdp.prove",
                remedy="The proof came through another contract; `freehold verify` replays it.",
            )
        return given[2]

    def _disproved(self, event: Event, number: int) -> IntegrityError:
        self._metrics.proofs.labels("disproved").inc()
        _log.critical(
            "a proof that the chain took does not verify",
            extra=fields(
                set_id=event.number("set_id"),
                round=event.number("round"),
                challenge=number,
                transaction=event.transaction,
            ),
        )
        return IntegrityError(
            f"challenge {number} of round {event.number('round')} of set "
            f"{event.number('set_id')} does not verify, though the chain took it",
            remedy="Distrust this RPC, and run `freehold verify` against another one.",
        )
