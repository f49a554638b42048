"""Operators compared and stake taken back, from a ledger that says what it is told to."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from freehold.cli import operators, settling, stake
from freehold.cli.handles import Handles, node_of, short
from freehold.cli.screen import Screen
from freehold.domain.errors import ConflictError, NotFoundError, RefusedError, UsageError
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.ledger import paging
from freehold.ledger.contracts.staking import Arrival, Commission, Notice
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event, Value

GOOD, POOR, EMPTY = (checksum(bytes([n]) * 20) for n in (1, 2, 3))
KEY = Key.from_secret(b"\x07" * 32)
ME, OWNER = KEY.address, checksum(b"\x09" * 20)
DAY = 86_400
NOW = 100 * DAY
NONE = Notice(0, 0, 0)


def event(name: str, time: int, index: int = 0, **args: Value) -> Event:
    return Event("staking", name, args, time, index, "0x00", "0x00", time)


STAKED = [
    event("Staked", 10 * DAY, node=GOOD, staker=ZERO_ADDRESS, amount=100 * UNIT),
    event("Staked", 80 * DAY, node=GOOD, staker=ME, amount=100 * UNIT),
    event("Staked", 10 * DAY, node=POOR, staker=ZERO_ADDRESS, amount=300 * UNIT),
]
LOGGED: dict[str, list[Event]] = {
    "Staked": STAKED,
    "Withdrawn": [
        event("Withdrawn", 20 * DAY, node=POOR, staker=ZERO_ADDRESS, entry=0, amount=100 * UNIT),
        event("Withdrawn", 90 * DAY, node=GOOD, staker=ME, entry=0, amount=UNIT),
    ],
    "Slashed": [
        event("Slashed", 95 * DAY, node=POOR, amount=2 * UNIT),
        event("Slashed", 95 * DAY, 1, node=POOR, amount=0),
    ],
    "Rewarded": [
        event("Rewarded", 50 * DAY, node=GOOD, amount=99 * UNIT, commission=0, active=UNIT),
        event("Rewarded", 99 * DAY, node=GOOD, amount=2 * UNIT, commission=UNIT // 5,
              active=200 * UNIT),
        event("Rewarded", 99 * DAY, node=POOR, amount=3 * UNIT, commission=0, active=200 * UNIT),
    ],
    "Unbonded": [
        event("Unbonded", 85 * DAY, node=GOOD, staker=ME, entry=0, ready_at=90 * DAY),
        event("Unbonded", 99 * DAY, node=GOOD, staker=ME, entry=1, ready_at=120 * DAY),
        event("Unbonded", 99 * DAY, 1, node=POOR, staker=ME, entry=0, ready_at=99 * DAY),
    ],
}  # fmt: skip


class Index:
    """The events above, in pages of one."""

    def sync(self) -> None:
        """Nothing to read."""

    def events(
        self,
        contract: str,
        name: str,
        *,
        where: dict[str, Value],
        since: int,
        after: Event | None,
        limit: int,
    ) -> list[Event]:
        assert since == 0
        found = [e for e in LOGGED[name] if all(e.args[k] == v for k, v in where.items())]
        begin = 0 if after is None else found.index(after) + 1
        return found[begin : begin + limit]


class Staking:
    """Views of the staking contract; what is sent is kept."""

    def __init__(
        self, sent: list[tuple[str, int]] | None = None, *, notice: Notice = NONE,
        since: int = NOW + 1,
    ) -> None:  # fmt: skip
        self.given, self.since = notice, since
        self.sent = [] if sent is None else sent
        self.waiting = 30 * UNIT
        self.locked = False

    def least_own_bps(self) -> int:
        return 1_000

    def active(self, node: Address) -> int:
        return {GOOD: 200, POOR: 198}.get(node, 0) * UNIT

    def own(self, node: Address) -> int:
        return {GOOD: 100, POOR: 198}.get(node, 0) * UNIT

    def commission(self, node: str) -> Commission:
        return Commission(1_000, 2_000, NOW + 3 * DAY) if node == GOOD else Commission(0, 0, 0)

    def shortfall(self, node: str) -> int:
        return 5 * UNIT if node == POOR else 0

    def stake_of(self, staker: str, node: str) -> int:
        return 100 * UNIT if (staker, node) == (ME, GOOD) else 0

    def shares_of(self, staker: str, node: str) -> int:
        return 1_000

    def waiting_of(self, staker: str, node: str) -> int:
        return self.waiting if node == GOOD else 0

    def arrival(self, node: str) -> Arrival:
        return Arrival(3, 5, self.since)

    def admit(self, node: str) -> object:
        self.sent.append(("admit", 0))
        self.waiting = 0
        return SimpleNamespace(hash="0x")

    def claimable(self, staker: str, node: str) -> int:
        return 55 * 10**6 if node == POOR else 0

    def claim_rewards(self, node: str) -> object:
        told = event("RewardsClaimed", NOW, amount=self.claimable("", node))
        return SimpleNamespace(hash="0x", one=lambda name: told)

    def stake(self, node: str, amount: int) -> object:
        self.sent.append(("stake", amount))
        return SimpleNamespace(hash="0x")

    def delegate(self, node: str, amount: int, *, most_bps: int) -> object:
        self.sent.append(("delegate", most_bps))
        return SimpleNamespace(hash="0x")

    def can_unbond(self, staker: str, node: str, amount: int) -> bool:
        return not self.locked

    def unbond(self, node: str, amount: int) -> object:
        if self.locked:
            raise RefusedError("staking: locked", remedy="-")
        self.sent.append(("unbond", amount))
        told = event("Unbonded", NOW, entry=0, ready_at=NOW + DAY)
        return SimpleNamespace(one=lambda name: told)

    def notice(self, staker: str, node: str) -> Notice:
        return self.given if node == GOOD else NONE

    def entry_amount(self, staker: str, node: str, entry: int) -> int:
        return 7 * UNIT

    def give_notice(self, node: str, amount: int) -> object:
        self.sent.append(("notice", amount))
        told = event("NoticeSet", NOW, ready_at=NOW + DAY)
        return SimpleNamespace(one=lambda name: told)

    def withdraw(self, node: str, entry: int) -> object:
        self.sent.append(("withdraw", entry))
        told = event("Withdrawn", NOW, amount=7 * UNIT)
        return SimpleNamespace(one=lambda name: told)


def ledger(staking: Staking | None = None, *, owner: Address = ME) -> Ledger:
    """A day is an epoch, and one begins at NOW; nothing of ended ones is owed."""
    nodes = [EMPTY, POOR, GOOD]
    entry = SimpleNamespace(owner=owner, retired=False)
    made = SimpleNamespace(
        index=Index(), staking=staking or Staking(), key=KEY, now=lambda: NOW,
        token=SimpleNamespace(approve=lambda *_: None, balance_of=lambda _: 900 * UNIT),
        network=SimpleNamespace(name="alpine", contracts={"rewards": ME, "staking": ME}),
        rewards=SimpleNamespace(
            genesis=lambda: 0, epoch_seconds=lambda: DAY, owed_since=lambda _: NOW
        ),
        registry=SimpleNamespace(count=lambda: 3, node=lambda node: entry),
        call_many=lambda views: [nodes[view.args[0]] for view in views],
    )  # fmt: skip
    return cast("Ledger", made)


@pytest.fixture(autouse=True)
def _pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "_PAGE", 1)


def test_operators_are_compared_by_what_reaches_a_delegator() -> None:
    found = operators.compare(ledger(), account=None, window=30 * DAY)
    good, poor = found.operators
    assert (good.node, poor.node) == (GOOD, POOR)
    year = 365 * DAY * 10**6
    assert good.yearly.gross == year * 2 // (200 * (30 * DAY + 1))
    assert good.yearly.commission == -(-year // (1_000 * (30 * DAY + 1)))
    assert (good.own, good.delegated, good.room) == (100 * UNIT, 100 * UNIT, 800 * UNIT)
    assert poor.yearly.slashed == -(-year // (100 * (30 * DAY + 1)))
    assert (len(poor.slashes), poor.slashed, poor.slashes[0].whole) == (1, 2 * UNIT, 200 * UNIT)
    assert (found.holdings, found.leaving) == ((), ())


def test_a_young_node_is_judged_by_its_own_time() -> None:
    found = operators.compare(ledger(), account=None, window=1_000 * DAY)
    (good,) = (each for each in found.operators if each.node == GOOD)
    parts = 99 * 10**18 + 10**16
    assert good.yearly.gross == parts * 365 * DAY * 10**6 // (10**18 * (90 * DAY + 1))


def test_an_early_reward_makes_no_yield(monkeypatch: pytest.MonkeyPatch) -> None:
    new = [event("Staked", NOW - 5, node=EMPTY, staker=ZERO_ADDRESS, amount=UNIT)]
    paid = [event("Rewarded", NOW - 1, node=EMPTY, amount=UNIT, commission=0, active=UNIT)]
    monkeypatch.setitem(LOGGED, "Staked", new)
    monkeypatch.setitem(LOGGED, "Rewarded", paid)
    compared = operators.compare(ledger(), account=None, window=30 * DAY).operators
    (found,) = (each for each in compared if each.node == EMPTY)
    assert found.yearly.gross == 365 * DAY * 10**6 // (7 * DAY + 1)


def test_what_of_mine_is_leaving_counts_down(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    staking = Staking(notice=Notice(250, 0, NOW + 2 * DAY))
    found = operators.compare(ledger(staking), account=ME, window=30 * DAY)
    assert [(h.node, h.stake, h.waiting, h.claimable) for h in found.holdings] == [
        (POOR, 0, 0, 55 * 10**6), (GOOD, 100 * UNIT, 30 * UNIT, 0),
    ]  # fmt: skip
    assert [(each.node, each.entry, each.amount) for each in found.leaving] == [
        (GOOD, 1, 7 * UNIT), (POOR, 0, 7 * UNIT), (GOOD, None, 25 * UNIT),
    ]  # fmt: skip
    told = json.loads(json.dumps(found.to_json()))
    assert [each["left"] for each in told["leaving"]] == [20 * DAY, 0, 2 * DAY]
    assert told["operators"][0]["raised_in"] == 3 * DAY
    assert told["operators"][1]["raised_in"] is None
    assert told["operators"][0]["yearly"]["net"] == found.operators[0].yearly.net
    stake.show(Screen(as_json=False), found, Handles())
    shown = capsys.readouterr().out
    for part in ("20 d 0 h", "2 d 0 h", "now", "10.00 %", "keeps 20.00 % in 3 d 0 h",
                 "short of 5 own stake", "slashed once, of 2 in all"):  # fmt: skip
        assert part in shown


def test_an_operator_is_a_line_of_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address can be copied from below the table; those of this machine have names."""
    monkeypatch.setenv("COLUMNS", "80")
    found = operators.compare(ledger(), account=ME, window=30 * DAY)
    rich = replace(found.operators[0], own=123_456 * UNIT + 1, delegated=654_321 * UNIT + 1)
    found = replace(found, operators=(rich, *found.operators[1:]))
    stake.show(Screen(as_json=False), found, Handles({POOR: "node-1"}))
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80
    (row,) = (line for line in lines if "123,456" in line)
    assert short(GOOD) in row
    assert "654,321" in row
    assert any("node-1" in line and "0.00 %" in line for line in lines)
    assert f"{short(GOOD)} is {GOOD}" in lines
    assert POOR not in "".join(lines)


