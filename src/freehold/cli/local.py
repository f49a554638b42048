"""A whole network on this machine: founded once, started and stopped as often as wanted."""

from __future__ import annotations

import json
import os
import secrets
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from freehold.cli import processes
from freehold.cli.enlist import WATCHER, Enlistment, due, enlist
from freehold.cli.home import Home
from freehold.cli.processes import Child
from freehold.cli.wallets import WalletFolder
from freehold.domain.clock import SystemClock
from freehold.domain.errors import FreeholdError
from freehold.domain.files import PUBLIC, write_whole
from freehold.domain.ids import Address, address
from freehold.domain.keys import Key, new_phrase
from freehold.domain.money import UNIT
from freehold.domain.network import Network
from freehold.ledger import keystore
from freehold.ledger.contracts.registry import OPERATOR, STORAGE
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.ports import free_port, is_free
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import DeployPlan, Parameters
from freehold.node.settings import load

READY = "ready.json"
WATCHER_NAME = "watcher"
TELEMETRY_NAME = "telemetry"
OPS = ("duckdb", "nats", "google.protobuf", "opentelemetry.proto", "cramjam")
"""What the extra `ops` installs, and the telemetry service needs."""
SENSING = {"devices", "roots"}
"""Contracts that it needs."""
LEDGER_NAME = "ledger"
DOWN = "stopped with the network"
GENESIS = 100_000_000 * UNIT
STAKE = 1_000 * UNIT
ALLOWANCE = 10_000 * UNIT
BOND = 1_000 * UNIT
"""Tokens of the telemetry service: the bond behind the roots by which it pays devices."""
DEPOSIT = 1_000 * UNIT
COINS = 1_000 * UNIT
CAPACITY = "16GiB"
COST = 2**12
"""Key stretching for unattended keys: their random password lies in the same folder."""

Say = Callable[[str], None]


