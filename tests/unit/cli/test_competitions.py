"""`subnet.toml` as founders write it, and what the ledger keeps of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold import templates
from freehold.cli.competition import Competition, folder_of, scorer_hash, uri_of
from freehold.domain.errors import FreeholdError, NotFoundError, UsageError
from freehold.domain.money import UNIT
from freehold.markets.models.task import Terms


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    templates.write("image", tmp_path / "image")
    return tmp_path / "image"


@pytest.mark.parametrize("name", templates.names())
def test_every_template_is_a_competition(tmp_path: Path, name: str) -> None:
    templates.write(name, tmp_path / name)
    told = Competition.read(tmp_path / name)
    assert told == Competition.read(tmp_path / name / "subnet.toml")
    assert (told.max_nodes, told.rules.owner_bps, told.entry.lowest) == (64, 1_000, UNIT)
    assert len(told.task.schema) == len(told.task.scorer) == 32


def test_the_scorer_hash_covers_program_and_numbers(folder: Path) -> None:
    told = Competition.read(folder)
    code = (folder / "scorer.py").read_bytes()
    assert told.scorer == scorer_hash(code, told.scoring)
    assert scorer_hash(code + b" ", told.scoring) != told.scorer
    assert scorer_hash(code, Terms()) != told.scorer
    text = (folder / "subnet.toml").read_text()
    (folder / "subnet.toml").write_text(text.replace("seconds = 2.0", "seconds = 3.0"))
    assert Competition.read(folder).scorer != told.scorer


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("kappa = 32_767", "kapa = 1", "kapa, which is unknown"),
        ("kappa = 32_767", "kappa = true", "no whole number"),
        ("yuma3 = true", "yuma3 = 1", "no true or false"),
        ('lowest = "1"', "lowest = 0.5", "no text"),
        ('lowest = "1"', 'lowest = "many"', "many"),
        ('name = "digits"', "", "no text"),
        ('name = "digits"', 'nam = "digits"', "nam is unknown"),
        ("[schema]", "[[schema]]", "schema is no table"),
        ("[schema]", "[schema", "no TOML"),
        ("floor = 0.55", "floor = 2", "outside"),
        ("max_nodes = 64", 'max_nodes = "64"', "no whole number"),
    ],
)
def test_mistakes_are_named(folder: Path, old: str, new: str, says: str) -> None:
    file = folder / "subnet.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(FreeholdError, match=says) as caught:
        Competition.read(folder)
    assert "subnet.toml" in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def tasks(random):\n    yield\n", "knows no themes"),
        ("def tasks(random, theme:\n", "no Python"),
        ("\0", "no Python"),
    ],
)
def test_no_subnet_is_opened_with_a_scorer_that_nobody_can_run(
    folder: Path, code: str, says: str
) -> None:
    (folder / "scorer.py").write_text(code)
    with pytest.raises(UsageError, match=says):
        Competition.read(folder)


@pytest.mark.parametrize(
    "code", ["def tasks(*given):\n    yield\n", "from other import tasks\n", "tasks = print\n"]
)
def test_what_only_running_it_could_tell_is_left_to_validators(folder: Path, code: str) -> None:
    (folder / "scorer.py").write_text(code)
    Competition.read(folder)


def test_what_is_not_there(folder: Path) -> None:
    (folder / "scorer.py").unlink()
    with pytest.raises(UsageError, match=r"scorer\.py"):
        Competition.read(folder)
    with pytest.raises(NotFoundError) as caught:
        Competition.read(folder / "gone")
    assert "subnet new" in caught.value.remedy


def test_documents_of_this_machine(folder: Path, tmp_path: Path) -> None:
    assert folder_of(uri_of(folder)) == folder
    spaced = tmp_path / "a b"
    spaced.mkdir()
    assert folder_of(uri_of(spaced)) == spaced
    assert uri_of(tmp_path / ("x" * 130)) == ""
    for uri in ("", "https://example.org/x", "file://host/tmp", f"file://{folder}/gone", "file:["):
        assert folder_of(uri) is None
