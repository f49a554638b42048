"""A network's economy is found as far as its contracts know each other, and left out beyond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from freehold.domain.errors import IntegrityError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.ledger import locate
from freehold.ledger.values import Value
from freehold.ledger.wire import RpcRefusal
from unit.ledger.fake_chain import address

NAMES = ("token", "payments", "registry", "staking", "governor", "pdp", "storage")
CONTRACTS = {name: address(0xA0 + number) for number, name in enumerate(NAMES)}
REWARDS, ISSUANCE, ROOTS, OTHER = (address(number) for number in (1, 2, 3, 4))
ALL = {"rewards": REWARDS, "issuance": ISSUANCE, "roots": ROOTS}
NONE: dict[str, Address] = {}

Answers = dict[tuple[str, Address, str], Address | Exception]


def known(contract: str, at: Address, *names: str) -> Answers:
    return {(contract, at, name): CONTRACTS[name] for name in names}


def answers(**changes: Address | Exception) -> Answers:
    """What the contracts say; changes as ``contract_function=...``."""
    found: Answers = {
        ("pdp", CONTRACTS["pdp"], "sink"): REWARDS,
        **known("rewards", REWARDS, "token", "payments", "registry", "staking", "governor"),
        ("rewards", REWARDS, "source"): CONTRACTS["pdp"],
        ("rewards", REWARDS, "market"): CONTRACTS["storage"],
        ("rewards", REWARDS, "emission"): ISSUANCE,
        **known("issuance", ISSUANCE, "token", "governor"),
        ("issuance", ISSUANCE, "distributor"): ROOTS,
        **known("roots", ROOTS, "token", "payments", "registry", "governor"),
        ("roots", ROOTS, "emission"): ISSUANCE,
    }
    places = {"pdp": CONTRACTS["pdp"], "rewards": REWARDS, "issuance": ISSUANCE, "roots": ROOTS}
    for name, answer in changes.items():
        contract, function = name.split("_", 1)
        found[contract, places[contract], function] = answer
    return found


class Reader:
    """Answers from a table; a contract of another kind reverts."""

    def __init__(self, told: Answers, powers: Sequence[Value] = ()) -> None:
        self.told, self.powers = told, powers

    def read(self, contract: str, at: Address, function: str, *_: object) -> Value:
        if (contract, at, function) == ("governor", CONTRACTS["governor"], "powers"):
            return list(self.powers)
        if (contract, at, function) == ("capacity", CAPACITY, "rule"):
            return {"amount": 0, "per": 0, "weighed": False}
        raise RpcRefusal("execution reverted", remedy="-")

    def address(self, contract: str, at: Address, function: str, *_: object) -> Address:
        answer = self.told.get(
            (contract, at, function), RpcRefusal("execution reverted", remedy="-")
        )
        if isinstance(answer, Exception):
            raise answer
        return answer


AUCTION, CAPACITY = address(5), address(6)


@pytest.mark.parametrize(
    ("named", "burned", "expected"),
    [
        (AUCTION, CONTRACTS["token"], {"auction": AUCTION}),
        (ZERO_ADDRESS, CONTRACTS["token"], NONE),
        (AUCTION, OTHER, NONE),
        (OTHER, CONTRACTS["token"], NONE),
    ],
)
def test_an_auction_that_does_not_burn_the_token_is_left_out(
    named: Address, burned: Address, expected: dict[str, Address]
) -> None:
    told: Answers = {
        ("payments", CONTRACTS["payments"], "auction"): named,
        ("auction", AUCTION, "network_token"): burned,
    }
    assert locate._auction(cast("locate._Reader", Reader(told)), CONTRACTS) == expected


@pytest.mark.parametrize(
    ("role", "contract", "staking", "expected"),
    [
        ("locker", "staking", CONTRACTS["staking"], {"capacity": CAPACITY}),
        ("slasher", "staking", CONTRACTS["staking"], NONE),
        ("locker", "pdp", CONTRACTS["staking"], NONE),
        ("locker", "staking", OTHER, NONE),
    ],
)
def test_the_capacity_is_a_locker_that_knows_the_network(
    role: str, contract: str, staking: Address, expected: dict[str, Address]
) -> None:
    told = known("capacity", CAPACITY, "registry", "governor")
    told |= known("capacity", OTHER, "registry", "staking", "governor")  # as the faults do
    told["capacity", CAPACITY, "staking"] = staking
    powers: list[Value] = [
        {"contract": CONTRACTS[contract], "role": role, "holder": holder, "delay": 1}
        for holder in (OTHER, CAPACITY)
    ]
    reader = cast("locate._Reader", Reader(told, powers))
    assert locate._capacity(reader, CONTRACTS) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (answers(), ALL),
        (answers(pdp_sink=ZERO_ADDRESS), NONE),
        (answers(pdp_sink=OTHER), NONE),
        (answers(rewards_market=OTHER), NONE),
        (answers(rewards_source=OTHER), NONE),
        (answers(rewards_payments=OTHER), NONE),
        (answers(rewards_token=IntegrityError("no data", remedy="-")), NONE),
        (answers(rewards_emission=OTHER), NONE),
        (answers(issuance_token=OTHER), NONE),
        (answers(issuance_distributor=ZERO_ADDRESS), {**ALL, "roots": None}),
        (answers(issuance_distributor=OTHER), {**ALL, "roots": None}),
        (answers(roots_emission=OTHER), {**ALL, "roots": None}),
        (answers(roots_registry=OTHER), {**ALL, "roots": None}),
    ],
)
def test_what_does_not_know_the_network_is_left_out(
    told: Answers, expected: dict[str, Address | None]
) -> None:
    reader = cast("locate._Reader", Reader(told))
    found = locate._economy(reader, CONTRACTS)
    assert found == {name: place for name, place in expected.items() if place is not None}
