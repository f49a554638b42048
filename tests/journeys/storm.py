"""Processes that are killed and started again: what a test ends at random moments."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from freehold.cli import processes
from freehold.cli.local import WATCHER_NAME
from freehold.cli.processes import Child
from freehold.domain.errors import FreeholdError
from freehold.ledger.devnet.home import running_pid
from freehold.ledger.devnet.process import Devnet
from journeys.promises import Ledger, Promises
from journeys.town import Town

POLL = 0.02
PATIENCE = 150.0
NO_LEDGER = "no RPC answered"


def wait_for(what: str, ready: Callable[[], bool], *, patience: float = PATIENCE) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + patience
    while not ready():
        assert time.monotonic() < deadline, f"waited {patience:.0f} s in vain until {what}"
        time.sleep(POLL)


class Victim(Protocol):
    """A process that the storm ends and starts."""

    kind: str

    def start(self) -> None:
        """Start it; it need not be ready when this returns."""

    def kill(self) -> bool:
        """SIGKILL; False when it was not there to be killed."""

    def check(self) -> None:
        """Fail when it ended by itself."""


@dataclass(slots=True)
class Member:
    """A node, the watcher or a client: ``begin`` starts it, ``log`` is what it writes.

    One that finds no ledger when it starts ends with a word about it, and is started again, as
    a supervisor of services would.
    """

    kind: str
    name: str
    begin: Callable[[], Child]
    log: Path
    child: Child | None = None

    def start(self) -> None:
        """Start it."""
        self.child = self.begin()

    def kill(self) -> bool:
        """End it at once."""
        self.check()
        child, self.child = self.child, None
        if child is None:
            return False
        processes.kill(child)
        return True

    def check(self) -> None:
        """It runs, unless it was killed or found no ledger."""
        if self.child is not None and not self.child.alive():
            last = self.log.read_text().splitlines()[-2:]
            assert NO_LEDGER in "".join(last), f"{self.name} ended by itself: {last}"
            self.start()


@dataclass(slots=True)
class LedgerServer:
    """The devnet; starting it takes a while, and it may be killed meanwhile."""

    town: Town
    kind: str = "devnet"
    _starting: Future[Devnet | None] | None = None
    _killed: bool = False
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def start(self) -> None:
        """Start it in the background."""
        self._killed = False
        self._starting = self._pool.submit(self._start)

    def _start(self) -> Devnet | None:
        try:
            return self.town.local.start_devnet()
        except FreeholdError:
            if self._killed:
                return None
            raise

    def kill(self) -> bool:
        """End it, also while it starts."""
        pid = running_pid(self.town.home.devnet)
        if not pid or self._starting is None:
            return False
        self._killed = True
        os.kill(pid, signal.SIGKILL)
        devnet = self._starting.result(PATIENCE)
        self._starting = None
        if devnet is not None:
            devnet.kill()
        wait_for("the devnet is gone", lambda: running_pid(self.town.home.devnet) is None)
        return True

    def check(self) -> None:
        """Fail when it could not start."""
        if self._starting is not None and self._starting.done():
            devnet = self._starting.result()
            assert devnet is None or devnet.alive, "the devnet ended by itself"

    def ready(self) -> None:
        """Wait until it answers."""
        if self._starting is not None:
            self._starting.result(PATIENCE)


@dataclass(slots=True)
class Storm:
    """All victims of a town, and what the clients among them were told."""

    town: Town
    draw: random.Random
    devnet: LedgerServer
    nodes: list[Member]
    watcher: Member
    clients: list[Member]
    ledgers: list[Ledger]
    kills: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def over(cls, town: Town, *, seed: int, clients: int, notes: Path, logs: Path) -> Storm:
        """The victims of a town; ``notes`` is where clients write down what they were told,
        ``logs`` where the logs are."""
        local = town.local
        nodes = [
            Member("node", at.name, partial(local.start_node, at.name), logs / f"{at.name}.log")
            for at in town.home.nodes()
        ]
        watcher = Member("watcher", WATCHER_NAME, local.start_watcher, logs / f"{WATCHER_NAME}.log")
        names = [f"client-{number}" for number in range(clients)]
        ledgers = [Ledger(notes / f"{name}.jsonl") for name in names]
        storm = cls(town, random.Random(seed), LedgerServer(town), nodes, watcher, [], ledgers)
        storm.clients = [
            Member("client", name, partial(storm.work, seed, name, ledger), logs / f"{name}.log")
            for name, ledger in zip(names, ledgers, strict=True)
        ]
        return storm

    def work(self, seed: int, name: str, ledger: Ledger) -> Child:
        """Start a client."""
        fresh = f"{seed} {name} {self.starts['client']}"
        arguments = ["journeys.worker", str(self.town.home.root), name, fresh, str(ledger.path)]
        local = self.town.local
        return local.launch(local.home, name, arguments, environment=local.environment)

    @property
    def victims(self) -> list[Victim]:
        """All of them."""
        return [self.devnet, *self.members]

    @property
    def members(self) -> list[Member]:
        """All but the devnet."""
        return [*self.nodes, self.watcher, *self.clients]

    def start(self, victims: Sequence[Victim]) -> None:
        """Start some."""
        for victim in victims:
            victim.start()
            self.starts[victim.kind] += 1

    def kill(self, victims: Sequence[Victim]) -> list[Victim]:
        """Kill some; those that were there."""
        killed = [victim for victim in victims if victim.kill()]
        self.kills.update(victim.kind for victim in killed)
        return killed

    def ready(self) -> None:
        """Wait until all serve; what found no ledger is started again."""
        self.devnet.ready()
        self.check()
        for member in (*self.nodes, self.watcher):
            member.check()
            assert member.child is not None
            self.town.local.await_ready(member.child)

    def check(self) -> None:
        """Fail when something ended by itself or a client read what it should not."""
        for victim in self.victims:
            victim.check()
        wrong = [line for told in self.told() for line in told.wrong]
        assert not wrong, wrong

    def told(self) -> list[Promises]:
        """What every client was told."""
        return [Promises.of(ledger) for ledger in self.ledgers]

    def progress(self, steps: int, *, patience: float) -> None:
        """Wait until the clients wrote ``steps`` times, for a while."""
        deadline = time.monotonic() + patience
        seen = self._written()
        while steps > 0 and time.monotonic() < deadline:
            time.sleep(POLL)
            if (now := self._written()) != seen:
                seen, steps = now, steps - 1

    def _written(self) -> int:
        return sum(each.path.stat().st_size for each in self.ledgers if each.path.exists())

    def calm(self) -> None:
        """Let the clients finish what they do, and everything else go on."""
        for client in self.clients:
            if client.child is not None:
                child, client.child = client.child, None
                processes.stop(child, patience=PATIENCE)
        self.ready()

    def stop_nodes(self) -> None:
        """Stop the nodes in order, so that their disks can be looked at."""
        for node in self.nodes:
            if node.child is not None:
                child, node.child = node.child, None
                processes.stop(child)