class Launch(Protocol):
    """How a process is started: as ``processes.start`` does it."""

    def __call__(
        self,
        home: Home,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None,
    ) -> Child:
        """Start ``python -m <arguments>`` with ``environment`` on top of this process's own."""


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """The processes and accounts of one home's network."""

    home: Home
    say: Say
    environment: Mapping[str, str] | None = None
    launch: Launch = processes.start
    telemetry: bool = False

    def start(self, *, nodes: int, parameters: Parameters, admin: bool = False) -> Network:
        """Bring everything up, founding what is not there yet; returns once all answer, and the
        ledger says where."""
        devnet = self.start_devnet(admin=admin)
        network = self._found(devnet, parameters)
        self._enlist_all(network, devnet, nodes)
        started = self.start_members()
        with self._funder(network, devnet) as ledger:
            for child in started:
                if (folder := self.home.node(child.name)) in self.home.nodes():
                    self._await_announced(ledger, child, folder)
        return network

    def start_devnet(self, *, admin: bool = False) -> Devnet:
        """The home's devnet, started unless it runs."""
        self.say("starting the ledger")
        processes.forget_stop(self.home, LEDGER_NAME)
        try:
            return Devnet.attach(self.home.root)
        except FreeholdError:
            environment = {**os.environ, **(self.environment or {})}
            return Devnet.start(
                self.home.root,
                detached=True,
                admin=admin,
                environment=environment,
                progress=self.say,
            )

    def start_members(self) -> list[Child]:
        """Start every node, the telemetry service, then the watcher, those that do not run; wait
        until all are ready.

        The watcher comes last, for it begins the next round: whoever must answer is there then.
        """
        self.say("starting the nodes and the watcher")
        for folder in self.home.nodes():
            runs = processes.find(self.home, folder.name) is not None
            if not runs and keep_port(folder, avoid=self._ports()):
                self.say(f"{folder.name} moves to another port: its own is taken")
        started = [self.start_node(folder.name) for folder in self.home.nodes()]
        for ready, child in enumerate(started, start=1):
            self.await_ready(child)
            self.say(f"{child.name} is ready ({ready} of {len(started)})")
        started += self._try_telemetry()
        watcher = self.start_watcher()
        self.await_ready(watcher)
        return [*started, watcher]

    def start_telemetry(self) -> Child:
        """Start the telemetry service, unless it runs."""
        folder = self.home.telemetry
        arguments = ["freehold.node.telemetry", "--home", str(folder)]
        return self._start(TELEMETRY_NAME, [*arguments, "--network", str(self.home.descriptor)])

    def _try_telemetry(self) -> list[Child]:
        """The telemetry service, if it starts; the network can do without it."""
        if not self._has_telemetry():
            return []
        try:
            self._move_telemetry()
            child = self.start_telemetry()
            self.await_ready(child)
        except FreeholdError as error:
            self._go_without(error)
            return []
        return [child]

    def _go_without(self, error: FreeholdError) -> None:
        self.say(f"the network goes on without telemetry: {error.message}\n  {error.remedy}")

    def _move_telemetry(self) -> None:
        runs = processes.find(self.home, TELEMETRY_NAME) is not None
        if not runs and keep_telemetry_port(self.home.telemetry, avoid=self._ports()):
            self.say("telemetry moves to another port: its own is taken")

    def _has_telemetry(self) -> bool:
        return self.telemetry and (self.home.telemetry / "enlisted").exists() and not lacking()

    def start_node(self, name: str) -> Child:
        """Start one node, unless it runs."""
        folder = self.home.node(name)
        arguments = ["freehold.node", "--home", str(folder), "--network", str(self.home.descriptor)]
        return self._start(name, arguments)

    def start_watcher(self) -> Child:
        """Start the watcher, unless it runs."""
        arguments = ["freehold.node.watcher", "--home", str(self.home.watcher)]
        return self._start(WATCHER_NAME, [*arguments, "--network", str(self.home.descriptor)])

    def await_ready(self, child: Child) -> None:
        """Wait until a node or the watcher says that it serves; UnavailableError otherwise."""
        others = {WATCHER_NAME: self.home.watcher, TELEMETRY_NAME: self.home.telemetry}
        folder = others.get(child.name) or self.home.node(child.name)
        processes.wait_until(
            lambda: _ready_pid(folder / READY) == child.pid, child=child, home=self.home
        )

    def _await_announced(self, ledger: Ledger, child: Child, folder: Path) -> None:
        """Wait until a client can find the node, unless it has left."""
        told = _ready(folder / READY)
        node, endpoint = address(str(told["node"])), told["endpoint"]

        def announced() -> bool:
            entry = ledger.registry.node(node)
            return entry.retired or entry.endpoint == endpoint

        processes.wait_until(announced, child=child, home=self.home)

    def stop(self) -> list[str]:
        """Stop what this home started; the names of what was stopped.

        First the watcher, which begins rounds; then all nodes at once, each of which answers
        the round that is open; the ledger last.
        """
        children = processes.running(self.home)
        processes.stop_all([child for child in children if child.name == WATCHER_NAME])
        processes.stop_all([child for child in children if child.name != WATCHER_NAME])
        stopped = [child.name for child in children]
        try:
            devnet = Devnet.attach(self.home.root)
        except FreeholdError:
            self._note(stopped)
            return stopped
        devnet.stop()
        self._note(stopped)
        return [*stopped, LEDGER_NAME]

    def _note(self, stopped: list[str]) -> None:
        """Say that all is down; last the ledger, also where it had ended by itself."""
        ledger = [LEDGER_NAME] if self.home.devnet.exists() else []
        for name in [*stopped, *ledger]:
            processes.note_stop(self.home, name, DOWN)

    def add_node(self, network: Network, devnet: Devnet) -> str:
        """Found one more node of one more owner and start it; its name."""
        name = f"node-{len(self.home.nodes()) + 1}"
        with self._funder(network, devnet) as funder:
            folder = self.home.node(name)
            self._enlist(network, funder, folder, name)
            child = self.start_node(name)
            self.await_ready(child)
            self._await_announced(funder, child, folder)
        return name

    def _start(self, name: str, arguments: Sequence[str]) -> Child:
        running = processes.find(self.home, name)
        return running or self.launch(self.home, name, arguments, environment=self.environment)

    def _found(self, devnet: Devnet, parameters: Parameters) -> Network:
        if self.home.descriptor.exists():
            return self.home.network()
        watcher = self.home.watcher
        plan = DeployPlan(
            name="local",
            parameters=parameters,
            allocation={devnet.funder.address: GENESIS},
            watchers=(node_key(watcher / "key.json", folder_password(watcher)).address,),
        )
        network = deploy(
            plan,
            rpc_urls=(devnet.url,),
            chain_id=devnet.chain_id,
            key=devnet.funder,
            state=self.home.root / "founding",
            random=secrets.token_bytes,
            clock=SystemClock(),
            progress=self.say,
        )
        write_whole(self.home.descriptor, network.render().encode(), mode=PUBLIC)
        return network

    def _funder(self, network: Network, devnet: Devnet) -> Ledger:
        state = self.home.root / "founding" / "ledger"
        return Ledger.open(network, state=state, key=devnet.funder)

    def _enlist_all(self, network: Network, devnet: Devnet, nodes: int) -> None:
        names = [f"node-{number}" for number in range(1, nodes + 1)]
        with self._funder(network, devnet) as funder:
            for name in names if not self.home.nodes() else []:
                self.home.node(name).mkdir(parents=True)
            for folder in self.home.nodes():
                self._enlist(network, funder, folder, folder.name)
            self._enlist_watcher(network, funder)
            self._try_enlist_telemetry(network, funder)
            self._fund_wallet(network, funder)

    def _enlist(self, network: Network, funder: Ledger, folder: Path, name: str) -> None:
        if (folder / "enlisted").exists():
            return
        self.say(f"enlisting {name}")
        settle = max(network.parameters["period"] * 2, 1)
        port = str(free_port(avoid=self._ports()))
        write_settings(folder, {"capacity": CAPACITY, "settle_every": f"{settle}s", "port": port})
        self._join(network, funder, folder, roles=STORAGE, stake=STAKE)

    def _ports(self) -> set[int]:
        """Those of this home's members, whether they run or not."""
        files = [folder / "node.toml" for folder in self.home.nodes()]
        return {_port(file) for file in (*files, self.home.telemetry / "telemetry.toml")}

    def _enlist_watcher(self, network: Network, funder: Ledger) -> None:
        if (self.home.watcher / "enlisted").exists():
            return
        self.say("enlisting the watcher")
        self.home.watcher.mkdir(parents=True, exist_ok=True)
        self._join(network, funder, self.home.watcher, roles=WATCHER, stake=STAKE)

    def _try_enlist_telemetry(self, network: Network, funder: Ledger) -> None:
        try:
            self._enlist_telemetry(network, funder)
        except FreeholdError as error:
            self._go_without(error)

    def _enlist_telemetry(self, network: Network, funder: Ledger) -> None:
        folder = self.home.telemetry
        if not self.telemetry or not set(network.contracts) >= SENSING:
            return
        if missing := lacking():
            self.say(f"no telemetry: {missing} is not installed (`pip install 'freehold[ops]'`)")
            return
        if (folder / "enlisted").exists():
            return
        self.say("enlisting the telemetry service")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        port = free_port(avoid=self._ports())
        write_whole(folder / "telemetry.toml", f'port = "{port}"\n'.encode())
        self._join(network, funder, folder, roles=OPERATOR, stake=0, tokens=BOND)

    def _join(
        self, network: Network, funder: Ledger, folder: Path, *, roles: int, stake: int,
        tokens: int = 0,
    ) -> None:  # fmt: skip
        password = folder_password(folder)
        node = node_key(folder / "key.json", password)
        owner = node_key(folder / "owner.json", password)
        _fund(funder, node.address, tokens=tokens)
        _fund(funder, owner.address, tokens=stake + due(funder, node.address))
        with Ledger.open(network, state=folder / "owner", key=owner) as ledger:
            enlist(ledger, node, Enlistment(roles=roles, stake=stake))
        write_whole(folder / "enlisted", b"")

    def _fund_wallet(self, network: Network, funder: Ledger) -> None:
        folder = WalletFolder(self.home.wallet)
        if (self.home.wallet / "funded").exists():
            return
        self.say("making and funding your account")
        password = self.home.password()
        if not folder.exists():
            folder.create(new_phrase(), password, cost=COST)
        key = folder.key(password)
        _fund(funder, key.address, tokens=ALLOWANCE)
        self._deposit(network, folder)
        write_whole(self.home.wallet / "funded", b"")

    def _deposit(self, network: Network, folder: WalletFolder) -> None:
        from freehold.client.client import Client

        wallet = folder.unlock(self.home.password(), network_id=network.network_id)
        with Client.open(network, wallet, folder.state) as client:
            if not client.chain.funds().deposited:
                client.deposit(DEPOSIT)