def test_stake_is_put_behind_a_node_of_this_machine_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "nodes" / "node-1" / "key.json"
    key.parent.mkdir(parents=True)
    key.write_text(json.dumps({"address": GOOD[2:]}))
    sent: list[tuple[str, int]] = []
    staking = Staking(sent)
    monkeypatch.setattr(stake, "open_account", lambda *_: nullcontext(ledger(staking)))
    stake.add("node-1", "2", home=tmp_path, as_json=True)
    assert sent == [("stake", 2 * UNIT)]
    told = json.loads(capsys.readouterr().out)
    assert (told["node"], told["waiting"], told["earns_from"]) == (GOOD, 30 * UNIT, NOW + DAY)
    assert node_of(tmp_path, GOOD.lower()) == GOOD
    with pytest.raises(NotFoundError) as caught:
        node_of(tmp_path, "node-2")
    assert "node-1" in caught.value.remedy
    with pytest.raises(UsageError, match="is not an address"):
        node_of(tmp_path, "0x12")


def opened(monkeypatch: pytest.MonkeyPatch, staking: Staking, *, owner: Address = OWNER) -> None:
    """Commands use this ledger."""
    made = ledger(staking, owner=owner)
    monkeypatch.setattr(stake, "open_account", lambda *_: nullcontext(made))


