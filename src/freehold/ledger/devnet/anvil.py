"""The engine's process and its JSON-RPC; nobody but the devnet server talks to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from freehold.domain.errors import UnavailableError
from freehold.ledger import wire
from freehold.ledger.devnet.home import BLOCK_GAS, Home
from freehold.ledger.devnet.ports import passing_port
from freehold.ledger.devnet.upstream import Upstream, UpstreamError
from freehold.ledger.wire import Json

START_SECONDS = 60.0
HISTORY = 16
"""States of past blocks that the engine keeps: enough for tests' reorganisations."""
_BODY_LIMIT = 1 << 31
_CALL_SECONDS = 120.0
_PID = "engine.pid"

# A helper between the server and the engine: it asks the kernel to kill the engine when the
# server dies (Linux), checks that the server still lives, and turns into the engine.
_HELPER = """
import os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != parent:
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EngineError(Exception):
    """The engine died or answered nonsense; the server restarts it."""


class EngineRefusal(Exception):
    """The engine answered a call with a JSON-RPC error, kept as it came."""

    def __init__(self, error: dict[str, Json]) -> None:
        super().__init__(str(error.get("message")))
        self.error = error


class Anvil:
    """A running engine."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, pid_file: Path) -> None:
        self.process = process
        self._pid_file = pid_file
        self._upstream = Upstream(port, timeout=_CALL_SECONDS, body_limit=_BODY_LIMIT)

    @classmethod
    async def start(cls, binary: Path, home: Home) -> Anvil:
        """Start the engine from genesis; UnavailableError when it does not come up."""
        kill_stale(home.folder / _PID)
        port = passing_port()
        scratch = home.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        arguments = [
            str(binary), "--host", "127.0.0.1", "--port", str(port), "--quiet", "--no-mining",
            "--init", str(home.genesis), "--chain-id", str(home.chain_id), "--accounts", "0",
            "--gas-limit", str(BLOCK_GAS), "--order", "fifo", "--prune-history", str(HISTORY),
            "--no-request-size-limit", "--no-cors", "--disable-console-log",
        ]  # fmt: skip
        with open(home.log, "ab") as log:
            process = subprocess.Popen(  # noqa: S603 - the pinned engine, arguments fixed above
                [sys.executable, "-I", "-S", "-c", _HELPER, str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The engine keeps temporary files under HOME: they belong into this folder.
                env={**os.environ, "HOME": str(scratch)},
                cwd=scratch,
                start_new_session=True,
            )
        (home.folder / _PID).write_text(f"{process.pid} {binary}\n")
        engine = cls(process, port, home.folder / _PID)
        try:
            await engine._until_ready(home)
        except BaseException:
            await engine.kill()
            raise
        return engine

    async def _until_ready(self, home: Home) -> None:
        pause = 0.01
        waited = 0.0
        while waited < START_SECONDS and self.process.poll() is None:
            try:
                found = wire.quantity(await self.ask("eth_chainId"))
            except (EngineError, EngineRefusal):
                await asyncio.sleep(pause)
                waited += pause
                pause = min(pause * 1.5, 0.2)
                continue
            if found == home.chain_id:
                return
            break
        raise UnavailableError(
            f"the devnet's engine did not start (its log is {home.log})",
            remedy="Read the log's end; check memory and that the loopback interface works.",
        )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    async def ask(self, method: str, *params: Json) -> Json:
        """One call; EngineRefusal for its errors, EngineError when the engine is gone."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            answer = json.loads(await self.forward(json.dumps(body).encode()))
        except ValueError as error:
            raise EngineError("the engine's answer is not JSON") from error
        if not isinstance(answer, dict):
            raise EngineError("the engine's answer is not an object")
        if isinstance(answer.get("error"), dict):
            raise EngineRefusal(answer["error"])
        result: Json = answer.get("result")
        return result

    async def forward(self, body: bytes) -> bytes:
        """Hand a request on as it is; the engine's answer as it is."""
        try:
            return await self._upstream.post(body)
        except UpstreamError as error:
            raise EngineError(str(error)) from error

    async def kill(self) -> None:
        """End the process and its connections; its state is on our disk, not in it."""
        await self._upstream.close()
        if self.alive:
            self.process.kill()
        await asyncio.to_thread(self.process.wait)
        self._pid_file.unlink(missing_ok=True)


def kill_stale(pid_file: Path) -> None:
    """End an engine that outlived its server (where the kernel does not do it for us)."""
    try:
        number, _, binary = pid_file.read_text().strip().partition(" ")
    except FileNotFoundError:
        return
    if number.isdigit() and binary and binary in _command(int(number)):
        os.kill(int(number), signal.SIGKILL)
    pid_file.unlink(missing_ok=True)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        if sys.platform == "linux":
            return ""
    listed = subprocess.run(  # noqa: S603 - ps with a number that we checked
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return listed.stdout.decode(errors="replace")
