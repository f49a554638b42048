"""A subnet as a user names it, and what the ledger says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.domain.errors import InsufficientFundsError, NotFoundError, RefusedError
from freehold.domain.money import show

if TYPE_CHECKING:
    from freehold.ledger.contracts.subnet import Entry, Rules, Subnet, Task
    from freehold.ledger.ledger import Ledger

NameArgument = Annotated[str, typer.Argument(help="Name of the subnet.")]
MaxPriceOption = Annotated[
    str | None,
    typer.Option("--max-price", help="Most tokens to burn for a place; none: the price shown."),
]


@dataclass(frozen=True, slots=True)
class Found:
    """A subnet by its id, and its rules in the running epoch."""

    id: int
    name: str
    epoch: int
    state: Subnet
    rules: Rules
    entry: Entry
    task: Task


def require_market(ledger: Ledger) -> None:
    """NotFoundError in a network that has no subnets."""
    if "subnet" not in ledger.network.contracts:
        raise NotFoundError(
            f"network {ledger.network.name} has no model market",
            remedy="Use a network that was founded with a release that has one.",
        )


def find(ledger: Ledger, name: str) -> Found:
    """The subnet of a name; NotFoundError, UsageError where nothing can be called so."""
    require_market(ledger)
    subnets = ledger.subnet
    if not (number := subnets.id_of(name)):
        raise NotFoundError(
            f"there is no subnet {name!r}",
            remedy="`freehold subnet list` shows them; `freehold subnet create` opens one.",
        )
    epoch = subnets.epoch()
    return Found(
        number,
        name,
        epoch,
        subnets.subnet_of(number),
        subnets.rules_at(number, epoch),
        subnets.entry_at(number, epoch),
        subnets.task_at(number, epoch),
    )


def within(price: int, most: int | None, what: str) -> int:
    """The most to pay: ``price`` where no limit is given; RefusedError where it is above that."""
    if most is None:
        return price
    if price > most:
        raise RefusedError(
            f"{what} costs {show(price, up=True)} tokens now, more than {show(most)}",
            remedy="Wait until the price has fallen, or raise --max-price.",
        )
    return most


def check_held(ledger: Ledger, needed: int, what: str) -> None:
    """InsufficientFundsError unless the wallet holds what something takes."""
    from freehold.cli.session import sender

    account = sender(ledger)
    held = ledger.token.balance_of(account)
    if held < needed:
        raise InsufficientFundsError(
            f"{what} takes {show(needed, up=True)} tokens, {account} holds {show(held)}",
            remedy=f"Have tokens sent to it, `freehold wallet send {account} AMOUNT` from another "
            "wallet, or take some back: `freehold wallet withdraw AMOUNT`.",
        )
