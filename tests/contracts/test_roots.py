"""Roots: bonds, proposals, claims, payouts, and what each refuses."""

from __future__ import annotations

import pytest

from contracts.evm import Reverted, Signer, Struct
from contracts.roots import (
    BOND,
    DATA,
    GROWTH,
    LENGTH,
    RULES,
    WINDOW,
    Forged,
    Market,
    deploy_market,
    deploy_roots,
    honest,
    proposer,
    watchers,
)
from contracts.world import (
    NETWORK_ID,
    ZERO,
    World,
    alice,
    bob,
    carol,
    guardian,
    mallory,
    refused,
)
from freehold.economics.trees import GRAIN

ONE = honest({alice.address: 70, bob.address: 30})
TWO = honest({alice.address: 100, bob.address: 30, carol.address: 5})
OTHERS = r"^roots: (not a watcher|signatures out of order)$"
"""A signature over something else is that of some other account."""


@pytest.fixture
def market(world: World) -> Market:
    return deploy_market(world)


def standing(*told: int) -> dict[str, int]:
    names = ("final", "tip", "next_epoch", "tip_total", "final_total")
    return dict(zip(names, told, strict=True)) | {"unsettled": 0}


# Proposals


def test_a_root_is_proposed_and_becomes_final(market: Market) -> None:
    header = market.propose(3, ONE)
    assert (header.position, header.since, header.epoch, header.parent_total) == (2, 0, 3, 0)
    assert (header.root, header.count, header.data) == (ONE.root, 2, DATA)
    assert (header.proposer, header.bond) == (proposer.address, BOND)
    assert header.until == market.world.chain.now + WINDOW
    assert market.state == standing(1, 2, 4, 100, 0)
    market.world.chain.warp(WINDOW)
    with refused("roots: can be disputed"):
        market.roots.send("finalize", header, sender=mallory.address)
    done = market.finalize(header).one("Finalized")
    assert (done.position, done.epoch, done.root) == (2, 3, ONE.root)
    assert market.state == standing(2, 2, 4, 100, 100)
    assert market.roots.call("final_root", 3) == ONE.root
    assert market.roots.call("final_root", 2) == 0
    with refused("roots: no open root"):
        market.roots.send("finalize", header, sender=mallory.address)


def test_roots_become_final_in_order(market: Market) -> None:
    first, second = market.propose(0, ONE), market.propose(1, TWO)
    with refused("roots: not the next"):
        market.finalize(second)
    market.finalize(first)
    market.finalize(second)
    assert second.parent_total == 100


@pytest.mark.parametrize("epoch", [0, 3])
def test_an_epoch_comes_once_and_never_back(market: Market, epoch: int) -> None:
    market.propose(3, ONE)
    with refused("roots: epoch is not later"):
        market.propose(epoch, TWO)


def test_an_epoch_must_have_ended(market: Market) -> None:
    market.world.chain.warp_to(market.roots.call("genesis") + LENGTH - 1)
    signed = market.signatures(0, ONE.root, 2)
    arguments = (0, ONE.root, 2, DATA, signed)
    with refused("roots: epoch has not ended"):
        market.roots.send("propose", *arguments, sender=proposer.address)
    market.world.chain.warp(1)
    market.roots.send("propose", *arguments, sender=proposer.address)


def test_an_empty_epoch_has_no_root(market: Market) -> None:
    market.end_of(0)
    for root, count, reason in (
        (ONE.root, 0, "roots: no accounts"),
        (ONE.root, 2**32 + 1, "roots: no accounts"),
        (ONE.root >> 64 << 64, 2, "roots: nothing earned"),
    ):
        with refused(reason):
            signed = market.signatures(0, root, count)
            market.roots.send("propose", 0, root, count, DATA, signed, sender=proposer.address)


def test_a_proposer_needs_a_bond(market: Market) -> None:
    with refused("roots: no bond"):
        market.propose(0, ONE, by=mallory)
    market.post(BOND - 1, by=mallory)
    with refused("roots: no bond"):
        market.propose(0, ONE, by=mallory)
    market.post(1, by=mallory)
    assert market.propose(0, ONE, by=mallory).proposer == mallory.address


def test_a_root_that_overpays_is_refused(market: Market) -> None:
    with refused("roots: grows too fast"):
        market.propose(0, honest({alice.address: GROWTH + 1}))
    market.propose(0, honest({alice.address: GROWTH}))
    with refused("roots: more than was funded"):
        market.propose(1, honest({alice.address: GROWTH + 1}))
    market.fund(GROWTH)
    with refused("roots: more than the bond"):
        market.propose(1, honest({alice.address: 10**6 + 1}))
    market.propose(1, honest({alice.address: 10**6}))
    with refused("roots: total sank"):
        market.propose(2, honest({alice.address: 10**6 - 1}))


