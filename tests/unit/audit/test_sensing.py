"""The models of devices, status, automation and streams against the contracts, and events that
lie."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.evm import Reverted, Signer
from contracts.fielded import meter, sensor
from contracts.recording import address
from contracts.watchers import ASPECT, HOTS, OTHER, SUBJECT, seen
from contracts.world import alice, bob, carol, mallory
from freehold.audit.events import Event
from freehold.audit.report import Differs
from freehold.audit.transactions import Transaction
from unit.audit.founded import differs, lied, occasions
from unit.audit.sensed import FEE, Sensed, agreed, events, history

CONTRACTS = ("devices", "status", "automation", "streams")
CHOSEN = {
    ("devices", "PausedSet", "paused"), ("automation", "PausedSet", "paused"),
    ("status", "Recorded", "watcher"), ("status", "ParametersSet", "parameters"),
    ("status", "ToleranceSet", "aspect"), ("status", "ToleranceSet", "tolerance"),
    ("streams", "FeeSet", "fee_bps"),
}  # fmt: skip
"""What the governor chooses, and whose stake a stranger refreshes: only the logs' place in the
block's root binds it, where nothing later rests on it."""


def refusal(told: list[Event]) -> Differs:
    with pytest.raises(Differs) as caught:
        history().founded.replay(told, history().founded.fresh())
    return caught.value


def of(contract: str, name: str) -> list[int]:
    return [i for i, e in enumerate(events()) if (e.contract, e.name) == (contract, name)]


def changed(contract: str, name: str, which: int = 0, **args: Any) -> list[Event]:
    """The history with some arguments of an event changed."""
    told, place = events(), of(contract, name)[which]
    told[place] = replace(told[place], args={**told[place].args, **args})
    return told


def by_way(told: list[Event], place: int) -> list[Event]:
    """The history with an event's transaction sent to another contract, its input unreadable."""
    event = told[place]
    hidden = Transaction(b"", event.transaction.hash, 0, address(bob.address), b"")
    told[place] = replace(event, transaction=hidden)
    return told


def test_an_honest_history_passes() -> None:
    net = history()
    assert not differs(net.founded, events())
    counts = net.founded.counts
    assert min(counts[name] for name in CONTRACTS) > 5
    assert (counts["enrolments"] % 4, counts["settled values"] % 5) == (0, 0)
    figures = net.founded.models.sensing.figures()
    assert figures["devices"] == 3
    assert figures["burned by devices"] == 2 * FEE + FEE + 2
    assert figures["paid for readings"] == 100 + 3 * 1_001 + 99 + 2 * 77
    assert figures["burned by streams"] == 10 + 3 * 101 + 4 + 2 * 3
    assert not any(net.founded.models.sensing.hidden().values())


def test_open_commands_and_rules_are_listed_in_the_order_of_the_contract() -> None:
    net = Sensed()
    net.enroll(sensor, alice)
    rules = [net.approve() for _ in range(4)]
    orders = [int(net.field.order().value) for _ in range(4)]
    net.field.lapse(orders[0], by=alice)
    net.field.automation.send("revoke", rules[1], sender=alice.address)
    net.compare()
    name = address(sensor.address)
    assert net.founded.models.answer(("automation", "open_of", (name,)), 0) == [[4, 2, 3]]
    assert net.founded.models.answer(("automation", "rules_of", (name,)), 0) == [[1, 4, 3]]
    net.agree("automation", "open_of", name)
    net.agree("automation", "rules_of", name)


def test_a_wrong_binding_is_noted_and_is_no_difference() -> None:
    (note,) = history().founded.models.sensing.notes()
    assert address(meter.address) in note
    assert "1" in note


@pytest.mark.parametrize("contract", CONTRACTS)
def test_an_event_that_lies_is_found(contract: str) -> None:
    missed = []
    for name, argument, place in occasions(events(), contract):
        told = events()
        told[place] = lied(told[place], argument)
        if not differs(history().founded, told):
            missed.append((contract, name, argument))
    assert set(missed) <= CHOSEN, set(missed) - CHOSEN


SILENT = {"PausedSet", "FeeSet", "Updated", "Reported", "ToleranceSet", "Lapsed", "Revoked",
          "ParametersSet"}  # fmt: skip
"""Nothing later rests on these in the history; what the contracts' views say shows them."""


