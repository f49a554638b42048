"""Watchers agree by the real contract: liars, sleepers, crashes, rules, what gas is spent on."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.evm import NETWORK_ID, Chain, signer
from contracts.watchers import HOTS, LENGTH
from contracts.world import alice
from freehold.domain.aspects import HONEST, SPEED, reading
from freehold.domain.errors import InsufficientFundsError, UnavailableError
from freehold.domain.ids import address
from freehold.ledger.contracts.base import convert_list
from freehold.node.watcher.observe.rounds import draw
from freehold.node.watcher.observe.vault import FILE, Vault
from unit.node.watcher.crowd import SERVICE, STORE, Crowd, Sensor, gather

STORED = address(STORE.address)
FIVE = range(5)


@pytest.fixture
def crowd(tmp_path: Path) -> Crowd:
    return gather(Chain(), tmp_path)


def members(crowd: Crowd, *, liars: int = 0) -> None:
    """Five watchers of equal stake at the beginning of a round, of whom some lie."""
    for index in FIVE:
        crowd.add(index, liar=index < liars)
    crowd.half()
    crowd.half()


def score(crowd: Crowd, index: int) -> int:
    return int(crowd.town.watch.status.call("score_of", HOTS[index].address))


def test_watchers_agree_that_a_node_answers_and_one_of_them_settles(crowd: Crowd) -> None:
    members(crowd)
    crowd.round()
    crowd.half()
    value, at = crowd.value()
    assert (value, at > 0) == (10_000, True)
    assert crowd.count("commit") == crowd.count("reveal") == 5
    assert crowd.count("settle_many") == 1
    assert all(score(crowd, index) > 5_000 for index in FIVE)


def test_a_node_that_vanishes_is_told_in_the_next_round(crowd: Crowd) -> None:
    members(crowd)
    crowd.half()
    crowd.up[STORED] = False
    crowd.round()
    assert crowd.value()[0] == 10_000
    crowd.round()
    assert crowd.value()[0] == 0


def test_two_liars_of_five_change_nothing(crowd: Crowd) -> None:
    members(crowd, liars=2)
    crowd.round()
    crowd.half()
    assert crowd.value()[0] == 10_000
    crowd.round(2)
    assert crowd.value()[0] == 10_000
    told = crowd.town.index.events("status", "Revealed")
    lies = [e for e in told if e.address("watcher") in {address(h.address) for h in HOTS[:2]}]
    assert len(lies) >= 6
    assert all(0 in convert_list(int, lie.args["values"]) for lie in lies)
    assert max(score(crowd, liar) for liar in (0, 1)) < min(score(crowd, i) for i in (2, 3, 4))


def test_one_that_sleeps_does_not_stop_the_others(crowd: Crowd) -> None:
    members(crowd)
    crowd.round(asleep=[4])
    crowd.half(asleep=[4])
    assert crowd.value()[0] == 10_000
    assert score(crowd, 4) < 5_000


def test_honest_watchers_restore_a_wrong_status_in_their_next_round(crowd: Crowd) -> None:
    for index in range(3):
        crowd.add(index, liar=True)
    crowd.round(2)
    crowd.half()
    assert crowd.value()[0] == 0
    for index in range(3, 7):
        crowd.add(index)
    crowd.half()
    joined = crowd.town.watch.round
    crowd.round(1)
    crowd.half()
    assert crowd.town.watch.round == joined + 1
    assert crowd.value()[0] == 10_000


def test_a_watcher_that_crashes_after_its_commit_reveals_all_the_same(crowd: Crowd) -> None:
    members(crowd)
    crowd.committed()
    assert (crowd.count("commit"), crowd.count("reveal")) == (5, 0)
    for index in FIVE:
        crowd.start(index)
    crowd.half()
    assert crowd.count("reveal") == 5
    crowd.half()
    assert crowd.value()[0] == 10_000


def test_what_was_kept_is_committed_to_after_a_crash_and_nothing_else(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    members(crowd)

    def down(*_: object) -> None:
        raise UnavailableError("the chain is gone", remedy="-")

    status = crowd.observers[0]._ledger.status
    monkeypatch.setattr(status, "commit", down)
    with pytest.raises(UnavailableError):
        crowd.half()
    kept = Vault(crowd.folder / "0").load()
    crowd.up[STORED] = False
    crowd.start(0)
    crowd.half()
    crowd.half()
    told = crowd.town.index.events("status", "Revealed")
    by_zero = [e for e in told if e.address("watcher") == address(HOTS[0].address)]
    assert kept is not None
    assert by_zero[0].args["values"] == [each.value for each in kept.told]


@pytest.mark.parametrize("function", ["commit", "reveal", "settle_many", "join"])
def test_a_watcher_without_gas_says_so(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def poor(*_: object) -> None:
        raise InsufficientFundsError("no coins for gas", remedy="Send some.")

    if function != "join":
        members(crowd)
    for index in FIVE if function != "join" else [0]:
        if function == "join":
            crowd.add(index)
        monkeypatch.setattr(crowd.observers[index]._ledger.status, function, poor)
    with pytest.raises(InsufficientFundsError):
        crowd.round(2)


def test_a_damaged_vault_costs_a_round_and_no_more(crowd: Crowd) -> None:
    members(crowd)
    crowd.committed()
    (crowd.folder / "0" / FILE).write_bytes(b"{")
    crowd.start(0)
    crowd.round()
    assert crowd.count("reveal") == 4
    crowd.up[STORED] = False
    crowd.round()
    assert crowd.count("reveal") == 9


def test_nothing_is_sent_of_what_stands_until_it_is_old(tmp_path: Path) -> None:
    crowd = gather(Chain(), tmp_path, refresh=4)
    members(crowd)
    crowd.round()
    assert crowd.count("commit") == 5
    crowd.round(3)
    assert crowd.count("commit") == 5
    crowd.round()
    assert crowd.count("commit") == 10


def test_who_sees_no_node_at_all_tells_nothing_of_them(crowd: Crowd) -> None:
    for each in (STORE, SERVICE, *HOTS[:5]):
        crowd.up[address(each.address)] = False
    members(crowd)
    crowd.round(2)
    assert crowd.count("commit") == 0


def test_without_enough_stake_nobody_joins(crowd: Crowd) -> None:
    crowd.add(0, stake=10)
    crowd.round(2)
    assert crowd.count("join") == 0
    assert crowd.town.refused == []


def test_stake_is_recorded_again_before_it_lapses(tmp_path: Path) -> None:
    crowd = gather(Chain(), tmp_path, refresh=10**6)
    members(crowd)
    crowd.round()
    crowd.town.chain.warp(42_000)
    crowd.round()
    assert crowd.count("refresh") == 0
    crowd.town.chain.warp(2_000)
    crowd.round(3)
    assert (crowd.count("refresh"), crowd.count("reveal")) == (5, 5)


def test_one_watcher_settles_a_round_and_the_next_one_where_it_sleeps(tmp_path: Path) -> None:
    crowd = gather(Chain(), tmp_path, refresh=1)
    members(crowd)
    crowd.round(5)
    crowd.half()
    assert crowd.count("settle_many") == 5
    turns = [sender for sender, name, _ in crowd.town.sent if name == "settle_many"]
    assert len(set(turns)) > 1
    told = crowd.town.watch.round
    first = min(FIVE, key=lambda index: draw(told, address(HOTS[index].address)))
    crowd.round(asleep=[first])
    late = crowd.value()[1] - int(crowd.town.watch.status.call("genesis")) - (told + 1) * LENGTH
    assert 0 < late <= LENGTH // 4


def test_what_cannot_be_settled_does_not_keep_the_rest_from_it(crowd: Crowd) -> None:
    """Two liars tell of a node of which the others, who see no change, are silent."""
    members(crowd)
    crowd.round()
    crowd.half()
    crowd.liars = {0, 1}
    crowd.up[address(SERVICE.address)] = False
    crowd.round(2)
    assert crowd.value(address(SERVICE.address))[0] == 0
    assert crowd.value()[0] == 10_000
    assert crowd.town.refused == []


def test_speeds_of_nodes_that_answer_are_agreed_on(crowd: Crowd) -> None:
    crowd.speeds = {STORED: 12, address(SERVICE.address): 9}
    crowd.up[address(SERVICE.address)] = False
    members(crowd)
    crowd.round(2)
    assert crowd.value(aspect=SPEED)[0] == 12
    assert crowd.value(address(SERVICE.address), SPEED) == (0, 0)


def test_of_many_watchers_only_those_who_are_drawn_tell_and_settle(tmp_path: Path) -> None:
    crowd = gather(Chain(), tmp_path, seats=3)
    members(crowd)
    watch = crowd.town.watch
    watch.next_period()
    watch.seed()
    watch.next_period()
    crowd.round(3)
    assert crowd.value()[0] == 10_000
    done = crowd.town.index.events("status", "Settled")[0].number("round")
    told = crowd.town.index.events("status", "Revealed", where={"round": done})
    about = {e.address("watcher") for e in told if STORED in convert_list(str, e.args["subjects"])}
    assert 0 < len(about) <= 3
    assert crowd.town.refused == []


def heat(crowd: Crowd, sensor: Sensor, degrees: float) -> None:
    """A reading each five seconds of the round that begins."""
    begin = crowd.town.chain.now
    for second in range(0, LENGTH, 5):
        noise = (second * 7919 % 11) / 100
        sensor.send(NETWORK_ID, (begin + second) * 1000, degrees + noise)


def test_a_rule_that_waits_for_a_reading_has_it_settled_and_is_triggered_once(
    crowd: Crowd,
) -> None:
    sensor = Sensor(signer("thermometer"))
    crowd.enroll(sensor)
    crowd.ledger(alice).automation.approve(
        sensor.id,
        subject=sensor.id,
        aspect=reading("roof.temperature"),
        above=True,
        threshold=303_150_000,
        command="relay.1 open",
        hold=60,
        cooldown=100_000,
        max_age=2 * LENGTH,
        expiry=crowd.town.chain.now + 80_000,
    )
    members(crowd)
    heat(crowd, sensor, 25.0)
    crowd.round(2)
    crowd.half()
    value, _ = crowd.value(sensor.id, reading("roof.temperature"))
    assert 298_150_000 <= value <= 298_260_000
    assert crowd.value(sensor.id, HONEST)[0] > 9_900
    assert crowd.count("trigger") == 0
    crowd.half()
    heat(crowd, sensor, 31.0)
    crowd.round(2)
    crowd.half()
    value, _ = crowd.value(sensor.id, reading("roof.temperature"))
    assert 304_150_000 <= value <= 304_260_000
    crowd.half()
    assert crowd.count("trigger") == 1


def test_a_device_that_falls_silent_is_honest_no_more(crowd: Crowd) -> None:
    sensor = Sensor(signer("thermometer"))
    crowd.enroll(sensor)
    members(crowd)
    heat(crowd, sensor, 25.0)
    crowd.round(2)
    crowd.half()
    assert crowd.value(sensor.id, HONEST)[0] > 9_900
    crowd.round()
    assert crowd.value(sensor.id, HONEST)[0] > 9_900
    crowd.round()
    assert crowd.value(sensor.id, HONEST)[0] == 0


def test_of_a_device_that_never_reported_nothing_is_told(crowd: Crowd) -> None:
    sensor = Sensor(signer("thermometer"))
    crowd.enroll(sensor)
    members(crowd)
    crowd.round(4)
    assert crowd.value(sensor.id, HONEST) == (0, 0)
    assert crowd.value()[1] > 0


def test_of_a_device_that_no_service_knows_of_nothing_is_told(crowd: Crowd) -> None:
    sensor = Sensor(signer("thermometer"))
    crowd.enroll(sensor)
    crowd.sensors.clear()
    members(crowd)
    crowd.round(2)
    assert crowd.value(sensor.id, HONEST) == (0, 0)
    assert crowd.value()[1] > 0


def test_a_device_whose_key_never_said_so_is_not_watched(crowd: Crowd) -> None:
    sensor = Sensor(signer("thermometer"))
    crowd.enroll(sensor, forged=True)
    members(crowd)
    heat(crowd, sensor, 25.0)
    crowd.round(3)
    assert crowd.value(sensor.id, HONEST) == (0, 0)
