"""Stake that cannot come or go is refused with numbers and a remedy before anything is sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from freehold.cli import pledges
from freehold.domain.errors import (
    CapacityError,
    ConflictError,
    FreeholdError,
    InsufficientFundsError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.ledger.contracts.staking import Commission
from freehold.ledger.ledger import Ledger

KEY = Key.from_secret(b"\x07" * 32)
MINE, THEIRS, UNKNOWN = (checksum(bytes([n]) * 20) for n in (1, 2, 3))
OWNERS = {MINE: KEY.address, THEIRS: checksum(b"\x09" * 20)}
FREE = Commission(0, 0, 0)
HELD = 500 * UNIT


def ledger(*, own: int = 100) -> Ledger:
    """A wallet of 500 tokens with 50 behind a node, of whose stake the owner has ``own``."""
    staking = SimpleNamespace(
        own=lambda _: own * UNIT, active=lambda _: 600 * UNIT, least_own_bps=lambda: 1_000,
        stake_of=lambda _, node: 50 * UNIT * (node == THEIRS),
    )  # fmt: skip
    made = SimpleNamespace(
        key=KEY, staking=staking, token=SimpleNamespace(balance_of=lambda _: HELD),
        network=SimpleNamespace(name="alpine"),
        registry=SimpleNamespace(
            node=lambda node: SimpleNamespace(owner=OWNERS.get(node, ZERO_ADDRESS))
        ),
    )  # fmt: skip
    return cast("Ledger", made)


def delegate(
    amount: int,
    *,
    node: Address = THEIRS,
    terms: Commission = FREE,
    most: int = 500,
    own: int = 100,
) -> None:
    pledges.check_delegation(ledger(own=own), node, "attic", amount, terms=terms, most=most)


def test_what_can_come_passes() -> None:
    delegate(400 * UNIT, terms=Commission(400, 500, 9))
    pledges.check_own(ledger(), MINE, "attic", HELD)


@pytest.mark.parametrize(
    ("case", "error", "words", "remedy"),
    [
        ({"amount": 0}, UsageError, "amount of 0", "above zero"),
        ({"node": UNKNOWN}, NotFoundError, "attic is no node of the network alpine", "compare"),
        ({"node": MINE}, ConflictError, "attic is your own", "`freehold stake add attic 1`"),
        ({"terms": Commission(725, 0, 0)}, ConflictError, r"keeps 7\.25 %, --most accepts 5 %",
         "--most 7.25"),
        ({"terms": Commission(0, 1_000, 9)}, ConflictError, "will keep 10 %", "--most 10"),
        ({"amount": HELD + 1}, InsufficientFundsError, r"500 tokens, 500\.0001 would", "less"),
        ({"amount": 400 * UNIT + 1}, CapacityError, "room for 400 more: 10 % of", "at most 400"),
        ({"own": 60}, CapacityError, "room for 0 more", "room of all"),
    ],
)  # fmt: skip
def test_a_delegation_is_refused_with_numbers(
    case: dict[str, object], error: type[FreeholdError], words: str, remedy: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        delegate(**{"amount": UNIT, **case})  # type: ignore[arg-type]
    assert remedy in caught.value.remedy


def test_own_stake_goes_behind_own_nodes() -> None:
    with pytest.raises(ConflictError, match="not a node of yours") as caught:
        pledges.check_own(ledger(), THEIRS, "attic", 25 * UNIT // 10)
    assert "`freehold stake delegate attic 2.5`" in caught.value.remedy
    with pytest.raises(NotFoundError):
        pledges.check_own(ledger(), UNKNOWN, "attic", UNIT)
    with pytest.raises(UsageError):
        pledges.check_own(ledger(), MINE, "attic", 0)
    with pytest.raises(InsufficientFundsError):
        pledges.check_own(ledger(), MINE, "attic", HELD + 1)


def test_no_more_leaves_than_is_there() -> None:
    assert pledges.check_leaving(ledger(), THEIRS, "attic", None) == 50 * UNIT
    assert pledges.check_leaving(ledger(), THEIRS, "attic", 50 * UNIT) == 50 * UNIT
    with pytest.raises(
        ConflictError, match=r"you have 50 behind attic, less than 50\.0001"
    ) as caught:
        pledges.check_leaving(ledger(), THEIRS, "attic", 50 * UNIT + 1)
    assert "at most 50." in caught.value.remedy
    with pytest.raises(UsageError):
        pledges.check_leaving(ledger(), THEIRS, "attic", 0)
    with pytest.raises(NotFoundError, match="no stake behind attic") as none:
        pledges.check_leaving(ledger(), MINE, "attic", UNIT)
    assert "`freehold stake add attic AMOUNT`" in none.value.remedy


def test_who_has_stake_and_nothing_to_claim_is_told_both() -> None:
    error = pledges.nothing_earned(ledger(), THEIRS, "attic")
    assert (type(error), error.message) == (
        ConflictError, "your 50 behind attic have earned nothing that is not claimed",
    )  # fmt: skip
    assert isinstance(pledges.nothing_earned(ledger(), MINE, "attic"), NotFoundError)


@pytest.mark.parametrize(("node", "remedy"), [(MINE, "node leave"), (THEIRS, "Give notice")])
def test_locked_stake_has_a_way_out(node: Address, remedy: str) -> None:
    refused = RefusedError("staking: locked", remedy="-")
    error = pledges.locked(ledger(), node, "attic", refused)
    assert (error.message, remedy in error.remedy) == ("staking: locked", True)
