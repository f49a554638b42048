"""Claims of model nodes that go to the stake behind them, followed by the models and told."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from contracts.evm import signer
from contracts.roots import GROWTH, honest
from contracts.world import alice, carol, mallory
from freehold.audit.reckoner import Reckoner
from freehold.audit.report import Differs
from freehold.domain.ids import Address
from freehold.economics.trees import GRAIN
from unit.audit.founded import differs, lied
from unit.audit.modeled import Modeled

HOT = signer("shared")
FIRST = honest({HOT.address: 400, carol.address: 7})
LATER = honest({HOT.address: 900, carol.address: 7})


@cache
def history() -> Modeled:
    """Bob's validator is paid to its payout, and once Alice has delegated to its stake."""
    modeled = Modeled()
    prizes, staking = modeled.prizes, modeled.world.staking
    modeled.act(modeled.world.token, "approve", prizes.roots.address, 10**18, by=mallory)
    modeled.act(prizes.roots, "fund", 0, GROWTH * GRAIN, by=mallory)
    modeled.create("digits")
    modeled.enter(1, "shared", stake=5 * GRAIN)
    prizes.post()
    modeled.next()
    prizes.settle(0, FIRST)
    index = [account for account, _ in FIRST.leaves].index(HOT.address)
    prizes.claim(0, FIRST, index)
    modeled.act(staking, "delegate", HOT.address, 3 * GRAIN, by=alice)
    modeled.next()
    prizes.settle(1, LATER)
    prizes.claim(1, LATER, index)
    prizes.claim(1, LATER, 1 - index)
    modeled.follow()
    return modeled


def shared_at(name: str) -> int:
    events = history().events
    given = next(i for i, e in enumerate(events) if e.name == "Rewarded")
    if name == "Rewarded":
        return given
    return max(i for i in range(given) if events[i].name == name)


def test_the_models_follow_claims_to_a_stake() -> None:
    modeled = history()
    payout = modeled.prizes.roots.call("payout_of", HOT.address)
    assert payout != HOT.address or modeled.world.balance(HOT.address) == 400 * GRAIN
    for view in ("claimed", "payout_of"):
        modeled.agree("prizes", view, HOT.address)
    given = modeled.events[shared_at("Rewarded")]
    assert given.number("amount") == 500 * GRAIN
    modeled.agree("staking", "rewards")


def test_a_claim_to_a_stake_is_told() -> None:
    modeled = history()
    reckoner, models = Reckoner(Address(HOT.address), 1), modeled.fresh()
    modeled.replay(modeled.events, models, lambda event: reckoner.hear(event, event.time, models))
    prizes = reckoner.payouts(modeled.chain.now)[-1]
    assert (prizes.paid, prizes.reason) == (500 * GRAIN, "")
    assert any(step.name == "claim to the stake behind it" for step in prizes.steps)


@pytest.mark.parametrize(
    ("name", "argument"),
    [("PaidElsewhere", "account"), ("PaidElsewhere", "payout"), ("PaidElsewhere", "grains"),
     ("Rewarded", "node"), ("Rewarded", "amount"), ("Rewarded", "payer")],
)  # fmt: skip
def test_a_payment_to_a_stake_that_lies_is_found(name: str, argument: str) -> None:
    events = list(history().events)
    place = shared_at(name)
    events[place] = lied(events[place], argument)
    assert differs(history(), events)


@pytest.mark.parametrize("name", ["PaidElsewhere", "Rewarded"])
def test_a_payment_to_a_stake_that_is_missing_is_found(name: str) -> None:
    events, place = history().events, shared_at(name)
    assert differs(history(), [*events[:place], *events[place + 1 :]])


def test_a_payout_that_leaves_the_stakers_out_is_found() -> None:
    """Where others share the stake, a claim to the owner's account is wrong."""
    events = list(history().events)
    place = shared_at("Rewarded")
    paid = next(e for e in events if e.name == "Movement" and e.number("purpose") == 4
                and e.contract == "prizes")  # fmt: skip
    noted = shared_at("PaidElsewhere")
    payout = str(paid.args["recipient"])
    events[noted] = replace(events[noted], args={**events[noted].args, "payout": payout})
    amount = events[place].number("amount")
    events[place] = replace(
        events[place], contract="prizes", name="Movement", args={**paid.args, "amount": amount}
    )
    with pytest.raises(Differs, match="to the stake"):
        history().replay(events[: place + 1], history().fresh())
