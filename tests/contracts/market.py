"""The whole storage market on one chain, and the people in it: clients, nodes, watchers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts import merkle
from contracts.evm import GENESIS_TIME, NETWORK_ID, Chain, Contract, Outcome, Signer, signer
from contracts.world import TOKEN, ZERO, World, deploy_world, guardian

PERIOD, GRACE, WINDOW, CHALLENGES = 1_000, 200, 300, 5
GENESIS = GENESIS_TIME - 370  # no multiple of the period
MIB = 2**20
PRICE = 3_000_000 * TOKEN
FAR = 2**63
ACCEPTANCE = {
    "Acceptance": "address node,address client,address mover,address token,bytes32 root,"
    "uint64 size,uint8 height,uint256 price,uint64 term_end,uint64 deadline,uint256 nonce"
}
MANDATE = {
    "max_price": PRICE,
    "min_stake": 0,
    "per_owner": 1,
    "expiry": FAR,
    "repair_fee": 5 * TOKEN,
    "repairs": 2,
}
client = signer("client")
watcher = signer("watcher")


@dataclass(slots=True)
class Node:
    """A storage node: its key, its owner, and the pieces it really has, by piece id."""

    key: Signer
    owner: Signer
    set_id: int = 0
    pieces: dict[int, merkle.Piece] = field(default_factory=dict)
    nonce: int = 0

    @property
    def address(self) -> str:
        return self.key.address


@dataclass(slots=True)
class Deal:
    """What the client remembers of a deal."""

    id: int
    roots: list[merkle.Piece]
    term_end: int
    mandate: dict[str, Any]


@dataclass(slots=True)
class Market:
    """Contracts and routines. `keeper` keeps the beacon."""

    world: World
    beacon: Contract
    pdp: Contract
    faults: Contract
    storage: Contract
    nodes: list[Node] = field(default_factory=list)

    @property
    def chain(self) -> Chain:
        return self.world.chain

    @property
    def period(self) -> int:
        return (self.chain.now - GENESIS) // PERIOD

    def start(self, period: int) -> int:
        return GENESIS + period * PERIOD

    def to_period(self, period: int, offset: int = 0) -> None:
        self.chain.warp_to(self.start(period) + offset)

    def round(self) -> int:
        """Make the round of the current period."""
        self.beacon.send("fix", self.period, sender=watcher.address)
        self.chain.warp(6, blocks=3)
        return int(self.beacon.send("store", self.period, sender=watcher.address).value)

    def next_round(self) -> int:
        self.to_period(self.period + 1)
        return self.round()

    def late(self) -> None:
        self.chain.warp(WINDOW)

    # Nodes

    def node(self, name: str, *, owner: Signer | None = None, stake: int = 1_000 * TOKEN) -> Node:
        """A registered, staked node that has joined."""
        made = Node(signer(f"node {name}"), owner or signer(f"owner {name}"))
        self.world.register(made.owner, made.key)
        self.stake(made, stake)
        made.set_id = self.join(made)
        self.nodes.append(made)
        return made

    def stake(self, node: Node, amount: int) -> None:
        self.world.fund(node.owner.address, amount)
        staking = self.world.staking
        self.world.token.send("approve", staking.address, amount, sender=node.owner.address)
        staking.send("stake", node.address, amount, sender=node.owner.address)

    def join(self, node: Node) -> int:
        return int(self.faults.send("join", node.address, sender=node.owner.address).value)

    def notice(self, node: Node) -> Outcome:
        return self.faults.send("give_notice", node.address, sender=node.address)

    def state(self, node: Node) -> Any:
        return self.faults.call("node_state", node.address)

    def evaluate(self, node: Node, by: Signer = watcher) -> Outcome:
        return self.faults.send("evaluate", node.address, sender=by.address)

    def roll(self, node: Node) -> None:
        while self.pdp.call("waiting", node.set_id)[1]:
            self.pdp.send("roll", node.set_id, 64, sender=node.address)

    def proof(self, node: Node, round_id: int) -> bytes:
        found = self.pdp.call("challenged", node.set_id, round_id)
        return b"".join(node.pieces[each.piece_id].proof(each.offset) for each in found)

    def prove(self, node: Node) -> bool:
        """Answer the next round that the node must answer, if there is one."""
        self.roll(node)
        round_id = self.pdp.call("next_round", node.set_id)
        if round_id >= self.beacon.call("round_count"):
            return False
        proof = self.proof(node, round_id)
        self.pdp.send("prove", node.set_id, round_id, proof, sender=node.address)
        return True

    def prove_all(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            while self.prove(node):
                pass

    def live_periods(self, count: int, nodes: Sequence[Node]) -> None:
        """Go through periods in which these nodes prove in time."""
        for _ in range(count):
            self.next_round()
            self.prove_all(nodes)

    # Clients

    def fund_client(self, owner: Signer = client, amount: int = 100_000 * TOKEN) -> None:
        """Deposit, and approve the market without limits."""
        self.world.deposit(owner, amount)
        self.approve(owner)

    def approve(self, owner: Signer, rate: int = 2**200, lockup: int = 2**100) -> None:
        token = self.world.token.address
        arguments = (token, self.storage.address, rate, lockup)
        self.world.payments.send("approve_market", *arguments, sender=owner.address)

    def acceptance(
        self, node: Node, piece: merkle.Piece, term_end: int, *, by: Signer = client, **other: Any
    ) -> dict[str, Any]:
        """A node's signed acceptance; `other` replaces fields before signing, `network_id` and
        `key` what it is signed with."""
        node.nonce += 1
        network_id = other.pop("network_id", NETWORK_ID)
        key = other.pop("key", node.key)
        message = {
            "node": node.address,
            "client": by.address,
            "mover": by.address,
            "token": self.world.token.address,
            "root": piece.root,
            "size": piece.size,
            "height": piece.height,
            "price": PRICE,
            "term_end": term_end,
            "deadline": self.chain.now + 600,
            "nonce": node.nonce,
            **other,
        }
        domain = self.storage.domain(network_id=network_id)
        signature = key.sign(domain, ACCEPTANCE, message)
        kept = ("node", "price", "term_end", "deadline", "nonce")
        return {**{name: message[name] for name in kept}, "signature": signature}

    def request(self, pieces: Sequence[merkle.Piece], k: int = 1, **other: Any) -> dict[str, Any]:
        """An opening; `other` replaces fields."""
        return {
            "object_id": b"\x0b" * 32,
            "token": self.world.token.address,
            "k": k,
            "size": pieces[0].size,
            "height": pieces[0].height,
            "roots": [piece.root for piece in pieces],
            "mandate": dict(MANDATE),
            "locator": b"where",
            **other,
        }

    def open(
        self,
        nodes: Sequence[Node],
        *,
        by: Signer = client,
        size: int = 300,
        seed: int = 1,
        periods: int = 50,
        mandate: dict[str, Any] | None = None,
    ) -> Deal:
        """Open a deal of one column on each node."""
        pieces = [merkle.sample(1_000 * seed + i, size) for i in range(len(nodes))]
        term_end = self.start(self.period + periods)
        terms = {**MANDATE, **(mandate or {})}
        acceptances = [
            self.acceptance(node, piece, term_end, by=by)
            for node, piece in zip(nodes, pieces, strict=True)
        ]
        outcome = self.storage.send(
            "open", self.request(pieces, mandate=terms), acceptances, sender=by.address
        )
        for event, node, piece in zip(outcome.named("ColumnOpened"), nodes, pieces, strict=True):
            node.pieces[event.piece_id] = piece
        return Deal(int(outcome.value), pieces, term_end, terms)

    def column(self, deal: Deal, slot: int = 0) -> Any:
        return self.storage.call("column", deal.id, slot)

    def deal(self, deal: Deal) -> Any:
        return self.storage.call("deal", deal.id)

    def replace(self, deal: Deal, slot: int, node: Node, *, by: Signer = watcher) -> Outcome:
        """Move a column to a node, which has the same bytes by then."""
        piece = deal.roots[slot]
        owner = self.deal(deal).client
        holder = next(each for each in (client, *clients()) if each.address == owner)
        given = self.acceptance(node, piece, deal.term_end, by=holder, mover=by.address)
        outcome = self.storage.send("replace", deal.id, slot, given, sender=by.address)
        node.pieces[outcome.one("ColumnReplaced").piece_id] = piece
        return outcome

    def pass_by(self) -> None:
        """On to the next period: the present one is decided where nothing is owed."""
        self.to_period(self.period + 1)

    def finish(self, deal: Deal, slot: int = 0) -> Outcome:
        return self.storage.send("finish", deal.id, slot, sender=watcher.address)

    def settle(self, rail: int) -> int:
        """Settle a rail; what was paid."""
        paid, _ = self.world.payments.send("settle", rail, sender=watcher.address).value
        return int(paid)

    def rail(self, rail: int) -> Any:
        return self.world.payments.call("rail", rail)


def clients() -> tuple[Signer, ...]:
    """More clients."""
    return (signer("client two"), signer("client three"))


def deploy_market(
    chain: Chain, *, world: World | None = None, sink: Callable[[str], str] | None = None
) -> Market:
    """Deploy everything over a world; the beacon began a little earlier. `sink` deploys who hears
    of work, and is told where the verifier will be."""
    world = world or deploy_world(chain)
    by, governor = guardian.address, world.governor.address
    beacon = chain.deploy("beacon", governor, GENESIS, PERIOD, GRACE, sender=by)
    heard = sink(chain.next_address(by, skip=1)) if sink else ZERO
    pdp = chain.deploy("pdp", beacon.address, governor, CHALLENGES, WINDOW, heard, sender=by)
    faults = chain.deploy(
        "faults",
        world.token.address,
        world.registry.address,
        world.staking.address,
        pdp.address,
        beacon.address,
        governor,
        sender=by,
    )
    storage = chain.deploy(
        "storage",
        world.registry.address,
        world.payments.address,
        pdp.address,
        beacon.address,
        faults.address,
        governor,
        NETWORK_ID,
        sender=by,
    )
    market = Market(world, beacon, pdp, faults, storage)
    world.setup(faults, "set_market", storage.address, True)
    for role in ("set_locker", "set_slasher", "set_evaluator"):
        world.setup(world.staking, role, faults.address, True)
    world.setup(world.payments, "set_market", storage.address, True)
    parameters = dict(faults.call("parameters"))
    world.setup(faults, "set_parameters", {**parameters, "stake_per_tib": STAKE_PER_TIB})
    market.to_period(1)
    return market


STAKE_PER_TIB = 10**8 * TOKEN
"""So much that a column of a few hundred bytes locks a visible amount."""
