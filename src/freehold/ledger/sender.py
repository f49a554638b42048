"""Sending transactions: nonces that survive restarts and rivals, fees that rise when stuck."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from freehold.domain.clock import Clock
from freehold.domain.errors import (
    CapacityError,
    InsufficientFundsError,
    RefusedError,
    UnavailableError,
)
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.money import UNIT, show
from freehold.ledger import abi, transaction
from freehold.ledger.book import DROPPED, LIVE, MINED, REFUSED, Book, Draft, Row
from freehold.ledger.rpc import RawReceipt, Rpc
from freehold.ledger.wire import Json, RpcRefusal

_KNOWN = ("already known", "already imported", "known transaction", "already exists")
_SPENT = ("nonce too low", "already been used", "nonce is too low", "old nonce")
_CHEAP = ("underpriced", "fee too low", "less than block base fee", "fee cap less than")
_POOR = ("insufficient funds", "not enough funds", "out of fund")

DEFAULT_TIP = 10**9
_TIP_AGE = 60.0
_TRIES = 8
_FILLER_GAS = 21_000
_TOLD = UNIT // 10**6
"""Wei that a lack of coins is rounded up to where people are told to send some."""
_PRUNED_EACH = 64
"""Nonces from one pruning of the book to the next."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a sender waits, in seconds: between polls; while the nonce is spent and no receipt
    is there, before it takes the nonce for lost; before it bumps fees; at most."""

    poll_first: float = 0.02
    poll_last: float = 1.0
    lost: float = 2.0
    bump: float = 30.0
    give_up: float = 600.0


def how_to_get_coins(account: Address, lacking: int | None = None) -> str:
    """A remedy for an account without coins for gas; ``lacking`` in wei, told rounded up."""
    amount = "AMOUNT"
    if lacking is not None:
        amount = show(-(-lacking // _TOLD) * _TOLD).replace(",", "")
    return (
        "Send it coins of the chain from an account that has some: "
        f"`freehold wallet send {account} {amount} --coins`."
    )


class Sender:
    """Sends transactions of one key; threads and processes may share the key and the book.

    ``send`` returns the receipt of a mined, successful transaction. It raises RefusedError with
    the contract's reason (before anything is spent where an estimate tells), or
    InsufficientFundsError, or UnavailableError when the fate stays open: the transaction is in
    the book then, is handed in again by ``recover``, and a retry with the same ``tag`` waits
    for it instead of sending another.
    """

    def __init__(
        self,
        rpc: Rpc,
        key: Key,
        book: Book,
        clock: Clock,
        *,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.key = key
        self._rpc = rpc
        self._book = book
        self._clock = clock
        self._patience = patience or Patience()
        self._sleep = sleep
        self._monotonic = monotonic
        self._tip = (float("-inf"), 0)

    def close(self) -> None:
        """Close the book."""
        self._book.close()

    def send(
        self,
        target: Address,
        data: bytes,
        *,
        value: int = 0,
        tag: str | None = None,
        least_gas: int = 0,
        most_gas: int = transaction.GAS_LIMIT,
    ) -> RawReceipt:
        """Send calldata (or init code, to ``transaction.CREATION``) and wait for its block.

        CapacityError, with nothing spent, when it needs more than ``most_gas``.
        """
        earlier = None if tag is None else self._earlier(tag)
        if earlier is not None:
            return earlier
        estimate = self._estimate(target, data, value, most_gas)
        gas = max(estimate, min(least_gas, most_gas))
        for _ in range(_TRIES):
            draft = self._price(Draft(target, data, value, gas, 0, 0))
            row = self._reserve(draft, tag)
            self._hand_in(row)
            receipt = self._wait(row)
            if receipt is not None:
                return receipt
        raise UnavailableError(
            f"account {self.key.address} lost {_TRIES} races for a nonce",
            remedy="Stop the other program that sends from this account with another state folder.",
        )

    def recover(self) -> int:
        """Settle or hand in again every transaction whose fate is open; how many still are."""
        rows = self._book.live()
        if not rows:
            return 0
        for row in rows:
            self._settle_or_hand_in(row)
        return len(self._book.live())

    def next_nonce(self) -> int:
        """The nonce of the next transaction, unless another program takes it meanwhile."""
        return self._first_free()

    # --- one attempt ---------------------------------------------------------------------------

    def _earlier(self, tag: str) -> RawReceipt | None:
        for row in self._book.tagged(tag):
            if row.state == REFUSED:
                continue
            receipt = self._rpc.receipt(row.hash)
            if receipt is not None and receipt.status:
                self._book.settle(row, MINED)
                return receipt
            if receipt is None and row.state != DROPPED:
                self._book.mark(row, LIVE)
                self._hand_in_again(row)
                waited = self._wait(row)
                if waited is not None:
                    return waited
        return None

    def _reserve(self, draft: Draft, tag: str | None) -> Row:
        row, undone = self._book.reserve(
            draft, first_free=self._first_free, sign=self._sign, tag=tag, at=self._clock.now()
        )
        if row.nonce % _PRUNED_EACH == 0:
            self._book.prune(now=self._clock.now())
        for each in undone:
            self._settle_or_hand_in(each)
        return row

    def _settle_or_hand_in(self, row: Row) -> None:
        receipt = self._rpc.receipt(row.hash)
        if receipt is not None:
            self._book.settle(row, MINED if receipt.status else REFUSED)
        else:
            self._hand_in_again(row)

    def _estimate(self, target: Address, data: bytes, value: int, most: int) -> int:
        request: dict[str, Json] = {
            "from": self.key.address,
            "data": "0x" + data.hex(),
            "value": hex(value),
        }
        if target != transaction.CREATION:
            request["to"] = target
        try:
            needed = self._rpc.estimate(request)
        except RpcRefusal as error:
            raise self._refusal(error, spent="nothing was spent") from error
        if needed > most:
            whose = "a block's" if most == transaction.GAS_LIMIT else "its sender allows,"
            raise CapacityError(
                f"the transaction needs {needed} gas, more than {whose} {most}",
                remedy="Send it in smaller parts.",
            )
        return min(needed * 5 // 4 + 5_000, most)

    def _price(self, draft: Draft) -> Draft:
        base, held = self._rpc.purse(self.key.address)
        tip = self._suggested_tip()
        priced = replace(draft, fee=2 * base + tip, tip=tip)
        self._afford(priced, held)
        return priced

    def _afford(self, draft: Draft, held: int) -> None:
        needed = draft.gas * draft.fee + draft.value
        if held < needed:
            raise InsufficientFundsError(
                f"account {self.key.address} has {show(held, places=18)} coins; "
                f"{show(needed, places=18)} are needed for gas and value",
                remedy=how_to_get_coins(self.key.address, needed - held),
            )

    def _suggested_tip(self) -> int:
        asked, tip = self._tip
        if self._monotonic() - asked > _TIP_AGE:
            try:
                tip = self._rpc.tip()
            except RpcRefusal:
                tip = DEFAULT_TIP  # not every chain suggests one; EIP-1559 does not ask it to
            self._tip = (self._monotonic(), tip)
        return tip

    def _first_free(self) -> int:
        return self._rpc.nonce(self.key.address, pending=True)

    def _sign(self, draft: Draft, nonce: int) -> tuple[str, bytes]:
        return transaction.sign(draft, chain_id=self._rpc.chain_id, nonce=nonce, key=self.key)

    def _hand_in(self, row: Row) -> None:
        """Send a row's bytes; RefusedError when the chain will never take them.

        A nonce that is spent is left to ``_wait``: another RPC may only be ahead of this one.
        """
        try:
            self._rpc.send_raw(row.raw)
        except RpcRefusal as error:
            text = error.message.lower()
            if any(sign in text for sign in _KNOWN + _CHEAP + _SPENT):
                return
            self._book.mark(row, DROPPED)
            raise self._refusal(error, spent="nothing was spent") from error

    def _hand_in_again(self, row: Row) -> None:
        with suppress(RefusedError):  # the row is dropped then
            self._hand_in(row)

    # --- waiting -------------------------------------------------------------------------------

    def _wait(self, row: Row) -> RawReceipt | None:
        """The receipt of ``row`` or of a bumped copy; None when another took its nonce."""
        begun = bumped = self._monotonic()
        lost_at: float | None = None
        pause = self._patience.poll_first
        while self._monotonic() - begun < self._patience.give_up:
            outcome = self._outcome(row)
            if outcome is not None:
                return self._accept(*outcome)
            if self._rpc.nonce(self.key.address) <= row.nonce:
                lost_at = None
            elif lost_at is None:
                lost_at = self._monotonic()
            elif self._monotonic() - lost_at > self._patience.lost:
                for rival in self._book.rivals(row.nonce):
                    self._book.mark(rival, DROPPED)
                return None
            if lost_at is None and self._monotonic() - bumped > self._patience.bump:
                bumped = self._monotonic()
                self._nudge(row)
            self._sleep(pause)
            pause = min(pause * 1.5, self._patience.poll_last)
        raise UnavailableError(
            f"transaction {row.hash} was not mined within {self._patience.give_up:.0f} seconds",
            remedy="It stays in the nonce book and is handed in again at the next start; "
            "check that the chain makes blocks.",
        )

    def _outcome(self, row: Row) -> tuple[Row, RawReceipt] | None:
        candidates = {rival.hash: rival for rival in (row, *self._book.rivals(row.nonce))}
        for rival in candidates.values():
            receipt = self._rpc.receipt(rival.hash)
            if receipt is not None:
                return rival, receipt
        return None

    def _accept(self, row: Row, receipt: RawReceipt) -> RawReceipt | None:
        self._book.settle(row, MINED if receipt.status else REFUSED)
        if receipt.status:
            return receipt
        raise RefusedError(
            f"transaction {row.hash} was refused: {self._reason(row)}",
            remedy="The state changed since the estimate; gas was spent. Check it and try again.",
        )

    def _reason(self, row: Row) -> str:
        try:
            self._rpc.call(row.draft.target, row.draft.data, sender=self.key.address)
        except RpcRefusal as error:
            return abi.reason(error.data) or error.message
        return "it ran out of gas, or the reason has passed"

    def _nudge(self, row: Row) -> None:
        """Get a stuck transaction moving: fill a gap of nonces before it, or raise its fee."""
        if not self._fill_gap(row):
            self._bump(row)

    def _fill_gap(self, row: Row) -> bool:
        """A rejected transaction leaves a gap that holds up the later ones: fill it with a
        transfer of nothing to oneself."""
        free = self._rpc.nonce(self.key.address, pending=True)
        if free >= row.nonce or self._book.rivals(free):
            return False
        filler = self._price(Draft(self.key.address, b"", 0, _FILLER_GAS, 0, 0))
        self._hand_in_again(self._reserve(filler, None))
        return True

    def _bump(self, row: Row) -> None:
        newest = self._book.rivals(row.nonce)
        last = newest[0].draft if newest else row.draft
        base, held = self._rpc.purse(self.key.address)
        tip = max(last.tip * 5 // 4 + 1, self._suggested_tip())
        fee = max(last.fee * 5 // 4 + 1, 2 * base + tip)
        draft = replace(last, fee=fee, tip=tip)
        self._afford(draft, held)
        copy = self._book.replace(row, draft, sign=self._sign, at=self._clock.now())
        self._hand_in_again(copy)

    def _refusal(self, error: RpcRefusal, *, spent: str) -> RefusedError:
        text = abi.reason(error.data)
        if not text and any(sign in error.message.lower() for sign in _POOR):
            return InsufficientFundsError(
                f"account {self.key.address} cannot pay for the transaction: {error.message}",
                remedy=how_to_get_coins(self.key.address),
            )
        return RefusedError(
            text or error.message,
            remedy=f"The reason says what the contract needs; {spent}.",
        )
