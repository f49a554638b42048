"""The price of registering run again: against the contract, and against events that lie."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from contracts.evm import signer
from contracts.recording import address
from contracts.world import MAX, alice, guardian, node
from freehold.audit.events import Event
from freehold.audit.report import Differs
from freehold.domain.errors import UsageError
from unit.audit.founded import Founded, differs, lied, occasions

ENTRY = (1_000, 5_000, 60, 15_000)


@cache
def history() -> Founded:
    """Nodes that come at once and after waits, and one that goes and returns."""
    founded = Founded(entry=ENTRY)
    world = founded.world
    world.fund(alice.address, 10**6)
    world.token.send("approve", world.registry.address, MAX, sender=alice.address)
    for number, wait in enumerate((0, 0, 30, 0, 0, 0, 0, 61, 10**4, 0)):
        founded.chain.warp(wait)
        world.register(alice, signer(f"hot {number}"))
        founded.follow()
        founded.agree("registry", "price")
        founded.agree("registry", "count")
    hot = signer("hot 0")
    world.registry.send("retire", hot.address, sender=alice.address)
    world.register(alice, hot)
    founded.follow()
    founded.agree("registry", "price")
    return founded


def events() -> list[Event]:
    return list(history().events)


def registered() -> list[int]:
    return [i for i, event in enumerate(events()) if event.name == "NodeRegistered"]


def refusal(told: list[Event]) -> Differs:
    founded = history()
    founded.replay(events(), founded.fresh())
    with pytest.raises(Differs) as caught:
        founded.replay(told, founded.fresh())
    return caught.value


def test_the_model_has_the_prices_of_the_contract() -> None:
    burned = [events()[place].number("burned") for place in registered()]
    assert burned[:2] == [1_000, 1_500]
    assert max(burned) == 5_000
    assert burned[-1] == 0
    models = history().models
    assert sum(burned) == models.registry.burned == history().world.token.call("burned")
    assert models.balances.burned == models.registry.burned


@pytest.mark.parametrize("occasion", occasions(events(), "registry"), ids=str)
def test_an_event_that_lies_is_found(occasion: tuple[str, str, int]) -> None:
    name, argument, place = occasion
    told = events()
    told[place] = lied(told[place], argument)
    # What a node says of itself nobody else repeats.
    free = {"roles", "endpoint", "tls", "info", "payout"}
    known = argument not in free and (name, argument) != ("NodeRetired", "owner")
    if (name, argument) != ("NodeRegistered", "node"):
        assert differs(history(), told) == known


def test_the_place_of_a_wrong_price_is_named() -> None:
    told, place = events(), registered()[1]
    told[place] = lied(told[place], "burned")
    found = refusal(told).difference
    assert (found.check, found.place.field) == ("registry", "NodeRegistered.burned")
    assert (int(found.expected), int(found.found)) == (1_500, 1_501)


def test_a_registration_that_burned_less_otherwise_or_nothing_is_found() -> None:
    """The transfer says so too."""
    place = registered()[0]
    burn = max(
        i for i in range(place)
        if (events()[i].contract, events()[i].name) == ("token", "Movement")
    )  # fmt: skip
    transfer = max(i for i in range(burn) if events()[i].name == "Transfer")
    told = events()
    for at, name in ((burn, "amount"), (transfer, "value")):
        told[at] = replace(told[at], args={**told[at].args, name: 999})
    assert "a burn by the owner of the price" in str(refusal(told))
    told = events()
    told[burn] = lied(told[burn], "purpose")
    assert "a burn by the owner of the price" in str(refusal(told))
    told = [event for i, event in enumerate(events()) if i not in (burn, transfer)]
    assert "a burn by the owner of the price" in str(refusal(told))


def test_a_burn_of_another_transaction_pays_nothing() -> None:
    """As if the second had burned its price together with the first."""
    first, second = registered()[:2]
    told, between = events(), range(first + 1, second)
    early = [
        replace(told[i], place=told[first].place, transaction=told[first].transaction)
        for i in between
        if told[i].contract == "token"
    ]
    assert [event.name for event in early] == ["Transfer", "Movement"]
    late = [told[i] for i in between if told[i].contract != "token"]
    found = refusal([*told[: first + 1], *early, *late, *told[second:]])
    assert "a burn by the owner of the price" in str(found)


def test_a_burn_pays_once() -> None:
    """At the highest price two cost the same: one burn is not enough for both."""
    dear = [i for i in registered() if events()[i].number("burned") == ENTRY[1]]
    first, second = dear[:2]
    told = events()
    twin = replace(told[second], place=told[first].place, transaction=told[first].transaction)
    found = refusal([*told[: first + 1], twin, *told[first + 1 :]])
    assert "a burn by the owner of the price" in str(found)


def test_a_registration_beyond_its_owners_bound_is_found() -> None:
    told, place = events(), registered()[1]
    fields = (node.address, 1, "", bytes(32), bytes(32), alice.address, 2**60, bytes(65))
    for most, found in ((1_499, True), (1_500, False)):
        data = history().world.registry.data("register", *fields, most)
        changed = replace(told[place], transaction=replace(told[place].transaction, data=data))
        assert differs(history(), [*told[:place], changed, *told[place + 1 :]]) is found


def made(**changed: object) -> None:
    """Models of a registry that was created otherwise."""
    book = history().book
    before = book.made["registry"]
    book.made["registry"] = {**before, **changed}
    try:
        history().fresh()
    finally:
        book.made["registry"] = before


def test_a_price_in_another_token_or_of_terms_that_cannot_be_is_found() -> None:
    made()
    with pytest.raises(Differs, match="the token that registering burns"):
        made(token_=address(guardian.address))
    with pytest.raises(UsageError, match="moving price"):
        made(factor_bps_=10_000)
    made(lowest_=0, token_=address(guardian.address))


def test_a_free_registry_burns_nothing() -> None:
    founded = Founded()
    founded.world.register()
    founded.follow()
    founded.agree("registry", "price")
    assert founded.models.registry.price_at(founded.chain.now) == 0
    place = max(i for i, e in enumerate(founded.events) if e.name == "NodeRegistered")
    told = [*founded.events]
    told[place] = lied(told[place], "burned")
    assert differs(founded, told)
