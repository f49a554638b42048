"""A network with token economics on an in-process chain, and the models beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.evm import (
    CHAIN_ID,
    NETWORK_ID,
    Chain,
    Contract,
    decode_results,
    encode_arguments,
)
from contracts.market import GENESIS, PERIOD, Deal, Market, Node, deploy_market
from contracts.recording import Recording, address, plain
from contracts.roots import LENGTH, RULES, watchers
from contracts.roots import Market as RootMarket
from contracts.world import FREE, ZERO, World, alice, bob, deploy_world, guardian, mallory
from freehold.audit import claims
from freehold.audit.events import Event
from freehold.audit.report import Differs, Spot
from freehold.audit.world import Models
from freehold.domain.network import KINDS, Network
from freehold.economics.pricing import Terms
from freehold.economics.schedules.plan import GEOMETRIC, Plan
from freehold.economics.schedules.vesting import MONTH_SECONDS

EPOCH = 3 * PERIOD
STORAGE, DEVICES, SUBNETS, PUBLIC = (
    name.ljust(32, b"\0") for name in (b"storage", b"devices", b"models", b"public")
)
SHARES = [(STORAGE, 6_001), (DEVICES, 2_000), (PUBLIC, 1_998)]
PLAN = Plan(
    kind=GEOMETRIC, limit=10**16, amount=2 * 10**15, step=EPOCH, factor=7 * 10**17, steps=40
)
PER_TOKEN, SHARE_BPS = 5_000_000, 9_000
LOTS = Terms(lowest=100, highest=100_000, half_life=600, factor_bps=40_000)
BUDGET, WINDOW = 10**6, 4
ALLOCATIONS = [
    (alice.address, 1_000, GENESIS, 2 * PERIOD, 0),
    (bob.address, 10_000, GENESIS - MONTH_SECONDS, 0, 7),
]


@dataclass(slots=True)
class Book:
    """What a chain has done since it began, as the audit reads it."""

    chain: Chain
    names: dict[str, str] = field(default_factory=dict)
    made: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def open(self) -> Recording:
        """Record everything from now on, deployments too."""
        recording = Recording(self.chain, self.names)
        recording.start()
        original = self.chain.deploy

        def deploy(name: str, *arguments: Any, sender: str) -> Contract:
            contract = original(KINDS.get(name, name), *arguments, sender=sender)
            self.names.setdefault(contract.address.lower(), name)
            self.made.setdefault(name, constructed(contract, arguments))
            result = self.chain.evm.result
            logs = self.chain._decode_logs(result.logs if result else [])
            outcome = Logged(logs)
            recording._note(sender, contract.address, b"", outcome)  # type: ignore[arg-type]
            return contract

        self.chain.deploy = deploy  # type: ignore[method-assign]
        return recording


@dataclass(frozen=True, slots=True)
class Logged:
    """What a deployment logged."""

    events: Sequence[Any]


def constructed(contract: Contract, arguments: Sequence[Any]) -> Mapping[str, Any]:
    """Constructor arguments by name, as the audit's decoder gives them."""
    inputs: list[Any] = next((i["inputs"] for i in contract.abi if i["type"] == "constructor"), [])
    found = decode_results(inputs, encode_arguments(inputs, arguments))
    values = found if len(inputs) > 1 else (found,)
    return {part["name"]: plain(value) for part, value in zip(inputs, values, strict=True)}


