"""``freehold agreed`` over what watchers settled by the real contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from contracts.evm import Chain
from contracts.watchers import HOTS
from contracts.world import mallory
from freehold.cli import standing
from freehold.domain.errors import ConflictError, NotFoundError
from freehold.domain.ids import address, checksum
from freehold.ledger.ledger import Ledger
from unit.node.watcher.crowd import STORE, Crowd, gather

STORED = address(STORE.address)
Told = Callable[[], dict[str, object]]


@pytest.fixture
def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crowd:
    made = gather(Chain(), tmp_path)
    monkeypatch.setattr(standing, "open_ledger", lambda _: nullcontext(made.ledger(mallory)))
    monkeypatch.setenv("FREEHOLD_HOME", str(tmp_path / "home"))
    return made


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    return lambda: dict(json.loads(capsys.readouterr().out))


def agree(crowd: Crowd) -> None:
    """Three watchers, one of whom lies, agree for one round."""
    for index in range(3):
        crowd.add(index, liar=index == 0)
    crowd.round(2)
    crowd.half()


def test_before_anybody_told_there_is_nothing(
    crowd: Crowd, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    standing.list_(as_json=True)
    assert told() == {"agreed": []}
    standing.watchers(as_json=True)
    assert told()["watchers"] == []
    with pytest.raises(NotFoundError, match="nothing is agreed on"):
        standing.show(STORED, as_json=True)
    standing.list_()
    assert "Nothing yet" in capsys.readouterr().out


def test_what_was_agreed_is_listed_and_explained(crowd: Crowd, told: Told) -> None:
    agree(crowd)
    standing.list_(as_json=True)
    rows = cast("list[dict[str, object]]", told()["agreed"])
    mine = next(row for row in rows if row["subject"] == STORED)
    assert cast("dict[str, int]", mine["reachable"])["value"] == 10_000
    standing.show(STORED, as_json=True)
    aspects = cast("dict[str, dict[str, list[dict[str, object]]]]", told()["aspects"])
    assert {each["watcher"]: each["told"] for each in aspects["reachable"]["told"]} == {
        address(hot.address): 0 if index == 0 else 10_000 for index, hot in enumerate(HOTS[:3])
    }


def test_watchers_are_listed_by_how_well_they_see(crowd: Crowd, told: Told) -> None:
    agree(crowd)
    standing.watchers(as_json=True)
    found = told()
    rows = cast("list[dict[str, object]]", found["watchers"])
    scores = {row["watcher"]: cast("int", row["score"]) for row in rows}
    liar = address(HOTS[0].address)
    assert len(scores) == 3
    assert all(score > scores[liar] for name, score in scores.items() if name != liar)
    assert (found["round_length"], found["seats"]) == (100, 24)


def test_people_read_words(crowd: Crowd, capsys: pytest.CaptureFixture[str]) -> None:
    agree(crowd)
    standing.list_()
    standing.show(STORED)
    standing.watchers()
    text = capsys.readouterr().out
    assert "100 %" in text
    assert "reachable" in text
    assert "watchers in round 2" in text


def test_a_network_without_status_says_so() -> None:
    ledger = SimpleNamespace(network=SimpleNamespace(contracts={}, name="old"))
    with pytest.raises(ConflictError, match="agree on no status"):
        standing.require(cast("Ledger", ledger))


def test_a_stranger_has_no_status(crowd: Crowd) -> None:
    agree(crowd)
    with pytest.raises(NotFoundError):
        standing.show(checksum(b"\x0f" * 20), as_json=True)


def test_a_node_or_device_of_this_machine_is_named_and_nobody_else(tmp_path: Path) -> None:
    assert standing.subject_of(tmp_path, STORED) == STORED
    with pytest.raises(NotFoundError, match="no node of this machine is called 'nobody'"):
        standing.subject_of(tmp_path, "nobody")
