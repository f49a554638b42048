"""Calls, results, creations and events of the network's contracts, read by the committed ABIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from freehold.audit.receipts import Log
from freehold.domain.errors import IntegrityError
from freehold.ledger.abi import Artifact, Function, Parameter, artifact, unpack_all
from freehold.ledger.values import Value

Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Interface:
    """A contract's committed artifact, with its functions by selector."""

    artifact: Artifact
    selectors: Mapping[bytes, Function]

    @property
    def contract(self) -> str:
        """The contract's name."""
        return self.artifact.name

    def call_data(self, view: str, arguments: Sequence[object]) -> bytes:
        """The input of a call; fixed bytes may be 0x text, as claims have them."""
        kinds = self.artifact.function(view, len(arguments)).inputs
        given = [_packed(part, value) for part, value in zip(kinds, arguments, strict=True)]
        return self.artifact.calldata(view, given)

    def read_call(self, data: bytes) -> tuple[str, Values] | None:
        """Name and arguments of a call; None where it is no call of this contract."""
        found = self.selectors.get(data[:4])
        if found is None:
            return None
        what = f"{self.contract}.{found.name}"
        return found.name, _named(found.inputs, data[4:], what)

    def read_result(self, view: str, count: int, data: bytes) -> list[Value]:
        """The values that a view of ``count`` arguments returned."""
        outputs = self.artifact.function(view, count).outputs
        return unpack_all(outputs, data, f"{self.contract}.{view}")

    def read_event(self, log: Log) -> tuple[str, Values]:
        """Name and arguments of a log; IntegrityError where the contract declares no such event."""
        kind = self.artifact.events.get(log.topics[0]) if log.topics else None
        if kind is None:
            raise IntegrityError(
                f"the {self.contract} contract logged an event that its ABI does not declare",
                remedy="Check that the network runs the contracts of this release.",
            )
        what = f"{self.contract}.{kind.name}"
        indexed = [part for part in kind.inputs if part.indexed]
        plain = [part for part in kind.inputs if not part.indexed]
        topics = b"".join(log.topics[1:])
        found = {**_named(indexed, topics, what), **_named(plain, log.data, what)}
        return kind.name, {part.name: found[part.name] for part in kind.inputs}

    def read_creation(self, data: bytes) -> Values | None:
        """Constructor arguments of a creation; None unless it runs the committed init code."""
        code = self.artifact.bytecode
        if not data.startswith(code):
            return None
        what = f"the constructor of {self.contract}"
        return _named(self.artifact.constructor, data[len(code) :], what)


@lru_cache(maxsize=64)
def interface(contract: str) -> Interface:
    """The interface of a contract of this release."""
    found = artifact(contract)
    return Interface(found, {each.selector: each for each in found.functions.values()})


def _packed(part: Parameter, value: object) -> object:
    fixed = part.type == "bytes32" and isinstance(value, str)
    return bytes.fromhex(str(value).removeprefix("0x")) if fixed else value


def _named(parts: Sequence[Parameter], data: bytes, what: str) -> dict[str, Value]:
    values = unpack_all(parts, data, what)
    return {part.name: value for part, value in zip(parts, values, strict=True)}
