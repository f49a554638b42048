"""Epochs of a network of real processes, one after another: block time is moved on as soon as
everybody has done an epoch's work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from freehold.cli.home import Home
from freehold.cli.local import GENESIS, LocalNetwork
from freehold.domain.clock import SystemClock
from freehold.domain.errors import RefusedError, UnavailableError
from freehold.domain.files import PUBLIC, write_whole
from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.economics.schedules.plan import GEOMETRIC, Plan
from freehold.ledger import keystore
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet import engine
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.economy import OWN, economy
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import DeployPlan, Parameters, devnet
from journeys.town import QUICK, Town
from journeys.zygote import launch

EPOCH = 60
"""Seconds of a period and of an epoch, the least that the contracts allow."""
LULL: Parameters = replace(devnet(EPOCH), grace=6)
"""Nodes look for a new round ten times in a grace."""
SCARCE = Plan(
    kind=GEOMETRIC, limit=2 * 10**6, amount=200_000, step=EPOCH, factor=9 * 10**17, steps=40
)
"""A schedule of a founder's own that soon has less than what nodes earn: in base units."""
PATIENCE = 150.0


def skip_without_engine() -> None:
    """Skip where no engine for a devnet can be had."""
    try:
        engine.install()
    except UnavailableError as error:
        pytest.skip(f"no engine for a devnet: {error.message}")


def deployed(devnet: Devnet, state: Path, model: str) -> Network:
    """A network of a token model whose tokens the devnet's funder owns; nothing burns but fees."""
    schedule = SCARCE if model == OWN else None
    free = replace(economy(model, EPOCH, schedule=schedule), entry_least=0)
    plan = DeployPlan(
        model, LULL, {devnet.funder.address: GENESIS}, model=model, schedule=schedule, economy=free
    )
    return deploy(
        plan,
        rpc_urls=[devnet.url],
        chain_id=devnet.chain_id,
        key=devnet.funder,
        state=state,
        random=lambda count: model.encode().ljust(count, b"\1"),
        clock=SystemClock(),
    )


def town_of(root: Path, model: str, *, nodes: int) -> Town:
    """A town of a token model, its ledger open to those who move time."""
    skip_without_engine()
    home = Home(root)
    home.claim()
    local = LocalNetwork(home, lambda _: None, launch=launch)
    try:
        network = deployed(local.start_devnet(admin=True), root / "founding", model)
        write_whole(home.descriptor, network.render().encode(), mode=PUBLIC)
        town = Town(local, local.start(nodes=nodes, parameters=LULL, admin=True))
    except BaseException:
        local.stop()
        raise
    keystore.save(town.wallet.key_file, town.key(), home.password(), cost=QUICK, replace=True)
    return town


def wait_for(what: str, done: Callable[[], bool]) -> None:
    """Fail when something does not come."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.1)


def attempt(act: Callable[[], object]) -> None:
    """Do what another may have done already, or what is not due."""
    with suppress(RefusedError):
        act()


def pass_time(ledger: Ledger, until: int) -> None:
    """Let block time be at least ``until``."""
    now = ledger.rpc.header("pending").time
    ledger.rpc.request("evm_increaseTime", hex(max(until - now, 0)))
    ledger.rpc.request("evm_mine")
    assert ledger.head().time >= until


def begin_round(ledger: Ledger) -> int:
    """Go on to the next period that gets a round in its grace; the round's number."""
    for _ in range(3):
        number = _begin_round(ledger)
        if number is not None:
            return number
    pytest.fail("the machine is too slow for a round")


def _begin_round(ledger: Ledger) -> int | None:
    beacon = ledger.beacon
    period = beacon.period_of(ledger.rpc.header("pending").time) + 1
    pass_time(ledger, beacon.period_start(period))
    attempt(partial(beacon.fix, period))
    while ledger.head().number < beacon.fixed_block(period):
        ledger.rpc.request("evm_mine")
    attempt(partial(beacon.store, period))
    return beacon.round_of(period)


def answered(ledger: Ledger, account: int, number: int) -> bool:
    """Whether a node has answered a round."""
    return ledger.pdp.next_round(account) > number


def close_all(ledger: Ledger) -> int:
    """Close every ended epoch; how many have ended."""
    attempt(lambda: ledger.issuance.advance(64))
    ended = ledger.rewards.epoch()
    for epoch in range(ended):
        if not ledger.rewards.closed(epoch):
            attempt(partial(ledger.rewards.close, epoch))
    return ended


def claim(ledger: Ledger, account: int) -> None:
    """Collect work that waited for its epoch to be closed, and pay an account; anyone may."""
    for epoch in range(ledger.rewards.epoch()):
        if ledger.rewards.waiting(account, epoch):
            attempt(partial(ledger.rewards.collect, account, epoch))
    ledger.rewards.claim(account)


@dataclass(frozen=True, slots=True)
class Member:
    """A storage node: its folder's name, its account in the rewards, and its owner's ledger."""

    name: str
    node: Address
    account: int
    owner: Ledger


@dataclass(slots=True)
class Season:
    """A town's epochs, and those who live through them."""

    town: Town
    ledger: Ledger
    stack: ExitStack
    members: list[Member] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)

    def meet(self) -> None:
        """Know every node that there is by now."""
        for folder in self.town.home.nodes()[len(self.members) :]:
            password = (folder / "password").read_text()
            node = json.loads((folder / "ready.json").read_text())["node"]
            state = self.town.home.root / "owners" / folder.name
            owner = self.stack.enter_context(
                Ledger.open(
                    self.town.network,
                    state=state,
                    key=keystore.load(folder / "owner.json", password),
                )
            )
            account = self.ledger.faults.set_of(node)
            self.members.append(Member(folder.name, node, account, owner))

    def join(self) -> None:
        """One more node of one more owner."""
        devnet = Devnet.attach(self.town.home.root)
        self.town.local.add_node(self.town.network, devnet)
        self.meet()

    def kill(self, member: Member) -> None:
        """End a node as a power cut would."""
        self.town.kill(member.name)
        self.dead.add(member.name)

    def live(self) -> None:
        """An epoch: a round, everybody's answers, what is owed settled and backed."""
        number = begin_round(self.ledger)
        for member in self.members:
            if member.name not in self.dead:
                wait_for(f"{member.name} answers", partial(self._answered, member, number))
        self.settle()
        for member in self.members:
            attempt(partial(member.owner.rewards.back, member.account))

    def settle(self) -> None:
        """Every rail, as far as it is decided."""
        rails = range(1, self.ledger.payments.rail_count() + 1)
        attempt(lambda: self.ledger.payments.settle_many(list(rails)))

    def close(self) -> None:
        """Every ended epoch."""
        close_all(self.ledger)

    def claim(self) -> None:
        """For everybody; anyone may."""
        for member in self.members:
            claim(self.ledger, member.account)

    def _answered(self, member: Member, number: int) -> bool:
        idle = not self.ledger.faults.node_state(member.node).columns
        return idle or answered(self.ledger, member.account, number)


@contextmanager
def season(root: Path, model: str, *, nodes: int) -> Iterator[Season]:
    """A town of a model with its nodes, until it is stopped."""
    town = town_of(root, model, nodes=nodes)
    with ExitStack() as stack:
        stack.callback(town.stop)
        devnet = Devnet.attach(root)
        ledger = stack.enter_context(
            Ledger.open(town.network, state=root / "season", key=devnet.funder)
        )
        made = Season(town, ledger, stack)
        made.meet()
        yield made
