"""The model of the auction against the contract, and against events that lie."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.evm import Contract, Outcome, Reverted, Signer
from contracts.recording import address
from contracts.world import MAX, World, alice, bob, carol, guardian, mallory
from freehold.audit.auction import Auction
from freehold.audit.events import Event
from freehold.audit.report import Differs
from freehold.domain.errors import UsageError
from unit.audit.founded import LOTS, Founded, differs, lied, occasions

RICH = 10**9
PAYMENT = 3


class Fair:
    """An auction, a sound token whose fees it gets, one whose balances shift, and two buyers."""

    def __init__(self) -> None:
        self.founded = Founded()
        world = self.world
        self.sound, self.shifty = world.foreign(), world.foreign("shifty")
        for buyer in (alice, bob):
            world.fund(buyer.address, RICH)
            world.token.send("approve", self.auction.address, MAX, sender=buyer.address)
        self._open()

    @property
    def world(self) -> World:
        return self.founded.world

    @property
    def auction(self) -> Contract:
        return self.founded.auction

    def _open(self) -> None:
        """A market's rail in the sound token, from whose fixed lockup fees come."""
        payments, token, payer = self.world.payments, self.sound, alice.address
        self.market = self.world.market()
        self.world.setup(payments, "set_token", token.address, True)
        token.send("mint", payer, RICH, sender=payer)
        token.send("approve", payments.address, RICH, sender=payer)
        payments.send("deposit", token.address, payer, RICH, sender=payer)
        payments.send("approve_market", token.address, self.market.address, 0, RICH, sender=payer)
        terms = (token.address, payer, bob.address, 0, 0, RICH)
        self.rail = self.market.act(payments, "open_rail", *terms).value

    def pay(self, amount: int) -> None:
        """A payment in the sound token; its fee stays in the payments."""
        terms = (self.rail, bob.address, amount, PAYMENT)
        self.market.act(self.world.payments, "pay_fixed", *terms)

    def push(self) -> None:
        """All fees go to the auction, which does not look yet."""
        self.world.payments.send("push_fees", self.sound.address, sender=mallory.address)

    def take_in(self, token: Contract) -> None:
        self.auction.send("take_in", token.address, sender=mallory.address)

    def buy(self, token: Contract, amount: int, buyer: Signer = alice, least: int = 0) -> Outcome:
        order = (token.address, amount, carol.address, MAX, least, self.founded.chain.now)
        return self.auction.send("buy", *order, sender=buyer.address)

    def compare(self) -> Auction:
        """The model has the contract's lots, up to what it was not told."""
        founded = self.founded
        founded.follow()
        founded.agree("payments", "auction")
        founded.agree("payments", "fees", self.sound.address)
        model = founded.models.economy.auction
        assert model is not None
        for token in (self.sound, self.shifty):
            founded.agree("auction", "last_sale", token.address)
            found = self.auction.call("lot", token.address)
            lot = copy(model.lots.get(address(token.address)))
            if lot is None or found.held != lot.held:
                continue
            lot.fall(founded.chain.now)
            assert found.ask == (max(lot.ask, LOTS.lowest) if lot.held else 0)
        return model


@cache
def history() -> Fair:
    """Fees, gifts, sales of parts and wholes at every kind of price, and goods that vanish."""
    fair = Fair()
    warp = fair.founded.chain.warp
    fair.pay(2_000_000)
    fair.push()
    fair.take_in(fair.sound)
    warp(9)
    fair.buy(fair.sound, 4_000)  # what is left would ask more than the opening
    warp(900)
    fair.sound.send("mint", fair.auction.address, 500, sender=mallory.address)
    warp(77)
    fair.buy(fair.sound, 123, bob)
    fair.compare()
    fair.pay(700_001)
    fair.pay(99_999)
    fair.push()
    fair.take_in(fair.sound)
    warp(30_000)
    fair.buy(fair.sound, fair.auction.call("lot", fair.sound.address).held)
    fair.compare()
    fair.pay(400_000)
    fair.push()
    warp(10)
    fair.take_in(fair.sound)
    shift(fair, 9_000)
    warp(301)
    shift(fair, 7_000)
    fair.shifty.send("set_mode", 3, sender=mallory.address)
    fair.buy(fair.shifty, 6_000, bob, least=5_400)
    warp(8)
    shift(fair, 400)
    fair.buy(fair.shifty, 100)
    fair.buy(fair.sound, 2_000)
    fair.compare()
    return fair


