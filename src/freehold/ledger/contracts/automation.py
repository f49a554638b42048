"""Rules that turn a status into a command for a device, orders, and the devices' receipts."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt

OPEN, DONE, REFUSED, FAILED, LAPSED = range(5)
"""Outcomes of a command; a device's receipt says ``DONE``, ``REFUSED`` or ``FAILED``."""


@dataclass(frozen=True, slots=True)
class Rule:
    """An approved rule: fires while the status of ``subject`` and ``aspect``, settled within
    ``max_age`` seconds, is above (or below) ``threshold``.

    ``device`` is the zero address where the rule is unknown; ``last`` is the moment of the last
    trigger and ``open`` its command while nobody answered it, 0 for none. Void where ``generation``
    is no longer the device's.
    """

    device: Address
    generation: int
    subject: Address
    aspect: bytes
    above: bool
    threshold: int
    command: str
    hold: int
    cooldown: int
    max_age: int
    expiry: int
    last: int
    open: int
    revoked: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command: started no later than ``answer_by``, undone ``hold`` seconds after its start,
    so at ``until`` at the latest. Moments in seconds.

    ``device`` is the zero address where the command is unknown, ``rule`` 0 for an order. ``at`` is
    the moment of the receipt by the device's clock, ``answered_at`` by the chain's.
    """

    device: Address
    generation: int
    rule: int
    command: str
    issued_at: int
    hold: int
    answer_by: int
    until: int
    outcome: int
    detail: bytes
    at: int
    answered_at: int


class Automation(Contract):
    """Approved rules and open commands of devices."""

    name = "automation"

    def approve(
        self,
        device: Address,
        *,
        subject: Address,
        aspect: bytes,
        above: bool,
        threshold: int,
        command: str,
        hold: int,
        cooldown: int,
        max_age: int,
        expiry: int,
    ) -> Receipt:
        """Approve a rule by the device's owner; the event Approved carries its id. ``command`` has
        at most 64 bytes, ``expiry`` is a moment, the others are seconds."""
        condition = (subject, aspect, above, threshold)
        return self._send("approve", device, *condition, command, hold, cooldown, max_age, expiry)

    def revoke(self, rule: int) -> Receipt:
        """End a rule for ever; the device's owner only."""
        return self._send("revoke", rule)

    def trigger(self, rule: int) -> Receipt:
        """Turn a rule that is due into a command; anyone. The event Commanded carries its id."""
        return self._send("trigger", rule)

    def order(self, device: Address, command: str, *, hold: int) -> Receipt:
        """Command a device; its owner only. The event Commanded carries the id."""
        return self._send("order", device, command, hold)

    def acknowledge(
        self, command: int, *, outcome: int, detail: bytes, at: int, signature: bytes
    ) -> Receipt:
        """Bring a device's receipt, signed by its agent key; anyone."""
        return self._send("acknowledge", command, outcome, detail, at, signature)

    def lapse(self, command: int) -> Receipt:
        """Drop an open command: anyone after ``answer_by``, the device's owner at once."""
        return self._send("lapse", command)

    def rule(self, rule: int) -> Rule:
        """A rule."""
        return self._view(Rule, "rule", rule)

    def command(self, command: int) -> Command:
        """A command and its receipt."""
        return self._view(Command, "command", command)

    def due(self, rule: int) -> bool:
        """Whether a rule can be triggered now."""
        return self._view(bool, "due", rule)

    def rules_of(self, device: Address) -> list[int]:
        """Rules of a device in service that were not revoked, in no order; at most 64."""
        return self._views(int, "rules_of", device)

    def open_of(self, device: Address) -> list[int]:
        """Commands that wait for the receipt of a device in service, in no order; at most 16."""
        return self._views(int, "open_of", device)

    def paused(self) -> bool:
        """Whether new rules are stopped."""
        return self._view(bool, "paused")
