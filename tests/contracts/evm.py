"""A small typed harness around pyrevm: deploy, call, send, decode events, move time, sign.

Needs pyrevm (x86-64, Python below 3.13); a module that imports this one is skipped, with the
reason, where it is missing. Contracts come from the committed artifacts; a directory in
FREEHOLD_ARTIFACTS overrides them name by name (that is how mutants are run).

Addresses are lower-case 0x-hex strings, money and times are ints, bytes are bytes; structs come
back as `Struct` (attributes by field name). Every transaction carries the EIP-7825 gas cap.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from eth_abi.abi import decode, encode
from eth_account import Account as EthAccount
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

from freehold.domain.ids import address
from freehold.ledger.transaction import created_address

if TYPE_CHECKING:
    import pyrevm
else:
    pyrevm = pytest.importorskip(
        "pyrevm",
        reason="pyrevm has no wheel for this platform: contract tests need x86-64, 3.11-3.12",
    )

ARTIFACTS = Path(__file__).resolve().parents[2] / "src" / "freehold" / "ledger" / "artifacts"
ZERO = "0x" + "00" * 20
CHAIN_ID = 31_337
NETWORK_ID = bytes(range(32))
GENESIS_TIME = 1_800_000_000
TRANSACTION_GAS = 16_777_216  # EIP-7825
BLOCK_SECONDS = 2
ERROR_SELECTOR = bytes.fromhex("08c379a0")

AbiItem = dict[str, Any]


class Reverted(Exception):
    """A call that the contract refused. `reason` is its text, empty where it gave none."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Struct(dict[str, Any]):
    """A decoded struct: fields by name, also as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True, slots=True)
class Event:
    """One log: the emitting address, the event's name and its arguments by name."""

    address: str
    name: str
    args: Struct

    def __getattr__(self, name: str) -> Any:
        return getattr(self.args, name)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transaction returned, logged and used (gas in process, not a receipt's)."""

    value: Any
    events: tuple[Event, ...]
    gas_used: int

    def named(self, name: str) -> list[Event]:
        """The events of that name, in order."""
        return [event for event in self.events if event.name == name]

    def one(self, name: str) -> Event:
        """The only event of that name."""
        found = self.named(name)
        if len(found) != 1:
            raise LookupError(f"{len(found)} events named {name} in {self.events}")
        return found[0]


@dataclass(frozen=True, slots=True)
class Signer:
    """A key pair derived from a label, so that runs repeat exactly."""

    label: str
    key: bytes
    address: str

    def sign(
        self, domain: Mapping[str, Any], types: Mapping[str, str], message: Mapping[str, Any]
    ) -> bytes:
        """The 65-byte EIP-712 signature r || s || v over one struct.

        `types` has one entry, struct name -> "type name,type name,…".
        """
        signable = typed_data(domain, types, message)
        return bytes(EthAccount.sign_message(signable, self.key).signature)


def typed_data(
    domain: Mapping[str, Any], types: Mapping[str, str], message: Mapping[str, Any]
) -> SignableMessage:
    """EIP-712 data of one struct, ready to be signed; `types` as for `Signer.sign`."""
    ((primary, text),) = types.items()
    parts = [part.split() for part in text.split(",")]
    fields = [{"type": kind, "name": name} for kind, name in parts]
    return encode_typed_data(
        full_message={
            "domain": dict(domain),
            "types": {"EIP712Domain": DOMAIN_FIELDS, primary: fields},
            "primaryType": primary,
            "message": dict(message),
        }
    )


DOMAIN_FIELDS = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
    {"name": "salt", "type": "bytes32"},
]


def signer(label: str) -> Signer:
    """The signer of a label."""
    key = keccak(text=f"freehold test key {label}")
    return Signer(label, key, str(EthAccount.from_key(key).address).lower())


def load(name: str) -> AbiItem:
    """The artifact of a contract, from FREEHOLD_ARTIFACTS where it has one, else committed."""
    override = os.environ.get("FREEHOLD_ARTIFACTS")
    if override and (path := Path(override) / f"{name}.json").exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    return dict(json.loads((ARTIFACTS / f"{name}.json").read_text(encoding="utf-8")))


def abi_type(item: AbiItem) -> str:
    """The canonical type of an ABI parameter, tuples spelled out."""
    kind = str(item["type"])
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(abi_type(part) for part in item["components"]) + ")" + kind[5:]


def pack(item: AbiItem, value: Any) -> Any:
    """A Python value in the shape eth_abi wants (structs may come as mappings)."""
    kind = str(item["type"])
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [pack(inner, part) for part in value]
    if kind == "tuple":
        parts = item["components"]
        values = [value[part["name"]] for part in parts] if isinstance(value, Mapping) else value
        return tuple(pack(part, each) for part, each in zip(parts, values, strict=True))
    return value


