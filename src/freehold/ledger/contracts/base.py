"""What every contract class shares: a door to the chain and typed conversion of results."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import ClassVar, Protocol, TypeVar, cast, get_args, get_origin, get_type_hints

from freehold.domain.errors import IntegrityError
from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.ledger.transaction import GAS_LIMIT
from freehold.ledger.values import Receipt, Value

T = TypeVar("T")

SETTLE_GAS = 700_000
"""A settlement asks the arbiter with a fixed gas stipend and refuses to go on with less; an
estimate that just fits now may not fit when the state has moved."""


class Door(Protocol):
    """What a contract class needs of the ledger."""

    @property
    def network(self) -> Network:
        """The network's descriptor."""

    def call(
        self, contract: str, function: str, args: Sequence[object], *, sender: Address | None = None
    ) -> Value:
        """Evaluate a view; several results come as a list."""

    def send(
        self,
        contract: str,
        function: str,
        args: Sequence[object],
        *,
        value: int = 0,
        tag: str | None = None,
        least_gas: int = 0,
        most_gas: int = GAS_LIMIT,
    ) -> Receipt:
        """Send a transaction and wait until it is mined."""


class Contract:
    """A contract of the network. Reads raise RefusedError and UnavailableError; writes also
    InsufficientFundsError and AccessError (no key)."""

    name: ClassVar[str]

    def __init__(self, door: Door) -> None:
        self._door = door

    @property
    def address(self) -> Address:
        """Where the descriptor says the contract is."""
        return self._door.network.contracts[self.name]

    def _view(self, kind: type[T], function: str, *args: object) -> T:
        return convert(kind, self._door.call(self.name, function, args))

    def _views(self, kind: type[T], function: str, *args: object) -> list[T]:
        return convert_list(kind, self._door.call(self.name, function, args))

    def _send(
        self,
        function: str,
        *args: object,
        value: int = 0,
        tag: str | None = None,
        least_gas: int = 0,
        most_gas: int = GAS_LIMIT,
    ) -> Receipt:
        return self._door.send(
            self.name,
            function,
            args,
            value=value,
            tag=tag,
            least_gas=least_gas,
            most_gas=most_gas,
        )


def convert(kind: type[T], value: Value) -> T:
    """A decoded value as an int, bool, str, bytes, Address or a dataclass of a struct.

    Structs match by field name; further fields of the contract's struct are left out.
    IntegrityError when the value is of another kind.
    """
    return cast("T", _convert(kind, value))


def convert_list(kind: type[T], value: Value) -> list[T]:
    """A decoded array with every item converted."""
    if not isinstance(value, list):
        raise _misfit("a list", value)
    return [convert(kind, item) for item in value]


def _convert(kind: object, value: Value) -> object:
    plain = getattr(kind, "__supertype__", kind)
    if get_origin(plain) is tuple and isinstance(value, list):
        item = get_args(plain)[0]
        return tuple(_convert(item, each) for each in value)
    if isinstance(plain, type) and is_dataclass(plain) and isinstance(value, dict):
        return _record(plain, value)
    if isinstance(plain, type) and not isinstance(plain, types.GenericAlias):
        if plain is int and isinstance(value, int) and not isinstance(value, bool):
            return value
        if plain is not int and type(value) is plain:
            return value
    raise _misfit(str(kind), value)


def _record(kind: type, value: dict[str, Value]) -> object:
    hints = _hints(kind)
    missing = [name for name in hints if name not in value]
    if missing:
        raise _misfit(f"{kind.__name__} with {missing}", value)
    make = cast("Callable[..., object]", kind)
    return make(**{name: _convert(hint, value[name]) for name, hint in hints.items()})


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, object]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _misfit(expected: str, value: Value) -> IntegrityError:
    shape = sorted(value) if isinstance(value, dict) else type(value).__name__
    return IntegrityError(
        f"the contract answered {shape} where {expected} was expected",
        remedy="Install the release of freehold that fits the network's contracts.",
    )
