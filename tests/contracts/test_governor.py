"""The timelock: what waits, how long, who may, and the list of powers."""

from __future__ import annotations

import pytest

from contracts.evm import ZERO, Chain, Outcome
from contracts.world import (
    DELAY,
    FREE,
    UNBONDING,
    World,
    alice,
    bob,
    guardian,
    mallory,
    refused,
)

WINDOW = 14 * 86_400
ROLES = {
    "minter": ("token", "set_minter"),
    "slasher": ("staking", "set_slasher"),
    "locker": ("staking", "set_locker"),
    "evaluator": ("staking", "set_evaluator"),
    "market": ("payments", "set_market"),
}


@pytest.fixture
def live(world: World) -> World:
    """A world whose setup is finished."""
    world.governor.send("finish_setup", sender=guardian.address)
    return world


def propose_fees(world: World, fee: int = 10) -> Outcome:
    data = world.payments.data("set_fees", fee, 0)
    return world.governor.send("propose", world.payments.address, data, sender=guardian.address)


def listed(world: World) -> set[tuple[str, str, str, int]]:
    return {(p.contract, p.role, p.holder, p.delay) for p in world.governor.call("powers")}


def test_delay_and_guardian_are_bounded_at_deployment(chain: Chain) -> None:
    for delay in (59, 30 * 86_400 + 1):
        with refused("governor: delay out of bounds"):
            chain.deploy("governor", alice.address, delay, sender=alice.address)
    for delay in (60, 30 * 86_400):
        made = chain.deploy("governor", alice.address, delay, sender=alice.address)
        assert made.call("delay") == delay
        assert made.call("guardian") == alice.address
        assert made.call("role_delay") == delay
    with refused("governor: no guardian"):
        chain.deploy("governor", ZERO, 60, sender=alice.address)


def test_setup_calls_act_at_once_until_setup_is_finished(world: World) -> None:
    world.setup(world.payments, "set_fees", 7, 8)
    assert world.payments.call("fee_bps") == 7
    data = world.payments.data("set_fees", 9, 9)
    with refused("governor: not the guardian"):
        world.governor.send("setup_call", world.payments.address, data, sender=mallory.address)
    with refused("governor: setup is not finished"):
        world.governor.send("propose", world.payments.address, data, sender=guardian.address)
    with refused("governor: not the guardian"):
        world.governor.send("finish_setup", sender=mallory.address)
    done = world.governor.send("finish_setup", sender=guardian.address)
    assert done.named("SetupFinished")
    assert world.governor.call("setup_done")
    with refused("governor: setup is finished"):
        world.governor.send("setup_call", world.payments.address, data, sender=guardian.address)
    with refused("governor: setup is finished"):
        world.governor.send("finish_setup", sender=guardian.address)


def test_setup_needs_the_staking_contract(chain: Chain, world: World) -> None:
    fresh = chain.deploy("governor", guardian.address, 60, sender=alice.address)
    with refused("governor: no staking set"):
        fresh.send("finish_setup", sender=guardian.address)
    with refused("governor: not by proposal"):
        fresh.send("set_staking", world.staking.address, sender=guardian.address)
    with refused("governor: staking is set"):
        world.setup(world.governor, "set_staking", world.staking.address)


def test_a_target_without_code_or_data_without_selector_is_refused(world: World) -> None:
    with refused("governor: target has no code"):
        world.governor.send("setup_call", alice.address, b"\1\2\3\4", sender=guardian.address)
    with refused("governor: no selector"):
        world.governor.send("setup_call", world.token.address, b"\1\2\3", sender=guardian.address)


def test_a_call_without_arguments_is_a_call(world: World) -> None:
    world.setup(world.token, "totalSupply")


def test_a_refusal_of_the_target_is_passed_on(world: World) -> None:
    with refused("payments: fee out of bounds"):
        world.setup(world.payments, "set_fees", 501, 0)


def test_a_proposal_waits_and_is_executed_once_by_anyone(live: World) -> None:
    proposed = propose_fees(live)
    event = proposed.one("Proposed")
    assert proposed.value == event.id == 1
    assert event.ready_at == live.chain.now + DELAY
    assert event.target == live.payments.address
    assert event.data == live.payments.data("set_fees", 10, 0)
    stored = live.governor.call("proposal", 1)
    assert (stored.state, stored.ready_at, stored.target) == (
        1,
        event.ready_at,
        live.payments.address,
    )
    live.chain.warp(DELAY - 1)
    with refused("governor: too early"):
        live.governor.send("execute", 1, sender=mallory.address)
    live.chain.warp(1)
    assert live.governor.send("execute", 1, sender=mallory.address).one("Executed").id == 1
    assert live.payments.call("fee_bps") == 10
    assert live.governor.call("proposal", 1).state == 2
    with refused("governor: not pending"):
        live.governor.send("execute", 1, sender=mallory.address)
    with refused("governor: not pending"):
        live.governor.send("cancel", 1, sender=guardian.address)


