"""Money that puts under way count on, so that puts side by side do not count on the same.

A reservation is a row of the journal, which all processes of a wallet share. It is written before
the account is looked at, and each put leaves to all earlier ones what they reserved: of two that
cannot both be paid, the later one is refused before it sends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from freehold.client.chain import Chain, Funds
from freehold.client.journal import Cell, Journal
from freehold.client.quote import Quote
from freehold.domain.errors import InsufficientFundsError, RefusedError


@dataclass(frozen=True, slots=True)
class Reservation:
    """What the opening of one object will lock (base units), its scaled rate, what of the
    approval it uses up (base units), and its gas (wei)."""

    object_id: bytes
    locked: int
    rate: int
    escrow: int
    gas: int


class Reservations:
    """The reservations of one account; those of processes that died do not count."""

    def __init__(
        self, chain: Chain, journal: Journal, *, owner: int, alive: Callable[[int], bool]
    ) -> None:
        self._chain, self._journal = chain, journal
        self._owner, self._alive = owner, alive

    @contextmanager
    def holding(self, object_id: bytes, quote: Quote) -> Iterator[None]:
        """Set a quote's cost aside; InsufficientFundsError when the account cannot pay it besides
        what was set aside before. A block that fails gives it back, unless its opening may still
        be on its way; one that succeeds leaves that to who settles it."""
        self._save(object_id, quote)
        try:
            self._check(object_id, quote)
            yield
        except BaseException as error:
            if isinstance(error, RefusedError) or not self._opening(object_id):
                self.free(object_id)
            raise

    def free(self, object_id: bytes) -> None:
        """Give back what was set aside for an object."""
        self._journal.run("DELETE FROM reservations WHERE object_id = ?", (object_id,))

    def _opening(self, object_id: bytes) -> bool:
        found = self._journal.rows("SELECT state FROM intents WHERE object_id = ?", (object_id,))
        return found == [("opening",)]

    def _check(self, object_id: bytes, quote: Quote) -> None:
        earlier = self._before(object_id)
        try:
            _left(quote, self._chain.funds(), earlier).require_funds()
        except InsufficientFundsError:
            # An opening that was mined but is not heard of yet has taken its money already.
            waiting = [r for r in earlier if self._chain.find(r.object_id) is None]
            if len(waiting) == len(earlier):
                raise
            _left(quote, self._chain.funds(), waiting).require_funds()

    def _save(self, object_id: bytes, quote: Quote) -> None:
        self._journal.run(
            "INSERT OR REPLACE INTO reservations (object_id, owner, locked, rate, escrow, gas) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                object_id,
                self._owner,
                str(quote.lockup + quote.reserve),
                str(quote.rate),
                str(quote.reserve),
                str(quote.gas_fee),
            ),
        )

    def _before(self, object_id: bytes) -> list[Reservation]:
        rows = self._journal.rows(
            "SELECT object_id, locked, rate, escrow, gas, owner FROM reservations "
            "WHERE id < (SELECT id FROM reservations WHERE object_id = ?)",
            (object_id,),
        )
        return [_reservation(row) for row in rows if self._counts(row)]

    def _counts(self, row: tuple[Cell, ...]) -> bool:
        owner = row[5]
        if isinstance(owner, int) and self._alive(owner):
            return True
        self._journal.run("DELETE FROM reservations WHERE owner = ?", (owner,))
        return False


def _reservation(row: tuple[Cell, ...]) -> Reservation:
    object_id, locked, rate, escrow, gas = row[:5]
    if not isinstance(object_id, bytes):
        raise TypeError("a blob column")
    return Reservation(object_id, int(str(locked)), int(str(rate)), int(str(escrow)), int(str(gas)))


def _left(quote: Quote, funds: Funds, reserved: list[Reservation]) -> Quote:
    """The quote against what the reservations leave of ``funds``."""
    set_aside = sum(r.locked for r in reserved)
    return replace(
        quote,
        funds=replace(
            funds,
            available=max(0, funds.available - set_aside),
            rate_left=max(0, funds.rate_left - sum(r.rate for r in reserved)),
            lockup_left=max(0, funds.lockup_left - sum(r.escrow for r in reserved)),
            gas=max(0, funds.gas - sum(r.gas for r in reserved)),
            set_aside=set_aside,
        ),
    )
