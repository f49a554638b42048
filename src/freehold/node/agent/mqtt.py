"""Batches over MQTT 3.1.1, QoS 1: a batch is delivered once the broker's PUBACK came.

The session is clean: what is not acknowledged stays in the buffer, not in the client. A pinned
certificate is looked at over a connection of its own first, and then is the only one that the
real connection trusts, so nothing is said to an impostor.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from freehold.domain.errors import UnavailableError
from freehold.domain.ids import Address
from freehold.node.agent.buffer import Sealed
from freehold.node.agent.door import check_certificate
from freehold.node.agent.transports import Settle

SECONDS = 15.0
KEEPALIVE = 60
TOPIC = "fh/dev/"


class Mqtt:
    """A connection to the broker of ``mqtt://[user:password@]host[:port]``, or ``mqtts://``."""

    window = 20

    def __init__(
        self, url: str, *, device: Address, fingerprint: str = "", seconds: float = SECONDS
    ) -> None:
        self._parts = urlsplit(url)
        self._tls = self._parts.scheme == "mqtts"
        self._host = self._parts.hostname or ""
        self._port = self._parts.port or (8883 if self._tls else 1883)
        self._device, self._fingerprint, self._seconds = device, fingerprint, seconds
        self._topic = TOPIC + device.lower().removeprefix("0x")
        self._client: Client | None = None

    def send(self, batches: Sequence[Sealed], settle: Settle) -> None:
        """Publish all, then settle each whose acknowledgement came in time."""
        client = self._client or self._connect()
        try:
            told = [(b, client.publish(self._topic, b.data, qos=1)) for b in batches]
            deadline = time.monotonic() + self._seconds
            for batch, info in told:
                if not _acknowledged(info, deadline):
                    raise self._silent("it did not acknowledge in time")
                settle(batch, "")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the broker; what it did not acknowledge is sent again another time."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, ValueError):
                client.disconnect()
            client.loop_stop()

    def _connect(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._device,
            clean_session=True,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(self.window)
        client.connect_timeout = self._seconds
        if self._parts.username is not None:
            client.username_pw_set(
                unquote(self._parts.username), unquote(self._parts.password or "")
            )
        try:
            if self._tls:
                client.tls_set_context(self._context())
                client.tls_insecure_set(bool(self._fingerprint))
            self._greet(client)
        except (OSError, ValueError) as error:
            client.loop_stop()
            raise self._silent(str(error)) from error
        except BaseException:
            client.loop_stop()
            raise
        self._client = client
        return client

    def _greet(self, client: Client) -> None:
        """Connect, and wait until the broker agreed."""
        answered = threading.Event()
        refused: list[str] = []

        def on_connect(
            _client: Client, _data: object, _flags: object, code: ReasonCode, _more: object
        ) -> None:
            if code.is_failure:
                refused.append(str(code))
            answered.set()

        client.on_connect = on_connect
        client.connect(self._host, self._port, keepalive=KEEPALIVE)
        client.loop_start()
        if not answered.wait(self._seconds) or refused:
            raise self._silent(refused[0] if refused else "no CONNACK in time")

    def _context(self) -> ssl.SSLContext:
        if not self._fingerprint:
            return ssl.create_default_context()
        pinned = bytes.fromhex(self._fingerprint.removeprefix("0x"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=self._certificate(pinned))
        return context

    def _certificate(self, pinned: bytes) -> bytes:
        """The certificate that the broker shows, once it is the pinned one."""
        probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        probe.check_hostname, probe.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((self._host, self._port), timeout=self._seconds) as raw,
            probe.wrap_socket(raw, server_hostname=self._host) as connected,
        ):
            check_certificate(connected, pinned)
            return connected.getpeercert(binary_form=True) or b""

    def _silent(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"the broker {self._host}:{self._port} does not answer: {reason}",
            remedy="Check that it runs and can be reached; readings wait here meanwhile.",
        )


def _acknowledged(info: MQTTMessageInfo, deadline: float) -> bool:
    try:
        info.wait_for_publish(max(0.0, deadline - time.monotonic()))
        return info.is_published()
    except (RuntimeError, ValueError):  # the connection was lost, or its queue is full
        return False
