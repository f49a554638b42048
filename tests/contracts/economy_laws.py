"""The laws of a whole economy: what its contracts hold and owe, compared with the books."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from copy import deepcopy
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from contracts.books import Books
from contracts.economy import (
    ALLOCATIONS,
    BUDGET,
    CLIENTS,
    DELEGATORS,
    EPOCH,
    KEYS,
    OWNERS,
    PEOPLE,
    PER_TOKEN,
    PLAN,
    SHARE_BPS,
    SHARES,
    Economy,
    Heard,
    economy,
    twin,
)
from contracts.evm import AbiItem, Contract, Signer, Struct
from contracts.market import GENESIS, Node
from contracts.roots import Forged, honest
from contracts.world import CAP, MAX, RATE_UNIT, TOKEN, bob
from freehold.economics.trees import GRAIN

ACCOUNTS = (*(key.address for key in KEYS), bob.address, twin.address, "0x" + "77" * 20)
EVERYBODY = (*(each.address for each in PEOPLE), ACCOUNTS[-1])
STAKERS = (*OWNERS, *DELEGATORS)
RATE_ONE = 2**96


@cache
def beginning() -> tuple[Economy, Books]:
    """The warm economy, and its books so far."""
    found = economy()
    books = Books.of(found)
    for heard in found.chain.take():
        books.hear(heard, found)
    return found, books


class Laws(RuleBasedStateMachine):
    """An economy of one's own, undone in the end, and what holds in it after every step."""

    def __init__(self) -> None:
        super().__init__()
        found, books = beginning()
        self.undo = ExitStack()
        self.undo.enter_context(found.chain.anchor())
        self.it, self.books = found.own(), deepcopy(books)
        self.it.chain.take()
        self.it.chain.listener = self.hear
        self.begun = int(self.token.call("minted")) - int(self.it.issuance.call("minted"))
        self.intruded = self.slept = False
        self.open_roots: list[tuple[Struct, Forged, bool]] = []
        self.final: list[tuple[Struct, Forged]] = []
        self.entries: list[tuple[Signer, str, int]] = []
        self.roles = self.named()
        self._first_root()

    def hear(self, heard: Heard) -> None:
        """Book a transaction as soon as it went through."""
        self.books.hear(heard, self.it)

    def _first_root(self) -> None:
        """Everybody has earned something, so that there is something to lie about."""
        tree = honest(dict.fromkeys(ACCOUNTS, 10))
        self.final.append((self.it.roots.settle(0, tree), tree))

    def teardown(self) -> None:
        self.it.chain.listener = None
        self.undo.close()

    @property
    def token(self) -> Contract:
        """The network's."""
        return self.it.world.token

    @invariant()
    def everything_holds(self) -> None:
        """One after another."""
        self.it.chain.take()
        self.everything_minted_was_scheduled_allotted_or_granted()
        self.no_epoch_gives_more_than_its_share()
        self.balances_are_the_supply()
        self.payments_hold_what_accounts_have()
        self.stake_is_there()
        self.stake_that_came_later_waits()
        self.stakers_earn_their_share_and_nothing_of_the_past()
        self.work_is_paid_out_of_what_was_drawn()
        self.work_of_nodes_is_that_of_epochs()
        self.rewards_stay_below_what_burned_for_them()
        self.roots_pay_within_what_they_were_given()
        self.failed_nodes_left_enough_for_their_clients()
        self.nothing_stays_in_the_auction_but_goods()
        self.roles_stand()

    # What exists

    def everything_minted_was_scheduled_allotted_or_granted(self) -> None:
        call, books, now = self.it.issuance.call, self.books, self.it.chain.now
        minted, drawn = call("minted"), sum(books.drawn.values())
        scheduled = PLAN.scheduled(self.it.epoch * EPOCH)
        vested = [each.vested(now) for each in ALLOCATIONS]
        assert self.token.call("minted") == self.begun + minted
        assert minted == drawn + books.granted + sum(books.vested.values())
        assert drawn == call("drawn_total") <= call("scheduled_total") == sum(books.budgets)
        assert sum(books.budgets) <= scheduled <= PLAN.limit
        assert books.granted <= call("allotted") <= BUDGET
        assert all(books.vested[number] <= due for number, due in enumerate(vested))
        assert self.begun + call("reserved") <= CAP

    def no_epoch_gives_more_than_its_share(self) -> None:
        places = (self.it.rewards.address, self.it.roots.roots.address)
        assert {to for _, to in self.books.drawn} <= set(places)
        for epoch, budget in enumerate(self.books.budgets):
            for to, (_, bps) in zip(places, SHARES, strict=True):
                assert self.books.drawn[epoch, to] <= budget * bps // 10_000
        assert max((epoch for epoch, _ in self.books.drawn), default=0) <= len(self.books.budgets)

    def balances_are_the_supply(self) -> None:
        places = [*EVERYBODY, *(each.address for each in self.it.contracts)]
        held = {place: self.it.world.balance(place) for place in places}
        assert sum(held.values()) == self.token.call("totalSupply")
        assert held == {place: self.books.wallets[place] for place in places}

    def spare(self, contract: Contract) -> int:
        """What a contract holds of the network's token beyond what strangers sent by mistake."""
        return self.it.world.balance(contract.address) - self.books.donated[contract.address]

    # What is owed

    def payments_hold_what_accounts_have(self) -> None:
        world, foreign = self.it.world, self.it.foreign
        owners = [*EVERYBODY, *(each.address for each in self.it.contracts), foreign.address]
        for token, fees in ((self.token, 0), (foreign, self.books.foreign_fees)):
            accounts = {who: world.payments.call("account", token.address, who) for who in owners}
            funds = sum(each.funds for each in accounts.values())
            assert funds == world.payments.call("total_funds", token.address)
            assert fees == world.payments.call("fees", token.address)
            held = token.call("balanceOf", world.payments.address)
            held -= self.books.donated[world.payments.address] if token is self.token else 0
            assert held == funds + fees
            for who, account in accounts.items():
                assert account.funds == self.books.funds[token.address, who]
                assert account.lockup <= account.funds * RATE_UNIT

    def stake_is_there(self) -> None:
        staking, books = self.it.world.staking, self.books
        for node in self.it.nodes:
            whole = staking.call("active", node.address) + staking.call("unbonding", node.address)
            assert whole == books.stakes[node.address]
            assert sum(
                staking.call("stake_of", who.address, node.address) for who in STAKERS
            ) <= staking.call("active", node.address)
        assert staking.call("total") == sum(books.stakes.values())
        assert self.spare(staking) == staking.call("total") + staking.call("rewards")
        assert staking.call("rewards") == books.rewards_held

    def stake_that_came_later_waits(self) -> None:
        """Nobody earns who came after the beginning of the first epoch with work that is not given;
        and everybody else does, once somebody asks."""
        staking, books = self.it.world.staking, self.books
        for node in self.it.nodes:
            behind = books.behind(node.address)
            waiting = [lot for _, lot in behind if lot.waits]
            arrival = staking.call("arrival", node.address)
            assert arrival.shares == sum(lot.shares for lot in waiting)
            assert all(lot.came <= arrival.since for lot in waiting)
            pool = staking.call("active_pool", node.address)
            assert pool.shares == sum(lot.shares for _, lot in behind)
            since = self.owed_since(node)
            told = self.it.rewards.call("owed_since", node.address)
            assert told <= since
            for who in STAKERS:
                place = (who.address, node.address)
                lots = books.lots[place]
                assert staking.call("shares_of", *place) == sum(lot.shares for lot in lots)
                worth = sum(lot.shares for lot in lots if lot.waits) * (pool.amount + 1)
                assert staking.call("waiting_of", *place) == worth // (pool.shares + 10**6)
            assert all(lot.waits or lot.came <= since for _, lot in behind)

    def owed_since(self, node: Node) -> int:
        """When the first epoch began of whose work not all has been given."""
        rewards, books = self.it.rewards, self.books
        open_ = [*books.unclaimed[node.set_id], self.it.epoch]
        account = rewards.call("account", node.set_id)
        open_ += [account.last_epoch] if account.last_weight else []
        open_ += [account.epoch] if account.weight else []
        open_ += books.waits[node.set_id]
        return GENESIS + min(open_) * EPOCH

    def stakers_earn_their_share_and_nothing_of_the_past(self) -> None:
        """To the unit, but for what divisions leave; who never had a share of anything has none."""
        owed, books = 0, self.books
        for node in self.it.nodes:
            for who in STAKERS:
                place = (who.address, node.address)
                due = self.it.world.staking.call("claimable", *place)
                owed += due
                short = books.earned[place] - due - books.taken[place]
                assert -1 < short <= 2 * books.bookings + 60
        assert owed <= books.rewards_held

    def work_is_paid_out_of_what_was_drawn(self) -> None:
        rewards, books = self.it.rewards, self.books
        emitted = sum(amount for _, amount in books.epochs.values())
        drawn = sum(n for (_, to), n in books.drawn.items() if to == rewards.address)
        assert rewards.call("emitted") == emitted == drawn
        claimed = rewards.call("claimed")
        assert claimed == sum(books.claimed.values())
        assert self.spare(rewards) == emitted - claimed
        assert self.due() <= emitted - claimed

    def due(self) -> int:
        """What nodes have earned and not claimed."""
        rewards, sum_ = self.it.rewards, 0
        for node in self.it.nodes:
            account = rewards.call("account", node.set_id)
            weights = Counter(self.books.waits[node.set_id])
            for epoch, weight in self.words(account):
                weights[epoch] += weight
            sum_ += rewards.call("due", node.set_id).reward + sum(
                weight * rewards.call("rates", epoch) // RATE_ONE
                for epoch, weight in weights.items()
                if weight and epoch in self.books.epochs
            )
        return sum_

    def words(self, account: Struct) -> list[tuple[int, int]]:
        """The epochs of an account with their weights."""
        return [(account.last_epoch, account.last_weight), (account.epoch, account.weight)]

    def work_of_nodes_is_that_of_epochs(self) -> None:
        """What accounts have of an epoch that is not closed comes to its sum."""
        rewards, sums = self.it.rewards, Counter[int]()
        for node in self.it.nodes:
            for epoch, weight in self.words(rewards.call("account", node.set_id)):
                sums[epoch] += weight
            waits = self.books.waits[node.set_id]
            assert rewards.call("due", node.set_id).waits == len(waits)
            for epoch, weight in waits.items():
                assert rewards.call("waiting", node.set_id, epoch) == weight
            sums.update(waits)
        for epoch in range(max(0, self.it.epoch - 6), self.it.epoch + 1):
            if epoch not in self.books.epochs:
                assert rewards.call("total", epoch) == sums[epoch]
                assert rewards.call("backed", epoch) == sums[epoch] * 2**20 // EPOCH

    def rewards_stay_below_what_burned_for_them(self) -> None:
        """Whoever pays himself loses more in fees than he can earn."""
        rewards, payments = self.it.rewards, self.it.world.payments
        used = 0
        for owner in OWNERS:
            backed = rewards.call("backed_fees", owner.address)
            market = self.it.market.storage.address
            assert backed <= payments.call("burned", market, owner.address)
            used += backed
        assert rewards.call("emitted") * 10_000 <= SHARE_BPS * used
        assert sum(work for work, _ in self.books.epochs.values()) * TOKEN <= PER_TOKEN * used
        assert used <= self.token.call("burned")

    def roots_pay_within_what_they_were_given(self) -> None:
        roots, state, books = self.it.roots.roots, self.it.roots.state, self.books
        funded = roots.call("funded")
        claimed = {account: roots.call("claimed", account) for account in ACCOUNTS}
        assert sum(claimed.values()) <= state.final_total <= state.tip_total
        assert state.tip_total * GRAIN <= funded == books.funded
        assert self.spare(roots) == funded - sum(claimed.values()) * GRAIN
        best = dict(self.final[-1][1].leaves) if self.final else {}
        assert all(paid <= best.get(account, 0) for account, paid in claimed.items())
        bonds = sum(roots.call("bond_of", each).amount for each in EVERYBODY)
        assert bonds <= self.it.world.funds(roots.address)
        drawn = sum(n for (_, to), n in books.drawn.items() if to == roots.address)
        assert drawn <= funded

    def failed_nodes_left_enough_for_their_clients(self) -> None:
        faults = self.it.market.faults
        owed = 0
        for node in self.it.nodes:
            pool, size = faults.call("pool", node.address)
            owed += pool * self.it.market.state(node).bytes // size if size else 0
        assert owed <= self.spare(faults)

    def nothing_stays_in_the_auction_but_goods(self) -> None:
        auction, foreign = self.it.auction, self.it.foreign
        assert self.spare(auction) == 0
        assert auction.call("lot", foreign.address).held == foreign.call(
            "balanceOf", auction.address
        )

    def roles_stand(self) -> None:
        if self.intruded:
            assert self.named() == self.roles
            self.intruded = False

    def reserved(self, who: Signer) -> list[tuple[Any, ...]]:
        """Calls that only a role may make."""
        i, m, me = self.it, self.it.market, who.address
        node, token = i.nodes[0], i.world.token.address
        return [
            (i.issuance, "draw", 0, 1, me), (i.issuance, "grant", me, 1, bytes(32)),
            (i.issuance, "set_allocator", me, 1), (i.issuance, "set_split", []),
            (i.issuance, "set_distributor", SHARES[0][0], me), (i.issuance, "set_power", token),
            (i.world.token, "mint", me, 1, 4), (i.world.token, "set_minter", me, True),
            (i.world.token, "burn_from", node.owner.address, 1),
            (i.world.token, "transferFrom", node.owner.address, me, 1),
            (i.world.staking, "slash", node.address, 1, me, 1, me, 0),
            (i.world.staking, "lock", node.address, 1),
            (i.world.staking, "unlock", node.address, 1),
            (i.world.staking, "set_slasher", me, True), (i.world.staking, "set_locker", me, True),
            (i.world.staking, "set_commission", node.address, 1),
            (i.world.staking, "set_delegation", 100, 10**6),
            (i.world.payments, "collect", token, CLIENTS[0].address, 1),
            (i.world.payments, "pay_fixed", 1, me, 0, 3), (i.world.payments, "end_rail", 1),
            (i.world.payments, "stop_rail", 1, 0), (i.world.payments, "modify_rail", 1, 0, 0),
            (i.world.payments, "open_rail", token, CLIENTS[0].address, me, 1, 1, 0),
            (i.world.payments, "set_fees", 0, 0), (i.world.payments, "set_treasury", me),
            (i.world.payments, "send", token, me, 1, 4),
            (i.rewards, "proven", node.set_id, 10**9), (i.rewards, "back", node.set_id),
            (i.rewards, "set_market", m.storage.address),
            (i.roots.roots, "draw", 0, 1), (i.roots.roots, "set_watchers", [me], 1),
            (i.roots.roots, "set_payout", node.address, me), (i.roots.roots, "withdraw_bond"),
            (m.faults, "drop", node.address, 0), (m.faults, "release", node.address, 0, 0, me),
            (m.faults, "give_notice", node.address), (m.faults, "set_market", me, True),
            (m.storage, "close", 1), (m.storage, "exit", 1, 0),
            (m.pdp, "remove_piece", node.set_id, 0), (m.pdp, "close_set", node.set_id),
            (i.world.governor, "setup_call", token, b""), (i.world.governor, "propose", token, b""),
        ]  # fmt: skip

    def named(self) -> list[Any]:
        """Who holds which role."""
        i, m = self.it, self.it.market
        return [
            *(i.world.token.call("minters", each) for each in EVERYBODY),
            *(i.world.staking.call(role, each)
              for role in ("slashers", "lockers") for each in EVERYBODY),
            i.world.staking.call("evaluators"), i.world.payments.call("treasury"),
            i.world.payments.call("auction"), m.faults.call("market"),
            *(i.issuance.call("distributor", name) for name, _ in SHARES),
            i.issuance.call("split_count"), i.issuance.call("allotted"), i.issuance.call("power"),
            i.rewards.call("source"), i.rewards.call("market"), i.roots.roots.call("quorum"),
            i.world.governor.call("guardian"), i.world.governor.call("setup_done"),
        ]  # fmt: skip

    def argument(self, data: st.DataObject, item: AbiItem) -> Any:
        """A value of an ABI type, of this economy where it can be."""
        kind = str(item["type"])
        if kind.endswith("]"):
            inner = {**item, "type": kind[: kind.rindex("[")]}
            return [self.argument(data, inner) for _ in range(data.draw(st.integers(0, 2)))]
        if kind == "tuple":
            return [self.argument(data, each) for each in item["components"]]
        if kind == "address":
            places = [each.address for each in (*self.it.contracts, self.it.foreign)]
            return data.draw(st.sampled_from([*EVERYBODY, *places]))
        if kind.startswith("uint"):
            bits = int(kind[4:])
            likely = [0, 1, 2, 3, 10**9, self.it.chain.now, TOKEN, 2**96, MAX]
            return data.draw(st.sampled_from(likely)) % 2**bits
        if kind == "bool":
            return data.draw(st.booleans())
        return "" if kind == "string" else bytes(int(kind[5:] or 0))


def doors_of(contract: Contract) -> list[AbiItem]:
    """The functions of a contract that write and take no ether."""
    kinds = [(each["type"], each.get("stateMutability"), each) for each in contract.abi]
    return [each for *kind, each in kinds if kind == ["function", "nonpayable"]]
