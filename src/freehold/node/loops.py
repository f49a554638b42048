"""Work that a node repeats in threads; what fails is logged with its reason and tried again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from freehold.domain.errors import FreeholdError
from freehold.node.logs import fields

LONGEST_WAIT = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """A step to repeat, with ``interval`` seconds between two."""

    name: str
    step: Callable[[], None]
    interval: float


class Loop:
    """Repeats one chore in a thread until it is stopped.

    A step that raises is tried again after a wait that doubles up to a minute; ``failing``
    holds the reason meanwhile, and is empty when the last step went well.
    """

    def __init__(
        self, chore: Chore, stop: threading.Event, *, failed: Callable[[str], None]
    ) -> None:
        self.name = chore.name
        self.failing = ""
        self._chore = chore
        self._stop = stop
        self._failed = failed
        self._strikes = 0
        self._thread = threading.Thread(target=self._run, name=chore.name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, seconds: float) -> bool:
        """Wait for the thread after ``stop`` was set; False when it is still busy."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(self._once())

    def _once(self) -> float:
        """Do the step once; returns the seconds to wait before the next."""
        try:
            self._chore.step()
        except FreeholdError as error:
            return self._strike(error.message, remedy=error.remedy, trace=False)
        except Exception as error:  # noqa: BLE001 - a loop must outlive its own mistakes
            return self._strike(repr(error), remedy="Report this line.", trace=True)
        if self.failing:
            _log.info("recovered", extra=fields(loop=self.name))
        self.failing, self._strikes = "", 0
        return self._chore.interval

    def _strike(self, reason: str, *, remedy: str, trace: bool) -> float:
        self._strikes += 1
        wait = min(2.0 ** min(self._strikes - 1, 10) / 2, LONGEST_WAIT)
        if reason != self.failing or trace:
            _log.error(
                "a loop failed",
                extra=fields(loop=self.name, reason=reason, remedy=remedy, again_in=wait),
                exc_info=trace,
            )
        self.failing = reason
        self._failed(self.name)
        return wait


class Crew:
    """All loops of a node."""

    def __init__(self, *, failed: Callable[[str], None]) -> None:
        self._stop = threading.Event()
        self._failed = failed
        self._loops: list[Loop] = []

    def add(self, chore: Chore) -> None:
        """Take on a chore; it starts with ``start``."""
        self._loops.append(Loop(chore, self._stop, failed=self._failed))

    def start(self) -> None:
        """Start every loop."""
        for loop in self._loops:
            loop.start()

    @property
    def stopping(self) -> threading.Event:
        """Set once the node shuts down; long steps look at it."""
        return self._stop

    def failing(self) -> dict[str, str]:
        """The reason of every loop whose last step failed."""
        return {loop.name: loop.failing for loop in self._loops if loop.failing}

    def stop(self, seconds: float) -> list[str]:
        """Stop all loops; returns the names of those still busy after ``seconds`` each."""
        self._stop.set()
        return [loop.name for loop in self._loops if not loop.join(seconds)]
