"""Batches over MQTT 3.1.1, QoS 1: a batch is delivered once a worker's receipt for it came.

The broker's PUBACK says only that it has the batch, and a power cut may take it from there. So a
batch stays in the buffer until the worker that made it durable says on ``fh/ack/`` and the
device's id that it counts, or that the guard refused it; what has no receipt is sent again, which
the guard makes harmless. The session is clean: what is under way is known here, not in the client.

Receipts are the broker's word: it lets only workers publish them, and whoever runs it could drop
batches anyway. A pinned certificate is looked at over a connection of its own first, and then is
the only one that the real connection trusts, so nothing is said to an impostor.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from freehold.domain.errors import UnavailableError
from freehold.domain.ids import Address
from freehold.node.agent.buffer import Sealed
from freehold.node.agent.door import check_certificate
from freehold.node.agent.transports import Settle

SECONDS = 15.0
"""For a connection, and for the acknowledgements and receipts of a window."""
KEEPALIVE = 60
TOPIC, RECEIPTS = "fh/dev/", "fh/ack/"
RECEIPT = struct.Struct("<QQB")
"""Boot, sequence number, and 1 where the batch counts or 0 where it was refused for good."""
RECEIPTS_MAX = 4_096
"""Receipts that one message may have."""
REFUSED = "the service refuses it as replayed or beyond its limits"
_LOOK = 0.2
_Place = tuple[int, int]


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
        self._name = device.lower().removeprefix("0x")
        self._client: Client | None = None
        self._news = threading.Condition()
        self._receipts: dict[_Place, bool | None] = {}

    def send(self, batches: Sequence[Sealed], settle: Settle) -> None:
        """Publish those without a receipt, then settle each as its receipt comes.

        UnavailableError where some have none in time; a receipt that is late settles its batch
        when it is given again.
        """
        client = self._client or self._connect()
        deadline = time.monotonic() + self._seconds
        waiting = {(batch.boot, batch.sequence): batch for batch in batches}
        with self._news:  # only what is asked for is listened to, so that this stays small
            self._receipts = {place: self._receipts.get(place) for place in waiting}
        self._settle(waiting, settle)
        try:
            self._publish(client, list(waiting.values()), deadline)
        except BaseException:
            self.close()
            raise
        finally:
            self._settle(waiting, settle)
        while waiting:
            if not self._heard(client, deadline):
                raise self._uncounted(len(waiting))
            self._settle(waiting, settle)

    def close(self) -> None:
        """Leave the broker; what has no receipt is sent again another time."""
        with self._news:
            client, self._client = self._client, None
            self._news.notify_all()
        if client is not None:
            with suppress(OSError, ValueError):
                client.disconnect()
            client.loop_stop()

    def _publish(self, client: Client, batches: Sequence[Sealed], deadline: float) -> None:
        topic = TOPIC + self._name
        for info in [client.publish(topic, batch.data, qos=1) for batch in batches]:
            if not _acknowledged(client, info, deadline):
                raise self._silent("it did not acknowledge in time")

    def _heard(self, client: Client, deadline: float) -> bool:
        """Wait for a receipt; False where none can come any more."""
        with self._news:
            self._news.wait_for(
                lambda: self._client is not client or self._told(),
                max(0.0, deadline - time.monotonic()),
            )
            return self._told()

    def _told(self) -> bool:
        return any(said is not None for said in self._receipts.values())

    def _settle(self, waiting: dict[_Place, Sealed], settle: Settle) -> None:
        """Settle what has a receipt, and wait for it no longer."""
        with self._news:
            told = {place: said for place, said in self._receipts.items() if said is not None}
            for place in told:
                del self._receipts[place]
        for place, counts in told.items():
            settle(waiting.pop(place), "" if counts else REFUSED)

    def _receive(self, _client: object, _data: object, message: MQTTMessage) -> None:
        """Note receipts that are waited for."""
        payload = bytes(message.payload)
        if len(payload) % RECEIPT.size or len(payload) > RECEIPTS_MAX * RECEIPT.size:
            return
        with self._news:
            for boot, sequence, counts in RECEIPT.iter_unpack(payload):
                if (boot, sequence) in self._receipts:
                    self._receipts[boot, sequence] = counts == 1
            self._news.notify_all()

    def _left(self, client: Client, *_: object) -> None:
        """The connection is gone: a new one is made when there is something to send."""
        with self._news:
            if self._client is client:
                self._client = None
            self._news.notify_all()

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
        client.on_disconnect = self._left
        if not client.is_connected():
            self.close()
            raise self._silent("it closed the connection")
        return client

    def _greet(self, client: Client) -> None:
        """Connect, and wait until the broker agreed and sends receipts."""
        answered = threading.Event()
        refused: list[str] = []

        def answer(code: ReasonCode) -> None:
            if code.is_failure:
                refused.append(str(code))
                answered.set()

        def on_connect(
            _client: Client, _data: object, _flags: object, code: ReasonCode, _more: object
        ) -> None:
            answer(code)
            if not refused:
                client.subscribe(RECEIPTS + self._name, qos=0)

        def on_subscribe(
            _client: Client, _data: object, _id: int, codes: Sequence[ReasonCode], _more: object
        ) -> None:
            for code in codes:
                answer(code)
            answered.set()

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_message = self._receive
        client.connect(self._host, self._port, keepalive=KEEPALIVE)
        client.loop_start()
        if not answered.wait(self._seconds) or refused:
            raise self._silent(refused[0] if refused else "it did not answer in time")

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

    def _uncounted(self, count: int) -> UnavailableError:
        return UnavailableError(
            f"the broker {self._host}:{self._port} has {count} batches that no worker counted yet",
            remedy="They wait here and are sent again; see that a worker runs for this broker.",
        )

    def _silent(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"the broker {self._host}:{self._port} does not answer: {reason}",
            remedy="Check that it runs and can be reached; readings wait here meanwhile.",
        )


def _acknowledged(client: Client, info: MQTTMessageInfo, deadline: float) -> bool:
    try:
        while client.is_connected() and time.monotonic() < deadline and not info.is_published():
            info.wait_for_publish(_LOOK)
        return info.is_published()
    except (RuntimeError, ValueError):  # the connection was lost, or its queue is full
        return False
