"""Tokens from the wallet to another account: what is checked before anything is signed."""

from __future__ import annotations

from freehold.domain.errors import AccessError, InsufficientFundsError, UsageError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.money import show
from freehold.ledger.ledger import Ledger

GAS = 60_000
"""Gas of a transfer of the network's token, with room: receipts say 34,175 to 51,275."""


def check(ledger: Ledger, to: Address, amount: int) -> None:
    """UsageError for a recipient that could never use the tokens, or none at all;
    InsufficientFundsError when tokens, or coins for gas, are lacking."""
    account = sender(ledger)
    _check_recipient(ledger, to, account)
    if amount < 1:
        raise UsageError("nothing would be sent", remedy="Give an amount above zero, such as 2.5.")
    held, symbol = ledger.token.balance_of(account), ledger.token.symbol()
    if held < amount:
        raise InsufficientFundsError(
            f"{account} holds {show(held, places=18)} {symbol}, "
            f"{show(amount, places=18)} would be sent",
            remedy="Send less, or take back what no deal locks: `freehold wallet withdraw AMOUNT`.",
        )
    coins, needed = ledger.balance(account), GAS * gas_price(ledger)
    if coins < needed:
        raise InsufficientFundsError(
            f"{account} has {show(coins, places=18)} coins for gas, up to "
            f"{show(needed, places=18)} are needed",
            remedy="Have coins of the chain sent to this account.",
        )


def gas_price(ledger: Ledger) -> int:
    """Wei for a unit of gas, as the chain asks right now."""
    return ledger.head().base_fee + ledger.rpc.tip()


def sender(ledger: Ledger) -> Address:
    """The account whose key the ledger holds."""
    if ledger.key is None:
        raise AccessError("the account's key is needed", remedy="Open its wallet.")
    return ledger.key.address


def _check_recipient(ledger: Ledger, to: Address, account: Address) -> None:
    contract = next((name for name, at in ledger.network.contracts.items() if at == to), None)
    if to == ZERO_ADDRESS:
        raise UsageError("nobody owns the zero address", remedy="Name the recipient's account.")
    if to == account:
        raise UsageError(
            f"{to} is this wallet's own account", remedy="Name the recipient's account."
        )
    if contract is not None:
        raise UsageError(
            f"{to} is the network's {contract} contract, which could never send them on",
            remedy="Name an account; deposit with `freehold wallet deposit`, stake with "
            "`freehold stake add`.",
        )
