"""Stake that comes while work is still to be rewarded: the models against the wired contracts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.evm import Contract, Reverted, Signer
from contracts.market import Node
from contracts.recording import address
from contracts.world import TOKEN, alice, bob, mallory
from freehold.audit.events import Event
from freehold.audit.report import Differs
from unit.audit.founded import Founded, differs, lied, occasions

STAKERS = (alice, bob)
ACTIONS = ("nothing", "join", "join", "leave", "claim", "admit", "hand out", "reward")
SIZES = (200_000, 70_000)


class Town:
    """A network with two nodes and two who stake for them, and what they did."""

    def __init__(self) -> None:
        self.founded = Founded()
        self.nodes, self.deals = self.founded.begin(SIZES)
        world = self.founded.world
        for who in STAKERS:
            world.fund(who.address, 1_000 * TOKEN)
            world.token.send("approve", self.staking.address, 1_000 * TOKEN, sender=who.address)
        self._actions: dict[str, Callable[[Signer, Node], None]] = {
            "join": self._join, "leave": self._leave, "claim": self._claim, "admit": self._admit,
            "hand out": self._hand_out, "reward": self._reward, "nothing": self._nothing,
        }  # fmt: skip

    @property
    def staking(self) -> Contract:
        return self.founded.world.staking

    def live(self, absent: Sequence[int], closes: bool, action: str, who: int, node: int) -> None:
        """A period, in which somebody does something; who has failed proves no more."""
        faults = self.founded.market.faults
        states = [faults.call("node_state", each.address) for each in self.nodes]
        failed = [number for number, state in enumerate(states) if state.failed]
        self.founded.live(self.nodes, self.deals, [*absent, *failed])
        if closes:
            self.founded.close()
        with suppress(Reverted):
            self._actions[action](STAKERS[who], self.nodes[node])
        self.founded.follow()
        self.compare()

    def compare(self) -> None:
        """The models say of all stake what the contracts say."""
        for node in self.nodes:
            self.founded.agree("rewards", "account", node.set_id)
            self.founded.agree("rewards", "due", node.set_id)
            for view in ("arrival", "active", "own"):
                self.founded.agree("staking", view, node.address)
            for who in (*STAKERS, node.owner):
                for view in ("stake_of", "waiting_of", "claimable"):
                    self.founded.agree("staking", view, who.address, node.address)
            self._compare_owed(node)

    def _compare_owed(self, node: Node) -> None:
        rewards = self.founded.models.economy.rewards
        assert rewards is not None
        found = rewards.owed_since(address(node.address), self.founded.chain.now)
        assert found == self.founded.rewards.call("owed_since", node.address)

    def _join(self, who: Signer, node: Node) -> None:
        self.staking.send("delegate", node.address, 3 * TOKEN, sender=who.address)

    def _leave(self, who: Signer, node: Node) -> None:
        held = int(self.staking.call("stake_of", who.address, node.address))
        self.staking.send("unbond", node.address, held * 2 // 3, sender=who.address)

    def _claim(self, who: Signer, node: Node) -> None:
        self.staking.send("claim_rewards", node.address, sender=who.address)

    def _admit(self, who: Signer, node: Node) -> None:
        self.staking.send("admit", node.address, sender=who.address)

    def _hand_out(self, who: Signer, node: Node) -> None:
        self.founded.rewards.send("claim", node.set_id, sender=who.address)

    def _reward(self, who: Signer, node: Node) -> None:
        self.staking.send("reward", node.address, TOKEN, sender=who.address)

    def _nothing(self, who: Signer, node: Node) -> None:
        del who, node


@cache
def history() -> Town:
    """Alice comes with the first period, Bob with each of the next, and leaves again."""
    town = Town()
    for period in range(16):
        action = "leave" if period == 11 else "join" if period in (1, 4, 5, 8, 14) else "nothing"
        town.live((), period % 3 == 2, action, min(period, 2) // 2, 0)
    town.staking.send("admit", town.nodes[0].address, sender=mallory.address)
    town.founded.follow()
    return town


def events_named(name: str) -> list[int]:
    found = enumerate(history().founded.events)
    return [i for i, e in found if (e.contract, e.name) == ("staking", name)]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.sets(st.integers(0, 1), max_size=1).map(sorted), st.booleans(),
            st.sampled_from(ACTIONS), st.integers(0, 1), st.integers(0, 1),
        ),
        min_size=6, max_size=14,
    )
)  # fmt: skip
def test_the_models_agree_whoever_comes_and_goes(
    periods: list[tuple[list[int], bool, str, int, int]],
) -> None:
    town = Town()
    for each in periods:
        town.live(*each)


def test_some_wait_and_some_do_not() -> None:
    events = history().founded.events
    waits = {events[i].args["waits"] for i in events_named("Staked")}
    assert waits == {True, False}
    assert len(events_named("Admitted")) > 1
    rewards = history().founded.models.economy.rewards
    assert rewards is not None
    assert 0 < rewards.claimed <= rewards.emitted


def checked() -> list[tuple[str, str, int]]:
    """What is told of stake that comes, earns and goes."""
    found = occasions(history().founded.events, "staking")
    return [each for each in found if each[0] in ("Admitted", "Rewarded", "Unbonded")]


@pytest.mark.parametrize("occasion", checked(), ids=str)
def test_an_event_of_stake_that_lies_is_found(occasion: tuple[str, str, int]) -> None:
    _, argument, place = occasion
    events = list(history().founded.events)
    events[place] = lied(events[place], argument)
    assert differs(history().founded, events), occasion


@pytest.mark.parametrize("place", events_named("Staked"))
def test_stake_that_lies_about_waiting_is_found(place: int) -> None:
    events = list(history().founded.events)
    told = not events[place].args["waits"]
    events[place] = replace(events[place], args={**events[place].args, "waits": told})
    with pytest.raises(Differs) as caught:
        history().founded.replay(events, history().founded.fresh())
    assert caught.value.difference.place.field == "Staked.waits"


@pytest.mark.parametrize("place", events_named("Admitted")[:-1])
def test_an_admission_that_is_missing_is_found(place: int) -> None:
    events = history().founded.events
    assert differs(history().founded, [*events[:place], *events[place + 1 :]])


def test_an_admission_that_comes_too_early_is_found() -> None:
    events = history().founded.events
    place = next(i for i in events_named("Staked") if events[i].args["waits"])
    while events[place + 1].place.transaction == events[place].place.transaction:
        place += 1
    early = next(events[i] for i in events_named("Admitted") if i > place)
    shares = next(e for e in reversed(events[: place + 1]) if e.name == "Staked").args["shares"]
    at = events[place + 1]
    forged: Event = replace(
        early, time=at.time, block=at.block, args={**early.args, "shares": shares}
    )
    with pytest.raises(Differs, match="due before it came"):
        history().founded.replay([*events[: place + 1], forged], history().founded.fresh())
