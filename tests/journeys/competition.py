"""A network in which models compete: validators, model nodes of many kinds, watchers, and nobody
who holds a power any more. All of them are processes; block time is moved on from epoch to epoch.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from freehold import templates
from freehold.cli import processes
from freehold.cli.competition import Competition
from freehold.cli.enlist import Enlistment, enlist
from freehold.cli.home import Home
from freehold.cli.local import folder_password, node_key
from freehold.client.asking.asker import Asker
from freehold.client.asking.candidate import Effort
from freehold.client.asking.opening import open_router
from freehold.client.asking.scores import FinalScores
from freehold.client.asking.standing import LedgerRanking
from freehold.domain.clock import SystemClock
from freehold.domain.errors import FreeholdError
from freehold.domain.files import PUBLIC, write_whole
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.money import UNIT, show
from freehold.domain.network import Network
from freehold.ledger.contracts.registry import MODEL, VALIDATOR, WATCHER
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.ports import free_port
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.economy import economy
from freehold.ledger.ledger import Ledger
from freehold.ledger.modeling import Modeling
from freehold.ledger.plan import DeployPlan, devnet
from journeys.court import NOBODY, sent_by_governor
from journeys.digits import COPIER, GARBAGE, NET, RANDOM, Digits, load_scorer, write_model
from journeys.field import wait_for
from journeys.seasons import pass_time, skip_without_engine
from journeys.zygote import Zygote

EPOCH, WINDOW = 120, 120
"""Seconds of an epoch, and for which a root can be disputed."""
ASKING = 48
"""Seconds into an epoch to which time is moved on: every validator asks at once, and has half of
what is left until it may ask no more for it."""
BEGINNING = 31
"""The same in a validator's first epoch, in which it has to start its scorer too."""
TRIES = 3
NAME = "digits"
GENESIS, STAKE, BOND, GRANT = 10**6 * UNIT, 1_000 * UNIT, 1_000 * UNIT, 10 * UNIT
SCORING = {"tasks": 16, "seconds": 5.0, "half_life": 2.0, "agreement": 0.05}
"""Few questions a round, and time for a busy machine."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

GOOD, MORTAL, BAD, THIEF = ("ada", "bea", "cyd", "dot"), "eve", ("random", "garbage"), "copier"
MODELS = (*GOOD, MORTAL, *BAD, THIEF)
JUDGES = ("justus", "judith", "jules")
LOOKERS = ("watcher-1", "watcher-2", "watcher-3")


@dataclass(frozen=True, slots=True)
class Entrant:
    """A node with a home: a model's, a validator's or a watcher's; ``uid`` -1 without a place."""

    name: str
    folder: Path
    key: Key
    port: int
    uid: int = -1

    @property
    def node(self) -> Address:
        return self.key.address


