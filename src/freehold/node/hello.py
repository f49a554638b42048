"""A node's hello to a telemetry service: which key signs its readings.

The node's hot key signs it for one service and one moment; the reading key's binding says the same
from its side, as a device's does, so neither can be put in another's name. JSON of node, service,
did, binding, at and signature; it may be sent and kept anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from freehold.domain import pairing
from freehold.domain.did import BadDidError, Did
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import AccessError, UsageError
from freehold.domain.ids import Address, address, keccak
from freehold.domain.keys import Key, recover
from freehold.domain.typed import Domain, Struct

HELLO = Struct("Hello(address node,address service,bytes32 key,uint64 at)")
"""``key`` is the keccak of the did:key in multicodec form, ``at`` seconds; the domain is the
registry's."""
SIZE_MAX = 4_096
_FIELDS = {"node", "service", "did", "binding", "at", "signature"}


@dataclass(frozen=True, slots=True)
class Hello:
    """A signed hello; nothing is verified before ``check``."""

    node: Address
    service: Address
    did: Did
    binding: bytes = field(repr=False)
    at: int
    signature: bytes = field(repr=False)

    @classmethod
    def sign(
        cls, key: Key, *, did: Did, bind: Callable[[bytes], bytes], owner: Address,
        service: Address, domain: Domain, at: int,
    ) -> Hello:  # fmt: skip
        """The hello of the node ``key``, owned by ``owner``; ``bind`` signs as ``did``."""
        binding = bind(pairing.binding_statement(domain.salt, key.address, owner))
        digest = HELLO.digest(domain, (key.address, service, keccak(did.raw), at))
        return cls(key.address, service, did, binding, at, key.sign(digest))

    def check(self, domain: Domain) -> None:
        """AccessError unless the node's own key signed it."""
        told = (self.node, self.service, keccak(self.did.raw), self.at)
        if recover(HELLO.digest(domain, told), self.signature) != self.node:
            raise AccessError(
                f"the hello was not signed by {self.node}",
                remedy="Sign it with the node's own key.",
            )

    def check_owner(self, domain: Domain, owner: Address) -> None:
        """ForgedError unless the reading key says that it is this node's, of this owner."""
        pairing.check(self.did, self.binding, network_id=domain.salt, device=self.node, owner=owner)

    def render(self) -> bytes:
        """The JSON that is sent and kept."""
        fields = {
            "node": self.node,
            "service": self.service,
            "did": self.did.text,
            "binding": self.binding.hex(),
            "at": self.at,
            "signature": self.signature.hex(),
        }
        return json.dumps(fields).encode()

    @classmethod
    def parse(cls, letter: bytes) -> Hello:
        """The hello that ``letter`` is; UsageError."""
        try:
            found = parse_document(letter, size=SIZE_MAX)
            if not isinstance(found, dict) or found.keys() != _FIELDS:
                raise ValueError("a field is missing, or there is one too many")
            at = found["at"]
            if not isinstance(at, int) or isinstance(at, bool) or not 0 < at < 2**63:
                raise ValueError("at is no moment")
            return cls(
                node=address(_text(found["node"])),
                service=address(_text(found["service"])),
                did=Did.parse(_text(found["did"])),
                binding=_raw(found["binding"], 64),
                at=at,
                signature=_raw(found["signature"], 65),
            )
        except (MalformedError, ValueError, TypeError, BadDidError) as error:
            raise UsageError(
                f"the hello is malformed: {error}", remedy="Send it with a current node."
            ) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a member is no text")
    return value


def _raw(value: object, size: int) -> bytes:
    raw = bytes.fromhex(_text(value))
    if len(raw) != size:
        raise ValueError(f"a signature has {len(raw)} bytes, not {size}")
    return raw
