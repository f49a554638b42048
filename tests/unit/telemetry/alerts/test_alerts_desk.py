from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.domain.errors import ConflictError, NotFoundError, UsageError
from freehold.telemetry.alerts.alert import DAY, HOUR, MINUTE, Rules
from freehold.telemetry.alerts.desk import Desk
from freehold.telemetry.alerts.text import line
from freehold.telemetry.findings import Severity
from unit.telemetry.alerts.findings import T0, Turned, finding


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
def desk(tmp_path: Path, clock: Turned) -> Iterator[Desk]:
    with Desk(tmp_path / "alerts.db", clock=clock) as opened:
        yield opened


def test_the_same_finding_is_one_alert_also_after_a_restart(tmp_path: Path, clock: Turned) -> None:
    for _ in range(2):
        with Desk(tmp_path / "a.db", clock=clock) as desk:
            desk.tell([finding("k"), finding("k")])
            desk.tell([finding("k")])
            (alert,) = desk.list()
            assert (alert.times, alert.state, len(desk.watch(0))) == (1, "open", 1)


def test_told_again_after_it_was_resolved_changes_nothing(desk: Desk, clock: Turned) -> None:
    desk.tell([finding("k")])
    clock.now += HOUR
    desk.sweep()
    assert desk.list()[0].state == "resolved"
    desk.tell([finding("k")])
    assert desk.list()[0].state == "resolved"
    assert [news.event for news in desk.watch(0)] == ["open", "resolved"]


def test_severity_may_rise_and_never_falls(desk: Desk) -> None:
    desk.tell([finding("k"), finding("k", severity=Severity.CRITICAL)])
    desk.tell([finding("k", at=T0 + 5, severity=Severity.INFO)])
    (alert,) = desk.list()
    assert (alert.severity, alert.at) == (Severity.CRITICAL, T0 + 5)
    assert [news.event for news in desk.watch(0)] == ["open", "rise"]


def test_a_rise_opens_what_was_acknowledged(desk: Desk) -> None:
    desk.tell([finding("k")])
    desk.acknowledge(1, by="ann", note="looking")
    desk.tell([finding("k", severity=Severity.CRITICAL)])
    assert desk.list()[0].state == "open"


def test_what_comes_and_goes_is_one_alert_that_says_how_often(desk: Desk, clock: Turned) -> None:
    for at in range(0, 40 * MINUTE, 4 * MINUTE):
        clock.now = T0 + at
        desk.tell([finding(f"k{at}", since=T0 + at, at=T0 + at)])
    (alert,) = desk.list()
    assert (alert.times, len(desk.watch(0))) == (10, 1)
    assert "10 times" in line(alert)
    clock.now += 20 * MINUTE
    desk.sweep()
    assert desk.list()[0].state == "open"  # patience grows with each return
    clock.now += 2 * HOUR
    desk.sweep()
    assert desk.list()[0].state == "resolved"
    desk.tell([finding("later", since=T0 + 5 * HOUR, at=T0 + 5 * HOUR)])
    assert len(desk.list()) == 2


def test_what_comes_back_soon_is_the_same_alert_again(desk: Desk, clock: Turned) -> None:
    desk.tell([finding("k")])
    clock.now += 30 * MINUTE
    desk.tell([finding("l", since=T0 + 30 * MINUTE, at=T0 + 30 * MINUTE)])
    (alert,) = desk.list()
    assert (alert.state, alert.times) == ("open", 2)
    assert [news.event for news in desk.watch(0)] == ["open", "resolved", "again"]


def test_acknowledged_then_resolved(desk: Desk, clock: Turned) -> None:
    desk.tell([finding("k")])
    assert desk.acknowledge(1, by="ann", note="looking\x1b[2J").state == "acknowledged"
    clock.now += HOUR
    desk.sweep()
    news = desk.history(1)
    assert [each.event for each in news] == ["open", "acknowledged", "resolved"]
    assert (news[1].by, news[1].note) == ("ann", "looking [2J")
    with pytest.raises(ConflictError):
        desk.acknowledge(1, by="ann")
    with pytest.raises(NotFoundError):
        desk.acknowledge(7, by="ann")


