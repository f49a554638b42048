"""The courier brings messages from the outbox to their hooks, and tries again.

Threats: a hook's URL that leads into the operator's own network (the name is resolved once, every
address must be public unless the hook allows otherwise, and the connection goes to that address,
so a second answer of the name service changes nothing); a receiver that redirects (not followed),
is silent (each wait is short) or answers without end (a few bytes are read, until a deadline); one
that is down (growing pauses, others are not held up); one that gets a message twice (it has the
same tag); one that keeps a connection busy for hours (only its own thread waits).
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx2

from freehold.domain.closing import Closing
from freehold.domain.errors import FreeholdError, UnavailableError
from freehold.telemetry.alerts.desk import Clock, Desk
from freehold.telemetry.alerts.hooks import Hook, Hooks
from freehold.telemetry.alerts.outbox import UNDELIVERED, Message
from freehold.telemetry.alerts.signing import HEADER, TAG, sign
from freehold.telemetry.findings import Finding, Severity

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host (and port), as texts."""
TRIES = 12
AGE = 3 * 86_400_000
"""Milliseconds after which a message is given up however often it was tried."""
FIRST, LONGEST = 2_000, 3_600_000
"""The first pause after a failure and the longest, in milliseconds."""
BATCH = 100
BODY_MAX = 4_096
_log = logging.getLogger(__name__)
_NAT64 = IPv6Network("64:ff9b::/96")


class Courier(Closing):
    """Delivers for ``desk``; one thread calls ``deliver`` again and again."""

    def __init__(
        self,
        desk: Desk,
        hooks: Hooks,
        *,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
        resolve: Resolve | None = None,
        chance: Callable[[], float] = random.random,
        tries: int = TRIES,
        timeout: float = 5.0,
    ) -> None:
        self._desk = desk
        self._hooks = hooks
        self._clock = clock
        self._resolve = resolve or _addresses
        self._chance = chance
        self._tries = tries
        self._timeout = timeout
        self._threads: dict[str, threading.Thread] = {}
        self._streaks: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._client = httpx2.Client(
            timeout=timeout,
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            # a connection is of one name, and the pool would know it by its address only
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def deliver(self) -> int:
        """Send what is due to all hooks, each in a thread of its own, and wait for them, but not
        long for one that stalls: it is left alone until it ends; how many messages arrived."""
        hooks = self._hooks.all()
        self._desk.outbox.forget([hook.name for hook in hooks])
        arrived: Counter[str] = Counter()
        deadline = time.monotonic() + 4 * self._timeout
        for hook in hooks:
            before = self._threads.get(hook.name)
            if before is None or not before.is_alive():
                bring = threading.Thread(target=self._bring, args=(hook, arrived), daemon=True)
                self._threads[hook.name] = bring
                bring.start()
        for hook in hooks:
            self._threads[hook.name].join(max(0.0, deadline - time.monotonic()))
        return arrived.total()

    def _bring(self, hook: Hook, arrived: Counter[str]) -> None:
        try:
            for message in self._desk.outbox.due(hook.name, self._clock(), limit=BATCH):
                try:
                    self._send(hook, message)
                except (httpx2.HTTPError, FreeholdError, OSError, ValueError) as error:
                    self._failed(hook, message, error)
                    break
                self._desk.outbox.delivered(message)
                self._streaks[hook.name] = 0
                arrived[hook.name] += 1
            self._give_up(hook)
        except FreeholdError as error:
            # the desk's own file: what was not noted is sent again, with the same tag
            _log.warning("messages to %s: %s", hook.name, error)

    def _send(self, hook: Hook, message: Message) -> None:
        url = httpx2.URL(hook.url)
        address = self._address(hook, url)
        body = message.body.encode()
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            HEADER: sign(hook.secret, body, self._clock() // 1000),
            TAG: message.tag,
        }
        deadline = time.monotonic() + 2 * self._timeout
        with self._client.stream(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers=headers,
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        ) as answer:
            _drain(answer, deadline)
            if not 200 <= answer.status_code < 300:
                raise UnavailableError(
                    f"{hook.name} answered {answer.status_code}", remedy="Look at its receiver."
                )

    def _address(self, hook: Hook, url: httpx2.URL) -> str:
        port = url.port or (443 if url.scheme == "https" else 80)
        found = [ip_address(each) for each in self._resolve(url.host, port)]
        if not found:
            raise UnavailableError(f"{url.host} has no address", remedy="Check the URL.")
        if not hook.private and not all(map(_public, found)):
            raise UnavailableError(
                f"{url.host} is an address of a private network",
                remedy="If that is meant, allow it for this hook (private).",
            )
        return str(found[0])

    def _failed(self, hook: Hook, message: Message, error: Exception) -> None:
        """Wait longer after each failure in a row, by chance a little more or less."""
        streak = self._streaks[hook.name]
        self._streaks[hook.name] = min(streak + 1, 30)
        self._reasons[hook.name] = str(error)
        pause = min(FIRST << streak, LONGEST)
        due = self._clock() + int(pause * (0.5 + self._chance()))
        self._desk.outbox.postpone(message, due)

    def _give_up(self, hook: Hook) -> None:
        now = self._clock()
        count = self._desk.outbox.give_up(hook.name, tries=self._tries, before=now - AGE)
        if not count:
            return
        reason = self._reasons.get(hook.name, "too old")
        finding = Finding(
            key=f"{UNDELIVERED} {hook.name} {now}", kind=UNDELIVERED, subject=hook.name, metric="",
            since=now, at=now, severity=Severity.WARNING, score=1.0,
            reason=f"given up, messages: {count}; {reason}",
        )  # fmt: skip
        self._desk.tell([finding])


def _drain(answer: httpx2.Response, deadline: float) -> None:
    """Read a little of the answer, so that its sender sees it taken."""
    read = 0
    for chunk in answer.iter_raw():
        read += len(chunk)
        if read > BODY_MAX or time.monotonic() > deadline:
            return


def _addresses(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        # an address of the old kind inside one of the new is judged by itself
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return _public(inner)
        if address in _NAT64:
            return _public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast
