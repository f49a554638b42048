"""Fees in other tokens: what is on offer (show), put there (take-in), and bought (buy)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief, span
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger
from freehold.domain import money
from freehold.domain.ids import address

if TYPE_CHECKING:
    from freehold.cli.lots import Offer

app = typer.Typer(
    name="auction",
    help="Fees that were paid in other tokens, sold for the network's token, which burns.",
    no_args_is_help=True,
)

TokenArgument = Annotated[str, typer.Argument(help="Token that is sold, an address.")]


@app.command()
def show(
    token: Annotated[
        str | None, typer.Argument(help="One token; none: every token that fees came in.")
    ] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is on offer, what is asked for it now, and what waits to be put on offer."""
    from freehold.cli import lots

    screen = Screen(as_json)
    with cancellable(), open_ledger(home) as ledger:
        terms = lots.terms(ledger)
        tokens = [address(token)] if token else lots.tokens(ledger)
        offers = [lots.look(ledger, each) for each in tokens]
        symbol = ledger.token.symbol()
    screen.emit({**terms.to_json(), "lots": [offer.to_json() for offer in offers]})
    columns = ("token", "", "on offer", f"asked, {symbol}", "last sale", "waiting")
    screen.table("lots of fees in other tokens", columns, [_row(offer) for offer in offers])
    screen.tell(
        f"A lot asks from {brief(terms.opening)} down to {brief(terms.least)} {symbol} and halves "
        f"in {span(terms.half_life)}; a part costs its share. What is paid burns."
    )
    if any(offer.waiting for offer in offers):
        screen.say("Put on offer what waits: [bold]freehold auction take-in TOKEN[/]")


@app.command("take-in")
def take_in(
    token: TokenArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the fees of a token from the payments to the auction and put them on offer."""
    from freehold.cli import lots

    screen, target = Screen(as_json), address(token)
    with cancellable(), open_account(home, password_file) as ledger:
        receipts = lots.take_in(ledger, target)
        offer = lots.look(ledger, target)
        symbol = ledger.token.symbol()
    screen.emit({"transactions": [receipt.hash for receipt in receipts], **offer.to_json()})
    screen.say(
        f"[green]✓[/] {offer.kind.show(offer.held)} on offer for {brief(offer.ask)} {symbol}"
    )


@app.command()
def buy(
    token: TokenArgument,
    *,
    amount: Annotated[
        str | None, typer.Option("--amount", help="How much of it, such as 2.5; default: all.")
    ] = None,
    max_price: Annotated[
        str | None,
        typer.Option("--max-price", help="The most to burn, whole tokens; default: the price now."),
    ] = None,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Buy a lot, or a part, and burn the network's tokens for it."""
    from freehold.cli import lots

    screen, target = Screen(as_json), address(token)
    limit = None if max_price is None else money.parse(max_price)
    with cancellable(), open_account(home, password_file) as ledger:
        purchase = lots.plan(ledger, target, amount=amount, most=limit)
        symbol = ledger.token.symbol()
        told = purchase.kind.show(purchase.amount)
        screen.confirm(
            f"Burn up to {money.show(purchase.most, places=18)} {symbol} "
            f"({money.show(purchase.price)} now) for {told} of {target}?",
            yes=yes,
        )
        receipt = lots.buy(ledger, purchase)
    sold = receipt.one("Sold")
    paid = sold.number("paid")
    screen.emit(
        {
            "transaction": receipt.hash, "token": target, "amount": sold.number("amount"),
            "received": sold.number("received"), "paid": paid,
        }
    )  # fmt: skip
    screen.say(f"[green]✓[/] bought {told}; {money.show(paid, places=18)} {symbol} burned")


def _row(offer: Offer) -> tuple[object, ...]:
    kind, sale = offer.kind, offer.last
    last = f"{kind.amount(sale.amount)} for {brief(sale.price)}" if sale.amount else "never"
    asked = brief(offer.ask) if offer.held else "-"
    return (
        kind.token, kind.symbol, kind.amount(offer.held), asked, last, kind.amount(offer.waiting),
    )  # fmt: skip
