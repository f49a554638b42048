"""Starts processes quickly: one process imports everything once and forks for each of them.

A child is a process like any other, with its own memory, files and threads, made before any
thread was started; only the second of imports that ``python -m`` costs is not paid hundreds of
times. Children die with the zygote, and the zygote with whoever holds its standard input.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import NoReturn

from freehold.cli import processes
from freehold.cli.home import Home
from freehold.cli.processes import Child

_DIE_WITH_PARENT = 1


@dataclass(frozen=True, slots=True)
class Zygote:
    """A running zygote; ``launch`` stands in for ``freehold.cli.processes.start``.

    Logs go to ``logs``, which may lie outside of the home, or else to the home's own.
    """

    process: subprocess.Popen[str]
    logs: Path | None = None
    _turn: Lock = field(default_factory=Lock)

    @classmethod
    @contextlib.contextmanager
    def running(cls, logs: Path, *, environment: Mapping[str, str]) -> Iterator[Zygote]:
        """Start a zygote whose children have ``environment`` on top of this process's own."""
        logs.mkdir(parents=True, exist_ok=True)
        made = cls(_start(environment), logs)
        try:
            yield made
        finally:
            made.end()

    def end(self) -> None:
        """End it, and all its children."""
        self.process.kill()
        self.process.communicate()

    def launch(
        self,
        home: Home,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None,
    ) -> Child:
        """Run the module ``arguments[0]`` with the rest as its arguments.

        What ``environment`` says of the loader comes too late: that is ``running``'s.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        logs = self.logs or home.logs
        logs.mkdir(parents=True, exist_ok=True)
        home.run.mkdir(parents=True, exist_ok=True)
        wish = {
            "argv": list(arguments),
            "log": str(logs / f"{name}.log"),
            "environment": dict(environment or {}),
        }
        with self._turn:
            print(json.dumps(wish), file=self.process.stdin, flush=True)
            pid = int(self.process.stdout.readline())
        return processes.keep(home, name, pid)


def launch(
    home: Home, name: str, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> Child:
    """By a zygote that all tests of this process share."""
    return _shared().launch(home, name, arguments, environment=environment)


@functools.cache
def _shared() -> Zygote:
    made = Zygote(_start({}))
    atexit.register(made.end)
    return made


def _start(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", "journeys.zygote"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment, "PYTHONPATH": path},
        start_new_session=True,
    )


def main() -> None:
    """Fork a child for every line of standard input until it ends."""
    from freehold.client import client  # noqa: F401
    from freehold.node import daemon  # noqa: F401
    from freehold.node.watcher import daemon as watcher  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended children leave no zombies
    for line in sys.stdin:
        wish = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.environ.update(wish["environment"])
            _become(wish["argv"], wish["log"])
        print(pid, flush=True)


def _become(argv: list[str], log: str) -> NoReturn:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    sys.argv = argv
    code = 1
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - told as the interpreter would, then it ends
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
