"""How batches leave a device: one request each over HTTP, or MQTT with receipts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import Address
from freehold.node.agent.buffer import Sealed
from freehold.node.agent.door import Answer, Door

Settle = Callable[[Sealed, str], None]
"""Told of each batch that is done with: why it was refused for good, "" where it counts."""
NEVER = frozenset(
    {
        "MalformedError", "NotAReadingError", "WrongUnitError", "BackwardsError", "ForeignError",
        "TooLargeError", "RollbackError", "AlteredError", "StaleError", "ForgedError",
    }
)  # fmt: skip
"""Refusals that sending again cannot change."""
SEEN = "ReplayError"
"""The receiver no longer knows whether it took the batch, so it will not take it again."""


class LaterError(UnavailableError):
    """The service asks to wait ``wait`` seconds."""

    wait: int = 0


class Transport(Protocol):
    """A way to one service."""

    window: int

    def send(self, batches: Sequence[Sealed], settle: Settle) -> None:
        """Send at most ``window`` batches in order and settle those that are durable where they
        count; UnavailableError or AccessError when the rest must wait."""

    def close(self) -> None:
        """Close connections."""


class Http:
    """``POST /readings`` for each batch."""

    window = 16

    def __init__(self, door: Door) -> None:
        self._door = door

    def send(self, batches: Sequence[Sealed], settle: Settle) -> None:
        """One after the other, each settled as it is answered."""
        for batch in batches:
            answer = self._door.ask(
                "POST",
                "/readings",
                batch.data,
                headers={"Content-Type": "application/octet-stream"},
            )
            settle(batch, _verdict(answer))

    def close(self) -> None:
        """Close the connection."""
        self._door.close()


def open_transport(url: str, *, device: Address, fingerprint: str) -> Transport:
    """The way to the service at ``url``."""
    if urlsplit(url).scheme in ("http", "https"):
        return Http(Door(url, fingerprint=fingerprint))
    from freehold.node.agent.mqtt import Mqtt

    return Mqtt(url, device=device, fingerprint=fingerprint)


def refusal(answer: Answer) -> tuple[str, str]:
    """Kind and message of a refusal in JSON; empty texts where it is not one of ours."""
    try:
        found = parse_document(answer.body)
    except MalformedError:
        found = None
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("kind", ""))[:64], str(found.get("error", ""))[:300]


def _verdict(answer: Answer) -> str:
    if answer.status == 200:
        return ""
    kind, message = refusal(answer)
    if kind == SEEN:
        return ""
    if kind in NEVER:
        return f"{kind}: {message}"
    raise later(answer)


def later(answer: Answer) -> LaterError:
    """The error of a service that does not take something now, and may later."""
    _, message = refusal(answer)
    error = LaterError(
        f"the service answers {answer.status}: {message or 'no reason'}",
        remedy="The agent tries again; look at the device with `freehold device show`.",
    )
    error.wait = answer.wait
    return error
