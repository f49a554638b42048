"""What the tutorial says, done with the commands that it names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from environment import outside

from freehold.cli.home import Home
from freehold.domain.money import UNIT
from journeys.town import Town

pytestmark = pytest.mark.journey


def freehold(home: Path, *arguments: str, code: int = 0) -> dict[str, object]:
    """Run a command with --json; its document."""
    environment = outside()
    done = subprocess.run(
        [sys.executable, "-m", "freehold.cli", *arguments, "--json"],
        capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL,
        env=environment | {"FREEHOLD_HOME": str(home), "FREEHOLD_PASSWORD": "correct horse"},
    )  # fmt: skip
    assert done.returncode == code, f"{arguments}: {done.stderr}"
    document = json.loads(done.stdout if code == 0 or done.stdout else done.stderr)
    return document if isinstance(document, dict) else {"rows": document}


def native(home: Path, *arguments: str, code: int = 0) -> dict[str, object]:
    """The same with the home's own password."""
    password = str(home / "password")
    return freehold(home, *arguments, "--password-file", password, code=code)


def test_the_tutorial(tmp_path: Path) -> None:
    home, other, visitor = tmp_path / "home", tmp_path / "new", tmp_path / "visitor"
    town = Town.found(home)
    try:
        file = tmp_path / "letter.txt"
        file.write_bytes(os.urandom(70_000))
        _store(home, file, tmp_path)
        _recover(home, other, file, tmp_path)
        _share(home, visitor, file, tmp_path)
        assert native(home, "verify", "--data", "mail/letter.txt")["passed"] is True
        _refuse_second(home)
    finally:
        town.stop()


def _store(home: Path, file: Path, scratch: Path) -> None:
    quote = native(home, "put", "--quote", str(file))
    assert quote["k"] == 4
    assert not (scratch / "no").exists()
    stored = native(home, "put", str(file), "mail/letter.txt")
    assert (stored["pending"], stored["size"]) == (False, 70_000)
    assert "is a folder of 1 object" in str(native(home, "get", "mail", code=1)["error"])
    small = scratch / "small.txt"
    small.write_text("small")
    assert native(home, "put", str(small))["pending"] is False
    _store_together(home, scratch)
    native(home, "get", "mail/letter.txt", str(scratch / "back"))
    assert (scratch / "back").read_bytes() == file.read_bytes()
    info = native(home, "info", "mail/letter.txt")
    assert len({column["node"] for column in info["columns"]}) == 6  # type: ignore[attr-defined]
    assert info["term_end"] == stored["term_end"]
    native(home, "mv", "files/small.txt", "files/tiny.txt")
    native(home, "rm", "files/tiny.txt")
    rows = native(home, "ls")["rows"]
    ends = [(row["name"], row["term_end"]) for row in rows]  # type: ignore[attr-defined]
    assert ends == [("mail/letter.txt", stored["term_end"])]
    assert native(home, "get", "files/tiny.txt", code=1)["kind"] == "NotFoundError"
    assert native(home, "verify", "--data", "files/tiny.txt", code=1)["kind"] == "NotFoundError"


def _store_together(home: Path, scratch: Path) -> None:
    """A folder's small files share one deal; what is pending waits for the next put."""
    folder = scratch / "trip"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(name)
    rows = native(home, "put", str(folder))["rows"]
    assert len({row["deal"] for row in rows}) == 1  # type: ignore[attr-defined]
    waiting = native(home, "put", str(folder / "a"), "later/a", "--pending")
    assert (waiting["pending"], waiting["deal"]) == (True, 0)
    listed = native(home, "ls", "later")["rows"]
    assert [row["pending"] for row in listed] == [True]  # type: ignore[attr-defined]
    sent = native(home, "put", "--flush")["rows"]
    assert [(r["name"], r["pending"]) for r in sent] == [("later/a", False)]  # type: ignore[attr-defined]
    odd = native(home, "put", str(folder / "a"), "bad name//x", code=2)
    assert "bucket/key" in str(odd["remedy"])
    for name in ("files/trip/a", "files/trip/b", "files/trip/c", "later/a"):
        native(home, "rm", name)


def _recover(home: Path, other: Path, file: Path, scratch: Path) -> None:
    kit = scratch / "kit.txt"
    native(home, "wallet", "backup", str(kit))
    found = freehold(other, "recover", str(kit))
    assert found["unread_deals"] == []
    mine, theirs = native(home, "ls")["rows"], freehold(other, "ls")["rows"]
    assert [r["name"] for r in mine] == [r["name"] for r in theirs]  # type: ignore[attr-defined]
    freehold(other, "get", "mail/letter.txt", str(scratch / "recovered"))
    assert (scratch / "recovered").read_bytes() == file.read_bytes()
    broken = scratch / "broken.txt"
    broken.write_text(kit.read_text().replace("block: ", "block: 9"))
    assert freehold(scratch / "third", "recover", str(broken), code=2)["kind"] == "UsageError"


def _share(home: Path, visitor: Path, file: Path, scratch: Path) -> None:
    """A second account reads what was shared with it, and pays for the reading."""
    account = str(freehold(visitor, "wallet", "create")["account"])
    assert freehold(visitor, "wallet", "show") == {"account": account, "network": None}
    freehold(visitor, "network", "use", str(home / "network.json"))
    _send(home, account)
    card = str(freehold(visitor, "share")["card"])
    token = str(native(home, "share", "mail/letter.txt", "--to", card)["token"])
    poor = freehold(visitor, "ls", "--token", token, code=5)
    assert (poor["kind"], "wallet deposit" in str(poor["remedy"])) == (
        "InsufficientFundsError", True,
    )  # fmt: skip
    freehold(visitor, "wallet", "deposit", "100")
    before = freehold(visitor, "wallet", "show")
    target = scratch / "shared"
    freehold(visitor, "get", "mail/letter.txt", str(target), "--token", token)
    assert target.read_bytes() == file.read_bytes()
    after = freehold(visitor, "wallet", "show")
    assert int(str(after["available"])) < int(str(before["available"]))
    own = freehold(visitor, "ls")["rows"]
    assert own == []


def _send(home: Path, account: str) -> None:
    """Tokens and coins go to the visitor; what could only lose them is refused."""
    native(home, "wallet", "send", account, "10", "--coins")
    much = native(home, "wallet", "send", account, "1" * 20, "--coins", code=5)
    assert much["kind"] == "InsufficientFundsError"
    before = int(str(freehold(home, "wallet", "show")["tokens"]))
    sent = native(home, "wallet", "send", account, "1000")
    assert (sent["to"], sent["amount"]) == (account, 1_000 * UNIT)
    assert str(sent["transaction"]).startswith("0x")
    assert sent["left"] == before - 1_000 * UNIT == freehold(home, "wallet", "show")["tokens"]
    own = str(freehold(home, "wallet", "show")["account"])
    token = Home(home).network().contracts["token"]
    for to, amount, code, kind in (
        (own, "1", 2, "UsageError"),
        (token, "1", 2, "UsageError"),
        ("0x" + "0" * 40, "1", 2, "UsageError"),
        (account, "0", 2, "UsageError"),
        (account, "1000000000", 5, "InsufficientFundsError"),
    ):
        assert native(home, "wallet", "send", to, amount, code=code)["kind"] == kind
    assert freehold(home, "wallet", "show")["tokens"] == sent["left"]


def _refuse_second(home: Path) -> None:
    refusal = freehold(home, "up", code=1)
    assert refusal["kind"] == "ConflictError"
    assert Home(home).network().name == "local"
