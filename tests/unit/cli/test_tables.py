"""Tables of readings and alerts at 80 columns, patterns of metrics, and who reports what."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from freehold.cli import alerts
from freehold.cli.device import rules
from freehold.cli.handles import Handles, node_of
from freehold.cli.home import Home
from freehold.cli.screen import Screen
from freehold.cli.telemetry import reading, reported, tables
from freehold.cli.telemetry.caller import Caller
from freehold.domain import aspects
from freehold.domain.errors import (
    AccessError,
    FreeholdError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from freehold.domain.ids import Address
from freehold.economics.data_pay import Query
from freehold.ledger.ledger import Ledger
from freehold.node.watcher import paysource

NODE, SHED = Address("0x" + "1" * 40), Address("0x" + "2" * 40)
LONG = "freehold.storage.objects.received_bytes.flow"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.claim()
    folder = made.root / "devices/shed"
    folder.mkdir(parents=True)
    (folder / "place.json").write_text(json.dumps({"device": SHED}))
    return made


class Asked:
    """A caller whose service knows the shed; what was asked last is in ``given``."""

    def __init__(self, *members: Mapping[str, object]) -> None:
        self.members, self.refuses = members, False

    def pages(self) -> tuple[Mapping[str, object], ...]:
        return self.members

    def get(self, path: str, **given: object) -> object:
        if self.refuses:
            raise AccessError("only its owner may see it", remedy="Sign as its owner.")
        return []


def caller(*members: Mapping[str, object]) -> Caller:
    return cast("Caller", Asked(*members))


def member(who: str, *metrics: str) -> Mapping[str, object]:
    return {
        "id": who, "kind": "device", "metrics": list(metrics), "seen": 1_000, "quality": 0.5,
        "marked": "",
    }  # fmt: skip


@pytest.mark.parametrize("metric", ["host.cpu.load", LONG])
def test_metrics_are_whole_and_addresses_short_at_80_columns(
    metric: str, capsys: pytest.CaptureFixture[str]
) -> None:
    called = Handles()
    series = {metric: [(at, float(at)) for at in range(99)]}
    tables.readings(Screen(as_json=False), [(NODE, series)], called)
    called.tell(Screen(as_json=False))
    text = capsys.readouterr().out
    assert f"│ {metric} " in text
    assert "│ 0x111111…1111 │" in text
    assert f"0x111111…1111 is {NODE}" in text
    assert max(map(len, text.splitlines())) <= 80
    assert ("▁" in text) is (metric != LONG)


def test_values_come_with_the_unit_that_they_are_in() -> None:
    told = {
        "roof.temperature": "294.55 K (21.4 Cel)",
        "host.net.flow": "294.55 B/s",
        "roof.power": "294.55 W",
        "host.cpu.load": "294.55",
        "a.0123456789.node_hwmon_temp_celsius": "294.55 K (21.4 Cel)",
        "a.0123456789.node_cpu_seconds_total": "294.55 s",
        "shop.queue": "294.55",
    }
    assert {metric: tables.amount(metric, 294.55) for metric in told} == told
    assert tables.amount("roof.power", None) == ""


def test_members_and_alerts_fit_too(capsys: pytest.CaptureFixture[str]) -> None:
    screen, called = Screen(as_json=False), Handles({SHED: "shed"})
    alert = {
        "id": 7, "kind": "anomaly", "subject": SHED, "metric": LONG, "severity": "warning",
        "state": "acknowledged", "since": int(time.time() * 1_000), "times": 3,
        "reason": "[odd/] unlike its own past",
    }  # fmt: skip
    tables.members(screen, [member(SHED, "a"), member("source:shop")], called)
    tables.alerts(screen, [alert], called)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert f"│ {LONG} " in text
    for each in ("source:shop", "shed", "warning anomaly", "[odd/]"):
        assert each in text


def test_patterns_are_looked_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    shed = member(SHED, "roof.rain", "roof.wind", "host.cpu.load")
    both = caller(shed, member(NODE, "host.cpu.load"))
    wanted = reading._wanted
    assert wanted(both, home, "shed", ["roof.*"]) == {SHED: ["roof.rain", "roof.wind"]}
    assert wanted(both, home, None, ["roof.*"]) == {SHED: ["roof.rain", "roof.wind"]}
    assert wanted(both, home, None, ["roof.rain"]) == {SHED: ["roof.rain"], NODE: ["roof.rain"]}
    assert wanted(both, home, None, []) == {SHED: [], NODE: []}
    for device in ("shed", None):
        with pytest.raises(NotFoundError, match="no metric is like") as none:
            wanted(both, home, device, ["zzz.*"])
        assert "roof.rain" in str(none.value.remedy)
    many = caller(member(SHED, *(f"m{at}" for at in range(65))))
    with pytest.raises(UsageError, match="65 metrics"):
        wanted(many, home, "shed", ["m*"])
    with pytest.raises(NotFoundError, match="has reported yet") as nobody:
        wanted(caller(), home, None, [])
    assert "--device" in str(nobody.value.remedy)


def test_names_that_nobody_has_list_those_that_are(home: Home) -> None:
    with pytest.raises(NotFoundError) as error:
        reading.resolve(home, "sheep")
    assert "shed" in str(error.value.remedy)
    assert reading.resolve(home, "shed") == SHED
    with pytest.raises(NotFoundError) as error:
        node_of(home.root, "sheep")
    assert "devices: shed" in str(error.value.remedy)


def test_silences_are_a_week_at_most_and_others_name_their_device() -> None:
    assert alerts._hushed("7d") == 604_800
    for span in ("8d", "0s"):
        with pytest.raises(UsageError) as error:
            alerts._hushed(span)
        assert "7d at most" in str(error.value.remedy)
    asked = Asked()
    asked.refuses = True
    with pytest.raises(AccessError) as refused:
        alerts._page(cast("Caller", asked), limit=1)
    assert "--device" in str(refused.value.remedy)


def test_aspects_are_those_that_watchers_agree_on() -> None:
    assert rules.known("speed") == aspects.SPEED
    assert rules.known("reading:roof.rain") == aspects.reading("roof.rain")
    for name in ("blah", "reading:", "reading:Roof Rain"):
        with pytest.raises(FreeholdError) as error:
            rules.known(name)
        assert error.value.remedy


def test_a_metric_that_was_never_seen_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger: Any = object()
    having: dict[Address, frozenset[str]] | None = {SHED: frozenset({"roof.rain"})}
    monkeypatch.setattr(rules, "_settled", lambda *_: [aspects.reading("roof.wind"), aspects.SPEED])
    monkeypatch.setattr(reported, "known", lambda *_, **__: having)

    def unseen(metric: str) -> str:
        return rules._unseen(home.root, cast("Ledger", ledger), SHED, metric)

    assert unseen("roof.rain") == unseen("roof.wind") == unseen("") == ""
    assert "roof.rain, roof.wind." in unseen("roof.snow")
    having = None
    assert unseen("roof.snow") == ""


def test_who_reports_what_is_of_the_service_and_the_last_statement(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_: object) -> list[paysource.Source]:
        raise UnavailableError("it is asleep", remedy="-")

    monkeypatch.setattr(paysource, "sources", silent)
    ledger = cast("Ledger", object())
    assert reported.known(home.root, ledger) is None
    now = {SHED: frozenset({"roof.rain"})}
    monkeypatch.setattr(reported, "members", lambda *_, **__: now)
    assert reported.known(home.root, ledger) == now
    before = {SHED: frozenset({"roof.wind"}), NODE: frozenset({"a"})}
    monkeypatch.setattr(reported, "settled", lambda _: before)
    found = reported.known(home.root, ledger)
    assert found == {SHED: frozenset({"roof.rain", "roof.wind"}), NODE: frozenset({"a"})}
    assert found is not None
    assert reported.fitting(Query.parse("metric=roof.*"), found) == [SHED]
    assert reported.fitting(Query.parse(f"device={NODE}"), found) == [NODE]
    assert reported.fitting(Query.parse("metric=zzz.*"), found) == []
