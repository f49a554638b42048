"""An HTTPS connection to a node whose certificate is the one that the registry names."""

from __future__ import annotations

import hmac
import re
import ssl
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPSConnection
from urllib.parse import urlsplit

from freehold.domain.errors import IntegrityError, UsageError
from freehold.domain.ids import Address


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a node answers: its https endpoint and the sha256 of its DER certificate."""

    node: Address
    endpoint: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, and seconds that a connection may stay silent."""

    connect: float = 10.0
    idle: float = 30.0


class ImposterError(IntegrityError):
    """Another machine answers at a node's endpoint."""


class PinnedConnection(HTTPSConnection):
    """Sends nothing before the certificate's fingerprint was compared.

    Nodes sign their own certificates, so no authority can vouch for them: the handshake proves
    that the machine holds the certificate's key, and the registry says whose certificate it is.
    """

    def __init__(self, peer: Peer, *, timeouts: Timeouts) -> None:
        host, port = _place(peer)
        super().__init__(host, port, timeout=timeouts.connect, context=_context())
        self._peer = peer
        self._idle = timeouts.idle

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
        sock.settimeout(self._idle)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
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
