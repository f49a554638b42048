"""Starting, finding and stopping a devnet's server process from another program."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from freehold.domain import errors
from freehold.domain.closing import Closing
from freehold.domain.errors import ConflictError, FreeholdError, IntegrityError, UnavailableError
from freehold.domain.keys import Key
from freehold.ledger.devnet import engine
from freehold.ledger.devnet.engine import Progress
from freehold.ledger.devnet.home import CHAIN_ID, FOLDER, Home, open_home, running_pid

READY_SECONDS = 120.0
STOP_SECONDS = 60.0
_LINE_LIMIT = 64 * 1024
_detached: list[subprocess.Popen[bytes]] = []
"""Servers that may outlive this process; letting go of one would warn that it still runs."""


@dataclass(slots=True)
class Devnet(Closing):
    """A running devnet; stop it with ``stop``, or use it as a context manager."""

    home: Home
    pid: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its JSON-RPC."""
        return self.home.url

    @property
    def chain_id(self) -> int:
        """Its chain id."""
        return self.home.chain_id

    @property
    def funder(self) -> Key:
        """The account that owns the coins of genesis."""
        return self.home.funder

    @classmethod
    def start(
        cls,
        home: Path,
        *,
        chain_id: int = CHAIN_ID,
        port: int | None = None,
        admin: bool = False,
        detached: bool = False,
        progress: Progress | None = None,
        dump_records: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Devnet:
        """Start the devnet of a home folder, made on first use, and wait until it answers.

        Unless ``detached`` it ends, after a dump, when this process ends. Raises ConflictError
        when one runs in this home already, VersionError for a foreign or newer home,
        UnavailableError when the engine cannot be fetched or started.
        """
        folder = home / FOLDER
        pid = running_pid(folder)
        if pid is not None:
            raise ConflictError(
                f"the devnet in {folder} runs already (process {pid})",
                remedy="Use the running one, stop it with `freehold down`, or choose another "
                "--home.",
            )
        engine.install(progress=progress, environment=environment)
        command = [
            sys.executable, "-m", "freehold.ledger.devnet", "--home", str(home),
            "--chain-id", str(chain_id),
        ]  # fmt: skip
        command += ["--admin"] if admin else []
        command += [] if detached else ["--follow-stdin"]
        command += [] if port is None else ["--port", str(port)]
        command += [] if dump_records is None else ["--dump-records", str(dump_records)]
        return cls._launch(home, command, detached=detached, environment=environment)

    @classmethod
    def _launch(
        cls,
        home: Path,
        command: list[str],
        *,
        detached: bool,
        environment: Mapping[str, str] | None,
    ) -> Devnet:
        folder = home / FOLDER
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(folder / "devnet.log", "ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own module, arguments made here
                command,
                stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )
        try:
            said = _first_line(process, READY_SECONDS)
        except FreeholdError:
            process.kill()
            process.wait()
            _close(process)
            raise
        if "ready" not in said:
            process.wait()
            _close(process)
            raise _rebuilt(said, folder)
        if process.stdout is not None:
            process.stdout.close()
        if detached:
            _detached.append(process)
        return cls(open_home(home), process.pid, process)

    @classmethod
    def attach(cls, home: Path) -> Devnet:
        """The running devnet of a home folder; UnavailableError when none runs there."""
        pid = running_pid(home / FOLDER)
        if pid is None:
            raise UnavailableError(
                f"no devnet runs in {home}", remedy="Start one with `freehold up`."
            )
        return cls(open_home(home), pid)

    @property
    def alive(self) -> bool:
        """Whether the server process runs."""
        if self._process is not None:
            return self._process.poll() is None
        return running_pid(self.home.folder) is not None

    def stop(self, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Dump and end it; UnavailableError when it does not end within a minute."""
        self._signal(signal.SIGTERM)
        self._await_end(sleep)

    def kill(self, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """End it at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self._await_end(sleep)

    def _signal(self, number: int) -> None:
        if not self.alive:
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return  # it ended between the two lines

    def _await_end(self, sleep: Callable[[float], None]) -> None:
        if self._process is not None:
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise self._stuck() from error
            _close(self._process)
            return
        waited = 0.0
        while self.alive:
            if waited > STOP_SECONDS:
                raise self._stuck()
            sleep(0.02)
            waited += 0.02

    def _stuck(self) -> UnavailableError:
        return UnavailableError(
            f"the devnet (process {self.pid}) does not end",
            remedy=f"Read {self.home.log}; kill the process: nothing that was acknowledged is "
            "lost.",
        )

    def close(self) -> None:
        """End it, as ``stop``."""
        self.stop()


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _first_line(process: subprocess.Popen[bytes], seconds: float) -> dict[str, str]:
    pipe = process.stdout
    if pipe is None:
        raise UnavailableError("the devnet has no output", remedy="Start it again.")
    ready, _, _ = select.select([pipe], [], [], seconds)
    line = pipe.readline(_LINE_LIMIT) if ready else b""
    try:
        fields = json.loads(line)
    except ValueError:
        return {} if ready else _silent(seconds)
    return {key: str(value) for key, value in fields.items()} if isinstance(fields, dict) else {}


def _silent(seconds: float) -> dict[str, str]:
    raise UnavailableError(
        f"the devnet was not ready within {seconds:.0f} seconds",
        remedy="Read devnet/devnet.log in its home; the machine may be overloaded.",
    )


def _rebuilt(said: dict[str, str], folder: Path) -> FreeholdError:
    kind = getattr(errors, said.get("error", ""), None)
    if isinstance(kind, type) and issubclass(kind, FreeholdError):
        return kind(said.get("message", ""), remedy=said.get("remedy", ""))
    tail = (folder / "devnet.log").read_bytes()[-600:].decode(errors="replace")
    return IntegrityError(
        f"the devnet ended before it was ready: {tail.strip() or 'it left no word'}",
        remedy=f"Read {folder / 'devnet.log'}.",
    )