def test_only_the_guardian_proposes_and_cancels(live: World) -> None:
    data = live.payments.data("set_fees", 10, 0)
    with refused("governor: not the guardian"):
        live.governor.send("propose", live.payments.address, data, sender=mallory.address)
    propose_fees(live)
    with refused("governor: not the guardian"):
        live.governor.send("cancel", 1, sender=mallory.address)
    assert live.governor.send("cancel", 1, sender=guardian.address).one("Cancelled").id == 1
    assert live.governor.call("proposal", 1).state == 3
    live.chain.warp(DELAY)
    for call in ("execute", "cancel"):
        with refused("governor: not pending"):
            live.governor.send(call, 1, sender=guardian.address)
    with refused("governor: not pending"):
        live.governor.send("execute", 2, sender=guardian.address)


def test_a_stale_proposal_is_void(live: World) -> None:
    propose_fees(live)
    live.chain.warp(DELAY + WINDOW)
    with live.chain.anchor():
        live.governor.send("execute", 1, sender=alice.address)
    live.chain.warp(1)
    with refused("governor: stale"):
        live.governor.send("execute", 1, sender=alice.address)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_waits_longer_than_unbonding_and_lists_itself(live: World, role: str) -> None:
    name, function = ROLES[role]
    target = getattr(live, name)
    holder = live.puppet().address
    data = target.data(function, holder, True)
    event = live.governor.send("propose", target.address, data, sender=guardian.address).one(
        "Proposed"
    )
    assert event.ready_at == live.chain.now + DELAY + UNBONDING
    assert live.governor.call("role_delay") == DELAY + UNBONDING
    live.chain.warp(DELAY + UNBONDING)
    granted = live.governor.send("execute", event.id, sender=alice.address).one("PowerGranted")
    assert (granted.contract, granted.role, granted.holder) == (target.address, role, holder)
    power = (target.address, role, holder, DELAY + UNBONDING)
    assert power in listed(live)
    revoked = live.govern(target, function, holder, False).one("PowerRevoked")
    assert (revoked.contract, revoked.role, revoked.holder) == (target.address, role, holder)
    assert power not in listed(live)


def test_a_role_call_has_one_form(live: World) -> None:
    data = live.token.data("set_minter", mallory.address, True)
    for bad in (data + b"\0", data[:-1]):
        with refused("governor: malformed role call"):
            live.governor.send("propose", live.token.address, bad, sender=guardian.address)


def test_powers_show_the_guardian_and_are_listed_once(world: World) -> None:
    governor = world.governor.address
    assert listed(world) == {
        (governor, "propose", guardian.address, DELAY),
        (governor, "pause", guardian.address, DELAY),
        (world.token.address, "minter", guardian.address, DELAY + UNBONDING),
    }
    assert not world.setup(world.token, "set_minter", guardian.address, True).named("PowerGranted")
    assert len(world.governor.call("powers")) == 3
    assert not world.setup(world.token, "set_minter", bob.address, False).named("PowerRevoked")


def test_powers_of_one_holder_differ_by_contract_and_role(world: World) -> None:
    for contract in (world.token.address, world.staking.address):
        for role in ("one", "two"):
            for holder in (alice.address, bob.address):
                world.governor.send("grant_power", contract, role, holder, sender=guardian.address)
    assert len(world.governor.call("powers")) == 3 + 8
    world.governor.send(
        "revoke_power", world.token.address, "two", alice.address, sender=guardian.address
    )
    left = listed(world)
    assert len(left) == 3 + 7
    assert (world.token.address, "two", alice.address, DELAY + UNBONDING) not in left


MANAGED = ("minter", "slasher", "locker", "evaluator", "market")


@pytest.mark.parametrize("role", MANAGED)
def test_roles_that_calls_set_stand_on_the_list_by_the_call_alone(world: World, role: str) -> None:
    """Else a role that holds could be taken off the list of powers, or one be made up."""
    before = listed(world)
    for function in ("grant_power", "revoke_power"):
        for holder in (guardian.address, bob.address):
            with refused("governor: set by a role call"):
                arguments = (function, world.token.address, role, holder)
                world.governor.send(*arguments, sender=guardian.address)
            with refused("governor: set by a role call"):
                world.setup(world.governor, function, world.token.address, role, holder)
    assert listed(world) == before