@pytest.mark.parametrize("contract", CONTRACTS)
def test_an_event_that_is_missing_is_found(contract: str) -> None:
    names = {e.name for e in events() if e.contract == contract} - SILENT
    for name in names:
        place = of(contract, name)[0]
        told = [*events()[:place], *events()[place + 1 :]]
        assert differs(history().founded, told), name
        again = [*events()[: place + 1], *events()[place:]]
        assert name == "Recorded" or differs(history().founded, again), name


@pytest.mark.parametrize(
    ("contract", "name", "args", "words"),
    [
        ("devices", "Enrolled", {"owner": address(carol.address)}, "burn by the owner"),
        ("devices", "Enrolled", {"generation": 2}, "Enrolled"),
        ("devices", "Enrolled", {"firmware": "other"}, "the consent of the agent key"),
        ("devices", "Enrolled", {"key": b"\xed\x01" + b"\7" * 31}, "of a known form"),
        ("devices", "Retired", {"device": address(carol.address)}, "the device"),
        ("devices", "Reported", {"sender": address(bob.address)}, "the device or its owner"),
        ("status", "Settled", {"value": 104}, "status Settled"),
        ("status", "Settled", {"spread": 1}, "status Settled"),
        ("status", "Scored", {"scores": []}, "the scores of a settlement"),
        ("status", "Recorded", {"weight": 5}, "status Recorded"),
        ("status", "Revealed", {"values": [9]}, "what was committed to"),
        ("status", "Committed", {"digest": bytes(32)}, "what was committed to"),
        ("automation", "Triggered", {"seen": 99}, "automation Triggered"),
        ("automation", "Acknowledged", {"outcome": 3}, "the signature of the agent key"),
        ("automation", "Acknowledged", {"at": 1}, "the signature of the agent key"),
        ("automation", "Approved", {"threshold": 10**9}, "the call of approve"),
        ("automation", "Approved", {"max_age": 0}, "an age within bounds"),
        ("automation", "Lapsed", {"sender": address(bob.address)}, "a command that is over"),
        ("streams", "Bought", {"burned": 9}, "streams Bought"),
        ("streams", "Bought", {"amount": 10**4}, "streams Bought"),
        ("streams", "Bought", {"epoch": 9**9}, "nor too far ahead"),
        ("roots", "Funded", {"amount": 89, "total": 89}, "a funding that was bought"),
    ],
)
def test_what_lies_is_named(contract: str, name: str, args: dict[str, Any], words: str) -> None:
    assert words in str(refusal(changed(contract, name, **args)))


def test_a_rule_that_fired_below_its_threshold_is_named() -> None:
    told = changed("automation", "Approved", threshold=10**9)
    assert "beyond the threshold" in str(refusal(by_way(told, of("automation", "Approved")[0])))


@pytest.mark.parametrize(
    ("name", "contract", "words"),
    [
        ("Funded", "roots", "epochs that were not funded"),
        ("Movement", "token", "due and was not moved"),
        ("Movement", "streams", "due and was not moved"),
    ],
)
def test_what_a_purchase_must_move_is_missed(name: str, contract: str, words: str) -> None:
    """Whatever the other models say of it."""
    streams = history().founded.fresh().sensing.streams
    assert streams is not None
    bought = events()[of("streams", "Bought")[0]]
    streams.apply(bought)
    for each in events():
        skipped = (each.name, each.contract) == (name, contract)
        if each.transaction.hash == bought.transaction.hash and not skipped:
            route = {
                ("Movement", "streams"): streams.apply, ("Movement", "token"): streams.see_burn,
                ("Funded", "roots"): streams.see_funding,
            }.get((each.name, each.contract))  # fmt: skip
            if route is not None:
                route(each)
    with pytest.raises(Differs, match=words):
        streams.finish(bought.spot("streams"))


@pytest.mark.parametrize(
    ("contract", "name"),
    [("devices", "Enrolled"), ("status", "Revealed"), ("automation", "Acknowledged")],
)
def test_what_no_input_shows_is_counted_as_such(contract: str, name: str) -> None:
    models = history().founded.fresh()
    history().founded.replay(by_way(events(), of(contract, name)[0]), models)
    assert sum(models.sensing.hidden().values()) == 1


@pytest.mark.parametrize(
    ("contract", "name"),
    [
        ("devices", "token_"), ("devices", "network_id_"), ("status", "staking_"),
        ("status", "beacon_"), ("automation", "devices_"), ("automation", "network_id_"),
        ("streams", "roots_"), ("streams", "token_"),
    ],
)  # fmt: skip
def test_a_contract_of_another_network_is_found(contract: str, name: str) -> None:
    book = history().founded.book
    before = book.made[contract]
    other = bytes(32) if name == "network_id_" else address(bob.address)
    book.made[contract] = {**before, name: other}
    try:
        with pytest.raises(Differs, match=f"of {contract}"):
            history().founded.fresh()
    finally:
        book.made[contract] = before


