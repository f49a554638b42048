"""One HTTP(S) server that the agent talks to, over one connection that is kept.

A pinned certificate is compared before the first byte is sent; where none is pinned, the
machine's authorities decide. Answers are bounded, and every wait has an end.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

from freehold.domain.errors import AccessError, IntegrityError, UnavailableError

SECONDS = 15.0
BODY_MAX = 2**20
_PART = 2**18


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said; ``wait`` is its Retry-After in seconds, 0 where it named none."""

    status: int
    body: bytes
    wait: int = 0


class Door:
    """The server of ``url``; thread-safe, one request at a time. An answer has ``limit`` bytes at
    most."""

    def __init__(
        self, url: str, *, fingerprint: str = "", seconds: float = SECONDS, limit: int = BODY_MAX
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self._limit = limit
        self._path = parts.path.rstrip("/")
        self._lock = threading.Lock()
        self._connection = _connection(
            parts.scheme, parts.hostname or "", parts.port, fingerprint, seconds
        )

    def ask(
        self, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to a request that may be repeated without harm; UnavailableError, AccessError
        where the certificate is another, IntegrityError for an answer beyond bounds."""
        with self._lock:
            kept = self._connection.sock is not None
            try:
                return self._ask(method, self._path + path, body, headers or {})
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if not kept or isinstance(error, TimeoutError):
                    raise self._silent(error) from error
            try:  # a server may close what it kept at any moment
                return self._ask(method, self._path + path, body, headers or {})
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                raise self._silent(error) from error

    def save(self, path: str, file: BinaryIO, *, headers: Mapping[str, str]) -> Answer:
        """Write the body of a GET to ``file`` where it is given, whatever its length; what is
        refused is in the answer. The errors of ``ask``."""
        with self._lock:
            self._connection.close()
            try:
                self._connection.request("GET", self._path + path, headers=dict(headers))
                response = self._connection.getresponse()
                if response.status != 200:
                    return Answer(response.status, response.read(self._limit))
                shutil.copyfileobj(response, file, _PART)
            except (OSError, http.client.HTTPException) as error:
                raise self._silent(error) from error
            finally:
                self._connection.close()
        return Answer(200, b"")

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        self._connection.request(method, path or "/", body=body or None, headers=dict(headers))
        response = self._connection.getresponse()
        content = response.read(self._limit + 1)
        if len(content) > self._limit:
            self._connection.close()
            raise IntegrityError(
                f"{self.url} answered with more than {self._limit:,} bytes",
                remedy="Check the URL in device.json.",
            )
        wait = response.headers.get("Retry-After", "0")
        return Answer(response.status, content, int(wait) if wait.isdecimal() else 0)

    def _silent(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"{self.url} does not answer ({error or type(error).__name__})",
            remedy="Check that it runs and can be reached; readings wait here meanwhile.",
        )


class _Pinned(http.client.HTTPSConnection):
    """A connection to the server whose certificate has the SHA-256 ``fingerprint``."""

    def __init__(self, host: str, port: int | None, *, seconds: float, fingerprint: bytes) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        super().__init__(host, port, timeout=seconds, context=context)
        self._fingerprint = fingerprint

    def connect(self) -> None:
        """Connect, and close again unless the certificate is the pinned one."""
        super().connect()
        check_certificate(self.sock, self._fingerprint)


def check_certificate(connected: object, fingerprint: bytes) -> None:
    """AccessError, and the connection closed, unless it shows the pinned certificate."""
    if not isinstance(connected, ssl.SSLSocket):
        raise TypeError("a TLS connection is needed")
    shown = connected.getpeercert(binary_form=True) or b""
    if hashlib.sha256(shown).digest() != fingerprint:
        connected.close()
        raise AccessError(
            "the service shows another certificate than the one that this device was paired with",
            remedy="If the owner renewed it, put its fingerprint into device.json.",
        )


def _connection(
    scheme: str, host: str, port: int | None, fingerprint: str, seconds: float
) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    if not fingerprint:
        return http.client.HTTPSConnection(host, port, timeout=seconds)
    pinned = bytes.fromhex(fingerprint.removeprefix("0x"))
    return _Pinned(host, port, seconds=seconds, fingerprint=pinned)
