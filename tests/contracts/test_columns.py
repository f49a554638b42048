"""Columns: moving them, leaving them, finishing and cleaning them up, and the repair reserve."""

from __future__ import annotations

import pytest

from contracts import merkle
from contracts.evm import ZERO, Outcome, Signer
from contracts.market import MANDATE, PERIOD, PRICE, Deal, Market, Node, client, clients, watcher
from contracts.world import TOKEN, alice, guardian, mallory, refused

FEE = 5 * TOKEN
LOCKUP = 10 * PERIOD
CLEANUP = 30 * PERIOD


@pytest.fixture
def nodes(market: Market) -> list[Node]:
    return [market.node(name) for name in ("one", "two", "three")]


@pytest.fixture
def spare(market: Market) -> Node:
    return market.node("spare")


@pytest.fixture
def deal(market: Market, nodes: list[Node]) -> Deal:
    """Three columns, two good rounds."""
    made = market.open(nodes)
    market.live_periods(2, nodes)
    return made


def exit(market: Market, deal: Deal, slot: int, by: Signer) -> Outcome:
    return market.storage.send("exit", deal.id, slot, sender=by.address)


def abandon(market: Market, deal: Deal, slot: int = 0) -> Outcome:
    rail = market.column(deal, slot).rail
    return market.storage.send("abandon", rail, sender=alice.address)


def claim(market: Market, deal: Deal, slot: int = 0) -> Outcome:
    return market.storage.send("claim_repair", deal.id, slot, sender=alice.address)


def miss(market: Market, present: list[Node], rounds: int = 1) -> None:
    """Rounds in which only these nodes answer."""
    for _ in range(rounds):
        market.next_round()
        market.prove_all(present)
        market.late()


def run_dry(market: Market, owner: Signer = client) -> None:
    """Take out everything that is free, and wait until the rest does not suffice."""
    token = market.world.token.address
    payments = market.world.payments
    _, free, _ = payments.call("status", token, owner.address)
    payments.send("withdraw", token, owner.address, free, sender=owner.address)
    market.chain.warp(1)


# Moving


