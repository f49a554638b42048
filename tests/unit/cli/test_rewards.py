"""What nodes lack is named; leaves are proven from served data and claimed by anyone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contracts import roots as stage
from contracts.evm import Chain
from contracts.world import alice, bob, carol, deploy_world, mallory
from freehold.cli import earnings, issuance, leaf, rewards
from freehold.cli.emission import Emission
from freehold.cli.handles import Handles, short
from freehold.cli.screen import Screen
from freehold.domain.errors import (
    CancelledError,
    ConflictError,
    FreeholdError,
    InsufficientFundsError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    UsageError,
    VersionError,
)
from freehold.domain.ids import ZERO_ADDRESS, Address, address, checksum
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.economics.earnings import Bounds, Taking
from freehold.economics.trees import GRAIN, Tree
from freehold.ledger.contracts.rewards import Due, Standing
from freehold.ledger.ledger import Ledger
from freehold.node.dues import CLAIM, COLLECT, GAS, Dues, Errand, Work
from unit.node.world import event, receipt

NODE, OWNER, OTHER = (checksum(bytes([n]) * 20) for n in (1, 2, 3))
MARKET, SUBNETS = (name.ljust(32, b"\0") for name in (b"devices", b"models"))


def dues(**changes: Any) -> Dues:
    made = Dues(
        NODE, OWNER, OWNER, 7, 5, Standing(5, 3, 0, 0, 10), Due(0, 0), joining=False, ended=(),
        fresh=0, agreed=True, budgets=5, bounds=Bounds(10**6, 9_000),
    )  # fmt: skip
    return replace(made, **changes)


def work(epoch: int, *, closed: bool, amount: int) -> Work:
    return Work(epoch, 10, budgeted=True, closed=closed, waits=True, amount=amount, lost_at=60)


def test_a_node_that_lacks_nothing_is_told_so() -> None:
    assert rewards.missing(dues()) == []


def test_what_a_node_lacks_is_named_with_its_remedy() -> None:
    empty = Standing(0, 0, 0, 0, 0)
    assert rewards.missing(dues(standing=empty)) == ["no fees burned yet for its payout account"]
    (told,) = rewards.missing(dues(payee=OTHER, agreed=False))
    assert OTHER in told
    assert f"freehold rewards allow {NODE}" in told
    assert rewards.missing(dues(payee=NODE, agreed=False)) == []  # it is its own payout
    assert "2 burned fees back no work" in rewards.missing(dues(fresh=2 * UNIT))[0]
    assert rewards.missing(dues(fresh=1)) == []  # backs less than a unit of work
    open_ = (work(3, closed=False, amount=5), work(4, closed=False, amount=5))
    assert rewards.missing(dues(ended=open_)) == ["2 epochs are not closed"]
    assert rewards.missing(dues(ended=open_[:1])) == ["an epoch is not closed"]
    (lost,) = rewards.missing(dues(ended=(work(3, closed=False, amount=0),)))
    assert "too late" in lost


def test_the_json_tells_exact_amounts_and_what_is_an_estimate() -> None:
    ended = (work(3, closed=True, amount=5), work(4, closed=False, amount=6))
    told = rewards.to_json(dues(ended=ended, due=Due(100, 0)))
    assert (told["claimable"], told["expected"], told["work"]) == (105, 6, 3)
    assert cast("list[dict[str, object]]", told["waiting"])[1] == {
        "epoch": 4, "work": 10, "closed": False, "at_most": 6, "exact": True,
    }  # fmt: skip
    assert json.loads(json.dumps(told)) == told


def test_work_is_shown_as_bytes_for_a_day() -> None:
    assert rewards.work(0) == "none"
    assert rewards.work(86_400 * 1_000) == "1.0 GB for a day"


def test_emission_is_shown_as_a_bar() -> None:
    assert issuance.bar(0, 0).endswith("░ 0.00 %")
    assert issuance.bar(1, 4) == "█" * 10 + "░" * 30 + " 25.00 %"
    assert issuance.bar(39_999, 40_000).endswith("░ 99.99 %")


@pytest.mark.parametrize(
    ("closed", "told"), [(0, "none closed yet"), (1, "the last closed one had 5 atto")]
)
def test_no_budget_is_told_of_an_epoch_that_never_was(closed: int, told: str) -> None:
    found = SimpleNamespace(closed=closed, budget=5)
    assert issuance._last(cast("Emission", found)) == told


def test_a_network_without_emission_says_so() -> None:
    network = SimpleNamespace(contracts={}, name="old")
    with pytest.raises(NotFoundError, match="old pays no rewards"):
        rewards.require_economy(cast("Ledger", SimpleNamespace(network=network)))


def test_a_node_of_another_that_is_not_in_the_market_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Anybody can register a node that pays this wallet."""
    wallet = SimpleNamespace(exists=lambda: True, address=lambda: OWNER)
    monkeypatch.setattr("freehold.cli.wallets.WalletFolder", lambda _: wallet)
    monkeypatch.setattr(rewards, "of", lambda *_: iter([OTHER, NODE]))
    ledger = SimpleNamespace(faults=SimpleNamespace(set_of=lambda each: int(each == NODE)))
    assert rewards.chosen(cast("Ledger", ledger), tmp_path, None) == [NODE]


