"""The model of rewards against the contracts, and against events that lie."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.evm import signer
from contracts.market import PERIOD, Node
from contracts.world import TOKEN, alice
from freehold.audit.events import Event
from freehold.audit.payout import Payout
from freehold.audit.reckoner import Reckoner
from freehold.audit.report import Differs
from freehold.audit.world import Models, World
from freehold.domain.errors import NotFoundError, UsageError
from freehold.domain.ids import checksum
from unit.audit.founded import EPOCH, PER_TOKEN, SHARES, Founded, differs, lied, occasions

TOTALS = ("emitted", "claimed", "source", "market", "listener")


def lived(sizes: tuple[int, ...], missed: list[set[int]], closing: list[bool]) -> Founded:
    """A history of so many periods; then everything is closed, collected and claimed."""
    founded = Founded()
    nodes, deals = founded.begin(sizes)
    for absent, closes in zip(missed, closing, strict=True):
        founded.live(nodes, deals, sorted(absent))
        if closes:
            founded.close()
        founded.follow()
        compare(founded, nodes)
    market = founded.market
    market.to_period(3 * (market.period // 3 + 1))
    founded.close()
    for node in nodes:
        claim(founded, node)
    founded.follow()
    compare(founded, nodes)
    return founded


def claim(founded: Founded, node: Node) -> None:
    rewards = founded.rewards
    for epoch in range(int(rewards.call("epoch"))):
        if rewards.call("waiting", node.set_id, epoch):
            rewards.send("collect", node.set_id, epoch, sender=alice.address)
    rewards.send("claim", node.set_id, sender=alice.address)


def owed_since(founded: Founded, node: Node) -> int:
    rewards = founded.models.economy.rewards
    assert rewards is not None
    return rewards.owed_since(checksum(bytes.fromhex(node.address[2:])), founded.chain.now)


def compare(founded: Founded, nodes: list[Node]) -> None:
    for view in TOTALS:
        founded.agree("rewards", view)
    for node in nodes:
        founded.agree("rewards", "account", node.set_id)
        founded.agree("rewards", "due", node.set_id)
        founded.agree("staking", "arrival", node.address)
        assert owed_since(founded, node) == founded.rewards.call("owed_since", node.address)
        founded.agree("rewards", "backed_fees", node.owner.address)
        for epoch in range(int(founded.rewards.call("epoch"))):
            founded.agree("rewards", "waiting", node.set_id, epoch)
    for epoch in range(int(founded.rewards.call("epoch"))):
        founded.agree("rewards", "rates", epoch)
    founded.agree("issuance", "drawn_total")


@cache
def history() -> Founded:
    """Two nodes, fourteen periods, one proof missed, epochs closed late and early."""
    missed: list[set[int]] = [{1} if period == 8 else set() for period in range(14)]
    return lived((200_000, 70_000), missed, [period in (3, 11) for period in range(14)])


def test_the_model_agrees_with_the_contracts() -> None:
    founded = history()
    names = {event.name for event in founded.events if event.contract == "rewards"}
    assert names >= {"Backed", "WorkWaits", "EpochClosed", "Rewarded", "Claimed", "Movement"}
    rewards = founded.models.economy.rewards
    assert rewards is not None
    assert 0 < rewards.claimed <= rewards.emitted
    assert founded.models.balances.of(rewards.contract) == rewards.emitted - rewards.claimed


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.integers(1_000, 250_000), min_size=1, max_size=3),
    st.lists(st.tuples(st.sets(st.integers(0, 2), max_size=2), st.booleans()), min_size=4,
             max_size=9),
)  # fmt: skip
def test_it_agrees_on_any_history(sizes: list[int], periods: list[tuple[set[int], bool]]) -> None:
    lived(tuple(sizes), [absent for absent, _ in periods], [closes for _, closes in periods])


@pytest.mark.parametrize("occasion", occasions(history().events, "rewards"), ids=str)
def test_an_event_that_lies_is_found(occasion: tuple[str, str, int]) -> None:
    name, argument, place = occasion
    events = list(history().events)
    assert events[place].name == name
    events[place] = lied(events[place], argument)
    assert differs(history(), events)


@pytest.mark.parametrize("name", ["Backed", "WorkWaits", "EpochClosed", "Rewarded", "Claimed",
                                  "Movement", "MarketSet"])  # fmt: skip
def test_an_event_that_is_missing_is_found(name: str) -> None:
    events = history().events
    place = max(i for i, e in enumerate(events) if (e.contract, e.name) == ("rewards", name))
    assert differs(history(), [*events[:place], *events[place + 1 :]])


def test_the_place_of_a_wrong_reward_is_named() -> None:
    events = list(history().events)
    place = next(
        i for i, e in enumerate(events) if e.name == "Rewarded" and e.contract == "rewards"
    )
    events[place] = lied(events[place], "amount")
    with pytest.raises(Differs) as caught:
        history().replay(events, history().fresh())
    found, event = caught.value.difference, events[place]
    assert (found.check, found.place.field) == ("rewards", "Rewarded.amount")
    assert (found.place.block, found.place.transaction) == (
        event.block, event.place.transaction,
    )  # fmt: skip
    assert int(found.expected) + 1 == int(found.found)


def test_work_that_was_not_told_earns_nothing() -> None:
    """As if the sink had failed: the proof stands, and its work is taken back."""
    events = history().events
    at = next(i for i, e in enumerate(events) if e.name == "Proven")
    while events[at + 1].contract == "rewards" or events[at].name != "Proven":
        at += 1
    proof = events[at]
    work = proof.number("span") * PERIOD >> 15
    args = {"set_id": proof.number("set_id"), "round": proof.number("round"), "work": work}
    untold = Event("pdp", "WorkUntold", args, proof.time, proof.block, proof.place,
                   proof.transaction)  # fmt: skip
    founded, models = history(), history().fresh()
    founded.replay(events[: at + 1], models)
    before = founded.fresh()
    founded.replay([*events[:at], proof, untold], before)
    heard, silent = models.economy.rewards, before.economy.rewards
    assert heard is not None
    assert silent is not None
    assert silent.untold == 1
    for lived, notes in ((models, []), (before, ["proofs whose work did not arrive at the rewards, "
                                                 "so that it counts not: 1"])):  # fmt: skip
        world = World(founded.network, Counter())
        world._models = lived
        assert world.notes() == notes
    assert sum(silent.totals.values()) <= sum(heard.totals.values())
    with pytest.raises(Differs, match="work of the proof"):
        founded.replay([*events[:at], proof, lied(untold, "work")], founded.fresh())


def test_a_claim_with_delegated_stake_goes_to_the_stake() -> None:
    founded = Founded()
    nodes, deals = founded.begin((200_000,))
    staking, world = founded.world.staking, founded.world
    world.fund(alice.address, 3_000 * TOKEN)
    world.token.send("approve", staking.address, 3_000 * TOKEN, sender=alice.address)
    staking.send("delegate", nodes[0].address, 3_000 * TOKEN, sender=alice.address)
    for _ in range(8):
        founded.live(nodes, deals, ())
    founded.close()
    claim(founded, nodes[0])
    founded.follow()
    compare(founded, nodes)
    claimed = next(e for e in founded.events if e.name == "Claimed")
    assert claimed.address("payee").lower() == staking.address
    place = next(
        i for i, e in enumerate(founded.events) if (e.contract, e.name) == ("staking", "Rewarded")
    )
    assert differs(founded, [*founded.events[:place], *founded.events[place + 1 :]])


# Payouts


def payouts(account: str, epoch: int, founded: Founded | None = None) -> list[Payout]:
    founded = founded or history()
    reckoner = Reckoner(account, epoch)
    models = founded.fresh()
    founded.replay(founded.events, models, lambda event: reckoner.hear(event, event.time, models))
    return reckoner.payouts(founded.chain.now)


def test_the_arithmetic_of_a_payout_is_that_of_its_lines() -> None:
    epochs = range(1, 4)
    found = [payouts("1", epoch)[0] for epoch in epochs]
    assert any(each.earned for each in found)
    for each in found:
        assert each.paid == each.earned
        for step in each.steps:
            if step.rule and "least" not in step.rule:
                rule = step.rule.replace(" leaves", "").replace(" s ", " ").replace(" burned", "")
                assert eval(rule) == step.value, step
        values = {step.name: step.value for step in each.steps}
        rate = history().rewards.call("rates", each.epoch)
        assert values["rate of a unit of work, 2**-96"] == rate
        budget, _ = history().issuance.call("budget", each.epoch)
        assert values["budget of the epoch"] == budget
        assert values["share of its market"] == budget * SHARES[0][1] // 10_000
        assert values["reward"] == each.earned == values["rewarded"]


def test_a_payout_is_found_by_node_owner_and_number() -> None:
    owner, node = signer("owner 0"), signer("node 0")
    by_number = payouts("1", 2)[0]
    for named in (owner, node):
        assert payouts(named.address, 2)[0] == by_number


@pytest.mark.parametrize(
    ("account", "epoch", "reason"),
    [
        ("1", 10**6, "the epoch has not begun"),
        ("9", 2, "no set of this network is its"),
        ("1", 0, "no burned fee backs its work"),
    ],
)
def test_who_earned_nothing_hears_why(account: str, epoch: int, reason: str) -> None:
    found = payouts(account, epoch)[0]
    assert (found.earned, found.paid, found.reason) == (0, 0, reason)


def test_an_epoch_that_nobody_closed_says_so() -> None:
    founded = Founded()
    nodes, deals = founded.begin((200_000, 70_000))
    for period in range(8):
        founded.live(nodes, deals, [1] if period > 3 else [])
    founded.follow()
    assert payouts("1", 1, founded)[0].reason == "the epoch is not closed yet"
    assert payouts("2", 2, founded)[0].reason == "it gave no proof in time in this epoch"
    founded.close()
    founded.follow()
    assert payouts("1", 1, founded)[0].reason == "nobody has claimed it yet"


def test_a_question_that_cannot_be_is_refused() -> None:
    for account, epoch in (("nobody", 1), ("1", -1), ("1", 2**28), ("0x12", 1)):
        with pytest.raises(UsageError):
            Reckoner(account, epoch)
    with pytest.raises(NotFoundError):
        Reckoner("1", 1).payouts()


def test_backing_is_what_burned() -> None:
    founded, rewards = history(), history().models.economy.rewards
    assert rewards is not None
    burned: Counter[str] = Counter()
    for event in founded.events:
        if event.contract == "rewards" and event.name == "Backed":
            burned[event.text("payee")] += event.number("burned")
    for payee, used in burned.items():
        left = founded.models.payments.burned_for[rewards.market, payee] - used
        assert left >= 0
        assert rewards.backed_fees[payee] == used  # type: ignore[index]
    assert rewards.epoch_seconds == EPOCH
    assert rewards.work_per_token == PER_TOKEN


def test_fees_that_are_used_round_up() -> None:
    """A unit of work is worth no whole number of base units here: what backs it is rounded up."""
    founded = Founded(per_token=7_777_777)
    nodes, deals = founded.begin((200_000, 123_457))
    for _ in range(6):
        founded.live(nodes, deals, ())
    founded.follow()
    compare(founded, nodes)


def test_rewards_that_another_contract_tells_of_work_are_found() -> None:
    founded, made = history(), dict(history().book.made)
    made["rewards"] = {**made["rewards"], "source_": founded.network.contracts["storage"]}
    with pytest.raises(Differs, match="source of work"):
        Models(founded.network, made.__getitem__, Counter())


@pytest.mark.parametrize("name", ["Claimed", "Backed"])
def test_work_of_closed_epochs_that_is_left_behind_is_found(name: str) -> None:
    events = history().events
    place = max(i for i, e in enumerate(events) if e.name == name)
    models = history().fresh()
    history().replay(events[:place], models, None)
    rewards = models.economy.rewards
    assert rewards is not None
    account = rewards.accounts[events[place].number("account")]
    account.last_epoch, account.last_weight = 0, 5
    with pytest.raises(Differs, match="closed epochs whose work is no reward"):
        history().replay([events[place]], models)


def test_fees_of_another_account_back_only_where_it_agreed() -> None:
    founded = Founded()
    nodes, _ = founded.begin((200_000,))
    node, place = nodes[0], ("https://node.example", b"\x01" * 32, b"\x02" * 32)
    registry = founded.world.registry
    registry.send("update", node.address, 1, *place, alice.address, sender=node.owner.address)
    founded.rewards.send("set_backer", node.set_id, True, sender=alice.address)
    other = founded.market.open(nodes, seed=9, size=200_000)
    for _ in range(4):
        founded.live(nodes, [other], ())
    founded.follow()
    compare(founded, nodes)
    founded.agree("rewards", "backed_fees", alice.address)
    assert founded.models.economy.rewards is not None
    assert any(e.name == "Backed" for e in founded.events)
    rest = [event for event in founded.events if event.name != "BackerSet"]
    with pytest.raises(Differs, match="a payout that agreed"):
        founded.replay(rest, founded.fresh())


def test_a_claim_of_the_stake_that_went_to_the_nodes_key_is_found() -> None:
    founded = Founded()
    nodes, deals = founded.begin((200_000,))
    world, node = founded.world, nodes[0]
    world.fund(alice.address, 100 * TOKEN)
    world.token.send("approve", world.staking.address, 100 * TOKEN, sender=alice.address)
    world.staking.send("delegate", node.address, 100 * TOKEN, sender=alice.address)
    for _ in range(8):
        founded.live(nodes, deals, [])
    founded.market.to_period(3 * (founded.market.period // 3 + 1))
    founded.close()
    claim(founded, node)
    founded.follow()
    assert not differs(founded, founded.events)
    claimed = max(i for i, e in enumerate(founded.events) if e.name == "Claimed")
    rewards = founded.network.contracts["rewards"]
    assert founded.events[claimed].args["payee"] == founded.network.contracts["staking"]
    place, hot = (
        founded.events[claimed].place.transaction,
        checksum(bytes.fromhex(node.address[2:])),
    )
    forged = []
    for number, event in enumerate(founded.events):
        told = event
        if number > claimed and event.place.transaction == place:
            if event.name in ("Approval", "Rewarded"):
                continue
            if event.name == "Movement":
                args = {**event.args, "sender": rewards, "recipient": hot}
                told = replace(event, contract="rewards", args=args)
            elif event.name == "Transfer":
                told = replace(event, args={**event.args, "receiver": hot})
        forged.append(told)
    assert differs(founded, forged)
