"""Starts processes quickly: one process imports everything once and forks for each of them.

A child is a process like any other, with its own memory, files and threads, made before any
thread was started; only the second of imports that ``python -m`` costs is not paid hundreds of
times. Children die with the zygote, and the zygote with whoever holds its standard input.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from freehold.cli import processes
from freehold.cli.home import Home
from freehold.cli.processes import Child

_DIE_WITH_PARENT = 1


@dataclass(frozen=True, slots=True)
class Zygote:
    """A running zygote; ``launch`` stands in for ``freehold.cli.processes.start``.

    Logs go to ``logs``, which may lie outside of the home.
    """

    process: subprocess.Popen[str]
    logs: Path

    @classmethod
    @contextlib.contextmanager
    def running(cls, logs: Path, *, environment: Mapping[str, str]) -> Iterator[Zygote]:
        """Start a zygote whose children have ``environment`` on top of this process's own."""
        logs.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(entry for entry in sys.path if entry)
        process = subprocess.Popen(
            [sys.executable, "-m", "journeys.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment, "PYTHONPATH": path},
            start_new_session=True,
        )
        try:
            yield cls(process, logs)
        finally:
            process.kill()
            process.communicate()

    def launch(
        self,
        home: Home,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None,
    ) -> Child:
        """Run the module ``arguments[0]`` with the rest as its arguments."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        wish = {"argv": list(arguments), "log": str(self.logs / f"{name}.log")}
        print(json.dumps(wish), file=self.process.stdin, flush=True)
        home.run.mkdir(parents=True, exist_ok=True)
        return processes.keep(home, name, int(self.process.stdout.readline()))


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