@pytest.mark.parametrize("error", [RefusedError, InsufficientFundsError])
def test_a_refusal_that_leaves_nothing_done_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, error: type[RefusedError]
) -> None:
    sent: list[str] = []

    def refuse(_ledger: object, _account: int, errand: Errand) -> None:
        sent.append(errand.what)
        raise error("no", remedy="-")

    monkeypatch.setattr("freehold.node.dues.perform", refuse)
    monkeypatch.setattr(rewards, "look", lambda *_: dues(ended=(work(3, closed=True, amount=5),)))
    key = Key.from_secret(b"\x07" * 32)
    with pytest.raises(error):
        rewards.fetch(cast("Ledger", SimpleNamespace(key=key)), NODE, Screen(as_json=True))
    # One refusal holds up nothing else; without coins nothing else can be sent.
    assert sent == (["collect"] if error is InsufficientFundsError else ["collect", "claim"])


def test_a_claim_that_went_to_the_stake_is_not_told_as_the_payouts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = event("Claimed", contract="rewards", account=1, payee=OTHER, amount=5 * UNIT)
    step = rewards.Step(NODE, Errand("claim"), receipt(told))
    made = SimpleNamespace(
        network=SimpleNamespace(contracts={"rewards": "0x", "staking": OTHER}),
        index=SimpleNamespace(sync=lambda: 0),
    )

    @contextmanager
    def opened(*_: object) -> Iterator[object]:
        yield made

    monkeypatch.setattr(rewards, "open_account", opened)
    monkeypatch.setattr(rewards, "chosen", lambda *_: [NODE])
    monkeypatch.setattr(rewards, "fetch", lambda *_: [step])
    rewards.claim(as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["claimed"], found["to_stake"]) == (5 * UNIT, 5 * UNIT)
    rewards.claim(yes=True)
    assert f"went to the stake of {NODE}" in " ".join(capsys.readouterr().out.split())


def pricing(**of: Any) -> Ledger:
    """A ledger at 1 gwei, whose one node is owed as ``of`` says."""
    made = SimpleNamespace(key=Key.from_secret(b"\x07" * 32), gas_price=lambda: 10**9)
    return cast("Ledger", SimpleNamespace(**{**made.__dict__, "found": dues(**of)}))


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewards, "look", lambda ledger, _: ledger.found)


@pytest.mark.usefixtures("looked")
def test_what_fetching_brings_is_weighed_against_its_gas() -> None:
    ready = rewards.weigh(pricing(ended=(work(3, closed=True, amount=5 * UNIT),)), [NODE])
    assert ready == rewards.Bargain(5 * UNIT, 5 * UNIT, (GAS[COLLECT] + GAS[CLAIM]) * 10**9)
    unsure = replace(work(3, closed=False, amount=5 * UNIT), budgeted=False)
    guess = rewards.weigh(pricing(ended=(unsure,)), [NODE])
    assert (guess.sure, guess.most) == (0, 5 * UNIT)
    assert rewards.weigh(pricing(), [NODE]) == rewards.Bargain(0, 0, 0)


