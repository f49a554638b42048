"""Contract ABIs: artifacts in, calldata out, results and logs decoded into plain values."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from freehold.domain.errors import IntegrityError, NotFoundError, UsageError
from freehold.domain.ids import checksum, keccak
from freehold.domain.network import KINDS
from freehold.ledger.values import Event, Log, Value

_ERROR = keccak(b"Error(string)")[:4]
_PANIC = keccak(b"Panic(uint256)")[:4]
_ARRAY = re.compile(r"(?P<inner>.*)\[\d*\]")
_REASON_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input, output or field; ``kind`` is the ABI type ("tuple" and its arrays for structs)."""

    name: str
    kind: str
    fields: tuple[Parameter, ...] = ()
    indexed: bool = False

    @property
    def type(self) -> str:
        """The canonical type, structs spelled out."""
        if not self.kind.startswith("tuple"):
            return self.kind
        return f"({','.join(field.type for field in self.fields)}){self.kind[5:]}"

    @property
    def dynamic(self) -> bool:
        """Whether an indexed value of this type is a hash in the log's topics."""
        return self.kind in ("string", "bytes") or self.kind.endswith("]") or bool(self.fields)


@dataclass(frozen=True, slots=True)
class Function:
    """A function; ``selector`` is its first four bytes of calldata."""

    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    selector: bytes
    payable: bool


