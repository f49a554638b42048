"""Names of subnets, and what the typed class makes of the contract's answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field

import pytest

from freehold.domain.errors import UsageError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.network import Network
from freehold.ledger.contracts.subnet import Entry, Rules, Subnets, Task
from freehold.ledger.values import Receipt, Value

RECEIPT = Receipt("0x", 1, "0x", 1, 1, (), 1, 1)
PLACES = {"subnet": ZERO_ADDRESS}


@dataclass
class Told:
    """A door that gives one answer and keeps what it was asked."""

    answer: Value = 0
    asked: list[tuple[object, ...]] = field(default_factory=list)
    network: Network = Network("t", 1, b"\1" * 32, PLACES, {}, ("http://x",), 0)  # noqa: RUF009

    def call(
        self, contract: str, function: str, args: Sequence[object], *, sender: Address | None = None
    ) -> Value:
        """A view."""
        self.asked.append((contract, function, *args))
        return self.answer

    def send(
        self,
        contract: str,
        function: str,
        args: Sequence[object],
        *,
        value: int = 0,
        tag: str | None = None,
        least_gas: int = 0,
        most_gas: int = 0,
    ) -> Receipt:
        """A transaction."""
        self.asked.append((contract, function, *args))
        return RECEIPT


@pytest.mark.parametrize("name", ["", "Digits", "1a", "-a", "a b", "a_b", "é", "x" * 33, "a\0"])
def test_a_name_that_cannot_be_is_told_before_it_is_sent(name: str) -> None:
    door = Told()
    with pytest.raises(UsageError, match="cannot be a subnet's name") as caught:
        Subnets(door).id_of(name)
    assert "letters, digits and hyphens" in caught.value.remedy
    assert door.asked == []


@pytest.mark.parametrize("name", ["a", "digits-2", "x" * 32])
def test_a_name_is_a_padded_word(name: str) -> None:
    door = Told(7)
    assert Subnets(door).id_of(name) == 7
    ((_, _, word),) = door.asked
    assert isinstance(word, bytes)
    assert len(word) == 32
    assert Subnets(Told(word)).name_of(7) == name
    assert Subnets(Told(bytes(32))).name_of(8) == ""


def test_a_node_without_a_uid_has_no_place() -> None:
    assert Subnets(Told(0)).place_of(1, ZERO_ADDRESS) is None
    assert Subnets(Told(1)).place_of(1, ZERO_ADDRESS) == 0


def test_rules_are_told_in_the_order_of_their_fields() -> None:
    door, rules, entry = Told(), Rules(kappa=5, owner_bps=7), Entry(1, 2, 3, 10_001)
    task = Task(b"\1" * 32, b"\2" * 32)
    Subnets(door).set_rules(3, from_epoch=9, rules=rules, entry=entry, task=task)
    told = (astuple(rules), astuple(entry), astuple(task))
    assert door.asked == [("subnet", "set_rules", 3, 9, *told)]
    Subnets(door).create("a", max_nodes=4, rules=rules, entry=entry, task=task, uri="u", most=6)
    assert door.asked[1] == ("subnet", "create", b"a".ljust(32, b"\0"), 4, *told, "u", 6)
