"""The ledger of nodes: joining, locks, what misses cost, failure, spot challenges."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.evm import ZERO, Chain, Outcome, Signer, signer
from contracts.market import (
    CHALLENGES,
    PERIOD,
    STAKE_PER_TIB,
    Deal,
    Market,
    Node,
    client,
    clients,
    watcher,
)
from contracts.world import CONSENT, TOKEN, Puppet, alice, fake, guardian, mallory, refused

BPS = 10**4
GWEI = 10**9
SPOT_GAS = 250_000


def lock_of(size: int) -> int:
    """What a column of so many bytes locks, rounded up."""
    return -(-size * STAKE_PER_TIB // 2**40)


@pytest.fixture
def node(market: Market) -> Node:
    return market.node("one")


@pytest.fixture
def held(market: Market, node: Node) -> Deal:
    """A deal of one column on the node, in the period after its opening."""
    deal = market.open([node])
    market.to_period(market.period + 1)
    return deal


def miss(market: Market, rounds: int = 1) -> None:
    """Rounds that pass without an answer."""
    for _ in range(rounds):
        market.next_round()
        market.late()


def set_parameters(market: Market, **changed: int) -> None:
    parameters = {**market.faults.call("parameters"), **changed}
    market.world.setup(market.faults, "set_parameters", parameters)


# Deployment and the governor


def test_is_deployed_whole(chain: Chain, market: Market) -> None:
    names = ("token", "registry", "staking", "pdp", "beacon", "governor")
    good = [market.faults.call(name) for name in names]
    for i in range(6):
        arguments = [*good[:i], ZERO, *good[i + 1 :]]
        with refused("faults: zero address"):
            chain.deploy("faults", *arguments, sender=alice.address)
    fresh = chain.deploy("faults", *good, sender=alice.address)
    assert fresh.call("parameters") == {
        "notice": 2 * PERIOD,
        "faults_max": 3,
        "stake_per_tib": 100 * TOKEN,
        "fault_fee_bps": 100,
        "slash_bps": 5000,
        "compensation_bps": 3000,
        "bounty_bps": 500,
        "spot_window": PERIOD // 4,
        "spot_gas": SPOT_GAS,
    }
    assert fresh.call("market") == ZERO


BOUNDS = {
    "notice": (0, 90 * 86400, "notice"),
    "faults_max": (1, 100, "faults"),
    "stake_per_tib": (0, 2**90, "stake"),
    "fault_fee_bps": (0, 1000, "fee"),
    "slash_bps": (1000, 10000, "slash"),
    "compensation_bps": (0, 4000, "compensation"),
    "bounty_bps": (0, 500, "bounty"),
    "spot_window": (10, 7 * 86400, "spot window"),
    "spot_gas": (50_000, 2_000_000, "spot gas"),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_parameters_have_hard_bounds(market: Market, name: str) -> None:
    low, high, word = BOUNDS[name]
    for good in (low, high):
        set_parameters(market, **{name: good})
        assert market.faults.call("parameters")[name] == good
    for bad in (low - 1, high + 1):
        if bad >= 0:
            with refused(f"faults: {word} out of bounds"):
                set_parameters(market, **{name: bad})


def test_what_comes_back_of_a_slash_is_less_than_half() -> None:
    assert BOUNDS["compensation_bps"][1] + BOUNDS["bounty_bps"][1] < BPS // 2


def test_only_the_governor_governs(market: Market) -> None:
    parameters = market.faults.call("parameters")
    for function, arguments in (
        ("set_parameters", (parameters,)),
        ("set_market", (market.storage.address, True)),
        ("set_paused", (True,)),
    ):
        with refused("faults: not the governor"):
            market.faults.send(function, *arguments, sender=guardian.address)


def test_the_market_is_named_once(chain: Chain, market: Market) -> None:
    with refused("faults: market is set"):
        market.world.setup(market.faults, "set_market", market.storage.address, True)
    names = ("token", "registry", "staking", "pdp", "beacon", "governor")
    fresh = chain.deploy(
        "faults", *[market.faults.call(name) for name in names], sender=alice.address
    )
    for target, allowed in ((market.storage.address, False), (alice.address, True)):
        with refused("faults: market has no code"):
            market.world.setup(fresh, "set_market", target, allowed)
    market.world.setup(fresh, "set_market", market.storage.address, True)
    assert fresh.call("market") == market.storage.address


def test_only_the_market_moves_columns(market: Market, node: Node) -> None:
    for sender in (node.address, guardian.address, node.owner.address):
        for function, arguments in (
            ("take", (node.address, b"\x01" * 32, 2, 4, 127, 0)),
            ("drop", (node.address, 0)),
            ("release", (node.address, 0, 0, client.address)),
        ):
            with refused("faults: not the market"):
                market.faults.send(function, *arguments, sender=sender)


# Joining and leaving


def test_a_node_joins_once_by_its_owner(market: Market) -> None:
    made = Node(signer("node x"), signer("owner x"))
    market.world.register(made.owner, made.key)
    for sender in (made.key, mallory):
        with refused("faults: not the owner"):
            market.faults.send("join", made.address, sender=sender.address)
    outcome = market.faults.send("join", made.address, sender=made.owner.address)
    set_id = outcome.value
    assert outcome.one("NodeJoined").args == {"node": made.address, "set_id": set_id}
    assert market.faults.call("set_of", made.address) == set_id
    assert market.pdp.call("set", set_id).prover == made.address
    assert market.pdp.call("set", set_id).listener == market.faults.address
    with refused("faults: already joined"):
        market.join(made)


def test_only_active_storage_nodes_join(market: Market) -> None:
    made = Node(signer("node x"), signer("owner x"))
    market.world.register(made.owner, made.key, roles=2)
    with refused("faults: not a storage node"):
        market.join(made)
    with refused("faults: not the owner"):
        market.faults.send("join", mallory.address, sender=mallory.address)


def test_a_pause_stops_joining_only(market: Market, node: Node, held: Deal) -> None:
    market.world.setup(market.faults, "set_paused", True)
    made = Node(signer("node x"), signer("owner x"))
    market.world.register(made.owner, made.key)
    with refused("faults: paused"):
        market.join(made)
    miss(market, 3)
    assert market.evaluate(node).named("NodeFailed")
    market.world.setup(market.faults, "set_paused", False)
    market.join(made)


def test_notice_is_given_once_by_owner_or_node(market: Market, node: Node) -> None:
    for sender in (mallory, client):
        with refused("faults: not the owner or the node"):
            market.faults.send("give_notice", node.address, sender=sender.address)
    with refused("faults: not joined"):
        market.faults.send("give_notice", mallory.address, sender=mallory.address)
    assert not market.faults.call("may_leave", node.address)
    outcome = market.faults.send("give_notice", node.address, sender=node.owner.address)
    assert outcome.one("NoticeGiven").args == {"node": node.address, "at": market.chain.now}
    assert market.state(node).notice_at == market.chain.now
    with refused("faults: notice was given"):
        market.notice(node)
    market.chain.warp(2 * PERIOD - 1)
    assert not market.faults.call("may_leave", node.address)
    market.chain.warp(1)
    assert market.faults.call("may_leave", node.address)


@pytest.mark.parametrize("odd", [0, 1])
def test_the_moment_of_notice_is_kept_whole(market: Market, node: Node, odd: int) -> None:
    market.open([node])
    market.chain.warp(odd)
    market.notice(node)
    state = market.state(node)
    assert (state.columns, state.notice_at) == (1, market.chain.now)


def test_a_node_that_left_comes_back(market: Market, node: Node) -> None:
    deal = market.open([node])
    with refused("faults: already joined"):
        market.join(node)
    market.notice(node)
    with refused("faults: already joined"):
        market.join(node)
    with refused("faults: node leaves"):
        market.open([node], seed=2)
    market.live_periods(2, [node])
    market.to_period(market.period + 1)
    market.storage.send("exit", deal.id, 0, sender=node.address)
    with refused("faults: already joined"):
        market.join(node)
    market.pass_by()
    market.finish(deal)
    assert market.join(node) == node.set_id
    assert market.state(node).notice_at == 0
    market.open([node], seed=2)


# Locks


@pytest.mark.parametrize("size", [64, 127, 300, 2**14])
def test_every_byte_locks_stake(market: Market, node: Node, size: int) -> None:
    market.open([node], size=size)
    lock = lock_of(size)
    assert lock * 2**40 - size * STAKE_PER_TIB in range(2**40)
    assert size < 2**14 or lock * 2**40 == size * STAKE_PER_TIB
    assert market.column(Deal(1, [], 0, {})).locked == lock
    assert market.world.staking.call("locked", node.address) == lock
    state = market.state(node)
    assert (state.bytes, state.columns, state.locked) == (size, 1, lock)


def test_columns_need_free_stake(market: Market) -> None:
    poor = market.node("poor", stake=lock_of(300) - 1)
    with refused("staking: too little free stake"):
        market.open([poor])
    market.stake(poor, 1)
    market.open([poor])
    with refused("staking: too little free stake"):
        market.open([poor], seed=2)


def test_the_mandate_asks_for_stake(market: Market, node: Node) -> None:
    active = market.world.staking.call("active", node.address)
    market.open([node], mandate={"min_stake": active})
    with refused("faults: too little stake"):
        market.open([node], seed=2, mandate={"min_stake": active + 1})


def test_stake_that_is_locked_stays_as_it_was_locked(market: Market, node: Node) -> None:
    deal = market.open([node])
    set_parameters(market, stake_per_tib=2 * STAKE_PER_TIB)
    assert market.state(node).locked == lock_of(300)
    other = market.open([node], seed=2)
    assert market.column(other).locked == -(-600 * STAKE_PER_TIB // 2**40)
    assert market.column(deal).locked == lock_of(300)


def test_only_joined_nodes_hold_columns(market: Market) -> None:
    made = Node(signer("node x"), signer("owner x"))
    market.world.register(made.owner, made.key)
    market.stake(made, 10 * TOKEN)
    with refused("faults: not joined"):
        market.open([made])


# What misses cost


def fee_of(locked: int, misses: int) -> int:
    return locked * 100 * misses // BPS


def test_an_unknown_node_is_not_evaluated(market: Market) -> None:
    assert market.faults.send("evaluate", mallory.address, sender=alice.address).events == ()


def test_a_sound_node_pays_nothing(market: Market, node: Node, held: Deal) -> None:
    market.live_periods(3, [node])
    assert market.evaluate(node).events == ()
    assert market.world.staking.call("active", node.address) == 1_000 * TOKEN


def test_every_miss_is_charged_once(market: Market, node: Node, held: Deal) -> None:
    locked = market.state(node).locked
    miss(market, 2)
    before = market.world.balance(watcher.address)
    supply = market.world.token.call("totalSupply")
    charged = market.evaluate(node).one("FaultsCharged")
    fee = fee_of(locked, 2)
    assert charged.args == {"node": node.address, "misses": 2, "amount": fee}
    bounty = fee * 500 // BPS
    assert market.world.balance(watcher.address) - before == bounty
    assert supply - market.world.token.call("totalSupply") == fee - bounty
    assert market.state(node).misses_charged == 2
    assert market.evaluate(node).events == ()
    market.prove_all([node])
    assert market.evaluate(node).events == ()
    miss(market)
    assert market.evaluate(node).one("FaultsCharged").misses == 1
    assert market.state(node).misses_charged == 3


def test_a_late_answer_is_a_miss(market: Market, node: Node, held: Deal) -> None:
    miss(market)
    market.prove_all([node])
    assert market.evaluate(node).one("FaultsCharged").misses == 1


def test_a_fee_never_exceeds_the_lock(market: Market, node: Node, held: Deal) -> None:
    set_parameters(market, fault_fee_bps=1000, faults_max=100)
    miss(market, 11)
    locked = market.state(node).locked
    assert market.evaluate(node).one("FaultsCharged").amount == locked


def test_no_fee_where_nothing_is_asked(market: Market, node: Node, held: Deal) -> None:
    set_parameters(market, fault_fee_bps=0)
    miss(market)
    assert market.evaluate(node).one("FaultsCharged").amount == 0


def test_stake_leaves_only_after_evaluation(market: Market, node: Node, held: Deal) -> None:
    miss(market)
    staking = market.world.staking
    locked = market.state(node).locked
    whole = staking.call("active", node.address)
    with refused("staking: locked"):
        staking.send("unbond", node.address, whole - locked, sender=node.owner.address)
    before = market.world.balance(staking.address)
    outcome = staking.send("unbond", node.address, 1, sender=node.owner.address)
    assert outcome.one("FaultsCharged").amount == fee_of(locked, 1)
    assert before - market.world.balance(staking.address) == fee_of(locked, 1)
    assert outcome.one("Slashed").reporter == ZERO


# Failure


def test_a_node_fails_at_faults_max(market: Market, node: Node, held: Deal) -> None:
    market.live_periods(2, [node])
    miss(market, 2)
    assert not market.evaluate(node).named("NodeFailed")
    assert not market.state(node).failed
    miss(market)
    staking, token = market.world.staking, market.world.token
    locked = market.state(node).locked
    stake = staking.call("active", node.address)
    supply = token.call("totalSupply")
    bounties = market.world.balance(watcher.address)
    outcome = market.evaluate(node)
    slashed = locked * 5000 // BPS
    assert outcome.one("FaultsCharged").amount == fee_of(locked, 1)
    assert outcome.one("NodeFailed").args == {
        "node": node.address,
        "round": 2,
        "slashed": slashed,
    }
    assert outcome.one("SetClosed").set_id == node.set_id
    assert stake - staking.call("active", node.address) == slashed + fee_of(locked, 1)
    compensation, bounty = slashed * 3000 // BPS, slashed * 500 // BPS
    fee_bounty = fee_of(locked, 1) * 500 // BPS
    assert market.world.balance(watcher.address) - bounties == bounty + fee_bounty
    assert market.faults.call("pool", node.address) == (compensation, 300)
    assert market.world.balance(market.faults.address) == compensation
    burned = slashed - compensation - bounty + fee_of(locked, 1) - fee_bounty
    assert supply - token.call("totalSupply") == burned
    state = market.state(node)
    assert (state.failed, state.failed_at_round) == (True, 2)


def test_a_failure_is_final(market: Market, node: Node, held: Deal) -> None:
    miss(market, 3)
    market.evaluate(node)
    assert market.evaluate(node).events == ()
    with refused("pdp: set closed"):
        market.pdp.send("prove", node.set_id, 0, b"", sender=node.address)
    with refused("faults: node failed"):
        market.join(node)
    with refused("faults: node failed"):
        market.open([node], seed=2)
    market.notice(node)
    market.finish(held)
    assert market.state(node).columns == 0
    with refused("faults: node failed"):
        market.join(node)


def test_a_late_answer_before_the_evaluation_saves_the_node(
    market: Market, node: Node, held: Deal
) -> None:
    miss(market, 3)
    market.prove(node)
    outcome = market.evaluate(node)
    assert outcome.one("FaultsCharged").misses == 3
    assert not outcome.named("NodeFailed")


def test_a_failed_node_without_stake_is_slashed_of_what_is_there(
    market: Market, held: Deal, node: Node
) -> None:
    set_parameters(market, fault_fee_bps=1000, faults_max=13)
    miss(market, 12)
    market.evaluate(node)
    locked = market.state(node).locked
    staking = market.world.staking
    rest = staking.call("active", node.address) - locked
    staking.send("unbond", node.address, rest, sender=node.owner.address)
    market.chain.warp(86_400)
    staking.send("withdraw", node.address, 0, sender=node.owner.address)
    left = staking.call("active", node.address)
    miss(market)
    market.evaluate(node)
    assert market.state(node).failed
    assert left - staking.call("active", node.address) <= left
    amount, _ = market.faults.call("pool", node.address)
    assert amount == market.world.balance(market.faults.address)


def test_one_miss_can_be_enough(market: Market, node: Node, held: Deal) -> None:
    set_parameters(market, faults_max=1)
    miss(market)
    assert market.evaluate(node).one("NodeFailed").round == 0


def test_a_failure_without_a_lock_takes_nothing(market: Market, node: Node) -> None:
    set_parameters(market, stake_per_tib=0)
    deal = market.open([node])
    miss(market, 3)
    assert market.evaluate(node).one("NodeFailed").slashed == 0
    assert market.faults.call("pool", node.address) == (0, 300)
    outcome = market.finish(deal)
    assert outcome.one("ColumnFinished").compensation == 0
    assert not [event for event in outcome.named("Movement") if event.purpose == 14]


def test_a_second_failure_has_its_own_pool(market: Market, node: Node) -> None:
    other = market.node("two")
    market.open([node])
    market.open([other], seed=2, size=127)
    miss(market, 3)
    for each in (node, other):
        market.evaluate(each)
    pools = [market.faults.call("pool", each.address) for each in (node, other)]
    assert [shared_by for _, shared_by in pools] == [300, 127]
    assert sum(amount for amount, _ in pools) == market.world.balance(market.faults.address)


def test_a_contract_may_own_and_report(market: Market, node: Node, held: Deal) -> None:
    """Who acts is who calls, not who sent the transaction (alice, here)."""
    puppet = market.world.puppet()
    miss(market)
    outcome = puppet.act(market.faults, "evaluate", node.address)
    assert outcome.one("Slashed").reporter == puppet.address
    hot = signer("node x")
    with refused("registry: wrong consent"):
        register_as(market, puppet, hot, owner=alice.address)
    register_as(market, puppet, hot, owner=puppet.address)
    with refused("faults: not the owner"):
        market.faults.send("join", hot.address, sender=alice.address)
    puppet.act(market.faults, "join", hot.address)
    with refused("faults: not the owner or the node"):
        market.faults.send("give_notice", hot.address, sender=alice.address)
    puppet.act(market.faults, "give_notice", hot.address)


def test_a_contract_may_be_a_node(market: Market) -> None:
    """The node's key itself sends; a contract that alice drives is not the node."""
    node = market.node("alice's", owner=client)
    puppet = market.world.puppet()
    with refused("faults: not the owner or the node"):
        data = market.faults.data("give_notice", node.address)
        puppet.contract.send("run", market.faults.address, data, sender=node.address)
    market.notice(node)


