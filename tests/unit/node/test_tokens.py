from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UnavailableError
from freehold.domain.ids import checksum
from freehold.domain.keys import Key
from freehold.ledger.contracts.registry import SESSION_READ, SESSION_STORE
from freehold.ledger.contracts.registry import Session as SessionKey
from freehold.node import refusals, tokens
from freehold.node.database import Database
from freehold.node.delegates import QUESTIONS, WINDOW, Delegates
from freehold.node.tokens import Gate, LedgerTime, Token, parse_token
from unit.node.world import (
    CLIENT,
    NODE,
    NOW,
    STRANGER,
    WATCHER,
    FakeChain,
    HandClock,
    event,
    network,
    sign_request,
)

NET = network()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return reopened(tmp_path, HandClock())


def reopened(folder: Path, clock: HandClock) -> Gate:
    return gate_of(folder, LedgerTime(clock, clock), FakeChain(NET, clock))


def gate_of(folder: Path, clock: LedgerTime, chain: FakeChain) -> Gate:
    nonces = Database(folder / "nonces.sqlite", durable=False)
    known = Database(folder / "node.sqlite")
    delegates = Delegates(chain, database=known, clock=clock)
    return Gate(NET, NODE.address, nonces=nonces, clock=clock, delegates=delegates)


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
    gate = gate_of(tmp_path, LedgerTime(machine, chain), FakeChain(NET, chain))
    with pytest.raises(refusals.ExpiredTokenError):
        admit(gate, sign_request(NET, CLIENT, "GET", "/offer", b"", NOW))
    assert admit(gate, sign_request(NET, CLIENT, "GET", "/offer", b"", NOW + 3600))


# --- who else may sign for an account ------------------------------------------------------------

WALLET = checksum(b"\x99" * 20)


@dataclasses.dataclass
class Scene:
    """A gate whose chain knows a wallet of CLIENT and session keys."""

    gate: Gate
    chain: FakeChain
    clock: HandClock

    def ask(self, key: Key, account: str, method: str = "GET", spends: int = 0) -> str:
        now = self.clock.now()
        header = sign_request(NET, key, method, "/piece/x", b"", now, account=account)
        return self.gate.admit(header, method=method, path="/piece/x", body=None, spends=spends)

    def list_session(self, **changes: int) -> None:
        limits = {"scope": SESSION_READ | SESSION_STORE, "cap": 0, "expiry": NOW + 1000} | changes
        self.chain.registry.sessions[CLIENT.address, STRANGER.address] = SessionKey(**limits)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    clock = HandClock()
    chain = FakeChain(NET, clock)
    chain.wallets[WALLET] = CLIENT.address
    return Scene(gate_of(tmp_path, LedgerTime(clock, clock), chain), chain, clock)


def test_a_contract_wallet_asks_by_what_its_code_accepts(scene: Scene) -> None:
    assert scene.ask(CLIENT, WALLET) == WALLET
    with pytest.raises(refusals.BadSignatureError):
        scene.ask(STRANGER, WALLET)


def test_several_owners_signatures_reach_the_wallet(scene: Scene) -> None:
    def header(signature: bytes) -> str:
        made = {"account": WALLET, "nonce": "0x" + "77" * 32, "signature": "0x" + signature.hex()}
        return sign_request(NET, CLIENT, "GET", "/offer", **made)

    token = parse_token(header(bytes(65)))
    signed = CLIENT.sign(token.digest(NET))
    with pytest.raises(refusals.MalformedTokenError):
        admit(scene.gate, header(signed * 8 + b"x"))
    assert admit(scene.gate, header(signed * 8)) == WALLET


def test_a_session_key_asks_for_its_account(scene: Scene) -> None:
    with pytest.raises(refusals.BadSignatureError):
        scene.ask(STRANGER, CLIENT.address)
    scene.clock.time += 10
    scene.list_session()
    assert scene.ask(STRANGER, CLIENT.address) == CLIENT.address
    assert scene.ask(STRANGER, CLIENT.address, "PUT") == CLIENT.address


