"""The model of declared capacity against the contract, and against events that lie."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.evm import Contract, Reverted
from contracts.recording import address
from contracts.world import Puppet, World, alice, bob, carol, guardian, node
from freehold.audit.events import Event
from freehold.audit.report import Differs
from freehold.domain.network import Network
from unit.audit.founded import Founded, differs, lied, occasions

COMPUTE, STORAGE, BPS = 4, 1, 10_000
STAKE = 10**6
OWNERS = {node.address: alice, carol.address: bob}


class Farm:
    """A network with capacity in it: two nodes of both roles, a market, and one who slashes."""

    def __init__(self) -> None:
        self.founded = Founded()
        world = self.world
        places = (world.registry.address, world.staking.address, world.governor.address)
        deploy = self.founded.chain.deploy
        self.capacity: Contract = deploy("capacity", *places, sender=guardian.address)
        self.market: Puppet = world.puppet()
        before = self.founded.network
        self.network = replace(
            before, contracts={**before.contracts, "capacity": address(self.capacity.address)}
        )
        self.founded.network = self.network
        self.founded.models = self.founded.fresh()
        world.setup(world.staking, "set_locker", self.capacity.address, True)
        world.setup(self.capacity, "set_market", self.market.address, True)
        self.rule(COMPUTE, 1_000, 3, weighed=True)
        for hot, owner in ((node, alice), (carol, bob)):
            world.register(owner, hot, roles=STORAGE | COMPUTE)
            world.fund(owner.address, STAKE)
            world.token.send("approve", world.staking.address, STAKE, sender=owner.address)
            world.staking.send("stake", hot.address, STAKE, sender=owner.address)

    @property
    def world(self) -> World:
        return self.founded.world

    def rule(self, role: int, amount: int, per: int, *, weighed: bool = False) -> None:
        self.world.setup(self.capacity, "set_rule", role, amount, per, weighed)

    def declare(self, units: int, multiplier: int = BPS, *, hot: str = node.address) -> None:
        told = (hot, COMPUTE, units, multiplier)
        self.capacity.send("declare", *told, sender=OWNERS[hot].address)

    def use(self, function: str, units: int, *, hot: str = node.address) -> None:
        self.market.act(self.capacity, function, hot, COMPUTE, units)

    def compare(self) -> None:
        """The model says what the contract says."""
        self.founded.follow()
        for role in (STORAGE, COMPUTE):
            self.agree("rule", role)
            for hot in OWNERS:
                self.agree("declaration", hot, role)

    def agree(self, view: str, *arguments: Any) -> None:
        asked = tuple(address(a) if isinstance(a, str) else a for a in arguments)
        found = self.founded.models.answer(("capacity", view, asked), self.founded.chain.now)
        assert found == [dict(self.capacity.call(view, *arguments))]


@cache
def history() -> Farm:
    """Declared, held, kept at its terms, released, lowered, under rules that change."""
    farm = Farm()
    farm.declare(9, 25_000)
    farm.declare(4, hot=carol.address)
    farm.use("hold", 5)
    farm.use("hold", 2)
    farm.declare(8, 11_000)
    farm.rule(COMPUTE, 2_000, 3, weighed=True)
    farm.declare(8, 15_000)
    farm.rule(COMPUTE, 900, 2)
    farm.declare(10)
    farm.use("release", 4)
    farm.use("release", 3)
    farm.declare(10)
    farm.use("hold", 1)
    farm.declare(2)
    farm.rule(COMPUTE, 0, 2)
    farm.declare(1)
    farm.use("release", 1)
    farm.declare(0)
    farm.compare()
    return farm


def events() -> list[Event]:
    return list(history().founded.events)


def of_capacity(name: str) -> list[int]:
    found = enumerate(history().founded.events)
    return [i for i, e in found if (e.contract, e.name) == ("capacity", name)]


def refusal(told: list[Event]) -> Differs:
    with pytest.raises(Differs) as caught:
        history().founded.replay(told, history().founded.fresh())
    return caught.value


def test_an_honest_history_passes() -> None:
    farm = history()
    assert not differs(farm.founded, events())
    assert farm.founded.counts["capacity"] > 15
    locks = [events()[i].number("locked") for i in of_capacity("Declared")]
    assert locks == [7_500, 1_334, 6_667, 8_000, 10_000, 4_500, 900, 450, 0]


@pytest.mark.parametrize("occasion", occasions(events(), "capacity"), ids=str)
def test_an_event_that_lies_is_found(occasion: tuple[str, str, int]) -> None:
    name, argument, place = occasion
    told = events()
    assert told[place].name == name
    told[place] = lied(told[place], argument)
    # A flag counts as told, whatever its number.
    assert differs(history().founded, told) == (argument not in ("weighed", "allowed"))


@pytest.mark.parametrize("name", ["RuleSet", "MarketSet", "Declared", "Held", "Released"])
def test_an_event_that_is_missing_is_found(name: str) -> None:
    place = of_capacity(name)[0]
    assert differs(history().founded, [*events()[:place], *events()[place + 1 :]])


@pytest.mark.parametrize("name", ["Locked", "Unlocked"])
def test_a_lock_that_is_missing_or_too_much_is_found(name: str) -> None:
    told, ours = events(), address(history().capacity.address)
    place = next(i for i, e in enumerate(told) if e.name == name and e.args["locker"] == ours)
    assert differs(history().founded, [*told[:place], *told[place + 1 :]])
    assert differs(history().founded, [*told[: place + 1], *told[place:]])


def test_a_lock_without_a_declaration_is_named() -> None:
    told, ours = events(), address(history().capacity.address)
    place = next(
        i for i, (one, two) in enumerate(pairwise(told))
        if one.name == "Declared" and two.args.get("locker") == ours
    )  # fmt: skip
    found = refusal([*told[:place], *told[place + 1 :]])
    assert "the stake locked for declared capacity" in str(found)


def test_what_a_slashed_node_takes_is_found() -> None:
    models = history().founded.fresh()
    assert models.economy.capacity is not None
    assert not models.economy.capacity.short(address(node.address))
    models.economy.capacity.short = lambda name: name == address(node.address)
    with pytest.raises(Differs, match="something new"):
        history().founded.replay(events(), models)


def test_a_node_is_short_where_more_is_locked_than_there_is() -> None:
    models, name = history().founded.fresh(), address(node.address)
    assert models.economy.capacity is not None
    stake = models.stakes.node(name)
    stake.locked, stake.active.amount = 5, 5
    assert not models.economy.capacity.short(name)
    stake.locked = 6
    assert models.economy.capacity.short(name)


def test_a_node_that_retired_takes_nothing_new() -> None:
    told, place = events(), of_capacity("Held")[0]
    args = {"node": address(node.address), "owner": address(alice.address)}
    retired = replace(told[place], contract="registry", name="NodeRetired", args=args)
    assert "something new" in str(refusal([*told[:place], retired, *told[place:]]))
    grown = of_capacity("Declared")[4]
    assert "in the role" in str(refusal([*told[:grown], retired, *told[grown:]]))


@pytest.mark.parametrize("name", ["staking_", "registry_"])
def test_a_capacity_of_another_network_is_found(name: str) -> None:
    book = history().founded.book
    before = book.made["capacity"]
    book.made["capacity"] = {**before, name: address(bob.address)}
    try:
        with pytest.raises(Differs, match="of capacity"):
            history().founded.fresh()
    finally:
        book.made["capacity"] = before


def test_a_network_without_it_is_recomputed_as_before() -> None:
    founded = history().founded
    before: Network = founded.network
    ours = address(history().capacity.address)
    rest = {name: at for name, at in before.contracts.items() if name != "capacity"}
    founded.network = replace(before, contracts=rest)
    try:
        models = founded.fresh()
        founded.replay([e for e in events() if e.contract != "capacity"], models)
    finally:
        founded.network = before
    assert models.economy.capacity is None
    assert models.stakes.node(address(node.address)).locked_by[ours] == 0


NODE, MARKET = address(node.address), address(bob.address)


def told(name: str, **args: Any) -> Event:
    """An event that fits what it says of itself."""
    return replace(events()[0], contract="capacity", name=name, args={"role": COMPUTE, **args})


def said(units: int, amount: int = 100, multiplier: int = BPS) -> Event:
    locked = -(-units * amount * multiplier // BPS)
    terms = {"amount": amount, "per": 1, "multiplier": multiplier}
    return told("Declared", node=NODE, units=units, locked=locked, **terms)


def used(name: str, units: int, held: int) -> Event:
    return told(name, node=NODE, market=MARKET, units=units, held=held)


def ruled(amount: int) -> Event:
    return told("RuleSet", amount=amount, per=1, weighed=True)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), None),
        ((used("Held", 6, 10),), None),
        ((used("Held", 7, 11),), "units that are free"),
        ((used("Held", 0, 4),), "units that are free"),
        ((used("Released", 4, 0),), None),
        ((used("Released", 5, -1),), "units that the market holds"),
        ((said(4),), None),
        ((said(3),), "units that no market holds"),
        ((said(10, multiplier=2 * BPS),), None),
        ((said(10, multiplier=1_000 * BPS),), None),
        ((said(10, multiplier=1_000 * BPS + 1),), "Declared"),
        ((ruled(99), said(5)), None),
        ((ruled(99), said(5, 99)), "terms that had to stay"),
        ((ruled(99), said(5, 99, 10_101)), "terms that had to stay"),
        ((ruled(99), said(5, 99, 10_200)), "terms that had to stay"),
        ((ruled(99), said(10, 99, 10_200)), None),
        ((ruled(0), said(5)), None),
        ((ruled(0), said(5, 0)), "terms that had to stay"),
        ((ruled(101), said(5)), None),
        ((ruled(101), said(5, 101)), "terms that had to stay"),
        ((ruled(101), said(10)), "Declared"),
        ((ruled(101), said(10, 101)), None),
        ((used("Released", 4, 0), ruled(99), said(5)), None),
        ((used("Released", 4, 0), ruled(99), said(10)), "Declared"),
        ((used("Released", 4, 0), ruled(0), said(5, 0)), "terms that had to stay"),
        ((used("Released", 4, 0), ruled(0), said(5)), None),
        ((used("Released", 4, 0), ruled(0), said(10, 0)), "a rule of the role"),
        ((said(2**40),), "units that can be told"),
    ],
)
def test_what_fits_itself_is_held_against_what_was_before(
    more: tuple[Event, ...], words: str | None
) -> None:
    market = told("MarketSet", market=MARKET, allowed=True)
    model = history().founded.fresh().economy.capacity
    assert model is not None
    model.active = lambda _node, _role: True
    first = (ruled(100), market, said(10), used("Held", 4, 4))
    for event in (*first, *more[:-1]):
        model.apply(event)
    with nullcontext() if words is None else pytest.raises(Differs, match=words):
        for event in more[-1:]:
            model.apply(event)


STEPS = st.tuples(
    st.sampled_from(["declare", "declare", "hold", "hold", "release", "rule"]),
    st.sampled_from(sorted(OWNERS)), st.integers(0, 9), st.integers(0, 3 * BPS),
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=4, max_size=16))
def test_the_model_agrees_whatever_is_done(steps: list[tuple[str, str, int, int]]) -> None:
    farm = Farm()
    for kind, hot, units, multiplier in steps:
        with suppress(Reverted):
            if kind == "declare":
                farm.declare(units, multiplier, hot=hot)
            elif kind == "rule":
                farm.rule(COMPUTE, multiplier, units + 1, weighed=units % 2 == 0)
            else:
                farm.use(kind, units, hot=hot)
    farm.compare()