def register_as(market: Market, puppet: Puppet, hot: Signer, *, owner: str) -> None:
    """Register a node by a contract, with a consent to `owner`."""
    deadline = market.chain.now + 600
    consent = hot.sign(
        market.world.registry.domain(),
        CONSENT,
        {"node": hot.address, "owner": owner, "generation": 1, "deadline": deadline},
    )
    arguments = (hot.address, 1, "", b"\x01" * 32, bytes(32), puppet.address, deadline, consent)
    puppet.act(market.world.registry, "register", *arguments)


def second_client(market: Market) -> Signer:
    other = clients()[0]
    market.fund_client(other)
    return other


def test_compensation_is_shared_by_bytes(market: Market, node: Node) -> None:
    other = second_client(market)
    deals = [
        market.open([node], size=127),
        market.open([node], size=1000, seed=2, by=other),
    ]
    miss(market, 3)
    market.evaluate(node)
    pool, shared_by = market.faults.call("pool", node.address)
    assert shared_by == 1127
    for deal, owner, size in ((deals[0], client, 127), (deals[1], other, 1000)):
        before = market.world.balance(owner.address)
        outcome = market.finish(deal)
        share = pool * size // 1127
        assert outcome.one("ColumnFinished").compensation == share
        assert market.world.balance(owner.address) - before == share
        paid = [e for e in outcome.named("Movement") if e.purpose == 14]
        assert [(e.sender, e.recipient, e.amount) for e in paid] == [
            (market.faults.address, owner.address, share)
        ]
    assert market.state(node).locked == 0
    assert market.world.staking.call("locked", node.address) == 0
    assert market.world.balance(market.faults.address) <= 1


