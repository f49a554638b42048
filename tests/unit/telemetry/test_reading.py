from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.did import ForgedError, PrivateKey
from freehold.domain.errors import FreeholdError, VersionError
from freehold.telemetry.columns import unpack
from freehold.telemetry.reading import (
    BATCH_MAX,
    PAYLOAD_MAX,
    READINGS_MAX,
    VALUE_MAX,
    Reading,
    open_batch,
    pack,
)
from freehold.telemetry.refusals import (
    BackwardsError,
    ForeignError,
    MalformedError,
    NotAReadingError,
    TooLargeError,
    WrongUnitError,
)
from unit.telemetry.devices import KEYS, NETWORK, NOW, READINGS, batch, sealed

NAMES = {"roof.temperature": "Cel", "roof.humidity": "%", "a_1.odd": "lx", "x": "1"}


@st.composite
def readings(draw: st.DrawFn) -> list[Reading]:
    steps = draw(st.lists(st.integers(0, 100_000), min_size=1, max_size=60))
    names = st.sampled_from(sorted(NAMES))
    values = st.floats(-VALUE_MAX, VALUE_MAX)
    time, out = NOW - 7_000_000, []
    for step in steps:
        time += step
        name = draw(names)
        out.append(Reading(name, NAMES[name], time, draw(values)))
    return out


@pytest.mark.parametrize("key", KEYS)
@given(made=readings(), boot=st.integers(0, 2**63 - 1), sequence=st.integers(1, 2**63 - 1))
def test_what_was_sealed_is_opened(
    key: PrivateKey, made: list[Reading], boot: int, sequence: int
) -> None:
    given_ = batch(key=key, boot=boot, sequence=sequence, payload=pack(made))
    opened = open_batch(sealed(given_, key), network_id=NETWORK)
    assert opened == given_
    assert unpack(opened).readings() == made


@given(st.integers(min_value=0))
def test_any_flipped_bit_is_refused(position: int) -> None:
    data = bytearray(sealed(batch()))
    bit = position % (8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FreeholdError):
        open_batch(bytes(data), network_id=NETWORK)


@given(st.binary(max_size=400))
def test_noise_is_refused_with_a_reason(data: bytes) -> None:
    for start in (b"", b"FHR\x01", sealed(batch())[:150]):
        with pytest.raises(FreeholdError) as caught:
            open_batch(start + data, network_id=NETWORK)
        assert caught.value.remedy


@given(st.binary(min_size=0, max_size=300))
def test_a_signed_payload_of_noise_is_refused_or_is_exactly_one_encoding(payload: bytes) -> None:
    for start in (b"", struct.pack("<BH", 1, 2) + b"\x01x\x00"):
        made = batch(payload=start + payload)
        try:
            columns = unpack(made)
        except FreeholdError:
            continue
        assert pack(columns.readings()) == made.payload


def test_each_of_the_signed_fields_is_signed() -> None:
    data, made = sealed(batch()), batch()
    for forged in (
        replace(made, boot=2),
        replace(made, sequence=2),
        replace(made, time=NOW + 1),
        replace(made, payload=pack(READINGS[:2])),
        replace(made, device=batch(key=KEYS[1]).device),
    ):
        copy = sealed(forged)[:-64] + data[-64:]
        with pytest.raises(ForgedError):
            open_batch(copy, network_id=NETWORK)


def test_a_batch_of_another_network_is_refused() -> None:
    with pytest.raises(ForeignError):
        open_batch(sealed(batch()), network_id=bytes(32))
    moved = bytearray(sealed(batch()))
    moved[4:36] = bytes(32)
    with pytest.raises(ForgedError):
        open_batch(bytes(moved), network_id=bytes(32))


def test_an_unknown_version_is_refused_by_name() -> None:
    data = bytearray(sealed(batch()))
    data[3] = 2
    with pytest.raises(VersionError, match="version 2"):
        open_batch(bytes(data), network_id=NETWORK)


def test_bytes_after_the_end_and_a_short_end_are_refused() -> None:
    data = sealed(batch())
    for wrong in (data + b"\0", data[:-1], data[:50], b"FHR", b""):
        with pytest.raises(MalformedError):
            open_batch(wrong, network_id=NETWORK)


