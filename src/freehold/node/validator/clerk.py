"""Commits to a row of weights in one epoch, reveals it in the next, and puts down the stakes of
those who do neither.

**A row is on the disk before its commitment is sent, and there is one row an epoch.** So whenever
the process dies, the next start commits to the same row or reveals it: nothing that could be mined
is unknown. What was mined is asked of the chain, not remembered. A commitment that was mined too
late, in the next epoch, binds the wrong epoch and cannot be opened; another one takes its place.

Whose uid was given to another node meanwhile commits and reveals nothing for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from freehold.domain.errors import (
    FreeholdError,
    InsufficientFundsError,
    NotFoundError,
    RefusedError,
)
from freehold.domain.ids import keccak, raw_address
from freehold.ledger.contracts.subnet import GRAIN, Seat
from freehold.markets.models.weights import weights
from freehold.node.logs import fields
from freehold.node.validator.book import Shelf
from freehold.node.validator.epochs import Epochs
from freehold.node.validator.examiner import Place
from freehold.node.validator.field import Member, look, records, stakes
from freehold.node.validator.metrics import Metrics
from freehold.node.validator.ports import Chain
from freehold.node.validator.vault import Sealed, Vault, packed

NOTHING = bytes(32)
_log = logging.getLogger(__name__)


class Clerk:
    """One step looks at the clock and does what is due; ``random`` gives bytes for salts."""

    def __init__(
        self,
        chain: Chain,
        place: Place,
        *,
        epochs: Epochs,
        shelf: Shelf,
        vault: Vault,
        metrics: Metrics,
        random: Callable[[int], bytes],
    ) -> None:
        self._chain, self._place, self._epochs = chain, place, epochs
        self._shelf, self._vault, self._metrics, self._random = shelf, vault, metrics, random
        self._recorded = self._said = -1
        self._turn = (-1, 0, 1)

    def step(self) -> None:
        """What the present moment asks for."""
        epoch = self._epochs.at(self._chain.now())
        failed: list[FreeholdError] = []
        for work in (self._reveal, self._commit, self._record):
            try:
                work(epoch)
            except FreeholdError as error:  # what cannot be revealed must not stop the next row
                failed.append(error)
        if failed:
            raise failed[0]

    def open_rows(self) -> dict[str, int]:
        """Epochs of rows that wait to be revealed, and the newest that was."""
        rows = self._vault.rows
        return {
            "committed": max((each.epoch for each in rows if each.sent), default=-1),
            "revealed": max((each.epoch for each in rows if each.done and each.sent), default=-1),
        }

    # --- committing ------------------------------------------------------------------------------

    def _commit(self, epoch: int) -> None:
        now, epochs = self._chain.now(), self._epochs
        scored = self._shelf.book.epoch == epoch
        if epochs.at(now) != epoch or not epochs.can_commit(now):
            return
        if not scored and not epochs.is_commit_time(now):
            return
        sealed = self._vault.of(epoch)
        if sealed is not None and (sealed.sent or sealed.done):
            return
        if sealed is None:
            sealed = self._sealed(epoch)
        if sealed is not None and not self._is_committed(sealed):
            self._send(sealed)
        if sealed is not None:
            self._vault.keep(replace(sealed, sent=True))

    def _sealed(self, epoch: int) -> Sealed | None:
        """This epoch's row, durably kept; None where there is nothing to say."""
        members = {member.key: member for member in look(self._chain, self._place.subnet)}
        marks = [mark for mark in self._shelf.book.marks if mark.key in members]
        row = packed(weights({mark.uid: mark.standing for mark in marks}))
        if not row:
            if self._said != epoch:
                self._said = epoch
                _log.warning("nothing to commit", extra=fields(epoch=epoch, reason="no scores"))
            return None
        seat = self._seat()
        if seat.node != self._place.node:
            raise NotFoundError(
                f"uid {self._place.uid} of {self._place.name} was given to another node",
                remedy="Stop, and register it again: `freehold validate` says the price.",
            )
        sealed = Sealed(epoch, self._place.uid, seat.generation, row, self._random(32))
        self._vault.keep(sealed)
        return sealed

    def _is_committed(self, sealed: Sealed) -> bool:
        found = self._chain.subnet.committed(self._place.subnet, sealed.uid, sealed.epoch)
        return found.hashed == self._bound(sealed)

    def _send(self, sealed: Sealed) -> None:
        self._chain.subnet.commit(self._place.subnet, sealed.uid, self._bound(sealed))
        self._metrics.rows.labels("committed").inc()
        _log.info("committed", extra=fields(epoch=sealed.epoch, nodes=len(sealed.row) // 4))

    def _bound(self, sealed: Sealed) -> bytes:
        return self._chain.subnet.commitment(
            self._place.subnet, sealed.uid, generation=sealed.generation, epoch=sealed.epoch,
            row=sealed.row, salt=sealed.salt,
        )  # fmt: skip

    def _seat(self) -> Seat:
        return self._chain.subnet.seat(self._place.subnet, self._place.uid)

    # --- revealing -------------------------------------------------------------------------------

    def _reveal(self, epoch: int) -> None:
        for sealed in self._vault.rows:
            if sealed.done or sealed.epoch >= epoch:
                continue
            if sealed.epoch < epoch - 1:
                self._miss(sealed)
            elif self._seat().generation != sealed.generation:
                self._drop(sealed, "the uid was given to another node")
            elif not self._is_committed(sealed):
                self._drop(sealed, "the commitment was not mined in its epoch")
            else:
                self._open(sealed, epoch)

    def _open(self, sealed: Sealed, epoch: int) -> None:
        subnet, uid = self._place.subnet, self._place.uid
        told = self._chain.subnet.records(subnet, epoch, uid)
        if not told or told[0].row == NOTHING:
            self._chain.subnet.reveal(subnet, uid, sealed.row, sealed.salt)
            self._metrics.rows.labels("revealed").inc()
            _log.info("revealed", extra=fields(epoch=sealed.epoch))
        self._vault.keep(replace(sealed, sent=True, done=True))

    def _miss(self, sealed: Sealed) -> None:
        """Too late: say what it costs, once."""
        if sealed.sent:
            self._metrics.rows.labels("missed").inc()
            _log.error(
                "a reveal was missed",
                extra=fields(
                    epoch=sealed.epoch,
                    cost="no dividends for the epoch after it: the stake counted as inactive, and "
                    "the bonds with the nodes fell behind",
                    remedy="Keep the validator running through the start of each epoch, with gas.",
                ),
            )
        self._vault.keep(replace(sealed, done=True))

    def _drop(self, sealed: Sealed, reason: str) -> None:
        _log.warning("a row is not revealed", extra=fields(epoch=sealed.epoch, reason=reason))
        self._vault.keep(replace(sealed, done=True))

    # --- recording -------------------------------------------------------------------------------

    def _record(self, epoch: int) -> None:
        """Put down stakes that nobody has: without it a validator that hides would change who holds
        a permit. The validators take turns, so that mostly one of them pays."""
        now = self._chain.now()
        if self._recorded == epoch or self._epochs.at(now) != epoch:
            return
        if not self._epochs.is_record_time(now):
            return
        if self._turn[0] != epoch:
            self._turn = (epoch, *self._turns(epoch))
        if not self._epochs.turn(now, self._turn[1], self._turn[2]):
            return
        members, present = self._present(epoch)
        for member in self._absent(epoch, members, present):
            self._put_down(epoch, member)
        self._recorded = epoch

    def _turns(self, epoch: int) -> tuple[int, int]:
        """This validator's place among those who have a record, and how many turns there are."""
        members, present = self._present(epoch)
        there = [member for member in members if member.uid in present]
        uids = [each.uid for each in sorted(there, key=lambda each: _draw(epoch, each))]
        mine = uids.index(self._place.uid) if self._place.uid in uids else len(uids)
        return mine, len(uids) + 1

    def _present(self, epoch: int) -> tuple[Sequence[Member], set[int]]:
        members = look(self._chain, self._place.subnet)
        told = records(self._chain, self._place.subnet, epoch, nodes=len(members))
        # A seat that was given out between the two questions has no record.
        return members, {uid for uid, record in enumerate(told) if record.stake}

    def _absent(self, epoch: int, members: Sequence[Member], present: set[int]) -> list[Member]:
        """Who was there in the epoch before, and this validator, without a record in this one: the
        most by stake, as many as may hold a permit."""
        there = {self._place.uid}
        if epoch:
            told = records(self._chain, self._place.subnet, epoch - 1, nodes=len(members))
            there |= {uid for uid, record in enumerate(told) if record.stake}
        found = [m for m in members if m.uid in there - present and m.validates]
        grains = [units // GRAIN for units in stakes(self._chain, [m.seat.node for m in found])]
        ranked = sorted(zip(found, grains, strict=True), key=lambda each: -each[1])
        most = self._chain.subnet.rules_at(self._place.subnet, epoch).max_validators
        return [member for member, units in ranked[:most] if units]

    def _put_down(self, epoch: int, member: Member) -> None:
        try:
            self._chain.subnet.record(self._place.subnet, member.uid)
        except InsufficientFundsError:
            raise
        except RefusedError as error:
            # Another was faster, or the validator left on the way.
            _log.debug("record", extra=fields(uid=member.uid, refused=error.message))
            return
        self._metrics.recorded.inc()
        _log.info("recorded", extra=fields(epoch=epoch, uid=member.uid))


def _draw(epoch: int, member: Member) -> bytes:
    """An order that all validators draw alike."""
    return keccak(epoch.to_bytes(8, "big") + raw_address(member.seat.node))
