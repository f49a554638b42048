"""Subnets: deployment, opening and closing, rules over time, and what is refused."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from contracts.evm import ZERO, Chain
from contracts.subnets import (
    ENTRY,
    EPOCH,
    GRAIN,
    LOCK,
    RULES,
    SALT,
    TASK,
    TERMS,
    URI,
    Arena,
    deploy_arena,
    deploy_around,
    deploy_subnet,
    founder,
    row_of,
    word_of,
)
from contracts.world import MAX, TOKEN, World, alice, guardian, mallory, refused
from freehold.economics.pricing import Terms as PriceTerms
from freehold.economics.pricing import decayed, raised
from freehold.ledger.contracts.subnet import Entry, Rules, entry_of, rules_of

STAKE_PURPOSE, UNSTAKE, DEPOSIT, BURN = 11, 12, 1, 6


@pytest.fixture
def arena(chain: Chain) -> Arena:
    return deploy_arena(chain)


@pytest.fixture
def digits(arena: Arena) -> int:
    """A subnet of four uids."""
    return int(arena.create().value)


# Deployment


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"token": alice.address}, "subnet: no code"),
        ({"registry": alice.address}, "subnet: no code"),
        ({"staking": alice.address}, "subnet: no code"),
        ({"issuance": alice.address}, "subnet: no code"),
        ({"prizes": alice.address}, "subnet: no code"),
        ({"governor": ZERO}, "subnet: no governor"),
        ({"genesis": 1}, "subnet: other epochs"),
        ({"epoch_length": EPOCH - 1}, "subnet: other epochs"),
        ({"terms": {"lock": 2**96 + 1}}, "subnet: lock out of bounds"),
        ({"terms": {"notice": 1}}, "subnet: notice out of bounds"),
        ({"terms": {"notice": 65}}, "subnet: notice out of bounds"),
        ({"terms": {"share_bps": 0}}, "subnet: share out of bounds"),
        ({"terms": {"share_bps": 9_001}}, "subnet: share out of bounds"),
        ({"terms": {"lowest": 0}}, "pricing: lowest out of bounds"),
    ],
)
def test_what_cannot_be_deployed(world: World, changes: dict[str, Any], reason: str) -> None:
    issuance, prizes = deploy_around(world)
    changes = {"issuance": issuance.address, "prizes": prizes.address, **changes}
    if "terms" in changes:
        changes["terms"] = {**asdict(TERMS), **changes["terms"]}
    with refused(reason):
        deploy_subnet(world, **changes)


def test_epochs_must_be_those_of_issuance_and_roots(world: World) -> None:
    old_issuance, old_prizes = deploy_around(world)
    world.chain.warp(10)
    issuance, prizes = deploy_around(world)
    for first, second in ((old_issuance, prizes), (issuance, old_prizes)):
        with refused("subnet: other epochs"):
            deploy_subnet(world, issuance=first.address, prizes=second.address)
    with refused("subnet: genesis lies ahead"):
        deploy_subnet(
            world, issuance=issuance.address, prizes=prizes.address, genesis=world.chain.now + 1
        )
    edges = {**asdict(TERMS), "lock": 2**96, "notice": 64, "share_bps": 9_000}
    deploy_subnet(world, issuance=issuance.address, prizes=prizes.address, terms=edges)
    edges = {**edges, "lock": 0, "notice": 2, "share_bps": 1}
    deploy_subnet(world, issuance=issuance.address, prizes=prizes.address, terms=edges)


def test_stake_stays_for_an_epoch_at_least(world: World) -> None:
    issuance, prizes = deploy_around(world)
    told = (world.token.address, world.registry.address, world.governor.address)
    around = {"issuance": issuance.address, "prizes": prizes.address}
    short, just = (
        world.chain.deploy("staking", *told, seconds, sender=guardian.address).address
        for seconds in (EPOCH - 1, EPOCH)
    )
    with refused("subnet: stake moves too fast"):
        deploy_subnet(world, **around, staking=short)
    deploy_subnet(world, **around, staking=just)


def test_describes_itself(arena: Arena) -> None:
    subnet, world = arena.subnet, arena.world
    for name, told in (
        ("token", world.token.address),
        ("registry", world.registry.address),
        ("staking", world.staking.address),
        ("issuance", arena.issuance.address),
        ("prizes", arena.prizes.address),
        ("governor", world.governor.address),
        ("judge", arena.pruner.address),
        ("epoch_length", EPOCH),
        ("genesis", arena.chain.now),
        ("terms", asdict(TERMS)),
        ("GRAIN", GRAIN),
        ("MAX_SPAN", 1_024),
    ):
        assert subnet.call(name) == told


def test_the_judge_is_named_once_by_the_governor(world: World) -> None:
    issuance, prizes = deploy_around(world)
    subnet = deploy_subnet(world, issuance=issuance.address, prizes=prizes.address)
    with refused("subnet: not the governor"):
        subnet.send("set_judge", issuance.address, sender=guardian.address)
    with pytest.raises(Exception, match="subnet: no code"):
        world.setup(subnet, "set_judge", alice.address)
    done = world.setup(subnet, "set_judge", issuance.address)
    assert done.one("JudgeSet").judge == issuance.address
    with pytest.raises(Exception, match="subnet: the judge is named"):
        world.setup(subnet, "set_judge", prizes.address)


def test_the_governor_pauses_new_business_only(arena: Arena, digits: int) -> None:
    hot = arena.validator("v")
    uid = arena.enter(digits, hot).value
    with refused("subnet: not the governor"):
        arena.subnet.send("set_paused", True, sender=guardian.address)
    assert arena.world.setup(arena.subnet, "set_paused", True).one("PausedSet").paused
    with refused("subnet: paused"):
        arena.create("other")
    with refused("subnet: paused"):
        arena.enter(digits, arena.node("m"))
    arena.weigh(digits, uid, row_of({0: 1}), by=hot)
    arena.subnet.send("close", digits, sender=founder.address)
    arena.world.setup(arena.subnet, "set_paused", False)
    arena.create("other")


# Opening and closing


def test_a_subnet_burns_its_price_and_locks(arena: Arena) -> None:
    before = arena.world.balance(founder.address)
    done = arena.create()
    assert done.value == 1
    told = done.one("Created").args
    assert told == {
        "subnet": 1,
        "owner": founder.address,
        "name": word_of("digits"),
        "max_nodes": 4,
        "uri": URI,
        "burned": TERMS.lowest,
        "lock": LOCK,
    }
    set_at = done.one("RulesSet")
    assert (set_at.subnet, set_at.from_epoch, set_at.revision) == (1, 0, 0)
    assert (rules_of(set_at.rules), entry_of(set_at.entry)) == (RULES, ENTRY)
    assert set_at.task == asdict(TASK)
    moved = [(e.sender, e.recipient, e.amount, e.purpose) for e in done.named("Movement")]
    assert moved == [
        (founder.address, ZERO, TERMS.lowest, BURN),
        (founder.address, arena.subnet.address, LOCK, STAKE_PURPOSE),
    ]
    assert before - arena.world.balance(founder.address) == TERMS.lowest + LOCK
    assert arena.money(arena.subnet) == arena.subnet.call("locked") == LOCK
    assert arena.subnet.call("subnet_of", 1) == {
        "owner": founder.address,
        "created_at": arena.chain.now,
        "closing": 0,
        "max_nodes": 4,
        "nodes": 0,
        "lock": LOCK,
        "revisions": 1,
    }
    assert arena.subnet.call("rules_at", 1, 0) == asdict(RULES)
    assert arena.subnet.call("entry_at", 1, 10**6) == asdict(ENTRY)
    assert arena.subnet.call("task_at", 1, 0) == asdict(TASK)
    assert arena.subnet.call("id_of", word_of("digits")) == 1
    assert arena.subnet.call("name_of", 1) == word_of("digits")
    assert arena.subnet.call("uri_of", 1) == URI
    assert arena.subnet.call("count") == 1


def test_the_price_of_a_subnet_moves(arena: Arena) -> None:
    terms = PriceTerms(TERMS.lowest, TERMS.highest, TERMS.half_life, TERMS.factor_bps)
    price = TERMS.lowest
    for number in range(1, 4):
        assert arena.subnet.call("creation_price") == price
        with refused("subnet: the price is higher"):
            arena.create(f"s{number}", most=price - 1)
        done = arena.create(f"s{number}", most=price)
        assert (done.value, done.one("Created").burned) == (number, price)
        price = raised(price, factor_bps=terms.factor_bps, highest=terms.highest)
    arena.chain.warp(5_000)
    fallen = decayed(price, 5_000, half_life=terms.half_life, lowest=terms.lowest)
    assert arena.subnet.call("creation_price") == fallen < price


def test_without_a_lock_nothing_moves(world: World) -> None:
    issuance, prizes = deploy_around(world)
    told = {"issuance": issuance.address, "prizes": prizes.address}
    subnet = deploy_subnet(world, **told, terms=asdict(replace(TERMS, lock=0)))
    arena = Arena(world, issuance, prizes, subnet, subnet)
    arena.enrich(founder)
    assert len(arena.create().named("Movement")) == 1
    subnet.send("close", 1, sender=founder.address)
    arena.next(5)
    with refused("subnet: nothing is locked"):
        subnet.send("unlock", 1, sender=founder.address)


@pytest.mark.parametrize(
    "name", ["", "-a", "1a", "Digits", "di gits", "a_", "a.b", "a/b", "a:", "a{", "`", "{", "a\0b"]
)
def test_names_are_plain(arena: Arena, name: str) -> None:
    with refused("subnet: malformed name"):
        arena.create(name)


def test_names_are_taken_once(arena: Arena) -> None:
    for name in ("a", "z", "a-0", "a9z", "x" * 32, "a" + "-" * 31):
        arena.create(name)
        with refused("subnet: the name is taken"):
            arena.create(name, by=alice)


BAD_RULES = [
    {"max_validators": 0},
    {"max_validators": 257},
    {"immunity": 90 * 86_400 + 1},
    {"kappa": 65_536},
    {"bonds_penalty": 65_536},
    {"bonds_ema_ppm": 10**6 + 1},
    {"yuma3": False, "liquid": True},
    {"liquid_low": 9, "liquid_high": 8},
    {"liquid_high": 65_536},
    {"steepness": 10_001},
    {"min_stake": 2**60},
    {"owner_bps": 1_801},
]
EDGES = {
    "max_validators": 256,
    "immunity": 90 * 86_400,
    "kappa": 65_535,
    "bonds_penalty": 65_535,
    "bonds_ema_ppm": 10**6,
    "yuma3": True,
    "liquid": True,
    "liquid_low": 65_535,
    "liquid_high": 65_535,
    "steepness": 10_000,
    "min_stake": 2**60 - 1,
    "owner_bps": 1_800,
}
LEAST = {**dict.fromkeys(EDGES, 0), "yuma3": False, "liquid": False, "max_validators": 1}


@pytest.mark.parametrize("change", BAD_RULES)
def test_rules_have_hard_bounds(arena: Arena, digits: int, change: dict[str, Any]) -> None:
    rules = {**asdict(RULES), **change}
    with refused("subnet: rules out of bounds"):
        arena.create("other", rules=rules)
    with refused("subnet: rules out of bounds"):
        arena.revise(digits, 2, rules=rules)


@pytest.mark.parametrize("rules", [EDGES, LEAST, {**EDGES, "liquid": False}])
def test_rules_at_their_bounds_are_kept(arena: Arena, rules: dict[str, Any]) -> None:
    done = arena.create("edges", rules=rules, max_nodes=4_096)
    id = done.value
    assert rules_of(done.one("RulesSet").rules) == Rules(**rules)
    assert arena.subnet.call("rules_at", id, 0) == rules
    assert arena.subnet.call("subnet_of", id).max_nodes == 4_096


def test_each_rule_has_a_place_of_its_own(arena: Arena) -> None:
    for name, value in EDGES.items():
        rules = {**LEAST, name: value}
        if name in ("liquid", "liquid_low"):
            rules |= {"yuma3": True, "liquid_high": 65_535}
        done = arena.create(name.replace("_", "-"), rules=rules)
        assert arena.subnet.call("rules_at", done.value, 0) == rules
        assert asdict(rules_of(done.one("RulesSet").rules)) == rules


def test_nodes_entry_and_task_are_checked(arena: Arena, digits: int) -> None:
    for nodes in (0, 4_097):
        with refused("subnet: nodes out of bounds"):
            arena.create("other", max_nodes=nodes)
    for task in ({"schema": bytes(32)}, {"scorer": bytes(32)}):
        with refused("subnet: no task"):
            arena.create("other", task={**asdict(TASK), **task})
        with refused("subnet: no task"):
            arena.revise(digits, 2, task={**asdict(TASK), **task})
    with refused("pricing: factor out of bounds"):
        arena.create("other", entry={**asdict(ENTRY), "factor_bps": 10_000})
    with refused("pricing: lowest out of bounds"):
        arena.revise(digits, 2, entry={**asdict(ENTRY), "lowest": 0})
    high = {"lowest": 2**96 - 1, "highest": 2**96 - 1, "half_life": 3_660 * 86_400}
    id = arena.create("other", entry={**high, "factor_bps": 10**6}, max_nodes=1).value
    assert arena.subnet.call("entry_at", id, 0) == {**high, "factor_bps": 10**6}


def test_a_subnet_ends_after_notice(arena: Arena, digits: int) -> None:
    hot = arena.validator("v")
    uid = arena.enter(digits, hot).value
    subnet, row = arena.subnet, row_of({0: 1})
    with refused("subnet: not the owner"):
        subnet.send("close", digits, sender=alice.address)
    with refused("subnet: not ended"):
        subnet.send("unlock", digits, sender=founder.address)
    arena.chain.warp(EPOCH // 2)
    done = subnet.send("close", digits, sender=founder.address)
    closing = arena.epoch + 1 + TERMS.notice
    assert done.one("Closing").args == {"subnet": digits, "epoch": closing}
    assert done.value == subnet.call("subnet_of", digits).closing == closing
    with refused("subnet: closing"):
        subnet.send("close", digits, sender=founder.address)
    with refused("subnet: closing"):
        arena.enter(digits, arena.node("late"))
    arena.next(TERMS.notice - 1)
    arena.weigh(digits, uid, row, by=hot)
    assert arena.epoch == closing - 1
    arena.commit(digits, uid, row, by=hot)
    with refused("subnet: not ended"):
        subnet.send("unlock", digits, sender=founder.address)
    arena.next()
    for function, told in (
        ("commit", (digits, uid, b"\1" * 32)),
        ("reveal", (digits, uid, row, SALT)),
        ("record", (digits, uid)),
        ("grant", (digits, GRAIN, 1)),
        ("register", (digits, hot.address, MAX)),
    ):
        with refused("subnet: ended"):
            subnet.send(function, *told, sender=hot.address)
    before = arena.world.balance(founder.address)
    done = subnet.send("unlock", digits, sender=mallory.address)
    moved = done.one("Movement")
    assert (moved.sender, moved.recipient) == (subnet.address, founder.address)
    assert (done.value, moved.amount, moved.purpose) == (LOCK, LOCK, UNSTAKE)
    assert done.one("Unlocked").args == {"subnet": digits, "owner": founder.address, "amount": LOCK}
    assert arena.world.balance(founder.address) == before + LOCK
    assert arena.money(subnet) == subnet.call("locked") == 0
    assert subnet.call("subnet_of", digits).lock == 0
    assert subnet.call("subnet_of", digits).revisions == 1
    with refused("subnet: nothing is locked"):
        subnet.send("unlock", digits, sender=founder.address)


def test_unknown_subnets_are_refused(arena: Arena) -> None:
    subnet = arena.subnet
    for view in (("subnet_of", 1), ("price", 1), ("rules_at", 1, 0), ("entry_at", 1, 0),
                 ("task_at", 1, 0), ("seats", 1, 0), ("records", 1, 0, 0)):  # fmt: skip
        with refused("subnet: no such subnet"):
            subnet.call(*view)
    for call in (("register", 1, alice.address, 1), ("commit", 1, 0, b"\1" * 32), ("close", 1),
                 ("reveal", 1, 0, b"", SALT), ("record", 1, 0), ("grant", 1, GRAIN, 1),
                 ("set_uri", 1, ""), ("unlock", 1)):  # fmt: skip
        with refused("subnet: no such subnet"):
            subnet.send(*call, sender=alice.address)
    with refused("subnet: no such subnet"):
        arena.revise(0, 2)


def test_a_contract_may_own_a_subnet(arena: Arena) -> None:
    """Whoever pays for the transaction says nothing: only the caller counts."""
    puppet = arena.world.puppet()
    arena.world.fund(puppet.address, 10**6 * TOKEN)
    puppet.act(arena.world.token, "approve", arena.subnet.address, MAX)
    told = (word_of("p"), 4, asdict(RULES), asdict(ENTRY), asdict(TASK), URI, MAX)
    done = puppet.act(arena.subnet, "create", *told)
    assert done.one("Created").owner == puppet.address
    assert done.named("Movement")[1].sender == puppet.address
    puppet.act(arena.subnet, "grant", 1, GRAIN, 1)
    mine = arena.create("mine", by=alice).value
    with pytest.raises(Exception, match="not the owner"):
        puppet.act(arena.subnet, "close", mine)
    hot = arena.node("hot")
    with pytest.raises(Exception, match="not the owner"):
        puppet.act(arena.subnet, "register", mine, hot.address, MAX)


# Rules over time


def test_rules_change_from_a_later_epoch_on(arena: Arena, digits: int) -> None:
    subnet, new = arena.subnet, {**asdict(RULES), "kappa": 40_000, "owner_bps": 500}
    now = arena.next(3)
    with refused("subnet: not the owner"):
        arena.revise(digits, now + 2, by=alice)
    with refused("subnet: too soon"):
        arena.revise(digits, now + 1)
    with refused("subnet: too far ahead"):
        arena.revise(digits, now + 2**32 + 1)
    entry, task = {**asdict(ENTRY), "lowest": 7}, {"schema": b"\3" * 32, "scorer": b"\4" * 32}
    done = arena.revise(digits, now + 2, rules=new, entry=entry, task=task)
    set_at = done.one("RulesSet")
    assert (set_at.subnet, set_at.from_epoch, set_at.revision) == (digits, now + 2, 1)
    assert rules_of(set_at.rules) == Rules(**new)
    assert (entry_of(set_at.entry), set_at.task) == (Entry(**entry), task)
    for _ in range(3):
        assert subnet.call("rules_at", digits, now + 1) == asdict(RULES)
        assert subnet.call("task_at", digits, now + 1) == asdict(TASK)
        assert subnet.call("rules_at", digits, now + 2) == new
        assert subnet.call("entry_at", digits, now + 2) == entry
        assert subnet.call("task_at", digits, now + 9) == task
        arena.next()
    assert subnet.call("subnet_of", digits).lock == LOCK
    with refused("subnet: the owner's part rises"):
        arena.revise(digits, now + 9)


def test_a_change_that_is_far_ahead_is_replaced(arena: Arena, digits: int) -> None:
    def kappa(value: int) -> dict[str, Any]:
        return {**asdict(RULES), "kappa": value}

    subnet = arena.subnet
    arena.revise(digits, 5, rules={**kappa(5), "owner_bps": 0})
    done = arena.revise(digits, 2, rules=kappa(2))
    assert done.one("RulesSet").revision == 1
    arena.next()
    done = arena.revise(digits, 3, rules=kappa(3))
    assert done.one("RulesSet").revision == 2
    arena.next(2)
    arena.revise(digits, 7, rules=kappa(7))
    assert subnet.call("subnet_of", digits).revisions == 4
    found = [subnet.call("rules_at", digits, epoch).kappa for epoch in range(9)]
    usual = RULES.kappa
    assert found == [usual, usual, 2, 3, 3, 3, 3, 7, 7]


def test_rules_before_the_first_epoch_are_refused(arena: Arena) -> None:
    arena.next(2)
    id = arena.create().value
    with refused("subnet: before its first epoch"):
        arena.subnet.call("rules_at", id, 1)


def test_many_revisions_are_found(arena: Arena, digits: int) -> None:
    for number in range(1, 12):
        arena.revise(digits, arena.epoch + 2, rules={**asdict(RULES), "kappa": number})
        arena.next(2)
    found = [arena.subnet.call("rules_at", digits, epoch).kappa for epoch in range(24)]
    assert found == [RULES.kappa] * 2 + [n for n in range(1, 11) for _ in range(2)] + [11, 11]


def test_documents_move_at_once(arena: Arena, digits: int) -> None:
    with refused("subnet: not the owner"):
        arena.subnet.send("set_uri", digits, "x", sender=alice.address)
    done = arena.subnet.send("set_uri", digits, "ipfs://x", sender=founder.address)
    assert done.one("UriSet").args == {"subnet": digits, "uri": "ipfs://x"}
    assert arena.subnet.call("uri_of", digits) == "ipfs://x"
