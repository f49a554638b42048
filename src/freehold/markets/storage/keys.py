"""Keys of an account's data, all from one seed.

::

    phrase ── account key ─┐
    wallet ── signature ───┼─ slot key ── data seed ─┬─ catalogue key   where manifests lie
    second device ── HPKE ─┘                         ├─ sharing key     X25519, to receive shares
                                                     └─ account ─ bucket ─ part ─ … path keys

An account's first seed follows from its key, so that all its machines have the same without
asking each other. It lies in slots all the same, so that others can be added, or the seed changed,
without sealing the data again; the sealed slots travel in the header of every column, so one live
node is enough.
Each path key gives those below it by HKDF-SHA256 and none above or beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from freehold.domain.errors import AccessError, UsageError
from freehold.domain.ids import Address, raw_address
from freehold.domain.keys import Key
from freehold.markets.storage import hpke, names
from freehold.markets.storage.seal import KEY_LENGTH, Random, open_box, seal_box

MAX_SLOTS = 16
MAX_SLOT_LENGTH = 256


def derive(secret: bytes, label: str, *, salt: bytes = b"") -> bytes:
    """32 bytes of HKDF-SHA256 of ``secret``; ``label`` says what for."""
    info = b"freehold " + label.encode()
    return HKDF(SHA256(), length=KEY_LENGTH, salt=salt, info=info).derive(secret)


@dataclass(frozen=True, slots=True)
class PathKey:
    """The key of a directory: it opens everything under ``prefix`` and nothing else.

    ``prefix`` is ``bucket/directory``, a bucket, or empty for the whole account.
    """

    prefix: str
    secret: bytes = field(repr=False)

    def child(self, part: str) -> PathKey:
        """The key of the directory ``part`` in this one."""
        prefix = f"{self.prefix}/{part}" if self.prefix else part
        return PathKey(prefix, derive(self.secret, "path 1\0" + part))

    def lineage(self, directory: str) -> tuple[PathKey, ...]:
        """Keys from this one down to that of ``directory``, both included.

        AccessError when ``directory`` does not lie under ``prefix``.
        """
        if self.prefix and not f"{directory}/".startswith(f"{self.prefix}/"):
            raise AccessError(
                f"the key of {self.prefix!r} opens nothing in {directory!r}",
                remedy="Ask the owner to share that directory.",
            )
        below = names.parts(directory)[len(names.parts(self.prefix)) if self.prefix else 0 :]
        keys = [self]
        for part in below:
            keys.append(keys[-1].child(part))
        return tuple(keys)

    def section_key(self, object_id: bytes) -> bytes:
        """The key of what one object's manifest says about this very directory."""
        return derive(self.secret, "section 1", salt=object_id)

    def door_key(self, object_id: bytes) -> bytes:
        """The key of the doors through which this directory's key reaches those below."""
        return derive(self.secret, "door 1", salt=object_id)


@dataclass(frozen=True, slots=True)
class DataSeed:
    """The 32 secret bytes from which all keys of an account's data follow."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_LENGTH:
            raise AccessError(
                f"a data seed has {KEY_LENGTH} bytes, not {len(self.secret)}",
                remedy="Recover it with the recovery kit.",
            )

    @classmethod
    def of(cls, account: Key, network_id: bytes) -> DataSeed:
        """The first seed of an account on a network."""
        return cls(derive(account.secret, "data seed 1", salt=network_id))

    def catalogue_key(self) -> bytes:
        """Opens the outer layer of manifests: log sequence number, directories."""
        return derive(self.secret, "catalogue 1")

    def sharing_key(self) -> bytes:
        """The X25519 secret for which others wrap what they share with this account."""
        return derive(self.secret, "sharing 1")

    def root(self, account: Address) -> PathKey:
        """The key above all buckets of ``account``."""
        return PathKey("", derive(self.secret, "account 1", salt=raw_address(account)))


class SlotKind(IntEnum):
    """What opens a slot."""

    PHRASE = 1
    WALLET = 2
    DEVICE = 3


@dataclass(frozen=True, slots=True)
class Slot:
    """The data seed, sealed for one way of opening it."""

    kind: SlotKind
    body: bytes


def phrase_slot_key(account: Key, network_id: bytes) -> bytes:
    """The key of the phrase slot, from the account key that the phrase gives (BIP-44)."""
    return derive(account.secret, "phrase slot 1", salt=network_id)


def wallet_message(network_id: bytes) -> str:
    """The text that a wallet signs (EIP-191) to open its slot: deterministic by RFC 6979."""
    return (
        "This signature opens all your files on the Freehold network\n"
        f"0x{network_id.hex()}.\nSign it only in software that you trust."
    )


def wallet_slot_key(signature: bytes, network_id: bytes) -> bytes:
    """The key of the wallet slot, from its 65-byte signature of ``wallet_message``."""
    if len(signature) != 65:
        raise AccessError(
            "the wallet's signature does not have 65 bytes",
            remedy="Sign with a plain account; a contract wallet cannot open a slot.",
        )
    return derive(signature[:64], "wallet slot 1", salt=network_id)


def seal_slot(
    seed: DataSeed, *, kind: SlotKind, key: bytes, network_id: bytes, random: Random
) -> Slot:
    """``seed`` in a slot of ``kind``; ``key`` is its slot key, or the device's public key."""
    bound = _bound(kind, network_id)
    if kind is SlotKind.DEVICE:
        return Slot(kind, hpke.seal_to(key, seed.secret, info=bound))
    return Slot(kind, seal_box(seed.secret, key=key, bound=bound, random=random))


def unlock(slots: Iterable[Slot], keys: Mapping[SlotKind, bytes], *, network_id: bytes) -> DataSeed:
    """The seed from the first slot that one of ``keys`` opens; AccessError when none does.

    ``keys`` are slot keys by kind, and for a device its X25519 secret.
    """
    for slot in slots:
        key = keys.get(slot.kind)
        secret = None if key is None else _open_slot(slot, key, _bound(slot.kind, network_id))
        if secret is not None and len(secret) == KEY_LENGTH:
            return DataSeed(secret)
    raise AccessError(
        "none of the slots of this object opens",
        remedy="Check the phrase, the account and the network; if right, ask another node.",
    )


def _open_slot(slot: Slot, key: bytes, bound: bytes) -> bytes | None:
    if slot.kind is not SlotKind.DEVICE:
        return open_box(slot.body, key=key, bound=bound)
    try:
        return hpke.open_with(key, slot.body, info=bound)
    except AccessError:
        return None


def _bound(kind: SlotKind, network_id: bytes) -> bytes:
    return b"freehold slot 1" + bytes([kind]) + network_id


def check_slots(slots: Sequence[Slot]) -> None:
    """UsageError when a header cannot carry ``slots``: none, too many, or an oversize one."""
    sizes = all(len(slot.body) <= MAX_SLOT_LENGTH for slot in slots)
    if not 1 <= len(slots) <= MAX_SLOTS or not sizes:
        raise UsageError(
            f"a header carries 1 to {MAX_SLOTS} slots, not {len(slots)}",
            remedy="Keep at least the phrase slot, and drop slots of lost devices.",
        )
