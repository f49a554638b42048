"""Who may report, and which partition keeps whose readings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from freehold.domain.did import PREFIX, BadDidError, Curve, Did
from freehold.domain.errors import AccessError

PARTITIONS_MAX = 1_024
_KNOWN = 65_536
_KEY_AT = 64
"""Where a batch has its device's key: after the head that ``reading`` describes."""
_FNV_START, _FNV_PRIME = 0x811C9DC5, 0x01000193


class UnknownError(AccessError):
    """A key that no enrolled device, node or source has."""


@dataclass(frozen=True, slots=True)
class Member:
    """One that may report: ``id`` as it is kept in the store, ``kind`` device, node or source
    (what a source says is vouched for by the service and never paid); ``cell`` says who are
    neighbours, empty where unknown."""

    id: str
    did: Did
    owner: str
    kind: str
    cell: str = ""


class Members(Protocol):
    """The list of members; it answers from memory."""

    def find(self, did: Did) -> Member | None:
        """The member with this key."""
        ...


def claimed(data: bytes) -> Did | None:
    """The key that a batch says it is of, not verified; None where it names none."""
    raw = data[_KEY_AT : _KEY_AT + PREFIX + Curve.P256.size]
    length = PREFIX + (Curve.P256 if raw[:PREFIX] == Curve.P256.value else Curve.ED25519).size
    try:
        return Did.read(raw[:length])
    except BadDidError:
        return None


def topic(member: str) -> str:
    """The last word of the topic of the member with this id."""
    return member.lower().removeprefix("0x")


@lru_cache(_KNOWN)
def share(member: str, partitions: int) -> int:
    """The partition of the member with this id: FNV-1a of its topic, as nats-server's mapping
    ``{{partition(n,1)}}`` has it, so that a broker and a single process divide alike."""
    found = _FNV_START
    for byte in topic(member).encode():
        found = (found ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return found % partitions
