"""The list of devices: consent of the agent key, ownership for ever, generations, the fee."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.evm import CHAIN_ID, NETWORK_ID, ZERO, Chain
from contracts.fielded import (
    BINDING,
    ENROLMENT,
    KEY,
    PLACE,
    Fielded,
    deploy_fielded,
    meter,
    sensor,
)
from contracts.world import TOKEN, alice, bob, carol, guardian, mallory, refused
from freehold.domain import typed
from freehold.domain.ids import address, keccak
from freehold.domain.keys import Key

MOST = 1_000 * TOKEN


@pytest.fixture
def field(chain: Chain) -> Fielded:
    return deploy_fielded(chain)


def test_needs_a_governor_a_token_and_a_bounded_fee(chain: Chain, field: Fielded) -> None:
    def made(governor: str, token: str, fee: int) -> None:
        chain.deploy("devices", NETWORK_ID, governor, token, fee, sender=alice.address)

    good = (field.world.governor.address, field.world.token.address)
    with refused("devices: no governor"):
        made(ZERO, good[1], 0)
    with refused("devices: token has no code"):
        made(good[0], alice.address, 0)
    with refused("devices: fee too high"):
        made(*good, MOST + 1)
    made(*good, MOST)


def test_enrols_with_the_consent_of_the_agent(field: Fielded) -> None:
    consent = field.consent(sensor, alice.address)
    event = field.enroll(consent, payout=carol.address).one("Enrolled")
    told = {
        "owner": alice.address,
        "payout": carol.address,
        "generation": 1,
        "key": KEY,
        "binding": BINDING,
        "place": PLACE,
        "firmware": "fw 1.0",
    }
    assert event.args == {"device": sensor.address, "burned": 0, **told}
    stored = field.devices.call("device", sensor.address)
    assert stored == {**told, "enrolled_at": field.chain.now, "retired": False}
    views = {"owner_of": alice.address, "payout_of": carol.address, "key_of": KEY}
    for view, value in {**views, "active": True, "generation_of": 1}.items():
        assert field.devices.call(view, sensor.address) == value
    assert field.devices.call("count") == 1
    assert field.devices.call("at", 0) == sensor.address
    with refused("devices: no such place"):
        field.devices.call("at", 1)
    assert field.devices.call("network_id") == NETWORK_ID


def test_an_unknown_device_is_nothing(field: Fielded) -> None:
    views = {"owner_of": ZERO, "payout_of": ZERO, "key_of": b"", "active": False}
    for view, value in {**views, "generation_of": 0}.items():
        assert field.devices.call(view, sensor.address) == value
    assert field.devices.call("device", sensor.address).generation == 0


def test_the_digest_is_that_of_the_package(field: Fielded) -> None:
    domain = typed.Domain("Freehold devices", CHAIN_ID, address(field.devices.address), NETWORK_ID)
    deadline = field.chain.now + 600
    values = (address(sensor.address), address(alice.address), keccak(KEY), 1, deadline)
    key = Key.from_secret(sensor.key)
    field.enroll(key.sign(typed.ENROLMENT.digest(domain, values)))
    assert field.devices.call("active", sensor.address)


@pytest.mark.parametrize(
    "change",
    [
        {"device": mallory.address},
        {"owner": mallory.address},
        {"key": b"\0" * 32},
        {"generation": 2},
        {"generation": 0},
        {"deadline": 1},
    ],
)
def test_consent_binds_every_field(field: Fielded, change: dict[str, Any]) -> None:
    with refused("devices: wrong consent"):
        field.enroll(field.consent(sensor, alice.address, **change))


def test_consent_of_another_key_network_or_owner_is_refused(field: Fielded) -> None:
    good = field.consent(sensor, alice.address)
    with refused("devices: wrong consent"):
        field.enroll(good, by=mallory)
    with refused("devices: wrong consent"):
        field.enroll(field.consent(mallory, alice.address, device=sensor.address))
    message = {
        "device": sensor.address,
        "owner": alice.address,
        "key": keccak(KEY),
        "generation": 1,
        "deadline": field.chain.now + 600,
    }
    foreign = sensor.sign(field.devices.domain(network_id=b"\7" * 32), ENROLMENT, message)
    for bad in (foreign, good[:64], b"", good[:64] + b"\x1d"):
        with refused("devices: wrong consent"):
            field.enroll(bad)
    field.enroll(good)


def test_consent_expires(field: Fielded) -> None:
    deadline = field.chain.now + 600
    consent = field.consent(sensor, alice.address)
    field.chain.warp(600)
    with field.chain.anchor():
        field.enroll(consent, deadline=deadline)
    field.chain.warp(1)
    with refused("devices: consent expired"):
        field.enroll(consent, deadline=deadline)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"\xed\x01",
        b"\xed\x01" + b"\7" * 31,
        b"\xed\x01" + b"\7" * 33,
        b"\x80\x24" + b"\7" * 32,
        b"\xe7\x01" + b"\7" * 32,
        b"\xe7\x01" + b"\7" * 33,
        b"\xed\x02" + b"\7" * 32,
    ],
)
def test_a_key_has_one_of_two_forms(field: Fielded, key: bytes) -> None:
    with refused("devices: wrong key"):
        field.enroll(field.consent(sensor, alice.address, key=keccak(key)), key=key)


def test_a_p256_key_is_taken(field: Fielded) -> None:
    key = b"\x80\x24\x02" + b"\7" * 32
    field.enroll(field.consent(sensor, alice.address, key=keccak(key)), key=key)
    assert field.devices.call("key_of", sensor.address) == key


def test_device_payout_and_binding_are_checked(field: Fielded) -> None:
    consent = field.consent(sensor, alice.address)
    for wrong in (ZERO, alice.address):
        with refused("devices: wrong device"):
            field.enroll(consent, device=wrong)
    with refused("devices: no payout"):
        field.enroll(consent, payout=ZERO)
    for binding in (b"", BINDING[:63]):
        with refused("devices: wrong binding"):
            field.enroll(consent, binding=binding)


@pytest.mark.parametrize(
    "change",
    [{"key": KEY + b"\7\7"}, {"binding": BINDING + b"\5"}, {"firmware": "f" * 33}],
)
def test_lengths_are_bounded(field: Fielded, change: dict[str, Any]) -> None:
    with refused(""):
        field.enroll(field.consent(sensor, alice.address), **change)


def test_a_device_is_enrolled_once_and_owned_for_ever(field: Fielded) -> None:
    first = field.consent(sensor, alice.address)
    field.enroll(first)
    again = field.consent(sensor, alice.address)
    with refused("devices: already enrolled"):
        field.enroll(again)
    event = field.retire().one("Retired")
    assert event.args == {"device": sensor.address, "owner": alice.address, "generation": 1}
    assert not field.devices.call("active", sensor.address)
    assert field.devices.call("generation_of", sensor.address) == 0
    with refused("devices: owned by another"):
        field.enroll(field.consent(sensor, mallory.address), by=mallory)
    with refused("devices: wrong consent"):
        field.enroll(first)
    assert field.enroll(again).one("Enrolled").generation == 2
    assert field.devices.call("generation_of", sensor.address) == 2
    assert field.devices.call("count") == 1


def test_a_retired_device_returns_with_another_key(field: Fielded) -> None:
    field.add()
    field.retire()
    key = b"\x80\x24\x03" + b"\1" * 32
    field.enroll(field.consent(sensor, alice.address, key=keccak(key)), key=key)
    assert field.devices.call("key_of", sensor.address) == key


def test_two_devices_have_two_places(field: Fielded) -> None:
    field.add()
    field.add(meter, bob)
    assert [field.devices.call("at", i) for i in range(2)] == [sensor.address, meter.address]


def test_the_owner_updates(field: Fielded) -> None:
    field.add()
    fields = (b"\1" * 32, bob.address)
    for other in (mallory, sensor):
        with refused("devices: not the owner"):
            field.devices.send("update", sensor.address, *fields, sender=other.address)
    with refused("devices: no payout"):
        field.devices.send("update", sensor.address, fields[0], ZERO, sender=alice.address)
    done = field.devices.send("update", sensor.address, *fields, sender=alice.address)
    told = {"place": fields[0], "payout": bob.address, "owner": alice.address}
    assert done.one("Updated").args == {"device": sensor.address, **told}
    stored = field.devices.call("device", sensor.address)
    assert {name: stored[name] for name in told} == told
    field.retire()
    with refused("devices: retired"):
        field.devices.send("update", sensor.address, *fields, sender=alice.address)


def test_the_device_or_its_owner_reports(field: Fielded) -> None:
    with refused("devices: unknown device"):
        field.devices.send("report", sensor.address, "2.0", sender=sensor.address)
    field.add()
    with refused("devices: not the owner or the device"):
        field.devices.send("report", sensor.address, "2.0", sender=mallory.address)
    for version, by in (("2.0", sensor), ("3.0", alice)):
        event = field.devices.send("report", sensor.address, version, sender=by.address)
        told = {"device": sensor.address, "sender": by.address, "firmware": version}
        assert event.one("Reported").args == told
        assert field.devices.call("device", sensor.address).firmware == version
    field.retire()
    for by in (sensor, alice):
        with refused("devices: retired"):
            field.devices.send("report", sensor.address, "4.0", sender=by.address)


def test_only_the_owner_retires_and_once(field: Fielded) -> None:
    with refused("devices: not the owner"):
        field.retire()
    with refused("devices: unknown device"):
        field.devices.send("retire", sensor.address, sender=ZERO)
    field.add()
    for other in (mallory, sensor):
        with refused("devices: not the owner"):
            field.retire(owner=other)
    field.retire()
    with refused("devices: retired"):
        field.retire()


def test_the_governor_pauses_enrolments_only(field: Fielded) -> None:
    field.add()
    with refused("devices: not the governor"):
        field.devices.send("set_paused", True, sender=mallory.address)
    event = field.world.setup(field.devices, "set_paused", True).one("PausedSet")
    assert event.paused
    with refused("devices: paused"):
        field.add(meter)
    field.devices.send("report", sensor.address, "2", sender=sensor.address)
    field.retire()
    with refused("devices: paused"):
        field.add()
    field.world.setup(field.devices, "set_paused", False)
    field.add()


def test_a_new_device_burns_the_fee_and_a_return_none(chain: Chain) -> None:
    field = deploy_fielded(chain, fee=5 * TOKEN)
    token, owner = field.world.token, alice.address
    field.world.fund(owner, 7 * TOKEN)
    with refused("token: allowance too low"):
        field.add()
    assert field.devices.call("count") == 0
    token.send("approve", field.devices.address, 5 * TOKEN, sender=owner)
    done = field.add()
    assert done.one("Enrolled").burned == 5 * TOKEN
    moved = done.one("Movement")
    assert (moved.sender, moved.amount, moved.purpose) == (owner, 5 * TOKEN, 6)
    assert field.world.balance(owner) == 2 * TOKEN
    field.retire()
    assert field.add().one("Enrolled").burned == 0
    assert field.world.balance(field.devices.address) == 0


def test_the_governor_sets_the_fee_within_its_bound(field: Fielded) -> None:
    with refused("devices: not the governor"):
        field.devices.send("set_fee", 1, sender=guardian.address)
    with pytest.raises(Exception, match="fee too high"):
        field.world.setup(field.devices, "set_fee", MOST + 1)
    assert field.world.setup(field.devices, "set_fee", MOST).one("FeeSet").fee == MOST
    assert field.devices.call("fee") == MOST


def test_a_contract_that_an_owner_calls_is_not_the_owner(field: Fielded) -> None:
    """Whoever pays for the transaction says nothing: only the caller counts."""
    field.add()
    other = field.world.puppet()
    for function, arguments in (
        ("update", (sensor.address, PLACE, other.address)),
        ("report", (sensor.address, "2.0")),
        ("retire", (sensor.address,)),
    ):
        with pytest.raises(Exception, match="not the owner"):
            other.act(field.devices, function, *arguments)
    told = (meter.address, KEY, BINDING, PLACE, "", alice.address, field.chain.now + 600)
    with pytest.raises(Exception, match="wrong consent"):
        other.act(field.devices, "enroll", *told, field.consent(meter, alice.address))
    done = other.act(field.devices, "enroll", *told, field.consent(meter, other.address))
    assert done.one("Enrolled").owner == other.address
    assert field.devices.call("owner_of", meter.address) == other.address
    field.retire()
    with refused("devices: owned by another"):
        other.act(field.devices, "enroll", sensor.address, *told[1:], b"")
