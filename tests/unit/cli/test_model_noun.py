"""From an empty folder to a node that answers, is listed, paid, explained and stopped: the nouns
`subnet` and `model` and the verb `ask`, on a devnet, with model servers as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest

from freehold.cli.ask import asking
from freehold.cli.home import Home
from freehold.cli.model import looking as models
from freehold.cli.model import serving, why
from freehold.cli.model.enlisting import Budget
from freehold.cli.model.folder import member_of, running
from freehold.cli.model.wishes import Wishes
from freehold.cli.screen import Screen
from freehold.cli.subnet import founding, funding, joining, looking
from freehold.cli.wallets import WalletFolder
from freehold.domain.errors import (
    AccessError,
    CancelledError,
    ConflictError,
    FreeholdError,
    InsufficientFundsError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from freehold.domain.keys import new_phrase
from freehold.domain.money import UNIT
from freehold.domain.network import Network
from freehold.ledger.contracts.registry import MODEL
from freehold.ledger.ledger import Ledger
from freehold.node.workloads.models.refusals import BrokenModelError

PASSWORD = "only for tests"
pytestmark = pytest.mark.xdist_group("model noun")  # one devnet serves all
ANSWER = """
import numpy as np

def answer(inputs):
    rows = len(inputs["x"])
    return {"y": inputs["x"].sum(axis=1, keepdims=True).astype(np.float32)}
"""
TOML = """
name = "sums"

[[schema.inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 2]

[[schema.outputs]]
name = "y"
datatype = "FP32"
shape = [-1, 1]

[entry]
lowest = "1"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, network: Network, founder: Ledger) -> Home:
    """A home of the network with a wallet that holds coins and tokens, some of them deposited."""
    made = Home(tmp_path_factory.mktemp("house") / "home")
    made.claim()
    made.descriptor.write_text(network.render())
    key = WalletFolder(made.wallet).create(new_phrase(), PASSWORD, cost=2)
    founder.transfer(key.address, 20 * 10**18)
    founder.send("token", "transfer", (key.address, 10_000 * UNIT))
    founder.token.approve(founder.payments.address, 100 * UNIT)
    founder.payments.deposit(founder.token.address, key.address, 100 * UNIT)
    return made


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_PASSWORD", PASSWORD)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("work") / "sums"
    made.mkdir()
    (made / "subnet.toml").write_text(TOML)
    (made / "scorer.py").write_text("def score(task, answer, seconds): return 1.0\n")
    (made / "my_model.py").write_text(ANSWER)
    return made


