"""An HTTPS connection to a node whose certificate is the one that the registry names."""

from __future__ import annotations

import hmac
import math
import re
import socket
import ssl
import time
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from freehold.domain.errors import IntegrityError, UsageError
from freehold.domain.ids import Address

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a node answers: its https endpoint and the sha256 of its DER certificate."""

    node: Address
    endpoint: str
    fingerprint: bytes


SLOWEST = 16 * 1024
"""Bytes a second below which an exchange is cut off."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, and seconds that a connection may stay silent."""

    connect: float = 10.0
    idle: float = 30.0

    def whole(self, length: int) -> float:
        """Seconds that an exchange of about ``length`` bytes may take in all."""
        return self.idle + length / SLOWEST


class ImposterError(IntegrityError):
    """Another machine answers at a node's endpoint."""


class _TimedSocket(ssl.SSLSocket):
    """Gives up at a moment, however steadily the other side lets single bytes through."""

    idle = 0.0
    until = math.inf

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        _hurry(self)
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        _hurry(self)
        return super().send(data, flags)


class _TimedPlainSocket(socket.socket):
    """As above, without TLS."""

    idle = 0.0
    until = math.inf

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        _hurry(self)
        return super().recv_into(buffer, nbytes, flags)


def _hurry(timed: _TimedSocket | _TimedPlainSocket) -> None:
    left = timed.until - time.monotonic()
    if left < timed.idle:
        if left <= 0:
            raise TimeoutError("the exchange takes too long")
        timed.settimeout(left)


class PlainConnection(HTTPConnection):
    """HTTP without TLS whose exchanges can be bounded as those of ``PinnedConnection``."""

    def __init__(self, host: str, port: int, *, timeouts: Timeouts) -> None:
        super().__init__(host, port, timeout=timeouts.connect)
        self._timeouts = timeouts

    def connect(self) -> None:
        """Open the connection."""
        super().connect()
        self.sock = _TimedPlainSocket(fileno=self.sock.detach())
        self.sock.settimeout(self._timeouts.idle)

    def limit(self, length: int) -> None:
        """Connect if need be, and bound the exchange of about ``length`` bytes that begins."""
        if self.sock is None:
            self.connect()
        if isinstance(self.sock, _TimedPlainSocket):
            self.sock.until = time.monotonic() + self._timeouts.whole(length)
            self.sock.idle = self._timeouts.idle


class PinnedConnection(HTTPSConnection):
    """Sends nothing before the certificate's fingerprint was compared.

    Nodes sign their own certificates, so no authority can vouch for them: the handshake proves
    that the machine holds the certificate's key, and the registry says whose certificate it is.
    """

    def __init__(self, peer: Peer, *, timeouts: Timeouts) -> None:
        host, port = _place(peer)
        super().__init__(host, port, timeout=timeouts.connect, context=_context())
        self._peer = peer
        self._timeouts = timeouts

    def connect(self) -> None:
        """Open the connection; ImposterError when the certificate is another one."""
        super().connect()
        sock = self.sock
        certificate = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else b""
        found = sha256(certificate or b"").digest()
        if not hmac.compare_digest(found, self._peer.fingerprint):
            self.close()
            raise ImposterError(
                f"node {self._peer.node} at {self._peer.endpoint} shows certificate "
                f"{found.hex()[:16]}, the registry names {self._peer.fingerprint.hex()[:16]}",
                remedy="Wait for its owner to announce the new certificate, or use other nodes.",
            )
        sock.settimeout(self._timeouts.idle)

    def limit(self, length: int) -> None:
        """Connect if need be, and let the exchange of about ``length`` bytes that begins take no
        longer than the slowest bearable node would."""
        if self.sock is None:
            self.connect()
        if isinstance(self.sock, _TimedSocket):
            self.sock.until = time.monotonic() + self._timeouts.whole(length)
            self.hurry(self._timeouts.idle)

    def hurry(self, idle: float) -> None:
        """Bear only so many seconds of silence in what is left of the exchange."""
        if isinstance(self.sock, _TimedSocket):
            self.sock.idle = idle
            self.sock.settimeout(idle)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _TimedSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # no authority: ``connect`` compares the fingerprint
    return context


def _place(peer: Peer) -> tuple[str, int]:
    try:
        parts = urlsplit(peer.endpoint)
        host, port = parts.hostname, parts.port or 443
    except ValueError:
        host, port = None, 0
    plain = re.fullmatch(r"[0-9A-Za-z.:_-]{1,253}", host or "") is not None
    if not plain or host is None or parts.scheme != "https" or parts.path not in ("", "/"):
        raise UsageError(
            f"node {peer.node} announces {peer.endpoint!r}, which is no https endpoint",
            remedy="Its owner must announce https://host:port.",
        )
    return host, port