def test_only_what_surely_pays_its_gas_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def deny(text: str) -> bool:
        asked.append(text)
        return False

    monkeypatch.setattr("typer.confirm", deny)
    for sure in (0, UNIT):
        rewards.agree(Screen(as_json=False), rewards.Bargain(sure, sure, sure), coin=UNIT)
    assert not asked
    dear = rewards.Bargain(UNIT, 4 * UNIT, UNIT + 1)
    with pytest.raises(CancelledError):
        rewards.agree(Screen(as_json=False), dear, coin=UNIT)
    (text,) = asked
    assert "1.0001 coins on gas for 1 tokens, and up to 3 more that is not sure," in text
    rewards.agree(Screen(as_json=False), dear, coin=UNIT // 2)


@pytest.mark.usefixtures("looked")
def test_nothing_is_sent_before_a_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = pricing(ended=(work(3, closed=True, amount=5),))
    sent: list[Address] = []

    @contextmanager
    def opened(*_: object) -> Iterator[object]:
        yield SimpleNamespace(
            **ledger.__dict__,
            network=SimpleNamespace(contracts={"rewards": "0x", "staking": OTHER}),
            index=SimpleNamespace(sync=lambda: 0),
        )

    monkeypatch.setattr(rewards, "open_account", opened)
    monkeypatch.setattr(rewards, "chosen", lambda *_: [NODE])

    def fetch(_ledger: object, node: Address, _screen: Screen) -> list[rewards.Step]:
        sent.append(node)
        return []

    monkeypatch.setattr(rewards, "fetch", fetch)
    monkeypatch.setattr("typer.confirm", lambda _: False)
    with pytest.raises(CancelledError):
        rewards.claim()
    assert not sent
    rewards.claim(yes=True)
    rewards.claim(as_json=True)
    rewards.claim(coin="0")
    assert sent == [NODE] * 3


# --- roots ---------------------------------------------------------------------------------------


class Roots:
    """The contract on an in-process chain, as the ledger's class of it."""

    name = "roots"

    def __init__(self, market: stage.Market) -> None:
        self.market, self.address = market, address(market.roots.address)

    def final_root(self, epoch: int) -> int:
        return int(self.market.roots.call("final_root", epoch))

    def claimed(self, account: Address) -> int:
        return int(self.market.roots.call("claimed", account.lower()))

    def state(self) -> Any:
        return self.market.state

    def claim(
        self, epoch: int, account: Address, grains: int, index: int, path: Sequence[int]
    ) -> Any:
        self.market.roots.send(
            "claim", epoch, account.lower(), grains, index, list(path), sender=mallory.address
        )
        return SimpleNamespace(hash="0x01")


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    market = stage.deploy_market(deploy_world(Chain()))
    roots = Roots(market)

    def distributor(name: bytes) -> Address:
        return {MARKET: roots.address, SUBNETS: OTHER}.get(name, ZERO_ADDRESS)

    places = {"roots": roots.address, "rewards": "0x", "subnet": OTHER}
    made = SimpleNamespace(
        network=SimpleNamespace(name="test", contracts=places),
        roots=roots,
        prizes=object(),
        issuance=SimpleNamespace(distributor=distributor),
        index=SimpleNamespace(events=lambda *_, **__: [], sync=lambda: 0),
    )

    @contextmanager
    def opened(*_: object) -> Iterator[object]:
        yield made

    monkeypatch.setattr(rewards, "open_ledger", opened)
    monkeypatch.setattr(rewards, "open_account", opened)
    return cast("Ledger", made)


def settled(ledger: Ledger, folder: Path, *, epoch: int = 0) -> tuple[Tree, Path]:
    """A final root of three accounts, and its leaves as served."""
    amounts = {
        address(who.address): grains * GRAIN for who, grains in ((alice, 70), (bob, 30), (carol, 5))
    }
    tree = Tree.of(amounts)
    cast("Any", ledger.roots).market.settle(epoch, stage.same(tree))
    (folder / "leaves").write_bytes(tree.data())
    return tree, folder / "leaves"


def made_proof(capsys: pytest.CaptureFixture[str], who: str, data: Path) -> dict[str, Any]:
    capsys.readouterr()
    rewards.proof(who, epoch=0, data=data, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_a_proof_from_served_leaves_is_claimed_by_anyone(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, data = settled(ledger, tmp_path)
    fields = made_proof(capsys, alice.address, data)
    assert (fields["grains"], fields["due"]) == (70, 70 * GRAIN)
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(fields))
    rewards.claim(proof=file, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["claimed"], told["account"]) == (70 * GRAIN, address(alice.address))
    assert cast("Any", ledger.roots).market.world.balance(alice.address) == 70 * GRAIN
    with pytest.raises(ConflictError, match="paid that already"):
        rewards.claim(proof=file, as_json=True)
    assert made_proof(capsys, alice.address, data)["due"] == 0


def test_a_proof_is_shown_word_by_word(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, data = settled(ledger, tmp_path)
    rewards.proof(bob.address, epoch=0, data=data)
    shown = capsys.readouterr().out
    index = tree.index(address(bob.address))
    assert all(f"0x{word:064x}" in shown for word in (tree.root, *tree.path(index)))


def test_leaves_of_another_root_prove_nothing(ledger: Ledger, tmp_path: Path) -> None:
    _, data = settled(ledger, tmp_path)
    data.write_bytes(Tree.of({address(alice.address): 71 * GRAIN}).data())
    with pytest.raises(IntegrityError, match="another root"):
        leaf.prove(ledger, address(alice.address), epoch=0, market="devices", data=data)
    data.write_bytes(b"x" * 29)
    with pytest.raises(IntegrityError, match="not whole leaves"):
        leaf.prove(ledger, address(alice.address), epoch=0, market="devices", data=data)


def test_what_cannot_be_proven_is_said(ledger: Ledger, tmp_path: Path) -> None:
    _, data = settled(ledger, tmp_path)
    who = address(alice.address)
    cases: list[tuple[dict[str, Any], type[FreeholdError], str]] = [
        ({"epoch": 1, "market": "devices", "data": data}, NotFoundError, "no final root"),
        ({"epoch": 0, "market": "storage", "data": data}, NotFoundError, "not paid by roots"),
        ({"epoch": 0, "market": "m" * 33, "data": data}, NotFoundError, "not paid by roots"),
        ({"epoch": 0, "market": "devices", "data": None}, NotFoundError, "needs the root's leaves"),
        ({"epoch": 0, "market": "devices", "data": tmp_path / "no"}, UsageError, "cannot be read"),
    ]
    for options, error, text in cases:
        with pytest.raises(error, match=text):
            leaf.prove(ledger, who, **options)
    with pytest.raises(NotFoundError, match="earned nothing"):
        leaf.prove(ledger, address(mallory.address), epoch=0, market="devices", data=data)


def test_each_market_is_paid_by_its_own_roots(ledger: Ledger) -> None:
    assert leaf.payer(ledger, "devices") is ledger.roots
    assert leaf.payer(ledger, "models") is ledger.prizes
    for market in ("storage", "m" * 33, ""):
        with pytest.raises(NotFoundError, match="not paid by roots"):
            leaf.payer(ledger, market)


def test_a_changed_proof_is_refused_before_anything_is_sent(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, data = settled(ledger, tmp_path)
    fields = made_proof(capsys, alice.address, data)
    file = tmp_path / "proof.json"
    changes: list[dict[str, object]] = [
        {"grains": 71}, {"index": 3}, {"account": bob.address}, {"path": []},
    ]  # fmt: skip
    for change in changes:
        file.write_text(json.dumps({**fields, **change}))
        with pytest.raises(IntegrityError, match="does not lead"):
            leaf.check(ledger, leaf.read(file))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", UsageError),
        ("[]", UsageError),
        ("{}", UsageError),
        ('{"freehold_proof": 2}', VersionError),
        ('{"freehold_proof": 1}', UsageError),
    ],
)
def test_a_file_that_is_no_proof(tmp_path: Path, text: str, error: type[FreeholdError]) -> None:
    file = tmp_path / "proof.json"
    file.write_text(text)
    with pytest.raises(error):
        leaf.read(file)


def test_a_proof_with_wrong_words_is_no_proof(tmp_path: Path) -> None:
    good = leaf.Proof("devices", 0, NODE, 5, 1, (7,), 9)
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(good.to_json()))
    assert leaf.read(file) == good
    changes: list[dict[str, object]] = [
        {"path": [7]}, {"path": ["7"]}, {"path": ["0x" + "f" * 65]}, {"path": ["0x1"] * 33},
        {"grains": -1}, {"index": 2**64}, {"account": "nobody"}, {"epoch": None},
        {"grains": float("inf")}, {"grains": 5.0}, {"epoch": True}, {"epoch": "7"}, {"market": 1},
    ]  # fmt: skip
    for change in changes:
        file.write_text(json.dumps({**good.to_json(), **change}))
        with pytest.raises(UsageError, match="is no proof"):
            leaf.read(file)


def test_a_file_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="longer than"):
        leaf.read(Path("/dev/zero"))
    monkeypatch.setattr(leaf, "_LEAVES_MAX", 28 * 10)
    assert len(leaf._bytes(Path("/dev/zero"), most=280)) == 281


