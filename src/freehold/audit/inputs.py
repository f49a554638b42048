"""Calls that stand in a transaction's input, and what their arguments are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from freehold.audit import abi
from freehold.audit.transactions import Transaction
from freehold.domain.errors import IntegrityError
from freehold.domain.ids import Address
from freehold.ledger.values import Value

Fields = Mapping[str, Value]
REFUNDING = ("answer", "expire")
"""Functions of roots and of their judge that hand coins, and gas to act with, to somebody."""


def calls(transaction: Transaction, contract: str, function: str, count: int) -> Iterator[Fields]:
    """Arguments of every call of a contract's function of ``count`` arguments in an input.

    A contract that calls another passes such calls on as they are, in most cases.
    """
    interface = abi.interface(contract)
    selector = interface.artifact.function(function, count).selector
    data, at = transaction.data, 0
    while (at := data.find(selector, at)) >= 0:
        try:
            found = interface.read_call(data[at:])
        except IntegrityError:
            found = None
        if found is not None:
            yield found[1]
        at += 4


def shown(transaction: Transaction, contract: str, function: str, told: Fields) -> bool:
    """Whether a call with those arguments, all of them by name, stands in an input."""
    found = calls(transaction, contract, function, len(told))
    return any(all(call[name] == value for name, value in told.items()) for call in found)


def holds(transaction: Transaction, contract: str, function: str, count: int, told: Fields) -> bool:
    """As ``shown``, of some of a call's ``count`` arguments."""
    found = calls(transaction, contract, function, count)
    return any(all(call[name] == value for name, value in told.items()) for call in found)


def caller(transaction: Transaction, at: Address, contract: str) -> Address | None:
    """Who called a contract with it; None where another contract may have, be it one that is
    refunded in the middle of the call."""
    found = abi.interface(contract).selectors.get(transaction.data[:4])
    refunds = found is not None and found.name in REFUNDING
    return None if refunds else transaction.caller(at)


def number(fields: Fields, name: str) -> int:
    """A field that is a number; TypeError where it is none."""
    value = fields[name]
    if not isinstance(value, int):
        raise TypeError(f"{name} is no number")
    return value


def account(fields: Fields, name: str) -> Address:
    """A field that is an address; TypeError where it is none."""
    value = fields[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is no address")
    return Address(value)


def data(fields: Fields, name: str) -> bytes:
    """A field of bytes; TypeError where it is none."""
    value = fields[name]
    if not isinstance(value, bytes):
        raise TypeError(f"{name} is no bytes")
    return value


def struct(fields: Fields, name: str) -> Fields:
    """A field that is a struct; TypeError where it is none."""
    value = fields[name]
    if not isinstance(value, dict):
        raise TypeError(f"{name} is no struct")
    return value


def structs(fields: Fields, name: str) -> list[Fields]:
    """A field that is a list of structs; TypeError where it is none."""
    value = fields[name]
    if not isinstance(value, list):
        raise TypeError(f"{name} is no list")
    return [each for each in value if isinstance(each, dict)]


def numbers(fields: Fields, name: str) -> list[int]:
    """A field that is a list of numbers; TypeError where it is none."""
    value = fields[name]
    if not isinstance(value, list):
        raise TypeError(f"{name} is no list")
    return [each for each in value if isinstance(each, int)]
