"""Who pays for bytes that leave: an allowance for the deal's client and for watchers, a
cumulative signed voucher for everybody else.

What a request costs is recorded before its bytes are sent, and bytes that were not taken are
given back; so neither a crash nor many requests at once can be used to read for nothing.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass

from freehold.domain.clock import Clock
from freehold.domain.errors import (
    AccessError,
    CapacityError,
    InsufficientFundsError,
    RefusedError,
    UsageError,
)
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import recover
from freehold.domain.money import UNIT
from freehold.domain.network import Network
from freehold.domain.typed import VOUCHER
from freehold.ledger.contracts.payments import Rail
from freehold.node.database import Database, blob, integer, text
from freehold.node.delegates import Delegates
from freehold.node.ports import Chain
from freehold.node.refusals import PaymentRequiredError
from freehold.node.settings import DAY, Settings
from freehold.node.standing import REMEMBERED, Recent, Standing
from freehold.node.store import Held

_HEADER = re.compile(
    r"(?P<rail>\d{1,18}):(?P<amount>\d{1,78}):(?P<signature>0x(?:[0-9a-fA-F]{2}){65,520})"
)
_EVERY_PIECE = "*"
PAY = "Open a voucher rail to the payee and sign at least the amount that is due."
RAIL_SECONDS = 10
PREPAID = 64 * 2**20
"""Bytes that a contract wallet pays for at a time, at least: each payment costs a transaction."""
REDEEM_GAS = 500_000
"""Gas that redeeming a contract wallet's voucher may take: 300,000 are its own code's."""
USUAL_GAS = 143_345
"""Gas of redeeming a rail's first voucher (docs/reference/gas.md)."""
GAS_WORTH = 2
"""How often such a payment must be worth the price of ``REDEEM_GAS``, at the least."""
SHUNNED = 3600
"""Seconds for which a wallet pays nothing here after a redemption that it made fail."""


@dataclass(frozen=True, slots=True)
class Voucher:
    """A cumulative cheque: ``amount`` base units of rail ``rail`` since it was opened."""

    rail: int
    amount: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class Ticket:
    """A right to read ``length`` bytes, charged to an allowance or to a rail (0: none)."""

    account: Address
    cid: str
    length: int
    day: int = 0
    rail: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """A voucher that is worth more than what was redeemed of it."""

    voucher: Voucher
    redeemed: int


def parse_voucher(header: str) -> Voucher:
    """Parse ``rail:amount:signature``; UsageError when it is something else."""
    match = _HEADER.fullmatch(header.strip())
    if match is None:
        raise UsageError(
            "the Freehold-Voucher header is malformed",
            remedy="Send rail:amount:signature, numbers in decimal, 65 bytes in hex.",
        )
    return Voucher(int(match["rail"]), int(match["amount"]), bytes.fromhex(match["signature"][2:]))


