"""Which devices report: owner, keys, binding, payout, a commitment to where they stand."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Device:
    """An enrolled device; generation 0 where it is unknown.

    ``key`` is its did:key in multicodec form (`Did.read`), ``binding`` that key's signature, which
    the contract did not check (`pairing.check`); ``place`` is a salted hash.
    """

    owner: Address
    payout: Address
    generation: int
    enrolled_at: int
    retired: bool
    key: bytes
    binding: bytes
    place: bytes
    firmware: str


class Devices(Contract):
    """The list of devices."""

    name = "devices"

    def enroll(
        self,
        device: Address,
        *,
        key: bytes,
        binding: bytes,
        place: bytes,
        firmware: str,
        payout: Address,
        deadline: int,
        consent: bytes,
    ) -> Receipt:
        """Enrol a device under the sender; ``consent`` is the agent key's signature, ``firmware``
        at most 32 bytes. A new device burns ``fee`` of the sender's approved tokens."""
        told = (device, key, binding, place, firmware, payout, deadline, consent)
        return self._send("enroll", *told)

    def update(self, device: Address, *, place: bytes, payout: Address) -> Receipt:
        """Change where a device stands and where it is paid; its owner only."""
        return self._send("update", device, place, payout)

    def report(self, device: Address, firmware: str) -> Receipt:
        """Tell the firmware of a device; its owner or its own key."""
        return self._send("report", device, firmware)

    def retire(self, device: Address) -> Receipt:
        """Take a device out of service, and with it its rules; its owner only."""
        return self._send("retire", device)

    def device(self, device: Address) -> Device:
        """A device's entry."""
        return self._view(Device, "device", device)

    def owner_of(self, device: Address) -> Address:
        """A device's owner, the zero address where there is none."""
        return self._view(Address, "owner_of", device)

    def payout_of(self, device: Address) -> Address:
        """Where a device's earnings go."""
        return self._view(Address, "payout_of", device)

    def key_of(self, device: Address) -> bytes:
        """A device's did:key in multicodec form, empty where it is unknown."""
        return self._view(bytes, "key_of", device)

    def active(self, device: Address) -> bool:
        """Whether a device is enrolled and not retired."""
        return self._view(bool, "active", device)

    def generation_of(self, device: Address) -> int:
        """The generation in service, 0 where the device is unknown or retired."""
        return self._view(int, "generation_of", device)

    def count(self) -> int:
        """How many devices were ever enrolled."""
        return self._view(int, "count")

    def at(self, index: int) -> Address:
        """The device at a position below ``count``."""
        return self._view(Address, "at", index)

    def fee(self) -> int:
        """Base units that a new device burns; 0 where it is free."""
        return self._view(int, "fee")

    def paused(self) -> bool:
        """Whether new enrolments are stopped."""
        return self._view(bool, "paused")
