"""A whole network on a benchmark's chain, the people in it, and what each transaction costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.chain import CHAIN_ID, GENESIS, Chain, Contract, Receipt, account
from bench.deployment import NETWORK_ID, PLAN, Contracts, deployer, in_process
from bench.pieces import Pattern, pattern
from freehold.domain.ids import Address, keccak
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.domain.typed import ACCEPTANCE, CONSENT, PERMIT, VOUCHER, Domain
from freehold.ledger.plan import PRODUCTION
from freehold.ledger.values import Value

TOKEN = UNIT
PERIOD = PRODUCTION.period
PRICE = 5 * TOKEN // 2
"""Base units per TiB-month."""
STAKE = 1_000 * TOKEN
DEPOSIT = 1_000 * TOKEN
REPAIR_FEE = TOKEN // 10
REPAIRS = 2
NO_LIMIT = 2**100
ALWAYS = 2**63
keeper = account("keeper")


@dataclass(slots=True)
class Node:
    """A storage node and the pieces that it holds, by their ids."""

    key: Key
    owner: Key
    set_id: int = 0
    pieces: dict[int, Pattern] = field(default_factory=dict)
    nonce: int = 0


@dataclass(slots=True)
class Deal:
    """A deal: its columns' pieces, nodes and rails, in the order of slots."""

    id: int
    client: Key
    term_end: int
    pieces: list[Pattern]
    nodes: list[Node]
    rails: list[int]
    receipt: Receipt


