"""`verify --account --epoch` from an export: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from freehold.cli.main import app
from freehold.domain.errors import NotFoundError, UsageError
from unit.audit.press import EARNED, SENDER, answers, earning, small


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    place = tmp_path / "chain.jsonl"
    place.write_bytes(earning().export(EARNED))
    return place


def asked(chain: Path, *arguments: str) -> str:
    found = CliRunner().invoke(app, ["verify", "--chain", str(chain), *arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == 0
    return found.stdout


def test_who_earned_nothing_hears_why(chain: Path) -> None:
    shown = asked(chain, "--account", "7", "--epoch", "0")
    assert "epoch 0: 7" in shown
    assert "earned 0, paid 0" in shown
    assert "no set of this network is its" in shown
    assert "no root covers the epoch yet" in asked(chain, "--account", SENDER, "--epoch", "1")
    assert "the epoch runs" in asked(chain, "--account", SENDER, "--epoch", "99")


def test_programs_get_the_same(chain: Path) -> None:
    told = json.loads(asked(chain, "--account", "7", "--epoch", "0", "--json"))
    assert told["passed"]
    assert told["payouts"][0]["reason"] == "no set of this network is its"
    assert "payouts" not in json.loads(asked(chain, "--json"))


@pytest.mark.parametrize("given", [("--account", "7"), ("--epoch", "1"),
                                   ("--account", "you", "--epoch", "1"),
                                   ("--account", "7", "--epoch", "-1")])  # fmt: skip
def test_half_a_question_is_refused(chain: Path, given: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        asked(chain, *given)


def test_a_network_without_rewards_says_so(tmp_path: Path) -> None:
    press, place = small(), tmp_path / "small.jsonl"
    place.write_bytes(press.export(answers(press)))
    with pytest.raises(NotFoundError, match="pays no rewards"):
        asked(place, "--account", "7", "--epoch", "1")


def test_no_payout_rests_on_what_differs(chain: Path) -> None:
    chain.write_bytes(chain.read_bytes().replace(b'"deployed_block":5', b'"deployed_block":6'))
    found = CliRunner().invoke(
        app, ["verify", "--chain", str(chain), "--account", "7", "--epoch", "0", "--json"]
    )
    assert found.exit_code == 1
    assert "payouts" not in json.loads(found.stdout)