@pytest.mark.parametrize(
    ("limits", "method", "spends"),
    [
        ({"scope": SESSION_STORE}, "GET", 0),
        ({"scope": SESSION_READ}, "DELETE", 0),
        ({"scope": 0}, "HEAD", 0),
        ({"expiry": NOW}, "GET", 0),
        ({"cap": 9}, "GET", 10),
    ],
)
def test_a_session_key_has_limits(
    scene: Scene, limits: dict[str, int], method: str, spends: int
) -> None:
    scene.list_session(**limits)
    with pytest.raises(refusals.BadSignatureError, match="session key"):
        scene.ask(STRANGER, CLIENT.address, method, spends)


def test_the_cap_of_a_session_key_may_be_reached(scene: Scene) -> None:
    scene.list_session(cap=10, scope=SESSION_READ)
    assert scene.ask(STRANGER, CLIENT.address, "GET", 10) == CLIENT.address


def test_a_revoked_session_key_counts_for_seconds_only(scene: Scene) -> None:
    scene.list_session()
    scene.ask(STRANGER, CLIENT.address)
    del scene.chain.registry.sessions[CLIENT.address, STRANGER.address]
    scene.clock.time += 5
    with pytest.raises(refusals.BadSignatureError):
        scene.ask(STRANGER, CLIENT.address)


def test_strangers_make_the_node_ask_the_chain_a_bounded_number_of_times(scene: Scene) -> None:
    for i in range(QUESTIONS[0] // 2):
        with pytest.raises(refusals.BadSignatureError):
            scene.ask(STRANGER, checksum(i.to_bytes(20, "big")))
    with pytest.raises(UnavailableError, match="too many signatures"):
        scene.ask(STRANGER, WALLET)
    assert scene.chain.registry.asked == QUESTIONS[0] // 2
    assert scene.ask(CLIENT, CLIENT.address) == CLIENT.address
    scene.clock.time += WINDOW
    assert scene.ask(CLIENT, WALLET) == WALLET


def strangers(scene: Scene) -> None:
    """Made-up accounts with made-up signatures, until the node asks no more about them."""
    for i in range(QUESTIONS[0]):
        with pytest.raises((refusals.BadSignatureError, UnavailableError)):
            scene.ask(WATCHER, checksum(bytes([1, i]) * 10))
    with pytest.raises(UnavailableError):
        scene.ask(WATCHER, checksum(b"\x02" * 20))


def test_strangers_do_not_use_up_what_a_customer_may_ask(scene: Scene) -> None:
    scene.list_session()
    scene.chain.index.log.append(
        event("Deposited", contract="payments", owner=CLIENT.address, amount=1)
    )
    strangers(scene)
    assert scene.ask(STRANGER, CLIENT.address) == CLIENT.address


def test_who_was_admitted_before_is_not_shut_out_by_strangers(scene: Scene) -> None:
    scene.list_session()
    assert scene.ask(STRANGER, CLIENT.address) == CLIENT.address
    assert scene.ask(CLIENT, WALLET) == WALLET
    scene.clock.time += WINDOW
    strangers(scene)
    assert scene.ask(STRANGER, CLIENT.address) == CLIENT.address
    assert scene.ask(CLIENT, WALLET) == WALLET


def test_who_names_a_customer_shuts_out_no_other_and_no_key_that_was_admitted(
    scene: Scene,
) -> None:
    scene.list_session()
    for owner in (CLIENT.address, WALLET):
        scene.chain.index.log.append(
            event("VoucherOpened", contract="payments", payer=owner, rail=1)
        )
    assert scene.ask(STRANGER, CLIENT.address) == CLIENT.address
    scene.clock.time += WINDOW
    for i in range(QUESTIONS[1]):
        with pytest.raises((refusals.BadSignatureError, UnavailableError)):
            scene.ask(Key.from_secret(bytes([9, i + 1]) * 16), CLIENT.address)
    assert scene.ask(STRANGER, CLIENT.address) == CLIENT.address
    assert scene.ask(CLIENT, WALLET) == WALLET


def test_a_key_that_is_no_longer_listed_loses_its_standing(scene: Scene) -> None:
    scene.list_session()
    assert scene.ask(STRANGER, CLIENT.address) == CLIENT.address
    del scene.chain.registry.sessions[CLIENT.address, STRANGER.address]
    scene.clock.time += WINDOW
    with pytest.raises(refusals.BadSignatureError):
        scene.ask(STRANGER, CLIENT.address)
    strangers(scene)
    with pytest.raises(UnavailableError):
        scene.ask(STRANGER, CLIENT.address)
