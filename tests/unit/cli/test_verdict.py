"""``verify --subnet``: the ranking reckoned anew, the first false cell named, the proof filed."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts.evm import signer
from contracts.world import carol
from freehold.audit.competing import Draft
from freehold.cli import verdict
from freehold.cli.main import app
from freehold.cli.screen import Screen
from freehold.domain.errors import ConflictError, NotFoundError, UsageError
from freehold.markets.models.trace.batch import bundle, grown
from freehold.markets.models.trace.build import Builder
from freehold.node.judging import source
from unit.node.judging.arena import Scene, with_accounts

READER = signer("somebody without tokens")


class Generous(Builder):
    """Pays uid 4 more, and says so everywhere."""

    def cell(self, uid: int) -> Any:
        made = super().cell(uid)
        return replace(made, server=made.server + 7) if uid == 4 else made


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Two honest roots, and an epoch that has ended behind them."""
    made = Scene(tmp_path)
    made.grant()
    for _ in range(2):
        made.play()
        made.accept()
    made.play()
    made.proposer().step()
    made.field.court.market.fund(10**9)
    monkeypatch.setattr(source, "proposer", lambda _, __: made.source)
    monkeypatch.setattr(verdict, "open_ledger", lambda _: nullcontext(made.ledger(READER)))
    monkeypatch.setattr(verdict, "open_account", lambda *_: nullcontext(made.ledger(carol)))
    return made


def generous(scene: Scene) -> Draft:
    draft, root = scene.court.draft(2), scene.court.root(3)
    assert root is not None
    facts = scene.court.facts(1, draft.since, draft.epoch)
    told = bundle([Generous(facts, root[0].bundle.traces[0]).built()])
    return with_accounts(replace(draft, bundle=told), grown(root[1].earned, told.pays))


def ask(*words: str) -> tuple[int, dict[str, Any], str]:
    found = CliRunner().invoke(app, ["verify", "--subnet", "digits", *words])
    told = json.loads(found.stdout) if "--json" in words else {}
    return found.exit_code, told, found.output


def test_the_last_root_is_judged(scene: Scene) -> None:
    code, told, _ = ask("--json")
    assert code == 0
    root = told["root"]
    assert (root["position"], root["state"], root["same"]) == (3, "final", True)
    assert (told["epoch"], told["first_false"], told["calls"]) == (1, None, [])
    emissions = [each["emission"] for each in told["ranking"]]
    assert emissions == sorted(emissions, reverse=True)
    known = scene.court.root(3)
    assert known is not None
    built = known[0].bundle.traces[0]
    assert sum(emissions) == 10**9 * built.trace.emission
    code, _, text = ask()
    assert code == 0
    assert "the final root 3 says the same" in text


def test_an_ended_epoch_without_a_root_is_reckoned(scene: Scene) -> None:
    code, told, _ = ask("--epoch", "2", "--json")
    assert (code, told["root"]["state"], told["root"]["same"]) == (0, "none", None)
    assert len(told["ranking"]) == 8
    assert any(each["score"] > 0 for each in told["ranking"])
    assert any(each["dividends"] for each in told["ranking"])
    with pytest.raises(NotFoundError, match="epoch 3 has not ended"):
        verdict.judge(scene.ledger(carol), "digits", 3)
    with pytest.raises(NotFoundError, match="no subnet 'letters'"):
        verdict.judge(scene.ledger(carol), "letters", None)


def test_a_false_root_is_named_and_disproved_on_request(scene: Scene) -> None:
    scene.lie(generous(scene))
    code, told, text = ask("--json")
    assert code == 1
    assert told["first_false"] == "cell of subnet 1, uid 4"
    assert told["calls"] == [{"contract": "disputes", "function": "disprove", "value": 0}]
    assert (told["sent"], scene.court.state().tip) == (False, 4)
    code, _, text = ask("--dispute")
    assert code == 1
    assert "cell of subnet 1, uid 4" in text
    assert (scene.court.state().tip, scene.bond()) == (3, 0)
    code, _, _ = ask("--dispute")
    assert code == 0


def test_a_false_root_that_is_final_is_only_named(scene: Scene) -> None:
    scene.lie(generous(scene))
    scene.pass_window()
    scene.proposer()._defend(scene.court.state())
    made, prosecutor = verdict.judge(scene.ledger(carol), "digits", None)
    assert (made.state, made.passed) == ("final", False)
    with pytest.raises(ConflictError, match="final"):
        verdict._dispute(Screen(as_json=True), made, prosecutor)
    code, _, text = ask()
    assert code == 1
    assert "nobody can disprove it any more" in text


@pytest.mark.parametrize(
    "words", [("--dispute",), ("--subnet", "a", "--account", "b"), ("--subnet", "a", "--data", "c")]
)
def test_what_does_not_go_together_is_refused(words: tuple[str, ...]) -> None:
    found = CliRunner().invoke(app, ["verify", *words])
    assert isinstance(found.exception, UsageError)
