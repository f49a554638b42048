"""Who pays for an answer: a voucher per request, or a free quota for those who judge models.

It stands on the till that sells a storage node's bytes: there a price is per byte and a ticket is
for so many of them; here a request is what is counted, so a ticket is for one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from freehold.domain.clock import Clock
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.node.database import Database
from freehold.node.deals import Deals
from freehold.node.delegates import Delegates
from freehold.node.loops import Chore
from freehold.node.metrics import Metrics
from freehold.node.ports import Chain
from freehold.node.refusals import PaymentRequiredError
from freehold.node.settings import Settings as NodeSettings
from freehold.node.standing import SLOW_SECONDS, Recent, Standing
from freehold.node.store import Held
from freehold.node.tokens import Gate, LedgerTime
from freehold.node.treasury import Treasury
from freehold.node.vouchers import Ticket, Till, parse_voucher

DATABASE = "model.sqlite"
ONE = Held("model", b"", 0, 1, 0, "")
"""What a ticket is for: one answer."""
PREPAID = 100
"""Requests that a contract wallet pays for at a time, at least."""
REDEEM_EVERY = 60.0
Judge = Callable[[Address], bool]
"""Whether an account judges models."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What of a request decides who pays for it."""

    method: str
    path: str
    body: bytes
    token: str | None
    voucher: str | None


@dataclass(frozen=True, slots=True)
class Tariff:
    """Base units of one request; ``free`` requests a day for each who judges models; what is
    due is fetched each ``settle_every`` seconds where it is worth its gas (``coin`` base units are
    worth a native coin)."""

    price: int
    free: int
    settle_every: int
    coin: int


class Cashier(Protocol):
    """Takes the money for requests; its calls may ask the chain, so they may block."""

    def admit(self, bill: Bill) -> Ticket:
        """A ticket for one answer; a TokenError or PaymentRequiredError says what is missing."""

    def give_back(self, ticket: Ticket) -> None:
        """The answer was not given."""

    def terms(self) -> dict[str, object]:
        """Price, payee and token, for the server's metadata."""


class _Guests(Standing):
    """Those who may ask for nothing, so often a day: who judges models."""

    def __init__(
        self, chain: Chain, node: Address, database: Database, *, judges: Judge, clock: Clock
    ) -> None:
        super().__init__(chain, node, database, price=0, clock=clock)
        self._judges: Recent[Address, bool] = Recent(judges, seconds=SLOW_SECONDS, clock=clock)

    def is_watcher(self, account: Address) -> bool:
        return self._judges.get(account)


class TillCashier:
    """The cashier of a network's node."""

    def __init__(
        self,
        home: Path,
        network: Network,
        key: Key,
        tariff: Tariff,
        *,
        chain: Chain,
        judges: Judge,
        clock: Clock,
    ) -> None:
        """``judges`` says who judges models; it may ask the chain."""
        node, self._tariff, self._chain, self._clock = key.address, tariff, chain, clock
        # That a power cut may lose the last vouchers and nonces is accepted: it saves a sync on
        # every request, and costs the owner a few requests' price.
        self._database = Database(home / DATABASE, durable=False)
        self._time = LedgerTime(clock, chain)
        delegates = Delegates(chain, database=self._database, clock=self._time)
        self._gate = Gate(
            network, node, nonces=self._database, clock=self._time, delegates=delegates
        )
        settings = NodeSettings(
            home,
            home,
            home,
            home,
            retrieval_price=tariff.price,
            watcher_allowance=tariff.free,
            settle_every=tariff.settle_every,
            coin=tariff.coin,
        )
        self._till = Till(
            network,
            node,
            chain=chain,
            database=self._database,
            standing=_Guests(chain, node, self._database, judges=judges, clock=clock),
            delegates=delegates,
            settings=settings,
            clock=clock,
            prepaid=PREPAID,
        )
        self._treasury = Treasury(
            chain,
            node,
            deals=Deals(self._database),
            till=self._till,
            settings=settings,
            metrics=Metrics(),
            clock=clock,
        )
        self._settled = 0
        self._payees: Recent[None, Address] = Recent(
            lambda _: chain.registry.node(node).payout, seconds=SLOW_SECONDS, clock=clock
        )

    def admit(self, bill: Bill) -> Ticket:
        """As ``Cashier.admit``."""
        spends = parse_voucher(bill.voucher).amount if bill.voucher is not None else 0
        account = self._gate.admit(
            bill.token, method=bill.method, path=bill.path, body=bill.body, spends=spends
        )
        try:
            return self._till.admit(account, ONE, length=1, voucher=bill.voucher)
        except PaymentRequiredError as error:
            error.terms["price"] = error.terms.pop("price_per_byte")
            raise

    def give_back(self, ticket: Ticket) -> None:
        """As ``Cashier.give_back``."""
        self._till.give_back(ticket, 1)

    def terms(self) -> dict[str, object]:
        """As ``Cashier.terms``."""
        return {
            "price": str(self._tariff.price),
            "payee": self._payees.get(None),
            "token": self._chain.token.address,
        }

    def chores(self) -> list[Chore]:
        """What is done again and again: fetch what is due, and forget what is over."""
        return [Chore("redeem", self._redeem, REDEEM_EVERY), Chore("forget", self._forget, 30.0)]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _redeem(self) -> None:
        self._treasury.redeem(everything=False)
        if self._clock.now() - self._settled >= self._tariff.settle_every:
            self._treasury.settle()  # nothing is settled here: it begins the next interval
            self._settled = self._clock.now()

    def _forget(self) -> None:
        self._time.learn()
        self._gate.forget_expired()
        self._till.forget_days()
