from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.economics.simulation.presets import PRESETS, choose
from freehold.economics.simulation.scenario import (
    DEFAULT,
    SIZE_MAX,
    Scenario,
    assumptions,
    parse_scenario,
    sections,
)

EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "scenarios").glob("*.toml"))


def test_an_empty_file_is_the_default() -> None:
    assert parse_scenario("") == DEFAULT == Scenario()


def test_keys_that_are_left_out_keep_their_defaults() -> None:
    found = parse_scenario("baseline = 5\n[compute]\nstart = 7\n[token]\nprices = [1, 2.5]\n")
    assert found.compute.start == 7.0
    assert found.compute.price == DEFAULT.compute.price
    assert found.token.prices == (1.0, 2.5)
    assert found.token.volatility == DEFAULT.token.volatility
    assert found.baseline == 5.0
    assert found.storage == DEFAULT.storage


def test_lists_are_read() -> None:
    found = parse_scenario(
        '[[shock]]\nmonth = 3\nmarket = "compute"\n[[shock]]\nfactor = 2\n'
        '[[genesis]]\nname = "all"\ntokens = 5\ncliff = 1\nparts = 2\n[schedule]\nfirst = 9\n'
    )
    assert [shock.market for shock in found.shock] == ["compute", "both"]
    assert found.genesis[0].tokens == 5
    assert found.schedule is not None
    assert found.schedule.first == 9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("= 3", "not TOML"),
        ("x" * (SIZE_MAX + 1), "longer than"),
        ("[storge]", "unknown key 'storge'"),
        ("[storage]\nstrat = 1", "unknown key 'storage.strat'"),
        ("storage = 3", "storage is not a table"),
        ('[storage]\nstart = "many"', "storage.start is 'many', not a number"),
        ("[storage]\nstart = true", "storage.start is True, not a number"),
        ("[storage]\nstart = -1", "storage.start is -1, outside"),
        ("[storage]\nprice = nan", "storage.price is nan"),
        ("[compute]\ncost = inf", "compute.cost is inf"),
        ("[storage]\nstart = 10\nlimit = 5", "storage.limit is below"),
        ("[fees]\nemission = 1.0", "fees.emission is 1.0, outside"),
        ("[fees]\nnetwork = 0.5", "fees.network is 0.5, outside"),
        ("[grants]\nmonths = 1.5", "grants.months is 1.5, not a whole number"),
        ("[split]\nstorage = 0.7\ncompute = 0.7", "split gives away more"),
        ("[token]\nprices = 3", "token.prices is not a list"),
        ("[token]\nprices = [1, 0]", r"token.prices\[1\] is 0, outside"),
        ('[token]\nprices = ["1"]', r"token.prices\[0\] is '1', not a number"),
        ("[token]\nprice = 1", "unknown key 'token.price'"),
        ("baseline = 0", "baseline is 0, outside"),
        ("shock = 3", "shock is not a list"),
        ("[shock]\nmonth = 3", "shock is not a list"),
        ("[[shock]]\nmonth = 0", r"shock\[0\].month is 0, outside"),
        ('[[shock]]\nmarket = "gold"', r"shock\[0\].market is 'gold'"),
        ("[[shock]]\nday = 3", r"unknown key 'shock\[0\].day'"),
        ("[[genesis]]\ntokens = 0.5", r"genesis\[0\].tokens is 0.5, not a whole"),
        ("[[genesis]]\nname = 3", r"genesis\[0\].name is not a text"),
        ('[[genesis]]\nname = "a\\u001b[31m"', r"genesis\[0\].name is not a text"),
        ("[[genesis]]\n" * 33, "genesis is not a list of at most 32"),
        ("[[shock]]\n" * 65, "shock is not a list of at most 64"),
        ("[schedule]\nfactor = 1.5", "schedule.factor is 1.5, outside"),
        ("genesis = [3]", r"genesis\[0\] is not a table"),
        ("a = " + "[" * 5_000, "not TOML"),
    ],
)
def test_a_bad_file_is_refused_by_the_name_of_its_key(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_scenario(text)
    assert caught.value.remedy


@given(st.text(alphabet='[]=.\n "abstorage0123456789{},', max_size=80))
def test_no_text_ends_in_anything_but_a_typed_error(text: str) -> None:
    with suppress(UsageError):
        parse_scenario(text)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_are_read(file: Path) -> None:
    assert parse_scenario(file.read_text()) != DEFAULT


def test_every_number_has_a_meaning() -> None:
    found = [
        (key, what) for _, section in sections(DEFAULT) for key, _, what in assumptions(section)
    ]
    assert len(found) > 35
    assert all(what for _, what in found)


def test_a_genesis_of_ones_own_replaces_the_presets() -> None:
    scenario = parse_scenario('[[genesis]]\nname = "all"\ntokens = 7\n')
    preset = choose("ionet", scenario)
    assert preset.initial() == 7 * 10**18
    assert preset.cap == PRESETS["ionet"].cap - (500_000_000 - 7) * 10**18


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("dogecoin", "", "no preset 'dogecoin'"),
        ("own", "", "needs a schedule"),
        ("own", "[schedule]\nfirst = 0", "never exist"),
        ("ionet", "[schedule]\nfirst = 1", "has its own"),
    ],
)
def test_presets_that_cannot_be(name: str, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose(name, parse_scenario(text))