def lacking() -> str:
    """What the telemetry service needs and is not installed; empty where all is there."""
    return next((name for name in OPS if not _installed(name)), "")


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of the package above it
        return False


def is_down(home: Home) -> bool:
    """Whether the network was stopped on purpose and did not start again."""
    return processes.why_stopped(home, LEDGER_NAME) == DOWN


def folder_password(folder: Path) -> str:
    """The password of the keys in a node's folder, drawn once and kept with mode 0600."""
    path = folder / "password"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, secrets.token_urlsafe(24).encode())
    return path.read_text().strip()


def node_key(path: Path, password: str) -> Key:
    """The key in a keystore, drawn when there is none; its password lies in the same folder."""
    if not path.exists():
        keystore.save(path, Key.draw(secrets.token_bytes), password, cost=COST)
    return keystore.load(path, password)


def _fund(funder: Ledger, account: Address, *, tokens: int) -> None:
    """Give gas and tokens once: the tags make a resumed founding find them given."""
    funder.transfer(account, COINS, tag=f"coins:{account}")
    if tokens:
        funder.send("token", "transfer", (account, tokens), tag=f"tokens:{account}")


def write_settings(folder: Path, settings: Mapping[str, str]) -> None:
    """Write a node's node.toml, checked as the node will check it."""
    load(folder, flags=settings, environment={})
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    write_whole(folder / "node.toml", lines.encode())


