"""A disk that forgets: at a crash, what was not synced may be there in part, or not at all."""

from __future__ import annotations

from random import Random

from freehold.ledger.devnet.disk import Appendable


class Crash(BaseException):
    """The power went out."""


class LossyDisk:
    """Files in memory. ``fuse`` counts writes and syncs down to a crash; after ``reboot`` only
    what was synced is sure to be there."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.durable: dict[str, bytes] = {}
        self.pending: dict[str, bytes] = {}
        self.fuse: int | None = None
        self.full = False

    def burn(self) -> None:
        """One step nearer to the crash."""
        if self.full:
            raise OSError(28, "No space left on device")
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Crash

    def reboot(self) -> None:
        """Lose what was not synced, or keep a part of it, in 512-byte sectors or torn."""
        for name, data in self.pending.items():
            kept = self.random.randrange(len(data) + 1)
            tail = data[:kept]
            if self.random.random() < 0.3:
                tail = bytes(kept)  # the length was written, the sectors were not
            self.durable[name] = self.durable.get(name, b"") + tail
        self.pending.clear()
        self.fuse = None

    # --- Disk ------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """All files."""
        return sorted(self.durable)

    def read(self, name: str) -> bytes:
        """A file as a running system sees it."""
        if name not in self.durable:
            raise FileNotFoundError(name)
        return self.durable[name] + self.pending.get(name, b"")

    def replace(self, name: str, data: bytes) -> None:
        """Whole or not at all."""
        self.burn()
        self.durable[name] = data
        self.pending.pop(name, None)

    def append_to(self, name: str, *, keep: int) -> Appendable:
        """Cut and open."""
        self.burn()
        self.durable[name] = self.read(name)[:keep]
        self.pending.pop(name, None)
        return LossyFile(self, name)

    def remove(self, name: str) -> None:
        """Forget a file."""
        self.burn()
        self.durable.pop(name, None)
        self.pending.pop(name, None)


class LossyFile:
    """An open file of a lossy disk."""

    def __init__(self, disk: LossyDisk, name: str) -> None:
        self.disk = disk
        self.name = name

    def append(self, data: bytes) -> None:
        """Into the cache."""
        self.disk.pending[self.name] = self.disk.pending.get(self.name, b"") + data
        self.disk.burn()

    def sync(self) -> None:
        """Onto the disk."""
        self.disk.burn()
        self.disk.durable[self.name] += self.disk.pending.pop(self.name, b"")

    def close(self) -> None:
        """Nothing to do."""