def test_delegating_tells_the_raise_that_is_announced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(stake, "moment", lambda time: f"<{time}>")
    staking = Staking()
    opened(monkeypatch, staking)
    stake.delegate(GOOD, "2", home=tmp_path, as_json=True)
    told = json.loads(capsys.readouterr().out)
    raised = {"commission": 1_000, "raised": 2_000, "raised_at": NOW + 3 * DAY}
    assert raised.items() <= told.items()
    assert (told["waiting"], told["earns_from"]) == (30 * UNIT, NOW + DAY)
    stake.delegate(GOOD, "2", home=tmp_path)
    told = capsys.readouterr().out
    assert f"its owner keeps 10.00 % now, 20.00 % from <{NOW + 3 * DAY}> on" in told
    assert staking.sent == [("delegate", 2_000)] * 2
    with pytest.raises(ConflictError, match="--most accepts 5 %"):
        stake.delegate(GOOD, "2", most="5", home=tmp_path)
    assert len(staking.sent) == 2


def test_a_claim_tells_what_waits_and_until_when(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent while the epoch runs in which it came."""
    staking = Staking()
    opened(monkeypatch, staking)
    stake.claim(GOOD, home=tmp_path, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "transaction": None, "node": GOOD, "amount": 0, "admitted": False,
        "waiting": 30 * UNIT, "earns_from": NOW + DAY,
    }  # fmt: skip
    assert staking.sent == []
    stake.claim(GOOD, home=tmp_path)
    assert "30 of your stake waits; it can earn from" in capsys.readouterr().out


def test_claiming_lets_new_stake_earn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    staking = Staking(since=NOW - 1)
    opened(monkeypatch, staking)
    stake.claim(GOOD, home=tmp_path, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["admitted"], told["waiting"], told["earns_from"]) == (True, 0, None)
    assert (told["transaction"], staking.sent) == (None, [("admit", 0)])
    with pytest.raises(ConflictError, match=r"your 100 behind .* have earned nothing"):
        stake.claim(GOOD, home=tmp_path)
    with pytest.raises(NotFoundError, match="you have no stake behind"):
        stake.claim(EMPTY, home=tmp_path)


def test_tiny_rewards_are_not_called_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(monkeypatch, Staking())
    stake.claim(POOR, home=tmp_path)
    assert "claimed 55 pico" in capsys.readouterr().out


def test_what_leaves_is_handed_its_rewards_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    staking = Staking()
    opened(monkeypatch, staking)
    monkeypatch.setattr(
        settling, "before_leaving", lambda *_, yes: staking.sent.append(("hand out", yes))
    )
    stake.undelegate(GOOD, "40", yes=True, home=tmp_path)
    assert staking.sent == [("hand out", True), ("unbond", 40 * UNIT)]
    assert "is for those who stay" in capsys.readouterr().out.replace("\n", " ")
    staking.sent.clear()
    stake.remove(GOOD, "100", home=tmp_path, as_json=True)
    assert staking.sent == [("hand out", False), ("unbond", 100 * UNIT)]
    staking.sent.clear()
    staking.locked = True
    with pytest.raises(RefusedError) as caught:
        stake.remove(GOOD, "100", home=tmp_path)
    assert "stake undelegate" in caught.value.remedy
    staking.sent.clear()
    stake.undelegate(GOOD, home=tmp_path)
    assert staking.sent == [("notice", 100 * UNIT)]
    with pytest.raises(ConflictError, match="you have 100 behind"):
        stake.undelegate(GOOD, "101", home=tmp_path)
    opened(monkeypatch, staking, owner=ME)
    with pytest.raises(ConflictError, match="your own node"):
        stake.undelegate(GOOD, "1", home=tmp_path)
    assert len(staking.sent) == 1


def test_notice_is_given_once_and_not_begun_anew() -> None:
    fresh = Staking()
    assert stake.give_notice(ledger(fresh), GOOD, 5) == NOW + DAY
    assert fresh.sent == [("notice", 5)]
    running = Staking(notice=Notice(500, 0, NOW + 1))
    with pytest.raises(ConflictError, match="runs until"):
        stake.give_notice(ledger(running), GOOD, 50 * UNIT)
    assert stake.give_notice(ledger(running), GOOD, 50 * UNIT + 1) == NOW + DAY
    over = Staking(notice=Notice(500, 0, NOW))
    with pytest.raises(ConflictError, match="notice of 50 at"):
        stake.give_notice(ledger(over), GOOD, 51 * UNIT)


def test_what_is_ready_is_withdrawn() -> None:
    staking = Staking()
    assert stake.withdraw_ready(ledger(staking), POOR) == 7 * UNIT
    assert staking.sent == [("withdraw", 0)]
    with pytest.raises(ConflictError, match="the next is ready"):
        stake.withdraw_ready(ledger(), GOOD)
    with pytest.raises(ConflictError, match="nothing is unbonding"):
        stake.withdraw_ready(ledger(), EMPTY)


@pytest.mark.parametrize(
    ("millionths", "told"),
    [(0, "0.00 %"), (123_456, "12.34 %"), (-100, "-0.01 %"), (-1, "-0.01 %"), (10**6, "100.00 %")],
)
def test_percentages_never_flatter(millionths: int, told: str) -> None:
    assert stake.percent(millionths) == told


def test_a_commission_is_a_percentage_in_bounds() -> None:
    assert [stake.bps_of(t) for t in ("0", "7.25", "50", "5%")] == [0, 725, 5_000, 500]
    for text in ("50.01", "1.001", "x"):
        with pytest.raises(UsageError):
            stake.bps_of(text)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "now"), (59, "59 s"), (3_599, "3599 s"), (3_660, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_countdowns(seconds: int, told: str) -> None:
    assert stake.countdown(seconds) == told