def keep_telemetry_port(folder: Path, *, avoid: Collection[int] = ()) -> bool:
    """As ``keep_port``, of the telemetry service."""
    from freehold.node.telemetry.settings import FILE
    from freehold.node.telemetry.settings import load as load_telemetry

    mine = load_telemetry(folder, flags={}, environment={})
    if mine.port == 0 or is_free(mine.host, mine.port):
        return False
    written = tomllib.loads((folder / FILE).read_text()) | {"port": free_port(avoid=avoid)}
    lines = "".join(f"{name} = {json.dumps(str(value))}\n" for name, value in written.items())
    write_whole(folder / FILE, lines.encode())
    return True


def keep_port(folder: Path, *, avoid: Collection[int] = ()) -> bool:
    """Give a stopped node another port when somebody else took its own, and none of ``avoid``;
    whether it did so.

    The node tells the registry its new place by itself.
    """
    mine = load(folder, flags={}, environment={})
    if mine.port == 0 or is_free(mine.host, mine.port):
        return False
    written = tomllib.loads((folder / "node.toml").read_text())
    texts = {name: str(value) for name, value in written.items()}
    write_settings(folder, texts | {"port": str(free_port(avoid=avoid))})
    return True


def _port(file: Path) -> int:
    """The port that settings name; 0 where there are none that can be read."""
    try:
        return int(tomllib.loads(file.read_text()).get("port", 0))
    except (OSError, ValueError):
        return 0


def _ready_pid(path: Path) -> int | None:
    pid = _ready(path).get("pid")
    return pid if isinstance(pid, int) else None


def _ready(path: Path) -> Mapping[str, object]:
    """What a process says of itself once it serves; nothing where it does not yet."""
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