@pytest.fixture(scope="module")
def subnet(home: Home, folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patched:  # before the fixture of each test
        patched.setenv("FREEHOLD_PASSWORD", PASSWORD)
        founding.create(folder, home=home.root, as_json=True, yes=True)
    return "sums"


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@contextmanager
def served(home: Home, *arguments: str) -> Iterator[dict[str, str]]:
    """`freehold model serve` as a process; what it says once it serves."""
    with process(home, "model", "serve", *arguments) as said:
        yield said


@contextmanager
def process(home: Home, *arguments: str) -> Iterator[dict[str, str]]:
    """A command that stays, ended as by Ctrl-C; the JSON that it says first."""
    command = [sys.executable, "-m", "freehold.cli", *arguments, "--json"]
    environment = {**os.environ, "FREEHOLD_HOME": str(home.root)}
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, child.communicate()[1]
    try:
        yield json.loads(line)
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert child.returncode == 0


def test_what_a_new_subnet_costs_is_asked_first(
    home: Home, founder: Ledger, folder: Path, subnet: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    number = founder.subnet.id_of(subnet)
    account = WalletFolder(home.wallet).address()
    state = founder.subnet.subnet_of(number)
    assert (state.owner, state.max_nodes, state.lock) == (account, 64, 1_000 * UNIT)
    assert founder.subnet.uri_of(number) == folder.as_uri()
    with pytest.raises(ConflictError, match="already"):
        founding.create(folder, home=home.root)
    with pytest.raises(RefusedError, match="more than 1"):
        founding.create(folder, name="other", max_price="1", home=home.root)
    monkeypatch.setattr("typer.confirm", lambda _: False)
    capsys.readouterr()
    with pytest.raises(CancelledError):
        founding.create(folder, name="other", home=home.root)
    out = capsys.readouterr().out
    assert "locks 1,000" in out
    assert founder.subnet.id_of("other") == 0
    with pytest.raises(UsageError, match="cannot be a subnet's name"):
        founding.create(folder, name="Other", home=home.root, yes=True)


def test_one_function_joins_and_answers_whoever_asks(
    home: Home, founder: Ledger, folder: Path, subnet: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"{folder / 'my_model.py'}:answer"
    account = WalletFolder(home.wallet).address()
    before = founder.token.balance_of(account)
    number = founder.subnet.id_of(subnet)
    with served(home, model, "--subnet", subnet, "--yes") as state:
        entry = founder.registry.node(member_of(home.root, subnet))
        assert (entry.owner, entry.payout, entry.roles) == (account, account, MODEL)
        assert founder.subnet.place_of(number, member_of(home.root, subnet)) == 0
        assert (state["subnet"], state["uid"], state["model"]) == (subnet, "0", subnet)
        spent = before - founder.token.balance_of(account)
        assert UNIT < spent < 2 * UNIT
        until(lambda: founder.registry.node(member_of(home.root, subnet)).endpoint)

        asking.ask(subnet, ["[1, 2]"], home=home.root, as_json=True)
        answer = told(capsys)
        assert (answer["outputs"]["y"]["data"], answer["paid"]) == ([3.0], 0)
        asking.ask(subnet, ["x=[[1, 2], [3, 4]]"], home=home.root)
        assert "3, 7" in capsys.readouterr().out
        with pytest.raises(FreeholdError, match="of 1 owner, and 2"):
            asking.ask(subnet, ["[1, 2]"], agree="2/3", home=home.root)

        check_endpoint(home, subnet)
        with pytest.raises(ConflictError, match="served already"):
            serving.serve(model, subnet=subnet, yes=True, home=home.root)

        models.list_(home=home.root, as_json=True)
        (row,) = told(capsys)["models"]
        assert (row["name"], row["uid"], row["url"]) == (subnet, "0", state["url"])
        models.list_(subnet, home=home.root, as_json=True)
        (member,) = told(capsys)["members"]
        assert (member["answers"], member["score"], member["price"]) == (True, 0.0, 0)
        assert not founder.prizes.state().final - 1
        with pytest.raises(NotFoundError, match="no epoch of sums"):
            why.why(subnet, home=home.root)
        models.stop(subnet, home=home.root)
        assert running(home.root / "models" / subnet) is None
    with pytest.raises(NotFoundError, match="not served"):
        models.stop(subnet, home=home.root)
    again = founder.token.balance_of(account)
    os.environ.pop("FREEHOLD_PASSWORD")
    with served(home, model, "--subnet", subnet, "--price", "0.01") as state:
        assert founder.token.balance_of(account) == again
        os.environ["FREEHOLD_PASSWORD"] = PASSWORD
        with pytest.raises(FreeholdError, match="wants more"):
            asking.ask(subnet, ["[1, 2]"], most="0.001", home=home.root)
        with pytest.raises(FreeholdError, match="wants more"):
            asking.ask(subnet, ["[1, 2]"], home=home.root, as_json=True)
        capsys.readouterr()
        asking.ask(subnet, ["[1, 2]"], yes=True, home=home.root)
        out = capsys.readouterr().out
        assert "sets 10 tokens of your deposit aside" in out
        assert "0.01 tokens" in out
    models.list_(home=home.root, as_json=True)
    assert told(capsys)["models"][0]["pid"] is None
    with pytest.raises(UnavailableError, match="no node of sums answers, of 1"):
        asking.ask(subnet, ["[1, 2]"], home=home.root)


def check_endpoint(home: Home, subnet: str) -> None:
    """Programs ask the standard endpoint, which knows every subnet."""
    with process(home, "ask", "--serve", "0") as gateway:
        url = f"{gateway['url']}/v2/models/{subnet}"
        asked = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2],
                                        "data": [4, 5]}]})  # fmt: skip
        answer = json.load(urlopen(Request(f"{url}/infer", asked.encode())))
        assert answer["outputs"][0]["data"] == [9.0]
        assert json.load(urlopen(url))["nodes"] == 1
    with pytest.raises(UsageError, match="needs a limit"):
        asking.ask(subnet, port=0, most="1", home=home.root)
    with pytest.raises(UsageError, match="nothing to ask"):
        asking.ask(subnet, home=home.root)


