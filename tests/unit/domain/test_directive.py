from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.directive import DIRECTIVE, Directive, Orders, SignedDirective
from freehold.domain.errors import AccessError, ConflictError, FreeholdError, UsageError
from freehold.domain.ids import checksum, keccak
from freehold.domain.keys import Key
from freehold.domain.typed import Domain, Value

OWNER, OTHER = Key.from_secret(b"\x22" * 32), Key.from_secret(b"\x33" * 32)
DEVICE = checksum(b"\x01" * 20)
DOMAIN = Domain("Freehold devices", 31337, checksum(b"\2" * 20), b"\3" * 32)
NOW = 1_800_000_000
ORDERS = Orders(10, 50, {"roof.temperature": True, "roof.wind": False}, 0.99)
DIRECTED = Directive(DEVICE, 7, ORDERS.render(), NOW + 60)
SIGNED = DIRECTED.sign(DOMAIN, OWNER.sign)

names = st.from_regex(r"[a-z0-9_]{1,8}(\.[a-z0-9_]{1,8}){0,3}", fullmatch=True)
orders = st.builds(
    Orders,
    st.none() | st.integers(1, 86_400),
    st.none() | st.integers(1, 4_096),
    st.dictionaries(names, st.booleans(), max_size=8),
    st.none() | st.floats(0, 1),
)


@given(orders)
def test_orders_are_read_as_they_were_written(made: Orders) -> None:
    assert Orders.parse(made.render()) == made


def test_a_directive_is_read_as_it_was_written_and_holds() -> None:
    found = SignedDirective.parse(SIGNED.render())
    assert found == SIGNED
    assert found.orders == ORDERS
    found.check(DOMAIN, owner=OWNER.address, after=6, now=NOW)


def test_the_digest_is_that_of_the_struct() -> None:
    values: list[Value] = [DEVICE, 7, keccak(DIRECTED.body.encode()), NOW + 60]
    assert DIRECTED.digest(DOMAIN) == DIRECTIVE.digest(DOMAIN, values)


@pytest.mark.parametrize(
    "change",
    [
        {"device": checksum(b"\x09" * 20)},
        {"sequence": 8},
        {"body": Orders(11).render()},
        {"expiry": NOW + 61},
    ],
)
def test_nobody_between_can_change_it(change: dict[str, object]) -> None:
    forged = SignedDirective(replace(DIRECTED, **change), SIGNED.signature)  # type: ignore[arg-type]
    with pytest.raises(AccessError):
        forged.check(DOMAIN, owner=OWNER.address, after=6, now=NOW)


def test_somebody_elses_signature_does_not_count() -> None:
    signed = DIRECTED.sign(DOMAIN, OTHER.sign)
    with pytest.raises(AccessError, match="not signed by"):
        signed.check(DOMAIN, owner=OWNER.address, after=0, now=NOW)


def test_it_counts_in_its_network_only() -> None:
    with pytest.raises(AccessError):
        SIGNED.check(replace(DOMAIN, salt=b"\4" * 32), owner=OWNER.address, after=0, now=NOW)


@pytest.mark.parametrize(("after", "now"), [(7, NOW), (8, NOW), (6, NOW + 60)])
def test_an_old_one_is_refused(after: int, now: int) -> None:
    with pytest.raises(ConflictError):
        SIGNED.check(DOMAIN, owner=OWNER.address, after=after, now=now)


@pytest.mark.parametrize(
    "body",
    [
        "", "[]", "{", '{"interval": 10}', '{"interval":0}', '{"interval":86401}',
        '{"interval":true}', '{"interval":1.0}', '{"batch":4097}', '{"later":1}',
        '{"metrics":{"A":true}}', '{"metrics":{"a":1}}', '{"metrics":["a"]}', '{"metrics":{}}',
        '{"edge_threshold":1}', '{"edge_threshold":1.5}', '{"edge_threshold":NaN}',
        '{"interval":1,"batch":1}', '{"interval":1,"interval":2}', "[" * 5_000,
        '{"metrics":' + json.dumps({f"m{n}": True for n in range(65)}, separators=(",", ":")) + "}",
    ],
)  # fmt: skip
def test_orders_are_read_strictly(body: str) -> None:
    with pytest.raises(UsageError):
        Orders.parse(body)


@pytest.mark.parametrize(
    "change",
    [
        {"device": "0x12"}, {"device": 1}, {"sequence": 0}, {"sequence": 2**63}, {"sequence": "7"},
        {"sequence": True}, {"expiry": 0}, {"body": {}}, {"signature": "0x00"}, {"more": 1},
        {"signature": "0x" + "0" * 130 + "00"},
    ],
)  # fmt: skip
def test_directives_are_read_strictly(change: dict[str, object]) -> None:
    fields = json.loads(SIGNED.render()) | change
    with pytest.raises(UsageError):
        SignedDirective.parse(json.dumps(fields))


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_by_a_typed_error(data: bytes) -> None:
    with pytest.raises(FreeholdError):
        SignedDirective.parse(data)


def test_bad_orders_are_not_signed() -> None:
    with pytest.raises(UsageError):
        replace(DIRECTED, body='{"interval": 1}').sign(DOMAIN, OWNER.sign)
