"""Whether the device is still in service: its owner may have retired it on the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from freehold.domain.errors import ConflictError
from freehold.domain.ids import Address
from freehold.node.agent.chain import Enrolled
from freehold.node.agent.settings import Settings

LOOK_SECONDS = 60.0
"""Between two looks; a look that failed is made up for at the next call."""


class RetiredError(ConflictError):
    """The ledger has the device as retired, so nobody takes its readings any more."""


class Devices(Protocol):
    """The ledger's list of devices."""

    def enrolled(self, contract: Address, device: Address) -> Enrolled:
        """What contract ``contract`` has of a device; UnavailableError, IntegrityError."""


class Standing:
    """Looks after the standing of one device."""

    def __init__(
        self,
        settings: Settings,
        contract: Address,
        devices: Devices,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._contract, self._devices = settings, contract, devices
        self._clock, self._due = clock, 0.0

    def check(self) -> None:
        """RetiredError where the device is retired; it may be enrolled later, so an unknown one is
        left alone. Looks once a minute at most."""
        if self._due and self._clock() < self._due:
            return
        found = self._devices.enrolled(self._contract, self._settings.address)
        self._due = self._clock() + LOOK_SECONDS
        if found.generation and found.retired:
            raise self._retired(found.generation + 1)

    def _retired(self, following: int) -> RetiredError:
        name = self._settings.name
        return RetiredError(
            f"the device {name} ({self._settings.device}) is retired",
            remedy=f"Its owner enrols it again with `freehold device add {name}`; where it was "
            f"added by its code, make a new one here first: `freehold device pair {name} "
            f"--generation {following}`, with --owner and --network as before.",
        )
