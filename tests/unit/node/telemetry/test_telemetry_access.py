from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.node.telemetry.access import ADMIN, Limiter, admin_token, peer, subject
from freehold.node.telemetry.refusals import BusyError
from unit.node.telemetry.service import DEVICE, Clockwork


def test_the_administrators_token_is_drawn_once(tmp_path: Path) -> None:
    token = admin_token(tmp_path, lambda size: b"\x01" * size)
    assert admin_token(tmp_path, lambda size: b"\x02" * size) == token == "01" * 32
    assert stat.S_IMODE((tmp_path / ADMIN).stat().st_mode) == 0o600


def test_an_empty_token_file_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / ADMIN).write_text("\n")
    assert admin_token(tmp_path, lambda size: b"\x02" * size) == "02" * 32


def test_a_bucket_empties_and_fills() -> None:
    clock = Clockwork()
    limiter = Limiter(rate=2, burst=3, kept=10, clock=clock)
    for _ in range(3):
        limiter.spend("a")
    with pytest.raises(BusyError) as caught:
        limiter.spend("a")
    assert caught.value.seconds == 0.5
    limiter.spend("b")
    clock.time = 0.5
    limiter.spend("a")
    clock.time = 1_000
    for _ in range(3):
        limiter.spend("a")
    with pytest.raises(BusyError):
        limiter.check("a")


@given(st.lists(st.text(max_size=3), max_size=200))
def test_the_table_does_not_grow(names: list[str]) -> None:
    limiter = Limiter(rate=1, burst=1e9, kept=5, clock=Clockwork())
    for name in names:
        limiter.spend(name)
    assert len(limiter._buckets) <= 5


def test_neighbours_in_one_household_count_as_one() -> None:
    assert peer("2001:db8::1") == peer("2001:db8::ffff")
    assert peer("2001:db8::1") != peer("2001:db8:0:1::1")
    assert peer("::ffff:192.0.2.1") == peer("192.0.2.1")
    assert peer("fe80::1%eth0") == peer("fe80::2")
    assert peer("192.0.2.1") != peer("192.0.2.2")
    assert len(peer("x:" * 100)) <= 64


def test_ids_have_one_form() -> None:
    assert subject(DEVICE.lower()) == DEVICE
    assert subject("source:prom") == "source:prom"
    with pytest.raises(UsageError):
        subject("../x")
