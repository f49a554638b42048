"""Opening, renewing and closing deals; acceptances; who may do what; parameters."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import merkle
from contracts.evm import NETWORK_ID, ZERO, Chain, Reverted, signer
from contracts.market import FAR, MANDATE, PERIOD, PRICE, Market, Node, client, clients, watcher
from contracts.world import TOKEN, Puppet, alice, fake, guardian, mallory, refused

YEAR = 366 * 86400
FOR_EVER = 2**64 - 1


@pytest.fixture
def nodes(market: Market) -> list[Node]:
    return [market.node(name) for name in ("one", "two", "three")]


def try_open(
    market: Market,
    nodes: list[Node],
    *,
    request: dict[str, Any] | None = None,
    signed: dict[str, Any] | None = None,
    given: dict[str, Any] | None = None,
    size: int = 300,
) -> Any:
    """Open one column each; `signed` replaces fields before the nodes sign, `given` after."""
    pieces = [merkle.sample(i, size) for i in range(len(nodes))]
    term_end = market.chain.now + 20 * PERIOD
    wanted = market.request(pieces, **(request or {}))
    acceptances = [
        {
            **market.acceptance(
                node, piece, term_end, **{"size": wanted["size"], **(signed or {})}
            ),
            **(given or {}),
        }
        for node, piece in zip(nodes, pieces, strict=True)
    ]
    return market.storage.send("open", wanted, acceptances, sender=client.address)


# Deployment and the governor


def test_is_deployed_whole(chain: Chain, market: Market) -> None:
    names = ("registry", "payments", "pdp", "beacon", "faults", "governor")
    good = [market.storage.call(name) for name in names]
    for i in range(6):
        arguments = [*good[:i], ZERO, *good[i + 1 :]]
        with refused("storage: zero address"):
            chain.deploy("storage", *arguments, NETWORK_ID, sender=alice.address)
    assert market.storage.call("network_id") == NETWORK_ID
    assert market.storage.call("parameters") == {
        "lockup_period": 10 * PERIOD,
        "repair_owed": 1,
        "cleanup_window": 30 * PERIOD,
    }


@pytest.mark.parametrize(
    ("name", "low", "high", "word"),
    [
        ("lockup_period", PERIOD, 30 * PERIOD, "lockup"),
        ("repair_owed", 1, 100, "owed"),
        ("cleanup_window", 10 * PERIOD, YEAR, "cleanup"),
    ],
)
def test_parameters_have_hard_bounds(
    market: Market, name: str, low: int, high: int, word: str
) -> None:
    parameters = market.storage.call("parameters")

    def change(value: int) -> None:
        market.world.setup(market.storage, "set_parameters", {**parameters, name: value})

    for good in (low, high):
        change(good)
        assert market.storage.call("parameters")[name] == good
    with refused(f"storage: {word} out of bounds"):
        change(low - 1)
    if name != "lockup_period":
        with refused(f"storage: {word} out of bounds"):
            change(high + 1)


def test_the_lockup_has_an_upper_bound(market: Market) -> None:
    whole = {"lockup_period": 90 * 86400, "repair_owed": 1, "cleanup_window": 90 * 86400}
    market.world.setup(market.storage, "set_parameters", whole)
    with refused("storage: lockup out of bounds"):
        longer = {**whole, "lockup_period": 90 * 86400 + 1, "cleanup_window": YEAR}
        market.world.setup(market.storage, "set_parameters", longer)
    with refused("storage: cleanup out of bounds"):
        market.world.setup(
            market.storage, "set_parameters", {**whole, "cleanup_window": 90 * 86399}
        )


def test_only_the_governor_governs(market: Market) -> None:
    for function, argument in (
        ("set_parameters", market.storage.call("parameters")),
        ("set_paused", True),
    ):
        with refused("storage: not the governor"):
            market.storage.send(function, argument, sender=guardian.address)


def test_a_pause_stops_opening_only(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes[:1])
    market.world.governor.send("pause", market.storage.address, sender=guardian.address)
    assert market.storage.call("paused")
    with refused("storage: paused"):
        market.open(nodes[1:2], seed=2)
    market.replace(deal, 0, nodes[1], by=client)
    market.storage.send("close", deal.id, sender=client.address)
    market.world.governor.send("unpause", market.storage.address, sender=guardian.address)
    market.open(nodes[2:], seed=2)


# What an opening does


def test_a_deal_is_kept_as_it_was_opened(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes)
    assert deal.id == market.storage.call("deal_count") == 1
    assert market.deal(deal) == {
        "client": client.address,
        "token": market.world.token.address,
        "object_id": b"\x0b" * 32,
        "k": 1,
        "n": 3,
        "size": 300,
        "height": 4,
        "opened_at": market.chain.now,
        "term_end": deal.term_end,
        "closed_at": 0,
        "mandate": MANDATE,
        "repairs_done": 0,
        "reserve": 10 * TOKEN,
        "locator": b"where",
    }
    for slot, node in enumerate(nodes):
        assert market.column(deal, slot) == {
            "node": node.address,
            "root": deal.roots[slot].root,
            "piece_id": 0,
            "rail": slot + 1,
            "price": PRICE,
            "first_round": 0,
            "opened_period": 1,
            "ended_at": 0,
            "state": 1,
            "locked": market.state(node).locked,
            "replacer": ZERO,
            "repair_claimed": False,
        }
        assert market.storage.call("rail_column", slot + 1) == (1, slot)
        assert market.storage.call("column_of", slot + 1) == market.column(deal, slot)
        piece = market.pdp.call("piece", node.set_id, 0)
        assert (piece.root, piece.height, piece.leaves) == (
            deal.roots[slot].root,
            deal.roots[slot].height,
            deal.roots[slot].leaves,
        )


def test_an_opening_says_what_it_did(market: Market, nodes: list[Node]) -> None:
    outcome = try_open(market, nodes)
    opened = outcome.one("DealOpened")
    assert opened.args == {
        "deal": 1,
        "client": client.address,
        "object_id": b"\x0b" * 32,
        "k": 1,
        "n": 3,
        "size": 300,
        "height": 4,
        "token": market.world.token.address,
        "term_end": market.chain.now + 20 * PERIOD,
    }
    columns = outcome.named("ColumnOpened")
    assert [event.args for event in columns] == [
        {
            "deal": 1,
            "slot": slot,
            "node": node.address,
            "root": merkle.sample(slot).root,
            "piece_id": 0,
            "rail": slot + 1,
            "price": PRICE,
        }
        for slot, node in enumerate(nodes)
    ]


def test_every_column_is_a_rail_of_the_client(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes)
    for slot, node in enumerate(nodes):
        rail = market.rail(market.column(deal, slot).rail)
        assert (rail.payer, rail.payee) == (client.address, node.owner.address)
        assert rail.market == market.storage.address
        assert rail.rate == PRICE * 300
        assert (rail.lockup_period, rail.fixed) == (10 * PERIOD, 0)


def test_the_reserve_is_collected(market: Market, nodes: list[Node]) -> None:
    before = market.world.funds(client.address)
    market.open(nodes)
    assert before - market.world.funds(client.address) == 10 * TOKEN
    assert market.world.funds(market.storage.address) == 10 * TOKEN
    market.open(nodes, seed=2, mandate={"repairs": 0})
    market.open(nodes, seed=3, mandate={"repair_fee": 0})
    assert market.world.funds(market.storage.address) == 10 * TOKEN


def test_a_thirtieth_column_and_more_fit_in_a_transaction(market: Market) -> None:
    nodes = [market.node(f"n{i}") for i in range(32)]
    deal = market.open(nodes)
    assert {market.column(deal, slot).rail for slot in range(32)} == set(range(1, 33))
    assert market.column(deal, 31).node == nodes[31].address
    market.live_periods(2, nodes)
    market.to_period(market.period + 1)
    assert all(market.settle(rail) > 0 for rail in (1, 17, 32))
    closed = market.storage.send("close", deal.id, sender=client.address)
    assert len(closed.named("ColumnEnded")) == 32


@pytest.mark.parametrize("locator", [b"", b"\x01", bytes(256)])
def test_a_locator_is_kept_as_it_is(market: Market, nodes: list[Node], locator: bytes) -> None:
    outcome = try_open(market, nodes, request={"locator": locator})
    assert market.storage.call("deal", outcome.value).locator == locator


def test_a_mandate_may_be_as_large_as_it_fits(market: Market, nodes: list[Node]) -> None:
    largest = {"max_price": 2**96 - 1, "repair_fee": 2**96 - 1, "repairs": 0, "expiry": 2**64 - 1}
    deal = market.open(nodes, mandate=largest)
    assert market.deal(deal).mandate == {**MANDATE, **largest}
    with refused("faults: too little stake"):
        market.open(nodes, seed=2, mandate={"min_stake": 2**128 - 1})


def test_no_reserve_is_not_collected(market: Market, nodes: list[Node]) -> None:
    outcome = try_open(market, nodes, request={"mandate": {**MANDATE, "repairs": 0}})
    assert not outcome.named("Collected")


# What an opening refuses


@pytest.mark.parametrize(
    ("request_fields", "reason"),
    [
        ({"k": 0}, "k must be between 1 and n"),
        ({"k": 4}, "k must be between 1 and n"),
        ({"roots": []}, "no columns"),
        ({"roots": [b"\x01" * 32] * 2}, "one acceptance for every root"),
        ({"roots": [b"\x01" * 32] * 3}, "wrong acceptance"),
        ({"size": 0}, "size and height disagree"),
        ({"height": 1}, "height out of bounds"),
        ({"height": 41}, "height out of bounds"),
        ({"mandate": {**MANDATE, "per_owner": 0}}, "no column for an owner"),
        ({"mandate": {**MANDATE, "max_price": 2**96}}, "price out of bounds"),
        ({"mandate": {**MANDATE, "min_stake": 2**128}}, "mandate out of bounds"),
        ({"mandate": {**MANDATE, "repair_fee": 2**96}}, "mandate out of bounds"),
        ({"mandate": {**MANDATE, "max_price": PRICE - 1}}, "over the mandate's price"),
    ],
)
def test_a_wrong_request_is_refused(
    market: Market, nodes: list[Node], request_fields: dict[str, Any], reason: str
) -> None:
    signed = {"height": request_fields["height"]} if "height" in request_fields else {}
    with refused(f"storage: {reason}"):
        try_open(market, nodes, request=request_fields, signed=signed)


@pytest.mark.parametrize(
    ("size", "height"),
    [(0, 2), (128, 2), (127, 3), (254, 4), (255, 3), (508, 5), (1017, 5)],
)
def test_size_must_need_its_height(
    market: Market, nodes: list[Node], size: int, height: int
) -> None:
    with refused("storage: size and height disagree"):
        try_open(market, nodes, request={"size": size, "height": height}, signed={"height": height})


@pytest.mark.parametrize(
    ("size", "height", "leaves"),
    [
        (1, 2, 1),
        (31, 2, 1),
        (32, 2, 2),
        (127, 2, 4),
        (128, 3, 5),
        (254, 3, 8),
        (509, 5, 17),
        (1016, 5, 32),
        ((127 << 28) - 127, 30, 2**30 - 4),
        ((127 << 28) - 128, 30, 2**30 - 4),
        (127 << 38, 40, 2**40),
    ],
)
def test_padding_is_never_asked_for(market: Market, size: int, height: int, leaves: int) -> None:
    """leaf_count of piececid_v2_frc0069.json, as far as the height is the least one."""
    set_parameters = {**market.faults.call("parameters"), "stake_per_tib": 0}
    market.world.setup(market.faults, "set_parameters", set_parameters)
    node = market.node("solo")
    deal = try_open(
        market,
        [node],
        request={"size": size, "height": height},
        signed={"height": height, "price": 1},
    )
    assert market.pdp.call("piece", node.set_id, 0).leaves == leaves
    assert market.storage.call("deal", deal.value).size == size


def test_a_term_lies_ahead_and_not_too_far(market: Market, nodes: list[Node]) -> None:
    piece = merkle.sample(0)
    for term_end, reason in (
        (market.chain.now, "term is over"),
        (market.chain.now + 10 * YEAR + 1, "term too long"),
    ):
        acceptance = market.acceptance(nodes[0], piece, term_end)
        with refused(f"storage: {reason}"):
            market.storage.send(
                "open", market.request([piece]), [acceptance], sender=client.address
            )
    for term_end in (market.chain.now + 1, market.chain.now + 10 * YEAR):
        acceptance = market.acceptance(nodes[0], piece, term_end)
        market.storage.send("open", market.request([piece]), [acceptance], sender=client.address)


def test_all_columns_have_one_term(market: Market, nodes: list[Node]) -> None:
    pieces = [merkle.sample(i) for i in range(2)]
    acceptances = [
        market.acceptance(node, piece, market.chain.now + (5 + i) * PERIOD)
        for i, (node, piece) in enumerate(zip(nodes, pieces, strict=False))
    ]
    with refused("storage: other term"):
        market.storage.send("open", market.request(pieces), acceptances, sender=client.address)


@pytest.mark.parametrize(
    "other",
    [
        {"client": mallory.address},
        {"mover": mallory.address},
        {"token": mallory.address},
        {"root": b"\x05" * 32},
        {"size": 299},
        {"height": 5},
        {"network_id": b"\x07" * 32},
        {"key": mallory},
    ],
)
def test_nodes_are_bound_by_nothing_they_did_not_sign(
    market: Market, nodes: list[Node], other: dict[str, Any]
) -> None:
    with refused("storage: wrong acceptance"):
        try_open(market, nodes[:1], signed=other)


@pytest.mark.parametrize(
    "given",
    [
        {"price": PRICE + 1},
        {"price": PRICE - 1},
        {"nonce": 2**200},
        {"deadline": 2**40},
        {"signature": b""},
        {"signature": b"\x01" * 65},
    ],
)
def test_an_acceptance_is_not_changed_afterwards(
    market: Market, nodes: list[Node], given: dict[str, Any]
) -> None:
    with refused("storage: wrong acceptance"):
        try_open(market, nodes[:1], given=given)


def test_a_node_is_paid_in_no_token_that_it_did_not_accept(
    market: Market, nodes: list[Node]
) -> None:
    """A client that mints its own money opens no deal with what nodes signed for another."""
    foreign = market.world.foreign()
    market.world.setup(market.world.payments, "set_token", foreign.address, True)
    foreign.send("mint", client.address, 10**30, sender=client.address)
    foreign.send("approve", market.world.payments.address, 10**30, sender=client.address)
    deposit = ("deposit", foreign.address, client.address, 10**30)
    market.world.payments.send(*deposit, sender=client.address)
    consent = ("approve_market", foreign.address, market.storage.address, 2**200, 2**100)
    market.world.payments.send(*consent, sender=client.address)
    worthless = {"token": foreign.address}
    with refused("storage: wrong acceptance"):
        try_open(market, nodes[:1], request=worthless)
    try_open(market, nodes[:1], request=worthless, signed=worthless)
    assert market.rail(1).token == foreign.address


def test_an_acceptance_of_another_contract_is_refused(
    chain: Chain, market: Market, nodes: list[Node]
) -> None:
    names = ("registry", "payments", "pdp", "beacon", "faults", "governor")
    twin = chain.deploy(
        "storage",
        *[market.storage.call(name) for name in names],
        NETWORK_ID,
        sender=alice.address,
    )
    piece = merkle.sample(0)
    acceptance = market.acceptance(nodes[0], piece, market.chain.now + PERIOD)
    with refused("storage: wrong acceptance"):
        twin.send(
            "open",
            {**market.request([piece]), "mandate": {**MANDATE, "repairs": 0}},
            [acceptance],
            sender=client.address,
        )


def test_nobody_accepts_as_the_zero_address(market: Market, nodes: list[Node]) -> None:
    with refused("storage: no node"):
        try_open(market, nodes[:1], given={"node": ZERO, "signature": b"\x01" * 65})


def test_an_acceptance_expires(market: Market, nodes: list[Node]) -> None:
    try_open(market, nodes[:1], signed={"deadline": market.chain.now})
    with refused("storage: acceptance expired"):
        try_open(market, nodes[:1], signed={"deadline": market.chain.now - 1})


def test_an_acceptance_serves_once(market: Market, nodes: list[Node]) -> None:
    for nonce in (0, 255, 256, 2**256 - 1):
        assert not market.storage.call("nonce_used", nodes[0].address, nonce)
        try_open(market, nodes[:1], signed={"nonce": nonce})
        assert market.storage.call("nonce_used", nodes[0].address, nonce)
        with refused("storage: acceptance was used"):
            try_open(market, nodes[:1], signed={"nonce": nonce})
    assert not market.storage.call("nonce_used", nodes[1].address, 255)
    assert not market.storage.call("nonce_used", nodes[0].address, 254)


def test_a_failed_opening_uses_no_acceptance(market: Market, nodes: list[Node]) -> None:
    piece = merkle.sample(0)
    acceptance = market.acceptance(nodes[0], piece, market.chain.now + PERIOD)
    arguments = (market.request([piece], k=2), [acceptance])
    with refused("storage: k must be between 1 and n"):
        market.storage.send("open", *arguments, sender=client.address)
    market.storage.send("open", market.request([piece]), [acceptance], sender=client.address)


def test_columns_stand_on_different_nodes_and_owners(market: Market, nodes: list[Node]) -> None:
    with refused("storage: two columns on one node"):
        try_open(market, [nodes[0], nodes[0]])
    double = {"mandate": {**MANDATE, "per_owner": 2}}
    with refused("storage: two columns on one node"):
        try_open(market, [nodes[0], nodes[0]], request=double)
    sisters = [market.node(f"sister {i}", owner=nodes[0].owner) for i in range(2)]
    with refused("storage: too many columns of one owner"):
        try_open(market, [nodes[0], nodes[1], sisters[0]])
    try_open(market, [nodes[0], nodes[1], sisters[0]], request=double)
    with refused("storage: too many columns of one owner"):
        try_open(market, [nodes[0], nodes[1], *sisters], request=double)


def test_a_node_out_of_service_takes_nothing(market: Market, nodes: list[Node]) -> None:
    market.world.registry.send("retire", nodes[0].address, sender=nodes[0].owner.address)
    with refused("storage: node not active"):
        try_open(market, nodes[:1])


def test_a_client_needs_funds_and_consent(market: Market, nodes: list[Node]) -> None:
    poor = clients()[0]
    with refused("payments: over the lockup cap"):
        market.open(nodes, by=poor)
    market.approve(poor)
    with refused("payments: too little free funds"):
        market.open(nodes, by=poor)
    market.world.deposit(poor, 10 * TOKEN)
    with refused("payments: too little free funds"):
        market.open(nodes, by=poor)
    market.world.deposit(poor, TOKEN)
    market.open(nodes, by=poor)


def test_the_rate_cap_bounds_the_market(market: Market, nodes: list[Node]) -> None:
    market.approve(client, rate=PRICE * 600)
    with refused("payments: over the rate cap"):
        market.open(nodes)
    market.open(nodes[:2])


def test_unknown_deals_and_columns_are_refused(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes)
    with refused("storage: no such deal"):
        market.storage.call("deal", 2)
    for slot in (3, 31, 32, 2**255):
        with refused("storage: no such column"):
            market.storage.call("column", deal.id, slot)
    for function, arguments in (
        ("close", (2,)),
        ("renew", (2, FAR, [])),
    ):
        with refused("storage: no such deal"):
            market.storage.send(function, *arguments, sender=client.address)
    for function in ("finish", "claim_repair", "exit"):
        with refused("storage: no such column"):
            market.storage.send(function, deal.id, 3, sender=client.address)
    for function in ("finish_rail", "abandon"):
        with refused("storage: no such column"):
            market.storage.send(function, 9, sender=client.address)
    for view in ("rail_column", "column_of"):
        with refused("storage: no such column"):
            market.storage.call(view, 4)
    with refused("storage: no such column"):
        market.storage.send("finish_rail", 4, sender=watcher.address)
    with refused("storage: no such column"):
        market.storage.call("accepted", 4, 0)


# Renewal


def renewal(market: Market, deal: Any, nodes: list[Node], **other: Any) -> list[dict[str, Any]]:
    term_end = other.pop("term_end", deal.term_end + PERIOD)
    return [
        market.acceptance(node, piece, term_end, **other)
        for node, piece in zip(nodes, deal.roots, strict=True)
    ]


def renew(market: Market, deal: Any, given: list[Any], *, by: Any = client, more: int = 1) -> Any:
    term_end = deal.term_end + more * PERIOD
    return market.storage.send("renew", deal.id, term_end, given, sender=by.address)


def test_a_deal_is_prolonged_by_all_its_nodes(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes, periods=4)
    given = renewal(market, deal, nodes)
    outcome = renew(market, deal, given)
    assert outcome.one("DealRenewed").args == {"deal": 1, "term_end": deal.term_end + PERIOD}
    assert market.deal(deal).term_end == deal.term_end + PERIOD
    market.live_periods(3, nodes)
    market.to_period(market.period + 1)
    with refused("storage: column is active"):
        market.finish(deal)
    market.round()
    market.prove_all(nodes)
    market.to_period(market.period + 2)
    market.finish(deal)
    assert market.rail(1).accepted == 4 * PERIOD


@pytest.mark.parametrize("past_opening", [10**6, FOR_EVER])
def test_a_mandate_lasts_as_much_longer_as_its_deal(
    market: Market, nodes: list[Node], past_opening: int
) -> None:
    expiry = min(market.chain.now + past_opening, FOR_EVER)
    deal = market.open(nodes, mandate={"expiry": expiry})
    renew(market, deal, renewal(market, deal, nodes))
    assert market.deal(deal).mandate.expiry == min(expiry + PERIOD, FOR_EVER)


def test_a_renewal_needs_the_client_and_every_node(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes)
    given = renewal(market, deal, nodes)
    with refused("storage: not the client"):
        renew(market, deal, given, by=mallory)
    for wrong in (given[:2], [*given, given[0]], []):
        with refused("storage: one acceptance for every active column"):
            renew(market, deal, wrong)
    with refused("storage: other node or price"):
        renew(market, deal, [given[1], given[0], given[2]])
    with refused("storage: other term"):
        renew(market, deal, given, more=2)
    with refused("storage: other node or price"):
        renew(market, deal, renewal(market, deal, nodes, price=PRICE + 1))
    with refused("storage: wrong acceptance"):
        renew(market, deal, renewal(market, deal, nodes, root=b"\x01" * 32))
    with refused("storage: acceptance expired"):
        renew(market, deal, renewal(market, deal, nodes, deadline=market.chain.now - 1))
    renew(market, deal, given)
    with refused("storage: term must grow"):
        renew(market, deal, given)


def test_a_renewal_stays_within_the_longest_term(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes)
    longest = market.chain.now + 10 * YEAR
    for term_end, reason in ((longest + 1, "term too long"), (longest, "")):
        given = renewal(market, deal, nodes, term_end=term_end)
        arguments = (deal.id, term_end, given)
        if reason:
            with refused(f"storage: {reason}"):
                market.storage.send("renew", *arguments, sender=client.address)
        else:
            market.storage.send("renew", *arguments, sender=client.address)


def test_a_single_column_is_renewed(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes[:1])
    renew(market, deal, renewal(market, deal, nodes[:1]))
    assert market.deal(deal).term_end == deal.term_end + PERIOD


def test_what_has_ended_is_not_renewed(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes, periods=3)
    given = renewal(market, deal, nodes)
    with market.chain.anchor():
        market.storage.send("close", deal.id, sender=client.address)
        with refused("storage: deal is over"):
            renew(market, deal, given)
    market.chain.warp_to(deal.term_end - 1)
    with market.chain.anchor():
        renew(market, deal, renewal(market, deal, nodes))
    market.chain.warp(1)
    with refused("storage: deal is over"):
        renew(market, deal, renewal(market, deal, nodes))


def test_a_column_that_left_is_not_asked_to_renew(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes)
    market.notice(nodes[1])
    market.live_periods(2, nodes)
    market.chain.warp(PERIOD)
    market.storage.send("exit", deal.id, 1, sender=nodes[1].address)
    term_end = deal.term_end + PERIOD
    given = [market.acceptance(nodes[i], deal.roots[i], term_end) for i in (0, 2)]
    renew(market, deal, given)


def test_nothing_is_renewed_where_nothing_is_held(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes[:1])
    market.notice(nodes[0])
    market.chain.warp(2 * PERIOD)
    market.storage.send("exit", deal.id, 0, sender=nodes[0].address)
    with refused("storage: no active column"):
        renew(market, deal, [])


# Closing


def test_only_the_client_closes_and_once(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes)
    for sender in (mallory, nodes[0].key, guardian):
        with refused("storage: not the client"):
            market.storage.send("close", deal.id, sender=sender.address)
    outcome = market.storage.send("close", deal.id, sender=client.address)
    assert outcome.one("DealClosed").deal == deal.id
    assert [(e.slot, e.node, e.reason) for e in outcome.named("ColumnEnded")] == [
        (slot, node.address, 1) for slot, node in enumerate(nodes)
    ]
    assert market.deal(deal).closed_at == market.chain.now
    with refused("storage: deal is closed"):
        market.storage.send("close", deal.id, sender=client.address)


def test_a_closed_deal_runs_out_with_the_lockup(market: Market, nodes: list[Node]) -> None:
    deal = market.open(nodes)
    market.live_periods(2, nodes)
    market.storage.send("close", deal.id, sender=client.address)
    end = market.chain.now + 10 * PERIOD
    assert market.column(deal).ended_at == market.rail(1).end_at == end
    assert market.column(deal).state == 2
    with refused("storage: rail runs on"):
        market.finish(deal)
    with refused("storage: deal is over"):
        market.replace(deal, 0, market.node("four"), by=client)
    market.live_periods(9, nodes)
    market.chain.warp_to(end - 1)
    with refused("storage: rail runs on"):
        market.finish(deal)
    market.chain.warp(1)
    market.next_round()
    market.prove_all(nodes)
    market.to_period(market.period + 1)
    outcome = market.finish(deal)
    finished = {"deal": 1, "slot": 0, "rail": 1, "compensation": 0}
    assert outcome.one("ColumnFinished").args == finished
    rail = market.rail(1)
    assert (rail.accepted, rail.settled_at, rail.closed) == (11 * PERIOD, end, True)
    assert signer("owner one").address == rail.payee


# Who calls


@pytest.fixture
def caller(market: Market) -> Puppet:
    """A contract that is a client; alice sends its transactions."""
    made = market.world.puppet()
    token, payments = market.world.token, market.world.payments
    market.world.fund(made.address, 1_000 * TOKEN)
    made.act(token, "approve", payments.address, 1_000 * TOKEN)
    made.act(payments, "deposit", token.address, made.address, 1_000 * TOKEN)
    made.act(payments, "approve_market", token.address, market.storage.address, 2**200, 2**100)
    return made


def test_a_contract_is_a_client_like_any_other(
    market: Market, nodes: list[Node], caller: Puppet
) -> None:
    """The client is who calls, not who sent the transaction."""
    piece = merkle.sample(0)
    term_end = market.chain.now + 20 * PERIOD
    own: dict[str, Any] = {"client": caller.address, "mover": caller.address}
    first = market.acceptance(nodes[0], piece, term_end, **own)
    deal = caller.act(market.storage, "open", market.request([piece]), [first]).value
    assert market.storage.call("deal", deal).client == caller.address
    again = market.acceptance(nodes[0], piece, term_end + PERIOD, **own)
    with refused("storage: not the client"):
        market.storage.send("renew", deal, term_end + PERIOD, [again], sender=alice.address)
    caller.act(market.storage, "renew", deal, term_end + PERIOD, [again])
    moved = market.acceptance(nodes[1], piece, term_end + PERIOD, **own)
    with refused("storage: column is sound"):
        market.storage.send("replace", deal, 0, moved, sender=alice.address)
    outcome = caller.act(market.storage, "replace", deal, 0, moved)
    assert outcome.one("ColumnReplaced").replacer == ZERO
    with refused("storage: not the client"):
        market.storage.send("close", deal, sender=alice.address)
    caller.act(market.storage, "close", deal)


def test_the_moves_of_a_contract_are_those_of_the_client_that_it_is(
    market: Market, nodes: list[Node], caller: Puppet
) -> None:
    own: dict[str, Any] = {"client": caller.address, "mover": caller.address}
    pieces = [merkle.sample(i) for i in range(3)]
    end = market.chain.now + 20 * PERIOD
    given = [
        market.acceptance(node, piece, end, **own)
        for node, piece in zip(nodes, pieces, strict=True)
    ]
    request = market.request(pieces, mandate={**MANDATE, "repairs": 3})
    deal = caller.act(market.storage, "open", request, given).value
    new = [market.node(f"new {i}") for i in range(5)]

    def move(slot: int, to: Node) -> None:
        moved = market.acceptance(to, pieces[slot], end, **own)
        caller.act(market.storage, "replace", deal, slot, moved)

    def take(slot: int, to: Node) -> None:
        moved = market.acceptance(to, pieces[slot], end, **{**own, "mover": watcher.address})
        market.storage.send("replace", deal, slot, moved, sender=watcher.address)

    move(0, new[0])
    move(1, new[1])
    for node in (nodes[2], *new[:2]):
        market.notice(node)
    take(2, new[2])
    take(0, new[3])
    with refused("storage: too many unproven moves"):
        take(1, new[4])
    move(1, new[4])


def test_a_contract_that_the_client_calls_is_a_stranger(
    market: Market, nodes: list[Node], caller: Puppet
) -> None:
    deal = market.open(nodes[:2])
    new = [market.node(f"new {i}") for i in range(2)]
    for node in nodes[:2]:
        market.notice(node)
    market.replace(deal, 0, new[0])
    moved = market.acceptance(new[1], deal.roots[1], deal.term_end, mover=caller.address)
    data = market.storage.data("replace", deal.id, 1, moved)
    with refused("storage: too many unproven moves"):
        caller.contract.send("run", market.storage.address, data, sender=client.address)


def test_a_contract_moves_columns_for_itself(
    market: Market, nodes: list[Node], caller: Puppet
) -> None:
    deal = market.open(nodes[:2])
    market.notice(nodes[0])
    moved = market.acceptance(nodes[2], deal.roots[0], deal.term_end, mover=caller.address)
    outcome = caller.act(market.storage, "replace", deal.id, 0, moved)
    assert outcome.one("ColumnReplaced").replacer == caller.address


def test_a_contract_that_a_node_calls_is_not_the_node(
    market: Market, nodes: list[Node], caller: Puppet
) -> None:
    deal = market.open(nodes[:1])
    market.notice(nodes[0])
    market.chain.warp(2 * PERIOD)
    data = market.storage.data("exit", deal.id, 0)
    for sender in (nodes[0].address, nodes[0].owner.address):
        with refused("storage: not the node or its owner"):
            caller.contract.send("run", market.storage.address, data, sender=sender)


# Re-entrance


EMPTY = {
    "object_id": bytes(32),
    "token": ZERO,
    "k": 0,
    "size": 0,
    "height": 0,
    "roots": [],
    "mandate": MANDATE,
    "locator": b"",
}
NOBODY = {
    "node": ZERO,
    "price": 0,
    "term_end": 0,
    "deadline": 0,
    "nonce": 0,
    "signature": b"",
}


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("open", (EMPTY, [])),
        ("renew", (9, 0, [])),
        ("close", (9,)),
        ("exit", (9, 0)),
        ("replace", (9, 0, NOBODY)),
        ("claim_repair", (9, 0)),
        ("finish", (9, 0)),
        ("finish_rail", (9,)),
        ("abandon", (9,)),
    ],
)
def test_nothing_is_entered_again(
    chain: Chain, market: Market, nodes: list[Node], function: str, arguments: tuple[Any, ...]
) -> None:
    """Payments that call back meet the lock: a refusal without the reason that each would give."""
    evil = chain.deploy_artifact(fake("reenterer"), sender=alice.address)
    names = ("pdp", "beacon", "faults", "governor")
    twin = chain.deploy(
        "storage",
        market.storage.call("registry"),
        evil.address,
        *[market.storage.call(name) for name in names],
        NETWORK_ID,
        sender=alice.address,
    )
    with pytest.raises(Reverted, match="storage: "):
        twin.send(function, *arguments, sender=client.address)
    evil.send("aim", twin.address, twin.data(function, *arguments), sender=alice.address)
    piece = merkle.sample(0)
    acceptance = market.acceptance(nodes[0], piece, market.chain.now + PERIOD)
    with refused(""):
        twin.send("open", market.request([piece]), [acceptance], sender=client.address)
