"""A process that works on a store and dies at a chosen file operation, as if by kill -9."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from freehold.telemetry.store.limits import DAY
from freehold.telemetry.store.manifest import Manifest
from freehold.telemetry.store.shelf import Shelf
from freehold.telemetry.store.store import Store
from unit.telemetry.store.rowset import T0, Told, rows_of


def told(segment: int) -> list[Told]:
    """A segment of two days."""
    return [(d, "x", T0 + day * DAY + segment, 1.0, 0) for d in "ab" for day in (0, 1)]


def main(path: Path, what: str, at: int) -> None:
    """Run ``what`` and die before (even ``at``) or after (odd) the file operation ``at`` // 2."""
    left = [at]

    def deadly(operation: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **more: object) -> object:
            _step(left)
            result = operation(*args, **more)
            _step(left)
            return result

        return run

    with Store(path) as store:
        setattr(os, "fsync", deadly(os.fsync))  # noqa: B010
        setattr(Path, "replace", deadly(Path.replace))  # noqa: B010
        setattr(Path, "unlink", deadly(Path.unlink))  # noqa: B010
        setattr(Manifest, "change", deadly(Manifest.change))  # noqa: B010
        setattr(Shelf, "discard", deadly(Shelf.discard))  # noqa: B010
        if what == "keep":
            store.keep("9", rows_of(told(9)))
        else:
            store.downsample(T0 + 9 * DAY)
            store.compact(T0 + 9 * DAY)


def _step(left: list[int]) -> None:
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1


if __name__ == "__main__":
    # one interpreter for many deaths: starting one takes longer than the work
    for at in map(int, sys.argv[4].split(",")):
        folder = Path(sys.argv[1]) / f"{sys.argv[2]}{at}"
        child = os.fork()
        if child == 0:
            main(folder, sys.argv[2], at)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(at, -status if os.WIFSIGNALED(status) else 0)
