"""What waits vests by block time to the unit, and budgets are granted in public, on a devnet."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from freehold.cli import emission, issuance, network
from freehold.cli.home import Home, find_home
from freehold.cli.wallets import WalletFolder
from freehold.domain.clock import SystemClock
from freehold.domain.errors import (
    AccessError,
    CancelledError,
    CapacityError,
    ConflictError,
    NotFoundError,
    UsageError,
)
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum
from freehold.domain.keys import new_phrase
from freehold.domain.money import UNIT
from freehold.economics.schedules.vesting import MONTH_SECONDS, Allocation
from freehold.ledger.abi import artifact
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.economy import economy
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import JOURNEY, DeployPlan, Vesting
from unit.ledger.founding import installed_engine

OTHER, LATE = checksum(b"\x0b" * 20), checksum(b"\x0c" * 20)
AMOUNT = 10**6 * UNIT + 1
CLIFF = 12 * MONTH_SECONDS


@dataclass(frozen=True, slots=True)
class Stage:
    """A network, its founder, and a home whose wallet waits for tokens and may grant some."""

    ledger: Ledger
    home: Home
    mine: Address

    @property
    def genesis(self) -> int:
        return self.ledger.network.parameters["genesis"]

    def until(self, moment: int) -> None:
        """Let block time come to a moment."""
        self.ledger.rpc.request("evm_increaseTime", moment - self.ledger.now())
        self.ledger._clock.forget()
        assert self.ledger.now() >= moment

    def told(
        self, capsys: pytest.CaptureFixture[str], command: Any, *args: Any, **named: Any
    ) -> Any:
        capsys.readouterr()
        command(*args, home=self.home.root, as_json=True, **named)
        return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    installed_engine()
    folder = tmp_path_factory.mktemp("issuance")
    with Devnet.start(folder / "devnet", admin=True) as devnet:
        home = find_home(folder / "home")
        home.claim()
        mine = WalletFolder(home.wallet).create(new_phrase(), home.password(), cost=2).address
        plan = DeployPlan(
            "waiting", JOURNEY, {devnet.funder.address: UNIT},
            economy=replace(economy("filecoin", JOURNEY.period), budget=10 * UNIT),
            vesting=(
                Vesting(mine, AMOUNT, CLIFF, 7),
                Vesting(OTHER, 5 * UNIT, CLIFF, 0),
                Vesting(LATE, 3 * UNIT, 0, 3),
            ),
            allocators={mine: 6 * UNIT},
        )  # fmt: skip
        made = deploy(
            plan, rpc_urls=[devnet.url], chain_id=devnet.chain_id, key=devnet.funder,
            state=folder / "deploy", random=secrets.token_bytes, clock=SystemClock(),
        )  # fmt: skip
        home.descriptor.write_text(made.render())
        with Ledger.open(made, state=folder / "founder", key=devnet.funder) as ledger:
            ledger.transfer(mine, 10**18)
            yield Stage(ledger, home, mine)


def test_grants_come_out_of_a_budget_in_public(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, root = stage.ledger, stage.home.root
    told = stage.told(capsys, issuance.grant, OTHER, "2.5", reason="docs")
    assert (told["amount"], told["left"]) == (5 * UNIT // 2, 7 * UNIT // 2)
    assert ledger.token.balance_of(OTHER) == 5 * UNIT // 2
    ledger.index.sync()
    (granted,) = ledger.index.events("issuance", "Granted")
    assert granted.args["reason"] == b"docs".ljust(32, b"\0")
    for to, amount, reason, error in (
        (OTHER, "3.500000000000000001", "more", CapacityError),
        (ZERO_ADDRESS, "1", "no one", UsageError),
        (ledger.token.address, "1", "a contract", UsageError),
        (OTHER, "0", "nothing", UsageError),
        (OTHER, "1", "", UsageError),
        (OTHER, "1", "\N{SNOWMAN}" * 11, UsageError),
        ("0x12", "1", "where", UsageError),
    ):
        with pytest.raises(error):
            issuance.grant(to, amount, reason=reason, home=root, yes=True)
    monkeypatch.setattr("typer.confirm", lambda _: False)
    with pytest.raises(CancelledError):
        issuance.grant(OTHER, "1", reason="not agreed", home=root)
    assert ledger.token.balance_of(OTHER) == 5 * UNIT // 2
    (told,) = stage.told(capsys, issuance.show_issuance)["allocators"]
    assert (told["account"], told["cap"], told["granted"]) == (stage.mine, 6 * UNIT, 5 * UNIT // 2)


def test_who_has_no_budget_or_not_yet_may_not_grant(stage: Stage) -> None:
    """A budget that the governor raises begins after the delay of roles, and shows at once."""
    ledger = stage.ledger
    with pytest.raises(AccessError, match="no allocator"):
        issuance._check_grant(ledger, OTHER, 1)
    me = ledger.key.address if ledger.key else ZERO_ADDRESS
    data = artifact("issuance").calldata("set_allocator", (me, 4 * UNIT))
    ready = ledger.governor.propose(ledger.issuance.address, data).one("Proposed").number("id")
    stage.until(ledger.now() + ledger.governor.delay() + 1)
    ledger.governor.execute(ready)
    with pytest.raises(ConflictError, match="may not grant before"):
        issuance._check_grant(ledger, OTHER, 1)
    stage.until(ledger.issuance.allocator(me).since)
    issuance._check_grant(ledger, OTHER, 4 * UNIT)
    ledger.index.sync()
    assert [a.account for a in emission.take(ledger, indexed=True).allocators] == [stage.mine, me]
    assert [a.account for a in emission.take(ledger, indexed=False).allocators] == [stage.mine]


def test_what_waits_vests_by_block_time_to_the_unit(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, genesis, root = stage.ledger, stage.genesis, stage.home.root
    exact = Allocation(AMOUNT, genesis, CLIFF, 7)
    told = stage.told(capsys, issuance.show_issuance)["allocations"]
    assert [each["next_at"] - genesis for each in told] == [
        CLIFF + MONTH_SECONDS, CLIFF, MONTH_SECONDS,
    ]  # fmt: skip
    assert stage.told(capsys, issuance.claim) == {"claimed": 0, "transactions": []}
    issuance.claim(home=root)
    assert "nothing is due; the next part comes on" in capsys.readouterr().out
    with pytest.raises(ConflictError, match="nothing is due of allocation 1") as caught:
        issuance.claim(1, home=root)
    assert caught.value.remedy.startswith("The next part comes on")
    with pytest.raises(NotFoundError, match="they are 0 to 2"):
        issuance.claim(3, home=root)

    stage.until(genesis + CLIFF + MONTH_SECONDS - 60)
    held = ledger.token.balance_of(OTHER)
    assert stage.told(capsys, issuance.claim)["claimed"] == 0
    assert stage.told(capsys, issuance.claim, 1)["claimed"] == 5 * UNIT
    assert ledger.token.balance_of(OTHER) == held + 5 * UNIT
    claimed = 0
    for months in (1, 3, 7, 20):
        stage.until(genesis + CLIFF + months * MONTH_SECONDS)
        due = exact.vested(ledger.now())
        assert due == AMOUNT * min(months, 7) // 7
        shown = stage.told(capsys, network.show_network, None)["emission"]["allocations"][0]
        assert (shown["vested"], shown["claimed"]) == (due, claimed)
        assert stage.told(capsys, issuance.claim)["claimed"] == due - claimed
        claimed = ledger.token.balance_of(stage.mine)
        assert claimed == due
    assert claimed == AMOUNT
    issuance.claim(home=root)
    assert "all of it was claimed" in capsys.readouterr().out
    issuance.claim(2, home=root)
    assert f"3 tokens of allocation 2 are {LATE}'s" in capsys.readouterr().out


def test_all_of_it_is_shown_to_people(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    root = stage.home.root
    for show in (issuance.show_issuance, partial(network.show_network, None)):
        show(home=root)
        words = capsys.readouterr().out
        assert "after 12 months, in 7 monthly parts" in words
        assert "who may grant" in words
        assert OTHER in words


def test_a_wallet_without_an_allocation_is_told_so(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="no genesis allocation is"):
        issuance._own(stage.ledger)
