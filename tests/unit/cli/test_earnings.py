"""Rewards that others' stake shares are told apart from what is the payout account's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from freehold.cli import earnings
from freehold.cli.earnings import Earnings, Income
from freehold.cli.handles import Handles
from freehold.cli.screen import Screen
from freehold.domain.ids import checksum
from freehold.domain.money import UNIT
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event
from unit.node.world import event

NODE, PAYOUT, STAKING = (checksum(bytes([n]) * 20) for n in (1, 2, 3))


def parted(
    monkeypatch: pytest.MonkeyPatch, claims: list[Event], *, own: int
) -> list[tuple[int, int, bool]]:
    """Rewards of 100 with a forecast of 7, of a node whose owner has ``own`` of a stake of 10."""
    ledger = SimpleNamespace(
        staking=SimpleNamespace(active=lambda _: 10, own=lambda _: own, address=STAKING),
        faults=SimpleNamespace(set_of=lambda _: 4),
    )
    monkeypatch.setattr(earnings, "_all", lambda *_: claims)
    found = earnings._parted(cast("Ledger", ledger), Income(NODE, "rewards", 100, 7))
    return [(each.earned, each.month, each.shared) for each in found]


def claimed(amount: int, payee: str) -> Event:
    return event("Claimed", contract="rewards", account=4, payee=payee, amount=amount)


def test_what_went_to_the_stake_is_nobodys_own(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, both = [claimed(30, PAYOUT)], [claimed(30, PAYOUT), claimed(50, STAKING)]
    assert parted(monkeypatch, alone, own=10) == [(100, 7, False)]
    assert parted(monkeypatch, alone, own=9) == [(30, 0, False), (70, 7, True)]
    assert parted(monkeypatch, both, own=9) == [(30, 0, False), (70, 7, True)]
    # Once the others have left, what is not claimed is the payout account's again.
    assert parted(monkeypatch, both, own=10) == [(50, 7, False), (50, 0, True)]


def test_it_is_labelled_and_in_no_sum(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    incomes = (
        Income(NODE, "rewards", 3 * UNIT, 0),
        Income(NODE, "rewards", 5 * UNIT, 7 * UNIT, shared=True),
    )
    found = Earnings(0, incomes, ())
    assert (found.earned, found.month) == (3 * UNIT, 0)
    earnings.show(
        Screen(as_json=False), found, "HOLD", token=PAYOUT, called=Handles({NODE: "attic"})
    )
    told = capsys.readouterr().out
    (row,) = (line for line in told.splitlines() if "rewards, shared with delegated stake" in line)
    assert "attic" in row
    assert "your part comes with `freehold stake claim attic`" in told
