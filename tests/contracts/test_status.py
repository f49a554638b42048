"""Status: members, commitments, medians, draws, scores, and who may what."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.evm import ZERO, Chain, Reverted, Signer, signer
from contracts.watchers import (
    ASPECT,
    FLOOR,
    LENGTH,
    OTHER,
    OWNERS,
    SALT,
    SPEED,
    STAKE,
    SUBJECT,
    TERMS,
    Watch,
    deploy_status,
    deploy_watch,
    seen,
)
from contracts.world import UNBONDING, guardian, mallory, refused

HALF = 5_000


@pytest.fixture
def watch(chain: Chain) -> Watch:
    """Nobody a member yet."""
    return deploy_watch(chain)


def test_is_deployed_within_bounds(watch: Watch) -> None:
    world = watch.world
    for name, of in (
        ("registry", world.registry),
        ("staking", world.staking),
        ("beacon", watch.beacon),
        ("governor", world.governor),
    ):
        assert watch.status.call(name) == of.address
        with refused("status: zero address"):
            deploy_status(world, watch.beacon, **{name: ZERO})
    found = watch.status.call("parameters")
    assert tuple(found.values()) == TERMS
    for changes, reason in (
        ({"genesis": watch.chain.now + 1}, "genesis lies ahead"),
        ({"length": 8}, "round too short"),
        ({"length": 7 * 86_400 + 2}, "round too long"),
        ({"length": 101}, "halves differ"),
        ({"length": UNBONDING // 2 + 2}, "unbonding too short"),
        ({"terms": (2**88, 24, 0, 0)}, "stake out of bounds"),
        ({"terms": (0, 2, 0, 0)}, "seats out of bounds"),
        ({"terms": (0, 25, 0, 0)}, "seats out of bounds"),
        ({"terms": (0, 24, HALF, 0)}, "floor out of bounds"),
        ({"terms": (0, 24, 0, 5_001)}, "tolerance out of bounds"),
    ):
        with refused(f"status: {reason}"):
            deploy_status(world, watch.beacon, **changes)
    for good in (10, UNBONDING // 2):
        deploy_status(world, watch.beacon, length=good, terms=(2**88 - 1, 3, HALF - 1, 5_000))


def test_a_member_counts_from_the_next_round_on(watch: Watch) -> None:
    hot = watch.enter(0)
    with refused("status: not in the second half"):
        watch.status.send("join", sender=hot.address)
    with refused("status: not a member"):
        watch.status.call("member", hot.address)
    done = watch.join(hot)
    assert done.value is True
    assert done.one("Joined").args == {"watcher": hot.address, "place": 0, "since": 1}
    assert done.one("Recorded").weight == STAKE
    assert watch.weight(hot) == 0
    assert watch.committee(0) == {}
    with refused("status: member already"):
        watch.status.send("join", sender=hot.address)
    watch.next_round()
    assert watch.weight(hot) == STAKE
    assert watch.committee(1) == {hot.address: STAKE}
    assert watch.score(hot) == HALF
    assert watch.status.call("rows") == 1


def test_only_watchers_with_stake_join(watch: Watch) -> None:
    watch.second_half()
    poor = watch.enter(0, 999)
    storage = signer("a storage node")
    watch.world.register(OWNERS[1], storage, roles=1)
    for hot in (poor, storage, mallory):
        with refused("status: not a watcher with enough stake"):
            watch.status.send("join", sender=hot.address)
    watch.stake(0, 1)
    assert watch.join(poor).value is True


def test_without_a_least_stake_all_count_alike(watch: Watch) -> None:
    watch.world.setup(watch.status, "set_parameters", (0, 24, FLOOR, 500))
    first, second = watch.members(0, 0)
    assert watch.committee(watch.round) == {first.address: 1, second.address: 1}


def test_stake_counts_as_it_was_before_the_round(watch: Watch) -> None:
    first, second = watch.members(STAKE, STAKE)
    watch.stake(0, 5)
    with refused("status: not in the second half"):
        watch.status.send("refresh", first.address, sender=mallory.address)
    watch.second_half()
    watch.status.send("refresh", first.address, sender=mallory.address)
    assert watch.weight(first) == STAKE
    watch.next_round()
    assert watch.weight(first) == STAKE + 5
    assert watch.committee(watch.round - 1) == {first.address: STAKE, second.address: STAKE}
    owner = OWNERS[0].address
    watch.world.staking.send("unbond", first.address, STAKE, sender=owner)
    watch.tell({first: 1})
    assert watch.weight(first) == 0, "below the least stake"
    with refused("status: not a member"):
        watch.second_half()
        watch.status.send("refresh", mallory.address, sender=mallory.address)


def test_a_record_lapses_after_the_unbonding_period(watch: Watch) -> None:
    (first,) = watch.members(STAKE)
    recorded = watch.chain.now - LENGTH // 2
    last = watch.round + (recorded + UNBONDING - watch.chain.now) // LENGTH - 1
    watch.next_round(last - watch.round)
    assert watch.weight(first) == STAKE
    watch.next_round()
    assert watch.weight(first) == 0
    watch.second_half()
    watch.status.send("refresh", first.address, sender=mallory.address)
    watch.next_round()
    assert watch.weight(first) == STAKE


def test_a_retired_node_loses_its_weight_when_it_is_refreshed(watch: Watch) -> None:
    (first,) = watch.members(STAKE)
    watch.world.registry.send("retire", first.address, sender=OWNERS[0].address)
    watch.second_half()
    watch.status.send("refresh", first.address, sender=mallory.address)
    watch.next_round()
    assert watch.weight(first) == 0


def test_who_leaves_sits_until_the_round_is_settled(watch: Watch) -> None:
    first, second, third = watch.members(STAKE, STAKE, STAKE)
    current = watch.round
    with refused("status: not in the second half"):
        watch.status.send("leave", sender=first.address)
    watch.commit(first, [seen(7)])
    watch.commit(second, [seen(7)])
    watch.second_half()
    assert watch.status.send("leave", sender=first.address).one("Left").watcher == first.address
    with refused("status: still leaving"):
        watch.status.send("leave", sender=first.address)
    with refused("status: still leaving"):
        watch.status.send("join", sender=first.address)
    watch.reveal(first, [seen(7)])
    watch.reveal(second, [seen(7)])
    watch.next_round()
    assert watch.settle(current).value == 7
    assert set(watch.committee(watch.round)) == {second.address, third.address}
    with refused("status: left"):
        watch.commit(first, [])
    score = watch.score(first)
    assert score == HALF + HALF // 5
    fourth = watch.enter(3)
    assert watch.join(fourth).one("Joined").place == 0, "the free place"
    assert watch.score(first) == score
    with refused("status: not a member"):
        watch.status.send("leave", sender=first.address)
    assert watch.join(first).one("Joined").place == 3
    assert watch.score(first) == score, "a score is not left behind"
    watch.next_round()
    watch.second_half()
    watch.status.send("leave", sender=first.address)
    watch.next_round()
    assert watch.join(first).one("Joined").place == 3
    assert watch.score(first) == score


def test_a_commitment_binds(watch: Watch) -> None:
    first, second = watch.members(STAKE, STAKE)
    told = [seen(3), seen(4, aspect=SPEED)]
    assert watch.commit(first, told).one("Committed").round == watch.round
    with refused("status: committed already"):
        watch.commit(first, told)
    copied = watch.status.call("digest_of", watch.round, first.address, SALT, *columns(told))
    watch.status.send("commit", copied, sender=second.address)
    with refused("status: not in the second half"):
        watch.reveal(first, told)
    watch.second_half()
    with refused("status: not in the first half"):
        watch.commit(second, told)
    with refused("status: not what was committed"):
        watch.reveal(second, told)  # the digest of another is no use
    for wrong in ([seen(4), told[1]], [told[1], told[0]], told[:1], []):
        with refused("status: not what was committed"):
            watch.reveal(first, wrong)
    with refused("status: not what was committed"):
        watch.reveal(first, told, salt=bytes(32))
    done = watch.reveal(first, told).one("Revealed")
    assert (done.round, done.args["values"]) == (watch.round, [3, 4])
    assert watch.status.call("told_of", watch.round, first.address, SUBJECT, ASPECT) == {
        "known": True,
        "value": 3,
    }
    assert not watch.status.call("told_of", watch.round, second.address, SUBJECT, ASPECT).known
    with refused("status: told twice"):
        watch.reveal(first, told)
    watch.next_round()
    watch.second_half()
    with refused("status: not what was committed"):
        watch.reveal(first, told)  # of the round before


def columns(told: Any) -> tuple[list[Any], list[Any], list[Any]]:
    return [t.subject for t in told], [t.aspect for t in told], [t.value for t in told]


def test_strangers_do_not_commit_and_newcomers_do(watch: Watch) -> None:
    watch.members(STAKE)
    with refused("status: not a member"):
        watch.commit(mallory, [])
    late = watch.enter(1)
    watch.join(late)
    watch.next_round()
    watch.commit(late, [])


def test_a_contract_that_a_watcher_calls_is_not_the_watcher(watch: Watch) -> None:
    (first,) = watch.members(STAKE)
    late, puppet = watch.enter(1), watch.world.puppet()

    def act(hot: Signer, name: str, *arguments: Any) -> None:
        data = watch.status.data(name, *arguments)
        puppet.contract.send("run", watch.status.address, data, sender=hot.address)

    with pytest.raises(Reverted):
        act(first, "commit", SALT)
    told = [seen(1)]
    watch.commit(first, told)
    watch.second_half()
    for hot, name, arguments in (
        (late, "join", ()),
        (first, "leave", ()),
        (first, "reveal", (SALT, *columns(told))),
    ):
        with pytest.raises(Reverted):
            act(hot, name, *arguments)
    watch.reveal(first, told)


def test_least_weights_are_told_apart(watch: Watch) -> None:
    watch.world.setup(watch.status, "set_parameters", (0, 24, FLOOR, 500))
    first, second = watch.members(0, 0)
    assert watch.agree({first: 101, second: 100}) == 100
    assert watch.found().spread == 1


def test_what_is_told_must_fit(watch: Watch) -> None:
    (first,) = watch.members(STAKE)
    for value in (2**120 + 1, -(2**120) - 1):
        raw = ([SUBJECT], [ASPECT], [value])
        digest = watch.status.call("digest_of", watch.round, first.address, SALT, *raw)
        watch.status.send("commit", digest, sender=first.address)
        watch.second_half()
        with refused("status: value out of bounds"):
            watch.status.send("reveal", SALT, *raw, sender=first.address)
        watch.next_round()
    watch.second_half()
    for raw in (([SUBJECT], [], [1]), ([SUBJECT], [ASPECT], [])):
        with refused("status: lengths differ"):
            watch.status.send("reveal", SALT, *raw, sender=first.address)
    watch.next_round()
    twice = ([SUBJECT] * 2, [ASPECT] * 2, [1, 2])
    digest = watch.status.call("digest_of", watch.round, first.address, SALT, *twice)
    watch.status.send("commit", digest, sender=first.address)
    watch.second_half()
    with refused("status: told twice"):
        watch.status.send("reveal", SALT, *twice, sender=first.address)


@pytest.mark.parametrize("value", [2**120, -(2**120), 0, -1])
def test_the_bounds_themselves_are_told(watch: Watch, value: int) -> None:
    (first,) = watch.members(STAKE)
    assert watch.agree({first: value}) == value
    found, at = watch.status.call("value_of", SUBJECT, ASPECT)
    assert (found, at) == (value, watch.chain.now)


def test_a_value_is_settled_once_and_in_time(watch: Watch) -> None:
    first, second, third = watch.members(STAKE, STAKE, STAKE)
    assert watch.status.call("value_of", SUBJECT, ASPECT) == (0, 0)
    done = watch.tell({first: 10, second: 10, third: 10})
    for wrong in (done - 1, done + 1):
        with refused("status: not the round before"):
            watch.settle(wrong)
    with watch.chain.anchor():
        watch.second_half()
        with refused("status: not in the first half"):
            watch.settle(done)
        watch.next_round()
        with refused("status: not the round before"):
            watch.settle(done)
    event = watch.settle(done).one("Settled")
    assert (event.round, event.subject, event.aspect) == (done, SUBJECT, ASPECT)
    assert (event.value, event.told_bps, event.spread) == (10, 10_000, 0)
    assert watch.found() == {
        "value": 10, "at": watch.chain.now, "round": done, "told_bps": 10_000, "spread": 0,
    }  # fmt: skip
    with refused("status: settled already"):
        watch.settle(done)
    with refused("status: too few told"):
        watch.settle(done, aspect=SPEED)


def test_the_median_is_weighed_by_stake(watch: Watch) -> None:
    first, second, third = watch.members(3_000, 1_000, 1_000)
    assert watch.agree({first: 100, second: 900, third: 900}) == 100
    assert watch.agree({first: 120, second: 5, third: 7}) == 120
    watch.stake(1, 1_500)
    watch.tell({first: 120, second: 120, third: 120})
    done = watch.tell({first: 100, second: 300, third: 200})
    watch.settle(done)
    found = watch.found()
    assert (found.value, found.spread) == (200, 200), "3000, 2500 and 1000"


def test_exactly_half_takes_the_lower_value(watch: Watch) -> None:
    first, second = watch.members(STAKE, STAKE)
    watch.agree({first: 10, second: 10})
    assert watch.agree({first: 30, second: 20}) == 20


def test_who_is_silent_counts_for_the_value_before(watch: Watch) -> None:
    first, second, third = watch.members(2_000, 2_000, 1_000)
    watch.agree({first: 50, second: 50, third: 50})
    with refused("status: too few told"):
        watch.settle(watch.tell({first: 90}))
    assert watch.agree({first: 90, third: 10}) == 50
    assert watch.found().told_bps == 6_000
    assert watch.agree({first: 90, third: 90}) == 90


def test_a_first_value_needs_agreement_against_all_silence(watch: Watch) -> None:
    first, second, third, _ = watch.members(*[STAKE] * 4)
    with refused("status: too few told"):
        watch.settle(watch.tell({first: 5, second: 5}))
    with refused("status: too little agreed"):
        watch.settle(watch.tell({first: 10, second: 50, third: 90}))
    assert watch.agree({first: 100, second: 95, third: 105}) == 100
    assert watch.found().told_bps == 7_500


def test_honest_watchers_restore_a_wrong_value_in_a_round(watch: Watch) -> None:
    liar, first, second, third = watch.members(2_900, *[1_000] * 3)
    watch.agree({liar: 0, first: 0})
    assert watch.agree({liar: 0, first: 100, second: 100, third: 100}) == 100
    assert watch.agree({liar: 0, first: 99, second: 100, third: 101}) == 99


def test_many_settle_at_once(watch: Watch) -> None:
    hots = watch.members(*[STAKE] * 3)
    things = [seen(1), seen(2, aspect=SPEED), seen(3, subject=OTHER)]
    done = watch.tell(dict.fromkeys(hots, things))
    subjects, aspects, _ = columns(things)
    by = mallory.address
    with refused("status: lengths differ"):
        watch.status.send("settle_many", done, subjects, aspects[:2], sender=by)
    watch.settle(done, aspect=SPEED)
    outcome = watch.status.send("settle_many", done, subjects, aspects, sender=by)
    assert [event.value for event in outcome.named("Settled")] == [1, 3]
    with refused("status: not the round before"):
        watch.status.send("settle_many", done + 1, subjects, aspects, sender=by)


def test_scores_tell_who_looks(watch: Watch) -> None:
    """Thirty rounds of a value that moves every third: one watcher each tells far too much, sleeps,
    and repeats what was settled last; one repeats it with a small change."""
    honest, more, most, many, all_, outlier, sleeper, stale, near = watch.members(*[STAKE] * 9)
    value = 1_000
    lows: list[int] = []
    for turn in range(30):
        if turn % 3 == 0:
            value = 3_000 - value
        last = watch.found()
        old = last.value if last.at else value
        told = {honest: value, more: value + 1, most: value - 1, many: value, all_: value}
        watch.agree(told | {outlier: 9 * value, stale: old, near: old + 3})
        lows.append(watch.score(near))
    scores = {hot: watch.score(hot) for hot in (honest, more, most)}
    assert min(scores.values()) > 9_400
    assert watch.score(outlier) < 100
    assert watch.score(sleeper) < 300
    assert watch.score(stale) < 2_500
    assert min(lows[20:]) < 1_500


def test_a_low_score_counts_for_nothing_and_comes_back(watch: Watch) -> None:
    first, second, bad = watch.members(STAKE, STAKE, STAKE)
    while watch.score(bad) >= FLOOR:
        watch.agree({first: 10, second: 10, bad: 10**6})
    watch.tell({first: 10, second: 10, bad: 10})
    assert watch.weight(bad) == 0
    assert watch.committee(watch.round)[bad.address] == 0
    turn = 0
    while watch.score(bad) < FLOOR:
        turn += 1
        watch.agree({first: turn * 100, second: turn * 100, bad: turn * 100})
    assert watch.agree({first: 1, second: 1, bad: 1}) == 1
    assert watch.weight(bad) == STAKE


def test_score_arithmetic(watch: Watch) -> None:
    hots = watch.members(*[STAKE] * 7)
    first = hots[0]
    done = watch.tell(dict.fromkeys(hots[:5], 1_000) | {hots[5]: 1_051})
    event = watch.settle(done).one("Scored")
    assert (event.round, event.subject, event.aspect) == (done, SUBJECT, ASPECT)
    scored = {f"0x{word >> 16:040x}": word & 0xFFFF for word in event.scores}
    assert len(scored) == 7
    assert scored == {hot.address: watch.score(hot) for hot in hots}
    assert scored[first.address] == 6_000
    assert scored[hots[5].address] == 5_000 - 5_000 * 3_000 * 51 // (10_000 * 500)
    assert scored[hots[6].address] == 4_500
    watch.agree(dict.fromkeys(hots[:5], 1_000) | {hots[5]: 1_050, hots[6]: 10**9})
    assert watch.score(first) == 6_040
    assert watch.score(hots[5]) == 4_847 + 5_153 * 100 // 10_000
    assert watch.score(hots[6]) == 4_500 - 1_350
    late = {hots[4]: 1_100, hots[5]: 1_000, hots[6]: 1_101}
    watch.agree(dict.fromkeys(hots[:4], 2_000) | late)
    assert watch.score(hots[4]) == 6_040 // 2
    assert watch.score(hots[5]) == 4_898 - 4_898 // 2
    assert watch.score(hots[6]) == 3_150 - 3_150 * 3_000 * 899 // (10_000 * 1_000)


def test_an_aspect_has_its_own_tolerance(watch: Watch) -> None:
    def change(of: tuple[int, int]) -> Any:
        return watch.world.setup(watch.status, "set_tolerance", ASPECT, of)

    assert watch.status.call("tolerance_of", ASPECT) == {"bps": 500, "least": 1}
    event = change((0, 20)).one("ToleranceSet")
    assert (event.aspect, event.tolerance) == (ASPECT, {"bps": 0, "least": 20})
    assert watch.status.call("tolerance_of", SPEED) == {"bps": 500, "least": 1}
    first, second, third = watch.members(*[STAKE] * 3)
    watch.agree({first: 1_000, second: 1_020, third: 979})
    assert watch.score(second) == HALF + 1_000
    assert watch.score(third) < HALF
    change((0, 0))
    assert watch.status.call("tolerance_of", ASPECT) == {"bps": 500, "least": 1}
    for wrong in ((5_001, 0), (0, 2**96 + 1)):
        with refused("status: tolerance out of bounds"):
            change(wrong)
    change((5_000, 2**96))


def test_the_governor_alone_sets_terms(watch: Watch) -> None:
    calls: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("set_parameters", (TERMS,)),
        ("set_tolerance", (ASPECT, (1, 1))),
    )
    for name, arguments in calls:
        with refused("status: not the governor"):
            watch.status.send(name, *arguments, sender=guardian.address)
    event = watch.world.setup(watch.status, "set_parameters", (1, 5, 2, 3)).one("ParametersSet")
    assert tuple(event.parameters.values()) == (1, 5, 2, 3)
