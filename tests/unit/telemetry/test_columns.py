from __future__ import annotations

import numpy as np
import pytest

from freehold.telemetry.columns import unpack
from freehold.telemetry.reading import Reading, pack
from freehold.telemetry.refusals import MalformedError
from freehold.telemetry.units import UNITS, unit
from unit.telemetry.devices import NOW, READINGS, batch


def test_columns_of_a_batch() -> None:
    columns = unpack(batch())
    assert columns.table.names == ("roof.humidity", "roof.temperature")
    assert columns.which.tolist() == [1, 0, 1]
    assert columns.times.tolist() == [NOW - 2_000, NOW - 2_000, NOW - 1_000]
    np.testing.assert_allclose(columns.si(), [294.65, 0.4, 294.9])


@pytest.mark.parametrize(
    ("symbol", "value", "si"),
    [
        ("degF", 212.0, 373.15),
        ("kWh", 1.0, 3.6e6),
        ("km/h", 36.0, 10.0),
        ("Mbit/s", 8.0, 1e6),
        ("rpm", 60.0, 1.0),
        ("deg", 180.0, np.pi),
        ("bar", 1.0, 1e5),
    ],
)
def test_published_conversions(symbol: str, value: float, si: float) -> None:
    columns = unpack(batch(payload=pack([Reading("x", symbol, NOW, value)])))
    np.testing.assert_allclose(columns.si(), [si], rtol=1e-12)


def test_codes_of_units_are_their_places() -> None:
    assert [each.code for each in UNITS] == list(range(len(UNITS)))
    assert all(unit(each.symbol) is each for each in UNITS)


def test_a_table_that_is_not_canonical_is_refused() -> None:
    good = pack(READINGS)
    humid, warm = b"\x0droof.humidity\x01", b"\x10roof.temperature\x03"
    assert humid + warm in good
    for table in (warm + humid, humid[:-1] + warm + b"\0"):
        with pytest.raises(MalformedError):
            unpack(batch(payload=good.replace(humid + warm, table)))
    twice = pack([Reading("ab", "1", NOW, 1.0), Reading("cd", "1", NOW, 2.0)])
    with pytest.raises(MalformedError, match="comes twice"):
        unpack(batch(payload=twice.replace(b"cd", b"ab")))


def test_readings_must_name_the_metrics_of_the_table_and_all_of_them() -> None:
    good = pack(READINGS)
    which = good.index(bytes([1, 0, 1]), 40)
    for wrong in ([1, 0, 2], [1, 1, 1]):
        with pytest.raises(MalformedError):
            unpack(batch(payload=good[:which] + bytes(wrong) + good[which + 3 :]))
