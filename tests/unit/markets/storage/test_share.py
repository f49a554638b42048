from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import AccessError, FreeholdError, UsageError, VersionError
from freehold.markets.storage import hpke
from freehold.markets.storage.armour import armour, unarmour
from freehold.markets.storage.keys import DataSeed, PathKey
from freehold.markets.storage.manifest import Location, Put, encode_section
from freehold.markets.storage.share import (
    Grant,
    ShareToken,
    parse_recipient,
    recipient_text,
    share,
)
from unit.markets.storage.strategies import (
    ACCOUNT,
    LOCATOR,
    SEED,
    attributes,
    locations,
    names,
    numbers,
)

_FRIEND = DataSeed(b"f" * 32)
_PUBLIC = hpke.public_key(_FRIEND.sharing_key())
_KEY = SEED.root(ACCOUNT).lineage("b/photos")[-1]
grants: st.SearchStrategy[Grant] = st.builds(
    Put, names, locations(), numbers, attributes
) | names.map(lambda name: SEED.root(ACCOUNT).lineage(name)[-1])


def _share(grant: Grant, deals: tuple[int, ...] = (3, 2**64 - 1)) -> ShareToken:
    return share(grant, recipient=_PUBLIC, locator=LOCATOR, owner=ACCOUNT, deals=deals)


@settings(deadline=None)
@given(grants)
def test_what_was_shared_arrives(grant: Grant) -> None:
    token = ShareToken.parse(_share(grant).render())
    assert token.open(_FRIEND) == grant
    assert (token.locator, token.owner, token.deals) == (LOCATOR, ACCOUNT, (3, 2**64 - 1))


def test_a_recipient_is_known_by_a_text() -> None:
    assert parse_recipient(recipient_text(_FRIEND)) == _PUBLIC
    assert parse_recipient(f" {recipient_text(_FRIEND)}\n") == _PUBLIC
    with pytest.raises(UsageError, match="too short"):
        parse_recipient(armour("fhr1", b"short"))


def test_a_token_is_of_no_use_to_others() -> None:
    with pytest.raises(AccessError, match="another key"):
        _share(_KEY).open(SEED)
    assert _KEY.secret.hex() not in repr(_share(_KEY))


def test_the_clear_part_of_a_token_is_bound() -> None:
    token = _share(_KEY)
    other = ShareToken(token.locator, token.owner, (4,), token.sealed)
    with pytest.raises(AccessError):
        other.open(_FRIEND)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_mistyped_token_is_refused(data: st.DataObject) -> None:
    text = _share(_KEY).render()
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("abcXYZ019_-=+é ").filter(lambda c: c != text[at]))
    with pytest.raises(UsageError):
        ShareToken.parse(text[:at] + letter + text[at + 1 :])
    with pytest.raises(UsageError):
        ShareToken.parse(text[:at])


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_forged_token_is_a_typed_error(data: st.DataObject) -> None:
    raw = bytearray(unarmour("fhs1", _share(_KEY).render(), what="test"))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FreeholdError):
        ShareToken.parse(armour("fhs1", bytes(raw))).open(_FRIEND)


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_what_a_stranger_seals_is_a_typed_error_or_a_grant(data: bytes) -> None:
    token = _share(_KEY, ())
    info = (
        b"freehold share 1"
        + unarmour("fhs1", token.render(), what="test")[: -len(token.sealed) - 1]
    )
    sealed = hpke.seal_to(_PUBLIC, data, info=info)
    with pytest.raises(FreeholdError):
        ShareToken(token.locator, token.owner, (), sealed).open(_FRIEND)


def test_hostile_grants_are_refused() -> None:
    token = _share(_KEY, ())
    clear = unarmour("fhs1", token.render(), what="test")
    info = b"freehold share 1" + clear[: clear.index(token.sealed) - 1]
    for grant in (
        b"\2\0" + bytes(32),
        b"\2\2/b" + bytes(32),
        b"\0\1b\0\1\0\1k",
        b"\1\1b\0\1\0\1k",
        b"\0"
        + encode_section(bytes(32), "b", (Put("b/k", Location(b"i" * 32, b"k" * 32, 0, 1), 0),)),
        b"\2\1b" + bytes(33),
    ):
        sealed = hpke.seal_to(_PUBLIC, grant, info=info)
        with pytest.raises(FreeholdError, match=r"malformed|shares no object|does not name"):
            ShareToken(token.locator, token.owner, (), sealed).open(_FRIEND)


def test_a_token_has_one_text() -> None:
    text = _share(_KEY).render()
    for other in (text[:9] + "*" + text[9:], text + "=", text.replace("-", "-=", 1)):
        with pytest.raises(UsageError, match="cut or mistyped"):
            ShareToken.parse(other)


def test_a_newer_token_says_so() -> None:
    raw = unarmour("fhs1", _share(_KEY).render(), what="test")
    with pytest.raises(VersionError):
        ShareToken.parse(armour("fhs1", b"\2" + raw[1:]))


@pytest.mark.parametrize("text", ["", "fhs1", "fhs1-", "fhs1-AAAA", "fhr1-AAAA", "x" * 70000])
def test_other_texts_are_no_tokens(text: str) -> None:
    with pytest.raises(UsageError):
        ShareToken.parse(text)


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(UsageError):
        _share(PathKey("", bytes(32)))
    with pytest.raises(UsageError):
        _share(_KEY, (-1,))
    with pytest.raises(UsageError):
        _share(_KEY, tuple(range(1025)))
    with pytest.raises(UsageError):
        share(_KEY, recipient=b"short", locator=LOCATOR, owner=ACCOUNT, deals=())
