"""Blocks of an export: each is checked against its own header, its parent and its contents.

A block carries its transactions and receipts where its bloom may name a contract of the network
or where it creates one; other blocks are headers alone, and their bloom shows that no log of the
network is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from freehold.audit import headers, trie
from freehold.audit.headers import Header
from freehold.audit.lines import Line
from freehold.audit.receipts import Receipt
from freehold.audit.report import Place, Spot
from freehold.audit.transactions import Transaction
from freehold.domain.errors import IntegrityError

CHECK = "headers"

Parsed = TypeVar("Parsed")

_HEX = re.compile(r"0x(?:[0-9a-f]{2})*")


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its header, and what it carries where it was exported in full; raw bytes too."""

    header: Header
    transactions: tuple[Transaction, ...]
    receipts: tuple[Receipt, ...]
    full: bool
    line: int
    raw_header: bytes
    raw_receipts: tuple[bytes, ...] = ()


def fields_of(
    raw_header: bytes, number: int, content: tuple[Sequence[bytes], Sequence[bytes]] | None
) -> dict[str, object]:
    """The fields of a block's line; ``content`` are raw transactions and receipts."""
    header = headers.Header.parse(raw_header)
    fields: dict[str, object] = {
        "number": number,
        "hash": "0x" + header.hash.hex(),
        "header": "0x" + raw_header.hex(),
    }
    if content is not None:
        fields["transactions"] = ["0x" + raw.hex() for raw in content[0]]
        fields["receipts"] = ["0x" + raw.hex() for raw in content[1]]
    return fields


def names_network(bloom: bytes, contracts: Collection[bytes]) -> bool:
    """Whether a block with this bloom may hold a log of one of the 20-byte addresses."""
    return any(headers.may_contain(bloom, contract) for contract in contracts)


def parse(line: Line) -> Block:
    """The block of a line, checked in itself; Differs names the field that does not fit."""
    spot = Spot(CHECK, line.place)
    raw = _bytes(line.fields, "header", spot)
    header = _decoded(Header.parse, raw, spot.field("header"))
    claimed = _bytes(line.fields, "hash", spot)
    spot.field("header").same("the hash of the header", expected=claimed, found=header.hash)
    number = line.fields.get("number")
    spot.field("number").same("the block's number", expected=header.number, found=number)
    full = "transactions" in line.fields
    known = {"number", "hash", "header"} | ({"transactions", "receipts"} if full else set())
    spot.same("the fields of the block", expected=sorted(known), found=sorted(line.fields))
    if not full:
        return Block(header, (), (), False, line.number, raw)
    return _full(line, header, raw, spot)


def check_link(block: Block, parent: Header | None, contracts: Collection[bytes]) -> None:
    """Differs unless the block follows its parent and leaves no log of the network out."""
    header = block.header
    spot = Spot(CHECK, Place(line=block.line, block=header.number))
    if parent is not None:
        number = spot.field("number")
        number.same("the block's number", expected=parent.number + 1, found=header.number)
        field = spot.field("header")
        field.same("the hash of the parent", expected=parent.hash, found=header.parent)
    if not block.full and names_network(header.bloom, contracts):
        raise spot.field("transactions").differs(
            "what the bloom of the block promises",
            expected="transactions and receipts",
            found="a header alone",
        )


def _full(line: Line, header: Header, raw: bytes, spot: Spot) -> Block:
    bodies = _list(line.fields, "transactions", spot)
    records = _list(line.fields, "receipts", spot)
    for name, root, values in (
        ("transactions", header.transactions_root, bodies),
        ("receipts", header.receipts_root, records),
    ):
        found = trie.ordered_root(values)
        spot.field(name).same(f"the root of the {name}", expected=root, found=found)
    spot.same("the number of receipts", expected=len(bodies), found=len(records))
    transactions = [_decoded(Transaction.parse, r, spot.field("transactions")) for r in bodies]
    receipts = [_decoded(Receipt.parse, r, spot.field("receipts")) for r in records]
    _check_blooms(header, receipts, spot)
    return Block(
        header, tuple(transactions), tuple(receipts), True, line.number, raw, tuple(records)
    )


def _check_blooms(header: Header, receipts: Sequence[Receipt], spot: Spot) -> None:
    union = 0
    for index, receipt in enumerate(receipts):
        expected = receipt.expected_bloom()
        union |= int.from_bytes(expected, "big")
        field = spot.field(f"receipts[{index}]")
        field.same("the bloom of the logs", expected=expected, found=receipt.bloom)
    total = union.to_bytes(headers.BLOOM_BYTES, "big")
    spot.field("header").same("the bloom of the block", expected=total, found=header.bloom)


def _decoded(parser: Callable[[bytes], Parsed], raw: bytes, spot: Spot) -> Parsed:
    try:
        return parser(raw)
    except IntegrityError as error:
        found = error.message
        raise spot.differs("the bytes", expected="a consensus encoding", found=found) from error


def _list(fields: Mapping[str, object], name: str, spot: Spot) -> list[bytes]:
    values = fields.get(name)
    if not isinstance(values, list):
        raise spot.field(name).differs("the field", expected="a list", found=type(values).__name__)
    return [_hex(value, spot.field(f"{name}[{i}]")) for i, value in enumerate(values)]


def _bytes(fields: Mapping[str, object], name: str, spot: Spot) -> bytes:
    return _hex(fields.get(name), spot.field(name))


def _hex(value: object, spot: Spot) -> bytes:
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        found = repr(value)[:80]
        raise spot.differs("the bytes", expected="0x and lower-case digits", found=found)
    return bytes.fromhex(value[2:])