def unpack(item: AbiItem, value: Any) -> Any:
    """A decoded value with structs named and sequences as lists."""
    kind = str(item["type"])
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [unpack(inner, part) for part in value]
    if kind == "tuple":
        parts = item["components"]
        return Struct({p["name"]: unpack(p, each) for p, each in zip(parts, value, strict=True)})
    return value


def encode_arguments(items: Sequence[AbiItem], values: Sequence[Any]) -> bytes:
    """ABI-encode call or constructor arguments."""
    packed = [pack(item, value) for item, value in zip(items, values, strict=True)]
    return encode([abi_type(item) for item in items], packed)


def decode_results(items: Sequence[AbiItem], data: bytes) -> Any:
    """None, the one result, or a tuple of several."""
    if not items:
        return None
    values = decode([abi_type(item) for item in items], data)
    named = tuple(unpack(item, value) for item, value in zip(items, values, strict=True))
    return named[0] if len(named) == 1 else named


def signature_of(item: AbiItem) -> str:
    """`name(type,type)` of a function or event."""
    return f"{item['name']}({','.join(abi_type(part) for part in item['inputs'])})"


def refusal(error: RuntimeError) -> Reverted:
    """The contract's reason out of pyrevm's error text."""
    text = str(error)
    found = re.search("0x([0-9a-f]*)", text)
    payload = bytes.fromhex(found[1]) if found else b""
    if payload[:4] == ERROR_SELECTOR:
        return Reverted(str(decode(["string"], payload[4:])[0]))
    return Reverted("" if not payload and "Revert" in text else text)


class Chain:
    """One in-process EVM with a clock. Time moves only by `warp` and `mine`."""

    def __init__(self, *, timestamp: int = GENESIS_TIME, number: int = 1_000) -> None:
        self.evm = pyrevm.EVM(
            env=pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=CHAIN_ID)), gas_limit=TRANSACTION_GAS
        )
        self.now = timestamp
        self.number = number
        self._events: dict[str, dict[bytes, AbiItem]] = {}
        self._set_block()

    def _set_block(self) -> None:
        self.evm.set_block_env(
            pyrevm.BlockEnv(number=self.number, timestamp=self.now, gas_limit=TRANSACTION_GAS)
        )

    def warp(self, seconds: int, *, blocks: int | None = None) -> None:
        """Move the clock on; by default one block for every BLOCK_SECONDS."""
        self.now += seconds
        self.number += seconds // BLOCK_SECONDS if blocks is None else blocks
        self._set_block()

    def warp_to(self, timestamp: int) -> None:
        """Move the clock to a later moment."""
        if timestamp < self.now:
            raise ValueError(f"{timestamp} lies before {self.now}")
        self.warp(timestamp - self.now)

    def mine(self, blocks: int = 1) -> None:
        """Add blocks without moving the clock."""
        self.warp(0, blocks=blocks)

    def block_hash(self, number: int) -> bytes:
        """The hash that BLOCKHASH gives for a block."""
        return bytes(self.evm.block_hash(number))

    @contextmanager
    def anchor(self) -> Iterator[None]:
        """Undo state and clock on leaving; anchors nest."""
        mark, now, number = self.evm.snapshot(), self.now, self.number
        try:
            yield
        finally:
            self.evm.revert(mark)
            self.now, self.number = now, number
            self._set_block()

    def give_ether(self, address: str, amount: int) -> None:
        """Set an account's native balance, wei."""
        self.evm.set_balance(address, amount)

    def ether(self, address: str) -> int:
        """An account's native balance, wei."""
        return int(self.evm.get_balance(address))

    def deploy(self, name: str, *arguments: Any, sender: str) -> Contract:
        """Deploy the artifact of that name with constructor arguments."""
        return self.deploy_artifact(load(name), *arguments, sender=sender)

    def deploy_artifact(self, artifact: AbiItem, *arguments: Any, sender: str) -> Contract:
        """Deploy any artifact (abi, bytecode, name)."""
        abi = artifact["abi"]
        inputs: list[AbiItem] = next(
            (item["inputs"] for item in abi if item["type"] == "constructor"), []
        )
        code = bytes.fromhex(artifact["bytecode"][2:]) + encode_arguments(inputs, arguments)
        self.evm.reset_transient_storage()
        try:
            address = self.evm.deploy(sender, code)
        except RuntimeError as error:
            raise refusal(error) from None
        return self.attach(str(artifact["name"]), abi, address.lower())

    def next_address(self, sender: str, *, skip: int = 0) -> str:
        """Where the sender's next contract will be, or the one after some others."""
        nonce = self.evm.basic(sender).nonce
        return created_address(address(sender), nonce + skip).lower()

    def attach_artifact(self, name: str, address: str) -> Contract:
        """Bind the artifact of that name to an address."""
        return self.attach(name, load(name)["abi"], address.lower())

    def attach(self, name: str, abi: Sequence[AbiItem], address: str) -> Contract:
        """Bind an ABI to an address."""
        self._events[address] = {
            keccak(text=signature_of(item)): item for item in abi if item["type"] == "event"
        }
        return Contract(self, name=name, address=address, abi=abi)

    def transact(
        self,
        sender: str,
        to: str,
        data: bytes,
        *,
        value: int = 0,
        static: bool = False,
        gas_price: int = 0,
        gas: int = TRANSACTION_GAS,
    ) -> Outcome:
        """One raw call as a transaction; Reverted when it is refused."""
        self.evm.reset_transient_storage()
        try:
            output = self.evm.message_call(
                caller=sender,
                to=to,
                calldata=data,
                value=value,
                gas=gas,
                gas_price=gas_price,
                is_static=static,
            )
        except RuntimeError as error:
            raise refusal(error) from None
        result = self.evm.result
        if result is None:
            raise RuntimeError("pyrevm kept no result")
        return Outcome(output, self._decode_logs(result.logs), result.gas_used)

    def _decode_logs(self, logs: Sequence[pyrevm.Log]) -> tuple[Event, ...]:
        return tuple(event for log in logs if (event := self._decode_log(log)) is not None)

    def _decode_log(self, log: pyrevm.Log) -> Event | None:
        address = log.address.lower()
        topics = [bytes.fromhex(topic[2:]) for topic in log.topics]
        item = self._events.get(address, {}).get(topics[0]) if topics else None
        if item is None:
            return None
        indexed = [part for part in item["inputs"] if part["indexed"]]
        plain = [part for part in item["inputs"] if not part["indexed"]]
        args = Struct()
        for part, topic in zip(indexed, topics[1:], strict=True):
            args[part["name"]] = decode([abi_type(part)], topic)[0]
        data = log.data[1]
        for part, value in zip(plain, decode([abi_type(p) for p in plain], data), strict=True):
            args[part["name"]] = unpack(part, value)
        return Event(address, str(item["name"]), args)


