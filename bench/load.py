"""A network under load: so many nodes, clients and objects, through some periods of its life."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.chain import Receipt, account
from bench.network import DEPOSIT, STAKE, Deal, Network, Node, fresh, keeper
from bench.revm import Revm
from freehold.domain.keys import Key

K, N = 4, 6
BATCH = 32
"""Rails that one ``settle_many`` takes."""
STEADY = 3
"""Periods in which every node proves, before one in ten fails."""
FAILING, ENDING = 10, 10
"""One node in so many fails, one object in so many is closed."""
LONG = 400


@dataclass(frozen=True, slots=True)
class Size:
    """How large a network is; ``column`` in bytes."""

    nodes: int
    clients: int
    objects: int
    column: int

    @property
    def columns_per_node(self) -> float:
        """Columns that a node holds, on average."""
        return N * self.objects / self.nodes


@dataclass(slots=True)
class Tally:
    """Transactions of one kind; ``units`` is how many things (columns, rails) they served."""

    count: int = 0
    units: int = 0
    gas: int = 0
    most: int = 0

    def add(self, receipt: Receipt, units: int) -> None:
        """Count a transaction."""
        self.count += 1
        self.units += units
        self.gas += receipt.gas
        self.most = max(self.most, receipt.gas)


@dataclass(slots=True)
class Load:
    """The run of one size; ``tallies`` by kind."""

    size: Size
    network: Network
    nodes: list[Node] = field(default_factory=list)
    deals: list[Deal] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)

    def note(self, kind: str, receipt: Receipt, units: int = 1) -> None:
        """Count a transaction of a kind."""
        self.tallies.setdefault(kind, Tally()).add(receipt, units)

    def run(self) -> None:
        """Everything, in order."""
        self._join()
        clients = [self._fund(number) for number in range(self.size.clients)]
        for number in range(self.size.objects):
            self._open(number, clients[number % len(clients)])
        self._live()
        self._repair()
        self._end()

    def _join(self) -> None:
        for number in range(self.size.nodes):
            node = Node(account(f"node {number}"), account(f"owner {number}"))
            self.note("approve the price of registering", self.network.admit(node))
            self.note("register", self.network.register(node))
            self.network.give(node.owner.address, STAKE)
            allowed = self.network.allow(node.owner, self.network.on.staking, STAKE)
            self.note("approve the token", allowed)
            self.note("stake", self.network.stake(node, STAKE))
            self.note("join", self.network.join(node))
            self.nodes.append(node)

    def _fund(self, number: int) -> Key:
        owner = account(f"client {number}")
        self.network.give(owner.address, 2 * DEPOSIT)
        self.note("first deposit", self.network.permit(owner, DEPOSIT))
        self.note("deposit", self.network.permit(owner, DEPOSIT))
        self.note("approve the market", self.network.approve(owner))
        return owner

    def _open(self, number: int, client: Key) -> None:
        places = [(number * N + slot) % len(self.nodes) for slot in range(N)]
        deal = self.network.open(
            client,
            [self.nodes[place] for place in places],
            k=K,
            size=self.size.column,
            seed=number + 1,
            periods=LONG,
        )
        self.deals.append(deal)
        self.note("open", deal.receipt, N)

    def _live(self) -> None:
        """Periods in which all prove; what a node earns is settled twice, the second counts."""
        for _ in range(STEADY):
            self._round(self.nodes, "prove")
        for rails in self._batches():
            self.network.settle(rails)
        self._round(self.nodes, "prove")
        for rails in self._batches():
            self.note("settle", self.network.settle(rails), len(rails))

    def _batches(self) -> Iterator[list[int]]:
        """Rails of each node in batches."""
        held: dict[str, list[int]] = {node.key.address: [] for node in self.nodes}
        for deal in self.deals:
            for node, rail in zip(deal.nodes, deal.rails, strict=True):
                held[node.key.address].append(rail)
        for rails in held.values():
            yield from (rails[i : i + BATCH] for i in range(0, len(rails), BATCH))

    def _round(self, nodes: Sequence[Node], kind: str) -> None:
        fixed, stored = self.network.next_round()
        self.note("fix the beacon", fixed)
        self.note("store the beacon", stored)
        for node in nodes:
            if node.pieces:
                self._prove(node, kind)

    def _prove(self, node: Node, kind: str) -> None:
        waiting, due = self.network.on.pdp.read("waiting", node.set_id)
        if not isinstance(waiting, int) or not isinstance(due, int):
            raise TypeError("waiting gives two numbers")
        if due:
            self.note("roll", self.network.roll(node), due)
        rounds = self.network.on.beacon.number("round_count")
        if self.network.on.pdp.number("next_round", node.set_id) < rounds:
            self.note(kind, self.network.prove(node))

    def _repair(self) -> None:
        """One node in ten falls silent; what it held moves to others, and the movers are paid."""
        failed, sound = (
            self.nodes[::FAILING],
            [node for i, node in enumerate(self.nodes) if i % FAILING],
        )
        for _ in range(3):
            self._round(sound, "prove")
        self.network.chain.warp(12 * 3_600)
        for node in failed:
            if node.pieces:
                self.note("evaluate and slash", self.network.evaluate(node))
        moved = [move for deal in self.deals for move in self._move(deal, failed, sound)]
        for _ in range(2):
            self._round(sound, "prove after repair")
        send = self.network.on.storage.send
        for deal, slot, old in moved:
            self.note("claim a repair", send("claim_repair", deal.id, slot, by=keeper.address))
            self.note("finish a failed column", send("finish_rail", old, by=keeper.address))

    def _move(
        self, deal: Deal, failed: Sequence[Node], sound: Sequence[Node]
    ) -> list[tuple[Deal, int, int]]:
        found: list[tuple[Deal, int, int]] = []
        for slot, node in enumerate(deal.nodes):
            if node not in failed or len(found) == 2:
                continue
            start = (deal.id * 7 + slot * 3) % len(sound)
            order = [*sound[start:], *sound[:start]]
            new = next(each for each in order if each not in deal.nodes)
            old = deal.rails[slot]
            self.note("replace", self.network.replace(deal, slot, new, by=keeper))
            found.append((deal, slot, old))
        return found

    def _end(self) -> None:
        """One object in ten is closed, its columns are finished and leave the sets."""
        send = self.network.on.storage.send
        closed = self.deals[::ENDING]
        for deal in closed:
            self.note("close", send("close", deal.id, by=deal.client.address), N)
        self.network.to_period(self.network.period + 12)
        for deal in closed:
            for slot in range(N):
                receipt = send("finish", deal.id, slot, by=keeper.address)
                self.note("finish", receipt)
        sound = [node for i, node in enumerate(self.nodes) if i % FAILING]
        self.network.to_period(self.network.period + 1)
        self._round(sound, "prove after repair")


def run(size: Size) -> Load:
    """A network of that size, run."""
    load = Load(size, fresh(Revm()))
    load.run()
    return load