def test_the_bond_covers_what_is_not_final(market: Market) -> None:
    market.settle(0, honest({alice.address: GROWTH}))
    market.fund(GROWTH)
    market.propose(1, honest({alice.address: 2 * GROWTH}))


def signed_by(market: Market, *who: Signer) -> None:
    market.end_of(0)
    signed = market.signatures(0, ONE.root, 2, by=who)
    market.roots.send("propose", 0, ONE.root, 2, DATA, signed, sender=proposer.address)


def test_a_quorum_of_watchers_signs(market: Market) -> None:
    a, b, c = watchers[:3]
    with refused("roots: too few signatures"):
        signed_by(market, a, b)
    for order in ((a, c, b), (a, a, b), (a, b, b)):
        with refused("roots: signatures out of order"):
            signed_by(market, *order)
    strangers = sorted((a, b, mallory), key=lambda each: each.address)
    with refused("roots: not a watcher"):
        signed_by(market, *strangers)
    with market.world.chain.anchor():
        signed_by(market, *watchers)
    signed_by(market, *watchers[2:])


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_signature_is_for_one_root(market: Market, place: int) -> None:
    market.end_of(1)
    told: list[object] = [0, ONE.root, 2, DATA]
    signed = market.signatures(0, ONE.root, 2)
    told[place] = [1, TWO.root, 3, NETWORK_ID][place]
    with pytest.raises(Reverted, match=OTHERS):
        market.roots.send("propose", *told, signed, sender=proposer.address)


def test_a_signature_is_for_one_parent_and_contract(market: Market) -> None:
    signed = market.signatures(1, TWO.root, 3)
    market.propose(0, ONE)
    market.end_of(1)
    with pytest.raises(Reverted, match=OTHERS):
        market.roots.send("propose", 1, TWO.root, 3, DATA, signed, sender=proposer.address)
    other = Market(market.world, deploy_roots(market.world))
    market.world.setup(other.roots, "set_watchers", [each.address for each in watchers], 3)
    other.post()
    other.fund(1_000)
    other.end_of(5)
    with pytest.raises(Reverted, match=OTHERS):
        other.roots.send(
            "propose", 0, ONE.root, 2, DATA, Market.signatures(market, 0, ONE.root, 2),
            sender=proposer.address,
        )  # fmt: skip


# Money in, bonds out


def test_funds_are_counted(market: Market) -> None:
    done = market.fund(7, epoch=3)
    told = done.one("Funded")
    assert (told.epoch, told.sender, told.amount) == (3, mallory.address, 7 * GRAIN)
    assert told.total == (GROWTH + 7) * GRAIN == market.roots.call("funded")
    assert done.one("Movement").purpose == 1
    with refused("roots: nothing to fund"):
        market.roots.send("fund", 0, 0, sender=mallory.address)
    with refused("roots: nothing to post"):
        market.roots.send("post_bond", 0, sender=mallory.address)


def test_bonds_lie_in_payments(market: Market) -> None:
    assert market.world.balance(market.roots.address) == GROWTH * GRAIN
    assert market.world.funds(market.roots.address) == BOND
    done = market.post(5)
    told = done.one("BondPosted")
    assert (told.proposer, told.amount, told.total) == (proposer.address, 5, BOND + 5)
    assert market.bond() == BOND + 5 == market.world.funds(market.roots.address)
    with refused("roots: bond too large"):
        market.roots.send("post_bond", 2**96, sender=proposer.address)


def test_a_bond_comes_back_when_all_roots_are_final(market: Market) -> None:
    header = market.propose(0, ONE)
    with refused("roots: a root is open"):
        market.roots.send("withdraw_bond", sender=proposer.address)
    market.finalize(header)
    market.roots.send("withdraw_bond", sender=proposer.address)
    assert market.world.balance(proposer.address) == BOND
    with refused("roots: no bond"):
        market.roots.send("withdraw_bond", sender=proposer.address)
    with refused("roots: no bond"):
        market.propose(1, TWO)


