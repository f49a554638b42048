"""Money in motion: accounts, rails, escrow, vouchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import SETTLE_GAS, Contract
from freehold.ledger.contracts.token import Permit
from freehold.ledger.transaction import GAS_LIMIT
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Account:
    """An account as stored: ``funds`` in base units, ``lockup`` and ``lockup_rate`` scaled by
    ``money.RATE_UNIT``, settled up to ``settled_at``."""

    funds: int
    lockup: int
    lockup_rate: int
    settled_at: int


@dataclass(frozen=True, slots=True)
class Status:
    """An account as of now, in base units; solvent until that moment at the present rates."""

    funds: int
    available: int
    solvent_until: int


@dataclass(frozen=True, slots=True)
class Rail:
    """A payment flow; ``rate`` is price per TiB-month times bytes, ``accepted`` in seconds."""

    token: Address
    payer: Address
    payee: Address
    market: Address
    rate: int
    lockup_period: int
    fixed: int
    opened_at: int
    settled_at: int
    end_at: int
    accepted: int
    paid: int
    fee: int
    fee_bps: int
    dust: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Approval:
    """What a client lets a market do, and how much of it is used: rates scaled, lockups in base
    units."""

    rate_cap: int
    rate_used: int
    lockup_cap: int
    lockup_used: int


class Payments(Contract):
    """Accounts and rails; amounts in base units of the named token."""

    name = "payments"

    def deposit(self, token: Address, to: Address, amount: int) -> Receipt:
        """Put approved tokens into an account."""
        return self._send("deposit", token, to, amount)

    def deposit_with_permit(self, token: Address, to: Address, permit: Permit) -> Receipt:
        """Put tokens into an account with a signed permission instead of an approval."""
        p = permit
        return self._send("deposit_with_permit", token, to, p.amount, p.deadline, p.v, p.r, p.s)

    def deposit_with_permit_and_approve(
        self, token: Address, permit: Permit, *, market: Address, rate_cap: int, lockup_cap: int
    ) -> Receipt:
        """Deposit and let a market open rails within the caps, in one transaction."""
        p = permit
        return self._send(
            "deposit_with_permit_and_approve",
            token, p.amount, p.deadline, p.v, p.r, p.s, market, rate_cap, lockup_cap,
        )  # fmt: skip

    def withdraw(self, token: Address, to: Address, amount: int) -> Receipt:
        """Take out what is not locked."""
        return self._send("withdraw", token, to, amount)

    def approve_market(
        self, token: Address, market: Address, *, rate_cap: int, lockup_cap: int
    ) -> Receipt:
        """Let a market open rails of the sender: scaled rate cap, lockup cap in base units."""
        return self._send("approve_market", token, market, rate_cap, lockup_cap)

    def account(self, token: Address, owner: Address) -> Account:
        """An account as stored."""
        return self._view(Account, "account", token, owner)

    def burned(self, market: Address, payee: Address) -> int:
        """The network's token that burned as fees of what a market's rails paid to an account."""
        return self._view(int, "burned", market, payee)

    def status(self, token: Address, owner: Address) -> Status:
        """An account settled to now."""
        funds, available, until = self._views(int, "status", token, owner)
        return Status(funds, available, until)

    def approval(self, token: Address, owner: Address, market: Address) -> Approval:
        """What an owner lets a market do."""
        return self._view(Approval, "approval", token, owner, market)

    def rail_count(self) -> int:
        """How many rails were ever opened; ids run from 1."""
        return self._view(int, "rail_count")

    def rail(self, rail: int) -> Rail:
        """A rail; RefusedError for an unknown id."""
        return self._view(Rail, "rail", rail)

    def settle(self, rail: int) -> Receipt:
        """Pay a rail up to what its arbiter accepted; anyone."""
        return self._send("settle", rail, least_gas=SETTLE_GAS)

    def settle_many(self, rails: Sequence[int]) -> Receipt:
        """Settle up to 32 rails; anyone."""
        return self._send("settle_many", tuple(rails), least_gas=SETTLE_GAS * len(rails))

    def end_rail(self, rail: int) -> Receipt:
        """End a rail: its market, or its payer while the market's answer fails."""
        return self._send("end_rail", rail)

    def auction(self) -> Address:
        """Where fees in foreign tokens are sold; the zero address before it is named."""
        return self._view(Address, "auction")

    def fees(self, token: Address) -> int:
        """Fees of a foreign token that wait to be pushed to the auction."""
        return self._view(int, "fees", token)

    def push_fees(self, token: Address) -> Receipt:
        """Send all fees held in a foreign token to the auction; anyone."""
        return self._send("push_fees", token)

    def force_close(self, rail: int) -> Receipt:
        """Close an ended rail whose arbiter failed for the timeout; anyone."""
        return self._send("force_close", rail)

    def send(self, token: Address, to: Address, amount: int, *, purpose: int) -> Receipt:
        """Move funds from the sender's account to another account."""
        return self._send("send", token, to, amount, purpose)

    def open_voucher(self, token: Address, payee: Address, collateral: int) -> Receipt:
        """Open a zero-rate rail with collateral; its id is in the event VoucherOpened."""
        return self._send("open_voucher", token, payee, collateral)

    def add_collateral(self, rail: int, amount: int) -> Receipt:
        """Raise a voucher's collateral."""
        return self._send("add_collateral", rail, amount)

    def redeem(
        self, rail: int, amount: int, signature: bytes, *, most_gas: int = GAS_LIMIT
    ) -> Receipt:
        """Pay a cumulative voucher that the payer signed; CapacityError above ``most_gas``."""
        return self._send("redeem", rail, amount, signature, most_gas=most_gas)

    def close_voucher(self, rail: int) -> Receipt:
        """Start the delay after which the collateral returns; the payer."""
        return self._send("close_voucher", rail)

    def finish_voucher(self, rail: int) -> Receipt:
        """Return the rest of the collateral after the delay."""
        return self._send("finish_voucher", rail)
