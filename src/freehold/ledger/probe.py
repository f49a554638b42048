"""Looking at a chain before a network is put on it: can it run the contracts, and is the hash of
a block something nobody can choose?"""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.errors import UnavailableError, UsageError
from freehold.domain.ids import Address
from freehold.ledger import wire
from freehold.ledger.rpc import Rpc
from freehold.ledger.wire import Json, RpcRefusal

_SAMPLE = 16
_DEVELOPMENT = ("anvil", "hardhat", "ganache")
_SEQUENCED = (
    (Address("0x4200000000000000000000000000000000000015"), "an OP Stack rollup"),
    (Address("0x0000000000000000000000000000000000000064"), "an Arbitrum chain"),
    (Address("0x000000000000000000000000000000000000800b"), "a ZK Stack rollup"),
    (Address("0x5300000000000000000000000000000000000000"), "a Scroll chain"),
)
"""System contracts that only rollups with a sequencer of their own have."""

# Runs what the contracts are compiled to (PUSH0, MCOPY, TLOAD: Cancun) and returns the block's
# number, the hash of the one before it, and sha256 of nothing by the precompile.
_PROGRAM = bytes.fromhex(
    "5f5c50"  # tload(0)
    "5f5f5f5e"  # mcopy(0, 0, 0)
    "435f52"  # mem[0] = number
    "60014303"  # number - 1
    "40602052"  # mem[32] = blockhash
    "60206040"  # out size, out offset
    "5f5f"  # in size, in offset
    "60025afa50"  # staticcall(gas, 2, …)
    "60605ff3"  # return mem[0:96]
)
_SHA256_OF_NOTHING = bytes.fromhex(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a chain is. ``beacon`` says whether its block hashes may seed challenges among parties
    who do not trust whoever makes its blocks; ``reason`` says why in words for people.

    ``kind`` is "consensus", "sequencer" or "development"; ``block_seconds`` the mean spacing.
    """

    client: str
    kind: str
    beacon: bool
    reason: str
    block_seconds: float


def probe(rpc: Rpc) -> Probe:
    """Look at a chain. UsageError when it cannot run the contracts."""
    _check_machine(rpc)
    client = rpc.client_version()
    spacing = _spacing(rpc)
    if any(word in client.lower() for word in _DEVELOPMENT):
        reason = "one program makes its blocks: its operator can choose seeds, and nobody else can"
        return Probe(client, "development", False, reason, spacing)
    for place, kind in _SEQUENCED:
        if rpc.code(place):
            reason = f"{kind}: its sequencer can try out block hashes; use another beacon (drand)"
            return Probe(client, "sequencer", False, reason, spacing)
    reason = "blocks come from a consensus: a proposer can only withhold a block, at its cost"
    return Probe(client, "consensus", True, reason, spacing)


def _check_machine(rpc: Rpc) -> None:
    for _ in range(4):
        try:
            answer = wire.data(rpc.request("eth_call", _request(), "latest"))
        except RpcRefusal as error:
            raise _unsupported(f"it refuses Cancun's instructions ({error.message})") from error
        except wire.WireError as error:
            raise wire.broken("eth_call", error) from error
        if len(answer) != 96 or answer[64:] != _SHA256_OF_NOTHING:
            raise _unsupported("it computes Cancun's instructions or SHA-256 wrongly")
        number = int.from_bytes(answer[:32], "big")
        header = rpc.find_header(number - 1) if number else None
        if header is None or header.hash == "0x" + answer[32:64].hex():
            return
    raise _unsupported("BLOCKHASH is not the hash of its block headers, so nobody could check it")


def _request() -> Json:
    return {"data": "0x" + _PROGRAM.hex()}


def _spacing(rpc: Rpc) -> float:
    head = rpc.header("latest")
    if head.number == 0:
        return 0.0
    blocks = min(_SAMPLE, head.number)
    first = rpc.find_header(head.number - blocks)
    if first is None:
        raise UnavailableError(
            f"the RPC lacks block {head.number - blocks}",
            remedy="Use an RPC that keeps at least the last blocks.",
        )
    return (head.time - first.time) / blocks


def _unsupported(reason: str) -> UsageError:
    return UsageError(
        f"this chain cannot run the contracts: {reason}",
        remedy="Choose an EVM chain with the Cancun upgrade (2024) or later.",
    )