def shift(fair: Fair, balance: int) -> None:
    fair.shifty.send("set_balance", fair.auction.address, balance, sender=mallory.address)
    fair.take_in(fair.shifty)


def events() -> list[Event]:
    return list(history().founded.events)


def place_of(contract: str, name: str) -> int:
    """Where the last such event stands."""
    return max(i for i, e in enumerate(events()) if (e.contract, e.name) == (contract, name))


def refusal(told: list[Event]) -> Differs:
    """What a verification of another history finds first."""
    founded = history().founded
    with pytest.raises(Differs) as caught:
        founded.replay(told, founded.fresh())
    return caught.value


def test_the_model_agrees_with_the_contract() -> None:
    model = history().compare()
    names = {event.name for event in events() if event.contract == "auction"}
    assert names == {"Arrived", "Missing", "Sold", "Movement"}
    assert any(e.number("received") < e.number("amount") for e in events() if e.name == "Sold"), (
        "a token that takes a fee"
    )
    paid = [event.number("paid") for event in events() if event.name == "Sold"]
    assert LOTS.lowest in paid, "a price that only the least sale made"
    assert max(paid) > 20_000
    assert sum(paid) == model.burned == history().world.token.call("burned")
    assert history().founded.models.economy.figures()["burned by sales"] == model.burned
    goods = history().founded.models.economy
    assert goods.auction is not None
    for token in (history().sound, history().shifty):
        moves = {"Arrived": 1, "Missing": -1, "Sold": -1}
        left = sum(
            moves[e.name] * e.number("amount")
            for e in events()
            if e.contract == "auction"
            and e.name in moves
            and e.address("token") == address(token.address)
        )
        assert left == goods.auction.lots[address(token.address)].held


ACTS = ["wait", "pay", "push", "give", "take_in", "shift", "buy", "buy", "buy_shifty"]
steps = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(1, 20_000)), max_size=14)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_it_agrees_on_any_history(found: list[tuple[str, int]]) -> None:
    fair = Fair()
    for kind, amount in found:
        try:
            act(fair, kind, amount)
        except Reverted:
            continue
    fair.compare()


