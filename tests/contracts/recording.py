"""Records what happens on an in-process chain as the events that the audit's models re-run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from contracts.evm import Chain, Outcome
from freehold.audit.events import Event
from freehold.audit.headers import Header
from freehold.audit.report import Place
from freehold.audit.transactions import Transaction
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum


@dataclass(frozen=True, slots=True)
class Told(Transaction):
    """A transaction whose sender is told: in process nothing is signed."""

    who: Address = ZERO_ADDRESS

    def sender(self) -> Address | None:
        return self.who


@dataclass(slots=True)
class Recording:
    """Every transaction since it began, as events of the audit."""

    chain: Chain
    names: dict[str, str]
    events: list[Event] = field(default_factory=list)
    count: int = 0

    def start(self) -> None:
        """Listen to the chain's transactions."""
        original = self.chain.transact

        def heard(sender: str, to: str, data: bytes, **options: Any) -> Outcome:
            outcome = original(sender, to, data, **options)
            if not options.get("static"):
                self._note(sender, to, data, outcome)
            return outcome

        self.chain.transact = heard  # type: ignore[method-assign]

    def take(self) -> list[Event]:
        """What happened since the last time, in order."""
        taken, self.events = self.events, []
        return taken

    def header(self, number: int) -> Header:
        """The header of a past block, as far as the models look at it."""
        hashed = self.chain.block_hash(number)
        return Header(hashed, b"", number, self.chain.now, b"", b"", b"")

    def _note(self, sender: str, to: str, data: bytes, outcome: Outcome) -> None:
        self.count += 1
        hashed = keccak(self.count.to_bytes(8, "big"))
        transaction = Told(b"", hashed, self.count, address(to), data, who=address(sender))
        for log, event in enumerate(outcome.events):
            name = self.names.get(event.address.lower())
            if name is None:
                continue
            place = Place(block=self.chain.number, transaction="0x" + hashed.hex(), log=log)
            args = {key: plain(value) for key, value in event.args.items()}
            self.events.append(
                Event(name, event.name, args, self.chain.now, self.chain.number, place, transaction)
            )


def address(text: str) -> Address:
    """A checksummed address."""
    return checksum(bytes.fromhex(text[2:]))


def plain(value: Any) -> Any:
    """A value as the audit's decoder gives it: addresses checksummed, structs as dicts."""
    if isinstance(value, str) and len(value) == 42 and value.startswith("0x"):
        return address(value)
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value
