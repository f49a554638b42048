"""Subnets written down by hand or by chance, roots that commit to their traces, and their judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from contracts.evm import Chain, Contract, Outcome, Struct
from contracts.roots import Market, deploy_market, proposer
from contracts.world import carol, deploy_world, fake, guardian, mallory
from freehold.domain.ids import Address, address
from freehold.economics.trees import GRAIN, Tree
from freehold.ledger.contracts.disputes import disproving
from freehold.markets.models.trace.batch import Bundle, bundle, grown
from freehold.markets.models.trace.build import Builder
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.claims import Claim
from freehold.markets.models.trace.proofs import CHECKERS, Case, Root
from freehold.markets.models.trace.served import read, serve
from freehold.markets.models.trace.values import Facts, Header
from unit.markets.models.trace.chance import Competition

Make = Callable[[Facts, Built | None], Builder]


@dataclass(slots=True)
class Court:
    """The judge with its checkers, over roots and subnets."""

    market: Market
    subnets: Contract
    checkers: tuple[Contract, ...]
    disputes: Contract

    @property
    def chain(self) -> Chain:
        return self.market.world.chain

    @property
    def genesis(self) -> int:
        return int(self.market.roots.call("genesis"))

    def propose(self, epoch: int, bundle: Bundle, tree: Tree) -> Header:
        """A root over a batch, signed by watchers."""
        self.market.end_of(epoch)
        data = bundle.batch.hash()
        signed = self.market.signatures(epoch, tree.root, tree.count, data=data)
        told = (epoch, tree.root, tree.count, data, signed)
        found: Struct = (
            self.market.roots.send("propose", *told, sender=proposer.address).one("Proposed").header
        )
        return Header(**{**found, "proposer": address(found.proposer)})

    def tells(self, case: Case, claim: Claim) -> bool:
        """What the checker answers to a claim's proof."""
        proof = case.proof(claim)
        return bool(self.checkers[proof.checker].call(proof.function, *proof.arguments))

    def data(self, case: Case, claim: Claim) -> tuple[int, bytes]:
        """A claim's proof as the judge takes it."""
        proof = case.proof(claim)
        return proof.checker, self.checkers[proof.checker].data(proof.function, *proof.arguments)

    def disprove(self, case: Case, claim: Claim) -> Outcome:
        """Carol shows a claim."""
        checker, proof = self.data(case, claim)
        return self.disputes.send(disproving(proof), checker, proof, sender=carol.address)

    def take_bond(self, case: Case) -> Outcome:
        """What Carol's verdict costs, taken by somebody."""
        told = (case.header.words(), carol.address)
        return self.market.roots.send("settle", *told, sender=mallory.address)


def deploy_court(chain: Chain, subnets: Contract | None = None) -> Court:
    """Everything; the judge is named."""
    world = deploy_world(chain)
    market = deploy_market(world)
    made = subnets or chain.deploy_artifact(fake("competitions"), sender=guardian.address)
    return judged(market, made)


def judged(market: Market, subnets: Contract) -> Court:
    """The judge over roots and subnets, named by the governor."""
    world, by = market.world, guardian.address
    told = (market.roots.address, subnets.address)
    checkers = tuple(world.chain.deploy(name, *told, sender=by) for name in CHECKERS)
    disputes = world.chain.deploy(
        "disputes", *told, *(each.address for each in checkers), sender=by
    )
    world.setup(market.roots, "set_judge", disputes.address)
    return Court(market, subnets, checkers, disputes)


@dataclass(slots=True)
class History:
    """Roots on top of each other, honest until the last."""

    court: Court
    competitions: list[Competition]
    before: dict[Address, int] = field(default_factory=dict)
    past: Root | None = None
    next: int = 0
    begun: int = 0

    def facts(self, skipped: int = 0) -> tuple[int, list[Facts]]:
        """The next epoch that may get a root, and what happened since the last one that did."""
        epoch = max(self.next, self.begun) + skipped
        self.begun = epoch + 1
        return epoch, [each.facts(self.next, epoch) for each in self.competitions]

    def own(self, facts: Sequence[Facts]) -> Bundle:
        """The true batch."""
        return bundle(self.traces(facts, {}))

    def traces(self, facts: Sequence[Facts], cheats: Mapping[int, Make]) -> list[Built]:
        """Traces, some of them by cheats."""
        made = []
        for at, each in enumerate(facts):
            earlier = self.past.bundle.traces if self.past else ()
            past = earlier[at] if at < len(earlier) else None
            made.append(cheats.get(at, Builder)(each, past).built())
        return made

    def propose(self, epoch: int, told: Bundle, own: Bundle, tree: Tree | None = None) -> Case:
        """A root over what the proposer tells."""
        made = tree or tree_of(grown(self.before, told.pays))
        header = self.court.propose(epoch, told, made)
        served = read(serve(told), header.data)
        return Case(header, served, own, made, self.past)

    def accept(self, case: Case) -> None:
        """Go on from an honest root."""
        self.before = grown(self.before, case.own.pays)
        self.past = Root(case.header, case.own, case.tree)
        self.next = case.header.epoch + 1


def tree_of(grains: Mapping[Address, int]) -> Tree:
    """A tree of grains."""
    return Tree.of({each: amount * GRAIN for each, amount in grains.items() if amount})


def start(court: Court, seed: int, subnets: int) -> History:
    """Subnets by chance, created."""
    random = Random(seed)

    def write(function: str, *told: object) -> None:
        court.subnets.send(function, *told, sender=guardian.address)

    made = [Competition(random, place + 1, court.genesis, write) for place in range(subnets)]
    for each in made:
        each.begin()
    return History(court, made)
