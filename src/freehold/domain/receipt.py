"""What a device says of a command: signed by its agent key, checked by contract ``automation``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import AccessError, UsageError
from freehold.domain.ids import Address, address
from freehold.domain.keys import recover
from freehold.domain.typed import RECEIPT, Domain

SIZE_MAX = 4_096
_FIELDS = {"command", "device", "outcome", "detail", "at", "signature"}
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a device says of a command; ``detail`` has 32 bytes, ``at`` is in seconds."""

    command: int
    device: Address
    outcome: int
    detail: bytes
    at: int
    signature: bytes = field(repr=False)

    def to_json(self) -> dict[str, object]:
        """The JSON object that ``parse`` reads."""
        return {
            "command": self.command,
            "device": self.device,
            "outcome": self.outcome,
            "detail": "0x" + self.detail.hex(),
            "at": self.at,
            "signature": "0x" + self.signature.hex(),
        }

    @classmethod
    def parse(cls, letter: bytes) -> Receipt:
        """The receipt in an agent's JSON; UsageError."""
        try:
            found = parse_document(letter, size=SIZE_MAX)
            if not isinstance(found, dict) or found.keys() != _FIELDS:
                raise ValueError("a field is missing, or there is one too many")
            return cls(
                _number(found["command"], 2**64), address(str(found["device"])[:64]),
                _number(found["outcome"], 256), _raw(found["detail"], 32),
                _number(found["at"], 2**64), _raw(found["signature"], 65),
            )  # fmt: skip
        except (MalformedError, ValueError, TypeError) as error:
            raise UsageError(
                f"the receipt is malformed: {error}", remedy="Send it with a current agent."
            ) from error

    def check(self, domain: Domain) -> None:
        """AccessError unless the device's agent key signed it."""
        told = (self.command, self.device, self.outcome, self.detail, self.at)
        if recover(RECEIPT.digest(domain, told), self.signature) != self.device:
            raise AccessError(
                f"the receipt was not signed by {self.device}",
                remedy="Sign it with the device's agent key.",
            )


def _number(value: object, end: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < end:
        raise ValueError("a number is out of range")
    return value


def _raw(value: object, size: int) -> bytes:
    if not isinstance(value, str) or _HEX.fullmatch(value) is None or len(value) != 2 + 2 * size:
        raise ValueError(f"a member is not 0x and {2 * size} small hexadecimal digits")
    return bytes.fromhex(value[2:])
