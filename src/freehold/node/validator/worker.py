"""``python -m freehold.node.validator.worker FD PARENT``: the process of a scorer.

The validator holds the other end of a socket pair; what the scorer prints goes to its log. A
scorer that hangs or crashes so ends itself and nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from freehold.markets.models.task import (
    WITHOUT_THEME,
    Kind,
    NotYetError,
    Task,
    Tensors,
    takes_theme,
)
from freehold.node.validator.parcel import Array, Parcel
from freehold.node.workloads.models.loading import describe
from freehold.node.workloads.models.wire import receive, send

MODULE = "freehold_scorer"
TASKS_KEPT = 2_048
_PDEATHSIG = 1
_Draw = Callable[[np.random.Generator, np.random.Generator], Iterable[Task]]


def main(arguments: list[str]) -> int:
    """Load the scorer and answer until the other end is closed."""
    _end_with(int(arguments[1]))
    with socket.socket(fileno=int(arguments[0])) as connection:
        desk = Desk()
        while (frame := receive(connection)) is not None:
            send(connection, desk.answer(Parcel.read(frame)).frame())
    return 0


class Desk:
    """Does what the validator asks for, one thing at a time; says why it cannot."""

    def __init__(self) -> None:
        self._module = ModuleType(MODULE)
        self._name = ""
        self._tasks: Iterator[Task] = iter(())
        self._kept: dict[int, Task] = {}

    def answer(self, asked: Parcel) -> Parcel:
        """What came of it; ``failed`` says what went wrong."""
        work = {"load": self._load, "draw": self._draw, "next": self._next, "score": self._score}
        try:
            return work[str(asked.words["do"])](asked)
        except NotYetError:
            return Parcel({"later": True})
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the owner's code
            return Parcel({"failed": describe(error)})

    def _load(self, asked: Parcel) -> Parcel:
        _bound(int(str(asked.words["memory"])))
        self._name = str(asked.words["name"])
        self._module = _module(Path(str(asked.words["file"])))
        for name in ("tasks", self._name):
            if not callable(getattr(self._module, name, None)):
                return Parcel({"failed": f"it has no function {name}"})
        if not takes_theme(self._module.tasks):
            return Parcel({"failed": f"it knows no themes: {WITHOUT_THEME}"})
        return Parcel({"ready": True})

    def _draw(self, asked: Parcel) -> Parcel:
        self._kept.clear()
        random, theme = (
            np.random.Generator(np.random.PCG64(int(str(asked.words[name]))))
            for name in ("seed", "theme")
        )
        draw: _Draw = self._module.tasks
        self._tasks = iter(draw(random, theme))
        return Parcel({"drawn": True})

    def _next(self, asked: Parcel) -> Parcel:
        task = next(self._tasks, None)
        if task is None:
            return Parcel({"end": True})
        if not isinstance(task, Task):
            raise TypeError(f"tasks(random, theme) yields {type(task).__name__}, which is no Task")
        self._keep(int(str(asked.words["task"])), task)
        groups = {"inputs": _arrays(task.inputs), "truth": _arrays(task.truth)}
        return Parcel({"kind": Kind(task.kind).value}, groups)

    def _score(self, asked: Parcel) -> Parcel:
        number = int(str(asked.words["task"]))
        if "kind" in asked.words:
            kind = Kind(str(asked.words["kind"]))
            self._keep(number, Task(asked.group("inputs"), asked.group("truth"), kind))
        seconds = float(str(asked.words["seconds"]))
        score: Callable[[Task, Tensors, float], float] = getattr(self._module, self._name)
        given = float(score(self._kept[number], asked.group("answer"), seconds))
        return Parcel({"score": repr(given)})

    def _keep(self, number: int, task: Task) -> None:
        if len(self._kept) >= TASKS_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[number] = task


def _arrays(tensors: object) -> dict[str, Array]:
    """Arrays by name; objects become bytes, as models get them."""
    if not hasattr(tensors, "items"):
        raise TypeError("a task's inputs and truth are mappings of names to arrays")
    return {str(name): _array(value) for name, value in tensors.items()}


def _array(value: object) -> Array:
    array = np.asarray(value)
    if array.dtype.kind == "O":
        flat = np.empty(array.size, dtype=object)
        flat[:] = [item.encode() if isinstance(item, str) else item for item in array.flat]
        return flat.reshape(array.shape)
    return array


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(MODULE, file)
    if spec is None or spec.loader is None:
        raise TypeError(f"{file.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    sys.path.insert(0, str(file.parent))
    spec.loader.exec_module(module)
    return module


def _bound(memory: int) -> None:
    if memory:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _end_with(parent: int) -> None:
    """Have this process killed when the validator dies, whatever it is doing (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
