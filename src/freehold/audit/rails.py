"""Payment rails as values: what flows from whom to whom, and what is locked behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.money import RATE_UNIT


class Arbiter(Protocol):
    """A market's own account of what a rail has earned."""

    def accepted(self, rail: int, limit: int, moment: int) -> tuple[int, int]:
        """Seconds accepted since opening, up to ``limit``, and until when that is decided."""


@dataclass(slots=True)
class Rail:
    """A payment flow, or with no market the collateral of a voucher."""

    token: Address
    payer: Address
    payee: Address
    market: Address
    rate: int
    lockup_period: int
    fixed: int
    opened_at: int
    settled_at: int
    fee_bps: int
    end_at: int = 0
    accepted: int = 0
    paid: int = 0
    fee: int = 0
    dust: int = 0
    closed: bool = False
    refund: int = 0
    natural_end: int = 0
    payer_signs: bool = False

    def guarantee(self) -> int:
        """What the rail locks beside what has run, scaled."""
        return self.rate * self.lockup_period + self.fixed * RATE_UNIT

    def close(self) -> None:
        """End it for good; what was still locked goes back."""
        self.refund = self.fixed
        self.fixed = self.dust = 0
        self.closed = True

    def shown(self) -> dict[str, object]:
        """The fields as the contract's view names them."""
        return {name: getattr(self, name) for name in SHOWN}


SHOWN = (
    "token", "payer", "payee", "market", "rate", "lockup_period", "fixed", "opened_at",
    "settled_at", "end_at", "accepted", "paid", "fee", "fee_bps", "dust", "closed",
)  # fmt: skip


@dataclass(slots=True)
class Settings:
    """Parameters as the contract's events set them."""

    fee_bps: int = 0
    burn_bps: int = 0
    arbiter_timeout: int = 0
    voucher_delay: int = 0
    treasury: Address = ZERO_ADDRESS
