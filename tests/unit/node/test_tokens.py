from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UnavailableError
from freehold.node import refusals, tokens
from freehold.node.database import Database
from freehold.node.tokens import Gate, LedgerTime, Token, parse_token
from unit.node.world import CLIENT, NODE, NOW, STRANGER, HandClock, network, sign_request

NET = network()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return reopened(tmp_path, HandClock())


def reopened(folder: Path, clock: HandClock) -> Gate:
    nonces = Database(folder / "nonces.sqlite", durable=False)
    return Gate(NET, NODE.address, nonces=nonces, clock=LedgerTime(clock, clock))


def admit(
    gate: Gate, header: str | None, *, body: bytes | None = None, path: str = "/offer"
) -> str:
    return gate.admit(header, method="GET", path=path, body=body)


def test_a_token_names_its_account(gate: Gate) -> None:
    assert admit(gate, sign_request(NET, CLIENT, "GET", "/offer")) == CLIENT.address


def test_a_token_without_an_account_is_whoever_signed_it(gate: Gate) -> None:
    header = sign_request(NET, STRANGER, "GET", "/offer", account=None, network=None)
    assert admit(gate, header) == STRANGER.address


def test_a_token_counts_once_also_after_a_restart(tmp_path: Path) -> None:
    clock, header = HandClock(), sign_request(NET, CLIENT, "GET", "/offer")
    admit(reopened(tmp_path, clock), header)
    with pytest.raises(refusals.ReplayedTokenError):
        admit(reopened(tmp_path, clock), header)


def test_expired_nonces_are_forgotten_when_expiry_refuses_them(tmp_path: Path) -> None:
    clock = HandClock()
    gate, header = reopened(tmp_path, clock), sign_request(NET, CLIENT, "GET", "/offer")
    admit(gate, header)
    clock.time += 61
    assert gate.forget_expired() == 0  # a clock set back a little must not admit it again
    with pytest.raises(refusals.ExpiredTokenError):
        admit(gate, header)
    clock.time += 300
    assert gate.forget_expired() == 1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"expiry": NOW}, refusals.ExpiredTokenError),
        ({"expiry": NOW + 301}, refusals.FarExpiryError),
        ({"audience": STRANGER.address}, refusals.WrongAudienceError),
        ({"network": "0x" + "08" * 32}, refusals.ForeignNetworkError),
        ({"account": STRANGER.address}, refusals.BadSignatureError),
        ({"method": "PUT"}, refusals.OutOfScopeError),
        ({"path": "/piece"}, refusals.OutOfScopeError),
        ({"path": "/off"}, refusals.OutOfScopeError),
        ({"signature": "0x" + "00" * 65}, refusals.BadSignatureError),
        ({"signature": "0x12"}, refusals.MalformedTokenError),
        ({"expiry": str(NOW + 60)}, refusals.MalformedTokenError),
        ({"nonce": "0x" + "g" * 64}, refusals.MalformedTokenError),
    ],
)
def test_each_wrong_token_has_its_own_refusal(
    gate: Gate, wrong: dict[str, object], error: type[refusals.TokenError]
) -> None:
    if "nonce" in wrong:
        fields = token_fields()
        header = encode(fields | wrong)
    else:
        header = sign_request(NET, CLIENT, "GET", "/offer", **wrong)
    with pytest.raises(error) as caught:
        admit(gate, header)
    assert type(caught.value) is error
    assert caught.value.remedy


def token_fields() -> dict[str, object]:
    header = sign_request(NET, CLIENT, "GET", "/offer").removeprefix("Freehold ")
    found = json.loads(base64.urlsafe_b64decode(header))
    assert isinstance(found, dict)
    return found


def encode(fields: object) -> str:
    return "Freehold " + base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def test_a_signature_of_another_network_with_the_same_chain_does_not_count(gate: Gate) -> None:
    other = network(network_id=b"\x08" * 32)
    honest = sign_request(other, CLIENT, "GET", "/offer")
    with pytest.raises(refusals.ForeignNetworkError):
        admit(gate, honest)
    with pytest.raises(refusals.BadSignatureError):
        admit(gate, sign_request(other, CLIENT, "GET", "/offer", network=None))
    hidden = sign_request(other, CLIENT, "GET", "/offer", network=None, account=None)
    assert admit(gate, hidden) != CLIENT.address


def test_a_body_is_bound_to_its_token(gate: Gate) -> None:
    header = sign_request(NET, CLIENT, "GET", "/offer", b'{"size":1}')
    with pytest.raises(refusals.OutOfScopeError):
        admit(gate, header, body=b'{"size":2}')
    assert admit(gate, header, body=b'{"size":1}') == CLIENT.address
    with pytest.raises(refusals.OutOfScopeError):
        admit(gate, sign_request(NET, CLIENT, "GET", "/offer"), body=b"{}")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer x", "Freehold", "Freehold !!!", "Freehold bnVsbA", "Freehold W10"]
)
def test_what_is_no_token_is_refused(gate: Gate, header: str | None) -> None:
    with pytest.raises((refusals.MissingTokenError, refusals.MalformedTokenError)):
        admit(gate, header)


def test_a_token_is_bounded() -> None:
    with pytest.raises(refusals.MalformedTokenError, match="too long"):
        parse_token("Freehold " + "A" * 4096)


def test_a_flood_of_tokens_is_bounded(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_NONCES", 1)
    admit(gate, sign_request(NET, CLIENT, "GET", "/offer"))
    with pytest.raises(UnavailableError):
        admit(gate, sign_request(NET, CLIENT, "GET", "/offer"))


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    with pytest.raises(refusals.TokenError):
        parse_token("Freehold " + base64.urlsafe_b64encode(raw).decode())


SEGMENT = st.text("abc.%", min_size=1, max_size=3)


@given(st.lists(SEGMENT, min_size=1, max_size=4), st.lists(SEGMENT, max_size=4), st.booleans())
def test_a_path_covers_what_lies_under_it(prefix: list[str], rest: list[str], slash: bool) -> None:
    path = "/" + "/".join(prefix)
    token = Token(NODE.address, "GET", path + "/" * slash, bytes(32), NOW, bytes(32), bytes(65))
    assert token.covers("/".join([path, *rest]))
    assert not token.covers(path + "x")
    assert not dataclasses.replace(token, path=path + "/x").covers(path)


def test_expiry_is_by_the_ledgers_clock(tmp_path: Path) -> None:
    machine, chain = HandClock(), HandClock(NOW + 3600)
    nonces = Database(tmp_path / "nonces.sqlite", durable=False)
    gate = Gate(NET, NODE.address, nonces=nonces, clock=LedgerTime(machine, chain))
    with pytest.raises(refusals.ExpiredTokenError):
        admit(gate, sign_request(NET, CLIENT, "GET", "/offer", b"", NOW))
    assert admit(gate, sign_request(NET, CLIENT, "GET", "/offer", b"", NOW + 3600))
