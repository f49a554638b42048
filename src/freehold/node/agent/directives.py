"""What the owner told this device to do, taken from the service and checked here.

The last directive that counted is kept, so that an old one cannot come back after a restart; its
orders hold until its expiry. What the owner did not sign changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.domain.errors import AccessError, FreeholdError
from freehold.domain.files import write_whole
from freehold.domain.ids import address
from freehold.node.agent.door import Answer, Door
from freehold.node.agent.settings import Settings
from freehold.node.agent.transports import later

if TYPE_CHECKING:
    from freehold.domain.directive import SignedDirective
    from freehold.domain.typed import Domain

FILE = "directive.json"


@dataclass(frozen=True, slots=True)
class Pace:
    """How a device reports now: seconds between readings, readings in a batch, the score from
    which one is urgent, and metrics that are switched off."""

    interval: int
    batch: int
    threshold: float
    metrics: Mapping[str, bool] = field(default_factory=dict)


class Directives:
    """The orders of one device's owner; of one thread, while ``pace`` may be read by any."""

    def __init__(self, folder: Path, settings: Settings, *, clock: Callable[[], float]) -> None:
        self._file, self._settings, self._clock = folder / FILE, settings, clock
        self._last: SignedDirective | None = None
        if self._file.is_file():
            self._last = self._restored()

    def pace(self) -> Pace:
        """What holds now: the last directive's orders until its end, else the settings."""
        own, last = self._settings, self._last
        if last is None or last.directive.expiry <= self._clock():
            return Pace(own.interval, own.batch, own.threshold)
        orders = last.orders
        edge = orders.edge_threshold
        return Pace(
            orders.interval or own.interval,
            orders.batch or own.batch,
            own.threshold if edge is None else edge,
            orders.metrics,
        )

    def poll(self, door: Door) -> bool:
        """Ask the service; whether there was a new directive. UnavailableError, or the error of
        one that the owner did not sign."""
        answer = door.ask("GET", f"/directives/{self._settings.device}")
        if answer.status in (204, 404):
            return False
        if answer.status != 200:
            raise later(answer)
        return self.take(answer)

    def take(self, answer: Answer) -> bool:
        """Keep the directive of an answer, unless it is the one that is known."""
        from freehold.domain.directive import SignedDirective

        found = SignedDirective.parse(answer.body)
        if self._last is not None and found == self._last:
            return False
        after = 0 if self._last is None else self._last.directive.sequence
        self._check(found, after)
        write_whole(self._file, found.render().encode())
        self._last = found
        return True

    def _restored(self) -> SignedDirective | None:
        """The kept directive; one that is damaged is as none, but then old ones may come back."""
        from freehold.domain.directive import SignedDirective

        try:
            return SignedDirective.parse(self._file.read_bytes())
        except (OSError, FreeholdError):
            return None

    def _check(self, found: SignedDirective, after: int) -> None:
        own = self._settings
        now = int(self._clock())
        found.check(devices_domain(own), owner=own.owner_address, after=after, now=now)
        if found.directive.device != own.address:
            raise AccessError(
                f"the directive is for device {found.directive.device}",
                remedy="See that the service gives each device its own.",
            )


def devices_domain(settings: Settings) -> Domain:
    """Where directives and consents count."""
    from freehold.domain.typed import Domain

    return Domain(
        "Freehold devices", settings.chain_id, address(settings.devices), settings.network
    )
