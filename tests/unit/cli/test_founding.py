"""What a founder wants becomes a plan; what it costs is told before, and is what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from freehold.cli import founding, network
from freehold.cli.allocations import Allocation
from freehold.cli.founding import Wanted, bps_of, monthly, split_of
from freehold.cli.home import Home
from freehold.cli.rehearsal import Quote, Step, _Sent, _sent, _weighed
from freehold.cli.wallets import WalletFolder
from freehold.domain.clock import SystemClock
from freehold.domain.errors import ConflictError, InsufficientFundsError, UsageError
from freehold.domain.ids import Address, checksum
from freehold.domain.keys import new_phrase
from freehold.domain.money import UNIT
from freehold.economics.schedules.plan import PRESETS
from freehold.economics.schedules.vesting import MONTH_SECONDS
from freehold.economics.stake import Rule
from freehold.ledger.book import DROPPED, Book, Draft, begun
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.plan import DAY, Vesting
from freehold.ledger.probe import Probe
from freehold.ledger.rpc import Rpc
from freehold.ledger.sender import Sender
from freehold.ledger.wire import RpcRefusal
from unit.ledger.founding import installed_engine

FOUNDER = checksum(b"\x01" * 20)
FRIEND, OTHER = checksum(b"\x02" * 20), checksum(b"\x03" * 20)
PLAIN = Wanted(name="alpine", period=DAY)
OWN = replace(PLAIN, model="own", first=1_000 * UNIT, factor=99 * 10**16, months=24)
MILLION = 10**6 * UNIT


def gift(amount: int, *, cliff: int = 0, parts: int = 0) -> Allocation:
    return Allocation(FRIEND, amount, cliff, parts)


@pytest.mark.parametrize(
    ("model", "genesis", "cap"),
    [
        ("filecoin", 600 * MILLION, 1_700 * MILLION),
        ("ionet", 500 * MILLION, 800 * MILLION),
        ("bittensor", MILLION, 22 * MILLION),
    ],
)
def test_a_model_brings_its_genesis_and_its_cap(model: str, genesis: int, cap: int) -> None:
    plan = replace(PLAIN, model=model).plan(FOUNDER)
    assert plan.allocation == {FOUNDER: genesis}
    assert plan.minting_cap == cap
    assert plan.emission.plan() == PRESETS[model]
    assert (plan.emission.epoch, plan.emission.storage_bps) == (7 * DAY, 7_000)


def test_devices_ask_for_the_stake_of_the_model_or_the_founders() -> None:
    ionet = replace(PLAIN, model="ionet")
    for wanted, rule in (
        (ionet, Rule(200 * UNIT, weighed=True)),
        (replace(ionet, device_stake=9), Rule(9, weighed=True)),
        (replace(ionet, weighed=False), Rule(200 * UNIT)),
        (replace(ionet, device_stake=0), Rule(0)),
        (PLAIN, Rule(0)),
        (replace(PLAIN, device_stake=9), Rule(9)),
        (replace(PLAIN, device_stake=9, weighed=True), Rule(9, weighed=True)),
    ):
        assert wanted.plan(FOUNDER).emission.device == rule


def test_an_own_schedule_falls_from_its_first_month() -> None:
    plan = replace(OWN, genesis=50 * UNIT, cap=30_000 * UNIT).plan(FOUNDER)
    schedule = plan.emission.plan()
    month = 2_629_800
    exact = 1_000 * (1 - 0.99**24) / 0.01
    assert schedule.scheduled(month) == 1_000 * UNIT
    assert abs(schedule.scheduled(2 * month) - 1_990 * UNIT) <= 1
    assert schedule.scheduled(30 * month) == schedule.limit
    assert abs(schedule.limit / UNIT - exact) < 1e-9 * exact
    assert (plan.allocation, plan.minting_cap) == ({FOUNDER: 50 * UNIT}, 30_000 * UNIT)


def test_a_short_epoch_leaves_as_much_time_to_draw() -> None:
    usual, short = PLAIN.plan(FOUNDER).emission, replace(PLAIN, epoch=DAY).plan(FOUNDER).emission
    assert short.draw_window * short.epoch == usual.draw_window * usual.epoch
    assert replace(PLAIN, epoch=60).plan(FOUNDER).emission.draw_window == 10_000


def test_fees_and_split_are_the_founders() -> None:
    split = (6_000, 1_000, 3_000)
    plan = replace(PLAIN, split=split, fee_bps=100, burn_bps=10_000).plan(FOUNDER)
    found = plan.emission
    assert (found.storage_bps, found.devices_bps, found.models_bps) == split
    assert (plan.parameters.fee_bps, plan.parameters.burn_bps) == (100, 10_000)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (replace(PLAIN, model="gold"), "token model is 'gold'"),
        (replace(PLAIN, model="own"), "own needs a schedule"),
        (replace(OWN, months=None), "own needs a schedule"),
        (replace(PLAIN, factor=UNIT), "filecoin has a schedule of its own"),
        (replace(OWN, factor=UNIT + 1), "at most 1"),
        (replace(OWN, first=0), "first month"),
        (replace(PLAIN, epoch=61), "multiple of 30"),
        (replace(PLAIN, epoch=0), "epoch is 0"),
        (replace(PLAIN, cap=UNIT), "--cap is 1 tokens, but 1,700,000,000 tokens could be minted"),
        (replace(PLAIN, split=(7_000, 4_000, 0)), "devices' part of --split is 40 %.* 0 % to 30 %"),
        (replace(PLAIN, split=(7_000, 1_000, 4_000)), "models' part of --split is 40 %.* to 20 %"),
        (replace(PLAIN, genesis=9, allocations=(gift(10),)), "has 0.000000000000000009"),
        (replace(PLAIN, genesis=10, allocations=(gift(10, cliff=1),)), "all of the genesis waits"),
        (replace(PLAIN, cap=1_700 * MILLION, allocators={FRIEND: 1}), "could be minted"),
        (replace(PLAIN, weighed=True), "could be weighed"),
        (replace(PLAIN, device_stake=2**90), "--stake-per-device is 1,237,940"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_spent(wanted: Wanted, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        wanted.plan(FOUNDER)


def test_percentages_are_exact() -> None:
    assert [bps_of(text) for text in ("0", "0.5", "7.25%", "100")] == [0, 50, 725, 10_000]
    assert split_of("62.5/0/37.5") == (6_250, 0, 3_750)
    for text in ("0.001", "100.01", "-1", ""):
        with pytest.raises(UsageError):
            bps_of(text)
    for text in ("70", "70/30", "70/20/5/5", "x/y/z"):
        with pytest.raises(UsageError):
            split_of(text)


def test_a_schedule_has_months() -> None:
    with pytest.raises(UsageError, match="months above 0"):
        monthly(UNIT, UNIT, 0)


def test_what_is_not_allocated_is_the_founders_at_once() -> None:
    waits, comes = gift(30, cliff=12, parts=24), Allocation(OTHER, 20)
    wanted = replace(PLAIN, genesis=100, allocations=(waits, comes), allocators={OTHER: 7})
    plan = replace(wanted, treasury=FRIEND).plan(FOUNDER)
    assert (plan.allocation, plan.treasury) == ({FOUNDER: 50, OTHER: 20}, FRIEND)
    assert plan.vesting == (Vesting(FRIEND, 30, 12 * MONTH_SECONDS, 24),)
    assert (plan.allocators, plan.emission.budget) == ({OTHER: 7}, 7)
    assert plan.minting_cap == 1_700 * MILLION, "the model's own holds it all"
    assert [(who, amount) for who, amount, *_ in wanted.shares(FOUNDER)] == [
        (FRIEND, 30), (OTHER, 20), (FOUNDER, 50),
    ]  # fmt: skip
    mine = replace(PLAIN, genesis=100, allocations=(Allocation(FOUNDER, 30),))
    assert mine.plan(FOUNDER).allocation == {FOUNDER: 100}
    whole = replace(PLAIN, genesis=20, allocations=(comes,))
    assert whole.plan(FOUNDER).allocation == {OTHER: 20}
    assert PLAIN.plan(FOUNDER).minting_cap == 1_700 * MILLION
    full = replace(PLAIN, model="ionet", allocators={OTHER: 7})
    assert full.plan(FOUNDER).minting_cap == 800 * MILLION + 7, "a budget is on top"


# What it costs


def test_who_holds_what_is_told_affords_every_transaction_in_its_turn() -> None:
    chain = Probe("", "consensus", True, "", 12.0)
    quote = Quote(1, chain, (Step("a", 1_000), Step("b", 9_000), Step("c", 100)), 10, 25)
    assert (quote.gas, quote.cost) == (10_100, 101_000)
    assert quote.needed == 1_000 * 10 + (9_000 * 5 // 4 + 5_000) * 25
    held = quote.needed
    for step in quote.steps:
        assert held >= (step.gas * 5 // 4 + 5_000) * quote.ceiling
        held -= step.gas * quote.price


class Dear:
    """A chain that counts twice the gas, and cannot say for what needs other contracts."""

    def estimate(self, request: dict[str, str]) -> int:
        if request["data"] == "0x02":
            raise RpcRefusal("reverted", remedy="")
        return 2_000


def test_a_dearer_chain_is_told_dearer_throughout() -> None:
    sent = [
        _Sent("create a", 1_000, None, "0x01", FOUNDER),
        _Sent("create b", 500, None, "0x02", FOUNDER),
        _Sent("a set", 70, FOUNDER, "0x03", FOUNDER),
    ]
    found = [(step.name, step.gas) for step in _weighed(Dear(), sent)]  # type: ignore[arg-type]
    assert found == [("create a", 2_000), ("create b", 1_000), ("a set", 140)]


# On a chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    installed_engine()
    with Devnet.start(tmp_path_factory.mktemp("chain")) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with a wallet that holds nothing."""
    monkeypatch.setenv("FREEHOLD_PASSWORD", "only for tests")
    made = Home(tmp_path / "home")
    made.claim()
    WalletFolder(made.wallet).create(new_phrase(), "only for tests", cost=2)
    return made


