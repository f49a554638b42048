"""The accounts of the payments contract: funds, what is locked, and a clock that stops when dry.

Lockups and rates are scaled by RATE_UNIT, so that nothing is truncated: an account owes its rails
what has run, the guarantees behind them, and fixed lockups (PROTOCOL.md, Money).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from freehold.audit.report import Spot
from freehold.domain.money import RATE_UNIT


@dataclass(slots=True)
class Account:
    """One owner's account in one token; it has been charged up to ``settled_at``."""

    funds: int = 0
    lockup: int = 0
    rate: int = 0
    settled_at: int = 0

    def run(self, moment: int) -> None:
        """Charge what runs, up to a moment or to the last one that the funds can pay for."""
        elapsed = max(0, moment - self.settled_at)
        if self.rate > 0:
            elapsed = min(elapsed, (self.funds * RATE_UNIT - self.lockup) // self.rate)
        self.lockup += self.rate * elapsed
        self.settled_at += elapsed


@dataclass(slots=True)
class Consent:
    """What an owner lets a market do, and how much of it is used."""

    rate_cap: int = 0
    rate_used: int = 0
    lockup_cap: int = 0
    lockup_used: int = 0


class Accounts:
    """Every account and consent, by token and owner."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str], Account] = {}
        self._consents: dict[tuple[str, str, str], Consent] = {}
        self.totals: dict[str, int] = {}

    def get(self, token: str, owner: str) -> Account:
        """An account, empty where nothing ever came."""
        return self._accounts.setdefault((token, owner), Account())

    def consent(self, token: str, owner: str, market: str) -> Consent:
        """What an owner lets a market do."""
        return self._consents.setdefault((token, owner, market), Consent())

    def funds(self, token: str) -> Iterator[int]:
        """The funds of every account in a token."""
        return (a.funds for (held, _), a in self._accounts.items() if held == token)

    def credit(self, token: str, owner: str, amount: int) -> None:
        """Add to an account's funds."""
        self.get(token, owner).funds += amount

    def add_total(self, token: str, amount: int) -> None:
        """Change what the contract holds for accounts."""
        self.totals[token] = self.totals.get(token, 0) + amount

    def debit_free(self, token: str, owner: str, amount: int, moment: int, spot: Spot) -> None:
        """Take what is not locked; Differs where the account could not give it."""
        account = self.get(token, owner)
        account.run(moment)
        account.funds -= amount
        check_solvent(account, moment, spot)


def check_solvent(account: Account, moment: int, spot: Spot) -> None:
    """Differs unless the account is charged up to now and its funds cover all that is locked."""
    spot.same("the account charged up to", expected=moment, found=account.settled_at)
    covered = 0 <= account.lockup <= account.funds * RATE_UNIT
    spot.same("the funds covering what is locked", expected=True, found=covered)