def test_a_model_that_does_not_fit_costs_nothing(
    home: Home, founder: Ledger, folder: Path, subnet: str, tmp_path: Path
) -> None:
    account = WalletFolder(home.wallet).address()
    before = founder.token.balance_of(account)
    (tmp_path / "broken.py").write_text("def answer(inputs) return\n")
    (tmp_path / "other.py").write_text(
        "import numpy as np\nexample = {'z': np.zeros((1, 3), np.float32)}\n"
        "def answer(inputs): return {'y': inputs['z']}\n"
    )
    kind: dict[str, Any] = {"subnet": subnet, "name": "bad", "yes": True, "home": home.root}
    for name in ("broken.py", "other.py"):
        with pytest.raises(BrokenModelError):
            serving.serve(str(tmp_path / name), **kind)
    with pytest.raises(NotFoundError, match="no file"):
        serving.serve(str(tmp_path / "gone.py"), **kind)
    with pytest.raises(UsageError, match="cannot name a model"):
        serving.serve(str(folder / "my_model.py"), **kind | {"name": "../x"})
    with pytest.raises(NotFoundError, match="no subnet 'gone'"):
        serving.serve(str(folder / "my_model.py"), **kind | {"subnet": "gone"})
    with pytest.raises(RefusedError, match=r"more than 0\.5"):
        serving.serve(str(folder / "my_model.py"), **kind | {"max_price": "0.5"})
    with pytest.raises(InsufficientFundsError, match="joining sums takes"):
        serving.serve(str(folder / "my_model.py"), **kind | {"stake": "1000000"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("freehold.cli.model.schemas._places", lambda *_: ())
        (tmp_path / "third.py").write_text(ANSWER + "\nexample = {'x': np.ones((1, 2))}\n")
        with pytest.raises(UsageError, match="another schema than sums"):
            serving.serve(str(tmp_path / "third.py"), **kind)
    (tmp_path / "schema.json").write_text(
        json.dumps({"inputs": [{"name": "q", "datatype": "FP32", "shape": [1]}],
                    "outputs": [{"name": "y", "datatype": "FP32", "shape": [1]}]})
    )  # fmt: skip
    with pytest.raises(UsageError, match="is not that of sums"):
        serving.serve(str(folder / "my_model.py"), **kind | {"schema": tmp_path / "schema.json"})
    assert founder.token.balance_of(account) == before


def test_a_start_that_was_cut_off_goes_on_and_pays_nothing_twice(
    home: Home, founder: Ledger, folder: Path, subnet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, place = f"{folder / 'my_model.py'}:answer", home.root / "models/cut"
    join = serving.Join(
        Screen(True), home.root, None, place, model, Wishes(), Budget(0, 10**17), yes=True
    )
    account = WalletFolder(home.wallet).address()
    with monkeypatch.context() as patch:
        patch.setattr("freehold.cli.model.enlisting.join", cut_off)
        with pytest.raises(KeyboardInterrupt):
            join.prepare(subnet)
    node = member_of(home.root, "cut")
    assert founder.registry.node(node).owner == account
    assert founder.subnet.place_of(founder.subnet.id_of(subnet), node) is None
    before, coins = founder.token.balance_of(account), founder.balance(node)
    price = founder.subnet.price(founder.subnet.id_of(subnet))
    settings = join.prepare(subnet)
    uid = founder.subnet.place_of(founder.subnet.id_of(subnet), node)
    assert (settings.uid, settings.subnet) == (str(uid), subnet)
    assert 0 < before - founder.token.balance_of(account) <= price
    after = founder.token.balance_of(account)
    assert join.prepare(subnet) == settings
    assert founder.token.balance_of(account) == after
    assert founder.balance(node) == coins == 10**17
    assert founder.registry.node(node).generation == 1


def cut_off(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_model_is_served_alone_without_a_ledger(tmp_path: Path, folder: Path) -> None:
    home = Home(tmp_path / "alone")
    (tmp_path / "my.py").write_text(ANSWER + "\nexample = {'x': np.zeros((1, 2), np.float32)}\n")
    with served(home, str(tmp_path / "my.py"), "--port", "0") as state:
        assert (state["model"], state["node"], state["subnet"]) == ("my", "", "")
        assert running(home.root / "models/my") is not None


def test_a_subnet_is_shown_granted_changed_and_closed(
    home: Home, founder: Ledger, folder: Path, subnet: str, capsys: pytest.CaptureFixture[str]
) -> None:
    looking.list_(home=home.root, as_json=True)
    listed = told(capsys)
    assert [row["name"] for row in listed["subnets"]] == [subnet]
    assert listed["creation_price"] >= 100 * UNIT
    number = founder.subnet.id_of(subnet)
    funding.grant(subnet, "2.5", epochs=2, yes=True, home=home.root, as_json=True)
    epoch = told(capsys)["first"]
    assert founder.subnet.money(number, epoch)[1] == founder.subnet.money(number, epoch + 1)[1]
    for amount, epochs, error in (("0.00000000001", 1, UsageError), ("1", 65, UsageError),
                                  ("99999", 1, InsufficientFundsError)):  # fmt: skip
        with pytest.raises(error):
            funding.grant(subnet, amount, epochs=epochs, yes=True, home=home.root)
    looking.show(subnet, home=home.root)
    out = capsys.readouterr().out
    assert "2.5 granted" in out
    assert "silent" in out or "None yet" in out
    with pytest.raises(ConflictError, match="already"):
        founding.set_(folder, yes=True, home=home.root)
    file = folder / "subnet.toml"
    file.write_text(TOML.replace('lowest = "1"', 'lowest = "2"') + "\n[rules]\nkappa = 30_000\n")
    with pytest.raises(UsageError, match="too near"):
        founding.set_(folder, epoch=0, yes=True, home=home.root)
    founding.set_(folder, yes=True, home=home.root, as_json=True)
    start = told(capsys)["epoch"]
    assert founder.subnet.entry_at(number, start).lowest == 2 * UNIT
    assert founder.subnet.rules_at(number, start).kappa == 30_000
    file.write_text(TOML)
    with pytest.raises(ConflictError, match="not ended"):
        funding.unlock(subnet, home=home.root)
    with pytest.raises(NotFoundError, match="no node of this machine"):
        joining.register_(subnet, "nobody", home=home.root)


def test_a_stranger_closes_no_subnet(
    tmp_path: Path, network: Network, founder: Ledger, subnet: str
) -> None:
    home = Home(tmp_path / "home")
    home.claim()
    home.descriptor.write_text(network.render())
    key = WalletFolder(home.wallet).create(new_phrase(), PASSWORD, cost=2)
    founder.transfer(key.address, 10**18)
    with pytest.raises(AccessError, match="belongs to"):
        funding.close(subnet, yes=True, home=home.root)
    with pytest.raises(InsufficientFundsError, match="a new subnet takes"):
        founding.create(folder_like(tmp_path), name="mine", yes=True, home=home.root)


def test_the_end_of_a_subnet(
    home: Home, founder: Ledger, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    founding.create(folder, name="brief", yes=True, home=home.root)
    capsys.readouterr()
    funding.close("brief", yes=True, home=home.root, as_json=True)
    ends = told(capsys)["closing"]
    with pytest.raises(ConflictError, match="ends with epoch"):
        funding.close("brief", yes=True, home=home.root)
    with pytest.raises(ConflictError, match="takes nobody"):
        serving.serve(str(folder / "my_model.py"), subnet="brief", yes=True, home=home.root)
    assert ends == founder.subnet.epoch() + 5


def folder_like(tmp_path: Path) -> Path:
    made = tmp_path / "copy"
    made.mkdir()
    (made / "subnet.toml").write_text(TOML)
    (made / "scorer.py").write_text("")
    return made


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def test_an_example_of_every_datatype() -> None:
    from freehold.markets.models.tensor import DATATYPES, Schema, decode_request

    kinds = ["BYTES", *DATATYPES]
    specs = [
        {"name": f"t{at}", "datatype": kind, "shape": [-1, 2]} for at, kind in enumerate(kinds)
    ]
    schema = Schema.of({"inputs": specs, "outputs": specs})
    asked = decode_request(json.dumps(serving.example_of(schema)).encode(), None)
    schema.check_inputs(asked.inputs)
    assert np.shape(asked.inputs[0].shape) == (2,)
