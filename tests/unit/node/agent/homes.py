"""A device's folder, a service that takes its batches as a real one does, and a chain on HTTP."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

from freehold.domain.errors import FreeholdError
from freehold.domain.ids import checksum
from freehold.domain.keys import Key
from freehold.node.agent import keys as key_files
from freehold.node.agent.keys import Keys
from freehold.node.agent.settings import Settings
from freehold.telemetry.reading import open_batch
from freehold.telemetry.replay import Guard

NETWORK = b"\x07" * 32
OWNER = Key.from_secret(b"\x09" * 32)
DEVICES, AUTOMATION = checksum(b"\x01" * 20), checksum(b"\x02" * 20)


def make_home(folder: Path, **changes: Any) -> tuple[Settings, Keys]:
    """A device in ``folder`` that reads one file."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = key_files.create(folder, random=secrets.token_bytes)
    sensor = folder / "sensor"
    sensor.write_text("room.temperature Cel 21.5\nroom.humidity % 40\n")
    settings = Settings(
        name="shed",
        network_id="0x" + NETWORK.hex(),
        chain_id=31337,
        devices=DEVICES,
        automation="",
        rpc_urls=(),
        device=keys.agent.address,
        did=keys.did.text,
        owner=OWNER.address,
        sensors=(f"file:{sensor}",),
        interval=1,
        batch=2,
    )
    settings = replace(settings, **changes)
    settings.write(folder)
    return settings, keys


def until(holds: Callable[[], bool], what: str, *, seconds: float = 60.0) -> None:
    """Wait for a condition."""
    deadline = monotonic() + seconds
    while not holds():
        assert monotonic() < deadline, f"never: {what}"
        sleep(0.01)


class Service:
    """Takes batches through a real guard; ``answers`` may be changed while it runs."""

    def __init__(self, file: Path) -> None:
        self.guard = Guard(file)
        self.counted: list[tuple[int, int]] = []
        self.requests: list[tuple[str, str, bytes]] = []
        self.down: tuple[int, dict[str, str], bytes] | None = None
        self.directive = b""
        self.receipts: list[dict[str, Any]] = []
        self.rpc: Callable[[str, list[Any]], object] | None = None
        self.url = ""
        self.lock = threading.Lock()

    def reply(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """What a request is answered with."""
        self.requests.append((method, path, body))
        if path == "/" and self.rpc is not None:
            asked = json.loads(body)
            return (
                200,
                {},
                json.dumps({"result": self.rpc(asked["method"], asked["params"])}).encode(),
            )
        if self.down is not None:
            return self.down
        if path == "/readings":
            return self._take(body)
        if path == "/receipts":
            self.receipts.append(json.loads(body))
            return 200, {}, b"{}"
        if path.startswith("/directives/") and self.directive:
            return 200, {}, self.directive
        return 404, {}, b"{}"

    def _take(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        try:
            batch = open_batch(body, network_id=NETWORK)
            with self.guard.turn(int(time() * 1000)) as turn:
                new = turn.admit(batch).new
        except FreeholdError as error:
            fields = {"error": error.message, "remedy": "", "kind": type(error).__name__}
            return 409, {}, json.dumps(fields).encode()
        if new:
            self.counted.append((batch.boot, batch.sequence))
        return 200, {}, json.dumps({"new": new, "missing": 0}).encode()


@contextmanager
def serving(file: Path, context: Any = None) -> Iterator[Service]:
    """A service on a port of its own."""
    service = Service(file)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with service.lock:
                status, headers, answer = service.reply(self.command, self.path, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that left is no error here."""

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if context is None else "https"
    service.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        service.guard.close()


def environment() -> dict[str, str]:
    """For a child process: as here, without what changes its imports."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}
