"""A network's economy is found as far as its contracts know each other, and left out beyond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import pytest

from freehold.domain.errors import IntegrityError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.ledger import locate
from freehold.ledger.economy import SUBNETS
from freehold.ledger.modeling import CHECKERS, MODELING
from freehold.ledger.sensing import SENSING
from freehold.ledger.values import Value
from freehold.ledger.wire import RpcRefusal
from unit.ledger.fake_chain import address

NAMES = (
    "token", "payments", "registry", "staking", "governor", "pdp", "storage", "beacon",
)  # fmt: skip
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
        ("issuance", ISSUANCE, "models"): OTHER,
        **known("roots", ROOTS, "token", "payments", "registry", "governor"),
        ("roots", ROOTS, "emission"): ISSUANCE,
    }
    places = {"pdp": CONTRACTS["pdp"], "rewards": REWARDS, "issuance": ISSUANCE, "roots": ROOTS}
    for name, answer in changes.items():
        contract, function = name.split("_", 1)
        found[contract, places[contract], function] = answer
    return found


Kind = tuple[str, Address]
NO_IDS: Mapping[Kind, bytes] = {}


class Reader:
    """Answers from a table; a contract of another kind reverts."""

    def __init__(
        self, told: Answers, powers: Sequence[Value] = (), ids: Mapping[Kind, bytes] = NO_IDS
    ) -> None:
        self.told, self.powers, self.ids = told, powers, ids

    def read(self, contract: str, at: Address, function: str, *_: object) -> Value:
        if (contract, at, function) == ("governor", CONTRACTS["governor"], "powers"):
            return list(self.powers)
        if (contract, at, function) == ("capacity", CAPACITY, "rule"):
            return {"amount": 0, "per": 0, "weighed": False}
        if function == "network_id" and (contract, at) in self.ids:
            return self.ids[contract, at]
        raise RpcRefusal("execution reverted", remedy="-")

    def address(self, contract: str, at: Address, function: str, *args: object) -> Address:
        if args == (SUBNETS,):
            function = "models"
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


SALT = bytes(range(32))
DEVICES, STATUS, AUTOMATION, STREAMS = (address(number) for number in (7, 8, 9, 10))
SENSED = {"devices": DEVICES, "status": STATUS, "automation": AUTOMATION, "streams": STREAMS}


@dataclass(frozen=True)
class Listed:
    """What the governor and the contracts of sensing say."""

    told: Answers
    powers: tuple[Value, ...]
    ids: Mapping[Kind, bytes]

    def find(self, *without: str) -> dict[str, Address]:
        at = {n: c for n, c in {**CONTRACTS, "roots": ROOTS}.items() if n not in without}
        reader = cast("locate._Reader", Reader(self.told, self.powers, self.ids))
        return locate._listed(reader, SENSING, at, SALT)

    def but(self, contract: str, function: str, answer: Address | Exception) -> Listed:
        changed = {(contract, SENSED[contract], function): answer}
        return replace(self, told={**self.told, **changed})


def listed(*, contract: str = "registry", before: bool = False) -> Listed:
    told: Answers = {
        **known("devices", DEVICES, "token", "governor"),
        **known("status", STATUS, "registry", "staking", "beacon", "governor"),
        **known("automation", AUTOMATION, "governor"),
        ("automation", AUTOMATION, "devices"): DEVICES,
        ("automation", AUTOMATION, "status"): STATUS,
        **known("streams", STREAMS, "token", "governor"),
        ("streams", STREAMS, "roots"): ROOTS,
    }
    powers: list[Value] = [
        {"contract": CONTRACTS[contract], "role": role, "holder": holder, "delay": 1}
        for role, place in SENSED.items()
        for holder in ([OTHER, place] if before else [place])
    ]
    ids = {("devices", DEVICES): SALT, ("automation", AUTOMATION): SALT}
    return Listed(told, tuple(powers), ids)


def test_what_senses_is_listed_beside_the_registry() -> None:
    assert listed().find() == SENSED
    assert listed(before=True).find() == SENSED
    assert listed(contract="staking").find() == NONE
    assert replace(listed(), powers=()).find() == NONE


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        (("devices", "token", OTHER), {"devices", "automation"}),
        (("devices", "token", IntegrityError("no data", remedy="-")), {"devices", "automation"}),
        (("status", "staking", OTHER), {"status", "automation"}),
        (("status", "beacon", OTHER), {"status", "automation"}),
        (("automation", "status", OTHER), {"automation"}),
        (("automation", "devices", OTHER), {"automation"}),
        (("streams", "roots", OTHER), {"streams"}),
        (("streams", "governor", OTHER), {"streams"}),
    ],
)
def test_what_senses_elsewhere_is_left_out(
    changes: tuple[str, str, Address | Exception], left_out: set[str]
) -> None:
    found = listed().but(*changes).find()
    assert found == {name: at for name, at in SENSED.items() if name not in left_out}


@pytest.mark.parametrize("ids", [{("devices", DEVICES): bytes(32)}, NO_IDS])
def test_what_senses_for_another_network_is_left_out(ids: Mapping[Kind, bytes]) -> None:
    found = replace(listed(), ids=ids).find()
    assert found == {"status": STATUS, "streams": STREAMS}


def test_streams_without_roots_are_left_out() -> None:
    assert "streams" not in listed().find("roots")


PLACES = dict(zip((*MODELING, *CHECKERS), (address(n) for n in range(20, 26)), strict=True))


def modeled(*, without: str = "") -> dict[str, Address]:
    """What is found of the model market where one contract knows another network's."""
    prizes, subnet, disputes = (PLACES[name] for name in MODELING)
    told = known("prizes", prizes, "token", "payments", "registry", "staking", "governor")
    told |= known("subnet", subnet, "token", "registry", "staking", "governor")
    told |= {("subnet", subnet, "issuance"): ISSUANCE, ("subnet", subnet, "prizes"): prizes}
    told["disputes", disputes, "prizes"], told["disputes", disputes, "subnets"] = prizes, subnet
    told |= {("disputes", disputes, name): PLACES[name] for name in CHECKERS}
    told |= {key: OTHER for key in told if key[0] == without}
    powers: list[Value] = [
        {"contract": CONTRACTS["registry"], "role": name, "holder": PLACES[name], "delay": 1}
        for name in MODELING
    ]
    ids = {("prizes", prizes): SALT, ("subnet", subnet): SALT}
    reader = cast("locate._Reader", Reader(told, powers, ids))
    at = {**CONTRACTS, "issuance": ISSUANCE}
    found = locate._listed(reader, MODELING, at, SALT)
    return found | locate._checkers(reader, found)


@pytest.mark.parametrize(
    ("without", "left_out"),
    [
        ("", set()),
        ("disputes", {"disputes", *CHECKERS}),
        ("subnet", {"subnet", "disputes", *CHECKERS}),
        ("prizes", {*MODELING, *CHECKERS}),
    ],
)
def test_the_model_market_is_found_as_far_as_it_stands(without: str, left_out: set[str]) -> None:
    found = modeled(without=without)
    assert found == {name: at for name, at in PLACES.items() if name not in left_out}


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
        (answers(issuance_distributor=ZERO_ADDRESS, issuance_models=ROOTS), ALL),
        (answers(issuance_distributor=OTHER, issuance_models=ROOTS), {**ALL, "roots": None}),
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
