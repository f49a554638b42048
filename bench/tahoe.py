"""A Tahoe-LAFS grid on this machine, as the peer to measure beside: six storage nodes, 4 of 6."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

from freehold.ledger.devnet.ports import free_port

VERSION = "1.20.*"
NODES = 6
BLOCK = 2**20
READY_SECONDS = 120


def install(folder: Path) -> Path:
    """Tahoe-LAFS from the package registry in an environment of its own; the program's path."""
    program = folder / "bin" / "tahoe"
    if not program.exists():
        uv = shutil.which("uv") or "uv"
        subprocess.run([uv, "venv", "-q", "--python", "3.11", str(folder)], check=True)
        python = str(folder / "bin" / "python")
        wanted = [f"tahoe-lafs=={VERSION}", "setuptools<81"]
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *wanted], check=True)
    return program


@dataclass
class Grid:
    """An introducer, six storage nodes and a client with its web API; use as a context."""

    program: Path
    folder: Path
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Grid:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def put(self, source: Path) -> str:
        """Store a file; its read capability."""
        with contextlib.closing(self._connection()) as connection, source.open("rb") as file:
            size = str(source.stat().st_size)
            connection.request("PUT", "/uri", body=file, headers={"Content-Length": size})
            return _answer(connection).decode()

    def get(self, capability: str, target: Path) -> None:
        """Read it back into a file."""
        with contextlib.closing(self._connection()) as connection, target.open("wb") as file:
            connection.request("GET", "/uri/" + quote(capability, safe=""))
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"Tahoe-LAFS answers {response.status}")
            shutil.copyfileobj(response, file, BLOCK)

    def put_small(self, data: bytes) -> None:
        """Store a small object."""
        with contextlib.closing(self._connection()) as connection:
            connection.request("PUT", "/uri", body=data)
            _answer(connection)

    def pids(self) -> list[int]:
        """Its processes."""
        return [process.pid for process in self.processes]

    def stop(self) -> None:
        """End every process of the grid."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
        self.processes.clear()

    def _start(self) -> None:
        introducer = self.folder / "introducer"
        self._make("create-introducer", introducer, *_listen())
        self._run(introducer)
        furl_file = introducer / "private" / "introducer.furl"
        _until(furl_file.exists)
        furl = furl_file.read_text().strip()
        for number in range(NODES):
            node = self.folder / f"storage-{number}"
            self._make("create-node", node, *_listen(), f"--introducer={furl}", "--webport=none")
            self._run(node)
        client = self.folder / "client"
        shares = ["--shares-needed=4", "--shares-happy=6", "--shares-total=6"]
        web = f"--webport=tcp:{self.port}:interface=127.0.0.1"
        self._make("create-client", client, f"--introducer={furl}", web, *shares)
        self._run(client)
        _until(self._serves)

    def _make(self, kind: str, folder: Path, *options: str) -> None:
        command = [str(self.program), kind, *options, str(folder)]
        subprocess.run(command, check=True, capture_output=True)

    def _run(self, folder: Path) -> None:
        with (folder / "run.log").open("wb") as log:
            command = [str(self.program), "run", "--allow-stdin-close", str(folder)]
            self.processes.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def _connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=600, blocksize=BLOCK)

    def _serves(self) -> bool:
        """Whether the client can place six shares."""
        try:
            self.put_small(time.time_ns().to_bytes(8, "big") * 16)
        except (OSError, RuntimeError):
            return False
        return True


def _listen() -> list[str]:
    port = free_port()
    return [f"--port=tcp:{port}:interface=127.0.0.1", f"--location=tcp:127.0.0.1:{port}"]


def _answer(connection: HTTPConnection) -> bytes:
    response = connection.getresponse()
    body = response.read()
    if response.status not in (200, 201):
        raise RuntimeError(f"Tahoe-LAFS answers {response.status}: {body[:200]!r}")
    return body


def _until(done: object) -> None:
    assert callable(done)
    limit = time.monotonic() + READY_SECONDS
    while not done():
        if time.monotonic() > limit:
            raise RuntimeError("Tahoe-LAFS was not ready in time")
        time.sleep(0.2)