@dataclass(frozen=True, slots=True)
class EventType:
    """An event; ``topic`` is the first topic of its logs."""

    name: str
    inputs: tuple[Parameter, ...]
    topic: bytes


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract: its ABI and init code."""

    name: str
    bytecode: bytes
    constructor: tuple[Parameter, ...]
    functions: Mapping[tuple[str, int], Function]
    events: Mapping[bytes, EventType]

    @classmethod
    def parse(cls, text: str) -> Artifact:
        """Parse the JSON of contracts/build.py; IntegrityError when it is not one."""
        try:
            content = json.loads(text)
            items = [item for item in content["abi"] if isinstance(item, dict)]
            functions = [_function(item) for item in items if item["type"] == "function"]
            events = [_event(item) for item in items if item["type"] == "event"]
            made = [_parameters(item["inputs"]) for item in items if item["type"] == "constructor"]
            return cls(
                name=str(content["name"]),
                bytecode=bytes.fromhex(str(content["bytecode"]).removeprefix("0x")),
                constructor=made[0] if made else (),
                functions={(f.name, len(f.inputs)): f for f in functions},
                events={event.topic: event for event in events},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IntegrityError(
                f"a contract artifact is malformed: {error!r}",
                remedy="Reinstall freehold, or run contracts/build.py.",
            ) from error

    def calldata(self, function: str, args: Sequence[object]) -> bytes:
        """Selector and encoded arguments; UsageError when an argument does not fit its type."""
        found = self.function(function, len(args))
        return found.selector + pack_all(found.inputs, args, f"{self.name}.{function}")

    def arguments(self, function: str, calldata: bytes) -> list[Value] | None:
        """The decoded arguments of a call of ``function``, None when it calls something else."""
        for (name, _), found in self.functions.items():
            if name == function and calldata[:4] == found.selector:
                return unpack_all(found.inputs, calldata[4:], f"{self.name}.{function}")
        return None

    def result(self, function: str, data: bytes) -> Value:
        """The decoded result of a view without arguments; several results come as a list."""
        results = unpack_all(self.function(function, 0).outputs, data, f"{self.name}.{function}")
        return results[0] if len(results) == 1 else results

    def function(self, name: str, count: int) -> Function:
        """The function of that name and number of arguments; NotFoundError otherwise."""
        found = self.functions.get((name, count))
        if found is None:
            raise NotFoundError(
                f"contract {self.name} has no function {name} with {count} arguments",
                remedy="Install the release of freehold that fits the network's contracts.",
            )
        return found

    def event(self, name: str) -> EventType:
        """The event of that name; NotFoundError otherwise."""
        for event in self.events.values():
            if event.name == name:
                return event
        raise NotFoundError(
            f"contract {self.name} has no event {name}",
            remedy="Install the release of freehold that fits the network's contracts.",
        )

    def initcode(self, args: Sequence[object]) -> bytes:
        """What a deployment transaction carries."""
        return self.bytecode + pack_all(self.constructor, args, f"{self.name} constructor")


@lru_cache(maxsize=64)
def artifact(name: str) -> Artifact:
    """The artifact of what stands at a place of the descriptor; NotFoundError when the package
    ships none."""
    kind = KINDS.get(name, name)
    file = resources.files("freehold.ledger").joinpath("artifacts", f"{kind}.json")
    if not file.is_file():
        raise NotFoundError(
            f"this release ships no contract {name!r}",
            remedy="Reinstall freehold; in a source tree run contracts/build.py.",
        )
    return dataclasses.replace(Artifact.parse(file.read_text(encoding="utf-8")), name=name)


def _parameters(items: Sequence[Mapping[str, object]]) -> tuple[Parameter, ...]:
    return tuple(_parameter(item) for item in items)


def _parameter(item: Mapping[str, object]) -> Parameter:
    components = item.get("components", [])
    if not isinstance(components, list):
        raise TypeError("components")
    return Parameter(
        name=str(item["name"]),
        kind=str(item["type"]),
        fields=_parameters(components),
        indexed=item.get("indexed") is True,
    )


def _function(item: Mapping[str, object]) -> Function:
    inputs, outputs = _listed(item["inputs"]), _listed(item["outputs"])
    name = str(item["name"])
    return Function(
        name=name,
        inputs=inputs,
        outputs=outputs,
        selector=keccak(_signature(name, inputs))[:4],
        payable=item.get("stateMutability") == "payable",
    )


def _event(item: Mapping[str, object]) -> EventType:
    inputs = _listed(item["inputs"])
    name = str(item["name"])
    return EventType(name, inputs, keccak(_signature(name, inputs)))


def _listed(value: object) -> tuple[Parameter, ...]:
    if not isinstance(value, list):
        raise TypeError("a list of parameters")
    return _parameters(value)


def _signature(name: str, inputs: Sequence[Parameter]) -> bytes:
    return f"{name}({','.join(each.type for each in inputs)})".encode()


def pack_all(parameters: Sequence[Parameter], args: Sequence[object], what: str) -> bytes:
    """ABI-encode arguments; UsageError naming ``what`` when they do not fit."""
    try:
        values = [pack(p, arg) for p, arg in zip(parameters, args, strict=True)]
        return encode([p.type for p in parameters], values)
    except (EncodingError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise UsageError(
            f"an argument of {what} does not fit: {error}",
            remedy="Check the number, kind and range of the arguments.",
        ) from error


def pack(parameter: Parameter, value: object) -> object:
    """A value as eth_abi wants it; structs may be dataclasses, mappings or sequences."""
    inner = _element(parameter)
    if inner is not None:
        return [pack(inner, item) for item in _sequence(value)]
    if not parameter.fields:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return tuple(pack(field, getattr(value, field.name)) for field in parameter.fields)
    if isinstance(value, Mapping):
        return tuple(pack(field, value[field.name]) for field in parameter.fields)
    items = _sequence(value)
    return tuple(pack(f, item) for f, item in zip(parameter.fields, items, strict=True))


def _element(parameter: Parameter) -> Parameter | None:
    """What an array holds; None for everything else."""
    array = _ARRAY.fullmatch(parameter.kind)
    return array and Parameter(parameter.name, array["inner"], parameter.fields)


def _sequence(value: object) -> Sequence[object]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"a list is needed, not {type(value).__name__}")
    return value


def unpack_all(parameters: Sequence[Parameter], data: bytes, what: str) -> list[Value]:
    """Decode ABI data; IntegrityError naming ``what`` when it does not fit."""
    try:
        values = decode([p.type for p in parameters], data)
        return [_unpack(p, value) for p, value in zip(parameters, values, strict=True)]
    except (DecodingError, OverflowError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"the chain's answer for {what} does not fit its type",
            remedy="Check that network.json names this network's contracts and RPC.",
        ) from error


def _unpack(parameter: Parameter, value: object) -> Value:
    inner = _element(parameter)
    if inner is not None:
        return [_unpack(inner, item) for item in _sequence(value)]
    if parameter.fields:
        items = zip(parameter.fields, _sequence(value), strict=True)
        return {field.name: _unpack(field, item) for field, item in items}
    if parameter.kind == "address" and isinstance(value, str):
        return checksum(bytes.fromhex(value[2:]))
    if isinstance(value, (int, str, bytes)):
        return value
    raise TypeError(f"{parameter.kind} decoded to {type(value).__name__}")


def decode_log(name: str, contract: Artifact, log: Log) -> Event | None:
    """The event of a log of the contract called ``name``; None for an event it does not list."""
    kind = contract.events.get(log.topics[0]) if log.topics else None
    if kind is None:
        return None
    what = f"event {name}.{kind.name}"
    plain = [p for p in kind.inputs if not p.indexed]
    args = dict(zip((p.name for p in plain), unpack_all(plain, log.data, what), strict=True))
    indexed = [p for p in kind.inputs if p.indexed]
    if len(indexed) != len(log.topics) - 1:
        raise IntegrityError(
            f"{what} has {len(log.topics) - 1} indexed arguments, not {len(indexed)}",
            remedy="Check that network.json names this network's contracts and RPC.",
        )
    for parameter, topic in zip(indexed, log.topics[1:], strict=True):
        args[parameter.name] = (
            topic if parameter.dynamic else unpack_all([parameter], topic, what)[0]
        )
    ordered = {p.name: args[p.name] for p in kind.inputs}
    return Event(name, kind.name, ordered, log.block, log.index, log.transaction, log.block_hash)


def topic_of(parameter: Parameter, value: object) -> bytes:
    """The 32-byte topic of an indexed argument."""
    if parameter.dynamic:
        raw = value.encode() if isinstance(value, str) else value
        if not isinstance(raw, bytes):
            raise UsageError(
                f"{parameter.name} cannot be searched by value", remedy="Search another field."
            )
        return keccak(raw)
    return pack_all([parameter], [value], f"indexed {parameter.name}")


def reason(data: bytes) -> str:
    """The text of a revert's data: Error(string), a panic code, or "" when there is none."""
    try:
        if data[:4] == _ERROR:
            return str(decode(["string"], data[4:])[0])[:_REASON_LIMIT]
        if data[:4] == _PANIC:
            return f"panic {decode(['uint256'], data[4:])[0]:#x}"
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return "0x" + data.hex()[:_REASON_LIMIT]
    return "0x" + data.hex()[:_REASON_LIMIT] if data else ""
