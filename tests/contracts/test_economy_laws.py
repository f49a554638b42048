"""What holds for the whole economy on real bytecode after any history, strangers included.

The books keep what the events come to and check each transaction; the machine compares them with
the contracts' state after every step.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from contracts.economy import (
    ALLOCATIONS,
    BUDGET,
    CLIENTS,
    DELEGATORS,
    EPOCH,
    OWNERS,
    SHARES,
    allocator,
    beneficiary,
    buyer,
    twin,
)
from contracts.economy_laws import ACCOUNTS, STAKERS, Laws, doors_of
from contracts.evm import Contract, Reverted, Signer
from contracts.market import GENESIS, PERIOD, PRICE, Node, watcher
from contracts.roots import BOND, honest, proposer
from contracts.world import MAX, TOKEN, UNBONDING, bob, carol, mallory
from freehold.economics.trees import GRAIN

NODE = st.integers(0, 2)
SOME = st.sets(NODE, min_size=1)
OFTEN = st.sampled_from([True, True, True, False])
PICK = st.integers(0, 40)
AMOUNTS = st.one_of(st.integers(1, 9), st.integers(1, 200 * TOKEN))
GRANTS = st.sampled_from([0, 1, BUDGET // 8, BUDGET // 4, BUDGET // 2, BUDGET // 2 + 1])
PARTS = st.integers(1, 8)
STRANGERS = st.sampled_from([mallory, bob, twin, buyer, beneficiary])
PLACES = st.sampled_from(
    [(bob, 0), (carol, 0), (carol, 1), (twin, 2), *zip(OWNERS, range(3), strict=True)]
)
GAINS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 400)), min_size=1, max_size=4)


class EconomyLaws(Laws):
    """Three nodes, two clients, delegators, a proposer, a buyer, and Mallory."""

    def act(self, contract: Contract, function: str, *arguments: Any, by: Signer) -> Any:
        """A transaction, its value; None where it was refused."""
        try:
            return contract.send(function, *arguments, sender=by.address).value
        except Reverted:
            return None

    def failed(self, node: Node) -> bool:
        return bool(self.it.market.state(node).failed)

    def sound(self, chosen: set[int]) -> list[Node]:
        return [self.it.nodes[i] for i in sorted(chosen) if not self.failed(self.it.nodes[i])]

    # Time, deals and proofs

    @rule(present=SOME, settle=OFTEN, back=OFTEN)
    def period(self, present: set[int], settle: bool, back: bool) -> None:
        self.it.live(self.sound(present), settle=settle, back=back)

    @rule(periods=st.integers(1, 4), absent=st.sets(NODE, max_size=1))
    def periods(self, periods: int, absent: set[int]) -> None:
        for _ in range(periods):
            self.it.live(self.sound({0, 1, 2} - absent), settle=True, back=True)

    @rule(seconds=st.sampled_from([1, PERIOD // 3, EPOCH]))
    def wait(self, seconds: int) -> None:
        self.it.chain.warp(seconds)

    @precondition(lambda self: not self.slept)
    @rule(seconds=st.sampled_from([12 * PERIOD, UNBONDING]))
    def sleep(self, seconds: int) -> None:
        """Nobody does anything for so long that clients run dry, or stake and budgets are free."""
        self.it.chain.warp(seconds)
        self.slept = True

    @rule(who=st.sampled_from(CLIENTS), chosen=SOME, price=st.integers(1, 9 * PRICE),
          foreign=st.booleans(), term=st.sampled_from([2, 9, 60]))  # fmt: skip
    def open(self, who: Signer, chosen: set[int], price: int, foreign: bool, term: int) -> None:
        token = self.it.foreign if foreign else self.it.world.token
        nodes = [self.it.nodes[i] for i in sorted(chosen)]
        with suppress(Reverted):
            self.it.open(nodes, who, price=price, token=token.address, term=term)

    @rule(pick=PICK)
    def close(self, pick: int) -> None:
        deal, owner = self.it.deals[pick % len(self.it.deals)]
        self.act(self.it.market.storage, "close", deal.id, by=owner)

    @rule(pick=PICK, way=st.sampled_from(["finish_rail", "abandon"]))
    def finish(self, pick: int, way: str) -> None:
        self.act(self.it.market.storage, way, self.some_rail(pick), by=watcher)

    @rule(pick=PICK)
    def settle_twice(self, pick: int) -> None:
        rail = self.some_rail(pick)
        self.it.market.settle(rail)
        assert self.it.market.settle(rail) == 0

    def some_rail(self, pick: int) -> int:
        running = [number for number, rail in self.books.rails.items() if rail.set_id]
        return running[pick % len(running)]

    @rule(number=NODE, periods=st.integers(1, 4))
    def miss(self, number: int, periods: int) -> None:
        """A node is silent, and Mallory tells."""
        for _ in range(periods):
            self.it.live(self.sound({0, 1, 2} - {number}), settle=True, back=True)
        self.it.market.late()
        self.it.chain.warp(PERIOD)
        self.it.market.evaluate(self.it.nodes[number], by=mallory)

    # Issuance

    @rule(limit=st.integers(0, 64))
    def advance(self, limit: int) -> None:
        before = len(self.books.budgets)
        closed = self.it.issuance.send("advance", limit, sender=mallory.address).value
        assert closed == before + min(limit, 64, self.it.epoch - before)

    @rule(by=st.sampled_from([allocator, allocator, mallory]), amount=GRANTS)
    def grant(self, by: Signer, amount: int) -> None:
        before = self.it.issuance.call("granted_total")
        self.act(self.it.issuance, "grant", mallory.address, amount, b"r" * 32, by=by)
        given = self.it.issuance.call("granted_total") - before
        may = by is allocator and 0 < amount <= BUDGET // 2 - before
        assert given == (amount if may else 0)

    @rule(number=st.integers(0, 1))
    def vest(self, number: int) -> None:
        due = ALLOCATIONS[number].vested(self.it.chain.now) - self.books.vested[number]
        assert (self.act(self.it.issuance, "claim", number, by=mallory) or 0) == due

    # Rewards of seen work

    @rule()
    def harvest(self) -> None:
        """All that was worked for in ended epochs is paid."""
        self.it.chain.warp_to(GENESIS + (self.it.epoch + 1) * EPOCH)
        self.it.close_ended()
        for node in self.it.nodes:
            for epoch in list(self.books.waits[node.set_id]):
                self.it.rewards.send("collect", node.set_id, epoch, sender=mallory.address)
            self.it.rewards.send("claim", node.set_id, sender=mallory.address)
        assert self.due() == 0

    @rule(pick=PICK)
    def close_epoch(self, pick: int) -> None:
        epoch, rewards = pick % (self.it.epoch + 1), self.it.rewards
        before = rewards.call("closed", epoch)
        self.act(rewards, "close", epoch, by=mallory)
        may = epoch < self.it.epoch and epoch < self.it.issuance.call("closed")
        assert rewards.call("closed", epoch) == (before or may)

    @rule(number=NODE, pick=PICK)
    def collect(self, number: int, pick: int) -> None:
        node, epoch = self.it.nodes[number], pick % (self.it.epoch + 1)
        self.act(self.it.rewards, "collect", node.set_id, epoch, by=mallory)
        if self.it.rewards.call("closed", epoch):
            assert self.it.rewards.call("waiting", node.set_id, epoch) == 0

    @rule(number=NODE)
    def claim_work(self, number: int) -> None:
        node = self.it.nodes[number]
        self.it.rewards.send("claim", node.set_id, sender=mallory.address)
        assert self.it.rewards.send("claim", node.set_id, sender=mallory.address).value == 0

    # Stake

    @rule(number=NODE, amount=AMOUNTS)
    def stake(self, number: int, amount: int) -> None:
        node = self.it.nodes[number]
        self.act(self.it.world.staking, "stake", node.address, amount, by=node.owner)

    @rule(who=st.sampled_from(DELEGATORS), number=NODE, amount=AMOUNTS)
    def delegate(self, who: Signer, number: int, amount: int) -> None:
        node = self.it.nodes[number].address
        self.act(self.it.world.staking, "delegate", node, amount, by=who)

    @rule(place=PLACES, part=PARTS, ahead=st.booleans())
    def leave(self, place: tuple[Signer, int], part: int, ahead: bool) -> None:
        """A staker unbonds a part, or gives notice of it."""
        who, node = place[0], self.it.nodes[place[1]].address
        staking = self.it.world.staking
        amount = staking.call("stake_of", who.address, node) * part // 8
        if ahead:
            self.act(staking, "give_notice", node, amount, by=who)
        elif (entry := self.act(staking, "unbond", node, amount, by=who)) is not None:
            self.entries.append((who, node, entry))

    @precondition(lambda self: self.entries)
    @rule(patient=st.booleans())
    def withdraw(self, patient: bool) -> None:
        who, node, entry = self.entries[0]
        if patient:
            self.it.chain.warp(UNBONDING)
            self.entries.pop(0)
        before = self.it.world.balance(who.address)
        worth = self.it.world.staking.call("entry_amount", who.address, node, entry)
        staking, paid = self.it.world.staking, 0
        with suppress(Reverted):
            done = staking.send("withdraw", node, entry, sender=who.address)
            paid = done.one("Withdrawn").amount
            assert paid <= worth
            moved = [each for each in done.named("Movement") if each.recipient == who.address]
            paid = sum(each.amount for each in moved)  # with what the stake earned until then
        assert self.it.world.balance(who.address) - before == paid
        assert not patient or self.act(staking, "withdraw", node, entry, by=who) is None

    @rule(number=NODE, bps=st.integers(0, 5_001))
    def commission(self, number: int, bps: int) -> None:
        node = self.it.nodes[number]
        self.act(self.it.world.staking, "set_commission", node.address, bps, by=node.owner)

    @precondition(lambda self: self.books.bookings)
    @rule(pick=PICK)
    def claim_rewards(self, pick: int) -> None:
        staking = self.it.world.staking
        earned = [(who, n.address) for who in STAKERS for n in self.it.nodes
                  if staking.call("claimable", who.address, n.address)]  # fmt: skip
        for who, node in earned[pick % 8 :: 8]:
            due = staking.call("claimable", who.address, node)
            assert staking.send("claim_rewards", node, sender=who.address).value == due
            assert self.act(staking, "claim_rewards", node, by=who) is None

    @rule(number=NODE, amount=st.integers(1, 10**15))
    def give(self, number: int, amount: int) -> None:
        staking, node = self.it.world.staking, self.it.nodes[number].address
        staking.send("reward", node, amount, sender=mallory.address)

    @rule(number=NODE, amount=AMOUNTS, work=st.booleans())
    def come_late(self, number: int, amount: int, work: bool) -> None:
        """Who comes right before a reward has nothing of those before, and its share of this if
        nothing older is owed."""
        staking, node = self.it.world.staking, self.it.nodes[number]
        place = (twin.address, node.address)
        self.act(staking, "delegate", node.address, amount, by=twin)
        before = staking.call("claimable", *place)
        pool = staking.call("active_pool", node.address)
        earning = pool.shares - staking.call("arrival", node.address).shares
        held = sum(lot.shares for lot in self.books.lots[place] if not lot.waits)
        if work:
            given = int(self.it.rewards.send("claim", node.set_id, sender=mallory.address).value)
        else:
            given = 10**12
            staking.send("reward", node.address, given, sender=mallory.address)
        most = given * held // earning + 1 if held else 0
        assert staking.call("claimable", *place) - before <= most

    @rule(number=NODE, by=st.sampled_from([mallory, watcher]), straight=st.booleans())
    def admit(self, number: int, by: Signer, straight: bool) -> None:
        """By the stake's door, or by that of the rewards themselves, which gives as much."""
        node = self.it.nodes[number].address
        if straight:
            self.it.rewards.send("evaluate", node, sender=by.address)
        self.it.world.staking.send("admit", node, sender=by.address)
        self.nobody_waits_for_what_is_given(node)

    def nobody_waits_for_what_is_given(self, node: str) -> None:
        since = self.it.rewards.call("owed_since", node)
        last = self.it.world.staking.call("arrival", node).since
        waiting = [lot for _, lot in self.books.behind(node) if lot.waits]
        assert not waiting or since < last

    @rule(number=NODE, times=st.integers(1, 3))
    def pester(self, number: int, times: int) -> None:
        """An owner adds a unit in every epoch, by himself or by another, and everybody who came
        before the present one earns nevertheless once somebody closes and claims what ended."""
        node = self.it.nodes[number]
        if not self.it.world.staking.call("active", node.address):
            return
        self.harvest()
        for _ in range(times):
            self.act(self.it.world.staking, "stake", node.address, 1, by=node.owner)
            self.it.chain.warp(EPOCH)
            self.act(self.it.world.staking, "stake", node.address, 1, by=node.owner)
            began = GENESIS + self.it.epoch * EPOCH
            behind = self.books.behind(node.address)
            assert all(lot.came >= began for _, lot in behind if lot.waits)

    # Rewards of unseen work

    def tip(self) -> dict[str, int]:
        """What accounts have by the last root."""
        tree = self.open_roots[-1][1] if self.open_roots else self.final[-1][1]
        return dict(tree.leaves)

    @rule(by=st.sampled_from([mallory, proposer]), grains=st.integers(1, 900))
    def fund(self, by: Signer, grains: int) -> None:
        self.it.roots.roots.send("fund", self.it.epoch, grains * GRAIN, sender=by.address)

    @rule(back=st.integers(0, 3), part=PARTS, by=st.sampled_from([proposer, proposer, mallory]))
    def draw(self, back: int, part: int, by: Signer) -> None:
        epoch = len(self.books.budgets) - 1 - back
        if epoch < 0:
            return
        left = self.it.issuance.call("market_drawable", SHARES[1][0], epoch)
        wanted = left * part // 7
        self.act(self.it.roots.roots, "draw", epoch, wanted, by=by)
        may = by is proposer and self.it.roots.bond() >= BOND and part < 8
        drawn = left - self.it.issuance.call("market_drawable", SHARES[1][0], epoch)
        assert drawn == (wanted if may else 0)

    @precondition(lambda self: self.it.epoch > self.it.roots.state.next_epoch)
    @rule(gains=GAINS, lie=st.booleans(), seen=st.booleans())
    def propose(self, gains: list[tuple[int, int]], lie: bool, seen: bool) -> None:
        """A root that adds something, or one that moves what an account had to its neighbour and
        may be `seen` at once."""
        roots, epoch, tip = self.it.roots, self.it.epoch - 1, self.tip()
        room = int(roots.roots.call("funded")) // GRAIN - roots.state.tip_total
        loser, winner = sorted(tip)[:2]
        lie = lie and tip[loser] > 1
        if lie:
            tip[loser], tip[winner] = 1, tip[winner] + tip[loser] - 1
        for who, grains in () if lie else gains:
            more = min(grains, room)
            tip[ACCOUNTS[who]] += more
            room -= more
        tree = honest(tip)
        if roots.bond() < BOND:
            roots.roots.send("post_bond", BOND, sender=proposer.address)
        self.open_roots.append((roots.propose(epoch, tree), tree, not lie))
        if lie and seen:
            self.dispute(by=carol)

    @precondition(lambda self: not all(true for *_, true in self.open_roots))
    @rule(by=st.sampled_from([carol, mallory]))
    def dispute(self, by: Signer) -> None:
        """The first false root falls with all after it, and its bond burns but for a part."""
        lies = [i for i, (_, _, true) in enumerate(self.open_roots) if not true]
        place, roots, token = lies[0], self.it.roots, self.it.world.token
        header, tree, _ = self.open_roots[place]
        parent, was = self.open_roots[place - 1][:2] if place else self.final[-1]
        now, names = dict(tree.leaves), [who for who, _ in tree.leaves]
        index = next(i for i, (who, grains) in enumerate(was.leaves) if now[who] < grains)
        shown = tree.proof(names.index(was.leaves[index][0]))
        bond, supply = roots.bond(), token.call("totalSupply")
        held, told = self.it.world.balance(by.address), (header, parent, was.proof(index), [shown])
        roots.roots.send("dispute_sunk", *told, sender=by.address)
        roots.take_bond(header, winner=by)
        lost, burned = bond - roots.bond(), supply - token.call("totalSupply")
        assert lost == BOND
        assert burned + self.it.world.balance(by.address) - held == lost
        del self.open_roots[place:]

    @precondition(lambda self: self.open_roots and self.open_roots[0][2])
    @rule()
    def finalize(self) -> None:
        """Somebody looks within the window: only true roots become final."""
        header, tree, _ = self.open_roots.pop(0)
        self.it.roots.finalize(header)
        self.final.append((header, tree))

    @rule(pick=PICK, who=st.integers(0, 5))
    def claim_root(self, pick: int, who: int) -> None:
        header, tree = self.final[pick % len(self.final)]
        index = who % len(tree.leaves)
        account, grains = tree.leaves[index]
        before = self.it.roots.roots.call("claimed", account)
        told = (header.epoch, *tree.proof(index))
        paid = self.act(self.it.roots.roots, "claim", *told, by=mallory) or 0
        assert paid == max(0, grains - before) * GRAIN

    @rule()
    def withdraw_bond(self) -> None:
        self.act(self.it.roots.roots, "withdraw_bond", by=proposer)

    # Fees in a foreign token

    @precondition(lambda self: self.books.foreign_fees)
    @rule()
    def push_fees(self) -> None:
        foreign, fees = self.it.foreign.address, self.books.foreign_fees
        assert (self.act(self.it.world.payments, "push_fees", foreign, by=mallory) or 0) == fees
        self.it.auction.send("take_in", foreign, sender=mallory.address)

    @precondition(lambda self: self.it.auction.call("lot", self.it.foreign.address).held)
    @rule(part=PARTS)
    def buy(self, part: int) -> None:
        """Foreign money against network tokens that burn."""
        foreign, token = self.it.foreign.address, self.it.world.token
        held, supply = self.it.auction.call("lot", foreign).held, token.call("totalSupply")
        before = self.it.foreign.call("balanceOf", buyer.address)
        told = (foreign, held * part // 8, buyer.address, MAX, 0, self.it.chain.now)
        burned = self.act(self.it.auction, "buy", *told, by=buyer) or 0
        got = self.it.foreign.call("balanceOf", buyer.address) - before
        assert token.call("totalSupply") == supply - burned
        assert got == (held * part // 8 if burned else 0)

    # Strangers

    @rule(pick=PICK, amount=st.integers(1, 10**15))
    def donate(self, pick: int, amount: int) -> None:
        """Tokens sent to a contract by mistake."""
        places = [each for each in self.it.contracts if each.name != "token"]
        to = places[pick % len(places)].address
        self.it.world.token.send("transfer", to, amount, sender=mallory.address)

    @rule(data=st.data())
    def anything(self, data: st.DataObject) -> None:
        """Whatever a stranger may call, with arguments that mean something."""
        contract = data.draw(st.sampled_from(self.it.contracts), label="contract")
        door = data.draw(st.sampled_from(doors_of(contract)), label="function")
        told = [self.argument(data, each) for each in door["inputs"]]
        self.intruded = True
        self.act(contract, door["name"], *told, by=mallory)

    @rule(who=STRANGERS)
    def play_a_role(self, who: Signer) -> None:
        """What belongs to named roles is refused to all others."""
        for contract, function, *told in self.reserved(who):
            assert self.act(contract, function, *told, by=who) is None
            assert self.it.chain.take() == [], function


TestEconomyLaws = EconomyLaws.TestCase
TestEconomyLaws.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
