"""The account: its wallet (create, show, backup, restore, deposit, withdraw, send), its stake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.amounts import moment
from freehold.cli.home import find_home, open_home, read_text
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import new_password, open_account, open_client, open_ledger, read_password
from freehold.domain import money
from freehold.domain.errors import ConflictError
from freehold.domain.files import write_whole
from freehold.domain.ids import Address, address, caip10

wallet = typer.Typer(name="wallet", help="The account's key and money.", no_args_is_help=True)
stake = typer.Typer(name="stake", help="Stake behind nodes.", no_args_is_help=True)

AmountArgument = Annotated[str, typer.Argument(help="Amount in whole tokens, such as 2.5.")]
NodeArgument = Annotated[str, typer.Argument(help="Node id, an address.")]


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
    screen.say("Now write down its recovery kit: [bold]freehold wallet backup KIT.txt[/]")


@wallet.command()
def show(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the account's address and money."""
    from freehold.cli.wallets import WalletFolder

    screen, target = Screen(as_json), open_home(home)
    account = WalletFolder(target.wallet).address()
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
    amount: AmountArgument,
    *,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send tokens of the network to another account."""
    from freehold.cli import sending

    screen, recipient, units = Screen(as_json), address(to), money.parse(amount)
    with cancellable(), open_account(home, password_file) as ledger:
        sending.check(ledger, recipient, units)
        told = f"{money.show(units, places=18)} {ledger.token.symbol()}"
        screen.confirm(f"Send {told} to {recipient}? Nobody can take it back.", yes=yes)
        receipt = ledger.token.transfer(recipient, units)
        left = ledger.token.balance_of(sending.sender(ledger))
    screen.emit(
        {
            "transaction": receipt.hash, "block": receipt.block, "to": recipient,
            "amount": units, "gas": receipt.gas_used, "left": left,
        }
    )  # fmt: skip
    screen.say(f"[green]✓[/] sent {told} to {recipient}; {money.show(left)} are left")
    screen.say(f"  transaction {receipt.hash} in block {receipt.block:,}")


def _account(key: object) -> Address:
    from freehold.domain.keys import Key

    if not isinstance(key, Key):
        raise TypeError("a ledger with a key")
    return key.address


@stake.command()
def add(
    node: NodeArgument,
    amount: AmountArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put stake behind a node of yours."""
    screen = Screen(as_json)
    with cancellable(), open_account(home, password_file) as ledger:
        ledger.token.approve(ledger.network.contracts["staking"], money.parse(amount))
        receipt = ledger.staking.stake(address(node), money.parse(amount))
        active = ledger.staking.active(address(node))
    screen.emit({"transaction": receipt.hash, "node": node, "active": active})
    screen.say(f"[green]✓[/] {money.show(active)} stands behind {node}")


@stake.command()
def remove(
    node: NodeArgument,
    amount: Annotated[
        str | None, typer.Argument(help="Amount to unbond; none: withdraw what is ready.")
    ] = None,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Unbond stake; without an amount, withdraw what has waited long enough."""
    screen = Screen(as_json)
    target = address(node)
    with cancellable(), open_account(home, password_file) as ledger:
        if amount is not None:
            event = ledger.staking.unbond(target, money.parse(amount)).one("Unbonded")
            screen.emit({"entry": event.number("entry"), "ready_at": event.number("ready_at")})
            when = moment(event.number("ready_at"))
            screen.say(f"[green]✓[/] unbonding {amount}; ready at {when}")
            return
        taken = _withdraw_ready(ledger, target)
    screen.emit({"node": node, "withdrawn": taken})
    screen.say(f"[green]✓[/] withdrew {money.show(taken)}")


def _withdraw_ready(ledger: object, node: Address) -> int:
    from freehold.ledger.ledger import Ledger

    if not isinstance(ledger, Ledger):
        raise TypeError("a ledger")
    account = _account(ledger.key)
    ledger.index.sync()
    where = {"node": node, "staker": account}
    done = {e.number("entry") for e in ledger.index.events("staking", "Withdrawn", where=where)}
    taken, waiting = 0, 0
    for event in ledger.index.events("staking", "Unbonded", where=where):
        if event.number("entry") in done:
            continue
        if event.number("ready_at") > ledger.now():
            waiting = event.number("ready_at")
            continue
        receipt = ledger.staking.withdraw(node, event.number("entry"))
        taken += receipt.one("Withdrawn").number("amount")
    if not taken:
        when = f"the next is ready at {moment(waiting)}" if waiting else "nothing is unbonding"
        raise ConflictError(
            f"no stake of {node} can be withdrawn: {when}",
            remedy="Unbond first: `freehold stake remove NODE AMOUNT`, then wait.",
        )
    return taken
