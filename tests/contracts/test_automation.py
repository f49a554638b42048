"""Rules, triggers, orders and receipts, one refusal at a time."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.evm import CHAIN_ID, NETWORK_ID, ZERO, Chain
from contracts.fielded import (
    ANSWER_TIME,
    ASPECT,
    BINDING,
    DAY,
    DONE,
    FAILED,
    KEY,
    LAPSED,
    PLACE,
    RECEIPT,
    REFUSED,
    SUBJECT,
    Fielded,
    deploy_fielded,
    meter,
    sensor,
)
from contracts.world import alice, bob, guardian, mallory, refused
from freehold.domain import typed
from freehold.domain.ids import address
from freehold.domain.keys import Key

MOST_HOLD = 30 * DAY
YEAR = 366 * DAY


@pytest.fixture
def field(chain: Chain) -> Fielded:
    """The sensor is in service under Alice."""
    made = deploy_fielded(chain)
    made.add()
    return made


def opened(field: Fielded, device: str = sensor.address) -> list[int]:
    return sorted(field.automation.call("open_of", device))


def rules(field: Fielded, device: str = sensor.address) -> list[int]:
    return sorted(field.automation.call("rules_of", device))


def test_needs_a_governor_devices_and_status(chain: Chain, field: Fielded) -> None:
    def made(governor: str, devices: str, status: str) -> None:
        chain.deploy("automation", NETWORK_ID, governor, devices, status, sender=alice.address)

    good = (field.world.governor.address, field.devices.address, field.gauge.address)
    with refused("automation: no governor"):
        made(ZERO, *good[1:])
    with refused("automation: devices has no code"):
        made(good[0], alice.address, good[2])
    with refused("automation: status has no code"):
        made(*good[:2], alice.address)
    names = ("governor", "devices", "status", "network_id")
    assert [field.automation.call(name) for name in names] == [*good, NETWORK_ID]


def test_the_owner_approves(field: Fielded) -> None:
    done = field.approve()
    assert done.value == 1
    told = {
        "device": sensor.address,
        "generation": 1,
        "subject": SUBJECT,
        "aspect": ASPECT,
        "above": True,
        "threshold": 100,
        "command": "relay.1 open",
        "hold": 60,
        "cooldown": 300,
        "max_age": 120,
        "expiry": field.chain.now + DAY,
    }
    assert done.one("Approved").args == {"rule": 1, "owner": alice.address, **told}
    stored = field.automation.call("rule", 1)
    assert stored == {**told, "last": 0, "open": 0, "revoked": False}
    assert field.approve(above=False, threshold=-5).value == 2
    assert rules(field) == [1, 2]
    assert field.automation.call("rules") == 2
    assert field.automation.call("rule", 3).device == ZERO


def test_only_the_owner_of_a_device_in_service_approves_or_orders(field: Fielded) -> None:
    for other in (mallory, sensor, guardian):
        with refused("automation: not the owner"):
            field.approve(by=other)
        with refused("automation: not the owner"):
            field.order(by=other)
    field.retire()
    with refused("automation: device not in service"):
        field.approve()
    with refused("automation: device not in service"):
        field.order()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"subject": ZERO}, "no subject"),
        ({"aspect": b"\0" * 32}, "no aspect"),
        ({"command": ""}, "no command"),
        ({"hold": 0}, "hold out of bounds"),
        ({"hold": MOST_HOLD + 1}, "hold out of bounds"),
        ({"cooldown": 0}, "cooldown out of bounds"),
        ({"cooldown": YEAR + 1}, "cooldown out of bounds"),
        ({"max_age": 0}, "max age out of bounds"),
        ({"max_age": MOST_HOLD + 1}, "max age out of bounds"),
    ],
)
def test_terms_are_bounded(field: Fielded, change: dict[str, Any], reason: str) -> None:
    with refused(f"automation: {reason}"):
        field.approve(**change)
    assert field.automation.call("rules") == 0


def test_the_widest_and_the_narrowest_terms_are_taken(field: Fielded) -> None:
    field.approve(hold=MOST_HOLD, cooldown=YEAR, max_age=MOST_HOLD, command="c" * 64)
    field.approve(hold=1, cooldown=1, max_age=1, command="c")


def test_a_rule_ends_within_a_year(field: Fielded) -> None:
    now = field.chain.now
    with refused("automation: expired"):
        field.approve(expiry=now)
    with refused("automation: expiry too late"):
        field.approve(expiry=now + YEAR + 1)
    field.approve(expiry=now + YEAR)
    field.settle(101)
    rule = field.approve(expiry=now + 1).value
    with field.chain.anchor():
        field.trigger(rule)
    field.chain.warp(1)
    with refused("automation: rule expired"):
        field.trigger(rule)
    assert not field.due(rule)


def test_a_command_longer_than_64_bytes_is_no_command(field: Fielded) -> None:
    with refused(""):
        field.approve(command="c" * 65)
    with refused(""):
        field.order(command="c" * 65)


def test_a_device_has_64_rules_and_a_place_becomes_free(field: Fielded) -> None:
    for _ in range(64):
        field.approve()
    with refused("automation: too many rules"):
        field.approve()
    field.automation.send("revoke", 5, sender=alice.address)
    assert field.approve().value == 65
    assert rules(field) == [*range(1, 5), *range(6, 66)]
    field.automation.send("revoke", 65, sender=alice.address)
    field.automation.send("revoke", 64, sender=alice.address)
    assert rules(field) == [*range(1, 5), *range(6, 64)]


def test_only_the_owner_revokes_and_once(field: Fielded) -> None:
    rule = field.approve().value
    field.settle(101)
    with refused("automation: unknown rule"):
        field.automation.send("revoke", 2, sender=alice.address)
    with refused("automation: unknown rule"):
        field.automation.send("revoke", 2, sender=ZERO)
    for other in (mallory, sensor):
        with refused("automation: not the owner"):
            field.automation.send("revoke", rule, sender=other.address)
    command = field.trigger(rule).value
    event = field.automation.send("revoke", rule, sender=alice.address).one("Revoked")
    assert event.args == {"rule": rule, "device": sensor.address, "owner": alice.address}
    with refused("automation: rule revoked"):
        field.automation.send("revoke", rule, sender=alice.address)
    with refused("automation: rule revoked"):
        field.trigger(rule)
    assert not field.due(rule)
    assert opened(field) == [command]
    field.answer(command)


def test_anyone_triggers_what_is_due(field: Fielded) -> None:
    rule = field.approve().value
    field.settle(101, ago=7)
    now = field.chain.now
    assert field.due(rule)
    done = field.trigger(rule, by=mallory)
    assert done.value == 1
    seen = done.one("Triggered").args
    assert seen == {
        "rule": rule, "id": 1, "sender": mallory.address, "seen": 101, "settled_at": now - 7
    }  # fmt: skip
    times = {"until": now + ANSWER_TIME + 60, "answer_by": now + ANSWER_TIME}
    told = {"rule": rule, "device": sensor.address, "command": "relay.1 open", **times}
    assert done.one("Commanded").args == {"id": 1, **told}
    assert field.automation.call("command", 1) == {
        **told,
        "generation": 1,
        "issued_at": now,
        "hold": 60,
        "outcome": 0,
        "detail": b"\0" * 32,
        "at": 0,
        "answered_at": 0,
    }
    assert opened(field) == [1]
    stored = field.automation.call("rule", rule)
    assert (stored.last, stored.open) == (now, 1)


@pytest.mark.parametrize(
    ("above", "measured", "fires"),
    [(True, 101, True), (True, 100, False), (False, 99, True), (False, 100, False)],
)
def test_the_threshold_itself_does_not_fire(
    field: Fielded, above: bool, measured: int, fires: bool
) -> None:
    rule = field.approve(above=above).value
    field.settle(measured)
    assert field.due(rule) is fires
    if fires:
        field.trigger(rule)
        return
    with refused("automation: condition not met"):
        field.trigger(rule)


@pytest.mark.parametrize("edge", [-(2**255), 2**255 - 1])
def test_the_widest_values_compare(field: Fielded, edge: int) -> None:
    rule = field.approve(threshold=edge, above=edge < 0).value
    field.settle(edge)
    assert not field.due(rule)
    field.settle(-edge - 1)
    assert field.due(rule)


def test_only_a_fresh_settlement_fires(field: Fielded) -> None:
    rule = field.approve().value

    def stale() -> None:
        assert not field.due(rule)
        with refused("automation: status is stale"):
            field.trigger(rule)

    stale()
    field.settle(101, ago=field.chain.now)
    stale()
    field.settle(101, ago=-1)
    stale()
    field.settle(101, ago=121)
    stale()
    field.settle(101, ago=120)
    assert field.due(rule)
    with field.chain.anchor():
        field.trigger(rule)
    field.settle(101, ago=0)
    assert field.due(rule)


def test_an_age_of_the_whole_clock_is_still_never(chain: Chain) -> None:
    field = deploy_fielded(Chain(timestamp=100))
    field.add()
    rule = field.approve().value
    assert not field.due(rule)
    with refused("automation: status is stale"):
        field.trigger(rule)
    field.settle(101, ago=99)
    assert field.due(rule)


def test_a_rule_waits_for_its_receipt_and_its_cooldown(field: Fielded) -> None:
    rule = field.approve(max_age=DAY).value
    field.settle(101)
    command = field.trigger(rule).value
    with refused("automation: command open"):
        field.trigger(rule)
    field.chain.warp(300)
    assert not field.due(rule)
    with refused("automation: command open"):
        field.trigger(rule)
    field.answer(command)
    assert field.due(rule)
    again = field.trigger(rule).value
    field.answer(again)
    field.chain.warp(299)
    assert not field.due(rule)
    with refused("automation: cooling down"):
        field.trigger(rule)
    field.chain.warp(1)
    field.trigger(rule)


def test_an_unknown_rule_is_not_due(field: Fielded) -> None:
    field.settle(101)
    assert not field.due(1)
    with refused("automation: unknown rule"):
        field.trigger(1)


def test_a_retired_device_has_no_rules_and_nothing_open(field: Fielded) -> None:
    rule, other = field.approve().value, field.approve().value
    field.settle(101)
    command = field.trigger(rule).value
    field.retire()
    assert rules(field) == opened(field) == []
    assert not field.due(other)
    with refused("automation: device not in service"):
        field.trigger(other)
    field.add()
    assert rules(field) == opened(field) == []
    assert not field.due(other)
    with refused("automation: device not in service"):
        field.trigger(other)
    field.answer(command)
    assert field.approve().value == 3
    assert rules(field) == [3]
    field.automation.send("revoke", rule, sender=alice.address)
    assert rules(field) == [3]
    assert field.order().value == 2
    assert field.automation.call("command", 2).generation == 2
    assert field.trigger(3).value == 3


def test_the_owner_orders(field: Fielded) -> None:
    now = field.chain.now
    done = field.order(hold=5)
    assert done.value == 1
    times = {"until": now + ANSWER_TIME + 5, "answer_by": now + ANSWER_TIME}
    told = {"rule": 0, "device": sensor.address, "command": "relay.2 close", **times}
    assert done.one("Commanded").args == {"id": 1, **told}
    found = field.automation.call("command", 1)
    assert {name: found[name] for name in told} == told
    assert (found.hold, found.issued_at) == (5, now)
    assert opened(field) == [1]
    assert field.automation.call("commands") == 1
    field.answer(1)
    assert field.automation.call("rule", 0).open == 0


def test_an_order_is_bounded(field: Fielded) -> None:
    with refused("automation: no command"):
        field.order(command="")
    for hold in (0, MOST_HOLD + 1):
        with refused("automation: hold out of bounds"):
            field.order(hold=hold)
    field.order(hold=MOST_HOLD)
    field.order(hold=1, command="c" * 64)
    assert field.automation.call("command", 2).command == "c" * 64


def test_triggers_leave_the_owner_places(field: Fielded) -> None:
    field.settle(101)
    made = [field.approve().value for _ in range(13)]
    for rule in made[:12]:
        field.trigger(rule)
    assert not field.due(made[12])
    with refused("automation: too many open"):
        field.trigger(made[12])
    for _ in range(4):
        field.order()
    with refused("automation: too many open"):
        field.order()
    assert opened(field) == list(range(1, 17))
    for command in (16, 3, 4, 5, 6):
        field.answer(command)
    assert opened(field) == [1, 2, *range(7, 16)]
    assert field.due(made[12])
    field.trigger(made[12])


def test_a_receipt_is_kept(field: Fielded) -> None:
    rule = field.approve().value
    field.settle(101)
    for outcome in (DONE, REFUSED, FAILED):
        command = field.trigger(rule).value
        field.chain.warp(300)
        field.settle(101)
        done = field.answer(command, outcome)
        told = {"outcome": outcome, "detail": b"\2" * 32, "at": 1_234}
        seen = {"id": command, "rule": rule, "device": sensor.address}
        assert done.one("Acknowledged").args == {**seen, **told}
        found = field.automation.call("command", command)
        assert {name: found[name] for name in told} == told
        assert found.answered_at == field.chain.now
        assert (found.device, found.generation) == (sensor.address, 1)
        assert opened(field) == []
        assert field.automation.call("rule", rule).open == 0
        with refused("automation: not open"):
            field.answer(command, outcome)


def test_the_receipt_is_that_of_the_package(field: Fielded) -> None:
    command = field.order().value
    place = address(field.automation.address)
    domain = typed.Domain("Freehold automation", CHAIN_ID, place, NETWORK_ID)
    values = (command, address(sensor.address), DONE, b"\2" * 32, 1_234)
    signature = Key.from_secret(sensor.key).sign(typed.RECEIPT.digest(domain, values))
    assert signature == field.receipt(command)
    field.acknowledge(command, signature)


@pytest.mark.parametrize(
    "change",
    [
        {"command": 2},
        {"device": meter.address},
        {"outcome": FAILED},
        {"detail": b"\3" * 32},
        {"at": 1_235},
    ],
)
def test_a_receipt_binds_every_field(field: Fielded, change: dict[str, Any]) -> None:
    command = field.order().value
    with refused("automation: wrong receipt"):
        field.acknowledge(command, field.receipt(command, **change))


def test_a_receipt_of_another_key_or_network_is_refused(field: Fielded) -> None:
    command = field.order().value
    good = field.receipt(command)
    message = {
        "command": command,
        "device": sensor.address,
        "outcome": DONE,
        "detail": b"\2" * 32,
        "at": 1_234,
    }
    domain = field.automation.domain(network_id=b"\7" * 32)
    foreign = sensor.sign(domain, RECEIPT, message)
    theirs = field.receipt(command, by=meter, device=sensor.address)
    for bad in (foreign, theirs, good[:64], b"", good[:64] + b"\x1d"):
        with refused("automation: wrong receipt"):
            field.acknowledge(command, bad)
    field.acknowledge(command, good)


def test_outcomes_are_done_refused_or_failed(field: Fielded) -> None:
    command = field.order().value
    for outcome in (0, LAPSED, 255):
        with refused("automation: unknown outcome"):
            field.answer(command, outcome)
    with refused("automation: unknown command"):
        field.answer(command + 1)


def test_an_unknown_command_is_nothing(field: Fielded) -> None:
    field.order()
    for name in (0, 2):
        found = field.automation.call("command", name)
        assert found.device == ZERO
        assert not any(value for key, value in found.items() if key not in ("device", "detail"))


@pytest.mark.parametrize("detail", [0, 2**256 - 1])
def test_every_detail_and_moment_is_kept(field: Fielded, detail: int) -> None:
    command, at = field.order().value, 2**64 - 1
    raw = detail.to_bytes(32, "big")
    signature = field.receipt(command, detail=raw, at=at)
    told = (command, DONE, raw, at, signature)
    field.automation.send("acknowledge", *told, sender=guardian.address)
    found = field.automation.call("command", command)
    assert (found.detail, found.at, found.answered_at) == (raw, at, field.chain.now)


def test_an_unanswered_command_lapses(field: Fielded) -> None:
    rule = field.approve(max_age=DAY).value
    field.settle(101)
    command, order = field.trigger(rule).value, field.order().value
    field.chain.warp(ANSWER_TIME)
    for other in (mallory, sensor, guardian):
        with refused("automation: not over yet"):
            field.lapse(command, by=other)
    with field.chain.anchor():
        field.answer(command)
    field.chain.warp(1)
    event = field.lapse(command, by=mallory).one("Lapsed")
    seen = {"id": command, "rule": rule, "device": sensor.address, "sender": mallory.address}
    assert event.args == seen
    found = field.automation.call("command", command)
    assert (found.outcome, found.answered_at) == (LAPSED, 0)
    assert opened(field) == [order]
    for again in (field.lapse, field.answer):
        with refused("automation: not open"):
            again(command)
    assert field.due(rule)
    field.answer(order)
    with refused("automation: unknown command"):
        field.lapse(order + 1)


def test_the_owner_withdraws_a_command_at_once(field: Fielded) -> None:
    command = field.order().value
    with refused("automation: not over yet"):
        field.lapse(command, by=bob)
    assert field.lapse(command, by=alice).one("Lapsed").rule == 0
    assert opened(field) == []


def test_the_governor_pauses_new_rules_and_has_no_other_power(field: Fielded) -> None:
    rule = field.approve().value
    field.settle(101)
    with refused("automation: not the governor"):
        field.automation.send("set_paused", True, sender=guardian.address)
    assert field.world.setup(field.automation, "set_paused", True).one("PausedSet").paused
    with refused("automation: paused"):
        field.approve()
    field.answer(field.trigger(rule).value)
    field.answer(field.order().value)
    for function, arguments in (("revoke", (rule,)), ("lapse", (1,)), ("order", ())):
        told = (sensor.address, "relay.1", 1) if function == "order" else arguments
        with pytest.raises(Exception, match="automation"):
            field.world.setup(field.automation, function, *told)
    field.automation.send("revoke", rule, sender=alice.address)
    field.world.setup(field.automation, "set_paused", False)
    field.approve()


def test_a_broken_status_stops_rules_and_nothing_else(field: Fielded) -> None:
    rule = field.approve().value
    field.gauge.send("set_broken", True, sender=alice.address)
    with refused("gauge: broken"):
        field.trigger(rule)
    field.answer(field.order().value)


def test_devices_do_not_mix(field: Fielded) -> None:
    field.add(meter, bob)
    field.settle(101)
    ours, theirs = field.approve().value, field.approve(meter, by=bob).value
    first, second = field.trigger(ours).value, field.trigger(theirs).value
    assert opened(field, sensor.address) == [first]
    assert opened(field, meter.address) == [second]
    with refused("automation: not the owner"):
        field.automation.send("revoke", theirs, sender=alice.address)
    with refused("automation: wrong receipt"):
        field.answer(first, by=meter)
    field.answer(second, by=meter)
    assert rules(field, meter.address) == [theirs]


def test_a_contract_that_an_owner_calls_is_not_the_owner(field: Fielded) -> None:
    """Whoever pays for the transaction says nothing: only the caller counts."""
    rule, command = field.approve().value, field.order().value
    other = field.world.puppet()
    for function, arguments in (
        ("order", (sensor.address, "relay.1", 1)),
        ("revoke", (rule,)),
        ("lapse", (command,)),
    ):
        with pytest.raises(Exception, match=r"not the owner|not over yet"):
            other.act(field.automation, function, *arguments)


def test_a_contract_owns_a_device(field: Fielded) -> None:
    owner = field.world.puppet()
    told = (meter.address, KEY, BINDING, PLACE, "", owner.address, field.chain.now + 600)
    owner.act(field.devices, "enroll", *told, field.consent(meter, owner.address))
    command = owner.act(field.automation, "order", meter.address, "relay.1", 1).value
    owner.act(field.automation, "lapse", command)
    terms = (SUBJECT, ASPECT, True, 1, "relay.1", 1, 1, 1, field.chain.now + 1)
    rule = owner.act(field.automation, "approve", meter.address, *terms).value
    owner.act(field.automation, "revoke", rule)
    owner.act(field.devices, "report", meter.address, "2.0")
    owner.act(field.devices, "update", meter.address, PLACE, owner.address)
    owner.act(field.devices, "retire", meter.address)
