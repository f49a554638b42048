from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from environment import outside
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from freehold.cli.main import app, explain
from freehold.domain.errors import NotFoundError

HEAVY = ("web3", "numba", "torch", "llvmlite", "eth_account", "sqlalchemy", "fastapi", "numpy")


def freehold(*arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = outside()
    if home is not None:
        environment["FREEHOLD_HOME"] = str(home)
    return subprocess.run(
        [sys.executable, "-m", "freehold.cli", *arguments],
        capture_output=True, text=True, timeout=120, env=environment, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_help_names_every_noun_and_verb() -> None:
    shown = freehold("--help")
    assert shown.returncode == 0
    words = (
        "up down status doctor tour put get ls rm mv info share recover verify "
        "wallet stake deal node network"
    )
    assert all(word in shown.stdout for word in words.split())


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['freehold', '--help']\n"
        "from freehold.cli.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"sys.exit(' '.join(m for m in {HEAVY!r} if m in sys.modules) or None)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert shown.returncode == 0, shown.stderr


def test_what_python_compiles_is_kept_whatever_the_environment_says() -> None:
    program = (
        "import os, sys; sys.argv = ['freehold', '--version']\n"
        "from freehold.cli.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "sys.exit(sys.dont_write_bytecode or 'PYTHONDONTWRITEBYTECODE' in os.environ)"
    )
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nonsense",), 2, "No such command"),
        (("ls",), 1, "freehold up"),
        (("put", "/no/such/file"), 2, "is not a file"),
        (("put", "-"), 2, "no name"),
        (("share", "a/b"), 2, "--to CARD"),
        (("wallet", "show"), 1, "no Freehold home"),
        (("stake", "add", "0x12", "1"), 1, "no Freehold home"),
        (("verify", "--chain", "/no/such/file"), 2, "cannot be read"),
        (("network", "show", "/no/such/file"), 2, "cannot be read"),
        (("recover", "/no/such/kit"), 2, "cannot be read"),
    ],
)
def test_errors_say_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    shown = freehold(*arguments, home=tmp_path / "none")
    assert shown.returncode == code, shown.stderr
    assert words.lower() in shown.stderr.lower()
    assert "Traceback" not in shown.stderr


def test_programs_get_errors_as_json(tmp_path: Path) -> None:
    shown = freehold("ls", "--json", home=tmp_path / "none")
    assert set(json.loads(shown.stderr)) == {"error", "remedy", "kind"}
    assert shown.stdout == ""


def test_the_home_may_stand_before_the_command(tmp_path: Path) -> None:
    shown = freehold("--home", str(tmp_path / "elsewhere"), "wallet", "show")
    assert str(tmp_path / "elsewhere") in shown.stderr


def test_a_foreign_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    shown = freehold("up", home=tmp_path)
    assert shown.returncode == 1
    assert "not a Freehold home" in shown.stderr


def test_people_read_message_and_remedy() -> None:
    error = NotFoundError("no such thing", remedy="Look elsewhere.")
    assert explain(error, as_json=False) == "freehold: no such thing\n  Look elsewhere."


def test_a_wallet_is_made_and_its_key_restored(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse")
    made = freehold(
        "wallet", "create", "--json", "--password-file", str(password), home=tmp_path / "a"
    )
    assert made.returncode == 0, made.stderr
    again = freehold("wallet", "create", "--password-file", str(password), home=tmp_path / "a")
    assert again.returncode == 1
    assert "already" in again.stderr


def test_nobody_is_asked_for_a_password_without_a_keyboard(tmp_path: Path) -> None:
    shown = freehold("wallet", "create", home=tmp_path / "a")
    assert shown.returncode == 4
    assert "--password-file" in shown.stderr


def test_a_node_is_made_once(tmp_path: Path) -> None:
    home = tmp_path / "a"
    made = freehold("node", "init", "attic", "--json", "--capacity", "2GiB", home=home)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["node"].startswith("0x")
    assert freehold("node", "init", "attic", home=home).returncode == 1
    odd = freehold("node", "init", "cellar", "--capacity", "much", home=home)
    assert odd.returncode == 2
    assert "64GiB" in odd.stderr
    assert freehold("node", "start", "attic", home=home).returncode == 1


def test_every_command_speaks_to_programs_and_of_any_home() -> None:
    root = get_command(app)
    found = dict(_commands(root, "freehold"))
    assert len(found) > 25
    for path, options in found.items():
        assert {"--json", "--home"} <= options, path


def _commands(command: object, path: str) -> Iterator[tuple[str, set[str]]]:
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from _commands(child, f"{path} {name}")
    elif isinstance(command, TyperCommand):
        yield path, {option for parameter in command.params for option in parameter.opts}
