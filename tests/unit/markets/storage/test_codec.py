from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError
from freehold.markets.storage.codec import Reader, Writer
from unit.markets.storage.strategies import numbers


@settings(deadline=None)
@given(numbers, st.binary(max_size=200), st.text(st.characters(exclude_categories=["Cs"])))
def test_fields_read_as_written(number: int, blob: bytes, text: str) -> None:
    writer = Writer()
    writer.number(number)
    writer.blob(blob)
    writer.fixed(blob)
    writer.text(text)
    reader = Reader(writer.data, what="the test")
    assert (reader.number(), reader.blob(200), reader.fixed(len(blob))) == (number, blob, blob)
    assert reader.text(10_000) == text
    reader.end()
    assert reader.at == len(writer.data)


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**64 - 1, "ff" * 9 + "01")],
)
def test_numbers_are_leb128(number: int, encoded: str) -> None:
    writer = Writer()
    writer.number(number)
    assert writer.data.hex() == encoded


@pytest.mark.parametrize(
    "encoded", ["", "80", "8000", "ff00", "ff" * 9 + "02", "ff" * 10 + "01", "80" * 30 + "01"]
)
def test_other_encodings_of_numbers_are_refused(encoded: str) -> None:
    with pytest.raises(IntegrityError, match="the test is malformed"):
        Reader(bytes.fromhex(encoded), what="the test").number()


def test_bounds_hold() -> None:
    with pytest.raises(IntegrityError, match="above 9"):
        Reader(b"\x0a", what="the test").number(9)
    with pytest.raises(IntegrityError):
        Reader(b"\x05hello", what="the test").blob(4)
    with pytest.raises(IntegrityError, match="cut short"):
        Reader(b"\xff\xff\xff\x7fx", what="the test").blob(2**40)
    with pytest.raises(IntegrityError, match="UTF-8"):
        Reader(b"\x01\xff", what="the test").text(4)
    with pytest.raises(IntegrityError, match="1 bytes too many"):
        Reader(b"x", what="the test").end()


def test_what_fits_no_field_is_not_written() -> None:
    writer = Writer()
    for number in (-1, 2**64):
        with pytest.raises(IntegrityError):
            writer.number(number)
    with pytest.raises(IntegrityError):
        writer.text("\ud800")
