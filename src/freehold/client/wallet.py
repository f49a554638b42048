"""What an account's programs need unlocked: its key, its data seed, and the slots it travels in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.markets.storage.keys import (
    DataSeed,
    Slot,
    SlotKind,
    phrase_slot_key,
    seal_slot,
    unlock,
)


@dataclass(frozen=True, slots=True)
class Wallet:
    """An unlocked account of one network; ``slots`` go into the header of every object."""

    key: Key = field(repr=False)
    seed: DataSeed = field(repr=False)
    slots: tuple[Slot, ...]

    @property
    def account(self) -> Address:
        """The address of the key."""
        return self.key.address

    @classmethod
    def create(cls, key: Key, *, network_id: bytes, random: Callable[[int], bytes]) -> Wallet:
        """The wallet of ``key`` with the account's first data seed, which its phrase opens."""
        seed = DataSeed.of(key, network_id)
        slot = seal_slot(
            seed,
            kind=SlotKind.PHRASE,
            key=phrase_slot_key(key, network_id),
            network_id=network_id,
            random=random,
        )
        return cls(key, seed, (slot,))

    @classmethod
    def unlock(cls, key: Key, slots: Iterable[Slot], *, network_id: bytes) -> Wallet:
        """The wallet whose ``slots`` the account's key opens; AccessError when it opens none."""
        found = tuple(slots)
        keys = {SlotKind.PHRASE: phrase_slot_key(key, network_id)}
        return cls(key, unlock(found, keys, network_id=network_id), found)
