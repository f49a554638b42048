"""Capacity declared and shown, on a devnet; and what is refused before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from freehold.audit.verify import verify_live
from freehold.cli import capacity, network
from freehold.cli.capacity import Order, multiplier_of, rule_words
from freehold.cli.enlist import Enlistment, enlist
from freehold.cli.session import sender
from freehold.domain.clock import SystemClock
from freehold.domain.errors import (
    ConflictError,
    InsufficientFundsError,
    NotFoundError,
    UsageError,
)
from freehold.domain.ids import Address, checksum
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.economics.stake import Rule
from freehold.ledger.abi import artifact
from freehold.ledger.contracts.capacity import Declaration
from freehold.ledger.contracts.capacity import Rule as Terms
from freehold.ledger.contracts.registry import COMPUTE, STORAGE
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import JOURNEY, DeployPlan
from unit.ledger.founding import installed_engine

HOT, FOREIGN = Key.from_secret(b"\x05" * 32), Key.from_secret(b"\x06" * 32)
NODE, STAKE = HOT.address, 2_000 * UNIT
STRANGER = checksum(b"\x09" * 20)


@dataclass(frozen=True, slots=True)
class Stage:
    """A network of the ionet preset, its founder's ledger, and the opener that commands use."""

    ledger: Ledger
    capsys: pytest.CaptureFixture[str]

    def set(
        self, units: int, multiplier: str | None = None, node: Address = NODE
    ) -> dict[str, object]:
        """What `node capacity set` tells a program."""
        capacity.set_capacity(node, units, multiplier=multiplier, role="compute", as_json=True)
        return dict(json.loads(self.capsys.readouterr().out))

    def show(self) -> dict[str, object]:
        """What `node capacity show` tells a program."""
        capacity.show(NODE, as_json=True)
        return dict(json.loads(self.capsys.readouterr().out))


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    installed_engine()
    folder = tmp_path_factory.mktemp("capacity")
    with Devnet.start(folder / "devnet", admin=True) as devnet:
        plan = DeployPlan("io", JOURNEY, {devnet.funder.address: 10**6 * UNIT}, model="ionet")
        made = deploy(
            plan,
            rpc_urls=[devnet.url],
            chain_id=devnet.chain_id,
            key=devnet.funder,
            state=folder / "founding",
            random=lambda length: b"\x01" * length,
            clock=SystemClock(),
        )
        with Ledger.open(made, state=folder / "state", key=devnet.funder) as ledger:
            enlist(ledger, HOT, Enlistment(roles=STORAGE, stake=STAKE))
            yield ledger


