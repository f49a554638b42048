"""What ended epochs brought is handed out as far as it goes, over a ledger that obeys a script."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from freehold.cli import settling
from freehold.cli.screen import Screen
from freehold.cli.settling import MOST, Epochs, Wait
from freehold.domain.errors import CancelledError
from freehold.domain.ids import checksum
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.ledger.contracts.rewards import Due
from freehold.ledger.contracts.staking import Arrival
from freehold.ledger.ledger import Ledger

KEY = Key.from_secret(b"\x07" * 32)
NODE = checksum(b"\x01" * 20)
GENESIS, LENGTH, EPOCH = 1_000, 100, 9
BEGUN = GENESIS + EPOCH * LENGTH
NOW = BEGUN + 30


class Economy:
    """A node whose ``owed`` epochs are handed out one by one, and the wallet's stake behind it.

    Each call brings one of ``steps``: an epoch handed out, work collected, the issuance closed
    further, or nothing.
    """

    def __init__(self, *, owed: int = 0, steps: str = "", came: int = 0) -> None:
        self.owed, self.steps, self.came = owed, steps, came
        self.waits, self.closed, self.sent = 8, 0, 0
        self.waiting = UNIT if came else 0

    def owed_since(self, node: str) -> int:
        return BEGUN - self.owed * LENGTH

    def admit(self, node: str) -> None:
        step = self.steps[self.sent] if self.sent < len(self.steps) else "-"
        self.sent += 1
        self.owed -= step == "h"
        self.waits -= step == "c"
        self.closed += step == "i"
        if self.owed_since(node) >= self.came:
            self.waiting = 0


def ledger(of: Economy, *, pays: bool = True) -> Ledger:
    staking = SimpleNamespace(
        admit=of.admit, waiting_of=lambda *_: of.waiting, arrival=lambda _: Arrival(0, 1, of.came)
    )
    rewards = SimpleNamespace(
        genesis=lambda: GENESIS, epoch_seconds=lambda: LENGTH, owed_since=of.owed_since,
        due=lambda _: Due(0, of.waits),
    )  # fmt: skip
    made = SimpleNamespace(
        staking=staking, rewards=rewards, key=KEY, now=lambda: NOW,
        issuance=SimpleNamespace(closed=lambda: of.closed),
        faults=SimpleNamespace(set_of=lambda _: 1),
        network=SimpleNamespace(contracts={"rewards": NODE} if pays else {}),
    )  # fmt: skip
    return cast("Ledger", made)


@pytest.mark.parametrize(
    ("owed", "steps", "done", "sent"),
    [
        (0, "", True, 0),
        (2, "hh", True, 2),
        (1, "cih", True, 3),
        (2, "h", False, 2),
        (1, "", False, 1),
        (MOST, "h" * MOST, True, MOST),
        (MOST + 1, "h" * (MOST + 1), False, MOST),
    ],
)
def test_it_goes_on_while_that_brings_something(
    owed: int, steps: str, done: bool, sent: int
) -> None:
    economy = Economy(owed=owed, steps=steps)
    assert settling.hand_out(ledger(economy), NODE) == done
    assert economy.sent == sent


def test_where_nothing_is_paid_nothing_is_sent() -> None:
    economy = Economy(owed=3)
    assert settling.hand_out(ledger(economy, pays=False), NODE)
    assert settling.wait_of(ledger(economy, pays=False), NODE) == Wait()
    assert economy.sent == 0


@pytest.mark.parametrize(
    ("time", "begun", "following"),
    [(GENESIS, GENESIS, GENESIS), (GENESIS + 1, GENESIS, 1_100), (1_199, 1_100, 1_200)],
)
def test_an_epoch_begins_at_its_first_second(time: int, begun: int, following: int) -> None:
    epochs = Epochs(GENESIS, LENGTH)
    assert (epochs.begun(time), epochs.next(time)) == (begun, following)


def test_stake_waits_for_the_end_of_the_epoch_in_which_it_came() -> None:
    assert settling.wait_of(ledger(Economy()), NODE) == Wait()
    now = settling.wait_of(ledger(Economy(came=BEGUN + 1)), NODE)
    assert now.to_json() == {"waiting": UNIT, "earns_from": BEGUN + LENGTH}
    assert not now.over
    late = settling.wait_of(ledger(Economy(came=BEGUN)), NODE)
    assert (late.to_json(), late.over) == ({"waiting": UNIT, "earns_from": None}, True)


@pytest.mark.parametrize(
    ("owed", "steps", "admitted", "sent"),
    [(0, "", True, 1), (1, "h", True, 1), (1, "ch", True, 2), (2, "h", False, 2)],
)
def test_stake_is_admitted_once_older_work_is_handed_out(
    owed: int, steps: str, admitted: bool, sent: int
) -> None:
    economy = Economy(owed=owed, steps=steps, came=BEGUN)
    assert settling.admit(ledger(economy), NODE) == admitted
    assert economy.sent == sent


def test_who_leaves_is_asked_where_something_stays_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(as_json=False)
    settling.before_leaving(screen, ledger(Economy(owed=1, steps="h")), NODE, yes=False)
    stuck = ledger(Economy(owed=1))
    settling.before_leaving(screen, stuck, NODE, yes=True)
    asked: list[str] = []

    def refuse(question: str) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("typer.confirm", refuse)
    with pytest.raises(CancelledError):
        settling.before_leaving(screen, stuck, NODE, yes=False)
    assert "is for those who stay" in asked[0]


def test_the_wait_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(settling, "moment", lambda time: f"<{time}>")
    screen = Screen(as_json=False)
    settling.tell_new(screen, Wait(), "attic")
    settling.tell_wait(screen, Wait(), "attic")
    assert capsys.readouterr().out == ""
    settling.tell_new(screen, Wait(2 * UNIT, 7), "attic")
    told = capsys.readouterr().out
    assert "2 of it can earn from <7> on, when this epoch ends" in told
    assert "`freehold stake claim attic`" in told
    assert "anew" in told
    settling.tell_new(screen, Wait(2 * UNIT), "attic")
    assert "2 of it can earn once what the node did" in capsys.readouterr().out
    settling.tell_wait(screen, Wait(1_000 * UNIT, 7), "attic")
    assert (
        "1,000 of your stake waits; it can earn from <7> on, when this" in capsys.readouterr().out
    )
    settling.tell_wait(screen, Wait(UNIT), "attic")
    told = capsys.readouterr().out
    assert "cannot be handed out yet" in told
    assert "`freehold rewards show --node attic`" in told