@pytest.mark.parametrize("kind", ["anomaly", "copied", "refused"])
def test_a_silence_holds_back_and_records(desk: Desk, clock: Turned, kind: str) -> None:
    made = desk.silence(kind=kind[:4] + "*", until=T0 + HOUR, by="ann", reason="tests")
    desk.tell([finding("k", kind=kind, severity=Severity.CRITICAL), finding("o", kind="silent")])
    assert [news.alert.kind for news in desk.watch(0)] == ["silent"]
    assert len(desk.watch(0, silenced=True)) == 2
    assert desk.silences() == [made]
    clock.now += HOUR
    desk.tell([finding("k", kind=kind, at=T0 + HOUR), finding("o", kind="silent", at=T0 + HOUR)])
    assert desk.silences() == []


def test_what_a_silence_held_back_is_told_when_it_ends(desk: Desk, clock: Turned) -> None:
    desk.silence(until=T0 + MINUTE, by="ann", reason="tests")
    desk.tell([finding("k")])
    assert desk.watch(0) == []
    clock.now += MINUTE
    desk.sweep()
    desk.sweep()
    assert [news.event for news in desk.watch(0)] == ["open"]


def test_a_silence_has_a_limit(desk: Desk) -> None:
    for until in (T0, T0 + 7 * DAY + 1):
        with pytest.raises(UsageError):
            desk.silence(until=until, by="ann", reason="tests")
    with pytest.raises(UsageError):
        desk.silence(until=T0 + 1, by="", reason="tests")


def test_a_lifted_silence_holds_nothing_back(desk: Desk) -> None:
    desk.lift(desk.silence(until=T0 + HOUR, by="ann", reason="tests").id)
    desk.tell([finding("k")])
    assert len(desk.watch(0)) == 1


def test_a_flood_is_counted_and_what_is_critical_has_room(tmp_path: Path, clock: Turned) -> None:
    rules = Rules(each=8, open=40, keys=100, incidents=4, moves=5)
    path = tmp_path / "a.db"
    with Desk(path, clock=clock, rules=rules) as desk:
        info = [
            finding(f"{s} {m}", subject=f"s{s}", metric=f"m{m}", severity=Severity.INFO)
            for s in range(40)
            for m in range(40)
        ]
        desk.tell(info)
        assert len(desk.list(limit=1000)) == 20
        assert len(desk.list(subject="s0")) == 4
        assert desk.dropped() == {"dropped info": 1580}
        desk.tell([finding("c", subject="s0", severity=Severity.CRITICAL)])
        assert desk.list()[0].severity is Severity.CRITICAL
        size = path.stat().st_size
        for turn in range(12):
            clock.now += HOUR * (turn % 4)
            at = T0 + turn
            desk.tell(
                [finding(f"f{turn} {n}", subject="s1", metric="m0", at=at) for n in range(50)]
            )
            desk.tell([replace(each, at=at) for each in info])
        assert path.stat().st_size < size + 300_000
        assert len(desk.history(desk.list(subject="s1")[0].id)) <= 5


def test_old_alerts_are_forgotten(desk: Desk, clock: Turned) -> None:
    desk.tell([finding("k")])
    clock.now += HOUR
    desk.sweep()
    clock.now += 91 * DAY
    desk.sweep()
    assert (desk.list(), desk.watch(0)) == ([], [])


def test_watch_wakes_at_once(desk: Desk) -> None:
    seen: list[str] = []
    begin = desk.latest()

    def look() -> None:
        seen.extend(news.alert.key for news in desk.watch(begin, wait=30.0))

    thread = threading.Thread(target=look)
    thread.start()
    desk.tell([finding("k")])
    thread.join(10)
    assert seen == ["k"]


def test_text_of_an_alert(desk: Desk) -> None:
    desk.tell([finding("k", reason="bad\x1b[31m", severity=Severity.CRITICAL)])
    assert line(desk.list()[0]) == (
        "!! #1 0xabab..abab anomaly temperature, since 2026-01-01 00:00:00Z, "
        "9 where 1 to 2 was expected, bad [31m"
    )


def test_numbers_that_are_none(desk: Desk) -> None:
    desk.tell([replace(finding("k"), value=float("nan"), score=float("inf"))])
    assert "expected" not in line(desk.list()[0])


def test_an_alert_and_its_messages_are_written_together_or_not_at_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Power(Exception):
        """It went."""

    def fail(*_: object, **__: object) -> None:
        raise Power

    with monkeypatch.context() as patch:
        patch.setattr(desk.outbox, "put", fail)
        with pytest.raises(Power):
            desk.tell([finding("k")])
    assert desk.list() == []
    desk.tell([finding("k")])
    assert len(desk.list()) == 1