def test_a_market_that_is_no_text_is_not_found(ledger: Ledger) -> None:
    """A byte of the command line that is no UTF-8 arrives as half a surrogate."""
    with pytest.raises(NotFoundError, match="not paid by roots"):
        leaf.prove(ledger, NODE, epoch=0, market="\udcff", data=None)


# --- earnings ------------------------------------------------------------------------------------


def test_earnings_are_added_up_and_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = earnings.Earnings(
        100,
        (
            earnings.Income(NODE, "storage", 3 * UNIT, 4 * UNIT),
            earnings.Income(OWNER, "retrieval", UNIT, 0),
        ),
        (earnings.DealIncome(NODE, 9, OTHER, 3 * UNIT, live=False),),
    )
    told = found.to_json()
    assert (told["earned"], told["forecast"], told["days"]) == (4 * UNIT, 4 * UNIT, 30)
    earnings.show(Screen(as_json=False), found, "HOLD", token=NODE, called=Handles())
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("together", "retrieval", "earnings in HOLD", "over"))
    assert "in token" in shown
    assert f"{short(OTHER)} is {OTHER}" in shown
    monkeypatch.setenv("COLUMNS", "80")
    earnings.show(
        Screen(as_json=False), found, "HOLD", token=OTHER, called=Handles({NODE: "node-1"})
    )
    lines = capsys.readouterr().out.splitlines()
    assert "in token" not in "".join(lines)
    (row,) = (line for line in lines if "node-1" in line and "over" in line)
    assert "HOLD" not in row


