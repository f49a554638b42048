"""`freehold validate` on a devnet: from a wallet to rows that are revealed, through a kill."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from freehold.cli import validate as verb
from freehold.cli import validating
from freehold.cli.home import Home
from freehold.cli.local import folder_password, node_key
from freehold.cli.model.folder import KEY, RUNS, member_of, note_process
from freehold.cli.subnet import founding
from freehold.cli.validate import validate, validator_folder
from freehold.cli.wallets import WalletFolder
from freehold.domain.errors import (
    CancelledError,
    ConflictError,
    InsufficientFundsError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from freehold.domain.keys import new_phrase
from freehold.domain.money import UNIT
from freehold.domain.network import Network
from freehold.ledger.contracts.registry import VALIDATOR
from freehold.ledger.devnet.ports import free_port
from freehold.ledger.ledger import Ledger
from freehold.node.validator.settings import FILE
from unit.node.validator.scorers import BODIES, SUBNET, write_model, write_subnet

PASSWORD = "only for tests"
SECONDS = 120.0
pytestmark = pytest.mark.xdist_group("validate verb")  # one devnet serves all
RUN = "import typer; from freehold.cli.validate import validate; typer.run(validate)"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, network: Network, founder: Ledger) -> Home:
    made = Home(tmp_path_factory.mktemp("house") / "home")
    made.claim()
    made.descriptor.write_text(network.render())
    key = WalletFolder(made.wallet).create(new_phrase(), PASSWORD, cost=2)
    founder.transfer(key.address, 20 * 10**18)
    founder.send("token", "transfer", (key.address, 10_000 * UNIT))
    return made


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_PASSWORD", PASSWORD)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture(scope="module")
def subnet(home: Home, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("work") / "digits"
    write_subnet(folder, subnet=SUBNET.replace("tasks = 24", "tasks = 8"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FREEHOLD_PASSWORD", PASSWORD)
        founding.create(folder, home=home.root, as_json=True, yes=True)
    return "digits"


@contextmanager
def begun(home: Home, *command: str) -> Iterator[tuple[subprocess.Popen[str], Mapping[str, Any]]]:
    """A process of this home, and what it says once it serves."""
    environment = {**os.environ, "FREEHOLD_HOME": str(home.root), "OMP_NUM_THREADS": "1"}
    log = home.root / "test.log"
    with log.open("a") as errors:
        child = subprocess.Popen(
            [sys.executable, *command, "--json"], stdout=subprocess.PIPE, stderr=errors,
            env=environment, text=True,
        )  # fmt: skip
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        assert line, log.read_text()
        yield child, json.loads(line)
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.2)


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def saw(home: Home, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    validate("digits", status=True, home=home.root, as_json=True)
    return told(capsys)


def test_nothing_is_spent_before_it_is_agreed_to(
    home: Home, founder: Ledger, subnet: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    account = WalletFolder(home.wallet).address()
    before = founder.token.balance_of(account)
    kind: dict[str, Any] = {"home": home.root, "yes": True}
    with pytest.raises(NotFoundError, match="no subnet 'gone'"):
        validate("gone", **kind)
    with pytest.raises(NotFoundError, match="not validated here"):
        validate(subnet, status=True, **kind)
    with pytest.raises(UsageError, match="no scorer"):
        validate(subnet, scorer=str(tmp_path / "gone.py"), **kind)
    other = write_subnet(tmp_path / "other", subnet=SUBNET.replace('"x"', '"z"'))
    with pytest.raises(UsageError, match="schema here is not that of digits"):
        validate(subnet, scorer=f"{other}:score", **kind)
    with pytest.raises(RefusedError, match=r"more than 0\.5"):
        validate(subnet, max_price="0.5", **kind)
    with pytest.raises(InsufficientFundsError, match="validating digits takes"):
        validate(subnet, stake="1000000", **kind)
    with pytest.raises(UsageError, match="a bond of 1,000 tokens, 999 are allowed") as low:
        validate(subnet, propose="999", **kind)
    assert low.value.remedy == "Give --propose 1000, or leave it out."
    with pytest.raises(UsageError, match="cannot be a subnet's name"):
        validate("a b", **kind)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError, match=f"port {port} is in use"):
            validate(subnet, port=port, **kind)
    monkeypatch.setattr("typer.confirm", lambda _: False)
    with pytest.raises(CancelledError):
        validate(subnet, stake="5", propose="1000", home=home.root)
    shown = " ".join(capsys.readouterr().out.split())
    assert "5 tokens staked, 1,000 tokens sent to the node, to post as its bond" in shown
    assert founder.token.balance_of(account) == before


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("def score", "def grade", "no function score"),
        ("def tasks", "raise OSError('it is lost')\n\ndef tasks", "it is lost"),
        ("def tasks(random, theme):", "def tasks(random, theme):\n    return", "asks nothing"),
        ("def tasks(random, theme):", "def tasks(random, theme):\n    open('/gone')", "/gone"),
        ("def tasks(random, theme):", "def tasks(random):", "knows no themes"),
    ],
)
def test_a_scorer_is_tried_before_anything_is_paid(
    home: Home, founder: Ledger, subnet: str, tmp_path: Path, before: str, after: str, why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(verb, "_run", lambda *_: None)  # or a mistake here would never end
    account = WalletFolder(home.wallet).address()
    held = founder.token.balance_of(account)
    file = write_subnet(tmp_path / "mine")
    code = file.read_text()
    assert code.count(before) == 1
    file.write_text(code.replace(before, after))
    with pytest.raises(UsageError, match=why):
        validate(subnet, scorer=f"{file}:score", home=home.root, yes=True)
    assert founder.token.balance_of(account) == held


def test_another_scorer_is_told_of(
    home: Home, founder: Ledger, subnet: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("typer.confirm", lambda _: False)
    file = write_subnet(tmp_path / "mine")
    with pytest.raises(CancelledError):
        validate(subnet, scorer=f"{file}:score", home=home.root)
    assert "is not the scorer that digits was opened with" in capsys.readouterr().out


def test_a_validator_commits_and_reveals_through_a_kill(
    home: Home, founder: Ledger, subnet: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "my_model.py", BODIES["good"])
    port = str(free_port())  # not the usual one, which another test may find free as well
    serve = ("-m", "freehold.cli", "model", "serve", f"{model}:answer", "--subnet", subnet, "-y",
             "--port", port)  # fmt: skip
    start = ("-c", RUN, "--subnet", subnet)
    number = founder.subnet.id_of(subnet)
    with begun(home, *serve):
        bonded = ("--yes", "--stake", "5", "--propose", "1000")
        with begun(home, *start, *bonded) as (child, state):
            assert (state["subnet"], state["uid"]) == (subnet, "1")
            kept = (validator_folder(home, subnet) / FILE).read_bytes()
            with pytest.raises(ConflictError, match=f"already, by process {child.pid}"):
                validate(subnet, home=home.root, yes=True, propose="5000", port=1)
            assert (validator_folder(home, subnet) / FILE).read_bytes() == kept
            assert founder.token.balance_of(state["node"]) == 1_000 * UNIT
            node = founder.registry.node(state["node"])
            assert node.roles == VALIDATOR
            assert founder.staking.active(state["node"]) == 5 * UNIT
            assert member_of(home.root, state["node"]) == state["node"]
            until(lambda: saw(home, capsys)["committed"] >= 0)
            with urllib.request.urlopen(f"{state['url']}/health", timeout=10) as answer:
                health = json.load(answer)
            assert (health["status"], health["uid"]) == ("ok", 1)
            assert "nodes" not in health  # scores are not told to strangers
            child.kill()
        first = saw(home, capsys)
        assert (first["runs"], first["revealed"]) == (False, -1)
        (seen,) = first["nodes"]
        assert seen["uid"] == 0
        assert seen["reasons"].keys() <= {"silent"}  # late once, where the machine is held up
        assert seen["standing"] > 0.1
        spent = founder.token.balance_of(WalletFolder(home.wallet).address())
        os.environ.pop("FREEHOLD_PASSWORD")  # later starts need no wallet
        with begun(home, *start, "--propose", "1000", "--stake", "5") as (_, state):
            until(lambda: saw(home, capsys)["revealed"] == first["committed"])
            with urllib.request.urlopen(f"{state['url']}/metrics", timeout=10) as answer:
                assert b'freehold_validator_rows_total{step="revealed"} 1.0' in answer.read()
            with pytest.raises(HTTPError) as refused:
                urllib.request.urlopen(f"{state['url']}/traces/999999", timeout=10)
            with refused.value as answer:
                assert b"there is nothing here" not in answer.read()  # the proposer's own answer
        os.environ["FREEHOLD_PASSWORD"] = PASSWORD
        assert founder.token.balance_of(WalletFolder(home.wallet).address()) == spent
    last = saw(home, capsys)["revealed"]
    assert founder.subnet.records(number, last + 1, 1)[0].row != bytes(32)
    validate(subnet, status=True, home=home.root)
    out = capsys.readouterr().out
    assert "last row revealed" in out
    assert "8 of 8" in out


def test_bond_and_tokens_come_back(
    home: Home, founder: Ledger, subnet: str, capsys: pytest.CaptureFixture[str]
) -> None:
    account = WalletFolder(home.wallet).address()
    before, folder = founder.token.balance_of(account), validator_folder(home, subnet)
    node = member_of(home.root, f"validator-{subnet}")
    founder.send("token", "transfer", (node, 1_000 * UNIT))
    key = node_key(folder / KEY, folder_password(folder))
    with Ledger.open(home.network(), state=folder / "ledger", key=key) as own:
        held = own.token.balance_of(node)
        own.token.approve(own.prizes.address, 1_000 * UNIT)
        own.prizes.post_bond(1_000 * UNIT)
    note_process(folder, os.getpid())
    with pytest.raises(ConflictError, match="already, by process"):
        validate(subnet, withdraw=True, home=home.root)
    (folder / RUNS).unlink()
    capsys.readouterr()
    validate(subnet, withdraw=True, home=home.root, as_json=True)
    assert told(capsys)["bond"] == 1_000 * UNIT
    assert founder.prizes.bond_of(node).amount == founder.token.balance_of(node) == 0
    assert founder.token.balance_of(account) == before + held
    assert "propose" not in validating.written(folder)
    validate(subnet, withdraw=True, home=home.root)
    assert "0 tokens went back" in capsys.readouterr().out
    with pytest.raises(NotFoundError, match="gone is not validated here"):
        validate("gone", withdraw=True, home=home.root)


def test_the_settings_of_a_validator_are_kept(home: Home, subnet: str) -> None:
    folder = validator_folder(home, subnet)
    kept = validating.written(folder)
    assert (kept["subnet"], kept["plain"]) == (subnet, "yes")
    assert validating.checked(folder, kept).port == int(kept["port"])
