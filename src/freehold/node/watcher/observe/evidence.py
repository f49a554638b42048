"""Batches that devices signed, fetched from the services where they report, within bounds.

Nothing that a service says is believed but what devices signed; the rest is dropped as it comes, so
it takes no room. A service can keep batches back, so every service is asked, and what any of them
has is taken. One that fails again and again is asked no more in that round.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit

from freehold.client.connection import Peer, PinnedConnection, PlainConnection, Timeouts
from freehold.client.token import Identity
from freehold.domain.errors import FreeholdError, IntegrityError, UnavailableError
from freehold.domain.ids import Address
from freehold.node.logs import fields
from freehold.node.watcher.observe.field import Watched
from freehold.node.watcher.observe.honesty import Span, genuine
from freehold.telemetry.reading import BATCH_MAX

BYTES_MAX = 2**22
"""Of the evidence of one device in one epoch and round from one service, and of all of it."""
SERVICES_MAX, EPOCHS_MAX = 8, 3
STRIKES = 3
LENGTH = 4
_READ = 2**16
_PAUSE, _PAUSES = 1.0, 30
"""Seconds to wait where a service asks for patience, and how often in a round."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epochs:
    """The epochs of pay, by which services keep evidence; seconds."""

    genesis: int
    length: int

    def of(self, span: Span) -> range:
        """The latest that a span touches."""
        last = self._at(span.until - 1)
        return range(max(self._at(span.warm), last + 1 - EPOCHS_MAX), last + 1)

    def told(self, span: Span) -> range:
        """Those without which nothing can be told of it."""
        return range(self._at(span.since), self._at(span.until - 1) + 1)

    def _at(self, moment: int) -> int:
        return max(0, moment // 1000 - self.genesis) // self.length


class _Busy(UnavailableError):
    """A service that asks for patience."""


class Evidence:
    """Asks services over HTTP, as ``identity``, which must be a watcher in service; ``timeouts``
    bound each exchange."""

    def __init__(
        self,
        network_id: bytes,
        epochs: Epochs,
        timeouts: Timeouts,
        *,
        identity: Identity,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._network_id, self._epochs, self._timeouts = network_id, epochs, timeouts
        self._identity, self._sleep, self._timer = identity, sleep, timer

    def gather(
        self,
        devices: Sequence[Watched],
        services: Sequence[Peer],
        span: Span,
        *,
        go_on: Callable[[], bool],
    ) -> dict[Address, list[bytes]]:
        """The batches of devices that any service has, as long as ``go_on`` says so; a device of
        which no service can say anything is left out."""
        strikes: Counter[Address] = Counter()
        pauses = iter(range(_PAUSES))
        found: dict[Address, list[bytes]] = {}
        for device in devices:
            for service in services[:SERVICES_MAX]:
                if not go_on():
                    return found
                if strikes[service.node] >= STRIKES:
                    continue
                try:
                    got = self._of(device, service, span, pauses)
                except FreeholdError as error:
                    strikes[service.node] += 1
                    reason = error.message
                    _log.debug("evidence", extra=fields(service=service.node, reason=reason))
                    continue
                if got is not None:
                    found[device.device] = _joined(found.get(device.device, []), got)
        return found

    def _of(
        self, device: Watched, service: Peer, span: Span, pauses: Iterator[int]
    ) -> list[bytes] | None:
        """What one service has; None where it keeps nothing of the time that is told of."""
        found: list[bytes] = []
        for epoch in self._epochs.of(span):
            got = self._patiently(service, epoch, device, span, pauses)
            if got is None and epoch in self._epochs.told(span):
                return None
            found += got or []
        return found

    def _patiently(
        self, service: Peer, epoch: int, device: Watched, span: Span, pauses: Iterator[int]
    ) -> list[bytes] | None:
        while True:
            try:
                return self._fetch(service, epoch, device, span)
            except _Busy:
                if next(pauses, None) is None:
                    raise
                self._sleep(_PAUSE)

    def _fetch(self, service: Peer, epoch: int, device: Watched, span: Span) -> list[bytes] | None:
        where = f"/epochs/{epoch}/evidence/{device.device}"
        token = self._identity.token(audience=service.node, method="GET", path=where)
        connection = connect(service, self._timeouts)
        try:
            connection.limit(BYTES_MAX)
            connection.request(
                "GET", f"{where}?since={span.warm}&until={span.until}",
                headers={"Authorization": token},
            )  # fmt: skip
            with connection.getresponse() as response:
                raw = self._body(response, service)
        except (OSError, HTTPException) as error:
            raise UnavailableError(
                f"the service {service.node} at {service.endpoint} does not answer ({error})",
                remedy="Other services are asked; its owner should look after it.",
            ) from error
        finally:
            connection.close()
        if raw is None:
            return None
        return [
            batch
            for batch in split(raw, service)
            if genuine(batch, device.did, self._network_id, span) is not None
        ]

    def _body(self, response: HTTPResponse, service: Peer) -> bytes | None:
        """None where it keeps nothing of that epoch."""
        if response.status == 404:
            return None
        if response.status != 200:
            kind = _Busy if response.status == 429 else UnavailableError
            raise kind(
                f"the service {service.node} answers {response.status}", remedy="Ask again later."
            )
        until, body = self._timer() + self._timeouts.whole(BYTES_MAX), bytearray()
        while part := response.read1(_READ):
            body += part
            if len(body) > BYTES_MAX:
                raise odd(service, f"sends more than {BYTES_MAX:,} bytes of evidence")
            if self._timer() > until:
                raise odd(service, "sends evidence too slowly")
        return bytes(body)


def connect(peer: Peer, timeouts: Timeouts) -> PinnedConnection | PlainConnection:
    """A connection, not yet open: pinned to the registry's certificate, or plain where the
    endpoint is http, since devices sign what comes over it. ``limit`` each exchange: a service that
    lets single bytes through would be waited for without end."""
    try:
        parts = urlsplit(peer.endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme == "http" and host:
        return PlainConnection(host, port or 80, timeouts=timeouts)
    return PinnedConnection(peer, timeouts=timeouts)


def split(raw: bytes, service: Peer) -> Iterator[bytes]:
    """Batches, each after its length; IntegrityError where they are cut off."""
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + LENGTH], "little")
        at += LENGTH
        if not 0 < size <= BATCH_MAX or at + size > len(raw):
            raise odd(service, "sends evidence that is cut off")
        yield raw[at : at + size]
        at += size


def odd(service: Peer, what: str) -> IntegrityError:
    """The refusal of what a service sends."""
    return IntegrityError(
        f"the service {service.node} {what}", remedy="Its owner should update it."
    )


def _joined(known: Sequence[bytes], more: Sequence[bytes]) -> list[bytes]:
    """Both, each batch once, as far as there is room for."""
    found = list(dict.fromkeys([*known, *more]))
    size = 0
    for place, batch in enumerate(found):
        size += len(batch)
        if size > BYTES_MAX:
            return found[:place]
    return found