class Contract:
    """One deployed contract. `call` reads (and writes nothing), `send` is a transaction."""

    def __init__(self, chain: Chain, *, name: str, address: str, abi: Sequence[AbiItem]) -> None:
        self.chain = chain
        self.name = name
        self.address = address
        self.abi = abi
        self._functions: dict[tuple[str, int], tuple[bytes, AbiItem]] = {
            (str(item["name"]), len(item["inputs"])): (keccak(text=signature_of(item))[:4], item)
            for item in abi
            if item["type"] == "function"
        }

    def __repr__(self) -> str:
        return f"{self.name}@{self.address}"

    def domain(self, name: str | None = None, *, network_id: bytes = NETWORK_ID) -> dict[str, Any]:
        """The EIP-712 domain, by default `Freehold <contract>`."""
        return {
            "name": name or f"Freehold {self.name}",
            "version": "1",
            "chainId": CHAIN_ID,
            "verifyingContract": self.address,
            "salt": network_id,
        }

    def data(self, function: str, *arguments: Any) -> bytes:
        """The calldata of a call, for a timelock or a raw transaction."""
        selector, item = self._functions[function, len(arguments)]
        return selector + encode_arguments(item["inputs"], arguments)

    def result(self, function: str, count: int, data: bytes) -> Any:
        """Decode what a function of that many arguments returned."""
        _, item = self._functions[function, count]
        return decode_results(item["outputs"], data)

    def call(self, function: str, *arguments: Any, sender: str = ZERO) -> Any:
        """Evaluate a view."""
        data = self.data(function, *arguments)
        outcome = self.chain.transact(sender, self.address, data, static=True)
        return self.result(function, len(arguments), outcome.value)

    def send(
        self, function: str, *arguments: Any, sender: str, value: int = 0, gas_price: int = 0
    ) -> Outcome:
        """A transaction; Reverted when it is refused."""
        data = self.data(function, *arguments)
        raw = self.chain.transact(sender, self.address, data, value=value, gas_price=gas_price)
        value_out = self.result(function, len(arguments), raw.value)
        return Outcome(value_out, raw.events, raw.gas_used)
