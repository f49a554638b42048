"""The chain as a device sees it: a few views, asked of one RPC URL after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import IntegrityError, UnavailableError
from freehold.domain.ids import Address
from freehold.node.agent import words
from freehold.node.agent.door import Door

OPEN_MAX = 64
"""Open commands of one device; the contract allows fewer."""
COMMAND = {
    "device": "address",
    "generation": "uint64",
    "rule": "uint256",
    "command": "string",
    "issued_at": "uint64",
    "hold": "uint64",
    "answer_by": "uint64",
    "until": "uint64",
    "outcome": "uint8",
}
"""The head of the struct that ``command(id)`` of the contract gives."""
DEVICE = {
    "owner": "address",
    "payout": "address",
    "generation": "uint64",
    "enrolled_at": "uint64",
    "retired": "bool",
    "key": "bytes",
}
"""The head of the struct that ``device(address)`` of contract devices gives."""
OPEN = 0


@dataclass(frozen=True, slots=True)
class Command:
    """A command as the chain shows it; ``hold`` in seconds, the others in block time."""

    id: int
    device: Address
    text: str
    hold: int
    answer_by: int
    open: bool


@dataclass(frozen=True, slots=True)
class Enrolled:
    """How a device stands on the ledger; ``generation`` 0 where it is unknown."""

    generation: int
    retired: bool


class Ledger:
    """The views of one network's contracts; UnavailableError where no RPC answers.

    The device believes the RPCs that its owner named: who controls them can make it act, or end.
    """

    def __init__(self, urls: Sequence[str], *, chain_id: int) -> None:
        self._doors = [Door(url) for url in urls]
        self._chain_id = chain_id
        self._known: set[str] = set()

    def enrolled(self, contract: Address, device: Address) -> Enrolled:
        """What contract devices has of a device; IntegrityError where the answer does not fit."""
        data = self._call(contract, words.call("device(address)", words.account(device)))
        found = words.struct(data, DEVICE)
        return Enrolled(_whole(found["generation"]), found["retired"] == 1)

    def now(self) -> int:
        """The moment of the latest block, seconds."""
        block = self._ask("eth_getBlockByNumber", ["latest", False])
        moment = block.get("timestamp") if isinstance(block, dict) else None
        return int.from_bytes(_data(moment), "big")

    def close(self) -> None:
        """Close the connections."""
        for door in self._doors:
            door.close()

    def _call(self, contract: Address, data: bytes) -> bytes:
        asked = {"to": contract, "data": "0x" + data.hex()}
        return _data(self._ask("eth_call", [asked, "latest"]))

    def _ask(self, method: str, params: list[object]) -> object:
        failures = []
        for door in self._doors:
            try:
                self._check(door)
                return _ask(door, method, params)
            except (UnavailableError, IntegrityError) as error:
                failures.append(error.message)
        raise UnavailableError(
            f"no RPC answers: {'; '.join(failures) or 'none is named'}",
            remedy="Check the RPC URLs in device.json.",
        )

    def _check(self, door: Door) -> None:
        if door.url in self._known:
            return
        found = int.from_bytes(_data(_ask(door, "eth_chainId", [])), "big")
        if found != self._chain_id:
            raise IntegrityError(
                f"{door.url} is on chain {found}, not {self._chain_id}",
                remedy="Correct the RPC URLs in device.json.",
            )
        self._known.add(door.url)


class Chain(Ledger):
    """The views of one network's automation contract, too."""

    def __init__(self, urls: Sequence[str], *, chain_id: int, automation: Address) -> None:
        super().__init__(urls, chain_id=chain_id)
        self._automation = automation

    def open_of(self, device: Address) -> list[int]:
        """The commands of a device that wait for a receipt."""
        asked = words.call("open_of(address)", words.account(device))
        return words.numbers(self._call(self._automation, asked), most=OPEN_MAX)

    def command(self, number: int) -> Command:
        """A command; IntegrityError where the answer does not fit."""
        asked = words.call("command(uint256)", words.number(number))
        found = words.struct(self._call(self._automation, asked), COMMAND)
        return Command(
            id=number,
            device=Address(str(found["device"])),
            text=str(found["command"]),
            hold=_whole(found["hold"]),
            answer_by=_whole(found["answer_by"]),
            open=found["outcome"] == OPEN,
        )


def _ask(door: Door, method: str, params: list[object]) -> object:
    question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = door.ask(
        "POST", "", json.dumps(question).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        found = parse_document(answer.body)
    except MalformedError as error:
        raise _odd(door, str(error)) from error
    if not isinstance(found, dict) or "result" not in found:
        refusal = found.get("error") if isinstance(found, dict) else None
        raise _odd(door, str(refusal or f"status {answer.status}")[:200])
    return found["result"]


def _data(result: object) -> bytes:
    try:
        if not isinstance(result, str) or not result.startswith("0x"):
            raise ValueError("no hex")
        digits = result[2:]
        return bytes.fromhex("0" * (len(digits) % 2) + digits)
    except ValueError as error:
        raise IntegrityError("an RPC's answer is not hex", remedy="Use another RPC.") from error


def _whole(value: words.Value) -> int:
    if not isinstance(value, int):
        raise TypeError("a number")
    return value


def _odd(door: Door, reason: str) -> IntegrityError:
    return IntegrityError(
        f"{door.url} refused or answered oddly: {reason}", remedy="Use another RPC."
    )