def test_huge_payloads_are_refused_before_they_are_read() -> None:
    with pytest.raises(TooLargeError):
        open_batch(bytes(BATCH_MAX + 1), network_id=NETWORK)
    with pytest.raises(TooLargeError):
        sealed(batch(payload=bytes(PAYLOAD_MAX + 1)))
    many = [Reading("x", "1", NOW, 0.0)] * (READINGS_MAX + 1)
    with pytest.raises(TooLargeError):
        pack(many)
    with pytest.raises(TooLargeError):
        pack([Reading(f"x{i:03}", "1", NOW, 0.0) for i in range(65)])
    largest = [Reading(f"{i % 64:048}", "1", NOW, 0.0) for i in range(READINGS_MAX)]
    made = batch(payload=pack(largest))
    assert unpack(open_batch(sealed(made), network_id=NETWORK)).readings() == largest


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1.1e100])
def test_nan_and_infinities_are_no_readings(value: float) -> None:
    with pytest.raises(NotAReadingError):
        pack([Reading("x", "1", NOW, value)])
    good = pack([Reading("x", "1", NOW, 1.0)])
    with pytest.raises(NotAReadingError):
        unpack(batch(payload=good[:-8] + struct.pack("<d", value)))


def test_units_must_be_known_and_fit() -> None:
    with pytest.raises(WrongUnitError, match="furlong"):
        pack([Reading("x", "furlong", NOW, 1.0)])
    with pytest.raises(WrongUnitError, match=r"roof\.temperature is a temperature"):
        pack([Reading("roof.temperature", "V", NOW, 1.0)])
    good = pack([Reading("temperature", "Cel", NOW, 1.0)])
    at = good.index(b"temperature") + len("temperature")
    for code in (13, 200):
        with pytest.raises(WrongUnitError):
            unpack(batch(payload=good[:at] + bytes([code]) + good[at + 1 :]))
    with pytest.raises(MalformedError, match="two units"):
        pack([Reading("x", "1", NOW, 1.0), Reading("x", "m", NOW, 1.0)])


def test_time_must_not_run_backwards() -> None:
    with pytest.raises(BackwardsError):
        pack([Reading("x", "1", NOW, 1.0), Reading("x", "1", NOW - 1, 1.0)])
    good = pack([Reading("x", "1", NOW - 9, 1.0), Reading("x", "1", NOW, 1.0)])
    with pytest.raises(BackwardsError, match="later than its batch"):
        unpack(batch(payload=good, time=NOW - 1))
    steps = struct.pack("<2I", 0, 9)
    swapped = good.replace(steps, struct.pack("<2I", 9, 0))
    with pytest.raises(MalformedError):
        unpack(batch(payload=swapped))
    one = pack([Reading("x", "1", NOW - 9, 1.0)])
    late = one[:-12] + struct.pack("<I", 9) + one[-8:]
    with pytest.raises(MalformedError, match="out of range"):
        unpack(batch(payload=late))
    three = pack([Reading("x", "1", NOW - step, 1.0) for step in (9, 5, 0)])
    backwards = three.replace(struct.pack("<3I", 0, 4, 9), struct.pack("<3I", 0, 9, 4))
    with pytest.raises(BackwardsError):
        unpack(batch(payload=backwards))


@pytest.mark.parametrize("name", ["", "A", "a..b", ".a", "a.", "a b", "é", "a" * 49, "a\n"])
def test_names_of_metrics_are_plain(name: str) -> None:
    with pytest.raises(MalformedError):
        pack([Reading(name, "1", NOW, 1.0)])


@pytest.mark.parametrize(("boot", "sequence", "time"), [(2**63, 1, NOW), (1, 0, NOW), (1, 1, 0)])
def test_numbers_out_of_range_are_refused(boot: int, sequence: int, time: int) -> None:
    with pytest.raises(MalformedError):
        sealed(batch(boot=boot, sequence=sequence, time=time))


def test_an_agent_does_not_load_numpy() -> None:
    code = "import sys, freehold.telemetry.reading; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
