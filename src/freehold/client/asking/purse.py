"""Paying for requests: one voucher rail a payee, an amount that only grows.

An amount is never signed before the file holds one at least as large, synced: the file is written
some requests ahead, so that one sync serves many of them. What is signed for a request that was
refused serves the next one. A request whose outcome is not known may have been charged: what a
node says is due is accepted up to that, or up to a signature of ours that it shows; a node that
wants more, or a higher price than it was listed with, gets nothing and others are asked.

After a crash the file knows what was settled at its last write and the most that can have been
signed since; a node that claims more than the first has to show our signature, or is believed up
to the second: ``AHEAD`` requests' price at most.

What is signed can be fetched, whether an answer came or not: so the cap bounds that, and many nodes
that take a voucher each and answer nothing get no more than it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from freehold.client.asking.candidate import Candidate
from freehold.client.asking.refusals import AttemptError, Kind, printable
from freehold.client.chain import Cheque
from freehold.client.peers import number, signature
from freehold.domain.errors import AccessError, FreeholdError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import Key, recover
from freehold.domain.money import show
from freehold.domain.network import Network
from freehold.domain.typed import VOUCHER
from freehold.telemetry.records import Cell, Form, Records

AHEAD = 64
"""Requests for which an amount is written before it is signed."""
COLLATERAL = 1_000
"""Requests that a rail's collateral is opened for, and raised by."""
NOT_YET = 5.0
"""Seconds until a node that does not know a rail yet looks again."""
_FORM = Form(
    version=1,
    schema=(
        "CREATE TABLE cheques (payee TEXT PRIMARY KEY, rail INTEGER NOT NULL, "
        "settled TEXT NOT NULL, ceiling TEXT NOT NULL) STRICT",
    ),
    full="Free space on the disk; nothing was signed.",
    busy="Check the disk; if another process uses this file, wait for it or give another one.",
    damaged="Put a copy back, or move it away: new rails are opened, the old ones can be closed.",
    shared=True,
    patience=10.0,
)


class Rails(Protocol):
    """The part of ``client.chain.Chain`` that voucher rails need."""

    @property
    def network(self) -> Network:
        """The network's descriptor."""

    def open_cheque(self, node: Address, collateral: int) -> int:
        """Open a voucher rail to a node's payout address; its id."""

    def add_collateral(self, rail: int, amount: int) -> None:
        """Raise a voucher's collateral by ``amount``."""

    def cheque(self, rail: int) -> Cheque:
        """A voucher rail as it stands."""


@dataclass(slots=True)
class _Account:
    """One payee, in base units: ``settled`` for answers that came, ``doubtful`` for requests whose
    outcome is unknown, ``flying`` for those under way; ``claimable`` what may have been signed
    before a crash, ``ceiling`` what the file allows to sign, ``covered`` what the rail can pay."""

    rail: int = 0
    signed: int = 0
    settled: int = 0
    doubtful: int = 0
    flying: int = 0
    claimable: int = 0
    ceiling: int = 0
    covered: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Hold:
    """What one request under way may cost, and the header that pays it."""

    candidate: Candidate
    account: _Account
    header: str
    amount: int


