"""What storing an object costs, said exactly before anything is paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from freehold.client.chain import Funds, Terms
from freehold.control.placement import Candidate
from freehold.domain.errors import InsufficientFundsError
from freehold.domain.ids import Address
from freehold.domain.money import MONTH, RATE_UNIT, UNIT, cost, rate, show

GAS_BASE = 450_000
GAS_COLUMN = 420_000
"""Gas of an opening at most. Receipts of 4 of 6: 2.94 million where every node is new to deals,
2.12 million after that."""

REPAIR_GAS = 906_000
REPAIR_GAS_COLUMN = 16_200
"""Gas of a repair for whoever makes it: replacing a column (560,633 of 4 of 6, 946,021 of 20 of
30), claiming the fee (140,999), finishing the column that was left (272,844): the reference page
of gas."""
REPAIR_MARGIN = 2
"""How often that gas a repair is paid, so that it stays worth it when gas becomes dearer."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a client grants repairers, and how it chooses.

    ``max_price`` base units per TiB-month; a repairer may pay up to ``headroom_bps`` above the
    dearest node of the deal, gets ``repair_fee`` for each of up to ``repairs`` replacements. None
    pays the gas of a repair ``REPAIR_MARGIN`` times, at the price that gas has when the deal is
    made, with a coin of the chain taken to be worth ``coin`` base units: no ledger tells that.
    """

    max_price: int = 20 * UNIT
    headroom_bps: int = 15_000
    per_owner: int = 1
    repair_fee: int | None = None
    repairs: int = 4
    coin: int = UNIT

    def fee(self, columns: int, gas_price: int) -> int:
        """What a repair of a deal of ``columns`` columns is paid; ``gas_price`` in wei."""
        if self.repair_fee is not None:
            return self.repair_fee
        return REPAIR_MARGIN * repair_gas(columns) * gas_price * self.coin // UNIT


@dataclass(frozen=True, slots=True)
class Quote:
    """The cost of one object: sizes in bytes, ``term`` in seconds, money in base units, gas in
    wei. ``price`` is for the whole term; ``lockup`` and ``reserve`` must be available at opening;
    what is left of both comes back. ``rate`` is the scaled rate of all columns together,
    ``reserve`` is ``repairs`` times ``repair_fee`` for each of ``deals`` deals.
    """

    size: int
    stored: int
    k: int
    n: int
    term: int
    price: int
    lockup: int
    reserve: int
    rate: int
    gas: int
    gas_fee: int
    nodes: tuple[Address, ...]
    funds: Funds
    repair_fee: int
    repairs: int
    deals: int = 1

    @property
    def padded(self) -> int:
        """Bytes of the object as it is sealed and padded, before it is spread: k columns."""
        return self.stored * self.k // self.n

    @property
    def monthly(self) -> int:
        """The price of 30 days."""
        return self.rate * MONTH // RATE_UNIT

    @property
    def deposit(self) -> int:
        """What must be deposited besides what is available, so that the term is paid through."""
        return max(0, max(self.lockup, self.price) + self.reserve - self.funds.available)

    @property
    def approved(self) -> bool:
        """Whether the account's approval of the market covers the deal."""
        return self.funds.rate_left >= self.rate and self.funds.lockup_left >= self.reserve

    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.k} of {self.n} columns, {self.stored:,} bytes for {self.term} s: "
            f"{show(self.price, places=9)}, deposit {show(self.lockup, places=9)}, "
            f"repair reserve {show(self.reserve, places=9)}, "
            f"gas {self.gas:,} ({show(self.gas_fee, places=9)} coins)"
        )

    def why_fee(self) -> str:
        """Where the repair fee comes from, for people."""
        gas, price = repair_gas(self.n), self.funds.gas_price
        return (
            f"A repair takes whoever makes it about {gas:,} gas, {show(gas * price, places=9)} "
            f"coins now, and is paid {show(self.repair_fee, places=9)} tokens. Unless told, that "
            f"is {REPAIR_MARGIN} times its gas with a coin taken to be worth a token: give "
            "--repair-fee where it is worth more, or nobody repairs at a loss."
        )

    def require_funds(self) -> None:
        """InsufficientFundsError, with this quote, unless the account can open the deal now."""
        lacking = self.lockup + self.reserve - self.funds.available
        if lacking > 0 or not self.approved:
            what = (
                f"{show(lacking, places=9)} more must be deposited"
                if lacking > 0
                else "the account has not approved the storage market for so much"
            )
            more = show(max(self.deposit, 1), places=18)
            raise InsufficientFundsError(
                f"this costs {self.text()}; {show(self.funds.available, places=9)} is available"
                f"{self._set_aside()}, so {what}",
                remedy=f"Deposit with `freehold wallet deposit {more}`; the wallet holds "
                f"{show(self.funds.wallet)}.",
            )
        if self.funds.gas < self.gas_fee:
            raise InsufficientFundsError(
                f"this costs {self.text()}; the account has {show(self.funds.gas, places=9)} "
                "coins for gas",
                remedy="Send coins of the chain to the account.",
            )

    def _set_aside(self) -> str:
        aside = self.funds.set_aside
        return f" besides {show(aside, places=9)} for puts under way" if aside else ""


def make_quote(
    *,
    size: int,
    column: int,
    shape: tuple[int, int],
    term: int,
    chosen: Sequence[Candidate],
    terms: Terms,
    funds: Funds,
    policy: Policy,
) -> Quote:
    """The quote for ``column`` bytes on each chosen node; rounds as the contracts do."""
    rates = [rate(price=node.price, size=column) for node in chosen]
    fee = policy.fee(len(chosen), funds.gas_price)
    gas = GAS_BASE + GAS_COLUMN * len(chosen)
    return Quote(
        size=size,
        stored=column * len(chosen),
        k=shape[0],
        n=shape[1],
        term=term,
        price=sum(cost(price=node.price, size=column, seconds=term) for node in chosen),
        lockup=-(-sum(rates) * terms.lockup_period // RATE_UNIT),
        reserve=fee * policy.repairs,
        rate=sum(rates),
        gas=gas,
        gas_fee=gas * funds.gas_price,
        nodes=tuple(node.node for node in chosen),
        funds=funds,
        repair_fee=fee,
        repairs=policy.repairs,
    )


def together(quotes: Sequence[Quote]) -> Quote:
    """The cost of several objects of one preset and term, each in a deal of its own."""
    nodes = dict.fromkeys(node for quote in quotes for node in quote.nodes)
    return replace(
        quotes[0],
        size=sum(quote.size for quote in quotes),
        stored=sum(quote.stored for quote in quotes),
        price=sum(quote.price for quote in quotes),
        lockup=sum(quote.lockup for quote in quotes),
        reserve=sum(quote.reserve for quote in quotes),
        rate=sum(quote.rate for quote in quotes),
        gas=sum(quote.gas for quote in quotes),
        gas_fee=sum(quote.gas_fee for quote in quotes),
        nodes=tuple(nodes),
        deals=sum(quote.deals for quote in quotes),
    )


def repair_gas(columns: int) -> int:
    """Gas that a repair of one of ``columns`` columns takes its mover."""
    return REPAIR_GAS + REPAIR_GAS_COLUMN * columns


def stake_needed(column: int, terms: Terms) -> int:
    """Stake that a node locks for a column, rounded up."""
    return -(-column * terms.stake_per_tib // 2**40)
