"""Honesty from evidence: what is held against a device, and what cannot be."""

from __future__ import annotations

import random
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.evm import NETWORK_ID, signer
from freehold.domain.did import Did, sign
from freehold.domain.ids import Address, checksum
from freehold.node.watcher.observe.field import Watched
from freehold.node.watcher.observe.honesty import Seen, Span, measure
from freehold.telemetry.reading import Batch, Reading, pack, seal
from unit.node.watcher.crowd import Sensor

NOW = 1_800_000_000_000
SPAN = Span(NOW - 1_200_000, NOW - 600_000, NOW)
OWNER = checksum(b"\x05" * 20)
TEMPERATURE = "roof.temperature"


def sensor(number: int) -> Sensor:
    key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return Sensor(signer(f"sensor {number}"), key)


def fill(of: Sensor, values: Sequence[float], *, end: int = NOW) -> None:
    """A reading each five seconds up to ``end``."""
    for place, value in enumerate(values):
        of.send(NETWORK_ID, end - 5_000 * (len(values) - place), value)


def weather(seed: int, count: int = 240) -> list[float]:
    draw = random.Random(seed)
    return [20 + place / 200 + draw.gauss(0, 0.05) for place in range(count)]


def seen(
    *sensors: Sensor,
    extra: dict[Address, list[bytes]] | None = None,
    owners: dict[Address, Address] | None = None,
) -> dict[Address, Seen]:
    whose = owners or {}
    devices = {
        s.id: Watched(s.id, whose.get(s.id, OWNER), Did.of(s.key.public_key())) for s in sensors
    }
    evidence = {s.id: [*s.batches, *(extra or {}).get(s.id, [])] for s in sensors}
    return measure(evidence, devices, NETWORK_ID, SPAN)


def test_a_sound_device_is_honest_and_measures_its_median() -> None:
    one = sensor(1)
    fill(one, weather(1))
    found = seen(one)[one.id]
    assert found.honest > 9_800
    middle = sorted(weather(1)[-9:])[4]
    assert found.readings[TEMPERATURE] == round((middle + 273.15) * 1e6)


def test_every_watcher_comes_to_the_same_from_any_order() -> None:
    one, two = sensor(1), sensor(2)
    fill(one, weather(1))
    fill(two, weather(2))
    first = seen(one, two)
    random.Random(3).shuffle(one.batches)
    one.batches += one.batches[:20]
    assert seen(one, two) == first


def test_of_a_single_round_of_silence_nothing_is_told() -> None:
    one = sensor(1)
    fill(one, weather(1), end=SPAN.since)
    assert seen(one) == {}


def test_silence_of_two_rounds_is_told_as_such() -> None:
    assert seen(sensor(1))[sensor(1).id] == Seen(0, {}, silent=True)


def test_who_lied_and_fell_silent_is_not_honest() -> None:
    one = sensor(1)
    fill(one, weather(1), end=SPAN.since)
    one.send(NETWORK_ID, SPAN.since - 100, 25.0, sequence=200)
    assert seen(one)[one.id] == Seen(0, {})


def test_two_batches_in_one_place_are_held_against_the_device() -> None:
    one = sensor(1)
    fill(one, weather(1))
    one.send(NETWORK_ID, NOW - 100, 25.0, sequence=200)
    assert seen(one)[one.id] == Seen(0, {})


def test_forged_and_foreign_batches_are_held_against_nobody() -> None:
    one, two = sensor(1), sensor(2)
    fill(one, weather(1))
    fill(two, weather(2))
    broken = one.batches[5][:-1] + bytes([one.batches[5][-1] ^ 1])
    payload = pack([Reading(TEMPERATURE, "Cel", NOW - 50, 99.0)])
    did = Did.of(one.key.public_key())
    foreign = Batch(b"\x09" * 32, did, 1, 7, NOW - 50, payload)
    strange = [broken, seal(foreign, lambda m: sign(one.key, m)), b"FHR", b"", *two.batches]
    assert seen(one, extra={one.id: strange})[one.id] == seen(one)[one.id]


def test_a_stuck_sensor_is_less_honest() -> None:
    one = sensor(1)
    fill(one, [*weather(1, 120), *[20.5] * 120])
    found = seen(one)[one.id]
    assert 0 < found.honest < 8_000


def test_copies_within_one_owners_devices_are_not_honest() -> None:
    sensors = [sensor(number) for number in range(1, 8)]
    for number, each in enumerate(sensors[:6]):
        fill(each, weather(number))
    fill(sensors[6], weather(0))
    found = seen(*sensors)
    assert found[sensors[0].id].honest == found[sensors[6].id].honest == 0
    assert all(found[each.id].honest > 9_000 for each in sensors[1:6])


def test_a_stranger_who_copies_a_device_does_not_harm_it() -> None:
    sensors = [sensor(number) for number in range(1, 8)]
    for number, each in enumerate(sensors[:6]):
        fill(each, weather(number))
    fill(sensors[6], weather(0), end=NOW - 1)
    found = seen(*sensors, owners={sensors[6].id: checksum(b"\x06" * 20)})
    assert found[sensors[0].id].honest > 9_000


def test_a_device_that_repeats_its_own_past_is_not_honest() -> None:
    one = sensor(1)
    day = weather(1, 60)
    fill(one, [*day, *day, *day, *day])
    assert seen(one)[one.id] == Seen(0, {})