def test_a_bond_does_not_wait_for_the_roots_of_others(market: Market) -> None:
    market.post(by=bob)
    header = market.propose(0, ONE)
    told = {"amount": BOND, "last": header.position}
    assert market.roots.call("bond_of", proposer.address) == told
    market.finalize(header)
    market.propose(1, TWO, by=bob)
    market.roots.send("withdraw_bond", sender=proposer.address)
    with refused("roots: a root is open"):
        market.roots.send("withdraw_bond", sender=bob.address)


def test_a_token_that_answers_nothing_is_taken(world: World) -> None:
    quiet = world.foreign("quiet")
    usual = [quiet.address, world.payments.address, ZERO, ZERO, ZERO, world.governor.address]
    roots = deploy_roots(world, *usual, NETWORK_ID, world.chain.now, LENGTH, RULES)
    quiet.send("mint", mallory.address, 7, sender=alice.address)
    roots.send("fund", 0, 7, sender=mallory.address)
    assert roots.call("funded") == quiet.call("balanceOf", roots.address) == 7


def test_a_contract_acts_in_its_own_name(market: Market) -> None:
    roots, token, puppet = market.roots, market.world.token, market.world.puppet()
    market.world.fund(puppet.address, BOND + 3)
    puppet.act(token, "approve", roots.address, BOND + 3)
    puppet.act(roots, "post_bond", BOND - 5)
    puppet.act(roots, "post_bond", 5)
    puppet.act(roots, "fund", 0, 3)
    assert roots.call("bond_of", puppet.address).amount == BOND
    market.end_of(0)
    forged = Forged([(bob.address, 30), (bob.address, 70)])
    signed = market.signatures(0, forged.root, 2)
    done = puppet.act(roots, "propose", 0, forged.root, 2, DATA, signed)
    header: Struct = done.one("Proposed").header
    assert header.proposer == puppet.address
    other = market.world.puppet()
    other.act(roots, "dispute_order", header, forged.proof(0), forged.proof(1))
    puppet.act(roots, "settle", header, other.address)
    assert market.world.balance(other.address) == BOND * RULES[4] // 10_000
    with refused("roots: no bond"):
        puppet.act(roots, "withdraw_bond")
    market.world.fund(puppet.address, BOND)
    puppet.act(token, "approve", roots.address, BOND)
    puppet.act(roots, "post_bond", BOND)
    puppet.act(roots, "withdraw_bond")
    assert market.world.balance(puppet.address) == BOND
    puppet.act(roots, "set_payout", puppet.address, alice.address)
    assert roots.call("payout_of", puppet.address) == alice.address


def test_a_bonded_proposer_draws_from_the_emission(world: World) -> None:
    source = world.chain.deploy_artifact(
        mint_source(), world.token.address, sender=guardian.address
    )
    world.setup(world.token, "set_minter", source.address, True)
    head = [world.token.address, world.payments.address, source.address, ZERO, ZERO]
    tail = [world.governor.address, NETWORK_ID, world.chain.now, LENGTH, RULES]
    market = Market(world, deploy_roots(world, *head, *tail))
    with refused("roots: no bond"):
        market.roots.send("draw", 0, 9, sender=proposer.address)
    market.post()
    market.roots.send("draw", 2, 9 * GRAIN, sender=proposer.address)
    assert market.roots.call("funded") == 9 * GRAIN == world.balance(market.roots.address)
    with refused("roots: not minted"):
        market.roots.send("draw", 99, 9 * GRAIN, sender=proposer.address)


def test_no_more_is_drawn_than_a_root_can_pay(world: World) -> None:
    """Who borrows a bond, draws, and takes it back mints at most one bond's worth."""
    source = world.chain.deploy_artifact(
        mint_source(), world.token.address, sender=guardian.address
    )
    world.setup(world.token, "set_minter", source.address, True)
    head = [world.token.address, world.payments.address, source.address, ZERO, ZERO]
    tail = [world.governor.address, NETWORK_ID, world.chain.now, LENGTH, RULES]
    market = Market(world, deploy_roots(world, *head, *tail))
    market.post()
    with refused("roots: more than a root can pay"):
        market.roots.send("draw", 0, BOND + 1, sender=proposer.address)
    market.roots.send("draw", 0, BOND, sender=proposer.address)
    with refused("roots: more than a root can pay"):
        market.roots.send("draw", 1, 1, sender=proposer.address)
    market.roots.send("withdraw_bond", sender=proposer.address)
    assert market.roots.call("funded") == BOND


