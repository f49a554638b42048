"""What the service pays gas for: receipts of agents brought to the ledger, rules that are due.

Threats: receipts that nobody signed (refused at the door) or that belong to no open command (no
transaction); floods (the queue is bounded, and what a device has in it); receipts of others for a
command (each device has its own place); rules made to drain the service (so many in a minute, the
longest due first, and none while gas runs low).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from freehold.domain.errors import RefusedError, UsageError
from freehold.domain.ids import Address
from freehold.domain.receipt import Receipt
from freehold.domain.typed import Domain
from freehold.ledger.contracts.automation import OPEN, Command
from freehold.ledger.values import Receipt as Mined
from freehold.node.logs import fields
from freehold.node.telemetry.refusals import BusyError
from freehold.telemetry.members import UnknownError

QUEUE_MAX, DEVICE_MAX = 1_024, 16
"""Receipts that wait, and of one device: the contract keeps no more of its commands open."""
TURN = 16
"""Receipts of one step."""
TRIGGERS = 8
"""Rules that are triggered in a step, and the seconds between two steps."""
TRIGGER_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Automation(Protocol):
    """The contract, as far as it is used here."""

    def acknowledge(
        self, command: int, *, outcome: int, detail: bytes, at: int, signature: bytes
    ) -> Mined: ...

    def trigger(self, rule: int) -> Mined: ...

    def command(self, command: int) -> Command: ...


class Relay:
    """Takes receipts (``views.Letters``) and brings them, one transaction each."""

    def __init__(
        self, automation: Automation | None, domain: Domain | None, *,
        known: Callable[[str], bool], low: Callable[[], bool],
    ) -> None:  # fmt: skip
        """``known`` says whether a device is in service, ``low`` whether gas runs low; without a
        contract nothing is taken."""
        self._automation, self._domain = automation, domain
        self._known, self._low = known, low
        self._lock = threading.Lock()
        self._waiting: OrderedDict[tuple[Address, int], Receipt] = OrderedDict()

    def take(self, letter: bytes) -> Mapping[str, object]:
        """Keep a receipt until it is brought; UsageError, AccessError, UnknownError, BusyError.

        In memory only: agents show a receipt again until the ledger has it.
        """
        receipt = Receipt.parse(letter)
        if self._domain is None:
            raise UsageError("this network has no automation", remedy="Use another network.")
        receipt.check(self._domain)
        if not self._known(receipt.device):
            raise UnknownError(
                f"no device {receipt.device} is in service", remedy="Enrol it, then wait a block."
            )
        with self._lock:
            place = receipt.device, receipt.command
            if place not in self._waiting:
                self._check_room(receipt.device)
            self._waiting.setdefault(place, receipt)
        return {"command": receipt.command, "taken": True}

    def _check_room(self, device: Address) -> None:
        mine = sum(name == device for name, _ in self._waiting)
        if len(self._waiting) >= QUEUE_MAX or mine >= DEVICE_MAX:
            raise BusyError(
                f"{len(self._waiting)} receipts wait, {mine} of them of {device}",
                remedy="Show it again later.",
            )

    @property
    def waiting(self) -> int:
        """Receipts that wait."""
        return len(self._waiting)

    def step(self) -> None:
        """Bring what waits; UnavailableError, and then it waits on."""
        for _ in range(TURN):
            with self._lock:
                receipt = next(iter(self._waiting.values()), None)
            if receipt is None or self._automation is None or self._low():
                return
            self._bring(self._automation, receipt)
            with self._lock:
                self._waiting.pop((receipt.device, receipt.command), None)

    def _bring(self, automation: Automation, receipt: Receipt) -> None:
        try:
            command = automation.command(receipt.command)
            if command.device != receipt.device or command.outcome != OPEN:
                return
            automation.acknowledge(
                receipt.command, outcome=receipt.outcome, detail=receipt.detail, at=receipt.at,
                signature=receipt.signature,
            )  # fmt: skip
        except RefusedError as error:
            told = fields(command=receipt.command, reason=error.message)
            _log.warning("a receipt was refused", extra=told)
            return
        _log.info("acknowledged", extra=fields(command=receipt.command, device=receipt.device))


class Trigger:
    """Triggers rules of devices that report here while they are due.

    ``due`` gives their numbers, ``low`` says whether gas runs low.
    """

    def __init__(
        self, automation: Automation, *, due: Callable[[], Sequence[int]], low: Callable[[], bool]
    ) -> None:
        self._automation, self._due, self._low = automation, due, low
        self._since: dict[int, int] = {}
        self._step = 0

    def step(self) -> None:
        """Trigger those that were due at the step before too: who else triggers was not faster."""
        self._step += 1
        due = self._due()
        self._since = {rule: self._since.get(rule, self._step) for rule in due}
        for rule in _longest(self._since, self._step)[:TRIGGERS]:
            if self._low():
                return
            self._trigger(rule)

    def _trigger(self, rule: int) -> None:
        try:
            self._automation.trigger(rule)
        except RefusedError as error:
            _log.info("trigger", extra=fields(rule=rule, refused=error.message))
            return
        _log.info("triggered", extra=fields(rule=rule))


def _longest(since: Mapping[int, int], step: int) -> list[int]:
    ready: Iterable[int] = (rule for rule, first in since.items() if first < step)
    return sorted(ready, key=lambda rule: since[rule])
