"""What counting rewards adds to a proof: the same proofs with and without somebody to count."""

from __future__ import annotations

from dataclasses import dataclass

from bench.chain import Receipt, account
from bench.deployment import PLAN, in_process
from bench.network import Network, Node, begin
from bench.revm import Revm
from bench.story import COLUMN, seed_of

PIECES = 30
"""Enough that execution, not the floor of the calldata, is what a proof costs."""
EPOCH = PLAN.emission.epoch // PLAN.parameters.period
KINDS = (
    "again in an epoch",
    "first of an epoch, the last one closed",
    "first of an epoch, the last one not closed",
    "first of an epoch, the last two not closed",
    "first of an epoch, the one before the last closed just now",
)
PERIODS = (EPOCH - 1, 2 * EPOCH, 3 * EPOCH, 4 * EPOCH, 5 * EPOCH)
CLOSED = {EPOCH: 1, 2 * EPOCH: 2, 5 * EPOCH: 4}
"""Before the proof of a period, epochs below a number; backing settles what is closed by then."""


@dataclass(frozen=True, slots=True)
class Extra:
    """A proof of a node with credit, gas: as it is, and with nobody to count its work."""

    kind: str
    gas: int
    without: int


def measure() -> list[Extra]:
    """Every kind of proof that the epochs tell apart."""
    counted, plain = _proofs(counting=True), _proofs(counting=False)
    return [
        Extra(kind, counted[period].gas, plain[period].gas)
        for kind, period in zip(KINDS, PERIODS, strict=True)
    ]


def _proofs(*, counting: bool) -> dict[int, Receipt]:
    chain = Revm()
    network = begin(in_process(chain, counting=counting))
    with chain.unmetered():
        node = network.node("0")
        client = network.client("client")
        deals = [
            network.open(client, [node], k=1, size=COLUMN, seed=seed, periods=60)
            for seed in range(1, PIECES + 1)
        ]
    rails = [rail for deal in deals for rail in deal.rails]
    found: dict[int, Receipt] = {}
    while network.period < PERIODS[-1]:
        network.next_round()
        network.choose_seed(len(found), seed_of(len(found)))
        _close(network, CLOSED.get(network.period, 0))
        found[network.period] = network.prove(node)
        if network.period >= EPOCH - 3:
            _back(network, node, rails)
    return found


def _back(network: Network, node: Node, rails: list[int]) -> None:
    network.settle(rails)
    network.on.rewards.send("back", node.set_id, by=node.key.address)


def _close(network: Network, end: int) -> None:
    by, rewards = account("keeper").address, network.on.rewards
    if end:
        network.on.issuance.send("advance", 64, by=by)
    for epoch in range(end):
        if not rewards.read("closed", epoch)[0]:
            rewards.send("close", epoch, by=by)
