"""Status with many members: drawn committees, the line that they are drawn from, a full list."""

from __future__ import annotations

from contracts.evm import Chain, Signer
from contracts.watchers import (
    BY_ADDRESS,
    FLOOR,
    HOTS,
    OTHER,
    SEATS,
    SPEED,
    STAKE,
    SUBJECT,
    Watch,
    checked,
    deploy_watch,
    seen,
)
from contracts.world import mallory, refused
from freehold.control.consensus import FIRST_SCORE, Seat, draw
from freehold.domain.ids import address


def crowd(chain: Chain, count: int, seats: int) -> Watch:
    """Members of unequal stake, from the beginning of a beacon period on."""
    watch = deploy_watch(chain, terms=(1_000, seats, FLOOR, 500))
    watch.members(*[1_000 * (1 + i % 5) for i in range(count)])
    return watch


def drawn(watch: Watch) -> tuple[list[Signer], bytes]:
    """Let the beacon make a round of a later period, and move past it."""
    watch.next_period()
    seed = watch.seed()
    watch.next_period()
    watch.next_round(0)
    return [BY_ADDRESS[each] for each in watch.committee(watch.round)], seed


def test_a_larger_crowd_is_drawn(chain: Chain) -> None:
    watch = crowd(chain, 9, 6)
    assert watch.committee(watch.round) == {}, "no seed yet"
    with refused("status: too few told"):
        watch.settle(watch.tell(dict.fromkeys(HOTS[:9], 5)))
    seated, seed = drawn(watch)
    found = watch.committee(watch.round)
    assert sum(found.values()) == 6
    line = [Seat(checked(HOTS[i]), 1_000 * (1 + i % 5)) for i in range(9)]
    mirror = draw(line, seed=seed, round_number=watch.round, subject=address(SUBJECT), seats=6)
    assert [(s.watcher.lower(), s.weight) for s in mirror] == list(found.items())
    others = {tuple(watch.committee(watch.round, f"0x{i:040x}")) for i in range(1, 9)}
    assert len(others) > 3, "each subject has its own"
    assert watch.agree(dict.fromkeys(seated, 5)) == 5
    idle = next(hot for hot in HOTS[:9] if hot not in seated)
    assert watch.score(idle) == FIRST_SCORE


def test_points_that_are_known_cannot_be_met(chain: Chain) -> None:
    watch = crowd(chain, 8, 6)
    watch.next_period()
    watch.seed()
    watch.next_round(0)
    before = watch.round
    late = watch.enter(8, 20_000)
    watch.join(late)
    watch.stake(7, 20_000)
    watch.status.send("refresh", HOTS[7].address, sender=mallory.address)
    watch.status.send("leave", sender=HOTS[0].address)
    watch.next_period()
    watch.next_round(0)
    assert watch.round > before + 5
    line = [Seat(checked(HOTS[i]), 1_000 * (1 + i % 5)) for i in range(8)]
    seed = bytes(watch.beacon.call("round", 0).seed)
    for subject in (SUBJECT, OTHER):
        mirror = draw(line, seed=seed, round_number=watch.round, subject=address(subject), seats=6)
        found = watch.committee(watch.round, subject)
        assert [(s.watcher.lower(), s.weight) for s in mirror] == list(found.items())
    watch.second_half()
    with refused("status: still leaving"):
        watch.status.send("join", sender=HOTS[0].address)
    watch.next_period()
    watch.seed()
    watch.next_period()
    watch.next_round(0)
    assert watch.committee(watch.round)[late.address] >= 1, "a third of all stake"
    watch.join(HOTS[0])
    watch.next_round()
    seated = {who for i in range(1, 61) for who in watch.committee(watch.round, f"0x{i:040x}")}
    assert HOTS[7].address in seated
    assert HOTS[0].address not in seated, "comes onto the line anew"


def test_a_low_score_keeps_a_sixteenth_of_the_line(chain: Chain) -> None:
    watch = crowd(chain, 4, 3)
    watch.world.setup(watch.status, "set_parameters", (1_000, 4, FLOOR, 500))
    bad = HOTS[3]
    while watch.score(bad) >= FLOOR:
        watch.agree(dict.fromkeys(HOTS[:3], 10) | {bad: 10**6})
    watch.next_period()
    watch.seed()
    watch.next_period()
    watch.tell(dict.fromkeys(HOTS[:4], 10))
    watch.next_period()
    watch.seed()
    watch.next_period()
    watch.next_round(0)
    watch.world.setup(watch.status, "set_parameters", (1_000, 3, FLOOR, 500))
    seats = sum(
        watch.committee(watch.round, f"0x{i:040x}").get(bad.address, 0) for i in range(1, 60)
    )
    assert 0 < seats < 15, "4000 of 10000 would be 70"


def test_a_full_list_makes_room_for_more_stake(chain: Chain) -> None:
    watch = deploy_watch(chain)
    watch.members(*[5_000] * 40, 4_000, *[5_000] * 23)
    poor, rich, richer = watch.enter(64, 4_000), watch.enter(65, 4_001), watch.enter(66, 9_000)
    with refused("status: full"):
        watch.join(poor)
    done = watch.join(rich)
    assert done.value is False
    assert done.one("Displaced").args == {"watcher": HOTS[40].address, "by": rich.address}
    with refused("status: a place becomes free"):
        watch.join(richer)
    watch.next_round()
    assert watch.join(rich).one("Joined").place == 40
    assert watch.status.call("rows") == 64
    with refused("status: not a member"):
        watch.status.call("member", HOTS[40].address)


def test_settling_twenty_four_costs_what_it_should(chain: Chain) -> None:
    watch = deploy_watch(chain)
    hots = watch.members(*[STAKE + i for i in range(SEATS)])
    watch.agree({hot: [seen(1_000 + i), seen(i, aspect=SPEED)] for i, hot in enumerate(hots)})
    done = watch.tell(
        {hot: [seen(2_000 - i), seen(9 - i, aspect=SPEED)] for i, hot in enumerate(hots)}
    )
    assert watch.settle(done).gas_used < 500_000