def test_a_network_without_them_is_recomputed_as_before() -> None:
    founded = history().founded
    before = founded.network
    rest = {name: at for name, at in before.contracts.items() if name not in CONTRACTS}
    founded.network = replace(before, contracts=rest)
    try:
        models = founded.fresh()
        founded.replay([e for e in events() if e.contract not in CONTRACTS], models)
    finally:
        founded.network = before
    assert models.sensing.figures() == {}
    assert models.answer(("devices", "count", ()), 0) is None


def test_seats_are_drawn_where_members_are_many_and_the_least_makes_room() -> None:
    net = Sensed(seats=3)
    watch = net.watch
    hots = watch.members(*(1_000 + 10 * number for number in range(64)))
    watch.next_period()
    watch.seed()
    for hot in hots:
        watch.second_half()
        watch.status.send("refresh", hot.address, sender=mallory.address)
    watch.next_period()
    watch.next_round()
    drawn = watch.committee(watch.round)
    assert sum(drawn.values()) == 3
    watch.agree({hot: 50 for hot in hots if hot.address in drawn})
    newcomer = watch.enter(64, 5_000)
    assert watch.join(newcomer).value is False
    watch.next_period()
    watch.seed()
    watch.next_period()
    watch.next_period()
    assert watch.join(newcomer).value is True
    net.compare()
    told = net.founded.events
    place = next(i for i, e in enumerate(told) if e.name == "Displaced")
    assert told[place].args["watcher"] == address(hots[0].address)
    for name in ("watcher", "by"):
        assert differs(net.founded, [*told[:place], lied(told[place], name), *told[place + 1 :]])
    settled = next(i for i, e in enumerate(told) if e.name == "Scored")
    assert differs(net.founded, [*told[:settled], lied(told[settled], "scores")])


Step = Callable[[Sensed, int], object]


def settle(net: Sensed, number: int) -> None:
    net.watch.next_round()
    hots = HOTS[:3]
    told = {hot: [seen(90 + number * (1 + i % 2)), seen(number, OTHER)] for i, hot in
            enumerate(hots) if (number >> i) & 1 == 0}  # fmt: skip
    current = net.watch.tell(told)
    subjects, aspects = [SUBJECT, OTHER], [ASPECT, ASPECT]
    net.watch.status.send("settle_many", current, subjects, aspects, sender=mallory.address)


def stake(net: Sensed, number: int) -> None:
    watcher = HOTS[number % 3].address
    net.watch.stake(number % 3, 1 + number * 40)
    net.watch.second_half()
    net.watch.status.send("refresh", watcher, sender=mallory.address)


def come_or_go(net: Sensed, number: int) -> None:
    hot = HOTS[number % 3]
    net.watch.second_half()
    net.watch.status.send("leave" if number % 2 else "join", sender=hot.address)


def owned(number: int) -> tuple[Signer, Signer]:
    return ((sensor, alice), (meter, bob))[number % 2]


STEPS: list[Step] = [
    settle, settle, stake, come_or_go,
    lambda net, n: net.enroll(*owned(n)),
    lambda net, n: net.field.retire(*owned(n)),
    lambda net, n: net.approve(owned(n)[0], by=owned(n)[1], threshold=100 - n, cooldown=1 + n),
    lambda net, n: net.field.trigger(1 + n % 3),
    lambda net, n: net.field.trigger(1 + n % 2),
    lambda net, n: net.field.order(owned(n)[0], by=owned(n)[1]),
    lambda net, n: net.field.answer(1 + n % 5, 1 + n % 3, by=owned(n // 5)[0]),
    lambda net, n: net.field.lapse(1 + n % 5, by=owned(n)[1]),
    lambda net, n: net.field.automation.send("revoke", 1 + n % 3, sender=owned(n)[1].address),
    lambda net, n: net.buy(owned(n)[1], later=n % 4, count=1 + n % 5, amount=3 + n),
    lambda net, n: net.founded.chain.warp(1 + 100 * n),
]  # fmt: skip


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 20)), min_size=8, max_size=30)
)
def test_the_models_agree_whatever_is_done(steps: list[tuple[int, int]]) -> None:
    net = Sensed()
    net.enroll(sensor, alice)
    agreed(net)
    for which, number in steps:
        with suppress(Reverted):
            STEPS[which](net, number)
    net.compare()
