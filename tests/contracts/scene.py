"""A whole network in process, and people who do things at random: some sensible, some refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contracts import merkle
from contracts.evm import NETWORK_ID, ZERO, Chain, Contract, Reverted, signer
from contracts.recording import Recording
from contracts.world import VOUCHER, World, deploy_world, guardian, treasury

PERIOD, GRACE, WINDOW, CHALLENGES = 1_000, 200, 300, 5
SIZE = 300
PRICE = 10**27
TRIES = 6
ACCEPTANCE = {
    "Acceptance": "address node,address client,address mover,address token,bytes32 root,"
    "uint64 size,uint8 height,uint256 price,uint64 term_end,uint64 deadline,uint256 nonce"
}
CLIENTS = [signer(f"client {i}") for i in range(3)]
OWNERS = [signer(f"owner {i}") for i in range(9)]
NODES = [signer(f"node {i}") for i in range(9)]
PEOPLE = [*CLIENTS, *OWNERS, *NODES, guardian, treasury]


@dataclass(slots=True)
class Scene:
    """Deployed contracts, what the nodes hold, and which things exist."""

    chain: Chain
    rng: random.Random
    base: World = field(init=False)
    found: dict[str, Contract] = field(init=False)
    recording: Recording = field(init=False)
    held: dict[tuple[int, int], merkle.Piece] = field(default_factory=dict)
    genesis: int = 0
    nonce: int = 0
    vouchers: dict[int, int] = field(default_factory=dict)
    moved: list[tuple[int, int]] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    faith: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.genesis = self.chain.now
        self._deploy()
        self._populate()

    def __getattr__(self, name: str) -> Contract:
        found: dict[str, Contract] = object.__getattribute__(self, "found")
        if name in found:
            return found[name]
        raise AttributeError(name)

    # Setting up

    def _deploy(self) -> None:
        base = self.base = deploy_world(self.chain)
        by, chain = guardian.address, self.chain
        beacon = chain.deploy(
            "beacon", base.governor.address, self.genesis, PERIOD, GRACE, sender=by
        )
        pdp = chain.deploy(
            "pdp", beacon.address, base.governor.address, CHALLENGES, WINDOW, ZERO, sender=by
        )
        addresses = [c.address for c in (base.token, base.registry, base.staking, pdp, beacon)]
        faults = chain.deploy("faults", *addresses, base.governor.address, sender=by)
        addresses = [c.address for c in (base.registry, base.payments, pdp, beacon, faults)]
        storage = chain.deploy("storage", *addresses, base.governor.address, NETWORK_ID, sender=by)
        self.found = {
            "governor": base.governor, "token": base.token, "registry": base.registry,
            "staking": base.staking, "payments": base.payments, "beacon": beacon, "pdp": pdp,
            "faults": faults, "storage": storage,
        }  # fmt: skip
        names = {c.address.lower(): name for name, c in self.found.items()}
        self.recording = Recording(chain, names)
        self.recording.start()

    def _populate(self) -> None:
        self.faith = {n.address: self.rng.choice([1.0, 0.98, 0.7]) for n in NODES}
        base, storage, faults = self.base, self.found["storage"], self.found["faults"]
        base.setup(base.token, "set_minter", guardian.address, True)
        base.setup(faults, "set_market", storage.address, True)
        for role in ("set_locker", "set_slasher", "set_evaluator"):
            base.setup(base.staking, role, faults.address, True)
        base.setup(base.payments, "set_market", storage.address, True)
        base.setup(base.payments, "set_token", base.token.address, True)
        base.setup(base.payments, "set_fees", 50, 5_000)
        base.setup(base.payments, "set_delays", 20 * PERIOD, 2 * PERIOD)
        base.setup(base.payments, "set_treasury", treasury.address)
        base.setup(storage, "set_parameters", (4 * PERIOD, 1, 8 * PERIOD))
        base.setup(
            faults, "set_parameters",
            (2 * PERIOD, 3, 10**26, 100, 5_000, 3_000, 500, WINDOW, 50_000),
        )  # fmt: skip
        for owner, node in zip(OWNERS, NODES, strict=True):
            base.register(owner, node)
            self._stake(owner.address, node.address, 10**18)
            faults.send("join", node.address, sender=owner.address)
            self.chain.give_ether(node.address, 10**20)
        for client in CLIENTS:
            self.chain.give_ether(client.address, 10**20)
            self._deposit(client, 10**16)
            self._approve(client)

    def _stake(self, owner: str, node: str, amount: int) -> None:
        self.base.fund(owner, amount)
        self.token.send("approve", self.staking.address, amount, sender=owner)
        self.staking.send("stake", node, amount, sender=owner)

    def _deposit(self, client: Any, amount: int) -> None:
        self.base.deposit(client, amount)

    def _approve(self, client: Any) -> None:
        arguments = (self.token.address, self.storage.address, 2**120, 2**100)
        self.payments.send("approve_market", *arguments, sender=client.address)

    # Doing something

    def step(self) -> str:
        """One thing at random; its name. What is refused changes nothing, and another is tried."""
        often = [
            self.move_on, self.prove, self.settle, self.open, self.replace, self.finish,
            self.claim, self.evaluate,
        ]  # fmt: skip
        sometimes = [
            self.renew, self.exit, self.finish_rail, self.abandon, self.force, self.spot,
            self.expire, self.stake, self.unbond, self.withdraw_stake, self.deposit,
            self.voucher, self.redeem, self.roll,
        ]  # fmt: skip
        seldom = [
            self.close, self.take_out, self.send, self.end_voucher, self.rejoin, self.payout,
            self.settings, self.falter, self.notice, self.retire, self.retire,
        ]  # fmt: skip
        actions: list[Callable[[], object]] = [*often, *sometimes, *seldom]
        weights = [6.0] * len(often) + [2.0] * len(sometimes) + [0.8] * len(seldom)
        for _ in range(TRIES):
            action = self.rng.choices(actions, weights)[0]
            try:
                action()
            except Reverted:
                continue
            self.done[action.__name__] = self.done.get(action.__name__, 0) + 1
            return action.__name__
        return "nothing"

    @property
    def now(self) -> int:
        return self.chain.now

    def period(self) -> int:
        return (self.now - self.genesis) // PERIOD

    def move_on(self) -> None:
        """Go on by some time; mostly a new period with a round, and most nodes answer it."""
        if self.rng.random() < 0.05:
            self.chain.warp(self.rng.choice([20, 50, 90]) * PERIOD)
        self.chain.warp(self.rng.choice([1, WINDOW // 2, PERIOD // 2]))
        if self.rng.random() < 0.6:
            self.chain.warp_to(self.genesis + (self.period() + 1) * PERIOD + 1)
        if self.rng.random() < 0.85:
            self.beacon.send("fix", self.period(), sender=treasury.address)
            self.chain.warp(6, blocks=3)
            self.beacon.send("store", self.period(), sender=treasury.address)
            for node in NODES:
                if self.rng.random() < self.faith[node.address]:
                    self._prove(node)

    def prove(self) -> None:
        self._prove(self.rng.choice(NODES))

    def _prove(self, node: Any) -> None:
        while self._prove_once(node) and self.rng.random() < 0.8:
            pass

    def _prove_once(self, node: Any) -> bool:
        set_id = int(self.faults.call("set_of", node.address))
        try:
            self.pdp.send("roll", set_id, 64, sender=node.address)
            number = int(self.pdp.call("next_round", set_id))
            asked = self.pdp.call("challenged", set_id, number)
            proof = b"".join(self.held[set_id, a.piece_id].proof(a.offset) for a in asked)
            self.pdp.send("prove", set_id, number, proof, sender=node.address)
        except Reverted:
            return False
        return True

    def open(self) -> None:
        client = self.rng.choice(CLIENTS)
        n = self.rng.randint(1, 5)
        chosen = self.rng.sample(NODES, n)
        pieces = [merkle.sample(self.rng.randrange(10**6), SIZE) for _ in range(n)]
        term_end = self.now + self.rng.randint(3, 30) * PERIOD
        mandate = (PRICE * 2, 0, 2, term_end, self.rng.choice([0, 10**12]), self.rng.randint(0, 4))
        request = (
            self.rng.randbytes(32), self.token.address, self.rng.randint(1, max(1, n - 2)), SIZE,
            pieces[0].height, [p.root for p in pieces], mandate, b"hint",
        )  # fmt: skip
        accepted = [
            self.accept(node, client, piece, term_end)
            for node, piece in zip(chosen, pieces, strict=True)
        ]
        self._hold(self.storage.send("open", request, accepted, sender=client.address), pieces)

    def accept(
        self, node: Any, client: Any, piece: merkle.Piece, term_end: int,
        price: int | None = None, mover: Any = None,
    ) -> tuple[Any, ...]:  # fmt: skip
        self.nonce += 1
        price = price or PRICE + self.rng.randrange(1000)
        message = {
            "node": node.address, "client": client.address,
            "mover": (mover or client).address, "token": self.token.address,
            "root": piece.root, "size": piece.size, "height": piece.height, "price": price,
            "term_end": term_end, "deadline": self.now + 1000, "nonce": self.nonce,
        }  # fmt: skip
        signed = node.sign(self.storage.domain(), ACCEPTANCE, message)
        return (node.address, price, term_end, self.now + 1000, self.nonce, signed)

    def _hold(self, outcome: Any, pieces: list[merkle.Piece]) -> None:
        added = outcome.named("PieceAdded")
        for event, piece in zip(added, pieces, strict=True):
            self.held[event.set_id, event.piece_id] = piece

    def some_deal(self, *, running: bool = False) -> tuple[int, Any]:
        count = int(self.storage.call("deal_count"))
        if not count:
            raise Reverted("no deal")
        number = self.rng.randint(max(1, count - 8), count)
        for other in range(count, max(0, count - 8), -1):
            deal = self.storage.call("deal", other)
            if running and not deal.closed_at and deal.term_end > self.now:
                return other, deal
        return number, self.storage.call("deal", number)

    def some_slot(self) -> tuple[int, int, Any]:
        number, deal = self.some_deal(running=self.rng.random() < 0.6)
        return number, self.rng.randrange(deal.n), deal

    def close(self) -> None:
        number, deal = self.some_deal()
        self.storage.send("close", number, sender=deal.client)

    def renew(self) -> None:
        number, deal = self.some_deal()
        client = next(c for c in CLIENTS if c.address == deal.client)
        term_end = deal.term_end + self.rng.randint(1, 9) * PERIOD
        given = []
        for slot in range(deal.n):
            column = self.storage.call("column", number, slot)
            if column.state == 1:
                node = next(n for n in NODES if n.address == column.node)
                piece = self._piece(column)
                given.append(self.accept(node, client, piece, term_end, column.price))
        self.storage.send("renew", number, term_end, given, sender=deal.client)

    def _piece(self, column: Any) -> merkle.Piece:
        return next(p for p in self.held.values() if p.root == column.root)

    def exit(self) -> None:
        number, slot, _ = self.some_slot()
        column = self.storage.call("column", number, slot)
        if self.rng.random() < 0.1:
            self._drain(self.storage.call("deal", number).client)
        self.storage.send("exit", number, slot, sender=column.node)

    def _drain(self, client: str) -> None:
        free = int(self.payments.call("status", self.token.address, client)[1])
        self.payments.send("withdraw", self.token.address, client, free, sender=client)

    def notice(self) -> None:
        node = self.rng.choice(NODES)
        self.faults.send("give_notice", node.address, sender=node.address)

    def replace(self) -> None:
        number, slot, deal = self.weak_slot()
        again = self.rng.random() < 0.2
        if again and self.moved:
            number, slot = self.moved[-1]
            deal = self.storage.call("deal", number)
        client = next(c for c in CLIENTS if c.address == deal.client)
        piece = self._piece(self.storage.call("column", number, slot))
        others = [self.rng.choice(OWNERS), treasury, treasury, treasury]
        by = client if again else self.rng.choice([client, *others])
        node = self.rng.choice(NODES)
        accepted = self.accept(node, client, piece, deal.term_end, mover=by)
        outcome = self.storage.send("replace", number, slot, accepted, sender=by.address)
        self._hold(outcome, [piece])
        self.moved.append((number, slot))

    def weak_slot(self) -> tuple[int, int, Any]:
        """A slot whose node owes, leaves or has failed, where chance finds one."""
        for _ in range(6):
            number, slot, deal = self.some_slot()
            column = self.storage.call("column", number, slot)
            state = self.faults.call("node_state", column.node)
            if state.failed or state.notice_at or self.pdp.call("owed", state.set_id):
                break
        return number, slot, deal

    def claim(self) -> None:
        number, slot = self.rng.choice(self.moved[-4:] or [(1, 0)])
        self.storage.send("claim_repair", number, slot, sender=OWNERS[0].address)

    def finish(self) -> None:
        number, slot, _ = self.some_slot()
        self.storage.send("finish", number, slot, sender=OWNERS[1].address)

    def some_rail(self) -> int:
        count = int(self.payments.call("rail_count"))
        if not count:
            raise Reverted("no rail")
        return self.rng.randint(max(1, count - 20), count)

    def finish_rail(self) -> None:
        self.storage.send("finish_rail", self.some_rail(), sender=OWNERS[1].address)

    def abandon(self) -> None:
        self.storage.send("abandon", self.some_rail(), sender=OWNERS[1].address)

    def settle(self) -> None:
        if self.rng.random() < 0.3:
            rails = sorted({self.some_rail() for _ in range(4)})
            self.payments.send("settle_many", rails, sender=OWNERS[2].address)
        else:
            self.payments.send("settle", self.some_rail(), sender=OWNERS[2].address)

    def force(self) -> None:
        self.payments.send("force_close", self.some_rail(), sender=OWNERS[2].address)

    def falter(self) -> None:
        """A node becomes good or bad at proving."""
        node = self.rng.choice(NODES)
        self.faith[node.address] = self.rng.choice([1.0, 1.0, 0.8, 0.0])

    def evaluate(self) -> None:
        node = self.rng.choice(NODES)
        self.faults.send("evaluate", node.address, sender=self.rng.choice(OWNERS).address)

    def spot(self) -> None:
        number, slot, _ = self.some_slot()
        column = self.storage.call("column", number, slot)
        piece = self._piece(column)
        leaf = self.rng.randrange(piece.leaves)
        by = self.rng.choice(CLIENTS).address
        number = int(
            self.faults.send("spot_challenge", number, slot, leaf, sender=by, value=10**15).value
        )
        if self.rng.random() < 0.5:
            self.faults.send("answer_spot", number, piece.proof(leaf), sender=by)

    def expire(self) -> None:
        count = int(self.faults.call("spot_count"))
        number = self.rng.randint(max(1, count - 4), max(1, count))
        self.faults.send("expire_spot", number, sender=CLIENTS[0].address)

    def stake(self) -> None:
        i = self.rng.randrange(len(NODES))
        self._stake(OWNERS[i].address, NODES[i].address, self.rng.randint(1, 10**15))

    def unbond(self) -> None:
        i = self.rng.randrange(len(NODES))
        amount = self.rng.randint(1, 10**17)
        self.staking.send("unbond", NODES[i].address, amount, sender=OWNERS[i].address)

    def withdraw_stake(self) -> None:
        i = self.rng.randrange(len(NODES))
        owner, node = OWNERS[i].address, NODES[i].address
        count = int(self.staking.call("entry_count", owner, node))
        self.staking.send("withdraw", node, self.rng.randrange(max(1, count)), sender=owner)

    def deposit(self) -> None:
        self._deposit(self.rng.choice(CLIENTS), self.rng.randint(1, 10**17))

    def take_out(self) -> None:
        who = self.rng.choice([*CLIENTS, *OWNERS]).address
        funds = int(self.payments.call("status", self.token.address, who)[1])
        amount = self.rng.choice([funds, funds // 2, 1])
        self.payments.send("withdraw", self.token.address, who, amount, sender=who)

    def send(self) -> None:
        one, other = self.rng.sample(CLIENTS, 2)
        arguments = (self.token.address, other.address, self.rng.randint(0, 10**14), 3)
        self.payments.send("send", *arguments, sender=one.address)

    def voucher(self) -> None:
        client = self.rng.choice(CLIENTS)
        arguments = (self.token.address, NODES[0].address, self.rng.randint(1, 10**14))
        rail = int(self.payments.send("open_voucher", *arguments, sender=client.address).value)
        self.vouchers[rail] = CLIENTS.index(client)

    def redeem(self) -> None:
        rail = self.rng.choice(list(self.vouchers) or [1])
        if rail not in self.vouchers:
            raise Reverted("no voucher")
        client = CLIENTS[self.vouchers[rail]]
        if self.rng.random() < 0.3:
            amount = self.rng.randint(1, 10**13)
            self.payments.send("add_collateral", rail, amount, sender=client.address)
        amount = int(self.payments.call("rail", rail).paid) + self.rng.randint(1, 10**13)
        signed = client.sign(self.payments.domain(), VOUCHER, {"rail": rail, "amount": amount})
        self.payments.send("redeem", rail, amount, signed, sender=NODES[0].address)

    def end_voucher(self) -> None:
        rail = self.rng.choice(list(self.vouchers) or [1])
        client = CLIENTS[self.vouchers.get(rail, 0)]
        if self.payments.call("rail", rail).end_at:
            self.payments.send("finish_voucher", rail, sender=client.address)
        else:
            self.payments.send("close_voucher", rail, sender=client.address)

    def roll(self) -> None:
        node = self.rng.choice(NODES)
        set_id = int(self.faults.call("set_of", node.address))
        self.pdp.send("roll", set_id, self.rng.randint(1, 3), sender=node.address)

    def rejoin(self) -> None:
        i = self.rng.randrange(len(NODES))
        self.faults.send("join", NODES[i].address, sender=OWNERS[i].address)

    def payout(self) -> None:
        i = self.rng.randrange(len(NODES))
        to = self.rng.choice([*OWNERS, *CLIENTS]).address
        self.registry.send(
            "update", NODES[i].address, 1, "https://x", b"\1" * 32, b"\2" * 32, to,
            sender=OWNERS[i].address,
        )  # fmt: skip

    def retire(self) -> None:
        """A node leaves the registry, or comes back under a new generation."""
        i = self.rng.randrange(len(NODES))
        if self.registry.call("node", NODES[i].address).retired:
            self.base.register(OWNERS[i], NODES[i])
        else:
            self.registry.send("retire", NODES[i].address, sender=OWNERS[i].address)

    def settings(self) -> None:
        fees = (self.rng.randint(0, 500), self.rng.randint(0, 10_000))
        self.base.setup(self.payments, "set_fees", *fees)
