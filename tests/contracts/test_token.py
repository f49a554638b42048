"""The network token: conservation, the cap on what was ever minted, permits."""

from __future__ import annotations

import pytest

from contracts.evm import NETWORK_ID, ZERO, Chain
from contracts.world import (
    CAP,
    MAX,
    World,
    alice,
    bob,
    guardian,
    mallory,
    permit_of,
    refused,
)


@pytest.fixture
def funded(world: World) -> World:
    world.fund(alice.address, 100)
    return world


def test_describes_itself(world: World) -> None:
    token = world.token
    assert token.call("name") == "Freehold"
    assert token.call("symbol") == "FREE"
    assert token.call("decimals") == 18
    assert token.call("cap") == CAP
    assert token.call("network_id") == NETWORK_ID
    assert token.call("governor") == world.governor.address
    assert token.call("totalSupply") == 0


def test_refuses_to_be_deployed_without_cap_or_governor(chain: Chain) -> None:
    with refused("token: cap of zero"):
        chain.deploy("token", "F", "F", 0, NETWORK_ID, alice.address, sender=bob.address)
    with refused("token: no governor"):
        chain.deploy("token", "F", "F", 1, NETWORK_ID, ZERO, sender=bob.address)


def test_transfer_moves_and_conserves(funded: World) -> None:
    done = funded.token.send("transfer", bob.address, 40, sender=alice.address)
    assert done.value is True
    event = done.one("Transfer")
    assert (event.sender, event.receiver, event.value) == (alice.address, bob.address, 40)
    assert funded.balance(alice.address) == 60
    assert funded.balance(bob.address) == 40
    assert funded.token.call("totalSupply") == 100


def test_transfer_to_oneself_changes_nothing(funded: World) -> None:
    funded.token.send("transfer", alice.address, 100, sender=alice.address)
    assert funded.balance(alice.address) == 100


def test_transfer_of_more_than_the_balance_is_refused(funded: World) -> None:
    with refused("token: balance too low"):
        funded.token.send("transfer", bob.address, 101, sender=alice.address)
    funded.token.send("transfer", bob.address, 100, sender=alice.address)
    assert funded.balance(bob.address) == 100


def test_transfer_to_nobody_or_the_token_is_refused(funded: World) -> None:
    for receiver in (ZERO, funded.token.address):
        with refused("token: wrong receiver"):
            funded.token.send("transfer", receiver, 1, sender=alice.address)


def test_transfer_from_uses_up_the_allowance(funded: World) -> None:
    token = funded.token
    event = token.send("approve", bob.address, 50, sender=alice.address).one("Approval")
    assert (event.owner, event.spender, event.value) == (alice.address, bob.address, 50)
    with refused("token: allowance too low"):
        token.send("transferFrom", alice.address, bob.address, 51, sender=bob.address)
    assert token.send("transferFrom", alice.address, bob.address, 50, sender=bob.address).value
    assert token.call("allowance", alice.address, bob.address) == 0
    with refused("token: allowance too low"):
        token.send("transferFrom", alice.address, bob.address, 1, sender=bob.address)


def test_largest_allowance_is_not_used_up(funded: World) -> None:
    token = funded.token
    token.send("approve", bob.address, MAX, sender=alice.address)
    token.send("transferFrom", alice.address, bob.address, 50, sender=bob.address)
    assert token.call("allowance", alice.address, bob.address) == MAX
    token.send("approve", bob.address, MAX - 1, sender=alice.address)
    token.send("transferFrom", alice.address, bob.address, 50, sender=bob.address)
    assert token.call("allowance", alice.address, bob.address) == MAX - 51


def test_mint_reports_its_purpose(world: World) -> None:
    done = world.token.send("mint", alice.address, 7, 10, sender=guardian.address)
    event = done.one("Movement")
    assert (event.token, event.sender, event.recipient) == (
        world.token.address,
        ZERO,
        alice.address,
    )
    assert (event.amount, event.purpose) == (7, 10)
    assert done.one("Transfer").sender == ZERO
    assert world.token.call("minted") == 7


def test_mint_needs_a_minter_a_receiver_and_a_known_purpose(world: World) -> None:
    token = world.token
    with refused("token: not a minter"):
        token.send("mint", mallory.address, 1, 4, sender=mallory.address)
    for receiver in (ZERO, token.address):
        with refused("token: wrong receiver"):
            token.send("mint", receiver, 1, 4, sender=guardian.address)
    for purpose in (0, 18):
        with refused("token: unknown purpose"):
            token.send("mint", alice.address, 1, purpose, sender=guardian.address)
    for purpose in (1, 17):
        token.send("mint", alice.address, 1, purpose, sender=guardian.address)


def test_cap_binds_what_was_ever_minted(world: World) -> None:
    world.fund(alice.address, CAP)
    with refused("token: over the cap"):
        world.fund(alice.address, 1)
    world.token.send("burn", CAP, sender=alice.address)
    assert world.token.call("totalSupply") == 0
    assert world.token.call("burned") == CAP
    with refused("token: over the cap"):
        world.fund(alice.address, 1)