def mint_source() -> dict[str, object]:
    """An emission that mints what is asked, and half of it for epoch 99."""
    from dataclasses import asdict
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from contracts.world import compiler

    source = """
# pragma version 0.4.3
interface IMint:
    def mint(receiver: address, amount: uint256, purpose: uint8): nonpayable
token: immutable(address)
@deploy
def __init__(token_: address):
    token = token_
@external
def draw(epoch: uint256, amount: uint256, to: address):
    extcall IMint(token).mint(to, amount // 2 if epoch == 99 else amount, 4)
"""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "source.vy"
        path.write_text(source, encoding="utf-8")
        return asdict(compiler().compile_contract(path))


def test_without_an_emission_nothing_is_drawn(market: Market) -> None:
    with refused("roots: no emission"):
        market.roots.send("draw", 0, 1, sender=proposer.address)


# The governor


def test_the_governor_names_watchers(market: Market) -> None:
    names = [each.address for each in watchers]
    for told, quorum, reason in (
        (names, 2, "roots: quorum too small"),
        (names[:4], 2, "roots: quorum too small"),
        ([], 0, "roots: quorum too small"),
        (names, 6, "roots: quorum too large"),
        ([f"0x{i:040x}" for i in range(1, 25)], 17, "roots: quorum too large"),
        ([*names, names[0]], 4, "roots: wrong watcher"),
        ([*names, ZERO], 4, "roots: wrong watcher"),
    ):
        with refused(reason):
            market.world.setup(market.roots, "set_watchers", told, quorum)
    with refused("roots: not the governor"):
        market.roots.send("set_watchers", names, 3, sender=guardian.address)
    done = market.world.setup(market.roots, "set_watchers", names[2:], 2)
    assert done.one("WatchersSet").quorum == 2
    assert market.roots.call("quorum") == (2, 3)
    assert market.roots.call("parameters").growth == GROWTH
    with refused("roots: not a watcher"):
        signed_by(market, *watchers[:3])
    signed_by(market, *watchers[2:])


def test_without_watchers_no_root_comes(world: World) -> None:
    market = Market(world, deploy_roots(world))
    market.post()
    market.fund(1_000)
    with refused("roots: no watchers"):
        market.propose(0, ONE)


BOUNDS = [
    (0, 59, "window"), (0, 30 * 86_400 + 1, "window"), (1, 59, "answer window"),
    (1, WINDOW + 1, "answer window"), (2, 0, "bond"), (2, 2**96 + 1, "bond"),
    (3, 0, "growth"), (3, 2**64, "growth"), (4, 4_001, "reward"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "name"), BOUNDS)
def test_parameters_have_bounds(market: Market, place: int, value: int, name: str) -> None:
    told = list(RULES)
    told[place] = value
    with refused(f"roots: {name} out of bounds"):
        market.world.setup(market.roots, "set_parameters", told)


@pytest.mark.parametrize(
    "told",
    [
        (60, 60, 1, 1, 0),
        (30 * 86_400, 30 * 86_400, 2**96, 2**64 - 1, 4_000),
        (30 * 86_400 - 1, 30 * 86_400 - 1, 2**96 - 1, 2**64 - 2, 3_999),
    ],
)
def test_parameters_reach_their_bounds(market: Market, told: tuple[int, ...]) -> None:
    market.world.setup(market.roots, "set_parameters", told)
    assert tuple(market.roots.call("parameters").values()) == told
    assert market.roots.call("quorum") == (3, 5)
    with refused("roots: not the governor"):
        market.roots.send("set_parameters", RULES, sender=guardian.address)


def test_changed_parameters_are_for_roots_to_come(market: Market) -> None:
    header: Struct = market.propose(0, ONE)
    market.world.setup(market.roots, "set_parameters", (60, 60, 2 * BOND, 1, 0))
    market.world.chain.warp(61)
    with refused("roots: can be disputed"):
        market.roots.send("finalize", header, sender=alice.address)
    with refused("roots: grows too fast"):
        market.propose(1, TWO)


def test_deployment_is_checked(world: World) -> None:
    nobody = [ZERO] * 3
    names = [world.token.address, world.payments.address, *nobody, world.governor.address]
    now = world.chain.now
    for place in (0, 1, 5):
        told = [*names[:place], ZERO, *names[place + 1 :]]
        with refused("roots: zero address"):
            deploy_roots(world, *told, NETWORK_ID, now, LENGTH, RULES)
    with refused("roots: genesis lies ahead"):
        deploy_roots(world, *names, NETWORK_ID, now + 1, LENGTH, RULES)
    for length in (0, 366 * 86_400 + 1):
        with refused("roots: epoch out of bounds"):
            deploy_roots(world, *names, NETWORK_ID, now, length, RULES)