@pytest.mark.parametrize(
    ("retired", "failed", "notice_at"), [(True, False, 0), (False, True, 0), (False, False, 5)]
)
def test_no_rewards_are_forecast_for_a_node_that_leaves(
    monkeypatch: pytest.MonkeyPatch, retired: bool, failed: bool, notice_at: int
) -> None:
    monkeypatch.setattr(earnings, "_rewards", lambda *_: [Taking(90, UNIT)])
    state = SimpleNamespace(failed=False, notice_at=0)
    entry = SimpleNamespace(retired=False)
    ledger = SimpleNamespace(
        faults=SimpleNamespace(node_state=lambda _: state),
        registry=SimpleNamespace(node=lambda _: entry),
    )
    stays = earnings._rewarded(cast("Ledger", ledger), NODE, 100)
    entry.retired, state.failed, state.notice_at = retired, failed, notice_at
    leaves = earnings._rewarded(cast("Ledger", ledger), NODE, 100)
    assert stays.month > 0
    assert (leaves.earned, leaves.month) == (UNIT, 0)


def test_what_is_due_to_a_node_is_a_line_of_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = (work(3, closed=False, amount=1_935_000),)
    found = [dues(ended=ended, standing=Standing(5, 3 * 10**9, 0, 0, 10), due=Due(100, 0))]
    rewards.show(Screen(as_json=False), found, 59, Handles())
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line for line in lines if "up to 1.93 pico" in line)
    assert short(NODE) in row
    assert f"{short(NODE)}: an epoch is not closed" in lines
    assert f"{short(NODE)} is {NODE}" in lines
