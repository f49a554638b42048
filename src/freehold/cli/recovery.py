"""An account brought back into a home from its recovery kit."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.cli.home import Home, read_text
from freehold.cli.wallets import WalletFolder
from freehold.client.catalog import Unread
from freehold.client.client import Client
from freehold.client.journal import Journal
from freehold.client.ledger_chain import LedgerChain
from freehold.client.peers import Peers
from freehold.client.reading import Library
from freehold.client.recovery import check_kit, recover_wallet
from freehold.client.retrieval import Cheques
from freehold.client.token import Identity
from freehold.domain.errors import ConflictError
from freehold.domain.files import PUBLIC, write_whole
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger.ledger import Ledger
from freehold.ledger.locate import locate
from freehold.markets.storage.kit import RecoveryKit
from freehold.markets.storage.locator import Locator


@dataclass(frozen=True, slots=True)
class Recovered:
    """What came back: the account, how many objects, and the deals that could not be read."""

    account: Address
    objects: int
    unread: tuple[Unread, ...]


def recover_home(home: Home, kit_text: str, password: str, descriptor: Path | None) -> Recovered:
    """Fill a home from a kit: an empty one, or one of the same account and network.

    The network is found from the kit's registry, or read from ``descriptor``. ConflictError when
    the home is another account's or network's, AccessError when its wallet has another password.
    """
    kit = RecoveryKit.parse(kit_text)
    folder = WalletFolder(home.wallet)
    key = kit.account()
    if folder.exists():
        _check_own(folder, key, password)
    network = Network.parse(read_text(descriptor)) if descriptor else _locate(kit.locator)
    if home.descriptor.exists():
        _check_same(home, network)
    if not folder.exists():
        folder.create(kit.phrase, password)
    if not home.descriptor.exists():
        write_whole(home.descriptor, network.render().encode(), mode=PUBLIC)
    return _read_all(folder, network, key, kit)


def _check_own(folder: WalletFolder, key: Key, password: str) -> None:
    if folder.address() != key.address:
        raise ConflictError(
            f"the wallet in {folder.path} is that of {folder.address()}, the kit that of "
            f"{key.address}",
            remedy="Recover into another --home.",
        )
    folder.key(password)


def _check_same(home: Home, network: Network) -> None:
    present = home.network()
    if present.network_id != network.network_id:
        raise ConflictError(
            f"{home.root} is a home of the network {present.name}, the kit is of another",
            remedy="Recover into another --home.",
        )


def _locate(locator: Locator) -> Network:
    return locate(
        locator.registry,
        network_id=locator.network_id,
        rpc_urls=locator.rpc_urls,
        chain_id=locator.chain_id,
        deployed_block=locator.deployed_block,
    )


def _read_all(folder: WalletFolder, network: Network, key: Key, kit: RecoveryKit) -> Recovered:
    with Ledger.open(network, state=folder.state / "ledger", key=key) as ledger:
        chain = LedgerChain(ledger)
        check_kit(kit, chain)
        with _library(chain, key, folder.state) as library:
            wallet = recover_wallet(chain, library, key, random=secrets.token_bytes)
    folder.keep(wallet)
    with Client.open(network, wallet, folder.state) as client:
        unread = client.refresh()
        return Recovered(key.address, len(client.ls()), tuple(unread))


@contextmanager
def _library(chain: LedgerChain, key: Key, state: Path) -> Iterator[Library]:
    """Reads columns with nothing but the account's key."""
    domain = chain.network.domain("registry")
    peers = Peers(chain, Identity(key, domain, chain, secrets.token_bytes))
    journal = Journal(state / "journal.db")
    try:
        yield Library(chain, peers, Cheques(chain, journal, key))
    finally:
        peers.close()
        journal.close()
