"""A town with a telemetry service, devices that report as processes, and more watchers."""

from __future__ import annotations

import json
import random
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from environment import outside
from typer.testing import CliRunner

from freehold.cli import processes
from freehold.cli.enlist import Enlistment, enlist
from freehold.cli.home import Home
from freehold.cli.local import GENESIS, LocalNetwork, folder_password, lacking, node_key
from freehold.cli.main import app
from freehold.cli.processes import Child
from freehold.domain.clock import SystemClock
from freehold.domain.errors import FreeholdError
from freehold.domain.files import PUBLIC, write_whole
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.ledger import keystore
from freehold.ledger.contracts.registry import WATCHER
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import JOURNEY, DeployPlan
from freehold.ledger.sensing import Sensing
from freehold.node.agent.agent import Agent
from freehold.node.agent.settings import load
from freehold.node.telemetry.settings import PREFIX
from freehold.telemetry.broker import BINARY
from freehold.telemetry.metrics import INTERVAL
from journeys.town import QUICK, Town
from journeys.zygote import launch
from unit.ledger.founding import installed_engine

PATIENCE = 150.0
POLL = 0.1
ROUND = 12
"""Seconds of a watchers' round."""
STAKE, RICH = 1_000 * UNIT, 10_000 * UNIT
Json = Mapping[str, object]
Row = dict[str, object]


def wait_for(what: str, ready: Callable[[], bool], *, patience: float = PATIENCE) -> None:
    """Return once ``ready`` is true; fail where that takes longer than ``patience`` seconds."""
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while not ready():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        pause.wait(POLL)


@dataclass(frozen=True, slots=True)
class Seat:
    """A watcher: its folder, and the key that it signs with."""

    folder: Path
    key: Key
    owner: Key


