"""Ports of this machine."""

from __future__ import annotations

import socket

import pytest

from freehold.domain.errors import CapacityError, UsageError
from freehold.ledger.devnet import ports
from freehold.ledger.devnet.ports import ENVIRONMENT, free_port, passing_port


def test_what_a_process_has_while_it_runs_is_nothing_that_a_server_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENVIRONMENT, "25000-25009")
    monkeypatch.setattr(ports, "is_free", lambda host, port: True)
    assert {free_port() for _ in range(300)} == set(range(25_000, 25_008))
    assert {passing_port() for _ in range(100)} == {25_008, 25_009}


def test_all_lie_below_those_that_systems_hand_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setattr(ports, "is_free", lambda host, port: True)
    assert all(
        20_000 <= port < 32_768 for _ in range(100) for port in (free_port(), passing_port())
    )


def test_a_port_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port
    assert free_port(port, avoid={port}) != port


def test_none_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda host, port: False)
    with pytest.raises(CapacityError, match="no port between"):
        passing_port()


@pytest.mark.parametrize(
    "text", ["25000", "a-b", "25009-25000", "25000-25008", "80-99", "65000-65536", "-1-99"]
)
def test_what_is_no_range_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(ENVIRONMENT, text)
    with pytest.raises(UsageError, match="no range of ports"):
        free_port()
