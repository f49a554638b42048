"""Two nodes on a devnet live through epochs: what the commands tell and fetch is what a calculation
of its own from deals, rounds and payments comes to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from freehold.cli import earnings, issuance, rewards
from freehold.domain.money import UNIT
from freehold.domain.network import CONTRACTS
from freehold.ledger.locate import locate
from freehold.node import dues
from freehold.node.metrics import Metrics
from freehold.node.rewarder import Rewarder
from unit.cli.town import EPOCH, PERIOD, PLAN, SHARE_BPS, Town, grown, open_town
from unit.ledger.founding import installed_engine
from unit.node.world import settings

pytestmark = pytest.mark.xdist_group("rewards")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    installed_engine()
    with open_town(tmp_path_factory.mktemp("town")) as opened:
        yield opened


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
        ("devices", 1_500),
        ("models", 1_500),
    ]
    assert [d["distributor"] for d in told["draws"]] == [
        town.ledger.rewards.address, town.ledger.roots.address, town.ledger.subnet.address,
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
