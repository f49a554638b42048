"""Answers what the chain asks about the pieces held: rounds in order, and spot challenges."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from freehold.domain.errors import FreeholdError, IntegrityError, NotFoundError
from freehold.domain.ids import Address
from freehold.ledger.contracts.pdp import Spot
from freehold.ledger.values import Event
from freehold.markets.storage import proof
from freehold.node.logs import fields
from freehold.node.metrics import Metrics
from freehold.node.ports import Chain
from freehold.node.store import Held, Store

ROUNDS_A_STEP = 32
ROLLS_A_STEP = 8
ROLL = 50
LOOK_AGAIN = 30
_log = logging.getLogger(__name__)


class Prover(Protocol):
    """Makes the proof of one leaf of a held piece."""

    def prove(self, cid: str, leaf: int) -> bytes:
        """The leaf and its siblings, packed."""


class Answerer:
    """Keeps one node's proof set answered.

    ``rotten`` is told the piece whose bytes cannot answer. Everything is decided from the
    chain's present state, so a step that was cut short, or undone by a reorganisation, is
    simply done again.
    """

    def __init__(
        self,
        chain: Chain,
        node: Address,
        *,
        store: Store,
        prover: Prover,
        metrics: Metrics,
        rotten: Callable[[str, str], None],
    ) -> None:
        self._chain = chain
        self._node = node
        self._store = store
        self._prover = prover
        self._metrics = metrics
        self._rotten = rotten
        self._answered = -1
        self._quiet = 0

    def step(self) -> None:
        """Answer every round that is open or owed, oldest first; a bounded number at once.

        While no round is new the chain is asked one question; now and then it is asked all
        of them, in case a reorganisation undid an answer.
        """
        rounds = self._chain.beacon.round_count()
        self._quiet = self._quiet + 1 if rounds == self._answered else 0
        if self._quiet % LOOK_AGAIN:
            return
        set_id = self._chain.faults.set_of(self._node)
        if not set_id or self._chain.pdp.set(set_id).closed:
            return
        self._answered = -1
        if self._answer_all(set_id, rounds):
            self._answered, self._quiet = rounds, 1
        self._metrics.misses.set(self._chain.pdp.missed(set_id))

    def _answer_all(self, set_id: int, rounds: int) -> bool:
        for _ in range(ROUNDS_A_STEP):
            self._roll(set_id)
            index = self._chain.pdp.next_round(set_id)
            if index >= rounds:
                return True
            self._answer(set_id, index)
        return False

    def _roll(self, set_id: int) -> None:
        for _ in range(ROLLS_A_STEP):
            _, due = self._chain.pdp.waiting(set_id)
            if not due:
                return
            self._chain.pdp.roll(set_id, ROLL)

    def _answer(self, set_id: int, index: int) -> None:
        spots = self._chain.pdp.challenged(set_id, index)
        try:
            answer = b"".join(self._proof(set_id, spot) for spot in spots)
        except FreeholdError as error:
            self._metrics.unprovable.inc()
            _log.error(
                "a round cannot be answered",
                extra=fields(round=index, reason=error.message, remedy=error.remedy),
            )
            raise
        receipt = self._chain.pdp.prove(set_id, index, answer)
        late = not receipt.one("Proven").args["in_time"]
        self._metrics.proofs.labels("late" if late else "in_time").inc()
        _log.info(
            "proved",
            extra=fields(round=index, late=late, gas=receipt.gas_used, transaction=receipt.hash),
        )

    def _proof(self, set_id: int, spot: Spot) -> bytes:
        piece = self._chain.pdp.piece(set_id, spot.piece_id)
        held = self._store.find_root(piece.root, piece.height)
        if held is None:
            raise NotFoundError(
                f"piece {spot.piece_id} with root 0x{piece.root.hex()} is not on this disk",
                remedy="Restore the node's folder from a backup, or leave the network.",
            )
        return self._checked(held, spot.offset)

    def _checked(self, held: Held, leaf: int) -> bytes:
        try:
            answer = self._prover.prove(held.cid, leaf)
            if not proof.verify(held.root, held.height, leaf, answer):
                raise IntegrityError(
                    f"the proof of leaf {leaf} of {held.cid} does not verify",
                    remedy="The piece or its tree is damaged; restore it from a backup.",
                )
        except IntegrityError as error:
            self._rotten(held.cid, error.message)
            raise
        return answer

    def answer_spot(self, challenge: Event, cid: str) -> None:
        """Answer one spot challenge about a held piece."""
        held = self._store.find(cid)
        number = challenge.number("id")
        answer = self._checked(held, challenge.number("leaf"))
        self._chain.faults.answer_spot(number, answer)
        self._metrics.spots.inc()
        _log.info("answered a spot challenge", extra=fields(challenge=number, cid=cid))