def give(chain: Devnet, to: Address, wei: int, state: Path) -> None:
    with Rpc([chain.url], chain_id=chain.chain_id) as rpc:
        sender = Sender(rpc, chain.funder, Book(state / "book", "gift"), SystemClock())
        sender.send(to, b"", value=wei)
        sender.close()


FILE = f"""
[[allocation]]
account = "{FRIEND}"
tranche = "seed"

[[allocation]]
account = "{OTHER}"
tranche = "research and ecosystem"
amount = 1_000
"""


def create(chain: Devnet, file: Path, *, quote: bool = False, home: Path | None = None) -> None:
    network.create(
        [chain.url], model="ionet", period=60, split="60/10/30", fee="1", quote=quote, home=home,
        allocations=file, allocator=[f"{FRIEND}=2.5", f"{OTHER}=1"], yes=True, as_json=True,
    )  # fmt: skip


def test_founding_costs_what_was_quoted_and_shows_what_was_wanted(
    chain: Devnet, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "genesis.toml"
    file.write_text(FILE)
    account = WalletFolder(home.wallet).address()
    with Rpc([chain.url], chain_id=chain.chain_id) as rpc:
        rich = chain.funder.address
        before = rpc.nonce(rich)
        create(chain, file, quote=True)
        told = json.loads(capsys.readouterr().out)
        assert rpc.nonce(rich) == before, "a quote sends nothing"
        give(chain, account, told["needed"], tmp_path)
        create(chain, file, home=home.root)
        capsys.readouterr()
        done = list(_sent(rpc, home.network(), account))
        assert rpc.balance(account) >= told["needed"] - told["cost"], "nobody else was there"
    assert [each.name for each in done] == [step["name"] for step in told["steps"]]
    gas = sum(each.gas for each in done)
    assert abs(gas - told["gas"]) < gas // 1_000
    assert [(each["account"], each["amount"]) for each in told["genesis"]] == [
        (FRIEND, 100 * MILLION), (OTHER, 1_000 * UNIT),
        ("the founding wallet", 400 * MILLION - 1_000 * UNIT),
    ]  # fmt: skip
    names = [step["name"] for step in told["steps"]]
    assert names.count("issuance set_allocator") == names.count("token mint") == 2
    network.show_network(None, home=home.root, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    check_shown(shown)
    network.show_network(None, home=home.root)
    words = capsys.readouterr().out
    assert "token model ionet" in words
    assert "storage 60 %, devices 10 %, models 30 %" in words
    assert "0.1 tokens" in words
    assert "0.1 and 10,000 tokens" in words


def check_shown(shown: dict[str, Any]) -> None:
    """The network as wanted; what waits is not there yet."""
    genesis = shown["parameters"]["genesis"]
    assert shown["supply"] == 400 * MILLION
    emission = shown["emission"]
    (allocation,) = emission.pop("allocations")
    allocators = emission.pop("allocators")
    assert emission == {
        "model": "ionet", "cap": 800 * MILLION + 3 * UNIT + UNIT // 2,
        "limit": PRESETS["ionet"].limit, "epoch": 60, "schedule": emission["schedule"],
        "closed": 0, "scheduled": 0, "minted": 0,
        "split": {"storage": 6_000, "devices": 1_000, "models": 3_000},
    }  # fmt: skip
    assert allocation == {
        "number": 0, "beneficiary": FRIEND, "amount": 100 * MILLION, "vested": 0, "claimed": 0,
        "start": genesis, "cliff": 12 * MONTH_SECONDS, "parts": 24,
        "next_at": genesis + 13 * MONTH_SECONDS,
    }  # fmt: skip
    assert [(each["account"], each["cap"], each["granted"]) for each in allocators] == [
        (FRIEND, 5 * UNIT // 2, 0), (OTHER, UNIT, 0),
    ]  # fmt: skip
    assert shown["registration"] == {
        "price": UNIT // 10, "lowest": UNIT // 10, "highest": 10_000 * UNIT, "half_life": 60,
        "factor_bps": 11_000,
    }  # fmt: skip
    powers = [each for each in shown["powers"] if each["role"] == "allocator"]
    assert {each["holder"] for each in powers} == {FRIEND, OTHER}


def test_what_cannot_be_founded_sends_nothing(chain: Devnet, home: Home, tmp_path: Path) -> None:
    file = tmp_path / "genesis.toml"
    file.write_text(FILE)
    with Rpc([chain.url], chain_id=chain.chain_id) as rpc:
        give(chain, account := WalletFolder(home.wallet).address(), 10**18, tmp_path)
        for options, words in (
            ({"cap": "800_000_000", "allocator": [f"{OTHER}=1"]}, "--cap is 800,000,000 tokens"),
            ({"genesis": 100_000_999}, "--allocations hand out 100,001,000 tokens"),
        ):
            with pytest.raises(UsageError, match=words):
                network.create(
                    [chain.url], model="ionet", home=home.root, allocations=file, yes=True,
                    **options,
                )  # fmt: skip
        assert rpc.nonce(account) == 0
    assert not home.descriptor.exists()


def test_with_less_than_was_told_nothing_is_sent_and_another_plan_may_follow(
    chain: Devnet, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account = WalletFolder(home.wallet).address()
    record = home.root / "founding" / "deploy.json"
    record.parent.mkdir(parents=True)
    record.write_text(
        '{"freehold_deploy": 1, "plan": "another"}'
    )  # left by an attempt without coins
    with Rpc([chain.url], chain_id=chain.chain_id) as rpc:
        with pytest.raises(InsufficientFundsError, match=f"{account} has 0 coins") as caught:
            network.create([chain.url], home=home.root, period=60, yes=True)
        assert "from any wallet of that chain" in caught.value.remedy
        assert "freehold wallet send" not in caught.value.remedy
        assert rpc.nonce(account) == 0
    assert not home.descriptor.exists()
    capsys.readouterr()
    network.create([chain.url], quote=True, period=60, as_json=True)
    told = json.loads(capsys.readouterr().out)
    give(chain, account, told["needed"] * 11 // 10, tmp_path)
    network.create([chain.url], home=home.root, period=60, yes=True)
    assert home.network().parameters["period"] == 60


def test_what_runs_out_of_coins_on_the_way_goes_on_later(
    chain: Devnet, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the price of gas rises meanwhile."""
    account = WalletFolder(home.wallet).address()
    asked: list[Address] = []
    monkeypatch.setattr(founding, "_check_coins", lambda account, *_: asked.append(account))
    give(chain, account, 2 * 10**16, tmp_path)
    with pytest.raises(InsufficientFundsError):
        network.create([chain.url], home=home.root, period=60, yes=True)
    assert not home.descriptor.exists()
    give(chain, account, 10**19, tmp_path)
    with pytest.raises(ConflictError, match="another plan"):
        network.create([chain.url], home=home.root, period=90, yes=True)
    network.create([chain.url], home=home.root, period=60, yes=True)
    assert home.network().parameters["period"] == 60
    assert asked == [account], "what was begun is resumed whatever it costs"


def test_a_folder_is_begun_once_a_transaction_may_have_gone_out(tmp_path: Path) -> None:
    assert not begun(tmp_path)
    book = Book(tmp_path / "sender.sqlite", "any")
    assert not begun(tmp_path)
    draft = Draft(FOUNDER, b"", 0, 21_000, 1, 1)
    row, _ = book.reserve(
        draft, first_free=lambda: 0, sign=lambda *_: ("0x", b""), tag="create:governor", at=1
    )
    assert begun(tmp_path)
    book.mark(row, DROPPED)
    assert not begun(tmp_path)
    book.close()
    (tmp_path / "sender.sqlite").write_bytes(b"damaged" * 1_000)
    assert begun(tmp_path)
