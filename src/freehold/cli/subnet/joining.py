"""``subnet register``: a node takes a place in a competition, for a price that moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief
from freehold.cli.handles import NODE_HELP
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, sender
from freehold.cli.subnet.named import MaxPriceOption, NameArgument, check_held, find, within
from freehold.domain import money
from freehold.domain.errors import ConflictError, NotFoundError, UnavailableError
from freehold.ledger.contracts.registry import MODEL, VALIDATOR

if TYPE_CHECKING:
    from freehold.cli.subnet.named import Found
    from freehold.domain.ids import Address
    from freehold.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Place:
    """A place that a node took: its uid, the generation of that, and base units burned."""

    uid: int
    generation: int
    burned: int


def register(app: typer.Typer) -> None:
    """Put the command on the noun."""
    app.command("register")(register_)


def register_(
    name: NameArgument,
    node: Annotated[str, typer.Argument(help=NODE_HELP)],
    *,
    max_price: MaxPriceOption = None,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a node of yours, which serves models or validates, in a competition."""
    from freehold.cli.model.folder import member_of

    screen, target = Screen(as_json), member_of(home, node)
    most = None if max_price is None else money.parse(max_price)
    with cancellable(), open_account(home, password_file) as ledger:
        found = find(ledger, name)
        if (uid := ledger.subnet.place_of(found.id, target)) is not None:
            raise ConflictError(
                f"{node} is in {name} already, as uid {uid}",
                remedy=f"Look at it with `freehold subnet show {name}`.",
            )
        _check_role(ledger, target, node)
        limit = quote(ledger, found, most)
        check_held(ledger, limit, f"a place in {name}")
        screen.tell(f"[dim]·[/] a place in {name} burns at most {brief(limit, up=True)} tokens")
        screen.confirm(f"Register {node} in {name}?", yes=yes)
        place = join(ledger, found, target, limit)
    screen.emit(
        {"subnet": found.id, "node": target, "uid": place.uid, "generation": place.generation,
         "burned": place.burned}
    )  # fmt: skip
    screen.say(f"[green]✓[/] {node} is uid {place.uid} of {name}: {brief(place.burned)} burned")


def quote(ledger: Ledger, found: Found, most: int | None) -> int:
    """The most that a place will burn, base units; refused where it cannot be had now."""
    if found.state.closing:
        raise ConflictError(
            f"{found.name} is being closed and takes nobody any more",
            remedy="`freehold subnet list` shows others.",
        )
    if ledger.subnet.paused():
        raise UnavailableError(
            "registrations are paused by the network's governor", remedy="Try again later."
        )
    return within(ledger.subnet.price(found.id), most, f"a place in {found.name}")


def join(ledger: Ledger, found: Found, node: Address, most: int) -> Place:
    """Register a node of the sender's; burns ``most`` at most."""
    if most:
        ledger.token.approve(ledger.subnet.address, most)
    receipt = ledger.subnet.register(found.id, node, max_price=most)
    event = receipt.one("Registered")
    return Place(event.number("uid"), event.number("generation"), event.number("burned"))


def _check_role(ledger: Ledger, node: Address, called: str) -> None:
    entry = ledger.registry.node(node)
    if entry.owner != sender(ledger):
        raise NotFoundError(
            f"{called} is no node of this wallet",
            remedy="`freehold model serve MODEL --subnet NAME` makes one and registers it.",
        )
    if entry.retired or not entry.roles & (MODEL | VALIDATOR):
        raise ConflictError(
            f"{called} neither serves models nor validates",
            remedy="`freehold model serve MODEL --subnet NAME` makes a node that does.",
        )
