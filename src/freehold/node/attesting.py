"""How watchers' signatures for roots are made, told and counted, for whichever roots: those that
pay devices (`roots`) or model nodes (`prizes`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from freehold.domain.document import parse_document
from freehold.domain.errors import AccessError, IntegrityError
from freehold.domain.ids import Address
from freehold.domain.keys import recover
from freehold.domain.typed import ATTESTATION
from freehold.ledger.contracts.base import convert
from freehold.ledger.ledger import Ledger

SIGNATURE, LETTER_MAX = 65, 1_024


@dataclass(frozen=True, slots=True)
class Attestation:
    """A root before it is proposed: what watchers sign, on top of a header's hash."""

    epoch: int
    root: int
    count: int
    data: bytes

    def digest(self, ledger: Ledger, place: str, parent: bytes) -> bytes:
        """The 32 bytes to sign for the roots at a place of the network."""
        told = (self.epoch, self.root.to_bytes(32, "big"), self.count, self.data, parent)
        return ATTESTATION.digest(ledger.network.domain(place), told)


def header_at(ledger: Ledger, place: str, position: int) -> bytes:
    """The hash of a root's header."""
    return convert(bytes, ledger.call(place, "headers", [position]))


def is_watcher(ledger: Ledger, place: str, account: Address) -> bool:
    """Whether an account may sign roots."""
    return convert(bool, ledger.call(place, "watchers", [account]))


def named_watchers(ledger: Ledger, place: str) -> frozenset[Address]:
    """Who may sign roots, as far as the index was read: the chain is not asked, so strangers may
    make one look as often as they like."""
    event = ledger.index.last(place, "WatchersSet")
    told = event.args["watchers"] if event is not None else []
    return frozenset(Address(str(each)) for each in told) if isinstance(told, list) else frozenset()


def holding(
    ledger: Ledger, place: str, digest: bytes, known: Mapping[Address, bytes]
) -> list[bytes]:
    """The signatures that hold now, in rising order of the watchers."""
    return [
        signature
        for name, signature in sorted(known.items(), key=lambda each: each[0].lower())
        if _signer(digest, signature) == name and is_watcher(ledger, place, name)
    ]


def _signer(digest: bytes, signature: bytes) -> Address | None:
    """Whose signature it is; None where it is none, as in a file that was damaged."""
    try:
        return recover(digest, signature)
    except AccessError:
        return None


def read_signature(letter: bytes) -> bytes:
    """The signature of a body ``{"signature": HEX}``; IntegrityError."""
    try:
        told = parse_document(letter, size=LETTER_MAX)
        if not isinstance(told, dict):
            raise _wrong()
        signature = bytes.fromhex(str(told["signature"]).removeprefix("0x"))
    except (ValueError, KeyError) as error:
        raise _wrong() from error
    if len(signature) != SIGNATURE:
        raise _wrong()
    return signature


def _wrong() -> IntegrityError:
    return IntegrityError(
        "the body holds no signature", remedy='Send {"signature": HEX} of 65 bytes.'
    )
