"""Worth: the same for everybody, only of what the device itself signed, and no flood pays."""

from __future__ import annotations

import random
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from freehold.domain.did import Did, sign
from freehold.telemetry.reading import Batch, Reading, pack, seal
from freehold.telemetry.worth import Case, Span, Worth, worth, worths

NETWORK, OTHER = bytes(range(32)), bytes(32)
SPAN = Span(1_790_000_000_000, 1_790_003_600_000)
KEY, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
DID = Did.of(KEY.public_key())


def batch(
    times: Sequence[int], *, sequence: int, boot: int = 1, key: Ed25519PrivateKey = KEY,
    network: bytes = NETWORK, value: float | None = None, metric: str = "roof.temperature",
) -> bytes:  # fmt: skip
    draw = random.Random(times[0])
    readings = [
        Reading(metric, "Cel", at, 20 + draw.gauss(0, 0.1) if value is None else value)
        for at in times
    ]
    did = Did.of(key.public_key())
    made = Batch(network, did, boot, sequence, times[-1], pack(readings))
    return seal(made, lambda message: sign(key, message))


def hour(since: int, *, first: int = 1, step: int = 10_000) -> list[bytes]:
    """A batch of ten readings each 100 seconds."""
    times = list(range(since, since + 3_600_000, step))
    return [
        batch(times[at : at + 10], sequence=first + at // 10) for at in range(0, len(times), 10)
    ]


BEFORE = hour(SPAN.since - 3_600_000)
NOW = hour(SPAN.since, first=100)


def of(before: Sequence[bytes], now: Sequence[bytes], did: Did = DID) -> Worth:
    return worth(before, now, network_id=NETWORK, did=did, since=SPAN.since, until=SPAN.until)


def test_sound_readings_of_the_epoch_count_and_quality_is_earned() -> None:
    found = of(BEFORE, NOW)
    assert found.readings == 360
    assert 350 <= found.counted <= 360
    assert found.metrics == {"roof.temperature": found.counted}
    assert 950_000 < found.quality <= 1_000_000
    assert of([], NOW).quality < found.quality


def test_the_order_and_copies_do_not_matter() -> None:
    shuffled = [*NOW, *NOW[:5], *BEFORE]
    random.Random(1).shuffle(shuffled)
    assert of(shuffled, BEFORE[:7]) == of(BEFORE, NOW)


def test_what_the_device_did_not_sign_for_this_network_is_nothing() -> None:
    strange = [batch([SPAN.since + 5], sequence=500, key=STRANGER)]
    foreign = [batch([SPAN.since + 5], sequence=501, network=OTHER)]
    broken = [NOW[0][:-1] + bytes([NOW[0][-1] ^ 1]), b"", b"x" * 300]
    assert of(BEFORE, [*NOW, *strange, *foreign, *broken]) == of(BEFORE, NOW)
    assert of(BEFORE, NOW, Did.of(STRANGER.public_key())) == Worth()


def test_two_batches_for_one_place_count_for_nothing() -> None:
    twin = batch([SPAN.since + 7], sequence=100)
    assert of(BEFORE, [*NOW, twin]) == of(BEFORE, NOW[1:])


def test_readings_count_in_the_epoch_of_their_own_time() -> None:
    late = [batch([SPAN.until - 5_000, SPAN.until, SPAN.until + 5_000], sequence=900)]
    before, after = of(BEFORE, NOW), of(BEFORE, [*NOW, *late])
    assert after.readings == before.readings + 1
    following = worth(
        NOW, late, network_id=NETWORK, did=DID, since=SPAN.until, until=SPAN.until + 3_600_000
    )
    assert following.readings == 2


def test_a_flood_earns_no_more_than_one_reading_a_second() -> None:
    calm = [batch(range(SPAN.since, SPAN.since + 60_000, 1_000), sequence=1)]
    wild = [batch(range(SPAN.since, SPAN.since + 60_000, 20), sequence=1)]
    assert of([], wild).readings == 3_000
    assert of([], calm).counted == 60
    assert of([], wild).counted <= 60


def test_what_cannot_be_is_not_counted() -> None:
    hot = [batch([SPAN.since + at * 10_000 + 5_000], sequence=200 + at, value=900.0)
           for at in range(40)]  # fmt: skip
    found, sound = of(BEFORE, [*NOW, *hot]), of(BEFORE, NOW)
    assert found.readings == sound.readings + 40
    assert found.counted <= sound.counted
    assert found.quality < sound.quality


def test_many_at_once_are_as_each_alone() -> None:
    cases = [Case(DID, [*BEFORE, *NOW]), Case(DID, []), Case(DID, NOW[:9])]
    together = worths(cases, SPAN, network_id=NETWORK)
    assert together == [of(BEFORE, NOW), Worth(), of([], NOW[:9])]