def act(fair: Fair, kind: str, amount: int) -> None:
    if kind == "wait":
        fair.founded.chain.warp(amount)
    elif kind == "pay":
        fair.pay(100 * amount)
    elif kind == "push":
        fair.push()
    elif kind == "give":
        fair.sound.send("mint", fair.auction.address, amount, sender=mallory.address)
    elif kind == "take_in":
        fair.take_in(fair.sound)
    elif kind == "shift":
        shift(fair, amount)
    else:
        token = fair.sound if kind == "buy" else fair.shifty
        held = fair.auction.call("lot", token.address).held
        fair.buy(token, held * (amount % 101) // 100)


@pytest.mark.parametrize("occasion", occasions(events(), "auction"), ids=str)
def test_an_event_that_lies_is_found(occasion: tuple[str, str, int]) -> None:
    name, argument, place = occasion
    told = events()
    assert told[place].name == name
    told[place] = lied(told[place], argument)
    # What a foreign token carried stands in its own logs, which no other figure repeats.
    assert differs(history().founded, told) == ((name, argument) != ("Sold", "received"))


@pytest.mark.parametrize("argument", ["token", "sender", "recipient", "amount"])
def test_a_lie_about_pushed_fees_is_found(argument: str) -> None:
    told, ours = events(), address(history().world.payments.address)
    place = max(
        i for i, e in enumerate(told)
        if (e.contract, e.name) == ("payments", "Movement") and e.address("sender") == ours
    )  # fmt: skip
    told[place] = lied(told[place], argument)
    assert differs(history().founded, told)


@pytest.mark.parametrize(
    ("contract", "name"),
    [("auction", "Arrived"), ("auction", "Missing"), ("auction", "Movement"), ("auction", "Sold"),
     ("payments", "AuctionSet")],
)  # fmt: skip
def test_an_event_that_is_missing_is_found(contract: str, name: str) -> None:
    place = place_of(contract, name)
    assert differs(history().founded, [*events()[:place], *events()[place + 1 :]])


def test_the_auction_is_named_once_and_is_the_one_of_the_descriptor() -> None:
    told, place = events(), place_of("payments", "AuctionSet")
    assert "auction before" in str(refusal([*told[: place + 1], told[place]]))
    told[place] = lied(told[place], "auction")
    assert refusal(told).difference.place.field == "AuctionSet.auction"


def test_fees_that_go_elsewhere_or_stay_behind_are_found() -> None:
    ours = address(history().world.payments.address)
    place = max(
        i for i, e in enumerate(events()) if e.name == "Movement" and e.args["sender"] == ours
    )
    for argument in ("recipient", "amount"):
        told = events()
        told[place] = lied(told[place], argument)
        found = refusal(told).difference
        assert (found.check, found.place.field) == ("payments", f"Movement.{argument}")
    less = replace(events()[place], args={**events()[place].args, "amount": 1})
    assert differs(history().founded, [*events()[:place], less, *events()[place + 1 :]])


def test_a_sale_that_burned_less_is_found() -> None:
    """The burn is smaller, and its transfer says so too."""
    told, sold = events(), place_of("auction", "Sold")
    burn = max(i for i in range(sold) if told[i].contract == "token" and told[i].name == "Movement")
    for place, name in ((burn, "amount"), (burn - 1, "value")):
        less = {**told[place].args, name: told[place].number(name) - 1}
        told[place] = replace(told[place], args=less)
    assert "a burn by the buyer" in str(refusal(told))


def test_goods_that_leave_without_a_sale_are_found() -> None:
    told, sold = events(), place_of("auction", "Sold")
    assert "without a sale" in str(refusal([*told[:sold], *told[sold + 1 :]]))


def test_the_place_of_a_wrong_price_is_named() -> None:
    told, place = events(), place_of("auction", "Sold")
    told[place] = lied(told[place], "paid")
    found = refusal(told).difference
    assert (found.check, found.place.field) == ("auction", "Sold.paid")
    assert (found.place.block, int(found.found)) == (told[place].block, int(found.expected) + 1)


@pytest.mark.parametrize(("number", "value"), [(3, 1), (4, 10**6), (5, 7)])
def test_a_sale_beyond_the_bounds_of_its_order_is_found(number: int, value: int) -> None:
    """As if the buyer had allowed less, wanted more, or until earlier."""
    told, sold = events(), place_of("auction", "Sold")
    event = told[sold]
    order = [event.args["token"], event.number("amount"), event.args["to"], MAX, 0, MAX]
    order[number] = value
    data = history().auction.data("buy", *order)
    told[sold] = replace(event, transaction=replace(event.transaction, data=data))
    assert "bounds" in str(refusal(told))


def test_a_sale_through_another_contract_needs_no_order() -> None:
    fair = Fair()
    fair.sound.send("mint", fair.auction.address, 10_000, sender=mallory.address)
    buyer = fair.world.puppet()
    fair.world.fund(buyer.address, RICH)
    buyer.act(fair.world.token, "approve", fair.auction.address, MAX)
    order = (fair.sound.address, 400, carol.address, MAX, 400, fair.founded.chain.now)
    buyer.act(fair.auction, "buy", *order)
    assert fair.compare().burned > 0
    sold = next(event for event in fair.founded.events if event.name == "Sold")
    assert sold.address("buyer") == address(buyer.address)


def made(**changed: Any) -> None:
    """Models of an auction that was created otherwise."""
    book = history().founded.book
    before = book.made["auction"]
    book.made["auction"] = {**before, **changed}
    try:
        history().founded.fresh()
    finally:
        book.made["auction"] = before


def test_an_auction_of_another_token_or_of_terms_that_cannot_be_is_found() -> None:
    made()
    with pytest.raises(Differs, match="the token that the auction burns"):
        made(network_token_=address(guardian.address))
    with pytest.raises(UsageError, match="moving price"):
        made(least_=0)


def test_a_network_without_an_auction_is_recomputed_as_before() -> None:
    founded = history().founded
    before = founded.network
    rest = {name: at for name, at in before.contracts.items() if name != "auction"}
    founded.network = replace(before, contracts=rest)
    try:
        models = founded.fresh()
        founded.replay([e for e in events() if e.contract != "auction"], models)
    finally:
        founded.network = before
    assert models.economy.auction is None
    assert "burned by sales" not in models.economy.figures()
    assert models.payments.fees.auction == address(history().auction.address)
    assert models.answer(("auction", "last_sale", (address(alice.address),)), 0) is None
