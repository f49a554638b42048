"""The account: its wallet (create, show, backup, restore, deposit, withdraw, send)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.home import Home, find_home, open_home, read_text
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import new_password, open_account, open_client, open_ledger, read_password
from freehold.domain import money
from freehold.domain.errors import ConflictError
from freehold.domain.files import write_whole
from freehold.domain.ids import Address, address, caip10

wallet = typer.Typer(name="wallet", help="The account's key and money.", no_args_is_help=True)

AmountArgument = Annotated[str, typer.Argument(help="Amount in whole tokens, such as 2.5.")]


@wallet.command()
def create(
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new account from a fresh seed phrase."""
    from freehold.cli.wallets import WalletFolder
    from freehold.domain.keys import new_phrase

    screen, target = Screen(as_json), find_home(home)
    with cancellable():
        target.claim()
        key = WalletFolder(target.wallet).create(new_phrase(), new_password(target, password_file))
    screen.emit({"account": key.address})
    screen.say(f"[green]✓[/] account {key.address}")
    _say_network(screen, target)
    screen.say("Now write down its recovery kit: [bold]freehold wallet backup KIT.txt[/]")


@wallet.command()
def show(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the account's address and money."""
    from freehold.cli.wallets import WalletFolder

    screen, target = Screen(as_json), open_home(home)
    account = WalletFolder(target.wallet).address()
    if not target.descriptor.exists():
        screen.emit({"account": account, "network": None})
        screen.say(f"account {account}, of no network yet")
        _say_network(screen, target)
        return
    with cancellable(), open_ledger(home) as ledger:
        network = ledger.network
        status = ledger.payments.status(network.contracts["token"], account)
        tokens, coins = ledger.token.balance_of(account), ledger.balance(account)
        symbol = ledger.token.symbol()
    screen.emit(
        {
            "account": account, "caip10": caip10(network.chain_id, account), "tokens": tokens,
            "deposited": status.funds, "available": status.available,
            "solvent_until": status.solvent_until, "coins": coins,
        }
    )  # fmt: skip
    screen.facts(
        caip10(network.chain_id, account),
        {
            "tokens": f"{money.show(tokens)} {symbol}",
            "deposited": f"{money.show(status.funds, places=9)} {symbol}",
            "free of the deposit": f"{money.show(status.available, places=9)} {symbol}",
            "coins for gas": money.show(coins),
        },
    )


@wallet.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to write the recovery kit.")],
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the recovery kit: the page from which everything comes back."""
    from freehold.cli.wallets import WalletFolder
    from freehold.markets.storage.kit import RecoveryKit
    from freehold.markets.storage.locator import Locator

    screen, target = Screen(as_json), open_home(home)
    if file.exists():
        raise ConflictError(f"{file} exists", remedy="Name a file that does not exist yet.")
    phrase = WalletFolder(target.wallet).phrase(read_password(target, password_file))
    kit = RecoveryKit(phrase, Locator.of(target.network()))
    write_whole(file.absolute(), kit.render().encode())
    screen.emit({"file": str(file)})
    screen.say(f"[green]✓[/] {file}: print it, keep it safe, delete it. It opens the account.")


@wallet.command()
def restore(
    kit: Annotated[Path, typer.Argument(help="The recovery kit.")],
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the account's key back (`freehold recover` also brings the list of its objects)."""
    from freehold.cli.wallets import WalletFolder
    from freehold.markets.storage.kit import RecoveryKit

    screen, target = Screen(as_json), find_home(home)
    with cancellable():
        target.claim()
        phrase = RecoveryKit.parse(read_text(kit)).phrase
        key = WalletFolder(target.wallet).create(phrase, new_password(target, password_file))
    screen.emit({"account": key.address})
    screen.say(f"[green]✓[/] account {key.address}")
    _say_network(screen, target)


def _say_network(screen: Screen, target: Home) -> None:
    """How a home that knows no network yet comes to one, without which little can be done."""
    if not target.descriptor.exists():
        screen.say(
            "Before all else name its network: [bold]freehold network use network.json[/], or "
            "found one with [bold]freehold network create[/]"
        )


@wallet.command()
def deposit(
    amount: AmountArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deposit tokens for deals and let the storage market lock them, in one transaction."""
    screen = Screen(as_json)
    with cancellable(), open_client(home, password_file) as client:
        transaction = client.deposit(money.parse(amount))
    screen.emit({"transaction": transaction})
    screen.say(f"[green]✓[/] deposited {amount}")


@wallet.command()
def withdraw(
    amount: AmountArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take tokens that no deal locks back out of the deposit."""
    screen = Screen(as_json)
    with cancellable(), open_account(home, password_file) as ledger:
        token, account = ledger.network.contracts["token"], _account(ledger.key)
        receipt = ledger.payments.withdraw(token, account, money.parse(amount))
    screen.emit({"transaction": receipt.hash})
    screen.say(f"[green]✓[/] withdrew {amount}")


@wallet.command()
def send(
    to: Annotated[str, typer.Argument(help="Account that gets them, an address.")],
    amount: Annotated[str, typer.Argument(help="Amount in whole tokens or coins, such as 2.5.")],
    *,
    coins: Annotated[
        bool, typer.Option("--coins", help="Send the chain's coins, which pay for gas.")
    ] = False,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send tokens of the network, or coins of its chain, to another account."""
    from freehold.cli import sending

    screen, recipient, units = Screen(as_json), address(to), money.parse(amount)
    with cancellable(), open_account(home, password_file) as ledger:
        purse = sending.Coins(ledger) if coins else sending.Tokens(ledger)
        purse.check(recipient, units)
        unit = purse.unit
        told = f"{money.show(units, places=18)} {unit}"
        screen.confirm(f"Send {told} to {recipient}? Nobody can take it back.", yes=yes)
        receipt = purse.send(recipient, units)
        left = purse.held()
    screen.emit(
        {
            "transaction": receipt.hash, "block": receipt.block, "to": recipient,
            "amount": units, "unit": unit, "gas": receipt.gas_used, "left": left,
        }
    )  # fmt: skip
    screen.say(f"[green]✓[/] sent {told} to {recipient}; {money.show(left)} are left")
    screen.say(f"  transaction {receipt.hash} in block {receipt.block:,}")


def _account(key: object) -> Address:
    from freehold.domain.keys import Key

    if not isinstance(key, Key):
        raise TypeError("a ledger with a key")
    return key.address
