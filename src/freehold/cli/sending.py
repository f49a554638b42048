"""Tokens or coins from the wallet to another account: what is checked before anything is signed."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.cli.session import sender
from freehold.domain.errors import InsufficientFundsError, UsageError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.money import show
from freehold.ledger.ledger import Ledger
from freehold.ledger.sender import how_to_get_coins
from freehold.ledger.values import Receipt

TOKEN_GAS = 60_000
"""Gas of a transfer of the network's token, with room: receipts say 34,175 to 51,275."""
COIN_GAS = 32_000
"""Gas of a transfer of coins to an account without code, with room: 21,000, a quarter of it, and
5,000, as the ledger's sender gives; it also offers up to twice the price of the moment."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sends the network's token, in base units."""

    ledger: Ledger

    @property
    def unit(self) -> str:
        """The token's symbol."""
        return self.ledger.token.symbol()

    def held(self) -> int:
        """What the wallet holds."""
        return self.ledger.token.balance_of(sender(self.ledger))

    def check(self, to: Address, amount: int) -> None:
        """UsageError for a recipient that could never use the tokens, or none at all;
        InsufficientFundsError when tokens, or coins for gas, are lacking."""
        account = sender(self.ledger)
        _check(self.ledger, to, amount, account)
        held = self.held()
        if held < amount:
            raise InsufficientFundsError(
                f"{account} holds {show(held, places=18)} {self.unit}, "
                f"{show(amount, places=18)} would be sent",
                remedy="Send less, or take back what no deal locks: "
                "`freehold wallet withdraw AMOUNT`.",
            )
        coins, needed = self.ledger.balance(account), TOKEN_GAS * self.ledger.gas_price()
        if coins < needed:
            raise InsufficientFundsError(
                f"{account} has {show(coins, places=18)} coins for gas, up to "
                f"{show(needed, places=18)} are needed",
                remedy=how_to_get_coins(account, needed - coins),
            )

    def send(self, to: Address, amount: int) -> Receipt:
        """Send them."""
        return self.ledger.token.transfer(to, amount)


@dataclass(frozen=True, slots=True)
class Coins:
    """Sends the chain's own coin, in wei."""

    ledger: Ledger

    @property
    def unit(self) -> str:
        """What an amount is of."""
        return "coins"

    def held(self) -> int:
        """What the account holds."""
        return self.ledger.balance(sender(self.ledger))

    def check(self, to: Address, amount: int) -> None:
        """As for tokens; the coins pay the gas as well."""
        account = sender(self.ledger)
        _check(self.ledger, to, amount, account)
        held, gas = self.held(), COIN_GAS * 2 * self.ledger.gas_price()
        if held < amount + gas:
            raise InsufficientFundsError(
                f"{account} has {show(held, places=18)} coins, {show(amount, places=18)} would be "
                f"sent and up to {show(gas, places=18)} are needed for gas",
                remedy=f"Send at most {show(max(0, held - gas), places=9)}, or have coins of the "
                "chain sent to this account.",
            )

    def send(self, to: Address, amount: int) -> Receipt:
        """Send them."""
        return self.ledger.transfer(to, amount)


def _check(ledger: Ledger, to: Address, amount: int, account: Address) -> None:
    if amount < 1:
        raise UsageError("nothing would be sent", remedy="Give an amount above zero, such as 2.5.")
    if to == ZERO_ADDRESS:
        raise UsageError("nobody owns the zero address", remedy="Name the recipient's account.")
    if to == account:
        raise UsageError(
            f"{to} is this wallet's own account", remedy="Name the recipient's account."
        )
    contract = next((name for name, at in ledger.network.contracts.items() if at == to), None)
    if contract is not None:
        raise UsageError(
            f"{to} is the network's {contract} contract, which could never send them on",
            remedy="Name an account; deposit with `freehold wallet deposit`, stake with "
            "`freehold stake add`.",
        )
