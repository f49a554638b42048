"""The models of subnets and of the roots that pay them against the contracts, and against events
that lie."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from contracts.world import alice, bob, carol
from freehold.audit.reckoner import Reckoner
from freehold.audit.report import Differs
from freehold.audit.weights import well_formed
from freehold.domain.ids import address
from freehold.economics.trees import GRAIN
from unit.audit.founded import SUBNETS, differs, lied, occasions
from unit.audit.modeled import LOCK, Modeled, competition, ended, judged

CHOSEN = {
    ("PausedSet", "paused"), ("WatchersSet", "watchers"), ("Voided", "reason"),
    ("JudgeSet", "judge"), ("RulesSet", "task"),
}  # fmt: skip
"""What the governor or the judge says: only the place in the block's root binds it, where nothing
rests on it."""


@cache
def history() -> Modeled:
    modeled = Modeled()
    competition(modeled)
    compare(modeled)
    judged(modeled)
    compare(modeled)
    ended(modeled)
    compare(modeled)
    return modeled


def compare(modeled: Modeled) -> None:
    modeled.follow()
    for view in ("count", "locked", "waiting", "judge", "paused"):
        modeled.agree("subnet", view)
    for subnet in (1, 2):
        modeled.agree("subnet", "subnet_of", subnet)
        for epoch in range(modeled.epoch):
            modeled.agree("subnet", "money", subnet, epoch)
            for uid in range(3):
                modeled.agree("subnet", "stake_at", subnet, epoch, uid)
    for epoch in range(modeled.epoch):
        modeled.agree("subnet", "totals", epoch)
        modeled.agree("subnet", "emitted", epoch)
    modeled.agree("subnet", "uid_at", 1, 1, 2)
    for view in ("state", "quorum", "funded", "parameters", "judge"):
        modeled.agree("prizes", view)
    for position in range(1, int(modeled.prizes.state.tip) + 2):
        modeled.agree("prizes", "headers", position)
    for who in (alice, bob, carol):
        modeled.agree("prizes", "claimed", who.address)


def test_the_models_agree_with_the_contracts() -> None:
    modeled = history()
    names = {event.name for event in modeled.events if event.contract == "subnet"}
    assert names == {
        "Created", "RulesSet", "UriSet", "Closing", "Unlocked", "Registered", "Replaced",
        "Committed", "Revealed", "Recorded", "Granted", "EpochClosed", "JudgeSet", "PausedSet",
        "Movement",
    }  # fmt: skip
    names = {event.name for event in modeled.events if event.contract == "prizes"}
    assert names >= {"JudgeSet", "Held", "Released", "Voided", "Finalized", "Funded"}
    told = modeled.models.modeling
    assert told.hidden() == {"reveals of validators": 0}
    assert told.figures()["subnets"] == 2
    assert modeled.subnet.call("emitted", 0) > 0
    subnets = told.subnets
    assert subnets is not None
    assert (subnets.locked, subnets.waiting) == (LOCK, 0)
    assert modeled.models.economy.figures()["prizes claimed"] > 0


def test_an_issuance_that_may_no_longer_mint_backs_nothing() -> None:
    """An epoch is closed all the same."""
    modeled = Modeled()
    competition(modeled)
    modeled.world.setup(modeled.world.token, "set_minter", modeled.issuance.address, False)
    epoch = modeled.epoch
    assert modeled.subnet.call("totals", epoch)[0] > 0
    modeled.next()
    modeled.act(modeled.issuance, "advance", 64, by=alice)
    assert modeled.issuance.call("market_drawable", SUBNETS, epoch) > GRAIN
    modeled.act(modeled.subnet, "close_epoch", epoch, by=alice)
    assert modeled.subnet.call("emitted", epoch) == 0
    compare(modeled)


def test_what_the_roots_of_models_paid_is_told_beside_those_of_devices() -> None:
    """The voided root of the epoch is forgotten; its successor counts."""
    modeled = history()
    who = min(alice, bob, key=lambda each: each.address).address  # of the first leaf
    reckoner, models = Reckoner(who, 0), modeled.fresh()
    modeled.replay(modeled.events, models, lambda event: reckoner.hear(event, event.time, models))
    devices, prizes = reckoner.payouts(modeled.chain.now)[-2:]
    assert (devices.earned, devices.reason) == (0, "no root covers the epoch yet")
    paid = modeled.prizes.roots.call("claimed", who) * GRAIN
    assert paid > 0
    assert (prizes.earned, prizes.paid, prizes.reason) == (paid, paid, "")
    assert prizes.account.endswith("in the root of epochs 0 to 0, for models")


@pytest.mark.parametrize("occasion", occasions(history().events, "subnet"), ids=str)
def test_an_event_that_lies_is_found(occasion: tuple[str, str, int]) -> None:
    name, argument, place = occasion
    events = list(history().events)
    events[place] = lied(events[place], argument)
    assert differs(history(), events) or (name, argument) in CHOSEN


JUDGED = ("Funded", "JudgeSet", "Held", "Released", "Voided", "Finalized")
"""Events of the roots that differ here from those that `test_roots` looks at."""


@pytest.mark.parametrize(
    "occasion", [o for o in occasions(history().events, "prizes") if o[0] in JUDGED], ids=str
)
def test_an_event_of_the_roots_that_lies_is_found(occasion: tuple[str, str, int]) -> None:
    name, argument, place = occasion
    events = list(history().events)
    events[place] = lied(events[place], argument)
    assert differs(history(), events) or (name, argument) in CHOSEN


@pytest.mark.parametrize(
    ("contract", "name"),
    [
        ("subnet", "Created"), ("subnet", "RulesSet"), ("subnet", "Registered"),
        ("subnet", "Replaced"), ("subnet", "Committed"), ("subnet", "Granted"),
        ("subnet", "EpochClosed"), ("subnet", "Unlocked"), ("subnet", "JudgeSet"),
        ("subnet", "Closing"), ("subnet", "Movement"), ("prizes", "Voided"), ("prizes", "Held"),
        ("prizes", "Released"), ("prizes", "JudgeSet"), ("prizes", "Funded"),
        ("prizes", "BondLost"),
    ],
)  # fmt: skip
def test_an_event_that_is_missing_is_found(contract: str, name: str) -> None:
    events = history().events
    found = [i for i, e in enumerate(events) if (e.contract, e.name) == (contract, name)]
    place = found[-1] if name == "Committed" else found[0]  # one took the place of the first
    assert differs(history(), [*events[:place], *events[place + 1 :]])


@pytest.mark.parametrize("name", ["Voided", "Held", "Released"])
def test_only_a_judge_judges(name: str) -> None:
    """An account that called the roots itself is no contract, and no judge."""
    events = list(history().events)
    place = next(i for i, e in enumerate(events) if (e.contract, e.name) == ("prizes", name))
    called = replace(events[place].transaction, to=history().network.contracts["prizes"])
    events[place] = replace(events[place], transaction=called)
    with pytest.raises(Differs, match="a caller that is no judge"):
        history().replay(events, history().fresh())


def test_a_row_that_its_salt_does_not_open_is_found() -> None:
    events = list(history().events)
    place = next(i for i, e in enumerate(events) if e.name == "Revealed")
    data = bytearray(events[place].transaction.data)
    salt = data.find(b"\x07" * 32)
    data[salt] ^= 1
    moved = replace(events[place].transaction, data=bytes(data))
    events[place] = replace(events[place], transaction=moved)
    with pytest.raises(Differs, match="what was committed"):
        history().replay(events, history().fresh())


def test_a_task_that_nobody_gave_is_found() -> None:
    events = list(history().events)
    place = next(i for i, e in enumerate(events) if e.name == "RulesSet")
    task: Any = events[place].args["task"]
    told = {**events[place].args, "task": {**task, "scorer": b"\x09" * 32}}
    events[place] = replace(events[place], args=told)
    with pytest.raises(Differs, match="the call of create"):
        history().replay(events, history().fresh())


def test_what_passes_through_another_contract_is_counted() -> None:
    events, modeled = list(history().events), history()
    other = address("0x" + "ab" * 20)
    for place, event in enumerate(events):
        if event.contract == "subnet" and event.name in ("Created", "RulesSet", "Revealed"):
            hidden: Any = replace(event.transaction, to=other, data=b"")
            events[place] = replace(event, transaction=hidden)
    models = modeled.fresh()
    modeled.replay(events, models)
    assert models.modeling.hidden() == {"reveals of validators": 2}


@pytest.mark.parametrize(
    ("row", "good"),
    [
        ("", False), ("00000001", True), ("0000000100020001", True), ("000000", False),
        ("00000000", False), ("0002000100010001", False), ("0001000100010001", False),
        ("00030001", False),
    ],
)  # fmt: skip
def test_rows_are_read_as_the_contract_does(row: str, *, good: bool) -> None:
    assert well_formed(bytes.fromhex(row), nodes=3) is good
