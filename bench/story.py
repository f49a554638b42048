"""Every kind of transaction once, in the order of a network's life, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

from bench.chain import Receipt, account
from bench.deployment import PLAN, deployer
from bench.network import (
    DEPOSIT,
    PERIOD,
    STAKE,
    TOKEN,
    Deal,
    Network,
    Node,
    keeper,
)
from freehold.domain.ids import keccak
from freehold.ledger.plan import PRODUCTION

MIB = 2**20
COLUMN = 64 * MIB
SET = 100
"""Deals of four of six on the same six nodes: what a set holds when it is measured."""
NODES, BATCH = 32, 32
LEAVER, LATE, DEAD, SPARES = 14, 20, 21, (30, 31)
"""Nodes with a part in the story, beside the first six; nobody asks whether the others prove."""
EPOCH = PLAN.emission.epoch // PERIOD
LONG = 400
"""Periods that deals run for."""


@dataclass(frozen=True, slots=True)
class Row:
    """One transaction: gas of its receipt, bytes of its calldata."""

    chapter: str
    kind: str
    gas: int
    calldata: int


@dataclass(frozen=True, slots=True)
class Spread:
    """What answering a round costs, over several rounds."""

    pieces: int
    rounds: int
    least: int
    mean: int
    most: int


def seed_of(round_id: int) -> bytes:
    """The seed that every chain of a benchmark gives a round."""
    return keccak(b"seed of round %d" % round_id)


def spread(pieces: int, receipts: Sequence[Receipt]) -> Spread:
    """The figures of several proofs of one size of set."""
    gas = [receipt.gas for receipt in receipts]
    return Spread(pieces, len(gas), min(gas), round(mean(gas)), max(gas))


@dataclass(slots=True)
class Story:
    """The rows so far; ``tell`` makes all of them."""

    network: Network
    rows: list[Row] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    provers: list[Node] = field(default_factory=list)
    chapter: str = ""
    rounds: int = 0

    @classmethod
    def begin(cls, network: Network) -> Story:
        """The story of a network that has just been deployed."""
        story = cls(network, chapter="deployment")
        for name, receipt in network.on.deployed:
            story.note(name, receipt)
        return story

    def note(self, kind: str, receipt: Receipt) -> Receipt:
        """Keep a receipt."""
        self.rows.append(Row(self.chapter, kind, receipt.gas, receipt.calldata))
        return receipt

    def tell(self) -> None:
        """All chapters."""
        self.join()
        self.fund()
        deals = self.open()
        narrow = self._deal(30_000, k=4, nodes=[self.nodes[LEAVER], *self.nodes[:5]])
        self.prove()
        self.pay(deals[0])
        self.cheque()
        self.miss(deals[-1])
        self.leave(deals[-2], narrow)
        self.challenge(deals[0])
        self.earn(deals[0])
        self.end(deals[1])

    # Chapters

    def join(self) -> None:
        """Nodes come."""
        self.chapter, net = "nodes", self.network
        first = Node(account("node 0"), account("owner 0"))
        self.note("approve the price of registering", net.admit(first))
        self.note("register", net.register(first))
        net.give(first.owner.address, STAKE)
        self.note("approve the token", net.allow(first.owner, net.on.staking, STAKE))
        self.note("stake, first", net.stake(first, STAKE // 2))
        self.note("stake, again", net.stake(first, STAKE // 2))
        self.note("join", net.join(first))
        self.nodes = [first, *(net.node(str(number)) for number in range(1, NODES))]
        self.provers = [*self.nodes[:6], *(self.nodes[i] for i in (LEAVER, LATE, DEAD, *SPARES))]

    def fund(self) -> None:
        """A client brings money."""
        self.chapter, net, owner = "clients", self.network, account("client")
        net.give(owner.address, 4 * DEPOSIT)
        self.note("deposit with permit, first", net.permit(owner, DEPOSIT))
        self.note("deposit with permit, again", net.permit(owner, DEPOSIT))
        net.allow(owner, net.on.payments, DEPOSIT)
        arguments = (net.on.token.address, owner.address, DEPOSIT)
        receipt = net.on.payments.send("deposit", *arguments, by=owner.address)
        self.note("deposit after an approval", receipt)
        self.note("approve the market", net.approve(owner))
        arguments = (net.on.token.address, owner.address, DEPOSIT // 2)
        receipt = net.on.payments.send("withdraw", *arguments, by=owner.address)
        self.note("withdraw", receipt)

    def open(self) -> list[Deal]:
        """Deals are opened: many of four of six, then two of the wider presets."""
        self.chapter = "opening"
        deals = [self._deal(seed, k=4, nodes=self.nodes[:6]) for seed in range(1, SET + 1)]
        self.note("open 4 of 6, first deal of all", deals[0].receipt)
        self.note(f"open 4 of 6, nodes of {SET - 1} pieces", deals[-1].receipt)
        for k, n in ((10, 14), (20, 30)):
            deals.append(self._deal(10_000 + n, k=k, nodes=self.nodes[:n]))
            self.note(f"open {k} of {n}, half the nodes empty", deals[-1].receipt)
            deals.append(self._deal(20_000 + n, k=k, nodes=self.nodes[:n]))
            self.note(f"open {k} of {n}", deals[-1].receipt)
        self.note("renew 4 of 6", self.network.renew(deals[2], 30))
        return deals

    def prove(self) -> None:
        """Rounds are made and answered."""
        self.chapter = "proving"
        first = self.round("first of all")
        self.note("prove, first round of a set", first[0])
        self.round("again")
        self.round("")

    def pay(self, deal: Deal) -> None:
        """Rails are settled."""
        self.chapter, net = "paying", self.network
        self.note("settle, first of all", net.settle(deal.rails[:1]))
        self.note("settle, first of a node", net.settle(deal.rails[1:2]))
        self.round("")
        self.note("settle, again", net.settle(deal.rails[:1]))
        self.note("settle six rails of a deal", net.settle([r + 6 for r in deal.rails]))
        rails = [deal.rails[0] + 6 * (2 + i) for i in range(BATCH)]
        self.note(f"settle {BATCH} rails of a node", net.settle(rails))

    def cheque(self) -> None:
        """A voucher's life."""
        self.chapter, net, owner = "vouchers", self.network, account("client")
        payee = self.nodes[-1].owner
        arguments = (net.on.token.address, payee.address, TOKEN)
        receipt = net.on.payments.send("open_voucher", *arguments, by=owner.address)
        rail = net.on.payments.event(receipt, "VoucherOpened").number("rail")
        self.note("open a voucher rail", receipt)
        self.note("redeem, first", net.voucher(owner, rail, TOKEN // 4, by=payee))
        self.note("redeem, again", net.voucher(owner, rail, TOKEN // 2, by=payee))
        self.note("close", net.on.payments.send("close_voucher", rail, by=owner.address))
        net.chain.warp(PERIOD)
        self.note("finish", net.on.payments.send("finish_voucher", rail, by=owner.address))

    def miss(self, deal: Deal) -> None:
        """One node is late once, another fails for good and its column moves."""
        self.chapter, net = "faults and repair", self.network
        late, dead, spare = self.nodes[LATE], self.nodes[DEAD], self.nodes[SPARES[0]]
        self.note("evaluate, nothing to charge", net.evaluate(late))
        self.provers.remove(late)
        self.provers.remove(dead)
        self.round("")
        net.chain.warp(PERIOD // 2)
        self.note("evaluate, one miss charged", net.evaluate(late))
        self.note("prove, too late", net.prove(late))
        self.provers.append(late)
        for _ in range(2):
            self.round("")
        net.chain.warp(PERIOD // 2)
        self.note("evaluate, failure and slash", net.evaluate(dead))
        slot, old = deal.nodes.index(dead), deal.rails[deal.nodes.index(dead)]
        self.note(
            "replace a failed node's column, 20 of 30", net.replace(deal, slot, spare, by=keeper)
        )
        self.round("")
        self.round("")
        self._send("claim_repair", deal.id, slot, kind="claim a repair")
        self._send("finish_rail", old, kind="finish a failed column, with compensation")

    def leave(self, deal: Deal, narrow: Deal) -> None:
        """A node gives notice; two columns move, another is left."""
        self.chapter, net = "leaving", self.network
        leaver, spare = self.nodes[LEAVER], self.nodes[SPARES[1]]
        send = net.on.faults.send
        receipt = send("give_notice", leaver.key.address, by=leaver.key.address)
        self.note("give notice", receipt)
        slot, old = deal.nodes.index(leaver), deal.rails[deal.nodes.index(leaver)]
        self.note("replace, 20 of 30", net.replace(deal, slot, spare, by=keeper))
        self.note("replace, 4 of 6", net.replace(narrow, 0, spare, by=keeper))
        self.round("")
        self.round("")
        self._send("finish_rail", old, kind="finish a moved column")
        other = deal.id + 1
        by = leaver.key.address
        self.note("exit a column", net.on.storage.send("exit", other, slot, by=by))
        net.to_period(net.period + 1)
        self.note("roll one removal", net.roll(leaver))

    def challenge(self, deal: Deal) -> None:
        """One leaf is asked for, answered, and asked for in vain."""
        self.chapter, net = "spot challenges", self.network
        node, piece = deal.nodes[0], deal.pieces[0]
        wei = 10**18
        net.chain.give(keeper.address, 10 * wei)
        net.chain.give(node.key.address, wei)
        for kind in ("challenge, first of all", "challenge"):
            arguments = (deal.id, 0, piece.leaves // 3)
            receipt = net.on.faults.send("spot_challenge", *arguments, by=keeper.address, value=wei)
            self.note(kind, receipt)
        proof = piece.proof(piece.leaves // 3)
        receipt = net.on.faults.send("answer_spot", 1, proof, by=node.key.address)
        self.note("answer", receipt)
        self.round("")
        net.to_period(net.period + 1)
        self.note("expire", net.on.faults.send("expire_spot", 2, by=keeper.address))

    def earn(self, deal: Deal) -> None:
        """Burned fees back work, an epoch ends and is closed, and a node claims."""
        self.chapter, net, node = "rewards", self.network, deal.nodes[0]
        rewards, by = net.on.rewards, node.key.address
        self.note("back work, first", rewards.send("back", node.set_id, by=by))
        self.round("")
        self.round("")
        net.settle(deal.rails[:1])
        self.note("back work, again", rewards.send("back", node.set_id, by=by))
        last = net.period // EPOCH
        net.to_period((last + 1) * EPOCH)
        advance = net.on.issuance.send
        self.note("close an epoch of the issuance", advance("advance", 1, by=keeper.address))
        advance("advance", 64, by=keeper.address)
        self.note("close an epoch of the rewards", rewards.send("close", last, by=keeper.address))
        self.note("claim", rewards.send("claim", node.set_id, by=keeper.address))
        self.share(deal, node)

    def share(self, deal: Deal, node: Node) -> None:
        """Somebody delegates, his stake is admitted, and earns."""
        net, other, by = self.network, account("delegator"), keeper.address
        rewards, staking, place = net.on.rewards, net.on.staking, node.key.address
        net.give(other.address, STAKE)
        net.allow(other, staking, STAKE)

        def delegate(amount: int) -> Receipt:
            return staking.send("delegate", place, amount, by=other.address)

        self.note("delegate, first", delegate(STAKE // 4))
        for what in ("that admits a delegator", "for a node with delegators"):
            last = net.period // EPOCH
            while net.period < (last + 1) * EPOCH:
                self.round("")
                net.settle(deal.rails[:1])
                rewards.send("back", node.set_id, by=place)
            net.on.issuance.send("advance", 64, by=by)
            rewards.send("close", last, by=by)
            self.note(f"claim {what}", rewards.send("claim", node.set_id, by=by))
        self.note("delegate, again", delegate(STAKE // 4))
        self.note("claim what stake earned", staking.send("claim_rewards", place, by=other.address))

    def end(self, deal: Deal) -> None:
        """A deal is closed, its columns are finished, and stake goes home."""
        self.chapter, net = "ending", self.network
        send = net.on.storage.send
        self.note("close 4 of 6", send("close", deal.id, by=deal.client.address))
        net.to_period(net.period + 12)
        finished = [send("finish", deal.id, slot, by=keeper.address) for slot in range(6)]
        self.note("finish a column", finished[1])
        self.note("finish a deal's last column", finished[5])
        node = self.nodes[-1]
        names = (node.key.address, STAKE // 4)
        self.note("unbond", net.on.staking.send("unbond", *names, by=node.owner.address))
        net.chain.warp(PRODUCTION.unbonding)
        receipt = net.on.staking.send("withdraw", node.key.address, 0, by=node.owner.address)
        self.note("withdraw stake", receipt)
        receipt = net.on.token.send("transfer", deployer.address, TOKEN // 8, by=node.owner.address)
        self.note("transfer the token", receipt)

    # Routines

    def round(self, kind: str) -> list[Receipt]:
        """The next period's round, answered by every node that is there."""
        net = self.network
        fixed, stored = net.next_round()
        if kind:
            self.note(f"fix, {kind}", fixed)
            self.note(f"store, {kind}", stored)
        net.choose_seed(self.rounds, seed_of(self.rounds))
        self.rounds += 1
        return [self._answer(node) for node in self.provers if self._asked(node)]

    def _asked(self, node: Node) -> bool:
        number = self.network.on.pdp.number("next_round", node.set_id)
        return number < self.rounds

    def _answer(self, node: Node) -> Receipt:
        waiting = self.network.on.pdp.read("waiting", node.set_id)
        if waiting[1]:
            self.network.roll(node)
        return self.network.prove(node)

    def _deal(self, seed: int, *, k: int, nodes: Sequence[Node]) -> Deal:
        return self.network.open(
            account("client"), nodes, k=k, size=COLUMN, seed=seed, periods=LONG
        )

    def _send(self, function: str, *arguments: object, kind: str) -> None:
        send = self.network.on.storage.send
        self.note(kind, send(function, *arguments, by=keeper.address))
