"""The descriptor of a network, ``network.json``: all that a newcomer needs to join."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import UsageError, VersionError
from freehold.domain.ids import Address, address, caip2, hex32, parse_caip2
from freehold.domain.typed import Domain

VERSION = 1
CONTRACTS = (
    "governor", "token", "registry", "staking", "payments", "beacon", "pdp", "faults", "storage",
)  # fmt: skip
KINDS = {"prizes": "roots"}
"""What stands at a place of the descriptor that is not called as its contract is."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network: its chain, its id (32 random bytes), contracts, parameters and RPC URLs.

    ``parameters`` are whole numbers by name (seconds, base units, basis points).
    """

    name: str
    chain_id: int
    network_id: bytes
    contracts: Mapping[str, Address]
    parameters: Mapping[str, int]
    rpc_urls: tuple[str, ...]
    deployed_block: int

    def domain(self, contract: str) -> Domain:
        """The EIP-712 domain of one of the network's contracts."""
        kind = KINDS.get(contract, contract)
        return Domain(f"Freehold {kind}", self.chain_id, self.contracts[contract], self.network_id)

    def render(self) -> str:
        """The canonical JSON text of the descriptor."""
        return (
            json.dumps(
                {
                    "freehold_network": VERSION,
                    "name": self.name,
                    "chain": caip2(self.chain_id),
                    "network_id": "0x" + self.network_id.hex(),
                    "contracts": dict(sorted(self.contracts.items())),
                    "parameters": dict(sorted(self.parameters.items())),
                    "rpc_urls": list(self.rpc_urls),
                    "deployed_block": self.deployed_block,
                },
                indent=2,
            )
            + "\n"
        )

    @classmethod
    def parse(cls, text: str) -> Network:
        """Parse a descriptor; UsageError when malformed, VersionError when newer or foreign."""
        try:
            fields = parse_document(text)
        except MalformedError as error:
            raise _malformed(str(error)) from error
        if not isinstance(fields, dict) or "freehold_network" not in fields:
            raise VersionError(
                "this file does not describe a Freehold network",
                remedy="Point --network at the network.json of the network.",
            )
        if fields["freehold_network"] != VERSION:
            raise VersionError(
                f"the network descriptor has version {fields['freehold_network']!r}, not {VERSION}",
                remedy="Install a newer release of freehold.",
            )
        try:
            return cls._build(fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise _malformed(f"{error} is missing or of the wrong kind") from error

    @classmethod
    def _build(cls, fields: dict[str, object]) -> Network:
        contracts = _mapping(fields["contracts"])
        missing = [name for name in CONTRACTS if name not in contracts]
        if missing:
            raise _malformed(f"contracts {missing} are missing")
        network_id = hex32(str(fields["network_id"]))
        return cls(
            name=str(fields["name"]),
            chain_id=parse_caip2(str(fields["chain"])),
            network_id=network_id,
            contracts={name: address(str(value)) for name, value in contracts.items()},
            parameters={k: _number(v) for k, v in _mapping(fields["parameters"]).items()},
            rpc_urls=_urls(fields["rpc_urls"]),
            deployed_block=_number(fields["deployed_block"]),
        )


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError("an object")
    return {str(key): item for key, item in value.items()}


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("a whole number")
    return value


def _urls(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or len(value) > 32:
        raise TypeError("a list of RPC URLs")
    urls = tuple(str(url) for url in value)
    if not all(url.startswith(("http://", "https://")) for url in urls):
        raise _malformed("an RPC URL must start with http:// or https://")
    return urls


def _malformed(reason: str) -> UsageError:
    return UsageError(
        f"the network descriptor is malformed: {reason}",
        remedy="Fetch network.json again from the network's founder.",
    )
