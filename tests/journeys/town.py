"""A small network of real processes in a folder, for journeys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from freehold.cli import processes
from freehold.cli.home import Home
from freehold.cli.local import Launch, LocalNetwork
from freehold.cli.wallets import WalletFolder
from freehold.client.client import Client
from freehold.client.options import Options
from freehold.domain.errors import UnavailableError
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger import keystore
from freehold.ledger.devnet import engine
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import JOURNEY, Parameters
from journeys.zygote import launch

TAIL = 40
QUICK = 2
"""Key stretching that costs nothing: nobody guesses a test's password."""


@dataclass(frozen=True, slots=True)
class Town:
    """A network that was founded; its processes run from ``start`` to ``stop``.

    ``local`` starts and finds single processes; the account's wallet is funded and deposited.
    """

    local: LocalNetwork
    network: Network

    @classmethod
    def found(
        cls,
        root: Path,
        *,
        nodes: int = 6,
        parameters: Parameters = JOURNEY,
        admin: bool = False,
        launch: Launch = launch,
    ) -> Town:
        """Found a network in an empty folder and start it; skips where no engine can be had."""
        try:
            engine.install()
        except UnavailableError as error:
            pytest.skip(f"no engine for a devnet: {error.message}")
        home = Home(root)
        home.claim()
        local = LocalNetwork(home, lambda _: None, launch=launch)
        try:
            town = cls(local, local.start(nodes=nodes, parameters=parameters, admin=admin))
        except BaseException:
            local.stop()
            raise
        keystore.save(town.wallet.key_file, town.key(), home.password(), cost=QUICK, replace=True)
        return town

    @classmethod
    def reopen(cls, root: Path) -> Town:
        """A town that was founded in this folder."""
        local = LocalNetwork(Home(root), lambda _: None, launch=launch)
        return cls(local, local.home.network())

    @property
    def home(self) -> Home:
        """Where everything lies."""
        return self.local.home

    @property
    def wallet(self) -> WalletFolder:
        """The funded account."""
        return WalletFolder(self.home.wallet)

    def key(self) -> Key:
        """The account's key."""
        return self.wallet.key(self.home.password())

    def launched(self, launch: Launch, *, environment: Mapping[str, str] | None = None) -> Town:
        """The same town, whose processes are started in another way from now on."""
        local = replace(self.local, launch=launch, environment=environment)
        return replace(self, local=local)

    def start(self) -> None:
        """Start what does not run, and wait until it serves."""
        self.local.start_devnet()
        self.local.start_members()

    def stop(self) -> None:
        """Stop all processes in order."""
        self.local.stop()

    def kill(self, name: str) -> None:
        """End a node, the ``watcher`` or the ``ledger`` as a power cut would."""
        if name == "ledger":
            Devnet.attach(self.home.root).kill()
            return
        child = processes.find(self.home, name)
        assert child is not None, f"{name} does not run"
        processes.kill(child)

    @contextmanager
    def client(self, options: Options | None = None) -> Iterator[Client]:
        """The client of the funded account."""
        wallet = self.wallet.unlock(self.home.password(), network_id=self.network.network_id)
        with Client.open(self.network, wallet, self.wallet.state, options=options) as client:
            yield client

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, to read."""
        with Ledger.open(self.network, state=self.home.root / "reader", key=None) as ledger:
            yield ledger

    def tails(self) -> str:
        """The last lines of every log."""
        logs = [*sorted(self.home.logs.glob("*.log")), self.home.devnet / "devnet.log"]
        return "\n".join(tail(log) for log in logs if log.exists())


def tail(log: Path) -> str:
    """The last lines of a log under its name."""
    lines = log.read_text(errors="replace").splitlines()[-TAIL:]
    return "\n".join([f"--- {log.name}", *lines])


@dataclass(frozen=True, slots=True)
class Logs:
    """Logs outside of any home."""

    folder: Path

    def tails(self) -> str:
        """The last lines of every log."""
        return "\n".join(tail(log) for log in sorted(self.folder.glob("*.log")))
