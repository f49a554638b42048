"""Lots of the auction as a person meets them, in units that a foreign token tells of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from freehold.cli.session import sender
from freehold.domain import money
from freehold.domain.errors import (
    ConflictError,
    InsufficientFundsError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from freehold.domain.ids import Address
from freehold.ledger.abi import artifact
from freehold.ledger.contracts.auction import Sale
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.values import Receipt, Value
from freehold.ledger.wire import RpcRefusal

_PATIENCE = 600
"""Seconds in which a purchase must be mined."""
_PLACES = 18
_DECIMALS_MAX = 36
_WORD = 32
_SYMBOL = re.compile(r"[A-Za-z0-9.$+-]{1,16}")
"""What may be printed of what a stranger's token says."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A token that is sold; one that tells no decimals is counted in base units."""

    token: Address
    symbol: str
    decimals: int

    @property
    def scale(self) -> int:
        """Base units of a whole token."""
        return int(10**self.decimals)

    def amount(self, units: int) -> str:
        """Base units as whole tokens, cut to 18 places."""
        whole, part = divmod(units, self.scale)
        places = f"{part:0{self.decimals}d}"[:_PLACES].rstrip("0") if self.decimals else ""
        return f"{whole:,}" + (f".{places}" if places else "")

    def show(self, units: int) -> str:
        """The same with the token's symbol."""
        return f"{self.amount(units)} {self.symbol}"

    def parse(self, text: str) -> int:
        """Base units of an amount; UsageError where the token has fewer places."""
        units, rest = divmod(money.parse(text) * self.scale, money.UNIT)
        if rest:
            raise UsageError(
                f"{text} is finer than a base unit of {self.symbol}",
                remedy=f"Write an amount with at most {self.decimals} places.",
            )
        return units


