"""What a replay cannot make again by itself: the random number in each block's header.

The engine draws it (``mixHash``) for every block, and the hash of every later block depends on
it. A contract that reads BLOCKHASH (the beacon does) would come to another result in a replay,
and every transaction that builds on that result (a proof) would be refused. So the number is
journaled with the next block, and put back into the engine before anything can read the hash.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from freehold.ledger import wire
from freehold.ledger.wire import Json

_NOT_IN_HEADER = frozenset(
    {"hash", "size", "uncles", "transactions", "totalDifficulty", "withdrawals"}
)
_NOT_IN_TRANSACTION = frozenset({"blockHash", "blockNumber", "transactionIndex", "from"})
_LEGACY_TYPES = frozenset({"0x0", "0x1"})


@dataclass(frozen=True, slots=True)
class Seal:
    """A block's number, the random number in its header, and its hash (0x-hex)."""

    number: int
    mix: str
    hash: str


def seal_of(block: Mapping[str, Json]) -> Seal:
    """The seal of a block as the engine tells it."""
    return Seal(
        wire.quantity(block.get("number")),
        wire.hash_text(block.get("mixHash")),
        wire.hash_text(block.get("hash")),
    )


def overlay(blocks: Sequence[Mapping[str, Json]], seals: Mapping[int, Seal]) -> str:
    """A state for ``anvil_loadState`` that gives replayed blocks (with their transactions, in
    order) the hashes they had, and changes nothing else."""
    mended: list[Json] = []
    for block in blocks:
        transactions = [_transaction(each) for each in wire.items(block.get("transactions"))]
        header = _header(block, seals)
        mended.append({"header": header, "transactions": transactions, "ommers": []})
    newest = _header(blocks[-1], seals)
    state = {
        "block": _environment(newest), "best_block_number": newest["number"],
        "blocks": mended, "accounts": {}, "transactions": [],
    }  # fmt: skip
    return "0x" + gzip.compress(json.dumps(state).encode(), compresslevel=1).hex()


def _header(block: Mapping[str, Json], seals: Mapping[int, Seal]) -> dict[str, Json]:
    seal = seals[wire.quantity(block.get("number"))]
    header = {name: value for name, value in block.items() if name not in _NOT_IN_HEADER}
    header["mixHash"] = seal.mix
    if (parent := seals.get(seal.number - 1)) is not None:
        header["parentHash"] = parent.hash
    return header


def without_copies(state: bytes, seals: Mapping[int, Seal]) -> bytes:
    """A dumped state without the blocks that an overlay took the place of."""
    content = json.loads(gzip.decompress(state))
    content["blocks"] = [each for each in content["blocks"] if _right(each["header"], seals)]
    return gzip.compress(json.dumps(content).encode(), compresslevel=1)


def _right(header: Mapping[str, Json], seals: Mapping[int, Seal]) -> bool:
    seal = seals.get(wire.quantity(header["number"]))
    return seal is None or header["mixHash"] == seal.mix


def _environment(header: Mapping[str, Json]) -> dict[str, Json]:
    """What the engine keeps of the newest block besides its header."""
    return {
        "number": header["number"], "beneficiary": header["miner"],
        "timestamp": header["timestamp"], "gas_limit": wire.quantity(header["gasLimit"]),
        "basefee": wire.quantity(header["baseFeePerGas"]), "difficulty": "0x0",
        "prevrandao": header["mixHash"], "slot_num": 0,
        "blob_excess_gas_and_price": {"excess_blob_gas": 0, "blob_gasprice": 1},
    }  # fmt: skip


def _transaction(told: Json) -> Json:
    """A transaction in the form of the engine's dumps."""
    fields = {k: v for k, v in wire.fields(told).items() if k not in _NOT_IN_TRANSACTION}
    if fields.get("type") not in _LEGACY_TYPES:
        fields.pop("gasPrice", None)  # told for convenience: it is no field of these types
    return {"transaction": fields, "impersonated_sender": None}
