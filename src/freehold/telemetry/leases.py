"""Who works on a partition: leases in a key-value bucket of NATS, which expire by themselves.

A lease is renewed by compare-and-set on its revision, so of two that want it one gets it. It
keeps workers from waste; what keeps them from counting twice is the partition's file, whose lock
one process has, and whose name is bound to the partition at its first lease: a worker with
another file is refused, because that file's guard does not know what came before.
"""

from __future__ import annotations

from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.errors import (
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
)
from nats.js.kv import KeyValue

from freehold.domain.errors import ConflictError

LEASES, HOMES = "freehold-leases", "freehold-homes"


@dataclass(frozen=True, slots=True)
class Lease:
    """Held of partition ``part`` since ``revision``."""

    part: int
    revision: int


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of the worker ``owner``."""

    owner: str
    leases: KeyValue
    homes: KeyValue

    @classmethod
    async def open(cls, jetstream: JetStreamContext, *, owner: str, seconds: float) -> Leases:
        """The buckets, made where they are missing; a lease lasts ``seconds``."""
        return cls(
            owner,
            await _bucket(jetstream, LEASES, seconds),
            await _bucket(jetstream, HOMES, None),
        )

    async def take(self, part: int, home: str) -> Lease | None:
        """The lease, None while another worker has it.

        ConflictError where the partition's file is another one than ``home``.
        """
        await self._check_home(part, home)
        try:
            return Lease(part, await self.leases.create(_key(part), self.owner.encode()))
        except KeyWrongLastSequenceError:
            return await self._again(part)

    async def renew(self, lease: Lease) -> Lease | None:
        """The lease for another while, None where it was lost."""
        try:
            revision = await self.leases.update(
                _key(lease.part), self.owner.encode(), last=lease.revision
            )
        except KeyWrongLastSequenceError:
            return None
        return Lease(lease.part, revision)

    async def give_back(self, lease: Lease) -> None:
        """Let another worker have it at once."""
        try:
            await self.leases.delete(_key(lease.part), last=lease.revision)
        except KeyWrongLastSequenceError:
            return

    async def _again(self, part: int) -> Lease | None:
        """The lease that this worker had before its connection was cut."""
        try:
            entry = await self.leases.get(_key(part))
        except KeyNotFoundError:
            return None
        if entry.value != self.owner.encode() or entry.revision is None:
            return None
        return await self.renew(Lease(part, entry.revision))

    async def _check_home(self, part: int, home: str) -> None:
        try:
            await self.homes.create(_key(part), home.encode())
        except KeyWrongLastSequenceError:
            found = (await self.homes.get(_key(part))).value
            if found != home.encode():
                raise ConflictError(
                    f"partition {part} is kept in another file",
                    remedy="Start this worker on the folder that has it, or move that folder here.",
                ) from None


async def _bucket(jetstream: JetStreamContext, name: str, seconds: float | None) -> KeyValue:
    try:
        return await jetstream.key_value(name)
    except BucketNotFoundError:
        return await jetstream.create_key_value(KeyValueConfig(bucket=name, ttl=seconds))


def _key(part: int) -> str:
    return f"partition-{part}"
