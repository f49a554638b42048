"""``subnet grant``, ``close`` and ``unlock``: tokens for a competition, and its end."""

from __future__ import annotations

from typing import Annotated

import typer

from freehold.cli.amounts import brief
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, sender
from freehold.cli.subnet.named import NameArgument, check_held, find
from freehold.domain import money
from freehold.domain.errors import AccessError, ConflictError, UsageError
from freehold.ledger.contracts.subnet import GRAIN


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    for command in (grant, close, unlock):
        app.command()(command)


def grant(
    name: NameArgument,
    amount: Annotated[str, typer.Argument(help="Tokens for each epoch, such as 2.5.")],
    *,
    epochs: Annotated[
        int, typer.Option("--epochs", help="So many epochs, from the running one on.", min=1)
    ] = 1,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give tokens to a competition's nodes: they are paid out as its epochs are ranked."""
    screen, units = Screen(as_json), money.parse(amount)
    if units < GRAIN or units % GRAIN:
        raise UsageError(
            f"{amount} is no amount to grant", remedy="Give at most nine places after the point."
        )
    with cancellable(), open_account(home, password_file) as ledger:
        found = find(ledger, name)
        furthest = ledger.subnet.terms().notice
        if epochs > furthest:
            raise UsageError(
                f"grants reach {furthest} epochs ahead, not {epochs}",
                remedy=f"Give --epochs {furthest} or fewer, and grant again later.",
            )
        check_held(ledger, units * epochs, "the grant")
        screen.confirm(
            f"Give {brief(units * epochs, up=True)} tokens to {name}, {brief(units, up=True)} an "
            f"epoch from {found.epoch} on?",
            yes=yes,
        )
        ledger.token.approve(ledger.subnet.address, units * epochs)
        receipt = ledger.subnet.grant(found.id, units, epochs=epochs)
    # The running epoch may be another one by now.
    first = receipt.one("Granted").number("first")
    screen.emit(
        {"subnet": found.id, "amount": units, "epochs": epochs, "first": first,
         "transaction": receipt.hash}
    )  # fmt: skip
    screen.say(
        f"[green]✓[/] {brief(units * epochs)} tokens are granted to {name}, {brief(units)} an "
        f"epoch, {first} to {first + epochs - 1}"
    )


def close(
    name: NameArgument,
    *,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Announce that a competition of yours ends; it takes no newcomer from then on."""
    screen = Screen(as_json)
    with cancellable(), open_account(home, password_file) as ledger:
        found = find(ledger, name)
        if found.state.owner != sender(ledger):
            raise AccessError(
                f"{name} belongs to {found.state.owner}", remedy="Use that account's wallet."
            )
        if found.state.closing:
            raise ConflictError(
                f"{name} ends with epoch {found.state.closing} already",
                remedy=f"Then get its lock back: `freehold subnet unlock {name}`.",
            )
        last = found.epoch + 1 + ledger.subnet.terms().notice
        screen.confirm(f"Close {name} for ever, from epoch {last} on?", yes=yes)
        event = ledger.subnet.close(found.id).one("Closing")
    ends = event.number("epoch")
    screen.emit({"subnet": found.id, "closing": ends, "transaction": event.transaction})
    screen.say(f"[green]✓[/] {name} has no part in epoch {ends} and those after it")
    screen.say(f"  then: freehold subnet unlock {name}")


def unlock(
    name: NameArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Return what an ended competition had locked, to its owner."""
    screen = Screen(as_json)
    with cancellable(), open_account(home, password_file) as ledger:
        found = find(ledger, name)
        closing, lock = found.state.closing, found.state.lock
        if not closing or found.epoch < closing:
            when = f"it ends with epoch {closing}" if closing else "it is not closed"
            raise ConflictError(
                f"{name} has not ended: {when}, and epoch {found.epoch} runs",
                remedy="Wait until then." if closing else f"`freehold subnet close {name}`.",
            )
        if not lock:
            raise ConflictError(f"{name} locks nothing any more", remedy="It was returned before.")
        event = ledger.subnet.unlock(found.id).one("Unlocked")
    amount = event.number("amount")
    screen.emit({"subnet": found.id, "amount": amount, "owner": event.address("owner")})
    screen.say(f"[green]✓[/] {brief(amount)} tokens went back to {event.address('owner')}")
