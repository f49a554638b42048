"""Two nodes on a devnet live through epochs: what the commands tell and fetch is what a calculation
of its own from deals, rounds and payments comes to."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from contracts import merkle
from freehold.cli import earnings, issuance, rewards
from freehold.cli.enlist import Enlistment, enlist
from freehold.cli.home import Home, find_home
from freehold.cli.wallets import WalletFolder
from freehold.domain.clock import SystemClock
from freehold.domain.ids import Address
from freehold.domain.keys import Key, new_phrase
from freehold.domain.money import UNIT
from freehold.domain.network import CONTRACTS, Network
from freehold.domain.typed import ACCEPTANCE
from freehold.economics.schedules.plan import GEOMETRIC, Plan
from freehold.ledger.contracts.registry import STORAGE
from freehold.ledger.contracts.storage import Acceptance, Mandate, OpenRequest
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.economy import OWN, economy
from freehold.ledger.ledger import Ledger
from freehold.ledger.locate import locate
from freehold.ledger.plan import DeployPlan, devnet
from freehold.node import dues
from freehold.node.metrics import Metrics
from freehold.node.rewarder import Rewarder
from unit.ledger.devnet.waiting import until
from unit.ledger.founding import installed_engine
from unit.node.world import settings

RULES = devnet(30)
PERIOD, FEE_BPS, BURN_BPS = RULES.period, RULES.fee_bps, RULES.burn_bps
PRICE = 3_000_000 * UNIT
EPOCH = 8 * PERIOD
SHARE_BPS, STORAGE_BPS = 9_000, 7_000
PLAN = Plan(
    kind=GEOMETRIC, limit=10**13, amount=3 * 10**12, step=EPOCH, factor=25 * 10**16, steps=20
)
"""The first epochs have more than fees allow, those from the fourth on less."""
COINS = 10**18
pytestmark = pytest.mark.xdist_group("rewards")


@dataclass
class Earner:
    """A node, what it holds, and a calculation of what it is due; work by epoch."""

    key: Key
    ledger: Ledger
    payee: Address
    piece: merkle.Piece
    deal: int = 0
    rail: int = 0
    set_id: int = 0
    paid: int = 0
    fee: int = 0
    burned: int = 0
    used: int = 0
    credit: int = 0
    work: dict[int, int] = field(default_factory=dict)

    def settled(self, paid: int) -> None:
        """A payment came: half of its fee burns, the fee being of all that was ever paid."""
        self.paid += paid
        fee = self.paid * FEE_BPS // 10_000 - self.fee
        self.fee += fee
        self.burned += fee * BURN_BPS // 10_000

    def backed(self, per_token: int) -> None:
        more = (self.burned - self.used) * per_token // UNIT
        self.used += -(-more * UNIT // per_token)
        self.credit += more

    def proved(self, epoch: int) -> None:
        done = min(self.piece.leaves * 32 * PERIOD // 2**20, self.credit)
        self.credit -= done
        self.work[epoch] = self.work.get(epoch, 0) + done


@dataclass
class Town:
    """A founder who is client and owner, and two nodes; the second pays somebody else.
    Registering them burned ``entered`` base units."""

    home: Home
    ledger: Ledger
    earners: list[Earner]
    stranger: Ledger
    per_token: int
    entered: int

    @property
    def epoch(self) -> int:
        return self.ledger.rewards.epoch()

    def warp(self, moment: int) -> None:
        ledgers = [self.ledger, self.stranger, *(each.ledger for each in self.earners)]
        ahead = moment - self.ledger.now()
        assert ahead > 0
        self.ledger.rpc.request("evm_increaseTime", ahead)
        for each in ledgers:
            each._clock.forget()

    def round(self) -> None:
        """The next period's round, answered by all; only where that is in the same epoch."""
        beacon = self.ledger.beacon
        period = beacon.period_of(self.ledger.now()) + 1
        self.warp(beacon.period_start(period))
        beacon.fix(period)
        target = beacon.fixed_block(period)
        until(lambda: self.ledger.head().number >= target, "no block for the beacon")
        beacon.store(period)
        for earner in self.earners:
            self._prove(earner)

    def _prove(self, earner: Earner) -> None:
        pdp, set_id = earner.ledger.pdp, earner.set_id
        while pdp.waiting(set_id)[1]:
            pdp.roll(set_id, 64)
        index = pdp.next_round(set_id)
        proof = b"".join(earner.piece.proof(s.offset) for s in pdp.challenged(set_id, index))
        receipt = pdp.prove(set_id, index, proof)
        assert receipt.one("Proven").args["in_time"]
        earner.proved((receipt.time - self.ledger.rewards.genesis()) // EPOCH)

    def settle(self) -> None:
        for earner in self.earners:
            receipt = self.ledger.payments.settle(earner.rail)
            earner.settled(sum(e.number("paid") for e in receipt.named("RailSettled")))

    def back(self) -> None:
        for earner in self.earners:
            earner.ledger.rewards.back(earner.set_id)
            earner.backed(self.per_token)

    def next_epoch(self) -> None:
        genesis = self.ledger.rewards.genesis()
        self.warp(genesis + (self.epoch + 1) * EPOCH)

    def rate(self, epoch: int) -> int:
        """What a unit of an epoch's work is worth, times 2^96."""
        weight = sum(earner.work.get(epoch, 0) for earner in self.earners)
        ceiling = weight * SHARE_BPS * UNIT // (10_000 * self.per_token)
        budget = PLAN.scheduled((epoch + 1) * EPOCH) - PLAN.scheduled(epoch * EPOCH)
        return min(ceiling, budget * STORAGE_BPS // 10_000) * 2**96 // weight if weight else 0

    def due(self, earner: Earner, epochs: range) -> int:
        return sum(earner.work.get(e, 0) * self.rate(e) >> 96 for e in epochs)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    installed_engine()
    folder = tmp_path_factory.mktemp("town")
    with Devnet.start(folder / "devnet", admin=True) as running:
        home = find_home(folder / "home")
        home.claim()
        key = WalletFolder(home.wallet).create(new_phrase(), home.password(), cost=2**4)
        network = found(running, key.address, folder / "deploy")
        home.descriptor.write_text(network.render())
        ledgers: list[Ledger] = []

        def opened(who: Key, name: str) -> Ledger:
            ledgers.append(Ledger.open(network, state=folder / name, key=who))
            return ledgers[-1]

        try:
            yield peopled(opened, opened(running.funder, "funder"), key, home)
        finally:
            for each in ledgers:
                each.close()


def found(devnet: Devnet, owner: Address, state: Path) -> Network:
    wanted = replace(economy(OWN, PERIOD, schedule=PLAN), price=PRICE, epoch=EPOCH)
    plan = DeployPlan(
        "town", RULES, {owner: 10**6 * UNIT}, model=OWN, schedule=PLAN, economy=wanted
    )
    return deploy(
        plan, rpc_urls=[devnet.url], chain_id=devnet.chain_id, key=devnet.funder, state=state,
        random=secrets.token_bytes, clock=SystemClock(),
    )  # fmt: skip


def peopled(opened: Any, funder: Ledger, key: Key, home: Home) -> Town:
    keys = [Key.from_secret(bytes([n]) * 32) for n in (81, 82, 83)]
    for each in (key, *keys):
        funder.transfer(each.address, 5 * COINS)
    ledger: Ledger = opened(key, "owner")
    stranger = opened(keys[2], "stranger")
    payees = (key.address, keys[2].address)
    earners = []
    for number, (node, payee) in enumerate(zip(keys[:2], payees, strict=True)):
        enlist(ledger, node, Enlistment(roles=STORAGE, stake=1_000 * UNIT, payout=payee))
        piece = merkle.sample(number + 1, (500_000, 200_000)[number])
        made = Earner(node, opened(node, f"node-{number}"), payee, piece)
        made.set_id = ledger.faults.set_of(node.address)
        earners.append(made)
    entered = ledger.token.burned()
    ledger.token.approve(ledger.payments.address, 10**5 * UNIT)
    ledger.payments.deposit(ledger.token.address, key.address, 10**5 * UNIT)
    ledger.payments.approve_market(
        ledger.token.address, ledger.storage.address, rate_cap=2**200, lockup_cap=2**100
    )
    town = Town(home, ledger, earners, stranger, ledger.rewards.work_per_token(), entered)
    for earner in earners:
        open_deal(town, key, earner)
    return town


def open_deal(town: Town, client: Key, earner: Earner) -> None:
    """A deal of one column, at a price whose fees back all of its bytes."""
    ledger, piece = town.ledger, earner.piece
    beacon, now = ledger.beacon, ledger.now()
    term_end = beacon.period_start(beacon.period_of(now) + 90)
    deadline = now + 600
    digest = ACCEPTANCE.digest(
        ledger.network.domain("storage"),
        [earner.key.address, client.address, client.address, ledger.token.address, piece.root,
         piece.size, piece.height, PRICE, term_end, deadline, 1],
    )  # fmt: skip
    given = Acceptance(earner.key.address, PRICE, term_end, deadline, 1, earner.key.sign(digest))
    request = OpenRequest(
        b"\x0b" * 32, ledger.token.address, 1, piece.size, piece.height, (piece.root,),
        Mandate(PRICE, 0, 1, term_end, 0, 0), b"where",
    )  # fmt: skip
    event = ledger.storage.open(request, [given]).one("ColumnOpened")
    earner.deal, earner.rail = event.number("deal"), event.number("rail")


def grown(town: Town) -> None:
    """A town in which both nodes have been rewarded at least once."""
    if town.earners[0].work:
        return
    town.stranger.rewards.set_backer(town.earners[1].set_id, True)
    town.next_epoch()
    for _ in range(2):
        town.round()
    town.warp(town.ledger.now() + PERIOD)
    town.settle()
    town.back()
    town.round()
    town.next_epoch()
    rewards.claim(home=town.home.root, yes=True)


def shown(town: Town, capsys: pytest.CaptureFixture[str], command: Any, **options: object) -> Any:
    capsys.readouterr()
    command(home=town.home.root, as_json=True, **options)
    return json.loads(capsys.readouterr().out)


def test_what_is_told_and_fetched_is_what_was_earned(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = town.earners
    told = shown(town, capsys, rewards.show_rewards)
    assert [each["node"] for each in told] == [first.key.address, second.key.address]
    assert all("no fees burned" in "; ".join(each["missing"]) for each in told)

    # Fees burn; those of the second node's payout back its work once that account agrees.
    town.next_epoch()
    begun = town.epoch
    for _ in range(3):
        town.round()
    town.warp(town.ledger.now() + PERIOD)
    town.settle()
    assert min(first.burned, second.burned) > 0
    told = shown(town, capsys, rewards.show_rewards)
    assert [each["unbacked_fees"] for each in told] == [first.burned, second.burned]
    assert [each["agreed"] for each in told] == [True, False]
    assert "freehold rewards allow" in "; ".join(told[1]["missing"])
    done = shown(town, capsys, rewards.claim)
    assert [step["what"] for step in done["transactions"]] == ["back"]
    first.backed(town.per_token)
    town.stranger.rewards.set_backer(second.set_id, True)
    shown(town, capsys, rewards.claim)
    second.backed(town.per_token)
    check_credit(town, capsys)

    # An epoch is closed for one node; the other's work of it waits no longer for that.
    town.round()
    check_work(town, capsys)
    town.next_epoch()
    town.settle()
    told = shown(town, capsys, rewards.show_rewards)
    assert all("an epoch is not closed" in each["missing"] for each in told)
    assert [each["expected"] for each in told] == [
        each.work[begun] * SHARE_BPS * UNIT // (10_000 * town.per_token) for each in town.earners
    ]
    done = shown(town, capsys, rewards.claim, node=second.key.address)
    assert [s["what"] for s in done["transactions"]] == ["advance", "close", "claim", "back"]
    assert done["claimed"] == town.due(second, range(begun + 1)) > 0
    second.backed(town.per_token)

    # Two more that nobody closes: work waits, and is collected when they are.
    for _ in range(2):
        town.back()
        town.round()
        town.next_epoch()
        town.settle()
    town.back()
    town.round()
    told = shown(town, capsys, rewards.show_rewards, node=first.key.address)
    assert len(told[0]["waiting"]) == 2
    before = [town.ledger.token.balance_of(each.payee) for each in town.earners]
    done = shown(town, capsys, rewards.claim)
    wanted = [town.due(each, range(town.epoch)) for each in town.earners]
    wanted[1] -= town.due(second, range(begun + 1))
    assert [step["claimed"] for step in done["transactions"] if step["what"] == "claim"] == wanted
    for earner, held, due in zip(town.earners, before, wanted, strict=True):
        assert town.ledger.token.balance_of(earner.payee) == held + due
    assert shown(town, capsys, rewards.claim, node=second.key.address)["claimed"] == 0
    weights = [sum(each.work.get(e, 0) for each in town.earners) for e in range(town.epoch)]
    bounds = {e: w * SHARE_BPS * UNIT // (10_000 * town.per_token) for e, w in enumerate(weights)}
    paid = {e: town.rate(e) * weights[e] >> 96 for e in bounds if weights[e]}
    assert any(bounds[e] - paid[e] <= 1 for e in paid)  # bound by what burned
    assert any(bounds[e] - paid[e] > bounds[e] // 10 for e in paid)  # and by the budget


def test_the_issuance_is_told_as_it_stands(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    grown(town)
    told = shown(town, capsys, issuance.show_issuance)
    assert (told["model"], told["reserved"], told["limit"]) == ("own, geometric", 10**13, 10**13)
    assert told["epoch"] == town.epoch
    closed = range(told["closed"])
    assert told["scheduled"] == PLAN.scheduled(EPOCH * told["closed"])
    drawn = sum(town.rate(e) * sum(a.work.get(e, 0) for a in town.earners) >> 96 for e in closed)
    assert drawn <= told["drawn"] == told["minted"] <= drawn + len(closed)
    assert told["token_minted"] == 10**6 * UNIT + told["minted"]
    assert told["burned"] == town.entered + sum(each.burned for each in town.earners)
    assert [(d["market"], d["bps"]) for d in told["draws"]] == [
        ("storage", 7_000),
        ("models", 3_000),
    ]
    assert [d["distributor"] for d in told["draws"]] == [
        town.ledger.rewards.address, town.ledger.roots.address,
    ]  # fmt: skip
    issuance.show_issuance(home=town.home.root)
    assert "who may draw" in capsys.readouterr().out


def test_earnings_are_those_of_the_deals_and_rewards(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    grown(town)
    told = shown(town, capsys, earnings.earnings)
    by_kind = {(i["kind"], i["account"]): i["earned"] for i in told["incomes"]}
    for earner in town.earners:
        node = earner.key.address
        assert by_kind["storage", node] == earner.paid - earner.fee
        rewarded = town.due(earner, range(town.epoch))
        assert by_kind["rewards", node] == rewarded > 0
        assert by_kind["retrieval", earner.payee] == 0
    assert told["earned"] == sum(by_kind.values())
    assert [(d["deal"], d["paid"]) for d in told["deals"]] == [
        (each.deal, each.paid - each.fee) for each in town.earners
    ]
    assert told["forecast"] > told["earned"] // 2
    earnings.earnings(home=town.home.root)
    assert "next 30 days" in capsys.readouterr().out


def test_a_node_does_it_all_by_itself(town: Town, tmp_path: Path) -> None:
    """The node's own loop, before the first round of an epoch; coins are worth nothing here."""
    grown(town)
    first = town.earners[0]
    town.next_epoch()
    town.settle()
    town.back()
    town.round()
    town.next_epoch()
    town.settle()
    first.ledger.index.sync()
    metrics = Metrics()
    loop = Rewarder(
        first.ledger, first.key.address, settings=settings(tmp_path, coin=0), metrics=metrics
    )
    ended = town.epoch - 1
    claimed = sum(
        event.number("amount")
        for event in first.ledger.index.events(
            "rewards", "Claimed", where={"account": first.set_id}
        )
    )
    before = town.ledger.token.balance_of(first.payee)
    loop.step()
    assert town.ledger.rewards.closed(ended)
    due = town.due(first, range(town.epoch)) - claimed
    assert town.ledger.token.balance_of(first.payee) == before + due > before
    found = dues.look(first.ledger, first.key.address)
    assert found is not None
    assert (found.ended, found.claimable, found.bounds.backing(found.fresh)) == ((), 0, 0)


def test_a_network_is_found_with_its_economy(town: Town) -> None:
    network = town.ledger.network
    found = locate(
        network.contracts["registry"], network_id=network.network_id, rpc_urls=network.rpc_urls,
        chain_id=network.chain_id, deployed_block=network.deployed_block,
    )  # fmt: skip
    assert found.contracts == {
        name: place for name, place in network.contracts.items() if name in found.contracts
    }
    assert {*CONTRACTS, "capacity", "issuance", "rewards", "roots"} <= set(found.contracts)
    for name in ("epoch", "share_bps", "work_per_token", "schedule"):
        assert found.parameters[name] == network.parameters[name]


def check_credit(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(town, capsys, rewards.show_rewards)
    assert [each["credit"] for each in told] == [each.credit for each in town.earners]


def check_work(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(town, capsys, rewards.show_rewards)
    assert [each["work"] for each in told] == [e.work.get(town.epoch, 0) for e in town.earners]
    assert min(each["work"] for each in told) > 0
