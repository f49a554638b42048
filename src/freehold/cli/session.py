"""What a command opens to do its work: the home, its network, the ledger, the client."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.cli.home import Home, open_home, read_text
from freehold.domain.errors import AccessError, UnavailableError

if TYPE_CHECKING:
    from freehold.client.client import Client
    from freehold.client.options import Options
    from freehold.domain.ids import Address
    from freehold.domain.keys import Key
    from freehold.ledger.ledger import Ledger


def read_password(home: Home, password_file: Path | None = None) -> str:
    """The keystore's password: from a file, the environment, the home, or the keyboard."""
    if password_file is not None:
        return read_text(password_file).strip()
    if (given := os.environ.get("FREEHOLD_PASSWORD")) is not None:
        return given
    if home.password_file.exists():
        return home.password()
    return ask_password("Password of the wallet: ")


def new_password(home: Home, password_file: Path | None = None) -> str:
    """A password for a new keystore, asked twice at the keyboard."""
    if password_file is not None or "FREEHOLD_PASSWORD" in os.environ:
        return read_password(home, password_file)
    if home.password_file.exists():
        return home.password()
    first = ask_password("New password for the wallet: ")
    if ask_password("Again: ") != first:
        raise AccessError("the two passwords differ", remedy="Run the command again.")
    return first


def ask_password(prompt: str) -> str:
    """Read a password without showing it; AccessError where nobody can type."""
    if not sys.stdin.isatty():
        raise AccessError(
            "the wallet's password is needed and nobody is there to type it",
            remedy="Name a file with --password-file, or set FREEHOLD_PASSWORD.",
        )
    import getpass

    return getpass.getpass(prompt)


@contextmanager
def open_client(
    root: Path | None, password_file: Path | None = None, options: Options | None = None
) -> Iterator[Client]:
    """The client of the home's wallet on the home's network."""
    from freehold.cli.wallets import WalletFolder
    from freehold.client.client import Client

    home = open_home(root)
    network = home.network()
    folder = WalletFolder(home.wallet)
    folder.address()
    wallet = folder.unlock(read_password(home, password_file), network_id=network.network_id)
    with _answering(home):
        client = Client.open(network, wallet, folder.state, options=options)
    with client:
        yield client


@contextmanager
def open_ledger(root: Path | None, *, key: Key | None = None) -> Iterator[Ledger]:
    """The ledger of the home's network; without a key it only reads."""
    from freehold.ledger.ledger import Ledger

    home = open_home(root)
    state = home.wallet / "state" / "ledger" if key else home.root / "reader"
    with _answering(home):
        ledger = Ledger.open(home.network(), state=state, key=key)
    with ledger:
        yield ledger


@contextmanager
def _answering(home: Home) -> Iterator[None]:
    """Say how to start a network of this machine when its ledger does not answer."""
    try:
        yield
    except UnavailableError as error:
        if not home.devnet.exists():
            raise
        raise UnavailableError(
            f"the network in {home.root} does not answer ({error.message})",
            remedy="Start it with `freehold up`, in another terminal or with --detach.",
        ) from error


@contextmanager
def open_account(root: Path | None, password_file: Path | None = None) -> Iterator[Ledger]:
    """The ledger with the wallet's key, to send transactions."""
    from freehold.cli.wallets import WalletFolder

    home = open_home(root)
    folder = WalletFolder(home.wallet)
    folder.address()
    with open_ledger(root, key=folder.key(read_password(home, password_file))) as ledger:
        yield ledger


def sender(ledger: Ledger) -> Address:
    """The account whose key the ledger holds."""
    if ledger.key is None:
        raise AccessError("the account's key is needed", remedy="Open its wallet.")
    return ledger.key.address
