"""What an owner tells a device's agent, signed by the owner: nobody between them can forge it.

EIP-712 typed data under the domain of the contract ``devices``. The text that is signed is the
canonical JSON of ``Orders``. A sequence grows with each directive of a device, so that an old one
cannot take the place of a later one; after ``expiry`` (seconds) the agent goes back to its own
settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import AccessError, ConflictError, UsageError
from freehold.domain.ids import Address, address, keccak
from freehold.domain.keys import recover
from freehold.domain.typed import Domain, Struct

DIRECTIVE = Struct("Directive(address device,uint64 sequence,bytes32 body,uint64 expiry)")
SIZE_MAX = 4_096
"""Characters of a directive's JSON."""
INTERVAL_MAX, BATCH_MAX, METRICS_MAX = 86_400, 4_096, 64
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_NAME_MAX = 48
_SIGNATURE = re.compile(r"0x[0-9a-f]{130}")
_COUNT_MAX = 2**63 - 1
_ORDERS = ("interval", "batch", "metrics", "edge_threshold")
_FIELDS = {"device", "sequence", "body", "expiry", "signature"}


@dataclass(frozen=True, slots=True)
class Orders:
    """What to do; None leaves a setting as it is.

    ``interval`` seconds between readings, ``batch`` readings in a batch, ``metrics`` by name
    whether to read them, ``edge_threshold`` the score from 0 to 1 from which the device itself
    calls a reading urgent.
    """

    interval: int | None = None
    batch: int | None = None
    metrics: Mapping[str, bool] = field(default_factory=dict)
    edge_threshold: float | None = None

    def render(self) -> str:
        """The canonical JSON: sorted, without spaces, without what is left as it is."""
        fields: dict[str, object] = {name: getattr(self, name) for name in _ORDERS}
        fields["metrics"] = dict(self.metrics) or None
        kept = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(kept, sort_keys=True, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Orders:
        """The orders of a text in canonical form; UsageError."""
        found = _document(text)
        unknown = found.keys() - set(_ORDERS)
        if unknown:
            raise _malformed(f"{sorted(unknown)[0][:40]!r} is no order")
        orders = cls(
            _within(found, "interval", INTERVAL_MAX),
            _within(found, "batch", BATCH_MAX),
            _switches(found.get("metrics")),
            _score(found.get("edge_threshold")),
        )
        if orders.render() != text:
            raise _malformed("its orders are not in canonical form")
        return orders


@dataclass(frozen=True, slots=True)
class Directive:
    """Orders for one device, numbered and with an end; ``body`` is their canonical JSON."""

    device: Address
    sequence: int
    body: str
    expiry: int

    def digest(self, domain: Domain) -> bytes:
        """What the owner signs."""
        body = keccak(self.body.encode())
        return DIRECTIVE.digest(domain, [self.device, self.sequence, body, self.expiry])

    def sign(self, domain: Domain, signer: Callable[[bytes], bytes]) -> SignedDirective:
        """With the 65-byte signature that ``signer`` makes of the digest; UsageError."""
        _check_numbers(self.sequence, self.expiry)
        Orders.parse(self.body)
        return SignedDirective(self, signer(self.digest(domain)))


@dataclass(frozen=True, slots=True)
class SignedDirective:
    """A directive and its owner's 65-byte signature."""

    directive: Directive
    signature: bytes = field(repr=False)

    @property
    def orders(self) -> Orders:
        """What to do."""
        return Orders.parse(self.directive.body)

    def check(self, domain: Domain, *, owner: Address, after: int, now: int) -> None:
        """Raise unless ``owner`` signed it, it comes after sequence ``after`` and holds ``now``.

        AccessError or ConflictError. A wallet that is a contract cannot sign directives: the
        agent has no chain to ask.
        """
        if recover(self.directive.digest(domain), self.signature) != owner:
            raise AccessError(
                f"the directive was not signed by {owner}",
                remedy="Sign it with the account that owns the device.",
            )
        if self.directive.sequence <= after:
            raise ConflictError(
                f"the directive has number {self.directive.sequence}, the last one had {after}",
                remedy="Give it a higher number.",
            )
        if self.directive.expiry <= now:
            raise ConflictError(
                f"the directive ended {now - self.directive.expiry} s ago",
                remedy="Sign one that ends later.",
            )

    def render(self) -> str:
        """The JSON that is sent and kept."""
        return json.dumps(
            {
                "device": self.directive.device,
                "sequence": self.directive.sequence,
                "body": self.directive.body,
                "expiry": self.directive.expiry,
                "signature": "0x" + self.signature.hex(),
            }
        )

    @classmethod
    def parse(cls, text: str | bytes) -> SignedDirective:
        """A directive as it was rendered; UsageError. Its signature is not checked yet."""
        found = _document(text)
        if found.keys() != _FIELDS:
            raise _malformed("a field is missing, or there is one too many")
        signature = _text(found, "signature")
        if _SIGNATURE.fullmatch(signature) is None:
            raise _malformed("its signature is not 0x and 130 small hexadecimal digits")
        sequence, expiry = _number(found, "sequence"), _number(found, "expiry")
        _check_numbers(sequence, expiry)
        body = _text(found, "body")
        Orders.parse(body)
        directive = Directive(address(_text(found, "device")), sequence, body, expiry)
        return cls(directive, bytes.fromhex(signature[2:]))


def _document(text: str | bytes) -> dict[str, object]:
    try:
        found = parse_document(text, size=SIZE_MAX)
    except MalformedError as error:
        raise _malformed(str(error)) from error
    if not isinstance(found, dict):
        raise _malformed("it is no object")
    return found


def _text(found: dict[str, object], name: str) -> str:
    value = found[name]
    if not isinstance(value, str):
        raise _malformed(f"{name} is no text")
    return value


def _number(found: dict[str, object], name: str) -> int:
    value = found[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise _malformed(f"{name} is no whole number")
    return value


def _check_numbers(sequence: int, expiry: int) -> None:
    if not 0 < sequence <= _COUNT_MAX or not 0 < expiry <= _COUNT_MAX:
        raise _malformed("its sequence or its expiry is out of range")


def _within(found: dict[str, object], name: str, most: int) -> int | None:
    if name not in found:
        return None
    value = _number(found, name)
    if not 1 <= value <= most:
        raise _malformed(f"{name} is not from 1 to {most:,}")
    return value


def _switches(value: object) -> dict[str, bool]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > METRICS_MAX:
        raise _malformed(f"metrics are at most {METRICS_MAX} names, each true or false")
    for name, state in value.items():
        if len(name) > _NAME_MAX or _NAME.fullmatch(name) is None or not isinstance(state, bool):
            raise _malformed("metrics are names, each true or false")
    return value


def _score(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, float) or not 0 <= value <= 1:
        raise _malformed("edge_threshold is not a number with a point from 0.0 to 1.0")
    return value


def _malformed(reason: str) -> UsageError:
    return UsageError(
        f"the directive is malformed: {reason}", remedy="Sign it with a current client."
    )
