"""A leaf of a root with its path: what an account earned in a market that pays by roots, made from
the leaves that a proposer serves, kept as JSON, claimed by anyone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from freehold.domain.document import SIZE_MAX, MalformedError, parse_document
from freehold.domain.errors import (
    FreeholdError,
    IntegrityError,
    NotFoundError,
    UsageError,
    VersionError,
)
from freehold.domain.ids import Address, address
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.roots import Roots
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event, Value

VERSION = 1
GRAIN = 10**9
"""Base units in a grain."""
_DEPTH = 32
_LEAVES_MAX = 28 * 2**26
"""Bytes of leaves that are read: 67 million accounts, more than a machine makes a tree of."""


@dataclass(frozen=True, slots=True)
class Proof:
    """All that ``Roots.claim`` asks for: grains that an account ever earned by a market's final
    root of an epoch, the leaf's index, and the words beside its way up."""

    market: str
    epoch: int
    account: Address
    grains: int
    index: int
    path: tuple[int, ...]
    root: int

    def to_json(self) -> dict[str, object]:
        """The JSON object that ``read`` takes; words as 0x-hex."""
        return {
            "freehold_proof": VERSION, "market": self.market, "epoch": self.epoch,
            "account": self.account, "grains": self.grains, "index": self.index,
            "path": [f"0x{word:064x}" for word in self.path], "root": f"0x{self.root:064x}",
        }  # fmt: skip


def prove(ledger: Ledger, account: Address, *, epoch: int, market: str, data: Path | None) -> Proof:
    """The proof from served leaves; NotFoundError without a final root, leaves or a leaf,
    IntegrityError where the leaves are not those of the root."""
    roots = payer(ledger, market)
    root = _final(roots, epoch)
    if data is None:
        raise _unserved(ledger, roots, epoch, root)
    from freehold.economics.trees import Tree

    tree = Tree.read(_bytes(data, most=_LEAVES_MAX))
    if tree.root != root:
        raise IntegrityError(
            f"{data} holds the leaves of another root than that of epoch {epoch}",
            remedy="Take the leaves that its proposer serves.",
        )
    index = tree.index(account)
    leaf = tree.leaf(index)
    return Proof(market, epoch, account, leaf.grains, index, tree.path(index), root)


def read(file: Path) -> Proof:
    """A proof from its JSON; UsageError for anything else, VersionError for a newer one."""
    try:
        fields = parse_document(_bytes(file, most=SIZE_MAX))
    except MalformedError as error:
        raise _malformed(file, str(error)) from error
    if not isinstance(fields, dict) or "freehold_proof" not in fields:
        raise _malformed(file, "it has no field freehold_proof")
    if fields["freehold_proof"] != VERSION:
        raise VersionError(
            f"{file} is a proof of version {fields['freehold_proof']!r}, not {VERSION}",
            remedy="Install a newer release of freehold.",
        )
    try:
        path = [_word(each) for each in fields["path"]]
        numbers = [_whole(fields[name]) for name in ("epoch", "grains", "index")]
        found = Proof(
            _text(fields["market"]), numbers[0], address(str(fields["account"])), numbers[1],
            numbers[2], tuple(path), _word(fields["root"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, FreeholdError) as error:
        raise _malformed(file, f"{error} is missing or of the wrong kind") from error
    if len(path) > _DEPTH or not all(0 <= number < 2**64 for number in numbers):
        raise _malformed(file, "a number is out of bounds")
    return found


def check(ledger: Ledger, proof: Proof) -> None:
    """IntegrityError unless the path leads to the final root that the chain has."""
    from freehold.economics.trees import Leaf, proves

    root = _final(payer(ledger, proof.market), proof.epoch)
    if not proves(root, Leaf(proof.account, proof.grains), proof.index, proof.path):
        raise IntegrityError(
            f"the path does not lead to the root of epoch {proof.epoch}",
            remedy="Make the proof again: `freehold rewards proof`.",
        )


def payer(ledger: Ledger, market: str) -> Roots:
    """The roots that pay a market; NotFoundError where none do."""
    name = market.encode(errors="replace")
    drawer = ledger.issuance.distributor(name.ljust(32, b"\0")) if len(name) <= 32 else ""
    for place, roots in (("roots", ledger.roots), ("subnet", ledger.prizes)):
        if ledger.network.contracts.get(place) == drawer:
            return roots
    raise NotFoundError(
        f"market {market!r} is not paid by roots in {ledger.network.name}",
        remedy="`freehold issuance show` lists the markets and who draws for them.",
    )


def _final(roots: Roots, epoch: int) -> int:
    root = roots.final_root(epoch)
    if not root:
        state = roots.state()
        raise NotFoundError(
            f"epoch {epoch} has no final root",
            remedy=f"Roots cover epochs below {state.next_epoch}; one is final after its window.",
        )
    return root


def _unserved(ledger: Ledger, roots: Roots, epoch: int, root: int) -> FreeholdError:
    for event in reversed(ledger.index.events(roots.name, "Proposed", where={"epoch": epoch})):
        header = _header(event)
        if convert(int, header["root"]) == root:
            name = convert(bytes, header["data"]).hex()
            by = f"proposer {event.address('proposer')} serves them as 0x{name}"
            return NotFoundError(
                "a proof needs the root's leaves", remedy=f"Give them with --data: {by}."
            )
    return NotFoundError(
        "a proof needs the root's leaves", remedy="Give them with --data, as they are served."
    )


def _header(event: Event) -> dict[str, Value]:
    header = event.args["header"]
    if not isinstance(header, dict):
        raise IntegrityError("a root without a header", remedy="Build the index again.")
    return header


def _bytes(file: Path, *, most: int) -> bytes:
    """What is in a file; one byte more than ``most`` of a longer or an endless one."""
    try:
        with file.open("rb") as opened:
            return opened.read(most + 1)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", remedy="Name a file that is there."
        ) from error


def _whole(number: object) -> int:
    if type(number) is not int:
        raise TypeError(f"{number!r}")
    return number


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{text!r}")
    return text


def _word(text: object) -> int:
    if not isinstance(text, str) or not text.startswith("0x") or len(text) > 66:
        raise ValueError(f"{text!r}")
    return int(text, 16)


def _malformed(file: Path, reason: str) -> UsageError:
    return UsageError(
        f"{file} is no proof: {reason}", remedy="Make one with `freehold rewards proof --json`."
    )
