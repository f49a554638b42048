"""Templates are written whole, never over anything, and hold what they promise."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from freehold import templates
from freehold.domain import money
from freehold.domain.errors import ConflictError, NotFoundError
from freehold.ledger.contracts.subnet import Rules
from freehold.markets.models.copies import probes_needed
from unit.templates import folders

FILES = {"README.md", "model.py", "scorer.py", "subnet.toml", "train.py"}
MAY_IMPORT = {"freehold.markets.models.task"}


@pytest.mark.parametrize("name", templates.names())
def test_a_template_has_the_files_of_a_subnet(name: str, tmp_path: Path) -> None:
    written = templates.write(name, tmp_path / "deep" / "new")
    assert {path.name for path in written} >= FILES
    assert {path.name for path in written} - FILES <= {"stream.csv"}
    assert set((tmp_path / "deep" / "new").iterdir()) == set(written)
    assert templates.describe(name)


@pytest.mark.parametrize("name", templates.names())
def test_its_page_is_read_in_five_minutes(name: str, tmp_path: Path) -> None:
    templates.write(name, tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert len(page.splitlines()) <= 40
    named = tomllib.loads((tmp_path / "subnet.toml").read_text())["name"]
    assert f"--subnet {named}" in page
    code = [(tmp_path / file).read_text() for file in ("model.py", "scorer.py", "train.py")]
    assert max(len(text.splitlines()) for text in code) <= 130


@pytest.mark.parametrize("name", templates.names())
def test_its_declaration_is_whole(name: str, tmp_path: Path) -> None:
    templates.write(name, tmp_path)
    schema, terms = folders.subnet(tmp_path)
    assert schema.batched
    assert terms.floor > 0
    assert terms.tasks / 2 >= probes_needed(64, agreement=terms.agreement)
    table = tomllib.loads((tmp_path / "subnet.toml").read_text())
    most = table["rules"].pop("max_nodes")
    assert Rules(**table["rules"]).max_validators < most
    assert 0 < money.parse(table["entry"]["lowest"]) < money.parse(table["entry"]["highest"])


@pytest.mark.parametrize("name", templates.names())
def test_every_setting_is_explained(name: str, tmp_path: Path) -> None:
    templates.write(name, tmp_path)
    text = (tmp_path / "subnet.toml").read_text()
    settings = text[text.index("[scoring]") :].splitlines()
    assert [line for line in settings if " = " in line and " # " not in line] == []


@pytest.mark.parametrize("name", templates.names())
def test_only_the_scorer_needs_freehold(name: str, tmp_path: Path) -> None:
    templates.write(name, tmp_path)
    assert _imports(tmp_path / "scorer.py") == MAY_IMPORT
    assert _imports(tmp_path / "model.py") == _imports(tmp_path / "train.py") == set()


def _imports(path: Path) -> set[str]:
    """Modules of freehold that a file imports."""
    found = (node for node in ast.walk(ast.parse(path.read_text())))
    named = {node.module or "" for node in found if isinstance(node, ast.ImportFrom)}
    return {name for name in named if name.split(".")[0] == "freehold"}


def test_nothing_is_overwritten_and_nothing_half_done(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("mine")
    with pytest.raises(ConflictError, match=r"has model\.py already") as caught:
        templates.write("text", tmp_path)
    assert "nothing was written" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]
    assert (tmp_path / "model.py").read_text() == "mine"


def test_another_template_does_not_go_into_the_same_folder(tmp_path: Path) -> None:
    templates.write("text", tmp_path)
    with pytest.raises(ConflictError):
        templates.write("image", tmp_path)


def test_what_was_interrupted_is_completed(tmp_path: Path) -> None:
    whole = templates.write("text", tmp_path)
    before = {path.name: path.read_bytes() for path in whole}
    for path in whole[2:]:
        path.unlink()
    (tmp_path / "counts.npz").write_bytes(b"trained")
    assert templates.write("text", tmp_path) == whole
    assert {path.name: path.read_bytes() for path in whole} == before


def test_an_interruption_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def break_off(path: Path, data: bytes) -> None:
        if len(written) == 3:
            raise OSError("disk full")
        written.append(path.name)
        put(path, data)

    put = templates._write_new
    monkeypatch.setattr(templates, "_write_new", break_off)
    with pytest.raises(OSError, match="disk full"):
        templates.write("image", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(written)
    assert "subnet.toml" not in written


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ConflictError, match="is no folder"):
        templates.write("text", tmp_path / "taken")
    (tmp_path / "model.py").mkdir()
    with pytest.raises(ConflictError, match=r"model\.py"):
        templates.write("text", tmp_path)


def test_an_unknown_template_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no template \.\./image") as caught:
        templates.write("../image", tmp_path / "new")
    assert "image, text, forecast" in caught.value.remedy
    assert not (tmp_path / "new").exists()
