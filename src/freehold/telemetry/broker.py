"""A nats-server of our own: JetStream for workers, MQTT for devices, as one child process.

Devices come without a password and may publish their batches and hear their receipts, no more:
what a batch says is proven by its signature. Workers come with a password that lies in the
broker's folder. The server itself divides devices among partitions, by ``members.share``.

Threats: floods (bounds on payload, connections and the store; what does not fit is refused, not
put in the place of what waits); a device that reaches for the streams (its permissions); a crash
(the stream is in files; the server syncs them every two minutes, so after a power cut devices
must send again what has no receipt); whoever started it is killed (the next start on the folder
ends the server that is left over). Use TLS where the network is not yours.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.errors import NotFoundError, UnavailableError
from freehold.domain.files import write_whole
from freehold.telemetry.reading import BATCH_MAX
from freehold.telemetry.streams import BYTES_MAX, prepare

BINARY, PID = "nats-server", "nats.pid"
READY_SECONDS, STOP_SECONDS = 15.0, 10.0
_POLL = 0.05
_CONFIG = """\
server_name: freehold
pid_file: {pid}
listen: {host}:{port}
max_payload: {payload}
max_connections: 10000
max_control_line: 4096
write_deadline: "10s"
lame_duck_duration: "30s"
jetstream {{ store_dir: {store}, max_memory_store: 64MB, max_file_store: {limit} }}
mqtt {{ listen: {host}:{mqtt_port}, no_auth_user: device, max_ack_pending: 1024{tls} }}
authorization {{
  users: [
    {{ user: worker, password: {password} }}
    {{ user: device, password: device, permissions: {{
      publish: ["fh.dev.>"], subscribe: ["fh.ack.*", "$MQTT.sub.>"] }} }}
  ]
}}
no_auth_user: device
mappings: {{ "fh.dev.*": "fh.dev.{{{{partition({partitions},1)}}}}.{{{{wildcard(1)}}}}" }}
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a broker listens and how much it keeps; port 0 takes a free one. ``tls`` has the
    certificate's and the key's path, for MQTT."""

    host: str = "127.0.0.1"
    port: int = 0
    mqtt_port: int = 0
    partitions: int = 1
    bytes_max: int = BYTES_MAX
    tls: tuple[Path, Path] | None = None


@dataclass(frozen=True, slots=True)
class Broker:
    """A running server."""

    process: subprocess.Popen[bytes]
    layout: Layout
    password: str

    @property
    def url(self) -> str:
        """Where a worker connects, with its password."""
        return f"nats://worker:{self.password}@{self.layout.host}:{self.layout.port}"

    def stop(self) -> None:
        """End the server; what it stored stays."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_broker(folder: Path, layout: Layout | None = None) -> Broker:
    """Start a server on ``folder``, and return once it takes what devices publish. Not within a
    running event loop.

    NotFoundError where nats-server is not installed, UnavailableError where it does not start.
    """
    binary = shutil.which(BINARY)
    if binary is None:
        raise NotFoundError(
            f"{BINARY} is not installed", remedy="Install it: `apt-get install nats-server`."
        )
    layout = _placed(layout or Layout())
    folder.mkdir(parents=True, exist_ok=True)
    password = _password(folder)
    path = folder / "nats.conf"
    _end_left_over(folder, path)
    write_whole(path, config(folder, layout, password).encode())
    with (folder / "nats.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - found on PATH, arguments made here
            [binary, "-c", str(path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    broker = Broker(process, layout, password)
    try:
        _wait(broker, folder)
        asyncio.run(prepare(broker.url, bytes_max=layout.bytes_max))
    except BaseException:
        broker.stop()
        raise
    return broker


def config(folder: Path, layout: Layout, password: str) -> str:
    """The server's configuration."""
    tls = ""
    if layout.tls is not None:
        certificate, key = (json.dumps(str(path)) for path in layout.tls)
        tls = f", tls {{ cert_file: {certificate}, key_file: {key} }}"
    return _CONFIG.format(
        host=layout.host,
        port=layout.port,
        mqtt_port=layout.mqtt_port,
        payload=BATCH_MAX + 4_096,
        store=json.dumps(str(folder / "store")),
        pid=json.dumps(str(folder / PID)),
        limit=layout.bytes_max + 2**28,
        tls=tls,
        password=json.dumps(password),
        partitions=layout.partitions,
    )


def _end_left_over(folder: Path, config: Path) -> None:
    """End the server on this folder that outlived whoever started it, killed: it has the store and
    the ports. Devices that it knows connect again."""
    try:
        pid = int((folder / PID).read_text())
    except (OSError, ValueError):
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        if str(config) not in _command(pid):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + STOP_SECONDS
        while str(config) in _command(pid) and time.monotonic() < until:
            time.sleep(_POLL)


def _command(pid: int) -> str:
    """The command line of a process, empty where there is none: ids are used again."""
    shown = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "args=", "-ww", "-p", str(pid)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return shown.stdout


def _placed(layout: Layout) -> Layout:
    return Layout(
        layout.host,
        layout.port or _free(layout.host),
        layout.mqtt_port or _free(layout.host),
        layout.partitions,
        layout.bytes_max,
        layout.tls,
    )


def _free(host: str) -> int:
    with socket.socket() as tried:
        tried.bind((host, 0))
        port: int = tried.getsockname()[1]
        return port


def _password(folder: Path) -> str:
    path = folder / "worker.password"
    if not path.exists():
        write_whole(path, secrets.token_hex(24).encode())
    return path.read_text().strip()


def _wait(broker: Broker, folder: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    ports = (broker.layout.port, broker.layout.mqtt_port)
    while not all(_answers(broker.layout.host, port) for port in ports):
        if broker.process.poll() is not None or time.monotonic() > until:
            raise UnavailableError(
                f"{BINARY} did not start",
                remedy=f"Read {folder / 'nats.log'}; often another program has the port.",
            )
        time.sleep(_POLL)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True