class Founded:
    """A market with issuance, rewards, roots and auction; `public` draws a share."""

    def __init__(
        self, *, plan: Plan = PLAN, per_token: int = PER_TOKEN, entry: Sequence[int] = FREE,
        shares: Sequence[tuple[bytes, int]] = tuple(SHARES),
    ) -> None:  # fmt: skip
        self.chain = Chain()
        self.book = Book(self.chain)
        self.recording = self.book.open()
        self.world: World = deploy_world(self.chain, entry=entry)
        by, world = guardian.address, self.world
        world.setup(world.payments, "set_fees", 50, 5_000)
        governor = world.governor.address
        terms = tuple(plan.terms(budget=BUDGET, window=WINDOW).values())
        self.issuance = self.chain.deploy(
            "issuance", world.token.address, governor, GENESIS, EPOCH, terms, shares, ALLOCATIONS,
            sender=by,
        )  # fmt: skip
        parts = (world.token, world.payments, world.registry, world.staking, self.issuance)
        told = (*(each.address for each in parts), governor)

        def sink(source: str) -> str:
            numbers = (GENESIS, EPOCH, per_token, SHARE_BPS)
            self.rewards = self.chain.deploy("rewards", *told, source, *numbers, sender=by)
            return self.rewards.address

        self.market: Market = deploy_market(self.chain, world=world, sink=sink)
        roots = self.chain.deploy(
            "roots", world.token.address, world.payments.address, self.issuance.address,
            world.registry.address, ZERO, governor, NETWORK_ID, GENESIS, LENGTH, RULES,
            sender=by,
        )  # fmt: skip
        self.roots = RootMarket(world, roots)
        self.auction = self.chain.deploy(
            "auction", world.token.address, LOTS.lowest, LOTS.highest, LOTS.half_life,
            LOTS.factor_bps, sender=by,
        )  # fmt: skip
        self.public = world.puppet()
        self._wire(plan)
        self.extend()
        self.events: list[Event] = []
        self.network = Network(
            "founded", CHAIN_ID, NETWORK_ID,
            {name: address(at) for at, name in self.book.names.items()}, {}, ("http://x",), 0,
        )  # fmt: skip
        self.counts: Counter[str] = Counter()
        self.models = self.fresh()

    def _wire(self, plan: Plan) -> None:
        world, issuance = self.world, self.issuance
        world.setup(world.token, "set_minter", issuance.address, True)
        world.setup(self.rewards, "set_market", self.market.storage.address)
        world.setup(world.staking, "set_evaluator", self.rewards.address, True)
        for market, drawer in (
            (STORAGE, self.rewards), (DEVICES, self.roots.roots), (PUBLIC, self.public),
        ):  # fmt: skip
            world.setup(issuance, "set_distributor", market, drawer.address)
        world.setup(world.payments, "set_auction", self.auction.address)
        if plan.storage:
            world.setup(issuance, "set_power", self.rewards.address)
        world.setup(issuance, "set_allocator", bob.address, BUDGET // 2)
        world.setup(self.roots.roots, "set_watchers", [each.address for each in watchers], 3)

    def extend(self) -> None:
        """Deploy and wire what else there shall be."""

    def fresh(self) -> Models:
        """Models that have seen nothing."""
        return Models(self.network, self.book.made.__getitem__, self.counts)

    def follow(self) -> None:
        """Re-run in the models what happened since the last time."""
        taken = self.recording.take()
        self.events += taken
        self.replay(taken, self.models)
        self.models.economy.check(Spot("solvency"))

    def replay(self, events: Sequence[Event], models: Models, observer: Any = None) -> None:
        """Run events in models, with the headers that the beacon looks at."""
        for event in events:
            if event.contract == "beacon" and event.name == "Stored":
                for number in range(event.block - 4, event.block):
                    models.beacon.see(self.recording.header(number))
        models.run(events, *([] if observer is None else [observer]))

    def agree(self, contract: str, view: str, *arguments: Any) -> None:
        """A view says what its model says."""
        place: Contract = {
            "issuance": self.issuance, "rewards": self.rewards, "roots": self.roots.roots,
            "auction": self.auction, "payments": self.world.payments,
            "registry": self.world.registry, "staking": self.world.staking,
        }[contract]  # fmt: skip
        self.compare(place, contract, view, *arguments)

    def compare(self, place: Contract, contract: str, view: str, *arguments: Any) -> None:
        """What a contract at a place says is what its model says."""
        found = place.call(view, *arguments)
        told: Any = [plain(each) for each in (found if isinstance(found, tuple) else (found,))]
        asked: Any = tuple(claims.plain(plain(each)) for each in arguments)
        question = (contract, view, asked)
        assert self.models.answer(question, self.chain.now) == told, question

    # Storage

    def begin(self, sizes: Sequence[int]) -> tuple[list[Node], list[Deal]]:
        """Nodes with a deal each."""
        self.market.fund_client()
        nodes = [self.market.node(str(number)) for number in range(len(sizes))]
        deals = [
            self.market.open([node], seed=number + 1, size=size, periods=90)
            for number, (node, size) in enumerate(zip(nodes, sizes, strict=True))
        ]
        return nodes, deals

    def live(self, nodes: Sequence[Node], deals: Sequence[Deal], absent: Sequence[int]) -> None:
        """A period: settle, back, answer."""
        market = self.market
        market.to_period(market.period + 1)
        for node, deal in zip(nodes, deals, strict=True):
            market.settle(market.column(deal).rail)
            self.rewards.send("back", node.set_id, sender=node.address)
        market.round()
        for number, node in enumerate(nodes):
            if number not in absent:
                market.prove_all([node])

    def close(self) -> list[int]:
        """Close every ended epoch; what each emitted."""
        self.issuance.send("advance", 64, sender=mallory.address)
        ended = int(self.rewards.call("epoch"))
        return [
            int(self.rewards.send("close", epoch, sender=mallory.address).value)
            for epoch in range(ended)
            if not self.rewards.call("closed", epoch)
        ]


def lied(event: Event, name: str) -> Event:
    """The same event with one argument that is not what the contract said."""
    value: Any = event.args[name]
    if isinstance(value, bool | int):
        other: Any = int(value) + 1
    elif isinstance(value, bytes):
        other = bytes([value[0] ^ 1]) + value[1:]
    elif isinstance(value, str) and value.startswith("0x"):
        other = address("0x" + "5" * 40)
    elif isinstance(value, dict):
        other = {k: part + 1 if isinstance(part, int) else part for k, part in value.items()}
    elif isinstance(value, list):
        other = value[:-1]
    else:
        other = value + "?"
    return replace(event, args={**event.args, name: other})


def occasions(events: Sequence[Event], contract: str) -> list[tuple[str, str, int]]:
    """First and last time that each argument of each of a contract's events is told."""
    found: dict[tuple[str, str, bool], int] = {}
    for place, event in enumerate(events):
        if event.contract == contract:
            for name in event.args:
                found.setdefault((event.name, name, False), place)
                found[event.name, name, True] = place
    return sorted({(name, arg, place) for (name, arg, _), place in found.items()})


def differs(founded: Founded, events: Sequence[Event]) -> bool:
    """Whether a verification of this history would find something."""
    try:
        founded.replay(events, founded.fresh())
    except (Differs, LookupError, TypeError, ValueError, ArithmeticError):
        return True
    return False
