"""Devices that publish signed batches over MQTT at a steady rate; run as a process of its own.

    python -m bench.mqtt_fleet PORT DEVICES RATE READINGS SECONDS

Batches are signed before the start, as devices would do on their own; the batch's time is the
moment at which it is due, so that a latency counts from there even where the sender was late.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from freehold.domain.did import Did, sign
from freehold.domain.ids import checksum, keccak
from freehold.telemetry.members import Member, topic
from freehold.telemetry.reading import Batch, Reading, pack, seal

NETWORK = keccak(b"freehold benchmark network")
CLIENTS, WINDOW = 4, 2_000
METRICS = 8
MARK = "plant.m0"
"""The metric whose last reading has the batch's own time."""
STEP = 100
"""Milliseconds between two rows of a batch."""
LEAD = 3_000
"""Milliseconds between the end of signing and the first batch."""


@dataclass(frozen=True, slots=True)
class Station:
    """A device with a key from its number."""

    key: Ed25519PrivateKey
    member: Member

    @classmethod
    def of(cls, number: int) -> Station:
        """The same one in every process."""
        key = Ed25519PrivateKey.from_private_bytes(sha256(b"station %d" % number).digest())
        did = Did.of(key.public_key())
        name = checksum(sha256(did.raw).digest()[:20])
        return cls(key, Member(name, did, f"owner {number}", "device"))


@dataclass(frozen=True, slots=True)
class Due:
    """A message and the moment at which it is due, milliseconds since 1970."""

    moment: int
    topic: str
    payload: bytes


def batches(
    stations: list[Station], *, start: int, rate: int, readings: int, seconds: int
) -> Iterator[Due]:
    """One after another in turn, ``rate`` a second."""
    for number in range(rate * seconds):
        station = stations[number % len(stations)]
        moment = start + number * 1_000 // rate
        told = pack(_readings(number, moment, readings))
        batch = Batch(NETWORK, station.member.did, 1, number // len(stations) + 1, moment, told)
        data = seal(batch, partial(sign, station.key))
        yield Due(moment, f"fh/dev/{topic(station.member.id)}", data)


def _readings(number: int, moment: int, count: int) -> list[Reading]:
    """Rows of up to eight metrics, ``STEP`` apart, the last at ``moment``."""
    found: list[Reading] = []
    rows = -(-count // METRICS)
    for place in range(count):
        row, metric = divmod(count - 1 - place, METRICS)
        value = 50.0 + 10.0 * metric + (number * 7_919 + place * 104_729) % 1_000 / 1_000
        found.append(Reading(f"plant.m{metric}", "1", moment - STEP * row, value))
    return sorted(found, key=lambda each: each.time) if rows > 1 else found


def main(port: int, devices: int, rate: int, readings: int, seconds: int) -> None:
    """Sign, say when it begins, publish, and tell how it went."""
    stations = [Station.of(number) for number in range(devices)]
    begun = time.process_time()
    guess = _now() + LEAD + rate * seconds // 4
    due = list(batches(stations, start=guess, rate=rate, readings=readings, seconds=seconds))
    signing = time.process_time() - begun
    clients = [_client(port, number) for number in range(CLIENTS)]
    print(json.dumps({"start": guess, "late": max(0, _now() - guess)}), flush=True)
    begun, latest = time.process_time(), 0
    last: list[mqtt.MQTTMessageInfo] = []
    for number, each in enumerate(due):
        wait = (each.moment - _now()) / 1_000
        if wait > 0:
            time.sleep(wait)
        latest = max(latest, _now() - each.moment)
        last.append(clients[number % CLIENTS].publish(each.topic, each.payload, qos=1))
        if len(last) > WINDOW:
            last.pop(0).wait_for_publish(30)
    for each_sent in last:
        each_sent.wait_for_publish(30)
    for client in clients:
        client.disconnect()
        client.loop_stop()
    told = {
        "sent": len(due), "bytes": sum(len(each.payload) for each in due) // len(due),
        "latest_ms": latest, "signing_seconds": round(signing, 3),
        "processor_seconds": round(time.process_time() - begun, 3),
    }  # fmt: skip
    print(json.dumps(told), flush=True)


def _client(port: int, number: int) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, f"fleet-{number}")
    client.max_inflight_messages_set(WINDOW)
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main(*map(int, sys.argv[1:6]))