def test_powers_are_bounded(world: World) -> None:
    for index in range(61):
        holder = "0x" + f"{index + 1:040x}"
        world.governor.send(
            "grant_power", world.token.address, "r", holder, sender=guardian.address
        )
    assert len(world.governor.call("powers")) == 64
    with refused("governor: too many powers"):
        world.setup(world.token, "set_minter", alice.address, True)


def test_listing_powers_needs_a_proposal_after_setup(live: World) -> None:
    for function in ("grant_power", "revoke_power"):
        for sender in (guardian.address, mallory.address):
            with refused("governor: not by proposal"):
                live.governor.send(
                    function, live.token.address, "minter", guardian.address, sender=sender
                )
    live.govern(live.governor, "grant_power", live.token.address, "role", bob.address)
    assert (live.token.address, "role", bob.address, DELAY + UNBONDING) in listed(live)
    live.govern(live.governor, "revoke_power", live.token.address, "role", bob.address)
    assert (live.token.address, "role", bob.address, DELAY + UNBONDING) not in listed(live)


def test_listing_powers_during_setup_is_the_guardians(world: World) -> None:
    for function in ("grant_power", "revoke_power"):
        with refused("governor: not by proposal"):
            world.governor.send(
                function, world.token.address, "x", mallory.address, sender=mallory.address
            )


def test_the_delay_changes_after_the_old_delay_within_bounds(live: World) -> None:
    with refused("governor: not by proposal"):
        live.governor.send("set_delay", 60, sender=guardian.address)
    event = live.govern(live.governor, "set_delay", 60).one("DelaySet")
    assert event.delay == live.governor.call("delay") == 60
    assert live.governor.call("role_delay") == 60 + UNBONDING
    with refused("governor: delay out of bounds"):
        live.govern(live.governor, "set_delay", 59)


def test_the_guardian_can_be_replaced_by_proposal(live: World) -> None:
    with refused("governor: not by proposal"):
        live.governor.send("set_guardian", mallory.address, sender=guardian.address)
    with refused("governor: no guardian"):
        live.govern(live.governor, "set_guardian", ZERO)
    done = live.govern(live.governor, "set_guardian", bob.address)
    assert done.one("GuardianSet").guardian == bob.address
    with refused("governor: not the guardian"):
        propose_fees(live)


def test_the_guardian_pauses_and_unpauses_new_business(live: World) -> None:
    for function in ("pause", "unpause"):
        with refused("governor: not the guardian"):
            live.governor.send(function, live.registry.address, sender=mallory.address)
    done = live.governor.send("pause", live.registry.address, sender=guardian.address)
    assert (done.one("PauseSet").target, done.one("PauseSet").paused) == (
        live.registry.address,
        True,
    )
    assert live.registry.call("paused")
    done = live.governor.send("unpause", live.registry.address, sender=guardian.address)
    assert done.one("PauseSet").paused is False
    assert not live.registry.call("paused")


def test_a_staking_contract_without_unbonding_is_refused(chain: Chain, world: World) -> None:
    fresh = chain.deploy("governor", guardian.address, 60, sender=alice.address)
    staking = world.foreign()
    data = fresh.data("set_staking", staking.address)
    with refused("governor: no unbonding period"):
        fresh.send("setup_call", fresh.address, data, sender=guardian.address)
    staking.send("set_unbonding_period", 1, sender=alice.address)
    fresh.send("setup_call", fresh.address, data, sender=guardian.address)
    assert fresh.call("role_delay") == 61


def test_a_contract_can_be_the_guardian(chain: Chain, world: World) -> None:
    puppet, other = world.puppet(), world.puppet()
    governor = chain.deploy("governor", puppet.address, 60, sender=alice.address)
    told = (b"\1" * 32, governor.address, ZERO, *FREE)
    registry = chain.deploy("registry", *told, sender=alice.address)
    call = registry.data("set_paused", True)
    for function, arguments in (
        ("setup_call", (registry.address, call)),
        ("finish_setup", ()),
        ("pause", (registry.address,)),
    ):
        with refused("governor: not the guardian"):
            other.act(governor, function, *arguments)
    for function in ("grant_power", "revoke_power"):
        with refused("governor: not by proposal"):
            other.act(governor, function, registry.address, "x", alice.address)
        puppet.act(governor, function, registry.address, "x", alice.address)
    staking = governor.data("set_staking", world.staking.address)
    puppet.act(governor, "setup_call", governor.address, staking)
    puppet.act(governor, "pause", registry.address)
    puppet.act(governor, "finish_setup")
    with refused("governor: not the guardian"):
        other.act(governor, "propose", registry.address, call)
    proposal = puppet.act(governor, "propose", registry.address, call).value
    with refused("governor: not the guardian"):
        other.act(governor, "cancel", proposal)
    puppet.act(governor, "cancel", proposal)