@pytest.fixture
def stage(
    founded: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Stage:
    for module, name in (
        (capacity, "open_account"), (capacity, "open_ledger"), (network, "open_ledger"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, lambda *_: nullcontext(founded))
    return Stage(founded, capsys)


def test_devices_are_declared_and_taken_back(stage: Stage) -> None:
    ledger = stage.ledger
    told = stage.set(3, "2.5")
    assert (told["units"], told["multiplier"], told["locked"]) == (3, 25_000, 1_500 * UNIT)
    assert told["locked_before"] == 0
    assert told["free"] == STAKE - 1_500 * UNIT == ledger.staking.free(NODE)
    assert ledger.registry.node(NODE).roles == STORAGE | COMPUTE
    shown = stage.show()
    offer = {"units": 3, "held": 0, "able": 3, "multiplier": 25_000, "locked": 1_500 * UNIT}
    assert shown["roles"] == {"compute": offer}
    assert shown["rules"] == {"compute": {"amount": 200 * UNIT, "per": 1, "weighed": True}}
    assert (shown["free"], shown["shortfall"]) == (500 * UNIT, 0)
    check_refusals(stage)
    check_repeats(stage)
    assert stage.set(8, "1")["locked"] == 1_600 * UNIT
    assert stage.set(0)["free"] == STAKE
    assert stage.set(1)["multiplier"] == 10_000  # what was taken back is forgotten
    assert stage.set(0)["free"] == STAKE
    assert stage.show()["roles"] == {}


def check_repeats(stage: Stage) -> None:
    """The multiplier stays unless another is given; what changes nothing is not sent."""
    for multiplier in (None, "2.5"):
        told = stage.set(3, multiplier)
        assert (told["transaction"], told["multiplier"], told["locked"]) == (
            None, 25_000, 1_500 * UNIT,
        )  # fmt: skip
    capacity.set_capacity(NODE, 3, role="compute")
    told_words = "3 units of compute at a multiplier of 2.5 already: nothing was sent"
    assert told_words in stage.capsys.readouterr().out
    capacity.set_capacity(NODE, 2, role="compute")
    assert "1,500 -> 1,000 tokens" in stage.capsys.readouterr().out
    assert stage.set(3, "1")["transaction"]


def check_refusals(stage: Stage) -> None:
    """With 500 tokens free; nothing is sent."""
    with pytest.raises(InsufficientFundsError, match=r"500 tokens of.*; 500\.08 more") as caught:
        stage.set(4, "2.5001")
    assert f"`freehold stake add {NODE} 0.08`" in caught.value.remedy
    with pytest.raises(ConflictError, match="no stake is asked for model") as refused:
        capacity.set_capacity(NODE, 1, role="model", multiplier="1")
    assert "--role: compute" in refused.value.remedy
    with pytest.raises(ConflictError, match="no stake is asked for storage"):
        capacity.set_capacity(NODE, 1, role="storage", multiplier="2")
    assert stage.show()["free"] == 500 * UNIT


def test_what_markets_use_keeps_its_stake(stage: Stage) -> None:
    ledger = stage.ledger
    me = sender(ledger)
    stage.set(3, "2")
    name_a_market(ledger, me)
    ledger.capacity.hold(NODE, COMPUTE, 2)
    assert ledger.capacity.held_by(NODE, COMPUTE, me) == 2
    with pytest.raises(ConflictError, match="markets use 2 units of compute") as caught:
        stage.set(1)
    assert "declare that many" in caught.value.remedy
    assert stage.set(3, "1.5")["transaction"] is None  # no cheaper while it is used
    told = stage.set(2, "1.5")
    assert (told["multiplier"], told["locked"]) == (20_000, 800 * UNIT)
    capacity.set_capacity(NODE, 2, role="compute", multiplier="1")
    assert "They keep the terms" in stage.capsys.readouterr().out
    with pytest.raises(InsufficientFundsError, match="3,600 more would be locked"):
        stage.set(11, "1")
    ledger.capacity.release(NODE, COMPUTE, 2)
    assert stage.set(0)["locked"] == 0
    report = verify_live([ledger.rpc], ledger.network)
    assert report.passed, report.difference
    assert report.counts["capacity"] >= 7


def name_a_market(ledger: Ledger, account: Address) -> None:
    """The governor lets an account hold units, behind its longer delay."""
    data = artifact("capacity").calldata("set_market", (account, True))
    told = ledger.governor.propose(ledger.capacity.address, data).one("Proposed")
    ledger.rpc.request("evm_increaseTime", ledger.governor.role_delay())
    ledger.governor.execute(told.number("id"))
    assert ledger.capacity.is_market(account)


def test_a_slashed_node_is_told_what_it_lacks_in_all() -> None:
    staking = SimpleNamespace(free=lambda _: 0, shortfall=lambda _: 5 * UNIT)
    ledger = cast("Ledger", SimpleNamespace(staking=staking))
    capacity._check_stake(ledger, NODE, "attic", 0)
    capacity._check_stake(ledger, NODE, "attic", -UNIT)
    with pytest.raises(InsufficientFundsError) as caught:
        capacity._check_stake(ledger, NODE, "attic", 7 * UNIT)
    assert "Add at least 12: `freehold stake add attic 12`" in caught.value.remedy


def test_a_network_without_the_contract_says_so(stage: Stage) -> None:
    rest = {name: at for name, at in stage.ledger.network.contracts.items() if name != "capacity"}
    network_ = replace(stage.ledger.network, contracts=rest)
    older = cast("Ledger", SimpleNamespace(network=network_))
    assert capacity.rules(older) == {}
    with pytest.raises(ConflictError, match="takes no declarations"):
        capacity._require(older)


def test_it_is_told_in_words(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    capacity.set_capacity(NODE, 2, role="compute", multiplier="1")
    told = stage.capsys.readouterr().out
    assert "offers 2 units of compute at a multiplier of 1" in told
    assert "locked for that: 0 -> 400 tokens" in told
    capacity.show(NODE)
    told = stage.capsys.readouterr().out
    for words in ("200 tokens a unit, times its multiplier", "1,600 tokens of its stake are free"):
        assert words in told
    monkeypatch.setattr(capacity, "uncounted", lambda *_: (40 * UNIT, True))
    capacity.show(NODE)
    told = stage.capsys.readouterr().out
    assert "40 besides are not locked and count for nothing new: their delegators gave" in told
    network.show_network(None, as_json=True)
    shown = json.loads(stage.capsys.readouterr().out)
    assert shown["capacity"] == {"compute": {"amount": 200 * UNIT, "per": 1, "weighed": True}}
    assert {"contract": "staking", "role": "locker", "holder": "capacity"}.items() <= next(
        each for each in shown["powers"] if each["holder"] == "capacity"
    ).items()
    network.show_network(None)
    assert "stake for declared capacity" in stage.capsys.readouterr().out


def test_what_a_stranger_or_nobody_owns_is_refused(stage: Stage, tmp_path: Path) -> None:
    with (
        Ledger.open(stage.ledger.network, state=tmp_path, key=FOREIGN) as other,
        pytest.raises(ConflictError, match="belongs to"),
    ):
        capacity.check(other, NODE, "attic", Order("compute", 1, 10_000))
    with pytest.raises(NotFoundError, match="not in the network") as caught:
        stage.set(1, node=STRANGER)
    assert "freehold node join" in caught.value.remedy


def test_a_node_that_nobody_knows_has_none_to_show(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="not in the network"):
        capacity.show(STRANGER, as_json=True)


def weighed(told: Declaration, rule: Terms, order: Order) -> capacity.Change:
    """What an order comes to over these terms, of a node in that role."""
    ledger = SimpleNamespace(
        capacity=SimpleNamespace(rule=lambda _: rule, locked=lambda *_: 7),
        registry=SimpleNamespace(node=lambda _: SimpleNamespace(roles=COMPUTE)),
    )
    return capacity._weigh(cast("Ledger", ledger), NODE, order, told)


def test_lowering_keeps_the_terms_where_the_present_ask_more() -> None:
    told = Declaration(units=4, held=0, multiplier=20_000, per=1, amount=10)
    dearer, gone = Terms(30, 1, weighed=True), Terms(0, 1, weighed=False)
    for rule in (dearer, gone):
        change = weighed(told, rule, Order("compute", 3, None))
        assert (change.multiplier, change.before, change.after) == (20_000, 7, 60)
    assert weighed(told, gone, Order("compute", 3, None)).asked == 10_000
    assert weighed(told, dearer, Order("compute", 5, None)).after == 5 * 30 * 2
    assert weighed(told, dearer, Order("compute", 0, None)).after == 0
    assert not weighed(told, dearer, Order("compute", 4, None)).idle
    assert weighed(told, Terms(10, 1, weighed=True), Order("compute", 4, None)).idle
    with pytest.raises(UsageError, match="not weighed"):
        weighed(told, Terms(30, 1, weighed=False), Order("compute", 4, 20_000))


@pytest.mark.parametrize(
    ("active", "own", "free", "told"),
    [
        (100, 100, 40, (0, False)),
        (500, 100, 440, (0, False)),
        (500, 100, 400, (40, True)),
        (1_200, 100, 940, (200, False)),
        (1_200, 100, 900, (240, True)),
        (50, 10, 0, (0, False)),
    ],
)
def test_what_counts_for_nothing_new_is_told(
    active: int, own: int, free: int, told: tuple[int, bool]
) -> None:
    staking = SimpleNamespace(
        active=lambda _: active, own=lambda _: own, free=lambda _: free, locked=lambda _: 60,
        least_own_bps=lambda: 1_000,
    )  # fmt: skip
    ledger = cast("Ledger", SimpleNamespace(staking=staking))
    assert capacity.uncounted(ledger, NODE) == told


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (("gpu", 1, "1"), "no role 'gpu'"),
        (("compute", -1, "1"), "-1 units"),
        (("compute", 2**40, "1"), "units cannot be declared"),
        (("compute", 1, "1000.1"), "no multiplier"),
        (("compute", 1, "1.00001"), "no multiplier"),
        (("compute", 1, "0.9999"), "no multiplier"),
        (("compute", 1, "-2"), "'-2' is no multiplier"),
        (("compute", 1, "ten"), "'ten' is no multiplier"),
    ],
)
def test_what_cannot_be_declared_is_named(order: tuple[str, int, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Order.of(*order)


def test_multipliers_and_rules_are_exact() -> None:
    assert [multiplier_of(text) for text in ("1", "2.5", "1000")] == [
        10_000, 25_000, 10**7,
    ]  # fmt: skip
    assert rule_words(Rule(200 * UNIT)) == "200 tokens a unit"
    assert rule_words(Rule(UNIT, per=5)) == "1 tokens for every 5 units"