@dataclass(frozen=True, slots=True)
class Field:
    """A town whose telemetry service runs; the wallet owns the devices."""

    town: Town

    @property
    def home(self) -> Home:
        return self.town.home

    @property
    def root(self) -> Path:
        return self.town.home.root

    @classmethod
    def found(
        cls, root: Path, *, round_length: int = ROUND, service: Mapping[str, str] | None = None
    ) -> Field:
        """A ledger, a watcher and a telemetry service in an empty folder, no node; skips where the
        engine or the service's libraries are not there. ``service`` has settings by name."""
        installed_engine()
        if missing := lacking():
            pytest.skip(f"no telemetry service: {missing} is not installed")
        home = Home(root)
        home.claim()
        given = {f"{PREFIX}{name.upper()}": text for name, text in (service or {}).items()}
        local = LocalNetwork(home, lambda _: None, environment=given, telemetry=True, launch=launch)
        try:
            _deploy(home, local.start_devnet(admin=True), round_length=round_length)
            town = Town(local, local.start(nodes=0, parameters=JOURNEY))
        except BaseException:
            local.stop()
            raise
        keystore.save(town.wallet.key_file, town.key(), home.password(), cost=QUICK, replace=True)
        return cls(town)

    def freehold(self, *arguments: str) -> Json:
        """Run a command on this home with --json; its document, a list under ``rows``."""
        kept = outside()
        password = self.home.password()
        done = subprocess.run(
            [sys.executable, "-m", "freehold.cli", *arguments, "--json"],
            capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
            env=kept | {"FREEHOLD_HOME": str(self.root), "FREEHOLD_PASSWORD": password},
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        document = json.loads(done.stdout)
        return document if isinstance(document, dict) else {"rows": document}

    def asked(self, *arguments: str) -> Json | FreeholdError:
        """As ``freehold`` in this process, for what is asked again and again."""
        given = {"FREEHOLD_HOME": str(self.root), "FREEHOLD_PASSWORD": self.home.password()}
        done = CliRunner().invoke(app, [*arguments, "--json"], env=given)
        if isinstance(done.exception, FreeholdError):
            return done.exception
        assert done.exit_code == 0, f"{arguments}: {done.output}"
        document = json.loads(done.stdout)
        return document if isinstance(document, dict) else {"rows": document}

    @property
    def service(self) -> dict[str, str]:
        """What the service says of itself in its ``ready.json``."""
        found = json.loads((self.home.telemetry / "ready.json").read_text())
        assert isinstance(found, dict)
        return found

    def start_service(self) -> None:
        """Start the service and wait until it serves."""
        self.town.local.await_ready(self.town.local.start_telemetry())

    # --- devices ---------------------------------------------------------------------------------

    def add_device(
        self, name: str, *, sensors: str, services: str = "", board: Path | None = None,
        interval: int = 1, batch: int = 1,
    ) -> Address:  # fmt: skip
        """Enrol a device of the wallet through the command line; it does not run yet."""
        url = services or self.service["url"]
        given = ["device", "add", name, "--sensors", sensors, "--service", url]
        given += ["--interval", str(interval), *(["--board", str(board)] if board else [])]
        made = self.freehold(*given)
        folder = self.folder(name)
        replace(load(folder), batch=batch).write(folder)
        return Address(str(made["device"]))

    def folder(self, name: str) -> Path:
        """The folder of a device."""
        return self.root / "devices" / name

    def start_agent(self, name: str) -> Child:
        """Run a device's agent as a process."""
        arguments = ["freehold.node.agent", "--home", str(self.folder(name))]
        return processes.start(self.home, f"device-{name}", arguments)

    def stop_agent(self, name: str) -> None:
        """End a device's agent in order."""
        child = processes.find(self.home, f"device-{name}")
        assert child is not None, f"{name} does not run"
        processes.stop(child)

    def measure(self, name: str, seconds: int, *, before: Callable[[int], None]) -> None:
        """Have a device measure for so many seconds up to now, cut off from everybody; ``before``
        is called with the time before it looks. What it measured waits in its buffer."""
        clock = [time.time() - seconds]
        agent = Agent.open(self.folder(name), wall=lambda: clock[0])
        for _ in range(seconds):
            before(int(clock[0]))
            agent.sense()
            clock[0] += 1.0
        agent.stop()
        agent.run()

    def drain(self, name: str) -> None:
        """End a device's agent, and have all that waits in its buffer delivered."""
        self.stop_agent(name)
        agent = Agent.open(self.folder(name))
        wait_for(f"{name} has delivered all", lambda: not _sends(agent))
        agent.stop()
        agent.run()

    def readings(self) -> dict[str, list[Row]]:
        """What ``freehold telemetry query`` shows of this machine's devices, by name, a row a
        reading of a sensor; those of whom nothing is stored are left out, and what is estimated."""
        found = self.asked("telemetry", "query", "--unsound")
        if isinstance(found, FreeholdError):
            assert "reported yet" in found.message, found.message
            return {}
        rows = found["rows"]
        assert isinstance(rows, list)
        devices = {load(each).address: each.name for each in (self.root / "devices").iterdir()}
        return {
            devices[answer["device"]]: [
                each
                for row in answer["rows"]
                if (each := dict(zip(answer["columns"], row, strict=True)))["metric"] != INTERVAL
                and each["std"] == 0  # the rest is estimated, of a device that paused
            ]
            for answer in rows
            if answer["device"] in devices
        }

    # --- watchers --------------------------------------------------------------------------------

    def seat(self, number: int, *, stake: int = STAKE) -> Seat:
        """Enlist one more watcher with an owner of its own."""
        folder = self.root / "watchers" / str(number)
        password = folder_password(folder)
        key, owner = (node_key(folder / f"{kind}.json", password) for kind in ("key", "owner"))
        with self.funder() as funder:
            funder.transfer(key.address, 10 * UNIT)
            funder.transfer(owner.address, 10 * UNIT)
            funder.send("token", "transfer", (owner.address, RICH))
        with Ledger.open(self.town.network, state=folder / "owner", key=owner) as ledger:
            enlist(ledger, key, Enlistment(roles=WATCHER, stake=stake))
        return Seat(folder, key, owner)

    def stake(self, seat: Seat, amount: int) -> None:
        """Put more stake behind a watcher; it counts from the round after it is recorded."""
        with Ledger.open(self.town.network, state=seat.folder / "owner", key=seat.owner) as ledger:
            ledger.token.approve(ledger.network.contracts["staking"], amount)
            ledger.staking.stake(seat.key.address, amount)

    def start_watcher(self, seat: Seat) -> Child:
        """Run a watcher as a process."""
        arguments = ["freehold.node.watcher", "--home", str(seat.folder)]
        arguments += ["--network", str(self.home.descriptor)]
        return launch(self.home, f"watcher-{seat.folder.name}", arguments)

    def warp(self, ledger: Ledger, seconds: int) -> None:
        """Let so many seconds of the chain pass at once."""
        ledger.rpc.request("evm_increaseTime", max(seconds, 0))
        ledger.rpc.request("evm_mine")

    @contextmanager
    def funder(self) -> Iterator[Ledger]:
        """The ledger of the account that has all tokens."""
        state, devnet = self.root / "founding" / "ledger", Devnet.attach(self.root)
        with Ledger.open(self.town.network, state=state, key=devnet.funder) as ledger:
            yield ledger

    @contextmanager
    def wallet(self) -> Iterator[Ledger]:
        """The ledger of the wallet's account."""
        state = self.root / "mine"
        with Ledger.open(self.town.network, state=state, key=self.town.key()) as ledger:
            yield ledger


def _deploy(home: Home, devnet: Devnet, *, round_length: int) -> None:
    """As the local network founds itself, with other rounds."""
    watcher = node_key(home.watcher / "key.json", folder_password(home.watcher))
    plan = DeployPlan(
        name="local",
        parameters=JOURNEY,
        allocation={devnet.funder.address: GENESIS},
        sensing=Sensing(round_length),
        watchers=(watcher.address,),
    )
    network = deploy(
        plan,
        rpc_urls=(devnet.url,),
        chain_id=devnet.chain_id,
        key=devnet.funder,
        state=home.root / "founding",
        random=secrets.token_bytes,
        clock=SystemClock(),
    )
    write_whole(home.descriptor, network.render().encode(), mode=PUBLIC)


@dataclass
class Gauge:
    """A sensor as a file that is written anew several times a second while the body runs:
    ``value`` and a normal noise of ``spread`` from a ``seed``."""

    file: Path
    value: float
    metric: str = "roof.temperature"
    unit: str = "Cel"
    spread: float = 0.03
    seed: int = 7

    def __post_init__(self) -> None:
        self._noise = random.Random(self.seed)

    @property
    def sensor(self) -> str:
        """As settings name it."""
        return f"file:{self.file}"

    def write(self, _: int = 0) -> None:
        """A line as drivers write it: whole or not at all."""
        value = self._noise.gauss(self.value, self.spread)
        part = self.file.with_suffix(".part")
        part.write_text(f"{self.metric} {self.unit} {value:.4f}\n")
        part.replace(self.file)


@contextmanager
def running(gauges: Sequence[Gauge], *, every: float = 0.2) -> Iterator[None]:
    """Write all gauges again and again on a thread of its own while the body runs."""
    stop = threading.Event()
    for gauge in gauges:
        gauge.write()

    def work() -> None:
        while not stop.wait(every):
            for gauge in gauges:
                gauge.write()

    thread = threading.Thread(target=work, name="gauges", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class Tape:
    """A program that prints the next line of a tape each time."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, lines: Iterable[str]) -> Tape:
        """One with these lines, at its beginning."""
        folder.mkdir()
        made = cls(folder)
        made._count.write_text("0\n")
        (folder / "tape").write_text("".join(f"{line}\n" for line in lines))
        made._program.write_text(
            f"read n < {made._count}\nn=$((n + 1))\necho $n > {made._count}\n"
            f'sed -n "${{n}}p" {folder / "tape"}\n'
        )
        return made

    @property
    def sensor(self) -> str:
        """As settings name it."""
        return f"exec:/bin/sh {self._program}"

    @property
    def count(self) -> int:
        """Lines that were read; while the program writes it down, those of before may be told."""
        text = ""
        while not text.endswith("\n"):
            text = self._count.read_text()
        return int(text)

    @property
    def _count(self) -> Path:
        return self.folder / "count"

    @property
    def _program(self) -> Path:
        return self.folder / "turn"


@dataclass(frozen=True, slots=True)
class Loop:
    """A program that gives the line of a tape for each second from ``start`` on: for the time in
    a file ``clock``, or else the next one each time from this machine's present second on, so that
    it does not matter when in a second it is asked."""

    folder: Path
    start: int

    @classmethod
    def make(cls, folder: Path, lines: Iterable[str], *, start: int) -> Loop:
        """One whose first line is of the second ``start``."""
        folder.mkdir()
        (folder / "tape").write_text("".join(f"{line}\n" for line in lines))
        clock, after = folder / "clock", folder / "next"
        (folder / "turn").write_text(
            f"if [ -f {clock} ]; then read n < {clock}\n"
            f"else if [ -f {after} ]; then read n < {after}; else n=$(date +%s); fi\n"
            f"echo $((n + 1)) > {after}; fi\n"
            f'sed -n "$((n - {start} + 1))p" {folder / "tape"}\n'
        )
        return cls(folder, start)

    @property
    def sensor(self) -> str:
        """As settings name it."""
        return f"exec:/bin/sh {self.folder / 'turn'}"

    def set(self, now: int) -> None:
        """Have it take another time for this machine's."""
        (self.folder / "clock").write_text(f"{now}\n")

    def reset(self) -> None:
        """Have it look at this machine's clock."""
        (self.folder / "clock").unlink(missing_ok=True)


def need_broker() -> None:
    """Skip where no broker is installed."""
    if shutil.which(BINARY) is None:
        pytest.skip(f"no {BINARY}")


def _sends(agent: Agent) -> bool:
    """Whether something waited; True too where nobody took it."""
    try:
        return agent.send()
    except FreeholdError:
        return True


def board(folder: Path, *lines: str) -> Path:
    """A board of lines that are all off."""
    for line in lines:
        (folder / line).mkdir(parents=True)
        (folder / line / "value").write_text("0")
    return folder