def test_a_sound_column_is_moved_by_its_client_only(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    with refused("storage: column is sound"):
        market.replace(deal, 0, spare)
    market.next_round()
    with refused("storage: column is sound"):
        market.replace(deal, 0, spare)
    old = market.column(deal)
    outcome = market.replace(deal, 0, spare, by=client)
    assert outcome.one("ColumnReplaced").args == {
        "deal": deal.id,
        "slot": 0,
        "node": spare.address,
        "old_node": nodes[0].address,
        "rail": 4,
        "piece_id": 0,
        "replacer": ZERO,
        "price": PRICE,
    }
    assert outcome.one("ColumnEnded").args == {
        "deal": deal.id,
        "slot": 0,
        "node": nodes[0].address,
        "rail": 1,
        "reason": 5,
    }
    new = market.column(deal)
    assert (new.node, new.root, new.rail, new.state) == (spare.address, old.root, 4, 1)
    assert (new.replacer, new.repair_claimed) == (ZERO, False)
    ended = market.storage.call("column_of", old.rail)
    end = market.chain.now + LOCKUP
    assert (ended.node, ended.state, ended.ended_at) == (nodes[0].address, 2, end)
    assert market.pdp.call("piece", nodes[0].set_id, 0).removed == 0
    assert market.storage.call("rail_column", 4) == (deal.id, 0)
    assert [market.column(deal, slot).rail for slot in range(3)] == [4, 2, 3]
    assert market.deal(deal).repairs_done == 0


def test_an_owing_nodes_column_is_moved_by_anyone(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    miss(market, nodes[1:])
    outcome = market.replace(deal, 0, spare)
    assert outcome.one("ColumnReplaced").replacer == watcher.address
    assert outcome.one("FaultsCharged").node == nodes[0].address
    assert market.column(deal).replacer == watcher.address
    assert market.deal(deal).repairs_done == 1


def test_how_much_is_owed_before_others_move_is_a_parameter(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    parameters = {**market.storage.call("parameters"), "repair_owed": 2}
    market.world.setup(market.storage, "set_parameters", parameters)
    miss(market, nodes[1:])
    with refused("storage: column is sound"):
        market.replace(deal, 0, spare)
    miss(market, nodes[1:])
    market.replace(deal, 0, spare)


def test_a_leaving_or_failed_nodes_columns_are_moved(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    other = market.node("other")
    market.notice(nodes[0])
    market.replace(deal, 0, spare)
    miss(market, [*nodes[2:], spare], 3)
    outcome = market.replace(deal, 1, other)
    assert outcome.one("NodeFailed").node == nodes[1].address
    assert market.column(deal, 1).node == other.address


def test_a_move_keeps_to_the_mandate(market: Market, nodes: list[Node], spare: Node) -> None:
    expiry = market.chain.now + 5 * PERIOD
    terms = {"expiry": expiry, "min_stake": 1_000 * TOKEN, "repairs": 1}
    deal = market.open(nodes, mandate=terms)
    for node in nodes[:2]:
        market.notice(node)
    piece = deal.roots[0]
    poor = market.node("poor", stake=999 * TOKEN)
    with refused("faults: too little stake"):
        market.replace(deal, 0, poor)
    for by in (watcher.address, client.address):
        dear = market.acceptance(spare, piece, deal.term_end, price=PRICE + 1, mover=by)
        with refused("storage: over the mandate's price"):
            market.storage.send("replace", deal.id, 0, dear, sender=by)
    for wrong in (merkle.sample(5), deal.roots[1]):
        other = market.acceptance(spare, wrong, deal.term_end, mover=watcher.address)
        with refused("storage: wrong acceptance"):
            market.storage.send("replace", deal.id, 0, other, sender=watcher.address)
    later = market.acceptance(spare, piece, deal.term_end + 1, mover=watcher.address)
    with refused("storage: other term"):
        market.storage.send("replace", deal.id, 0, later, sender=watcher.address)
    market.chain.warp_to(expiry)
    with market.chain.anchor():
        market.chain.warp(1)
        with refused("storage: mandate expired"):
            market.replace(deal, 0, spare)
        market.replace(deal, 0, spare, by=client)
    market.replace(deal, 0, spare)
    with refused("storage: no repairs left"):
        market.replace(deal, 1, market.node("more"))
    market.replace(deal, 1, market.node("most"), by=client)


def test_nobody_submits_what_a_node_signed_for_another(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    """Who did the work of a repair is named by its node: a copied transaction earns nothing."""
    market.notice(nodes[0])
    given = market.acceptance(spare, deal.roots[0], deal.term_end, mover=watcher.address)
    for thief in (mallory.address, client.address, spare.address):
        with refused("storage: wrong acceptance"):
            market.storage.send("replace", deal.id, 0, given, sender=thief)
    outcome = market.storage.send("replace", deal.id, 0, given, sender=watcher.address)
    assert outcome.one("ColumnReplaced").replacer == watcher.address


def test_a_move_keeps_the_spread(market: Market, deal: Deal, nodes: list[Node]) -> None:
    market.notice(nodes[0])
    sister = market.node("sister", owner=nodes[1].owner)
    for by in (watcher, client):
        with refused("storage: too many columns of one owner"):
            market.replace(deal, 0, sister, by=by)
        with refused("storage: two columns on one node"):
            market.replace(deal, 0, nodes[1], by=by)
    own = market.node("own sister", owner=nodes[0].owner)
    market.replace(deal, 0, own)


def test_the_spread_counts_active_columns_only(
    market: Market, deal: Deal, nodes: list[Node]
) -> None:
    sister = market.node("sister", owner=nodes[1].owner)
    market.notice(nodes[0])
    market.notice(nodes[1])
    market.chain.warp(2 * PERIOD)
    exit(market, deal, 1, nodes[1].key)
    market.replace(deal, 0, sister)


def test_the_bound_of_columns_of_an_owner_is_the_mandates(
    market: Market, nodes: list[Node]
) -> None:
    deal = market.open(nodes, mandate={"per_owner": 2})
    sisters = [market.node(f"sister {i}", owner=nodes[2].owner) for i in range(2)]
    market.replace(deal, 0, sisters[0], by=client)
    with refused("storage: too many columns of one owner"):
        market.replace(deal, 1, sisters[1], by=client)
    market.replace(deal, 2, sisters[1], by=client)


def test_a_column_moves_to_active_nodes_only(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    market.world.registry.send("retire", spare.address, sender=spare.owner.address)
    with refused("storage: node not active"):
        market.replace(deal, 0, spare, by=client)
    with refused("faults: node leaves"):
        market.notice(nodes[0])
        market.replace(deal, 0, nodes[0], by=client)


def test_nothing_moves_after_the_deal(market: Market, nodes: list[Node], spare: Node) -> None:
    deal = market.open(nodes, periods=4)
    market.chain.warp_to(deal.term_end - 1)
    with market.chain.anchor():
        market.replace(deal, 0, spare, by=client)
    market.chain.warp(1)
    with refused("storage: deal is over"):
        market.replace(deal, 0, spare, by=client)


# A client's own move


def test_a_sound_column_that_its_client_moves_is_paid_for_the_lockup(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    """Nobody starves a node of its lockup period by moving away instead of closing."""
    moved = market.chain.now
    ended = market.replace(deal, 0, spare, by=client).one("ColumnEnded")
    assert (ended.rail, ended.reason) == (1, 5)
    end = market.rail(1).end_at
    assert end == moved + LOCKUP
    market.live_periods(9, [*nodes, spare])
    with refused("storage: rail runs on"):
        market.storage.send("finish_rail", 1, sender=watcher.address)
    market.live_periods(2, [*nodes, spare])
    market.storage.send("finish_rail", 1, sender=watcher.address)
    assert market.pdp.call("piece", nodes[0].set_id, 0).removed == 1
    rail = market.rail(1)
    assert (rail.settled_at, rail.closed, rail.accepted) == (end, True, 11 * PERIOD)


def prolong(market: Market, deal: Deal, nodes: dict[int, Node]) -> None:
    """Renew for a long time with the nodes of some slots."""
    term_end = deal.term_end + 100 * PERIOD
    given = [market.acceptance(node, deal.roots[slot], term_end) for slot, node in nodes.items()]
    market.storage.send("renew", deal.id, term_end, given, sender=client.address)


def test_a_node_is_held_no_longer_than_the_term_that_it_signed(
    market: Market, nodes: list[Node], spare: Node
) -> None:
    """A client cannot bind it by moving its column just before the term and renewing with others,
    nor by renewing after it left a dry payer."""
    deal = market.open(nodes, periods=4)
    market.live_periods(2, nodes)
    market.replace(deal, 0, spare, by=client)
    run_dry(market)
    exit(market, deal, 1, nodes[1].key)
    market.world.deposit(client, 1000 * TOKEN)
    prolong(market, deal, {0: spare, 2: nodes[2]})
    assert market.rail(1).end_at == market.rail(2).end_at == deal.term_end
    market.live_periods(3, [*nodes, spare])
    for rail in (1, 2):
        market.storage.send("finish_rail", rail, sender=watcher.address)
    assert [market.state(node).locked for node in nodes[:2]] == [0, 0]


def test_a_column_that_may_be_moved_earns_no_lockup(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    market.notice(nodes[0])
    market.replace(deal, 0, spare, by=client)
    assert market.rail(1).end_at == market.chain.now


def test_a_repair_is_paid_when_the_client_moves_its_sound_column(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    """A client does not save the fee of a repair by moving its column before the first round."""
    miss(market, nodes[1:])
    market.replace(deal, 0, spare)
    outcome = market.replace(deal, 0, market.node("other"), by=client)
    paid = outcome.one("RepairPaid")
    assert (paid.replacer, paid.amount) == (watcher.address, FEE)
    assert market.world.funds(watcher.address) == FEE
    assert market.deal(deal).repairs_done == 1
    assert market.deal(deal).reserve == FEE
    assert market.storage.call("column_of", 4).repair_claimed


def test_a_repair_to_a_bad_node_is_not_paid_at_the_clients_move(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    miss(market, nodes[1:])
    market.replace(deal, 0, spare)
    miss(market, nodes[1:])
    outcome = market.replace(deal, 0, market.node("other"), by=client)
    assert not outcome.named("RepairPaid")
    assert market.deal(deal).repairs_done == 0


# Moves by strangers


@pytest.fixture
def wide(market: Market, nodes: list[Node]) -> tuple[Deal, list[Node]]:
    """Two of five columns give the object back; all nodes owe one round."""
    held = [*nodes, market.node("four"), market.node("five")]
    pieces = [merkle.sample(i) for i in range(5)]
    term_end = market.start(market.period + 50)
    given = [
        market.acceptance(node, piece, term_end) for node, piece in zip(held, pieces, strict=True)
    ]
    mandate = {**MANDATE, "repairs": 9}
    request = market.request(pieces, k=2, mandate=mandate)
    market.storage.send("open", request, given, sender=client.address)
    for node, piece in zip(held, pieces, strict=True):
        node.pieces[0] = piece
    miss(market, [], 2)
    return Deal(1, pieces, term_end, mandate), held


def takers(market: Market, count: int) -> list[Node]:
    return [market.node(f"taker {i}") for i in range(count)]


def test_a_stranger_never_moves_more_than_the_object_can_lose(
    market: Market, wide: tuple[Deal, list[Node]]
) -> None:
    """Nodes that sign for bytes they do not have get n - k columns, whatever the others owe."""
    deal, _ = wide
    liars = takers(market, 4)
    for slot in range(3):
        market.replace(deal, slot, liars[slot])
    for by in (watcher, mallory):
        for slot in (3, 4):
            with refused("storage: too many unproven moves"):
                market.replace(deal, slot, liars[3], by=by)
    miss(market, [])
    market.pass_by()
    with refused("storage: too many unproven moves"):
        market.replace(deal, 3, liars[3])
    market.replace(deal, 3, liars[3], by=client)


def test_a_moved_column_counts_again_once_it_is_proven(
    market: Market, wide: tuple[Deal, list[Node]]
) -> None:
    deal, _ = wide
    honest = takers(market, 5)
    for slot in range(3):
        market.replace(deal, slot, honest[slot])
    market.live_periods(1, honest[:1])
    with refused("storage: too many unproven moves"):
        market.replace(deal, 3, honest[3])
    market.pass_by()
    market.replace(deal, 3, honest[3])
    with refused("storage: too many unproven moves"):
        market.replace(deal, 4, honest[4])
    claim(market, deal, 0)
    with refused("storage: too many unproven moves"):
        market.replace(deal, 4, honest[4])
    market.live_periods(1, honest[:2])
    market.pass_by()
    market.replace(deal, 4, honest[4])


def test_empty_slots_count_as_unproven(market: Market, wide: tuple[Deal, list[Node]]) -> None:
    deal, held = wide
    new = takers(market, 3)
    market.prove_all(held[:2])
    for node in held[:2]:
        market.notice(node)
    market.chain.warp(2 * PERIOD)
    for slot in range(2):
        exit(market, deal, slot, held[slot].key)
    market.replace(deal, 2, new[0])
    with refused("storage: too many unproven moves"):
        market.replace(deal, 3, new[1])
    market.replace(deal, 0, new[1])
    market.replace(deal, 1, new[2])


def test_the_clients_own_moves_are_trusted(market: Market, wide: tuple[Deal, list[Node]]) -> None:
    deal, _ = wide
    new = takers(market, 4)
    market.replace(deal, 0, new[0], by=client)
    for slot in (1, 2, 3):
        market.replace(deal, slot, new[slot])
    assert [market.column(deal, slot).replacer == ZERO for slot in range(4)][:2] == [True, False]


def test_who_moves_ones_own_column_is_a_stranger_too(
    market: Market, wide: tuple[Deal, list[Node]]
) -> None:
    """A move that earns no fee is counted: the client did not make it."""
    deal, held = wide
    new = takers(market, 4)
    for slot in range(3):
        outcome = market.replace(deal, slot, new[slot], by=held[slot].owner)
        assert outcome.one("ColumnReplaced").replacer == ZERO
    with refused("storage: too many unproven moves"):
        market.replace(deal, 3, new[3])


def test_without_spare_columns_only_the_client_moves(
    market: Market, nodes: list[Node], spare: Node
) -> None:
    deal = market.open(nodes[:1])
    market.notice(nodes[0])
    with refused("storage: too many unproven moves"):
        market.replace(deal, 0, spare)
    market.replace(deal, 0, spare, by=client)


def test_a_moved_column_pays_both_for_what_they_proved(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    market.notice(nodes[0])
    market.next_round()
    market.prove_all(nodes)
    market.replace(deal, 0, spare)
    market.live_periods(2, [*nodes, spare])
    market.to_period(market.period + 1)
    for rail in (1, 4):
        market.settle(rail)
    assert market.rail(1).accepted == 2 * PERIOD
    assert market.rail(4).accepted == 2 * PERIOD
    assert market.rail(1).closed


def test_a_moved_column_keeps_its_stake_until_it_is_decided(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    """Losing a column and its pay to a repair does not shrink what a failure costs."""
    miss(market, nodes[1:])
    market.to_period(market.period + 1)
    locked = market.state(nodes[0]).locked
    market.replace(deal, 0, spare)
    assert market.state(nodes[0]).locked == locked
    with refused("storage: rounds are undecided"):
        market.storage.send("finish_rail", 1, sender=watcher.address)
    miss(market, [*nodes[1:], spare], 2)
    failed = market.evaluate(nodes[0]).one("NodeFailed")
    assert failed.slashed == locked // 2
    outcome = market.storage.send("finish_rail", 1, sender=watcher.address)
    finished = outcome.one("ColumnFinished")
    assert (finished.deal, finished.slot) == (deal.id, 0)
    assert finished.compensation > 0
    assert market.state(nodes[0]).locked == 0
    with refused("storage: column is finished"):
        market.storage.send("finish_rail", 1, sender=watcher.address)
    assert market.column(deal).state == 1
    assert market.rail(1).accepted == 2 * PERIOD


def test_a_moved_column_of_a_sound_node_is_finished_soon(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    market.notice(nodes[0])
    market.replace(deal, 0, spare)
    assert market.state(nodes[0]).columns == 1
    market.pass_by()
    market.storage.send("finish_rail", 1, sender=watcher.address)
    state = market.state(nodes[0])
    assert (state.columns, state.bytes, state.locked) == (0, 0, 0)
    assert market.world.staking.call("locked", nodes[0].address) == 0
    market.next_round()
    assert market.pdp.call("next_round", nodes[0].set_id) == market.beacon.call("round_count")


# The repair reserve


def test_a_repair_is_paid_at_the_first_good_round(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    miss(market, nodes[1:])
    market.replace(deal, 0, spare)
    with refused("storage: no good round yet"):
        claim(market, deal)
    market.next_round()
    market.prove_all([spare])
    with refused("storage: no good round yet"):
        claim(market, deal)
    market.to_period(market.period + 1)
    outcome = claim(market, deal)
    assert outcome.one("RepairPaid").args == {
        "deal": deal.id,
        "slot": 0,
        "replacer": watcher.address,
        "amount": FEE,
    }
    sent = outcome.one("Sent")
    assert (sent.recipient, sent.amount, sent.purpose) == (watcher.address, FEE, 17)
    assert market.world.funds(watcher.address) == FEE
    assert market.deal(deal).reserve == FEE
    assert market.column(deal).repair_claimed
    with refused("storage: no repair to pay"):
        claim(market, deal)
    with refused("storage: no repair to pay"):
        claim(market, deal, 1)


def test_the_first_good_round_is_one_after_the_moves_period(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    """The round of the move's own period never counts, stored before the move or after it."""
    miss(market, nodes[1:])
    market.to_period(market.period + 1)
    market.replace(deal, 0, spare)
    market.round()
    market.prove_all([spare])
    market.to_period(market.period + 1)
    with refused("storage: no good round yet"):
        claim(market, deal)
    market.round()
    market.prove_all([spare])
    market.to_period(market.period + 1)
    claim(market, deal)


def test_a_repair_without_proof_is_given_back(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    """Moving a column to a node that never proves uses up nothing of the mandate."""
    other = market.node("other")
    miss(market, nodes[1:])
    for target in (spare, other):
        market.replace(deal, 0, target)
        assert market.deal(deal).repairs_done == 1
        miss(market, nodes[1:])
    assert market.deal(deal).reserve == 2 * FEE


def test_a_proven_repair_is_paid_when_its_column_moves_on(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    miss(market, nodes[1:])
    market.replace(deal, 0, spare)
    market.live_periods(1, [*nodes[1:], spare])
    miss(market, nodes[1:])
    outcome = market.replace(deal, 0, market.node("other"))
    assert outcome.one("RepairPaid").amount == FEE
    assert market.deal(deal).repairs_done == 2


def test_a_proven_repair_is_paid_when_its_column_is_finished(
    market: Market, nodes: list[Node], spare: Node
) -> None:
    deal = market.open(nodes, periods=6)
    miss(market, nodes[1:])
    market.replace(deal, 0, spare)
    market.live_periods(4, [*nodes[1:], spare])
    market.chain.warp_to(deal.term_end)
    market.pass_by()
    outcome = market.finish(deal)
    assert outcome.one("RepairPaid").replacer == watcher.address
    assert market.world.funds(watcher.address) == FEE


def test_no_fee_for_moving_ones_own(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    sister = market.node("sister", owner=nodes[1].owner)
    for node in nodes:
        market.notice(node)
    for slot, target, by in (
        (0, spare, nodes[0].owner),
        (1, sister, watcher),
        (2, market.node("other"), nodes[2].key),
    ):
        assert market.replace(deal, slot, target, by=by).one("ColumnReplaced").replacer == ZERO
        market.live_periods(1, [*nodes, spare, sister])
        market.pass_by()
    assert market.deal(deal).repairs_done == 0


def test_own_moves_need_no_repairs_left(market: Market, nodes: list[Node], spare: Node) -> None:
    deal = market.open(nodes, mandate={"repairs": 0})
    market.notice(nodes[0])
    with refused("storage: no repairs left"):
        market.replace(deal, 0, spare)
    market.replace(deal, 0, spare, by=nodes[0].owner)


def test_a_repair_without_fee_is_free(market: Market, nodes: list[Node], spare: Node) -> None:
    deal = market.open(nodes, mandate={"repair_fee": 0})
    market.notice(nodes[0])
    market.replace(deal, 0, spare)
    market.live_periods(1, [spare])
    market.to_period(market.period + 1)
    outcome = claim(market, deal)
    assert outcome.one("RepairPaid").amount == 0
    assert not outcome.named("Sent")


# Leaving


def test_a_node_leaves_after_notice(market: Market, deal: Deal, nodes: list[Node]) -> None:
    for by in (mallory, client, nodes[1].key):
        with refused("storage: not the node or its owner"):
            exit(market, deal, 0, by)
    with refused("storage: give notice first"):
        exit(market, deal, 0, nodes[0].key)
    market.notice(nodes[0])
    market.live_periods(1, nodes)
    with refused("storage: give notice first"):
        exit(market, deal, 0, nodes[0].key)
    market.live_periods(1, nodes)
    market.to_period(market.period + 1)
    outcome = exit(market, deal, 0, nodes[0].owner)
    assert outcome.one("ColumnEnded").reason == 3
    column = market.column(deal)
    assert (column.state, column.ended_at) == (2, market.chain.now)
    assert market.pdp.call("piece", nodes[0].set_id, 0).removed == 1
    with refused("storage: column is not active"):
        exit(market, deal, 0, nodes[0].key)
    market.pass_by()
    market.finish(deal)
    assert market.state(nodes[0]).columns == 0
    assert market.rail(1).accepted == 4 * PERIOD
    assert market.world.staking.call("active", nodes[0].address) == 1_000 * TOKEN


def test_an_empty_slot_is_filled_by_anyone(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    other = market.node("other")
    market.notice(nodes[0])
    market.notice(nodes[1])
    market.chain.warp(2 * PERIOD)
    exit(market, deal, 0, nodes[0].key)
    exit(market, deal, 1, nodes[1].key)
    market.pass_by()
    market.finish(deal, 1)
    market.replace(deal, 0, spare)
    market.replace(deal, 1, other)
    assert [market.column(deal, slot).state for slot in range(3)] == [1, 1, 1]
    market.storage.send("finish_rail", 1, sender=watcher.address)
    assert [market.column(deal, slot).state for slot in range(3)] == [1, 1, 1]
    market.storage.send("close", deal.id, sender=client.address)
    closed = market.chain.now
    market.chain.warp(LOCKUP)
    market.pass_by()
    for slot in range(3):
        assert not market.finish(deal, slot).named("DealClosed")
    assert market.deal(deal).reserve == 0
    assert market.deal(deal).closed_at == closed


def test_a_payer_that_runs_dry_frees_its_nodes(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes)
    market.live_periods(2, nodes)
    token, payments = market.world.token.address, market.world.payments
    with refused("storage: give notice first"):
        exit(market, deal, 0, nodes[0].key)
    _, free, _ = payments.call("status", token, client.address)
    payments.send("withdraw", token, client.address, free, sender=client.address)
    with refused("storage: give notice first"):
        exit(market, deal, 0, nodes[0].key)
    solvent = market.chain.now
    market.chain.warp(1)
    exit(market, deal, 0, nodes[0].key)
    assert market.column(deal).ended_at == solvent + LOCKUP
    assert market.pdp.call("piece", nodes[0].set_id, 0).removed == 0
    with refused("storage: rail runs on"):
        market.finish(deal)
    market.live_periods(10, nodes)
    market.to_period(market.period + 1)
    market.finish(deal)
    assert market.rail(1).accepted == 11 * PERIOD
    assert market.pdp.call("piece", nodes[0].set_id, 0).removed == 1


# Finishing


def test_a_column_is_finished_when_its_term_is_over(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes, periods=5)
    market.live_periods(4, nodes)
    market.chain.warp_to(deal.term_end - 1)
    with refused("storage: column is active"):
        market.finish(deal)
    market.chain.warp(1)
    with refused("storage: rounds are undecided"):
        market.finish(deal)
    market.pass_by()
    outcome = market.finish(deal)
    assert outcome.one("ColumnEnded").reason == 2
    assert market.column(deal).ended_at == deal.term_end
    assert market.column(deal).state == 3
    assert market.rail(1).accepted == 4 * PERIOD
    assert market.rail(1).closed
    assert market.pdp.call("piece", nodes[0].set_id, 0).removed == 1
    with refused("storage: column is finished"):
        market.finish(deal)


def test_the_last_column_gives_the_reserve_back(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes, periods=3)
    market.live_periods(2, nodes)
    market.to_period(market.period + 2)
    for slot in (0, 1):
        market.finish(deal, slot)
    assert market.deal(deal).reserve == 2 * FEE
    before = market.world.funds(client.address)
    outcome = market.finish(deal, 2)
    assert outcome.one("DealClosed").deal == deal.id
    sent = outcome.one("Sent")
    assert (sent.recipient, sent.amount, sent.purpose) == (client.address, 2 * FEE, 8)
    assert market.world.funds(market.storage.address) == 0
    assert market.world.funds(client.address) < before + 2 * FEE
    assert market.deal(deal).reserve == 0
    assert market.deal(deal).closed_at == market.chain.now


def test_no_reserve_gives_nothing_back(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes[:1], periods=3, mandate={"repairs": 0})
    market.live_periods(2, nodes)
    market.to_period(market.period + 2)
    assert not market.finish(deal).named("Sent")


def test_a_failed_nodes_ended_column_ends_once(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    miss(market, nodes[1:], 2)
    market.replace(deal, 0, spare)
    miss(market, [*nodes[1:], spare])
    market.evaluate(nodes[0])
    outcome = market.storage.send("finish_rail", 1, sender=watcher.address)
    assert not outcome.named("ColumnEnded")
    miss(market, nodes[1:], 3)
    market.next_round()
    moved = market.replace(deal, 0, market.node("other"))
    assert moved.one("NodeFailed").node == spare.address
    outcome = market.storage.send("finish_rail", 4, sender=watcher.address)
    assert not outcome.named("ColumnEnded")


def test_every_slot_keeps_its_rail(market: Market) -> None:
    wide = [market.node(f"wide {i}") for i in range(9)]
    deal = market.open(wide)
    expected = list(range(1, 10))
    for i, slot in enumerate((4, 8, 3, 7)):
        market.replace(deal, slot, market.node(f"next {slot}"), by=client)
        expected[slot] = 10 + i
        assert [market.column(deal, slot).rail for slot in range(9)] == expected


def test_rounds_must_be_decided_first(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes, periods=3)
    market.live_periods(1, nodes)
    market.next_round()
    market.to_period(market.period + 2)
    with refused("storage: rounds are undecided"):
        market.finish(deal)
    market.prove_all(nodes)
    market.finish(deal)
    assert market.rail(1).accepted == PERIOD


def test_the_round_of_the_ends_period_is_waited_for(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    """A node that lost a column is not let off by a move within the period that it owes."""
    market.next_round()
    market.prove_all(nodes[1:])
    market.late()
    locked = market.state(nodes[0]).locked
    market.replace(deal, 0, spare)
    assert market.pdp.call("decided_until", nodes[0].set_id) == market.start(market.period)
    for _ in range(2):
        with refused("storage: rounds are undecided"):
            market.storage.send("finish_rail", 1, sender=watcher.address)
        assert market.state(nodes[0]).locked == locked
        miss(market, [*nodes[1:], spare])
    assert market.evaluate(nodes[0]).one("NodeFailed").slashed == locked // 2
    market.storage.send("finish_rail", 1, sender=watcher.address)


def test_the_round_of_the_ends_period_is_decided_when_it_is_answered(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    market.notice(nodes[0])
    market.replace(deal, 0, spare)
    end = market.storage.call("column_of", 1).ended_at
    border = market.start(market.period + 1)
    assert border - PERIOD <= end < border
    market.chain.warp_to(border - 1)
    with refused("storage: rounds are undecided"):
        market.storage.send("finish_rail", 1, sender=watcher.address)
    market.chain.warp(1)
    with market.chain.anchor():
        market.storage.send("finish_rail", 1, sender=watcher.address)
    market.round()  # the next period's round does not ask for the piece
    market.late()
    market.storage.send("finish_rail", 1, sender=watcher.address)


def test_a_closed_deals_columns_finish_at_the_term_at_the_latest(
    market: Market, nodes: list[Node]
) -> None:
    deal = market.open(nodes, periods=4)
    market.live_periods(1, nodes)
    market.storage.send("close", deal.id, sender=client.address)
    assert market.column(deal).ended_at > deal.term_end
    market.live_periods(2, nodes)
    market.to_period(market.period + 2)
    outcome = market.finish(deal)
    assert outcome.one("ColumnEnded").reason == 2
    assert market.rail(1).closed
    assert market.rail(1).accepted == 3 * PERIOD


def test_a_failed_nodes_column_is_finished_at_once(
    market: Market, deal: Deal, nodes: list[Node]
) -> None:
    miss(market, nodes[1:], 3)
    outcome = market.finish(deal)
    assert outcome.one("NodeFailed").node == nodes[0].address
    assert outcome.one("ColumnEnded").reason == 4
    assert outcome.one("ColumnFinished").compensation > 0
    assert market.rail(1).accepted == 2 * PERIOD
    assert market.rail(1).closed
    with refused("storage: column is active"):
        market.finish(deal, 1)


def test_a_failed_node_is_not_paid_for_the_tail_of_a_closed_deal(
    market: Market, deal: Deal, nodes: list[Node]
) -> None:
    market.storage.send("close", deal.id, sender=client.address)
    miss(market, nodes[1:], 3)
    outcome = market.finish(deal)
    assert outcome.one("ColumnEnded").reason == 4
    assert market.rail(1).closed
    assert market.rail(1).accepted == 2 * PERIOD


# Abandoned columns


def test_a_dry_payers_columns_are_cleaned_after_the_window(
    market: Market, deal: Deal, nodes: list[Node]
) -> None:
    with refused("storage: not abandoned"):
        abandon(market, deal)
    run_dry(market)
    dry = market.world.payments.call("status", market.world.token.address, client.address)[2]
    market.chain.warp_to(dry + CLEANUP)
    with refused("storage: not abandoned"):
        abandon(market, deal)
    market.chain.warp(1)
    outcome = abandon(market, deal)
    assert outcome.one("ColumnEnded").reason == 6
    assert outcome.one("ColumnFinished").slot == 0
    assert market.column(deal).state == 3
    assert market.state(nodes[0]).locked == 0
    with refused("storage: column is finished"):
        abandon(market, deal)


def test_what_nobody_finished_is_cleaned_after_the_window(
    market: Market, nodes: list[Node]
) -> None:
    deal = market.open(nodes, periods=4)
    market.live_periods(1, nodes)
    market.next_round()
    market.late()
    market.chain.warp_to(deal.term_end + CLEANUP)
    with refused("storage: rounds are undecided"):
        market.finish(deal)
    with refused("storage: not abandoned"):
        abandon(market, deal)
    market.chain.warp(1)
    abandon(market, deal)
    assert market.column(deal).ended_at <= deal.term_end
    assert market.state(nodes[0]).columns == 0
    assert market.rail(1).accepted == 0
    market.prove_all(nodes)
    market.settle(1)
    assert market.rail(1).accepted == PERIOD


def test_an_ended_column_is_cleaned_after_the_window(
    market: Market, deal: Deal, nodes: list[Node]
) -> None:
    market.next_round()
    market.notice(nodes[0])
    market.chain.warp(2 * PERIOD)
    exit(market, deal, 0, nodes[0].key)
    ended = market.chain.now
    market.chain.warp_to(ended + CLEANUP)
    with refused("storage: not abandoned"):
        abandon(market, deal)
    market.chain.warp(1)
    outcome = abandon(market, deal)
    assert not outcome.named("ColumnEnded")
    assert market.column(deal).state == 3


def test_a_moved_column_is_cleaned_after_the_window_even_without_rounds(
    market: Market, deal: Deal, nodes: list[Node], spare: Node
) -> None:
    miss(market, nodes[1:])
    market.replace(deal, 0, spare)
    market.chain.warp(CLEANUP)
    with refused("storage: rounds are undecided"):
        market.storage.send("finish_rail", 1, sender=alice.address)
    with refused("storage: not abandoned"):
        market.storage.send("abandon", 1, sender=alice.address)
    market.chain.warp(1)
    market.storage.send("abandon", 1, sender=alice.address)
    assert market.state(nodes[0]).locked == 0
    assert market.column(deal).state == 1


def test_the_guardian_moves_nothing(market: Market, deal: Deal, spare: Node) -> None:
    with refused("storage: column is sound"):
        market.replace(deal, 0, spare, by=guardian)
    with refused("storage: not the client"):
        market.storage.send("close", deal.id, sender=guardian.address)
    with refused("storage: not the node or its owner"):
        exit(market, deal, 0, guardian)


def test_a_second_clients_deal_costs_the_same(market: Market, nodes: list[Node]) -> None:
    """No cost grows with the number of clients or deals."""
    used = []
    for i, owner in enumerate((client, *clients())):
        if i:
            market.fund_client(owner)
        pieces = [merkle.sample(50 * i + j) for j in range(3)]
        term_end = market.chain.now + 9 * PERIOD
        given = [
            market.acceptance(node, piece, term_end, by=owner)
            for node, piece in zip(nodes, pieces, strict=True)
        ]
        outcome = market.storage.send("open", market.request(pieces), given, sender=owner.address)
        used.append(outcome.gas_used)
    assert max(used[1:]) <= used[0]