class Till:
    """Admits reads of pieces and keeps the highest voucher of every rail."""

    def __init__(
        self,
        network: Network,
        node: Address,
        *,
        chain: Chain,
        database: Database,
        standing: Standing,
        delegates: Delegates,
        settings: Settings,
        clock: Clock,
        prepaid: int = PREPAID,
    ) -> None:
        """``prepaid`` units are what a contract wallet pays for at a time, at least."""
        self._prepaid = prepaid
        self._domain = network.domain("payments")
        self._chain = chain
        self._database = database
        self._standing = standing
        self._delegates = delegates
        self._redeeming = threading.Lock()
        self._settings = settings
        self._clock = clock
        self._rails = Recent(chain.payments.rail, seconds=RAIL_SECONDS, clock=clock)
        self._gas_prices: Recent[None, int] = Recent(
            lambda _: chain.gas_price(), seconds=RAIL_SECONDS, clock=clock
        )
        self._failed: OrderedDict[Address, int] = OrderedDict()
        self._payees: Recent[None, Address] = Recent(
            lambda _: chain.registry.node(node).payout, seconds=60, clock=clock
        )

    def admit(self, account: Address, held: Held, *, length: int, voucher: str | None) -> Ticket:
        """A ticket for ``length`` bytes of a piece; PaymentRequiredError says what is due."""
        free = Ticket(account, held.cid, length)
        if not self._settings.retrieval_price:
            return free
        if self._is_client(account, held.cid):
            limit = self._settings.allowance * held.size
            ticket = self._from_allowance(account, held.cid, length=length, limit=limit)
            if ticket is not None:
                return ticket
        elif voucher is None and self._standing.is_watcher(account):
            limit = self._settings.watcher_allowance
            ticket = self._from_allowance(account, _EVERY_PIECE, length=length, limit=limit)
            if ticket is not None:
                return ticket
        if voucher is None:
            raise self._due("these bytes have a price", length * self._settings.retrieval_price)
        return self._charge(account, held, length, parse_voucher(voucher))

    def _is_client(self, account: Address, cid: str) -> bool:
        return bool(
            self._database.number(
                "SELECT (SELECT count(*) FROM columns WHERE cid = ?1 AND client = ?2) + "
                "(SELECT count(*) FROM claims WHERE cid = ?1 AND account = ?2)",
                (cid, account),
            )
        )

    def _from_allowance(
        self, account: Address, cid: str, *, length: int, limit: int
    ) -> Ticket | None:
        day = self._clock.now() // DAY
        with self._database.write():
            changed = self._database.run(
                "INSERT INTO allowances SELECT ?1, ?2, ?3, ?4 WHERE ?4 <= ?5 "
                "ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes "
                "WHERE bytes + excluded.bytes <= ?5",
                (account, cid, day, length, limit),
            )
        return Ticket(account, cid, length, day=day) if changed else None

    def _charge(self, account: Address, held: Held, length: int, voucher: Voucher) -> Ticket:
        rail = self._check_rail(account, voucher)
        cost, least = length * self._settings.retrieval_price, 0
        if not self._key_signed(rail, voucher):
            least = self._least()
            voucher = self._redeem_now(account, voucher, cost=cost, least=least)
        with self._database.write():
            row = self._database.row(
                "SELECT amount, spent, redeemed, signature FROM vouchers WHERE rail = ?",
                (voucher.rail,),
            )
            amount, spent, redeemed, signature = row or ("0", str(rail.paid), str(rail.paid), b"")
            best = max(voucher, Voucher(voucher.rail, integer(amount), blob(signature)), key=_worth)
            if integer(spent) + cost > best.amount:
                raise self._unpaid(best, integer(spent) + cost, least)
            if least:
                redeemed = str(max(integer(redeemed), voucher.amount))
            self._database.run(
                "REPLACE INTO vouchers VALUES (?, ?, ?, ?, ?, ?)",
                (
                    voucher.rail,
                    account,
                    str(best.amount),
                    str(integer(spent) + cost),
                    text(redeemed),
                    best.signature,
                ),
            )
        return Ticket(account, held.cid, length, rail=voucher.rail)

    def _check_rail(self, account: Address, voucher: Voucher) -> Rail:
        rail = self._rails.get(voucher.rail)
        payee = self._payees.get(None)
        problem = ""
        if rail.payer != account:
            problem = f"it is paid by {rail.payer}, not by {account}"
        elif rail.payee != payee:
            problem = f"it pays {rail.payee}, not this node's {payee}"
        elif rail.market != ZERO_ADDRESS or rail.token != self._chain.token.address:
            problem = "it is not a voucher rail of the network's token"
        elif rail.end_at:
            problem = "it is being closed"
        elif voucher.amount > rail.fixed + rail.paid:
            problem = f"its collateral covers {rail.fixed + rail.paid}, not {voucher.amount}"
        if problem:
            raise self._due(f"rail {voucher.rail} cannot pay: {problem}", 0)
        return rail

    def _key_signed(self, rail: Rail, voucher: Voucher) -> bool:
        """Whether the payer's key signed; False where its code says so, which it may take back."""
        digest = VOUCHER.digest(self._domain, [voucher.rail, voucher.amount])
        try:
            if recover(digest, voucher.signature) == rail.payer:
                return True
        except AccessError:
            pass  # several owners' signatures, or those of another scheme: the wallet knows
        if self._delegates.wallet_signed(rail.payer, digest, voucher.signature):
            return False
        raise self._due(f"the voucher was not signed by {rail.payer}", 0, rail=voucher.rail)

    def _least(self) -> int:
        """Base units that a contract wallet must pay at once, at the present price of gas."""
        least = GAS_WORTH * self._worth_of(REDEEM_GAS)
        return max(self._prepaid * self._settings.retrieval_price, least)

    def pays_its_gas(self, amount: int) -> bool:
        """Whether redeeming brings more base units than its gas is worth at the present price."""
        return amount > self._worth_of(USUAL_GAS)

    def _worth_of(self, gas: int) -> int:
        return gas * self._gas_prices.get(None) * self._settings.coin // UNIT

    def _redeem_now(self, account: Address, voucher: Voucher, *, cost: int, least: int) -> Voucher:
        """What a contract wallet's voucher is worth: what the chain has paid of it.

        It is redeemed where that brings ``least``, whatever collateral is left, and pays for
        this read; PaymentRequiredError where that takes more gas than ``REDEEM_GAS`` or fails.
        """
        with self._redeeming:
            rail = self._chain.payments.rail(voucher.rail)
            new = min(voucher.amount - rail.paid, rail.fixed)
            if new >= least and voucher.amount >= self._open_row(account, voucher, rail) + cost:
                self._check_failed(account)
                self._redeem(account, voucher)
                rail = self._chain.payments.rail(voucher.rail)
        return Voucher(voucher.rail, rail.paid, voucher.signature)

    def _open_row(self, account: Address, voucher: Voucher, rail: Rail) -> int:
        """What was spent of a rail, noted before more is paid: a crash must not lose that."""
        paid = str(rail.paid)
        with self._database.write():
            self._database.run(
                "INSERT OR IGNORE INTO vouchers VALUES (?, ?, ?, ?, ?, ?)",
                (voucher.rail, account, paid, paid, paid, b""),
            )
            row = self._database.row("SELECT spent FROM vouchers WHERE rail = ?", (voucher.rail,))
        return integer(row[0]) if row else rail.paid

    def _redeem(self, account: Address, voucher: Voucher) -> None:
        try:
            self._chain.payments.redeem(
                voucher.rail, voucher.amount, voucher.signature, most_gas=REDEEM_GAS
            )
        except InsufficientFundsError:
            raise  # this node's coins ran out: not the wallet's doing
        except (CapacityError, RefusedError) as error:
            self._failed[account] = self._clock.now()
            self._failed.move_to_end(account)
            while len(self._failed) > REMEMBERED:
                self._failed.popitem(last=False)
            raise self._failure(account, error.message) from error

    def _check_failed(self, account: Address) -> None:
        at = self._failed.get(account)
        if at is not None and self._clock.now() - at < SHUNNED:
            raise self._failure(account, "it failed a short time ago")

    def _failure(self, account: Address, reason: str) -> PaymentRequiredError:
        return self._due(
            f"the voucher of {account} could not be redeemed: {reason}",
            0,
            remedy=f"Pay with a rail of an account that signs with its own key, or wait {SHUNNED} "
            f"seconds; a wallet's code must agree twice to a voucher, for {REDEEM_GAS} gas in all.",
        )

    def _unpaid(self, best: Voucher, needed: int, least: int) -> PaymentRequiredError:
        message = f"rail {best.rail} has paid for what was read before"
        if not least:
            refusal = self._due(message, needed, rail=best.rail)
            if best.signature:
                # Whoever lost count of what he signed sees his own signature.
                refusal.terms["signed"] = str(best.amount)
                refusal.terms["signature"] = "0x" + best.signature.hex()
            return refusal
        # A quarter more than is asked now: the price of gas may rise before the answer comes.
        return self._due(
            f"{message}, and a contract wallet pays at least {least} at once, for the gas",
            max(needed, best.amount + least * 5 // 4),
            rail=best.rail,
            remedy="Sign at least the amount that is due; add collateral where it covers less.",
        )

    def _due(
        self, message: str, due: int, *, rail: int = 0, remedy: str = PAY
    ) -> PaymentRequiredError:
        terms: dict[str, str | int] = {
            "due": str(due),
            "price_per_byte": str(self._settings.retrieval_price),
            "payee": self._payees.get(None),
            "token": self._chain.token.address,
        }
        if rail:
            terms["rail"] = rail
        return PaymentRequiredError(
            message,
            remedy=remedy,
            terms=terms,
        )

    def give_back(self, ticket: Ticket, unread: int) -> None:
        """Undo the charge for bytes that the reader did not take."""
        if unread <= 0:
            return
        with self._database.write():
            if ticket.rail:
                self._refund(ticket.rail, unread * self._settings.retrieval_price)
            elif ticket.day:
                self._database.run(
                    "UPDATE allowances SET bytes = max(bytes - ?, 0) "
                    "WHERE account = ? AND cid = ? AND day = ?",
                    (unread, ticket.account, ticket.cid, ticket.day),
                )

    def _refund(self, rail: int, amount: int) -> None:
        row = self._database.row("SELECT spent FROM vouchers WHERE rail = ?", (rail,))
        if row is not None:
            spent = max(integer(row[0]) - amount, 0)
            self._database.run("UPDATE vouchers SET spent = ? WHERE rail = ?", (str(spent), rail))

    def dues(self, *, limit: int = 500) -> list[Due]:
        """Vouchers that can be redeemed for more than they were, the largest first."""
        rows = self._database.rows(
            "SELECT rail, amount, redeemed, signature FROM vouchers "
            "WHERE amount <> redeemed ORDER BY length(amount) DESC, amount DESC, rail LIMIT ?",
            (limit,),
        )
        return [
            Due(Voucher(integer(row[0]), integer(row[1]), blob(row[3])), integer(row[2]))
            for row in rows
        ]

    def redeemed(self, voucher: Voucher) -> None:
        """Record that the chain paid a voucher."""
        with self._database.write():
            self._database.run(
                "UPDATE vouchers SET redeemed = ? WHERE rail = ?",
                (str(voucher.amount), voucher.rail),
            )

    def forget_days(self) -> int:
        """Drop allowances of days gone by."""
        with self._database.write():
            return self._database.run(
                "DELETE FROM allowances WHERE day < ?", (self._clock.now() // DAY,)
            )


def _worth(voucher: Voucher) -> int:
    return voucher.amount