def test_nobody_earns_by_slashing_themselves(market: Market, node: Node) -> None:
    """The node's owner is its own client and its own reporter."""
    market.fund_client(node.owner)
    deal = market.open([node], by=node.owner, mandate={"repair_fee": 0})
    stake = market.world.staking.call("active", node.address)
    wealth = market.world.balance(node.owner.address)
    miss(market, 3)
    market.evaluate(node, by=node.owner)
    market.finish(deal)
    lost = stake - market.world.staking.call("active", node.address)
    gained = market.world.balance(node.owner.address) - wealth
    assert 0 < gained < lost // 2


def test_a_sound_column_brings_no_compensation(market: Market, node: Node) -> None:
    deal = market.open([node], periods=3)
    market.live_periods(2, [node])
    market.to_period(market.period + 2)
    assert market.finish(deal).one("ColumnFinished").compensation == 0


# Spot challenges


def spot(market: Market, deal: Deal, *, leaf: int = 3, price: int = 0, value: int = -1) -> Outcome:
    due = SPOT_GAS * max(price, GWEI // 10) if value < 0 else value
    market.chain.give_ether(watcher.address, 10**20)
    return market.faults.send(
        "spot_challenge", deal.id, 0, leaf, sender=watcher.address, value=due, gas_price=price
    )


def test_a_spot_challenge_is_prepaid(market: Market, held: Deal) -> None:
    with refused("faults: prepay the answer's gas"):
        spot(market, held, value=SPOT_GAS * GWEI // 10 - 1)
    with refused("faults: prepay the answer's gas"):
        spot(market, held, price=GWEI, value=SPOT_GAS * GWEI - 1)
    outcome = spot(market, held, price=GWEI)
    deadline = market.chain.now + PERIOD // 4
    assert outcome.one("SpotChallenged").args == {
        "id": 1,
        "deal": held.id,
        "slot": 0,
        "leaf": 3,
        "deadline": deadline,
        "prepaid": SPOT_GAS * GWEI,
    }
    assert market.faults.call("spot", 1).deadline == deadline
    assert market.faults.call("spot_count") == 1


def test_only_data_that_a_node_holds_is_asked_for(market: Market, node: Node, held: Deal) -> None:
    leaves = held.roots[0].leaves
    with refused("faults: no such leaf"):
        spot(market, held, leaf=leaves)
    spot(market, held, leaf=leaves - 1)
    market.storage.send("close", held.id, sender=client.address)
    with refused("faults: column is not active"):
        spot(market, held)


def test_a_failed_node_is_not_asked(market: Market, node: Node, held: Deal) -> None:
    miss(market, 3)
    market.evaluate(node)
    with refused("faults: node failed"):
        spot(market, held)


def test_an_answer_earns_the_prepayment(market: Market, node: Node, held: Deal) -> None:
    spot(market, held, leaf=3)
    good = held.roots[0].proof(3)
    with refused("faults: wrong proof"):
        market.faults.send("answer_spot", 1, held.roots[0].proof(4), sender=node.address)
    with refused("faults: no such challenge"):
        market.faults.send("answer_spot", 2, good, sender=node.address)
    market.chain.warp(PERIOD // 4)
    with refused("faults: too early"):
        market.faults.send("expire_spot", 1, sender=alice.address)
    outcome = market.faults.send("answer_spot", 1, good, sender=mallory.address)
    assert outcome.one("SpotAnswered").id == 1
    assert market.chain.ether(node.address) == SPOT_GAS * GWEI // 10
    assert market.chain.ether(market.faults.address) == 0
    for function, arguments in (("answer_spot", (1, good)), ("expire_spot", (1,))):
        with refused("faults: no such challenge"):
            market.faults.send(function, *arguments, sender=node.address)


def expire(market: Market, id: int) -> Outcome:
    return market.faults.send("expire_spot", id, sender=alice.address)


def test_silence_is_a_fault(market: Market, node: Node, held: Deal) -> None:
    spot(market, held)
    market.live_periods(1, [node])
    market.pass_by()
    ether, tokens = market.chain.ether(watcher.address), market.world.balance(watcher.address)
    locked = market.state(node).locked
    outcome = expire(market, 1)
    assert outcome.one("SpotExpired").id == 1
    fee = fee_of(locked, 1)
    assert outcome.one("FaultsCharged").args == {
        "node": node.address,
        "misses": 1,
        "amount": fee,
    }
    assert market.chain.ether(watcher.address) - ether == SPOT_GAS * GWEI // 10
    assert market.world.balance(watcher.address) - tokens == fee * 500 // BPS
    assert market.state(node).misses_charged == 0


def test_silence_while_nothing_runs_is_no_fault(market: Market, node: Node, held: Deal) -> None:
    """The network is off for days from the challenge on: nobody could have answered."""
    spot(market, held)
    market.chain.warp(5 * PERIOD)
    with refused("faults: no round since"):
        expire(market, 1)
    market.next_round()
    with market.chain.anchor():
        market.chain.warp_to(market.start(market.period + 1) - 1)
        with refused("faults: no round since"):
            expire(market, 1)
        market.chain.warp(1)
        assert expire(market, 1).named("FaultsCharged")
    proof = held.roots[0].proof(3)
    market.faults.send("answer_spot", 1, proof, sender=node.address)
    market.pass_by()
    with refused("faults: no such challenge"):
        expire(market, 1)


def test_the_round_of_a_challenges_own_period_counts_if_it_comes_later(
    market: Market, node: Node, held: Deal
) -> None:
    with market.chain.anchor():
        market.next_round()
        spot(market, held)
        market.pass_by()
        with refused("faults: no round since"):
            expire(market, 1)
    market.pass_by()
    spot(market, held)
    market.round()
    market.prove_all([node])
    market.pass_by()
    assert expire(market, 1).named("FaultsCharged")


def test_an_answer_is_good_until_the_challenge_is_expired(
    market: Market, node: Node, held: Deal
) -> None:
    spot(market, held)
    market.live_periods(3, [node])
    before = market.chain.ether(node.address)
    proof = held.roots[0].proof(3)
    market.faults.send("answer_spot", 1, proof, sender=watcher.address)
    assert market.chain.ether(node.address) - before == SPOT_GAS * GWEI // 10


def test_silence_costs_once_a_period(market: Market, node: Node, held: Deal) -> None:
    for _ in range(3):
        spot(market, held)
    market.live_periods(1, [node])
    market.pass_by()
    assert expire(market, 1).named("FaultsCharged")
    assert not expire(market, 2).named("FaultsCharged")
    market.to_period(market.period + 1)
    assert expire(market, 3).named("FaultsCharged")
    assert market.chain.ether(market.faults.address) == 0


def test_the_periods_of_silence_are_the_beacons(market: Market, node: Node, held: Deal) -> None:
    for _ in range(2):
        spot(market, held)
    market.live_periods(1, [node])
    market.chain.warp_to(market.start(market.period + 2) - 1)
    assert expire(market, 1).named("FaultsCharged")
    market.chain.warp(1)
    assert expire(market, 2).named("FaultsCharged")


def test_silence_is_no_fault_where_the_piece_was_taken_away(
    market: Market, node: Node, held: Deal
) -> None:
    other = market.node("two")
    spot(market, held)
    market.notice(node)
    market.replace(held, 0, other, by=client)
    market.live_periods(1, [node])
    market.pass_by()
    assert not expire(market, 1).named("FaultsCharged")
    assert market.chain.ether(market.faults.address) == 0


def test_silence_of_a_failed_node_costs_no_more(market: Market, node: Node, held: Deal) -> None:
    miss(market, 2)
    market.next_round()
    spot(market, held)
    market.late()
    market.evaluate(node)
    assert market.state(node).failed
    market.next_round()
    market.pass_by()
    assert not expire(market, 1).named("FaultsCharged")


def test_a_challenger_that_takes_no_refund_blocks_nothing(
    market: Market, node: Node, held: Deal
) -> None:
    stubborn = market.chain.deploy_artifact(fake("stubborn"), sender=alice.address)
    market.chain.give_ether(alice.address, 10**18)
    data = market.faults.data("spot_challenge", held.id, 0, 1)
    due = SPOT_GAS * GWEI // 10
    stubborn.send("run", market.faults.address, data, sender=alice.address, value=due)
    market.live_periods(1, [node])
    market.pass_by()
    before = market.chain.ether(alice.address)
    assert expire(market, 1).named("FaultsCharged")
    assert market.chain.ether(alice.address) == before
    assert market.chain.ether(market.faults.address) == due


def test_the_answer_is_cheaper_than_the_prepayment(market: Market, node: Node, held: Deal) -> None:
    spot(market, held, leaf=2)
    outcome = market.faults.send("answer_spot", 1, held.roots[0].proof(2), sender=node.address)
    assert outcome.gas_used < SPOT_GAS


def test_proofs_draw_as_many_leaves_as_agreed(market: Market, node: Node, held: Deal) -> None:
    round_id = market.round()
    asked: list[Any] = market.pdp.call("challenged", node.set_id, round_id)
    assert len(asked) == CHALLENGES