def test_burn_destroys_with_a_purpose(funded: World) -> None:
    done = funded.token.send("burn", 30, sender=alice.address)
    event = done.one("Movement")
    assert (event.sender, event.recipient, event.amount) == (alice.address, ZERO, 30)
    assert event.purpose == 6
    assert done.one("Transfer").receiver == ZERO
    assert funded.token.send("burn", 30, 7, sender=alice.address).one("Movement").purpose == 7
    assert funded.token.call("totalSupply") == 40
    assert funded.token.call("burned") == 60
    for purpose in (0, 18):
        with refused("token: unknown purpose"):
            funded.token.send("burn", 1, purpose, sender=alice.address)
    for purpose in (1, 17):
        funded.token.send("burn", 1, purpose, sender=alice.address)
    with refused("token: balance too low"):
        funded.token.send("burn", 39, sender=alice.address)


def test_burn_from_needs_the_allowance(funded: World) -> None:
    with refused("token: allowance too low"):
        funded.token.send("burn_from", alice.address, 1, sender=bob.address)
    funded.token.send("approve", bob.address, 10, sender=alice.address)
    done = funded.token.send("burn_from", alice.address, 10, sender=bob.address)
    assert done.one("Movement").purpose == 6
    assert funded.balance(alice.address) == 90
    assert funded.token.call("allowance", alice.address, bob.address) == 0


def test_only_the_governor_names_minters(world: World) -> None:
    with refused("token: not the governor"):
        world.token.send("set_minter", mallory.address, True, sender=mallory.address)
    done = world.setup(world.token, "set_minter", bob.address, True)
    assert (done.one("MinterSet").account, done.one("MinterSet").allowed) == (bob.address, True)
    assert world.token.call("minters", bob.address)
    world.setup(world.token, "set_minter", bob.address, False)
    with refused("token: not a minter"):
        world.token.send("mint", bob.address, 1, 4, sender=bob.address)


def test_permit_gives_an_allowance_once(funded: World) -> None:
    token, deadline = funded.token, funded.chain.now + 10
    signature = permit_of(token, alice, bob.address, 25, deadline)
    arguments = (alice.address, bob.address, 25, deadline, *signature)
    event = token.send("permit", *arguments, sender=mallory.address).one("Approval")
    assert event.value == 25
    assert token.call("nonces", alice.address) == 1
    assert token.call("allowance", alice.address, bob.address) == 25
    with refused("token: wrong signature"):
        token.send("permit", *arguments, sender=mallory.address)


def test_permit_expires(funded: World) -> None:
    token, deadline = funded.token, funded.chain.now + 10
    arguments = (alice.address, bob.address, 25, deadline)
    signature = permit_of(token, alice, bob.address, 25, deadline)
    with funded.chain.anchor():
        funded.chain.warp(10)
        token.send("permit", *arguments, *signature, sender=bob.address)
    funded.chain.warp(11)
    with refused("token: permit expired"):
        token.send("permit", *arguments, *signature, sender=bob.address)


def test_permit_of_another_or_a_malformed_one_is_refused(funded: World) -> None:
    token, deadline = funded.token, funded.chain.now + 10
    v, r, s = permit_of(token, mallory, bob.address, 25, deadline)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    good = permit_of(token, alice, bob.address, 25, deadline)
    high_s = (order - int.from_bytes(good[2], "big")).to_bytes(32, "big")
    for signature in (
        (v, r, s),
        (55 - good[0], good[1], high_s),
        (good[0] - 27, good[1], good[2]),
        (29, good[1], good[2]),
        (27, b"\0" * 32, b"\0" * 32),
    ):
        with refused("token: wrong signature"):
            token.send(
                "permit", alice.address, bob.address, 25, deadline, *signature, sender=bob.address
            )
    with refused("token: wrong signature"):
        token.send(
            "permit",
            ZERO,
            bob.address,
            25,
            deadline,
            27,
            b"\0" * 32,
            b"\0" * 32,
            sender=bob.address,
        )


def test_permit_of_another_network_is_refused(funded: World, chain: Chain) -> None:
    other = chain.deploy(
        "token", "Freehold", "FREE", CAP, b"\x09" * 32, alice.address, sender=bob.address
    )
    deadline = chain.now + 10
    signature = permit_of(funded.token, alice, bob.address, 25, deadline)
    with refused("token: wrong signature"):
        other.send(
            "permit", alice.address, bob.address, 25, deadline, *signature, sender=bob.address
        )
    assert other.call("DOMAIN_SEPARATOR") != funded.token.call("DOMAIN_SEPARATOR")


def test_a_contract_acts_in_its_own_name(funded: World) -> None:
    token, puppet = funded.token, funded.puppet()
    funded.fund(puppet.address, 50)
    assert puppet.act(token, "transfer", bob.address, 10).value is True
    puppet.act(token, "burn", 10)
    assert puppet.act(token, "approve", bob.address, 5).value is True
    token.send("transferFrom", puppet.address, bob.address, 5, sender=bob.address)
    assert (funded.balance(puppet.address), funded.balance(alice.address)) == (25, 100)
    token.send("approve", puppet.address, 30, sender=bob.address)
    puppet.act(token, "transferFrom", bob.address, alice.address, 4)
    puppet.act(token, "burn_from", bob.address, 1)
    assert token.call("allowance", bob.address, puppet.address) == 25
    with refused("token: not a minter"):
        puppet.act(token, "mint", puppet.address, 1, 4)
    funded.setup(token, "set_minter", puppet.address, True)
    puppet.act(token, "mint", puppet.address, 1, 4)
    assert funded.balance(puppet.address) == 26
