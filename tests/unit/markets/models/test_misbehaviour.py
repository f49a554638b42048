"""What lying is worth: docs/explanation/models.md says it, here it is held to be so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench import misbehaviour
from bench.choices import FAULTY, WHEN, absent, agreed
from bench.competition import Liar, Plan, World, run
from bench.misbehaviour import (
    AFTER,
    COPIERS,
    DEFAULT,
    LIARS,
    NODES,
    STILL,
    SUBNETS,
    USUAL,
    VARIANTS,
    Case,
    copying,
    lying,
    missing,
    serving,
)
from docs import misbehaviour as page

SEEDS = range(3)
SHORT = replace(USUAL, epochs=90, warm=30)
PURE = [name for name in COPIERS if name != "half copied"]


def means(case: Case, world: World = SHORT) -> dict[str, float]:
    return {name: each.mean for name, each in lying(case, world, seeds=SEEDS).items()}


def test_honest_validators_earn_alike() -> None:
    earned = run(USUAL, DEFAULT, Plan(), seed=0).per_stake(USUAL.counted)
    assert earned == pytest.approx(np.ones(USUAL.honest), abs=0.005)


@pytest.mark.parametrize("name", ["usual", "news 0.2", "no news, drift 5"])
def test_every_copier_loses_where_scores_move(name: str) -> None:
    found = copying(SUBNETS[name], seeds=SEEDS)
    assert all(found[name].mean + found[name].within < -5 for name in PURE), found


def test_who_copies_less_loses_less() -> None:
    found = copying(USUAL, seeds=SEEDS)
    assert found["last root"].mean < found["consensus"].mean < found["half copied"].mean < 0


def test_a_copier_is_right_where_nothing_changes_the_more_so_the_worse_others_measure() -> None:
    found = [copying(replace(STILL, noise=noise), seeds=SEEDS) for noise in (0.01, 0.03, 0.07)]
    gains = [each["consensus"].mean for each in found]
    assert 0 < gains[0] < gains[1] < 2 < gains[2] < 4
    few = copying(replace(STILL, honest=3), seeds=SEEDS)["consensus"].mean
    assert few < 0.2, "the median of three is hardly less noisy than one of them"


def test_only_without_the_penalty_does_a_copier_of_what_stands_still_gain_nothing() -> None:
    without = VARIANTS["no bonds penalty"]
    assert abs(copying(STILL, without, seeds=SEEDS)["consensus"].mean) < 0.1
    still, moving = (copying(USUAL, by, seeds=SEEDS)["consensus"].mean for by in (without, DEFAULT))
    assert moving < 2 * still < 0, "but then copying is cheap where scores move"


def test_long_memory_makes_copying_cheap() -> None:
    lives = (0.25, 1.0, 4.0)
    worlds = [replace(SHORT, half_life=each) for each in lives]
    losses = [copying(world, seeds=SEEDS)["consensus"].mean for world in worlds]
    assert losses == sorted(losses)
    assert losses[0] < -5
    assert losses[-1] > -2.5


@pytest.mark.parametrize("name", ["classic", "liquid alpha", "no old bonds stay"])
def test_copying_the_consensus_loses_under_all_bonds(name: str) -> None:
    assert copying(USUAL, VARIANTS[name], seeds=SEEDS)["consensus"].mean < -4


def test_copies_of_more_than_half_stand_still() -> None:
    below, above = (means(Case(stake, agreed), USUAL) for stake in (0.49, 0.51))
    assert below["moved"] < 2
    assert above["moved"] > 10
    assert above["liar"] > 100 > above["honest"]


@pytest.mark.parametrize(
    "name",
    ["scores at random, 20 %", "scores upside down, 20 %", "the same score for all, 20 %"],
)
def test_careless_scores_earn_less_and_move_little(name: str) -> None:
    found = means(LIARS[name])
    assert found["liar"] < 92
    assert found["honest"] > 101
    assert found["moved"] < 5


@pytest.mark.parametrize("part", ["20 %", "49.9 %"])
def test_a_cabal_below_half_loses_by_feeding_its_own_node(part: str) -> None:
    found = means(LIARS[f"all for its own node, {part}"])
    assert found["with its nodes"] < 50
    assert found["honest"] > 100


def test_who_owns_half_of_the_nodes_gains_with_less_than_half_the_stake() -> None:
    less, more = (
        means(LIARS[f"all for its own half of the nodes, {part}"]) for part in ("20 %", "49.9 %")
    )
    assert less["with its nodes"] < 100
    assert 105 < more["with its nodes"] < 115


def test_a_cabal_above_half_takes_everything() -> None:
    found = means(LIARS["all for its own node, 50.1 %"])
    assert found["honest"] < 20
    assert found["moved"] > 80


def test_whoever_goes_away_leaves_his_pay_to_the_honest() -> None:
    world = replace(USUAL, warm=WHEN + 1, epochs=WHEN + 21)
    found = means(LIARS["goes away after 20 of 80 epochs, 49.9 %"], world)
    assert found["liar"] == 0
    assert found["honest"] == pytest.approx(100 / 0.501, abs=0.1)
    assert found["moved"] < 1


@pytest.mark.parametrize("name", ["default (yuma3)", "liquid alpha"])
def test_not_revealing_costs_the_epoch(name: str) -> None:
    course = run(SHORT, VARIANTS[name], Plan((Liar(0.1, absent),)), seed=0)
    assert course.dividends[WHEN + 1, -1] == 0 < course.dividends[WHEN, -1]
    assert course.dividends[WHEN + 1].sum() == pytest.approx(1)


def test_classic_bonds_spread_the_loss_over_later_epochs() -> None:
    course = run(SHORT, VARIANTS["classic"], Plan((Liar(0.1, absent),)), seed=0)
    assert course.dividends[WHEN + 1, -1] == pytest.approx(0.05, abs=0.003)
    assert missing(VARIANTS["classic"], seeds=SEEDS)["missed"].mean == pytest.approx(1, abs=0.05)


def test_not_revealing_costs_bonds_beside() -> None:
    assert missing(DEFAULT, seeds=SEEDS)["missed"].mean == pytest.approx(1.5, abs=0.1)


def test_a_node_without_answers_gets_nothing_from_the_next_epoch_on() -> None:
    course = run(USUAL, DEFAULT, NODES["gone, or found to be a copy"], seed=0)
    assert course.incentive[WHEN, FAULTY] > 0
    assert not course.incentive[WHEN + 1 :, FAULTY].any()


def test_a_node_that_answers_again_is_paid_again() -> None:
    found = serving(NODES["hangs, garbage or another shape in one epoch"], seeds=SEEDS)
    assert found["1"].mean == 0
    assert 75 < found["2"].mean < 99 < found["5"].mean < 100.1


def test_a_copy_gets_nothing_if_more_than_half_the_stake_sees_it() -> None:
    most, half = (
        serving(NODES[f"found to be a copy by {told}"], seeds=SEEDS)
        for told in ("5 of 8 validators", "4 of 8")
    )
    assert all(most[str(after)].mean == 0 for after in AFTER)
    assert half["10"].mean == pytest.approx(50, abs=8)


def test_who_takes_over_a_uid_inherits_nothing() -> None:
    course = run(USUAL, DEFAULT, NODES["its uid taken by a newcomer as good"], seed=0)
    kept = run(USUAL, DEFAULT, Plan(), seed=0)
    assert not course.incentive[WHEN : WHEN + 2, FAULTY].any()
    assert 0 < course.incentive[WHEN + 2, FAULTY] < kept.incentive[WHEN + 2, FAULTY]


def test_a_rival_loses_at_most_the_part_of_who_names_him_not() -> None:
    for part, stake in (("20 %", 0.2), ("49.9 %", 0.499)):
        found = means(LIARS[f"the truth, but nothing for one rival, {part}"])
        assert 100 * (1 - stake) - 10 < found["node"] < 100
        assert found["liar"] < 101.5


def test_the_page_has_what_the_code_gives() -> None:
    name = "found to be a copy by 5 of 8 validators"
    told = page.table("nodes", {name: serving(NODES[name])}).splitlines()
    text = page.PAGE.read_text()
    assert all(line in text for line in told)


def test_the_page_shows_all_tables() -> None:
    text = page.PAGE.read_text()
    for name, rows in (("copiers", SUBNETS), ("rules", VARIANTS), ("validators", LIARS)):
        part = text.split(f"<!-- {name} -->")[1].split("<!-- end -->")[0]
        assert [line.split(" | ")[0][2:] for line in part.strip().splitlines()[2:]] == list(rows)
    assert page.put(text, "nodes", "x").count("<!-- nodes -->\nx\n<!-- end -->") == 1
    with pytest.raises(ValueError, match="0 places"):
        page.put(text, "nothing", "x")
    assert set(misbehaviour.TABLES) == set(page.COLUMNS)
