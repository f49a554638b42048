"""Contract wallets as payers: what the contracts and the node's question to them agree on."""

from __future__ import annotations

import pytest

from contracts.evm import Contract, Outcome
from contracts.test_vouchers import sign
from contracts.world import World, alice, bob, carol, fake, guardian, mallory, refused
from freehold.domain.ids import keccak
from freehold.domain.keys import Key
from freehold.ledger import wallets
from freehold.node.vouchers import REDEEM_GAS


@pytest.fixture
def wallet(world: World) -> Contract:
    """A wallet of Alice and Carol that holds 1,000 in payments."""
    owners = (alice.address, carol.address)
    made = world.chain.deploy_artifact(fake("wallet"), *owners, sender=guardian.address)
    world.deposit(alice, 1_000)
    world.payments.send("send", world.token.address, made.address, 1_000, 3, sender=alice.address)
    return made


def act(world: World, wallet: Contract, function: str, *arguments: object) -> Outcome:
    data = world.payments.data(function, *arguments)
    return wallet.send("run", world.payments.address, data, sender=carol.address)


def redeem(world: World, rail: int, amount: int, signature: bytes) -> Outcome:
    return world.payments.send("redeem", rail, amount, signature, sender=bob.address)


def test_both_owners_sign_a_voucher_and_one_does_not_do(world: World, wallet: Contract) -> None:
    act(world, wallet, "open_voucher", world.token.address, bob.address, 600)
    rail, both = 1, sign(world, 1, 300) + sign(world, 1, 300, by=carol)
    assert redeem(world, rail, 300, both).value == 300
    for signature in (
        sign(world, rail, 400) + sign(world, rail, 400),
        sign(world, rail, 400, by=mallory) + sign(world, rail, 400, by=carol),
        sign(world, rail, 500) + sign(world, rail, 500, by=carol),
    ):
        with refused("payments: wrong voucher"):
            redeem(world, rail, 400, signature)
    with refused("payments: wrong voucher"):  # the wallet reverted
        redeem(world, rail, 400, sign(world, rail, 400))


def test_the_nodes_question_is_answered_by_the_wallet_within_its_gas(
    world: World, wallet: Contract
) -> None:
    digest = keccak(b"a request")
    keys = [Key.from_secret(owner.key) for owner in (alice, carol)]
    both = b"".join(key.sign(digest) for key in keys)
    question = wallets.question(digest, both)
    assert question == wallet.data("isValidSignature", digest, both)
    for signatures, valid in ((both, True), (both[65:] + both[:65], False)):
        answer = world.chain.transact(
            mallory.address,
            wallet.address,
            wallets.question(digest, signatures),
            static=True,
            gas=wallets.GAS,
        )
        assert wallets.agrees(answer.value) is valid


@pytest.fixture
def glutton(world: World) -> Contract:
    """A wallet with a voucher rail of 600 to Bob that behaves badly where payments asks."""
    made = world.chain.deploy_artifact(
        fake("glutton"), world.payments.address, sender=guardian.address
    )
    world.deposit(alice, 1_000)
    world.payments.send("send", world.token.address, made.address, 1_000, 3, sender=alice.address)
    act(world, made, "open_voucher", world.token.address, bob.address, 600)
    return made


def manners(wallet: Contract, *, spared: int = 0, padded: bool = False) -> None:
    wallet.send("set_manners", spared, padded, sender=carol.address)


@pytest.mark.parametrize("spared", [10_000, 100_000, 200_000])
def test_a_wallet_burns_no_more_of_the_payees_gas_than_its_cap(
    world: World, glutton: Contract, spared: int
) -> None:
    manners(glutton, spared=spared)
    assert redeem(world, 1, 100, b"\1" * 65).gas_used < REDEEM_GAS


def test_a_wallet_that_burns_all_it_is_given_has_not_signed(
    world: World, glutton: Contract
) -> None:
    manners(glutton, spared=1)
    with refused("payments: wrong voucher"):
        redeem(world, 1, 100, b"\1" * 65)


def test_a_wallets_answer_is_exactly_the_magic_value(world: World, glutton: Contract) -> None:
    assert redeem(world, 1, 100, b"\1" * 65).value == 100
    manners(glutton, padded=True)
    with refused("payments: wrong voucher"):
        redeem(world, 1, 200, b"\1" * 65)
