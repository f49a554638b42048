"""Whatever byte of an export is changed, verification says so and names the line."""

from __future__ import annotations

from functools import cache
from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.audit.report import Report
from freehold.audit.verify import Verification
from unit.audit.press import EARNED, answers, earning, small


@cache
def pressed() -> tuple[bytes, ...]:
    press = small()
    return tuple(press.export(answers(press)).splitlines(keepends=True))


def verify(text: bytes) -> Report:
    return Verification().run(BytesIO(text))


def test_the_untouched_export_passes() -> None:
    report = verify(b"".join(pressed()))
    assert report.passed, report.difference
    assert report.counts["claims"] == 5
    assert report.counts["contracts"] == 9


@cache
def economic() -> tuple[bytes, ...]:
    return tuple(earning().export(EARNED).splitlines(keepends=True))


def test_the_untouched_export_of_an_economy_passes() -> None:
    report = verify(b"".join(economic()))
    assert report.passed, report.difference
    assert report.counts["contracts"] == 18
    assert (report.figures["emitted"], report.figures["burned by sales"]) == (600, 499)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found_and_its_line_named(data: st.DataObject) -> None:
    lines = list(data.draw(st.sampled_from([pressed(), economic()])))
    number = data.draw(st.integers(0, len(lines) - 1), label="line")
    place = data.draw(st.integers(0, len(lines[number]) - 1), label="place")
    other = data.draw(st.integers(0, 255).filter(lambda b: b != lines[number][place]))
    lines[number] = lines[number][:place] + bytes([other]) + lines[number][place + 1 :]
    report = verify(b"".join(lines))
    assert report.difference is not None
    assert report.difference.place.line == number + 1


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_lost_doubled_or_cut_line_is_found(data: st.DataObject) -> None:
    lines = list(pressed())
    number = data.draw(st.integers(0, len(lines) - 1))
    kind = data.draw(st.sampled_from(["lost", "doubled", "cut", "swapped"]))
    if kind == "lost":
        del lines[number]
    elif kind == "doubled":
        lines.insert(number, lines[number])
    elif kind == "cut":
        lines[number:] = [lines[number][: data.draw(st.integers(0, len(lines[number]) - 1))]]
    else:
        other = (number + 1) % len(lines)
        lines[number], lines[other] = lines[other], lines[number]
    assert not verify(b"".join(lines)).passed


def test_the_place_is_named_by_block_and_field() -> None:
    lines = list(pressed())
    at = lines[3].index(b'"receipts":["0x') + 40
    lines[3] = (
        lines[3][:at] + (b"1" if lines[3][at : at + 1] != b"1" else b"2") + lines[3][at + 1 :]
    )
    difference = verify(b"".join(lines)).difference
    assert difference is not None
    assert (difference.check, difference.place.block, difference.place.field) == (
        "headers", 7, "receipts",
    )  # fmt: skip
    assert "root of the receipts" in difference.what