@dataclass(slots=True)
class Network:
    """Contracts and routines; every routine gives the receipts of what it measures."""

    chain: Chain
    on: Contracts

    @property
    def period(self) -> int:
        """The period that the clock is in."""
        return (self.chain.now - GENESIS) // PERIOD

    def give(self, owner: Address, amount: int) -> None:
        """Tokens out of the genesis allocation."""
        self.on.token.send("transfer", owner, amount, by=deployer.address)

    def allow(self, owner: Key, spender: Contract, amount: int) -> Receipt:
        """An ERC-20 approval."""
        return self.on.token.send("approve", spender.address, amount, by=owner.address)

    def domain(self, contract: Contract) -> Domain:
        """The EIP-712 domain of a contract."""
        name = f"Freehold {contract.artifact.name}"
        return Domain(name, CHAIN_ID, contract.address, NETWORK_ID)

    # Nodes

    def register(self, node: Node) -> Receipt:
        """Enter a node into the registry, whose owner has approved the price."""
        deadline = self.chain.now + 600
        names = (node.key.address, node.owner.address)
        digest = CONSENT.digest(self.domain(self.on.registry), (*names, 1, deadline))
        return self.on.registry.send(
            "register", node.key.address, 1, "https://node.example.org:4646", keccak(b"tls"),
            keccak(b"info"), node.owner.address, deadline, node.key.sign(digest),
            by=node.owner.address,
        )  # fmt: skip

    def admit(self, node: Node) -> Receipt:
        """The price of registering into a node's owner's hands, and the approval of it."""
        price = self.on.registry.number("price")
        self.give(node.owner.address, price)
        return self.allow(node.owner, self.on.registry, price)

    def stake(self, node: Node, amount: int) -> Receipt:
        """Stake of a node's owner, who has approved it."""
        return self.on.staking.send("stake", node.key.address, amount, by=node.owner.address)

    def join(self, node: Node) -> Receipt:
        """Offer a node for storage."""
        receipt = self.on.faults.send("join", node.key.address, by=node.owner.address)
        node.set_id = self.on.faults.event(receipt, "NodeJoined").number("set_id")
        return receipt

    def node(self, label: str) -> Node:
        """A node of an own owner that takes columns."""
        node = Node(account(f"node {label}"), account(f"owner {label}"))
        self.admit(node)
        self.register(node)
        self.give(node.owner.address, STAKE)
        self.allow(node.owner, self.on.staking, STAKE)
        self.stake(node, STAKE)
        self.join(node)
        return node

    def evaluate(self, node: Node) -> Receipt:
        """Charge a node's misses."""
        return self.on.faults.send("evaluate", node.key.address, by=keeper.address)

    # Clients

    def permit(self, owner: Key, amount: int) -> Receipt:
        """Tokens into an account by an EIP-2612 permit."""
        spender, deadline = self.on.payments.address, self.chain.now + 600
        nonce = self.on.token.number("nonces", owner.address)
        domain = Domain(PLAN.token_name, CHAIN_ID, self.on.token.address, NETWORK_ID)
        signed = owner.sign(
            PERMIT.digest(domain, (owner.address, spender, amount, nonce, deadline))
        )
        return self.on.payments.send(
            "deposit_with_permit", self.on.token.address, owner.address, amount, deadline,
            signed[64], signed[:32], signed[32:64], by=owner.address,
        )  # fmt: skip

    def approve(self, owner: Key) -> Receipt:
        """A client's consent to rails of the storage market."""
        names = (self.on.token.address, self.on.storage.address)
        return self.on.payments.send(
            "approve_market", *names, NO_LIMIT << 64, NO_LIMIT, by=owner.address
        )

    def client(self, label: str) -> Key:
        """A funded client that approved the market."""
        owner = account(f"client {label}")
        self.give(owner.address, DEPOSIT)
        self.permit(owner, DEPOSIT)
        self.approve(owner)
        return owner

    # Deals

    def acceptance(
        self, node: Node, piece: Pattern, client: Key, term_end: int, *, mover: Key | None = None
    ) -> object:
        """A node's signed consent to one column, for the client to submit or for ``mover``."""
        node.nonce += 1
        deadline = self.chain.now + 3_600
        digest = ACCEPTANCE.digest(
            self.domain(self.on.storage),
            (
                node.key.address, client.address, (mover or client).address,
                self.on.token.address, piece.root, piece.size, piece.height, PRICE, term_end,
                deadline, node.nonce,
            ),
        )  # fmt: skip
        return (node.key.address, PRICE, term_end, deadline, node.nonce, node.key.sign(digest))

    def open(
        self, client: Key, nodes: Sequence[Node], *, k: int, size: int, seed: int, periods: int
    ) -> Deal:
        """Open a deal of one column of ``size`` bytes on every node."""
        pieces = [pattern(seed * 32 + slot, size) for slot in range(len(nodes))]
        term_end = self.chain.now + periods * PERIOD
        mandate = (PRICE, 0, 1, ALWAYS, REPAIR_FEE, REPAIRS)
        request = (
            keccak(b"object %d" % seed), self.on.token.address, k, size, pieces[0].height,
            [piece.root for piece in pieces], mandate, b"",
        )  # fmt: skip
        given = [
            self.acceptance(node, piece, client, term_end)
            for node, piece in zip(nodes, pieces, strict=True)
        ]
        receipt = self.on.storage.send("open", request, given, by=client.address)
        opened = self.on.storage.events(receipt, "ColumnOpened")
        for event, node, piece in zip(opened, nodes, pieces, strict=True):
            node.pieces[event.number("piece_id")] = piece
        rails = [event.number("rail") for event in opened]
        number = opened[0].number("deal")
        return Deal(number, client, term_end, pieces, list(nodes), rails, receipt)

    def renew(self, deal: Deal, periods: int) -> Receipt:
        """Prolong a deal on its nodes."""
        deal.term_end += periods * PERIOD
        given = [
            self.acceptance(node, piece, deal.client, deal.term_end)
            for node, piece in zip(deal.nodes, deal.pieces, strict=True)
        ]
        return self.on.storage.send("renew", deal.id, deal.term_end, given, by=deal.client.address)

    def replace(self, deal: Deal, slot: int, node: Node, *, by: Key) -> Receipt:
        """Move a column to another node."""
        given = self.acceptance(node, deal.pieces[slot], deal.client, deal.term_end, mover=by)
        receipt = self.on.storage.send("replace", deal.id, slot, given, by=by.address)
        event = self.on.storage.event(receipt, "ColumnReplaced")
        node.pieces[event.number("piece_id")] = deal.pieces[slot]
        deal.nodes[slot] = node
        deal.rails[slot] = event.number("rail")
        return receipt

    def settle(self, rails: Sequence[int], *, by: Key = keeper) -> Receipt:
        """Settle rails, several in one transaction."""
        if len(rails) == 1:
            return self.on.payments.send("settle", rails[0], by=by.address)
        return self.on.payments.send("settle_many", list(rails), by=by.address)

    def voucher(self, payer: Key, rail: int, amount: int, *, by: Key) -> Receipt:
        """Redeem a cumulative cheque."""
        signed = payer.sign(VOUCHER.digest(self.domain(self.on.payments), (rail, amount)))
        return self.on.payments.send("redeem", rail, amount, signed, by=by.address)

    # Proving

    def to_period(self, period: int) -> None:
        """Move on to the start of a later period; those between get no round."""
        self.chain.warp(GENESIS + period * PERIOD - self.chain.now)

    def fix(self) -> Receipt:
        """Name the block whose hash becomes the seed."""
        return self.on.beacon.send("fix", self.period, by=keeper.address)

    def store(self) -> Receipt:
        """Make the round of the period."""
        self.chain.warp(36, blocks=3)
        return self.on.beacon.send("store", self.period, by=keeper.address)

    def next_round(self) -> tuple[Receipt, Receipt]:
        """Go to the next period and make its round."""
        self.to_period(self.period + 1)
        fixed = self.fix()
        return fixed, self.store()

    def choose_seed(self, round_id: int, seed: bytes) -> None:
        """Put another seed in the place of a round's, so that two chains draw the same leaves."""
        drawn = self._round(round_id)["seed"]
        for place in range(32):
            key = int.from_bytes(
                keccak(place.to_bytes(32, "big") + round_id.to_bytes(32, "big")), "big"
            )
            if self.chain.slot(self.on.beacon.address, key).to_bytes(32, "big") == drawn:
                self.chain.put_slot(self.on.beacon.address, key, int.from_bytes(seed, "big"))
                return
        raise LookupError("the beacon keeps its seeds elsewhere")

    def _round(self, round_id: int) -> dict[str, Value]:
        found = self.on.beacon.read("round", round_id)[0]
        if not isinstance(found, dict):
            raise TypeError("a round is a struct")
        return found

    def answer(self, node: Node, round_id: int) -> bytes:
        """The proof of a round, from the contract's own list of what is asked."""
        asked = self.on.pdp.read("challenged", node.set_id, round_id)[0]
        if not isinstance(asked, list):
            raise TypeError("challenges are a list")
        return b"".join(self._path(node, each) for each in asked)

    def _path(self, node: Node, challenge: Value) -> bytes:
        if not isinstance(challenge, dict):
            raise TypeError("a challenge is a struct")
        piece_id, offset = challenge["piece_id"], challenge["offset"]
        if not isinstance(piece_id, int) or not isinstance(offset, int):
            raise TypeError("a challenge has two numbers")
        return node.pieces[piece_id].proof(offset)

    def prove(self, node: Node, round_id: int | None = None) -> Receipt:
        """Answer the set's next round (or the given one)."""
        if round_id is None:
            round_id = self.on.pdp.number("next_round", node.set_id)
        proof = self.answer(node, round_id)
        return self.on.pdp.send("prove", node.set_id, round_id, proof, by=node.key.address)

    def roll(self, node: Node) -> Receipt:
        """Apply the removals that are due."""
        return self.on.pdp.send("roll", node.set_id, 64, by=node.key.address)


def begin(on: Contracts) -> Network:
    """The network of these contracts, in its first whole period."""
    network = Network(on.token.chain, on)
    network.to_period(1)
    return network


def fresh(chain: Chain) -> Network:
    """A network on a fresh chain, deployed in process."""
    return begin(in_process(chain))
