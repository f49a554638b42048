"""An account brought back into a home from its recovery kit."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.cli.home import Home, read_text
from freehold.cli.wallets import WalletFolder
from freehold.client.client import Client
from freehold.client.journal import Journal
from freehold.client.ledger_chain import LedgerChain
from freehold.client.peers import Peers
from freehold.client.reading import Library
from freehold.client.recovery import check_kit, recover_wallet
from freehold.client.retrieval import Cheques
from freehold.client.token import Identity
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
    """What came back: the account, how many objects, and the deals that no node spoke for."""

    account: Address
    objects: int
    unread: tuple[int, ...]


def recover_home(home: Home, kit_text: str, password: str, descriptor: Path | None) -> Recovered:
    """Fill an empty home from a kit; ConflictError when it has another wallet already.

    The network is found from the kit's registry, or read from ``descriptor``.
    """
    kit = RecoveryKit.parse(kit_text)
    network = Network.parse(read_text(descriptor)) if descriptor else _locate(kit.locator)
    folder = WalletFolder(home.wallet)
    key = kit.account()
    if not folder.exists():
        folder.create(kit.phrase, password)
    write_whole(home.descriptor, network.render().encode(), mode=PUBLIC)
    return _read_all(folder, network, key, kit)


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
        return Recovered(key.address, len(client.ls()), tuple(u.deal for u in unread))


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
