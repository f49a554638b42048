from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import UsageError, VersionError
from freehold.markets.storage.kit import RecoveryKit
from unit.markets.storage.strategies import LOCATOR
from unit.markets.storage.test_locator import locators

_PHRASE = "test test test test test test test test test test test junk"
_KIT = RecoveryKit(_PHRASE, LOCATOR)
_words = st.from_regex(r"[a-z]{3,8}", fullmatch=True)
phrases = st.sampled_from([12, 15, 18, 21, 24]).flatmap(
    lambda count: st.lists(_words, min_size=count, max_size=count).map(" ".join)
)


@settings(deadline=None)
@given(st.builds(RecoveryKit, phrases, locators))
def test_a_kit_reads_as_printed(kit: RecoveryKit) -> None:
    assert RecoveryKit.parse(kit.render()) == kit


def test_a_kit_may_be_typed_in_by_hand() -> None:
    text = _KIT.render().replace("phrase: ", "PHRASE :  ").replace(" test", "  Test")
    text = "\n\n" + text.replace("\n", "\r\n\r\n").replace(
        LOCATOR.registry, LOCATOR.registry.lower()
    )
    assert RecoveryKit.parse(text) == _KIT


def test_a_kit_gives_the_account_that_other_wallets_show() -> None:
    assert _KIT.account().address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def test_a_kit_warns_and_hides_its_phrase() -> None:
    assert "opens the account" in _KIT.render()
    assert "junk" not in repr(_KIT)


@pytest.mark.parametrize("field", ["phrase", "chain", "network", "registry", "block", "checksum"])
def test_a_missing_or_double_field_is_named(field: str) -> None:
    lines = _KIT.render().splitlines()
    kept = [line for line in lines if not line.startswith(f"{field}:")]
    twice = lines + [line for line in lines if line.startswith(f"{field}:")]
    for text in ("\n".join(kept), "\n".join(twice)):
        with pytest.raises(UsageError, match=f"'{field}'"):
            RecoveryKit.parse(text)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("test junk", "test jump"),
        ("eip155:31337", "eip155:31338"),
        ("block: 7", "block: 8"),
        ("block: 7", "block: seven"),
        ("8545", "8546"),
        ("0x0001", "0x0002"),
        ("rpc: http", "rpc: file"),
        ("rpc:", "rpx:"),
        ("chain: eip155", "chain: solana"),
        ("test junk", "junk"),
    ],
)
def test_a_mistyped_kit_is_refused(right: str, wrong: str) -> None:
    assert right in _KIT.render()
    with pytest.raises(UsageError):
        RecoveryKit.parse(_KIT.render().replace(right, wrong, 1))


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_other_text_is_a_typed_error(text: str) -> None:
    for candidate in (text, "Freehold recovery kit, version 1\n" + text):
        with pytest.raises(UsageError):
            RecoveryKit.parse(candidate)


def test_a_newer_kit_says_so() -> None:
    with pytest.raises(VersionError):
        RecoveryKit.parse(_KIT.render().replace("version 1", "version 2"))
    with pytest.raises(UsageError):
        RecoveryKit.parse(_KIT.render() + " " * 20000)


@pytest.mark.parametrize("phrase", ["", "one two", _PHRASE + " one", _PHRASE.upper(), "a\n" * 12])
def test_impossible_phrases_are_refused(phrase: str) -> None:
    with pytest.raises(UsageError):
        RecoveryKit(phrase, LOCATOR)