class Cheques(Records):
    """The file of what was signed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _FORM)

    def read(self, payee: Address) -> tuple[int, int, int] | None:
        """Rail, settled amount and ceiling."""
        found = self.rows("SELECT rail, settled, ceiling FROM cheques WHERE payee = ?", (payee,))
        return (_whole(found[0][0]), _whole(found[0][1]), _whole(found[0][2])) if found else None

    def save(self, payee: Address, rail: int, *, settled: int, ceiling: int) -> None:
        """Durable on return; the ceiling of a rail never falls below what was settled of it."""
        with self.write():
            known = self.read(payee)
            if known is not None and known[0] == rail:
                settled = max(settled, known[1])
            self.run(
                "REPLACE INTO cheques VALUES (?, ?, ?, ?)",
                (payee, rail, str(settled), str(max(settled, ceiling))),
            )


class Purse:
    """Pays nodes for requests; for one event loop. ``cap``: base units that it spends, and signs
    for, at most."""

    def __init__(self, rails: Rails, file: Cheques, key: Key, *, cap: int) -> None:
        self._rails, self._file, self._key = rails, file, key
        self._domain = rails.network.domain("payments")
        self._accounts: dict[Address, _Account] = {}
        self._odd: set[Address] = set()
        self._cap, self._spent, self._flying, self._given = cap, 0, 0, 0

    @property
    def spent(self) -> int:
        """Base units for answers that came, and for requests that may have been charged."""
        return self._spent

    async def hold(self, candidate: Candidate) -> Hold:
        """Set a request's price aside and sign for it; AttemptError when it cannot be paid."""
        price = candidate.price
        if candidate.token not in (ZERO_ADDRESS, self._rails.network.contracts.get("token")):
            raise AttemptError(Kind.DEAR, f"it wants to be paid in {candidate.token}")
        if candidate.node in self._odd:
            raise AttemptError(Kind.UNPAID, "the registry names another payee than its listing")
        if self._spent + self._flying + price > self._cap:
            raise self._used_up()
        account = self._accounts.setdefault(candidate.payee, _Account())
        account.flying += price
        self._flying += price
        hold = Hold(candidate, account, "", 0)
        try:
            await self._ready(hold)
            await self._sign(hold, max(account.signed, account.settled + account.flying))
        except BaseException as error:
            self.release(hold)
            if isinstance(error, AttemptError) or not isinstance(error, FreeholdError):
                raise
            raise AttemptError(Kind.DEAR, f"cannot pay: {error.message}"[:300]) from error
        return hold

    async def meet(self, hold: Hold, bill: Mapping[str, object]) -> None:
        """Sign what a node says is due, where that can be; AttemptError otherwise."""
        candidate, account = hold.candidate, hold.account
        due = self._read(bill, "due", candidate.node)
        if self._dearer(bill, candidate):
            raise AttemptError(Kind.DEAR, "it wants more for a request than it was listed with")
        if due <= hold.amount:
            reason = printable(bill.get("error", "no reason given"))
            raise AttemptError(Kind.BUSY, f"it does not take the voucher: {reason}", wait=NOT_YET)
        shown = self._shown(bill, account, candidate.node)
        bound = account.settled + account.doubtful + account.flying
        bound = max(bound, max(shown, account.claimable) + account.flying)
        if due > bound:
            raise AttemptError(Kind.UNPAID, f"it wants {show(due)} where {show(bound)} is due")
        lifted = max(account.settled, due - account.flying)
        account.doubtful = max(0, account.doubtful - (lifted - account.settled))
        account.settled = lifted
        account.signed = max(account.signed, shown)
        try:
            await self._sign(hold, max(due, account.signed))
        except AttemptError:
            raise
        except FreeholdError as error:
            raise AttemptError(Kind.DEAR, f"cannot pay: {error.message}"[:300]) from error

    def settle(self, hold: Hold) -> None:
        """The answer came."""
        self.release(hold)
        hold.account.settled += hold.candidate.price
        self._spent += hold.candidate.price

    def release(self, hold: Hold) -> None:
        """The node did not take the money: it serves the next request."""
        hold.account.flying -= hold.candidate.price
        self._flying -= hold.candidate.price

    def doubt(self, hold: Hold) -> None:
        """Nobody knows whether the node took it."""
        self.release(hold)
        hold.account.doubtful += hold.candidate.price
        self._spent += hold.candidate.price

    def close(self) -> None:
        """Write down exactly what was settled, and close the file."""
        for payee, account in self._accounts.items():
            known = self._file.read(payee)
            # Another process may have written further ahead, for amounts of its own.
            if known is not None and known[0] == account.rail:
                exact = account.signed if known[2] == account.ceiling else known[2]
                self._file.save(payee, account.rail, settled=account.settled, ceiling=exact)
        self._file.close()

    async def _ready(self, hold: Hold) -> None:
        account = hold.account
        if account.rail:
            return
        async with account.lock:
            if not account.rail:
                await asyncio.to_thread(self._open, hold.candidate, account)

    def _open(self, candidate: Candidate, account: _Account) -> None:
        known = self._file.read(candidate.payee)
        if known is not None and self._load(account, *known):
            return
        collateral = max(1, candidate.price * COLLATERAL)
        rail = self._rails.open_cheque(candidate.node, collateral)
        payee = self._rails.cheque(rail).payee
        self._file.save(payee, rail, settled=0, ceiling=0)
        if payee != candidate.payee:
            # Else vouchers for one payee would be signed on a rail that pays another.
            self._odd.add(candidate.node)
            raise AttemptError(
                Kind.UNPAID, f"it is listed with payee {candidate.payee}, not {payee}"
            )
        account.covered, account.rail = collateral, rail

    def _load(self, account: _Account, rail: int, settled: int, ceiling: int) -> bool:
        """Whether a rail of before can be used."""
        cheque = self._rails.cheque(rail)
        if cheque.closing:
            return False
        account.settled = account.signed = max(settled, cheque.redeemed)
        account.claimable, account.ceiling = ceiling, ceiling
        account.covered = cheque.collateral + cheque.redeemed
        account.rail = rail
        return True

    async def _sign(self, hold: Hold, amount: int) -> None:
        account = hold.account
        self._check_given(account, amount)
        if amount > account.ceiling or amount > account.covered:
            async with account.lock:
                await asyncio.to_thread(self._allow, hold.candidate, account, amount)
            self._check_given(account, amount)  # more may have been signed meanwhile
        self._given += max(0, amount - account.signed)
        account.signed = max(account.signed, amount)
        digest = VOUCHER.digest(self._domain, [account.rail, amount])
        hold.amount = amount
        hold.header = f"{account.rail}:{amount}:0x{self._key.sign(digest).hex()}"

    def _check_given(self, account: _Account, amount: int) -> None:
        if amount > account.signed and self._given + amount - account.signed > self._cap:
            raise self._used_up()

    def _used_up(self) -> AttemptError:
        return AttemptError(Kind.DEAR, f"the spending cap of {show(self._cap)} is used up")

    def _allow(self, candidate: Candidate, account: _Account, amount: int) -> None:
        if amount > account.covered:
            more = amount - account.covered + candidate.price * COLLATERAL
            self._rails.add_collateral(account.rail, more)
            account.covered += more
        if amount > account.ceiling:
            ceiling = amount + AHEAD * candidate.price
            self._file.save(candidate.payee, account.rail, settled=account.settled, ceiling=ceiling)
            account.ceiling = ceiling

    def _dearer(self, bill: Mapping[str, object], candidate: Candidate) -> bool:
        """Whether it names a higher price; a node's till counts requests as storage nodes bytes."""
        named = [name for name in ("price", "price_per_byte") if name in bill]
        return any(self._read(bill, name, candidate.node) > candidate.price for name in named)

    def _read(self, bill: Mapping[str, object], name: str, node: Address) -> int:
        try:
            return number(bill, name, who=node)
        except FreeholdError as error:
            raise AttemptError(Kind.GARBAGE, error.message) from error

    def _shown(self, bill: Mapping[str, object], account: _Account, node: Address) -> int:
        """The amount of a voucher of ours that the bill carries, 0 without one."""
        if "signed" not in bill or bill.get("rail") != account.rail:
            return 0
        amount = self._read(bill, "signed", node)
        digest = VOUCHER.digest(self._domain, [account.rail, amount])
        try:
            ours = recover(digest, signature(bill, who=node)) == self._key.address
        except (AccessError, FreeholdError):
            return 0
        return amount if ours else 0


def _whole(cell: Cell) -> int:
    if isinstance(cell, bool) or not isinstance(cell, int | str):
        raise TypeError("a number or decimal text")
    return int(cell)
