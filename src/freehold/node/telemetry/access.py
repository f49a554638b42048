"""Who may ask for what: the administrator, owners of devices, buyers of readings, watchers.

The administrator has the token in the service's home, so whoever can read that file. Accounts
sign a request token for each request, as they do for a node. Rates are limited by address and by
device, in tables that do not grow: an address that is forgotten begins anew, no worse than a new
one. Addresses of IPv6 count by their /64, which one household has.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Protocol

from freehold.domain.files import write_whole
from freehold.domain.ids import Address, address
from freehold.node.files import disk
from freehold.node.refusals import MissingTokenError
from freehold.node.telemetry.refusals import BusyError, NotYoursError
from freehold.node.tokens import SCHEME, Gate
from freehold.telemetry.sources import BadTokenError

ADMIN = "admin.token"
BEARER = "Bearer "
TOKEN = 32
PEER_RATE, PEER_BURST = 200.0, 2_000.0
"""Requests of one address: many devices may stand behind one."""
DEVICE_RATE, DEVICE_BURST = 5.0, 600.0
"""Batches of one device or source: what was kept back while it was offline comes at once."""
NAMES_KEPT = 65_536
TOKEN_MAX = 256
"""Characters of a bearer's token that are looked at."""


@dataclass(frozen=True, slots=True)
class Want:
    """Readings that somebody asks for: of ``metrics`` (none named: all) from ``since`` to before
    ``until``, milliseconds."""

    metrics: tuple[str, ...] = ()
    since: int = 0
    until: int = 2**53


class Rights(Protocol):
    """Whose devices are whose; answers from memory."""

    def owner_of(self, device: str) -> Address | None:
        """The owner of the device, node or source with this id."""

    def may_read(self, account: Address, device: str, want: Want) -> bool:
        """Whether ``account`` owns it, or bought all that it wants of it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an account, or the administrator (None)."""

    account: Address | None

    @property
    def name(self) -> str:
        """What is written down of who did something."""
        return self.account or "administrator"


class Access:
    """Admits requests to what is not for everybody."""

    def __init__(
        self, *, admin: str, gate: Gate, rights: Rights, watches: Callable[[Address], bool]
    ) -> None:
        """``watches`` says whether an account is a watcher in service."""
        self._admin, self._gate, self._rights = _hash(admin), gate, rights
        self._watches = watches

    def admit(self, header: str | None, *, method: str, path: str, body: bytes | None) -> Caller:
        """Who sent this request; MissingTokenError, BadTokenError or a TokenError.

        May ask the chain, so call it in a thread.
        """
        if header is not None and header.startswith(SCHEME):
            return Caller(self._gate.admit(header, method=method, path=path, body=body))
        if header is None:
            raise MissingTokenError(
                "the request carries no token",
                remedy=f"Sign it (`Authorization: {SCHEME}<token>`), or send the administrator's.",
            )
        if not compare_digest(_hash(bearer(header)), self._admin):
            raise BadTokenError(
                "this is not the administrator's token",
                remedy=f"Send the one in {ADMIN} in the service's home, or sign the request.",
            )
        return Caller(None)

    def check_reader(self, caller: Caller, device: str, want: Want) -> None:
        """NotYoursError unless the caller may read what it wants of ``device``."""
        if caller.account is not None and not self._rights.may_read(caller.account, device, want):
            raise _not_yours(device)

    def shown(self, caller: Caller, device: str, want: Want, *, epoch: Want) -> Want:
        """What the caller may see of the batches of ``device`` that it wants: its owner, a watcher
        and the administrator all, who bought all metrics of ``epoch`` what is of that epoch.

        NotYoursError. May ask the chain, so call it in a thread.
        """
        account = caller.account
        if account is None or self.owns(caller, device) or self._watches(account):
            return want
        if not self._rights.may_read(account, device, epoch):
            raise NotYoursError(
                f"the evidence of {device} is not yours to see",
                remedy="Sign as its owner or as a watcher in service, or buy all its metrics of "
                "that epoch (metric=*). Statement and leaves are for everybody.",
            )
        return Want((), max(want.since, epoch.since), min(want.until, epoch.until))

    def check_owner(self, caller: Caller, device: str) -> None:
        """NotYoursError unless the caller owns ``device``, or is the administrator."""
        if caller.account is not None and self._rights.owner_of(device) != caller.account:
            raise _not_yours(device)

    def owns(self, caller: Caller, device: str) -> bool:
        """As ``check_owner``."""
        return caller.account is None or self._rights.owner_of(device) == caller.account


def bearer(header: str | None) -> str:
    """The token of an Authorization header of that scheme; MissingTokenError."""
    if header is None or not header.startswith(BEARER):
        raise MissingTokenError(
            "the request carries no token", remedy="Send `Authorization: Bearer <token>`."
        )
    return header.removeprefix(BEARER)[:TOKEN_MAX]


def admin_token(home: Path, random: Callable[[int], bytes]) -> str:
    """The administrator's token, drawn at the first start (file of mode 0600)."""
    file = home / ADMIN
    with disk(file):
        try:
            with file.open(encoding="ascii", errors="replace") as opened:
                kept = opened.read(TOKEN_MAX).strip()
        except FileNotFoundError:
            kept = ""
        if len(kept) >= TOKEN:
            return kept
        token = random(TOKEN).hex()
        write_whole(file, token.encode() + b"\n")
    return token


def subject(text: str) -> str:
    """The id in its one form: addresses with their checksum; UsageError."""
    return text[:64] if text.startswith("source:") else address(text[:64])


def peer(host: str) -> str:
    """What an address counts as when rates are limited."""
    if ":" not in host:
        return host
    try:
        found = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    return str(found.ipv4_mapped or int(found) >> 64)


class Limiter:
    """Token buckets: ``rate`` a second and ``burst`` at once, for the ``kept`` latest names.

    ``clock`` gives seconds that never run backwards. For one thread.
    """

    def __init__(self, *, rate: float, burst: float, kept: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._kept, self._clock = rate, burst, kept, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, name: str) -> None:
        """BusyError when ``name`` has nothing left."""
        left = self._left(name, self._clock())
        if left < 1:
            raise BusyError(
                f"{name} sends more than {self._rate:g} requests a second",
                remedy="Send larger batches less often.",
                seconds=(1 - left) / self._rate,
            )

    def charge(self, name: str) -> None:
        """Count one."""
        now = self._clock()
        self._buckets[name] = (self._left(name, now) - 1, now)
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._kept:
            self._buckets.popitem(last=False)

    def spend(self, name: str) -> None:
        """``check`` and ``charge``."""
        self.check(name)
        self.charge(name)

    def _left(self, name: str, now: float) -> float:
        left, since = self._buckets.get(name, (self._burst, now))
        return min(self._burst, left + (now - since) * self._rate)


def _hash(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()


def _not_yours(device: str) -> NotYoursError:
    return NotYoursError(
        f"{device} is not yours to see",
        remedy="Sign with the account that owns it, or name metrics and a span that you bought.",
    )
