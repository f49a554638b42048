"""The registry: consent of the node key, ownership for ever, session keys."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.evm import NETWORK_ID, ZERO, Chain, Signer, signer
from contracts.world import (
    CONSENT,
    FREE,
    TOKEN,
    World,
    alice,
    bob,
    carol,
    deploy_world,
    guardian,
    mallory,
    node,
    refused,
)
from freehold.economics.pricing import Price, Terms

YEAR = 366 * 86_400
TERMS = (10**17, 10**22, 3_600, 11_000)


def consent_of(world: World, hot: Signer, by: str, /, **changes: Any) -> bytes:
    message = {
        "node": hot.address,
        "owner": by,
        "generation": 1,
        "deadline": world.chain.now + 600,
    }
    return hot.sign(world.registry.domain(), CONSENT, {**message, **changes})


def register(world: World, consent: bytes, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "node": node.address,
        "roles": 1,
        "endpoint": "https://n",
        "tls": b"\1" * 32,
        "info": b"\2" * 32,
        "payout": carol.address,
        "deadline": world.chain.now + 600,
        "sender": alice.address,
        **changes,
    }
    sender = arguments.pop("sender")
    return world.registry.send("register", *arguments.values(), consent, sender=sender)


def test_needs_a_governor(chain: Chain) -> None:
    with refused("registry: no governor"):
        chain.deploy("registry", NETWORK_ID, ZERO, ZERO, *FREE, sender=alice.address)


def test_a_price_needs_a_token_and_possible_terms(chain: Chain, world: World) -> None:
    def made(token: str, *terms: int) -> None:
        by = guardian.address
        chain.deploy("registry", NETWORK_ID, world.governor.address, token, *terms, sender=by)

    with refused("registry: token has no code"):
        made(ZERO, *TERMS)
    for place, name in enumerate(("lowest", "highest", "half-life", "factor")):
        terms = list(TERMS)
        terms[place] = 2**96 if name == "lowest" else 0
        with refused(f"pricing: {'lowest' if name == 'highest' else name} out of bounds"):
            made(world.token.address, *terms)
    made(world.token.address, *TERMS)
    made(ZERO, 0, 1, 2, 3)


def test_registers_with_the_consent_of_the_node(world: World) -> None:
    event = register(world, consent_of(world, node, alice.address)).one("NodeRegistered")
    expected = {
        "owner": alice.address,
        "payout": carol.address,
        "roles": 1,
        "generation": 1,
        "endpoint": "https://n",
        "tls": b"\1" * 32,
        "info": b"\2" * 32,
    }
    assert event.node == node.address
    for name, value in expected.items():
        assert event.args[name] == value
    stored = world.registry.call("node", node.address)
    assert stored == {**expected, "registered_at": world.chain.now, "retired": False}
    assert world.registry.call("count") == 1
    assert world.registry.call("at", 0) == node.address
    with refused("registry: no such place"):
        world.registry.call("at", 1)
    assert world.registry.call("owner_of", node.address) == alice.address
    assert world.registry.call("payout_of", node.address) == carol.address
    assert world.registry.call("network_id") == NETWORK_ID


@pytest.mark.parametrize(
    "change",
    [
        {"node": mallory.address},
        {"owner": mallory.address},
        {"generation": 2},
        {"generation": 0},
        {"deadline": 1},
    ],
)
def test_consent_binds_every_field(world: World, change: dict[str, Any]) -> None:
    with refused("registry: wrong consent"):
        register(world, consent_of(world, node, alice.address, **change))


def test_consent_of_another_key_or_network_is_refused(world: World) -> None:
    with refused("registry: wrong consent"):
        register(world, consent_of(world, mallory, alice.address, node=node.address))
    message = {
        "node": node.address,
        "owner": alice.address,
        "generation": 1,
        "deadline": world.chain.now + 600,
    }
    foreign = node.sign(world.registry.domain(network_id=b"\7" * 32), CONSENT, message)
    with refused("registry: wrong consent"):
        register(world, foreign)
    good = consent_of(world, node, alice.address)
    for bad in (good[:64], b"", good[:64] + b"\x1d"):
        with refused("registry: wrong consent"):
            register(world, bad)


def test_consent_expires(world: World) -> None:
    deadline = world.chain.now + 600
    consent = consent_of(world, node, alice.address)
    world.chain.warp(600)
    with world.chain.anchor():
        register(world, consent, deadline=deadline)
    world.chain.warp(1)
    with refused("registry: consent expired"):
        register(world, consent, deadline=deadline)


def test_roles_payout_and_node_are_checked(world: World) -> None:
    consent = consent_of(world, node, alice.address)
    for roles in (0, 64, 65):
        with refused("registry: unknown roles"):
            register(world, consent, roles=roles)
    with refused("registry: no payout"):
        register(world, consent, payout=ZERO)
    for wrong in (ZERO, alice.address):
        with refused("registry: wrong node"):
            register(world, consent, node=wrong)
    register(world, consent, roles=63)


def test_a_node_is_registered_once_and_owned_for_ever(world: World) -> None:
    register(world, consent_of(world, node, alice.address))
    again = consent_of(world, node, alice.address, generation=2)
    with refused("registry: already registered"):
        register(world, again)
    world.registry.send("retire", node.address, sender=alice.address)
    theirs = consent_of(world, node, mallory.address, generation=2)
    with refused("registry: owned by another"):
        register(world, theirs, sender=mallory.address)
    with refused("registry: wrong consent"):
        register(world, consent_of(world, node, alice.address))
    event = register(world, again).one("NodeRegistered")
    assert event.generation == 2
    assert world.registry.call("count") == 1
    assert world.registry.call("active", node.address, 1)


def test_two_nodes_have_two_places(world: World) -> None:
    world.register(alice, node)
    world.register(alice, bob)
    assert world.registry.call("count") == 2
    assert [world.registry.call("at", i) for i in range(2)] == [node.address, bob.address]


def test_active_means_in_service_with_every_role(world: World) -> None:
    assert not world.registry.call("active", node.address, 1)
    world.register(roles=5)
    for role, expected in ((1, True), (4, True), (5, True), (2, False), (3, False), (0, False)):
        assert world.registry.call("active", node.address, role) is expected
    world.registry.send("retire", node.address, sender=alice.address)
    assert not world.registry.call("active", node.address, 1)


def test_the_owner_updates(world: World) -> None:
    world.register()
    fields = (6, "https://new", b"\3" * 32, b"\4" * 32, bob.address)
    with refused("registry: not the owner"):
        world.registry.send("update", node.address, *fields, sender=mallory.address)
    with refused("registry: not the owner"):
        world.registry.send("update", node.address, *fields, sender=node.address)
    done = world.registry.send("update", node.address, *fields, sender=alice.address)
    event = done.one("NodeUpdated")
    assert (event.node, event.owner, event.generation) == (node.address, alice.address, 1)
    stored = world.registry.call("node", node.address)
    for found in (event, stored):
        assert (found.roles, found.endpoint, found.tls, found.info, found.payout) == fields
    with refused("registry: unknown roles"):
        world.registry.send("update", node.address, 0, *fields[1:], sender=alice.address)
    with refused("registry: no payout"):
        world.registry.send("update", node.address, *fields[:-1], ZERO, sender=alice.address)


def test_owner_or_node_announce_an_endpoint(world: World) -> None:
    world.register()
    for sender in (alice, node):
        endpoint = f"https://{sender.label}"
        event = world.registry.send(
            "announce", node.address, endpoint, b"\5" * 32, sender=sender.address
        ).one("NodeUpdated")
        assert (event.endpoint, event.tls) == (endpoint, b"\5" * 32)
        stored = world.registry.call("node", node.address)
        assert (stored.endpoint, stored.tls) == (endpoint, b"\5" * 32)
    with refused("registry: not the owner or the node"):
        world.registry.send("announce", node.address, "x", b"\5" * 32, sender=mallory.address)
    with refused("registry: unknown node"):
        world.registry.send("announce", bob.address, "x", b"\5" * 32, sender=bob.address)


def test_retiring_is_the_owners_and_final_for_updates(world: World) -> None:
    world.register()
    with refused("registry: not the owner"):
        world.registry.send("retire", node.address, sender=mallory.address)
    event = world.registry.send("retire", node.address, sender=alice.address).one("NodeRetired")
    assert (event.node, event.owner) == (node.address, alice.address)
    fields = (1, "x", b"\3" * 32, b"\4" * 32, bob.address)
    with refused("registry: retired"):
        world.registry.send("update", node.address, *fields, sender=alice.address)
    with refused("registry: retired"):
        world.registry.send("announce", node.address, "x", b"\5" * 32, sender=node.address)
    with refused("registry: retired"):
        world.registry.send("retire", node.address, sender=alice.address)


def test_an_unknown_node_has_no_owner(world: World) -> None:
    assert world.registry.call("owner_of", node.address) == ZERO
    assert world.registry.call("payout_of", node.address) == ZERO
    assert world.registry.call("node", node.address).generation == 0
    with refused("registry: not the owner"):
        world.registry.send("retire", node.address, sender=alice.address)
    with refused("registry: unknown node"):
        world.registry.send("retire", node.address, sender=ZERO)


def test_pausing_stops_registrations_only(world: World) -> None:
    world.register()
    with refused("registry: not the governor"):
        world.registry.send("set_paused", True, sender=mallory.address)
    done = world.governor.send("pause", world.registry.address, sender=guardian.address)
    assert done.one("PausedSet").paused is True
    with refused("registry: paused"):
        world.register(alice, bob)
    world.registry.send("announce", node.address, "x", b"\5" * 32, sender=node.address)
    world.registry.send("retire", node.address, sender=alice.address)


def test_session_keys_are_listed_bounded_and_revoked(world: World) -> None:
    registry, now = world.registry, world.chain.now
    event = registry.send("set_session", bob.address, 3, 100, now + 60, sender=alice.address).one(
        "SessionSet"
    )
    assert dict(event.args) == {
        "account": alice.address,
        "key": bob.address,
        "scope": 3,
        "cap": 100,
        "expiry": now + 60,
    }
    assert registry.call("session", alice.address, bob.address) == {
        "scope": 3,
        "cap": 100,
        "expiry": now + 60,
    }
    assert registry.call("session", bob.address, alice.address).expiry == 0
    event = registry.send("revoke_session", bob.address, sender=alice.address).one("SessionSet")
    assert (event.scope, event.cap, event.expiry) == (0, 0, 0)
    assert registry.call("session", alice.address, bob.address).expiry == 0


def test_session_keys_have_bounds(world: World) -> None:
    registry, now = world.registry, world.chain.now
    for key in (ZERO, alice.address):
        with refused("registry: wrong key"):
            registry.send("set_session", key, 1, 1, now + 60, sender=alice.address)
    with refused("registry: session expired"):
        registry.send("set_session", bob.address, 1, 1, now, sender=alice.address)
    with refused("registry: session too long"):
        registry.send("set_session", bob.address, 1, 1, now + YEAR + 1, sender=alice.address)
    for expiry in (now + 1, now + YEAR):
        registry.send("set_session", bob.address, 1, 1, expiry, sender=alice.address)


# The price of registering


def priced(chain: Chain) -> World:
    """A world whose registry takes a price, which alice can pay."""
    world = deploy_world(chain, entry=TERMS)
    world.fund(alice.address, 10**5 * TOKEN)
    world.token.send("approve", world.registry.address, 10**5 * TOKEN, sender=alice.address)
    return world


def held(world: World) -> tuple[int, int]:
    """What alice holds and what was ever burned."""
    return world.token.call("balanceOf", alice.address), world.token.call("burned")


def test_registering_burns_a_price_that_use_raises_and_time_lowers(chain: Chain) -> None:
    world = priced(chain)
    price = Price(Terms(*TERMS), TERMS[0], 0)
    names = ("lowest", "highest", "half_life", "factor_bps")
    assert tuple(world.registry.call(name) for name in names) == TERMS
    assert world.registry.call("token") == world.token.address
    for number, wait in enumerate((0, 0, 1, 5, 600, 3_600, 0, 7_201, 10**6, 0, 1)):
        chain.warp(wait)
        hot, (had, burned) = signer(f"hot {number}"), held(world)
        due = price.at(chain.now)
        assert world.registry.call("price") == due
        done = world.register(alice, hot)
        assert done.one("NodeRegistered").burned == due
        assert held(world) == (had - due, burned + due)
        price = price.used(chain.now)
        assert world.registry.call("price") == price.at(chain.now)
    assert world.registry.call("count") == 11


def test_a_price_stops_at_its_highest(chain: Chain) -> None:
    world = deploy_world(chain, entry=(1, 3, 60, 20_000))
    world.fund(alice.address, 9)
    world.token.send("approve", world.registry.address, 9, sender=alice.address)
    for number, due in enumerate((1, 2, 3, 3)):
        done = world.register(alice, signer(f"hot {number}"))
        assert done.one("NodeRegistered").burned == due
        assert held(world)[1] == (1, 3, 6, 9)[number]
    chain.warp(120)
    assert world.registry.call("price") == 1


def test_a_contract_that_owns_a_node_pays_itself(chain: Chain) -> None:
    """And not whoever sent the transaction, who approved the registry too."""
    world = priced(chain)
    owner, price = world.puppet(), world.registry.call("price")
    world.fund(owner.address, price)
    owner.act(world.token, "approve", world.registry.address, price)
    before = held(world)[0]
    consent = consent_of(world, node, owner.address)
    fields = (node.address, 1, "https://n", b"\1" * 32, b"\2" * 32, carol.address)
    owner.act(world.registry, "register", *fields, chain.now + 600, consent, price)
    assert world.token.call("balanceOf", owner.address) == 0
    assert held(world) == (before, price)


def test_an_owner_states_the_most_that_he_pays(chain: Chain) -> None:
    world = priced(chain)
    price = world.registry.call("price")
    consent = consent_of(world, node, alice.address)
    fields = (node.address, 1, "https://n", b"\1" * 32, b"\2" * 32, carol.address)

    def pay(most: int) -> Any:
        told = (*fields, chain.now + 600, consent, most)
        return world.registry.send("register", *told, sender=alice.address)

    with refused("registry: the price is higher"):
        pay(price - 1)
    with chain.anchor():
        world.register(alice, bob)
        with refused("registry: the price is higher"):
            pay(price)
    assert pay(price).one("NodeRegistered").burned == price


def test_too_few_tokens_or_too_little_allowance_registers_nobody(chain: Chain) -> None:
    world = priced(chain)
    price, registry = world.registry.call("price"), world.registry
    world.token.send("approve", registry.address, price - 1, sender=alice.address)
    with refused("token: allowance too low"):
        world.register()
    world.token.send("approve", registry.address, price, sender=alice.address)
    world.fund(bob.address, price - 1)
    world.token.send("approve", registry.address, price, sender=bob.address)
    with refused("token: balance too low"):
        world.register(bob)
    assert (registry.call("count"), registry.call("price")) == (0, price)
    world.register()
    assert world.token.call("allowance", alice.address, registry.address) == 0


def test_what_adds_nothing_to_the_list_is_free(chain: Chain) -> None:
    world = priced(chain)
    world.register()
    before, price = held(world), world.registry.call("price")
    fields = (1, "https://new", b"\3" * 32, b"\4" * 32, bob.address)
    world.registry.send("update", node.address, *fields, sender=alice.address)
    world.registry.send("announce", node.address, "x", b"\5" * 32, sender=node.address)
    world.registry.send("retire", node.address, sender=alice.address)
    again = consent_of(world, node, alice.address, generation=2)
    told = (node.address, *fields, chain.now + 600, again, 0)
    done = world.registry.send("register", *told, sender=alice.address)
    assert done.one("NodeRegistered").burned == 0
    assert (held(world), world.registry.call("price")) == (before, price)


def test_a_free_registry_touches_no_token(chain: Chain, world: World) -> None:
    for number in range(3):
        done = world.register(alice, signer(f"hot {number}"))
        assert [event.name for event in done.events] == ["NodeRegistered"]
        assert done.one("NodeRegistered").burned == 0
        assert world.registry.call("price") == 0
    deadline, consent = chain.now + 600, consent_of(world, node, alice.address)
    fields = (node.address, 1, "https://n", b"\1" * 32, b"\2" * 32, carol.address)
    world.registry.send("register", *fields, deadline, consent, 0, sender=alice.address)


def test_a_contract_acts_in_its_own_name(world: World) -> None:
    registry, puppet, other = world.registry, world.puppet(), world.puppet()
    deadline = world.chain.now + 600
    consent = consent_of(world, node, puppet.address)
    fields = ("https://n", b"\1" * 32, b"\2" * 32, carol.address)
    done = puppet.act(registry, "register", node.address, 1, *fields, deadline, consent)
    assert done.one("NodeRegistered").owner == puppet.address
    assert registry.call("owner_of", node.address) == puppet.address
    with refused("registry: not the owner"):
        other.act(registry, "update", node.address, 2, *fields)
    with refused("registry: not the owner or the node"):
        other.act(registry, "announce", node.address, "x", b"\1" * 32)
    with refused("registry: not the owner"):
        other.act(registry, "retire", node.address)
    updated = puppet.act(registry, "update", node.address, 2, *fields)
    assert updated.one("NodeUpdated").roles == 2
    puppet.act(registry, "announce", node.address, "x", b"\1" * 32)
    assert puppet.act(registry, "retire", node.address).one("NodeRetired").owner == puppet.address
    again = consent_of(world, node, puppet.address, generation=2)
    puppet.act(registry, "register", node.address, 1, *fields, deadline, again)
    assert registry.call("owner_of", node.address) == puppet.address
    puppet.act(registry, "set_session", bob.address, 1, 2, world.chain.now + 60)
    assert registry.call("session", puppet.address, bob.address).cap == 2
    with refused("registry: wrong key"):
        puppet.act(registry, "set_session", puppet.address, 1, 2, world.chain.now + 60)
    event = puppet.act(registry, "revoke_session", bob.address).one("SessionSet")
    assert event.account == puppet.address
    assert registry.call("session", puppet.address, bob.address).expiry == 0
    with refused("registry: wrong node"):
        puppet.act(registry, "register", puppet.address, 1, *fields, deadline, consent)
    with refused("registry: owned by another"):
        other.act(registry, "register", node.address, 1, *fields, deadline, consent)
    with refused("registry: not the governor"):
        puppet.act(registry, "set_paused", True)