@dataclass(frozen=True, slots=True)
class Terms:
    """The auction's terms: base units of the network's token, seconds, ten-thousandths."""

    least: int
    opening: int
    half_life: int
    factor_bps: int

    def to_json(self) -> dict[str, int]:
        """All of them by name."""
        return {
            "least": self.least, "opening": self.opening, "half_life": self.half_life,
            "factor_bps": self.factor_bps,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offer:
    """A lot now: ``held`` and ``waiting`` (in the payments) in the token's base units, ``ask`` for
    all of it in the network's."""

    kind: Kind
    held: int
    ask: int
    last: Sale
    waiting: int

    def to_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "token": self.kind.token, "symbol": self.kind.symbol, "decimals": self.kind.decimals,
            "held": self.held, "ask": self.ask, "waiting": self.waiting,
            "last_sale": {"amount": self.last.amount, "price": self.last.price},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Purchase:
    """What would be bought: base units of each token, for ``most`` and now for ``price``."""

    kind: Kind
    amount: int
    price: int
    most: int


def terms(ledger: Ledger) -> Terms:
    """What the auction was deployed with; ConflictError for a network without one."""
    _check(ledger)
    found = ledger.auction
    return Terms(found.least(), found.opening(), found.half_life(), found.factor_bps())


def tokens(ledger: Ledger) -> list[Address]:
    """Every token but the network's that the payments ever allowed, oldest first."""
    ledger.index.sync()
    found = every(ledger.index, "payments", "TokenSet")
    own = ledger.network.contracts["token"]
    return [each for each in dict.fromkeys(e.address("token") for e in found) if each != own]


def look(ledger: Ledger, token: Address) -> Offer:
    """A token's lot as it stands; RefusedError for the network's own token, NotFoundError for what
    is no token."""
    _check_token(ledger, token)
    lot = ledger.auction.lot(token)
    return Offer(
        kind=kind_of(ledger, token),
        held=lot.held,
        ask=lot.ask,
        last=ledger.auction.last_sale(token),
        waiting=ledger.payments.fees(token),
    )


def take_in(ledger: Ledger, token: Address) -> list[Receipt]:
    """Push what waits, where anything does, and put on offer what has arrived; NotFoundError for
    what is no token."""
    _check_token(ledger, token)
    pushed = [ledger.payments.push_fees(token)] if ledger.payments.fees(token) else []
    return [*pushed, ledger.auction.take_in(token)]


def plan(ledger: Ledger, token: Address, *, amount: str | None, most: int | None) -> Purchase:
    """What buying would cost now; ``most`` defaults to that.

    ConflictError where nothing is on offer or it costs more than ``most``, RefusedError for a part
    that costs less than the least sale, NotFoundError for what is no token, InsufficientFundsError.
    """
    _check_token(ledger, token)
    kind, lot = kind_of(ledger, token), ledger.auction.lot(token)
    if not lot.held:
        raise ConflictError(
            f"nothing of {token} is on offer",
            remedy=f"Look what waits: `freehold auction show {token}`.",
        )
    units = lot.held if amount is None else kind.parse(amount)
    price = ledger.auction.price_of(token, units)
    if most is not None and most < price:
        raise ConflictError(
            f"{kind.show(units)} cost {money.show(price, places=18)} now, more than "
            f"{money.show(most, places=18)}",
            remedy=f"Wait: what is asked halves in {ledger.auction.half_life()} s; or raise "
            "--max-price.",
        )
    purchase = Purchase(kind, units, price, price if most is None else most)
    _check_funds(ledger, purchase)
    return purchase


def buy(ledger: Ledger, purchase: Purchase) -> Receipt:
    """Buy for the ledger's own account; the allowance is raised where it is too low."""
    buyer, auction = sender(ledger), ledger.network.contracts["auction"]
    if ledger.token.allowance(buyer, auction) < purchase.most:
        ledger.token.approve(auction, purchase.most)
    return ledger.auction.buy(
        purchase.kind.token,
        purchase.amount,
        buyer,
        max_price=purchase.most,
        min_received=purchase.amount,
        deadline=ledger.now() + _PATIENCE,
    )


def kind_of(ledger: Ledger, token: Address) -> Kind:
    """What a token tells of itself, which ERC-20 leaves to it."""
    symbol, decimals = _told(ledger, token, "symbol"), _told(ledger, token, "decimals")
    if not isinstance(decimals, int) or decimals > _DECIMALS_MAX:
        return Kind(token, "base units", 0)
    plain = isinstance(symbol, str) and _SYMBOL.fullmatch(symbol)
    return Kind(token, str(symbol) if plain else "tokens", decimals)


def _told(ledger: Ledger, token: Address, name: str) -> Value | None:
    own = artifact("token")
    try:
        return own.result(name, ledger.rpc.call(token, own.calldata(name, ())))
    except (IntegrityError, RpcRefusal):
        return None


def _check(ledger: Ledger) -> None:
    if "auction" not in ledger.network.contracts:
        raise ConflictError(
            "this network has no auction",
            remedy="It was founded by an earlier release; its fees stay with its payments.",
        )


def _check_token(ledger: Ledger, token: Address) -> None:
    _check(ledger)
    question = artifact("token").calldata("balanceOf", (ledger.auction.address,))
    try:
        answer = ledger.rpc.call(token, question)
    except RpcRefusal:
        answer = b""
    if len(answer) < _WORD:
        raise NotFoundError(
            f"there is no token at {token}",
            remedy="List those that fees came in: `freehold auction show`.",
        )


def _check_funds(ledger: Ledger, purchase: Purchase) -> None:
    buyer = sender(ledger)
    held = ledger.token.balance_of(buyer)
    if held < purchase.price:
        raise InsufficientFundsError(
            f"{buyer} holds {money.show(held, places=18)} of the network's token, "
            f"{money.show(purchase.price, places=18)} would burn",
            remedy="Buy a part with --amount, or take back what no deal locks: "
            "`freehold wallet withdraw AMOUNT`.",
        )