@dataclass(slots=True)
class Contest:
    """The network, its subnet and everyone in it; ``founder`` owns the nodes."""

    home: Home
    network: Network
    founder: Ledger
    digits: Digits
    entrants: dict[str, Entrant]
    zygote: Zygote
    subnet: int = 0

    # --- time --------------------------------------------------------------------------------

    def enter(self, epoch: int, *, after: int = ASKING) -> None:
        """Move block time on into an epoch."""
        start = self.founder.prizes.genesis() + epoch * EPOCH
        pass_time(self.founder, start + after)

    def epoch(self) -> int:
        """The running one."""
        return self.founder.subnet.epoch()

    def begin(self) -> int:
        """The first epoch that every validator commits in, which has to start its scorer meanwhile;
        the next one where a busy machine was too late for it. Its number."""
        judges = [self.entrants[name] for name in JUDGES]
        for _ in range(TRIES):
            epoch = self.epoch() + 1
            self.enter(epoch, after=BEGINNING)
            wait_for(f"validators commit, or {epoch} ends", partial(self._over, judges, epoch))
            if self._all(judges, epoch):
                return epoch
        pytest.fail("the machine is too slow for an epoch")

    def live(self) -> int:
        """The next epoch: every validator that runs reveals what it committed in the one before,
        asks, scores and commits. Its number."""
        epoch = self.epoch() + 1
        self.enter(epoch)
        for judge in (self.entrants[name] for name in JUDGES if self.runs(name)):
            wait_for(f"{judge.name} commits in {epoch}", partial(self._committed, judge, epoch))
            wait_for(f"{judge.name} reveals in {epoch}", partial(self._revealed, judge, epoch))
        assert self.epoch() == epoch, "the machine is too slow for an epoch"
        return epoch

    def _over(self, judges: Sequence[Entrant], epoch: int) -> bool:
        return self._all(judges, epoch) or self.epoch() > epoch

    def _all(self, judges: Sequence[Entrant], epoch: int) -> bool:
        return all(self._committed(judge, epoch) for judge in judges)

    def _committed(self, judge: Entrant, epoch: int) -> bool:
        found = self.founder.subnet.committed(self.subnet, judge.uid, epoch)
        return found.epoch == epoch and found.hashed != bytes(32)

    def _revealed(self, judge: Entrant, epoch: int) -> bool:
        return self.founder.subnet.records(self.subnet, epoch, judge.uid)[0].row != bytes(32)

    # --- processes ---------------------------------------------------------------------------

    def runs(self, name: str) -> bool:
        """Whether somebody's process runs."""
        return processes.find(self.home, name) is not None

    def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        child = processes.find(self.home, name)
        assert child is not None, f"{name} does not run"
        processes.kill(child)

    def stop(self, name: str) -> None:
        """End a process in order."""
        child = processes.find(self.home, name)
        assert child is not None, f"{name} does not run"
        processes.stop(child)

    def serve(self, name: str) -> None:
        """Start a model server, as `freehold model serve` does."""
        given = {"model": f"{self.entrants[name].folder / 'model.py'}:answer", "subnet": NAME}
        self._start(name, "freehold.node.workloads.models", given | {"schema": self._rules})

    def validate(self, name: str, *, propose: int = 0) -> None:
        """Start a validator, as `freehold validate` does; one that proposes where it may bond."""
        given = {"subnet": NAME, "scorer": f"{self.home.root / 'subnet' / 'scorer.py'}:score"}
        if propose:
            given["propose"] = show(propose).replace(",", "")
        self._start(name, "freehold.node.validator", given)

    def watch(self, name: str) -> None:
        """Start a watcher."""
        folder = str(self.entrants[name].folder)
        arguments = ["freehold.node.watcher", "--home", folder, "--network", self._descriptor]
        self.zygote.launch(self.home, name, arguments, environment=None)

    def ready(self, *names: str) -> None:
        """Wait until somebody's process serves."""
        for name in names:
            child = processes.find(self.home, name)
            assert child is not None, f"{name} ended while it started: {self.tails(name)}"
            file = self.entrants[name].folder / "ready.json"
            processes.wait_until(file.exists, child=child, home=self.home, patience=60.0)

    def tails(self, *names: str, lines: int = 30) -> str:
        """The last lines of logs, of all where none is named."""
        logs = sorted(self.home.logs.glob("*.log"))
        return "\n".join(
            "\n".join([f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-lines:]])
            for log in logs
            if not names or log.stem in names
        )

    @property
    def _descriptor(self) -> str:
        return str(self.home.descriptor)

    @property
    def _rules(self) -> str:
        return str(self.home.root / "subnet" / "subnet.toml")

    def _start(self, name: str, module: str, given: Mapping[str, str]) -> None:
        entrant = self.entrants[name]
        told = {
            **given, "network": self._descriptor, "host": "localhost", "port": str(entrant.port),
        }  # fmt: skip
        flags = [part for key, text in told.items() for part in (f"--{key}", text)]
        arguments = [module, "--home", str(entrant.folder), *flags]
        self.zygote.launch(self.home, name, arguments, environment=None)

    # --- money -------------------------------------------------------------------------------

    @contextmanager
    def ledger(self, name: str, *, state: str) -> Iterator[Ledger]:
        """The ledger with somebody's key, over files of its own."""
        folder = self.home.root / state
        with Ledger.open(self.network, state=folder, key=self.entrants[name].key) as ledger:
            yield ledger


