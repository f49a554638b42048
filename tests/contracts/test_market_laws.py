"""The market under any history: several nodes and clients, late and missing proofs, moves, exits.

The model keeps who held which column from when to when, and which rounds each node answered in
time. From this alone it says what every rail is paid; balances, locks and reserves must add up.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.evm import Chain, Signer
from contracts.market import (
    PERIOD,
    PRICE,
    WINDOW,
    Deal,
    Market,
    Node,
    client,
    clients,
    deploy_market,
    watcher,
)
from contracts.world import RATE_UNIT, TOKEN, guardian, refused, treasury

LOCKUP = 10 * PERIOD
NODES = 5


@dataclass(slots=True)
class Column:
    """A column in the model, kept for ever."""

    deal: Deal
    slot: int
    node: int
    rail: int
    opened_period: int
    locked: int
    size: int
    ended_at: int | None = None
    finished: bool = False
    moved: bool = False

    @property
    def end(self) -> int:
        limit = self.deal.term_end
        return limit if self.ended_at is None else min(limit, self.ended_at)


class MarketLaws(RuleBasedStateMachine):
    """Five nodes of five owners, two clients, one watcher."""

    @initialize()
    def start(self) -> None:
        self.market: Market = deploy_market(Chain())
        self.clients: list[Signer] = [client, clients()[0]]
        for each in self.clients:
            self.market.fund_client(each)
        self.nodes: list[Node] = [self.market.node(str(i)) for i in range(NODES)]
        self.columns: list[Column] = []
        self.deals: list[Deal] = []
        self.owners: dict[int, Signer] = {}
        self.closed: set[int] = set()
        self.rounds: list[tuple[int, int]] = []
        self.good: list[set[int]] = [set() for _ in range(NODES)]
        self.failed: set[int] = set()
        self.leaving: set[int] = set()

    # The model

    @property
    def now(self) -> int:
        return self.market.chain.now

    def in_debt(self, node: int) -> bool:
        return bool(self.market.pdp.call("owed", self.nodes[node].set_id))

    def earned(self, column: Column) -> int:
        """Seconds that a column is paid for by now."""
        until = min(self.now, column.end)
        return PERIOD * sum(
            1
            for round_id, (period, _) in enumerate(self.rounds)
            if period > column.opened_period
            and self.market.start(period + 1) <= until
            and round_id in self.good[column.node]
        )

    def current(self, deal: Deal, slot: int) -> Column:
        return [c for c in self.columns if (c.deal.id, c.slot) == (deal.id, slot)][-1]

    def present(self) -> list[Column]:
        return [self.current(deal, slot) for deal in self.deals for slot in range(len(deal.roots))]

    def active(self) -> list[Column]:
        return [column for column in self.present() if column.ended_at is None]

    def usable(self) -> list[int]:
        """Nodes that may take a column now."""
        gone = self.failed | self.leaving
        return [i for i in range(NODES) if i not in gone and not self.in_debt(i)]

    def remember(self, deal: Deal, slot: int, node: int) -> None:
        view = self.market.column(deal, slot)
        self.columns.append(
            Column(
                deal, slot, node, view.rail, self.market.period, view.locked, deal.roots[slot].size
            )
        )

    # Time and proofs

    @rule(made=st.booleans(), offset=st.sampled_from([0, 500]))
    def next_period(self, made: bool, offset: int) -> None:
        self.market.to_period(self.market.period + 1)
        if made:
            self.market.round()
            self.rounds.append((self.market.period, self.now))
        self.market.chain.warp(offset)

    @rule(present=st.sets(st.integers(0, NODES - 1), min_size=3))
    def live_period(self, present: set[int]) -> None:
        """A round that some nodes answer at once."""
        self.next_period(True, 0)
        for node in sorted(present):
            self.prove(node)

    @rule(node=st.integers(0, NODES - 1))
    def prove(self, node: int) -> None:
        """Answer all that is due, late or in time."""
        if node in self.failed:
            return
        it = self.nodes[node]
        count = self.market.beacon.call("round_count")
        while (round_id := self.market.pdp.call("next_round", it.set_id)) < count:
            assert self.market.prove(it)
            if self.now < self.rounds[round_id][1] + WINDOW:
                self.good[node].add(round_id)

    @rule(node=st.integers(0, NODES - 1))
    def evaluate(self, node: int) -> None:
        owed = self.market.pdp.call("owed", self.nodes[node].set_id)
        outcome = self.market.evaluate(self.nodes[node])
        assert bool(outcome.named("NodeFailed")) == (owed >= 3 and node not in self.failed)
        self.notice_failures()

    def notice_failures(self) -> None:
        for i, node in enumerate(self.nodes):
            if self.market.state(node).failed:
                self.failed.add(i)

    # Deals

    @rule(
        who=st.integers(0, 1),
        width=st.integers(1, 3),
        size=st.sampled_from([127, 300]),
        periods=st.sampled_from([4, 12, 40]),
    )
    def open(self, who: int, width: int, size: int, periods: int) -> None:
        chosen = self.usable()[:width]
        if not chosen:
            return
        deal = self.market.open(
            [self.nodes[i] for i in chosen],
            by=self.clients[who],
            size=size,
            seed=len(self.deals) + 1,
            periods=periods,
        )
        self.deals.append(deal)
        self.owners[deal.id] = self.clients[who]
        for slot, node in enumerate(chosen):
            self.remember(deal, slot, node)

    def over(self, deal: Deal) -> bool:
        return deal.id in self.closed or self.now >= deal.term_end

    @precondition(lambda self: self.deals)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        deal = data.draw(st.sampled_from(self.deals))
        by = self.owners[deal.id].address
        if deal.id in self.closed:
            with refused("storage: deal is closed"):
                self.market.storage.send("close", deal.id, sender=by)
            return
        self.market.storage.send("close", deal.id, sender=by)
        self.closed.add(deal.id)
        for column in self.active():
            if column.deal.id == deal.id:
                column.ended_at = self.now + LOCKUP

    @precondition(lambda self: self.columns)
    @rule(data=st.data(), by_client=st.booleans())
    def replace(self, data: st.DataObject, by_client: bool) -> None:
        column = data.draw(st.sampled_from(self.present()))
        deal = column.deal
        busy = {c.node for c in self.active() if c.deal.id == deal.id and c is not column}
        targets = [i for i in self.usable() if i not in busy and i != column.node]
        if self.over(deal) or not targets:
            return
        owed = self.in_debt(column.node)
        sound = column.node not in (self.failed | self.leaving) and not owed
        by = self.owners[deal.id] if by_client else watcher
        natural = self.now + LOCKUP if sound else self.now
        if column.ended_at is None and sound and not by_client:
            with refused("storage: column is sound"):
                self.market.replace(deal, column.slot, self.nodes[targets[0]], by=by)
            return
        if not by_client and self.repairs_left(column) == 0:
            with refused("storage: no repairs left"):
                self.market.replace(deal, column.slot, self.nodes[targets[0]], by=by)
            return
        if not by_client and self.proven(column) < 1:
            with refused("storage: too many unproven moves"):
                self.market.replace(deal, column.slot, self.nodes[targets[0]], by=by)
            return
        self.market.replace(deal, column.slot, self.nodes[targets[0]], by=by)
        if column.ended_at is None:
            column.ended_at = natural
        self.remember(deal, column.slot, targets[0])
        self.columns[-1].moved = not by_client
        self.notice_failures()

    def proven(self, column: Column) -> int:
        """Other columns of the deal that no stranger moved without a good round since."""
        others = [
            self.current(column.deal, slot)
            for slot in range(len(column.deal.roots))
            if slot != column.slot
        ]
        return sum(c.ended_at is None and (not c.moved or self.earned(c) > 0) for c in others)

    def repairs_left(self, column: Column) -> int:
        """What the mandate still pays for, with what this move would give back."""
        deal = self.market.deal(column.deal)
        view = self.market.column(column.deal, column.slot)
        waits = view.replacer != "0x" + "00" * 20 and not view.repair_claimed and view.state != 3
        back = waits and self.earned(column) == 0
        return int(deal.mandate.repairs - deal.repairs_done + back)

    @rule(node=st.integers(0, NODES - 1))
    def leave(self, node: int) -> None:
        if len(self.leaving) >= 2 or node in self.leaving:
            return
        self.market.notice(self.nodes[node])
        self.leaving.add(node)

    @precondition(lambda self: self.leaving and self.active())
    @rule(data=st.data())
    def exit(self, data: st.DataObject) -> None:
        column = data.draw(st.sampled_from(self.active()))
        node = self.nodes[column.node]
        arguments = ("exit", column.deal.id, column.slot)
        if not self.market.faults.call("may_leave", node.address):
            with refused("storage: give notice first"):
                self.market.storage.send(*arguments, sender=node.address)
            return
        self.market.storage.send(*arguments, sender=node.address)
        column.ended_at = min(self.now, self.now)

    # Ends

    def undecided(self, column: Column, end: int) -> bool:
        """Whether a round of the column's time is not resolved for good."""
        boundary = end - (end - self.market.start(0)) % PERIOD
        decided = self.market.pdp.call("decided_until", self.nodes[column.node].set_id)
        return bool(decided < boundary + PERIOD)

    @precondition(lambda self: self.columns)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        column = data.draw(st.sampled_from(self.columns))
        owed = self.market.pdp.call("owed", self.nodes[column.node].set_id)
        fails = column.node in self.failed or owed >= 3
        over = self.now >= column.deal.term_end
        refusal = self.refusal(column, over=over, fails=fails)
        if refusal:
            with refused(refusal):
                self.market.storage.send("finish_rail", column.rail, sender=watcher.address)
            return
        self.market.storage.send("finish_rail", column.rail, sender=watcher.address)
        self.notice_failures()
        column.finished = True
        if column.ended_at is None or column.ended_at > self.now:
            column.ended_at = min(self.now, column.deal.term_end)
        slots = range(len(column.deal.roots))
        if all(self.current(column.deal, slot).finished for slot in slots):
            self.closed.add(column.deal.id)

    def refusal(self, column: Column, *, over: bool, fails: bool) -> str:
        if column.finished:
            return "storage: column is finished"
        if column.ended_at is None and not over and not fails:
            return "storage: column is active"
        if column.ended_at is not None and column.ended_at > self.now and not over and not fails:
            return "storage: rail runs on"
        if not fails and self.undecided(column, min(column.end, self.now)):
            return "storage: rounds are undecided"
        return ""

    @precondition(lambda self: self.columns)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        self.market.settle(data.draw(st.sampled_from(self.columns)).rail)

    # Laws

    @invariant()
    def every_column_is_paid_for_what_was_proven(self) -> None:
        for column in self.columns:
            seconds, _ = self.market.storage.call("accepted", column.rail, self.now)
            assert seconds == self.earned(column)
            rail = self.market.rail(column.rail)
            assert rail.accepted <= seconds
            assert rail.paid == PRICE * column.size * rail.accepted // RATE_UNIT
            if rail.closed:
                assert rail.accepted == seconds

    @invariant()
    def stake_is_locked_for_what_is_held(self) -> None:
        for i, node in enumerate(self.nodes):
            held = [c for c in self.columns if c.node == i and not c.finished]
            state = self.market.state(node)
            assert state.locked == sum(c.locked for c in held)
            assert state.locked == self.market.world.staking.call("locked", node.address)
            assert (state.bytes, state.columns) == (sum(c.size for c in held), len(held))
            assert state.failed == (i in self.failed)

    @invariant()
    def reserves_are_there(self) -> None:
        reserves = sum(self.market.deal(deal).reserve for deal in self.deals)
        assert self.market.world.funds(self.market.storage.address) == reserves

    @invariant()
    def payments_are_solvent(self) -> None:
        world = self.market.world
        token = world.token.address
        people = [*self.clients, watcher, treasury, *(n.owner for n in self.nodes)]
        accounts = [*(p.address for p in people), self.market.storage.address]
        held = sum(world.funds(account) for account in accounts)
        assert held == world.payments.call("total_funds", token)
        assert held == world.balance(world.payments.address)
        for each in self.clients:
            account = world.payments.call("account", token, each.address)
            assert account.lockup <= account.funds * RATE_UNIT

    @invariant()
    def supply_is_conserved(self) -> None:
        world = self.market.world
        people = [*self.clients, watcher, guardian, treasury]
        accounts = [p.address for p in people]
        for node in self.nodes:
            accounts += [node.address, node.owner.address]
        accounts += [
            world.payments.address,
            world.staking.address,
            self.market.faults.address,
            self.market.storage.address,
        ]
        total = sum(world.balance(account) for account in accounts)
        assert total == world.token.call("totalSupply")
        assert total == world.token.call("minted") - world.token.call("burned")

    @invariant()
    def nobody_loses_more_than_they_staked(self) -> None:
        for node in self.nodes:
            assert self.market.world.staking.call("active", node.address) <= 1_000 * TOKEN


TestMarketLaws = MarketLaws.TestCase
TestMarketLaws.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