@dataclass(slots=True)
class Visitor:
    """Somebody who asks again and again; ``answers`` are the nodes that did and whether they were
    right, ``failed`` what went wrong."""

    contest: Contest
    ranking: LedgerRanking
    asker: Asker
    answers: list[tuple[Address, bool]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        random = np.random.default_rng(7)
        while not self._stop.wait(0.1):
            self.ask(random)

    def ask(self, random: np.random.Generator) -> None:
        """One request of one image."""
        digits = self.contest.digits.held_out
        which = random.integers(len(digits.labels), size=1)
        try:
            found = self.asker.ask(
                NAME, {"image": digits.images[which]}, effort=Effort(deadline=10.0)
            )
        except FreeholdError as error:
            self.failed.append(error.message)
            return
        right = bool((found.arrays["label"] == digits.labels[which]).all())
        self.answers.append((found.node, right))

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def visitor(contest: Contest) -> Iterator[Visitor]:
    """A visitor who asks on a thread of its own while the body runs."""
    state = contest.home.root / "visitor"
    with Ledger.open(contest.network, state=state, key=None) as ledger:
        ranking = LedgerRanking(ledger, FinalScores(ledger))
        ranking.load(NAME)
        with Asker(lambda: open_router(ranking, state / "asked")) as asker:
            made = Visitor(contest, ranking, asker)
            thread = threading.Thread(target=made.work, name="visitor", daemon=True)
            thread.start()
            try:
                yield made
            finally:
                made.stop()
                thread.join()


@contextmanager
def open_contest(root: Path) -> Iterator[Contest]:
    """A network in an empty folder whose governor nobody commands; nothing runs yet but the ledger.

    Three watchers are named, two of whom must sign who is paid.
    """
    skip_without_engine()
    home = Home(root)
    home.claim()
    devnet_ = Devnet.start(root, admin=True, detached=True)
    try:
        entrants = {name: _entrant(root, name) for name in (*MODELS, *JUDGES, *LOOKERS)}
        watchers = tuple(entrants[name].node for name in LOOKERS)
        network = _deployed(devnet_, root / "founding", watchers)
        write_whole(home.descriptor, network.render().encode(), mode=PUBLIC)
        with (
            Zygote.running(home.logs, environment=ENVIRONMENT) as zygote,
            Ledger.open(network, state=root / "founder", key=devnet_.funder) as founder,
        ):
            made = Contest(home, network, founder, Digits.load(), entrants, zygote)
            _prepare(made)
            _enlist(made)
            sent_by_governor(founder, [("governor", "set_guardian", (NOBODY,))])
            try:
                yield made
            finally:
                processes.stop_all(processes.running(home))
    finally:
        devnet_.stop()


def _entrant(root: Path, name: str) -> Entrant:
    folder = root / name
    return Entrant(
        name, folder, node_key(folder / "key.json", folder_password(folder)), free_port()
    )


def _deployed(engine: Devnet, state: Path, watchers: tuple[Address, ...]) -> Network:
    terms = replace(
        economy("filecoin", EPOCH), epoch=EPOCH, root_window=WINDOW, answer_window=WINDOW,
        bond=BOND, entry_least=0,
    )  # fmt: skip
    plan = DeployPlan(
        "competition", replace(devnet(3_600), governor_delay=60), {engine.funder.address: GENESIS},
        economy=terms, modeling=Modeling(subnet_half_life=EPOCH, subnet_notice=32),
        watchers=watchers,
    )  # fmt: skip
    return deploy(
        plan, rpc_urls=(engine.url,), chain_id=engine.chain_id, key=engine.funder, state=state,
        random=secrets.token_bytes, clock=SystemClock(),
    )  # fmt: skip


def _prepare(contest: Contest) -> None:
    """The subnet's documents, and everybody's model."""
    folder = contest.home.root / "subnet"
    templates.write("image", folder)
    rules = (folder / "subnet.toml").read_text()
    for setting, value in SCORING.items():
        rules, found = re.subn(
            rf"(?m)^{setting} *=\s*[\d.]+", f"{setting} = {value}", rules, count=1
        )
        assert found == 1, f"the template has no {setting}"
    (folder / "subnet.toml").write_text(rules)
    held = contest.digits.held_out
    np.savez(folder / "held_out.npz", images=held.images, labels=held.labels)
    scorer = load_scorer(folder / "scorer.py")
    bodies = {"random": RANDOM, "garbage": GARBAGE}
    bodies[THIEF] = COPIER.replace("PORT", str(contest.entrants[GOOD[0]].port))
    for seed, name in enumerate(MODELS):
        place = contest.entrants[name].folder
        write_model(place, bodies.get(name, NET), contest.digits.seen, scorer, seed=seed)


def _enlist(contest: Contest) -> None:
    """Everyone is registered, validators are staked, and the subnet has them and some money."""
    founder, root = contest.founder, contest.home.root
    for name, entrant in contest.entrants.items():
        role = MODEL if name in MODELS else VALIDATOR if name in JUDGES else WATCHER
        founder.transfer(entrant.node, 10 * UNIT)
        stake = 0 if role == MODEL else STAKE
        enlist(founder, entrant.key, Enlistment(role, stake, payout=entrant.node))
    told = Competition.read(root / "subnet")
    founder.token.approve(founder.subnet.address, GENESIS // 2)
    founder.subnet.create(
        NAME, max_nodes=told.max_nodes, rules=told.rules, entry=told.entry, task=told.task,
        uri=(root / "subnet").as_uri(), most=GENESIS // 4,
    )  # fmt: skip
    contest.subnet = founder.subnet.id_of(NAME)
    for name in (*JUDGES, *MODELS):
        node = contest.entrants[name].node
        event = founder.subnet.register(contest.subnet, node, max_price=1_000 * UNIT).one(
            "Registered"
        )
        contest.entrants[name] = replace(contest.entrants[name], uid=event.number("uid"))
    founder.subnet.grant(contest.subnet, GRANT, epochs=24)
    founder.token.transfer(contest.entrants[JUDGES[0]].node, BOND)
