"""Sensors of a device: what a reading comes from, and the names by which settings choose them.

``host``, ``disk`` and ``gpu`` watch the machine itself; ``file:PATH`` reads lines, or with
``file:PATH#NAME,UNIT,SCALE`` one bare number as Linux's sysfs gives it; ``exec:COMMAND`` reads
the same lines from a program, which is run without a shell. A line is ``name unit value`` or a
JSON object with ``metric``, ``unit`` and ``value``.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from freehold.domain.errors import FreeholdError, UnavailableError, UsageError
from freehold.telemetry.metrics import check_unit
from freehold.telemetry.reading import METRICS_MAX, VALUE_MAX, Reading
from freehold.telemetry.units import unit

OUTPUT_MAX = 64 * 1024
LINES_MAX = METRICS_MAX
RUN_SECONDS = 10.0
KINDS = ("host", "disk", "gpu", "file:PATH", "file:PATH#NAME,UNIT,SCALE", "exec:COMMAND")


@dataclass(frozen=True, slots=True)
class Value:
    """What a sensor measured; the collector gives it its time."""

    metric: str
    unit: str
    value: float


class Sensor(Protocol):
    """Something to read."""

    @property
    def name(self) -> str:
        """How settings call it."""

    def read(self) -> Sequence[Value]:
        """What it measures now; FreeholdError says why it cannot."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that another program, or the kernel, keeps up to date."""

    path: Path
    metric: str = ""
    unit: str = ""
    scale: float = 1.0

    @property
    def name(self) -> str:
        """How settings call it."""
        return f"file:{self.path}"

    def read(self) -> Sequence[Value]:
        """Its lines, or its one number."""
        try:
            with self.path.open("rb") as file:
                content = file.read(OUTPUT_MAX + 1)
        except OSError as error:
            raise _silent(self.name, error.strerror or str(error)) from error
        if not self.metric:
            return parse(self.name, content)
        try:
            return [Value(self.metric, self.unit, float(content) * self.scale)]
        except ValueError as error:
            raise _silent(self.name, "it does not hold one number") from error


@dataclass(frozen=True, slots=True)
class Program:
    """A program that prints lines and ends."""

    argv: tuple[str, ...]
    seconds: float = RUN_SECONDS

    @property
    def name(self) -> str:
        """How settings call it."""
        return f"exec:{shlex.join(self.argv)}"

    def read(self) -> Sequence[Value]:
        """The lines that it prints."""
        return parse(self.name, output(self.argv, seconds=self.seconds))


def build(names: Sequence[str], *, folder: Path) -> list[Sensor]:
    """The sensors that settings name; ``folder`` is the one whose disk ``host`` watches.

    UsageError for a name of no kind.
    """
    return [_build(name, folder) for name in names]


def _build(name: str, folder: Path) -> Sensor:
    kind, _, rest = name.partition(":")
    if kind == "file" and rest:
        return _file(rest)
    if kind == "exec" and (argv := _split(rest)):
        return Program(tuple(argv))
    if name == "host":
        from freehold.node.agent.host import Host

        return Host(folder)
    if name == "disk":
        from freehold.node.agent.disk import Disk

        return Disk()
    if name == "gpu":
        from freehold.node.agent.gpu import Gpu

        return Gpu()
    raise UsageError(f"{name!r} is not a sensor", remedy=f"Use one of: {', '.join(KINDS)}.")


def _file(text: str) -> File:
    path, _, spec = text.partition("#")
    if not spec:
        return File(Path(path))
    parts = spec.split(",")
    try:
        metric, symbol = parts[0], parts[1]
        check_unit(metric, unit(symbol))
        return File(Path(path), metric, symbol, float(parts[2]) if len(parts) > 2 else 1.0)
    except (IndexError, ValueError) as error:
        raise UsageError(
            f"{spec!r} does not say what the file holds", remedy="Write #name,unit,scale."
        ) from error


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a command: {error}", remedy="Quote it.") from error


def parse(name: str, content: bytes) -> list[Value]:
    """The values in the lines of a sensor's output."""
    if len(content) > OUTPUT_MAX:
        raise _silent(name, f"more than {OUTPUT_MAX:,} bytes")
    lines = [line.strip() for line in content.decode(errors="replace").splitlines()]
    told = [line for line in lines if line and not line.startswith("#")]
    if len(told) > LINES_MAX:
        raise _silent(name, f"more than {LINES_MAX} lines")
    return [_line(name, line) for line in told]


def _line(name: str, line: str) -> Value:
    try:
        if line.startswith("{"):
            fields = json.loads(line)
            return Value(str(fields["metric"]), str(fields["unit"]), float(fields["value"]))
        metric, symbol, value = line.split()
        return Value(metric, symbol, float(value))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _silent(name, f"{line[:80]!r} is not `name unit value`") from error


def output(argv: Sequence[str], *, seconds: float) -> bytes:
    """What a program prints; UnavailableError when it is missing, does not end in ``seconds``, or
    prints more than OUTPUT_MAX bytes: then it is killed with all that it started."""
    try:
        child = subprocess.Popen(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _silent(argv[0], f"it cannot be run: {error}") from error
    try:
        return _drain(child, time.monotonic() + seconds)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _drain(child: subprocess.Popen[bytes], deadline: float) -> bytes:
    if child.stdout is None:
        raise TypeError("a pipe is needed")
    handle, found = child.stdout.fileno(), b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            raise _silent(str(child.args), "it did not end in time")
        part = os.read(handle, OUTPUT_MAX)
        if not part:
            return found
        found += part
        if len(found) > OUTPUT_MAX:
            raise _silent(str(child.args), f"it printed more than {OUTPUT_MAX:,} bytes")


class Collector:
    """Reads all sensors of a device; each failure is told once until it changes or ends."""

    def __init__(self, sensors: Sequence[Sensor], *, tell: Callable[[str], None]) -> None:
        self._sensors = sensors
        self._tell = tell
        self._told: dict[str, str] = {}
        self._units: dict[str, str] = {}

    def read(self, now: int, *, metrics: Mapping[str, bool]) -> list[Reading]:
        """The readings at ``now`` (milliseconds) of all sensors that answer, without those whose
        metric ``metrics`` switches off."""
        found: dict[str, Reading] = {}
        for sensor in self._sensors:
            for value in self._values(sensor):
                if metrics.get(value.metric, True) and self._fits(value):
                    found[value.metric] = Reading(value.metric, value.unit, now, value.value)
        return [found[name] for name in sorted(found)]

    def _values(self, sensor: Sensor) -> Sequence[Value]:
        try:
            values = sensor.read()
        except FreeholdError as error:
            self._once(sensor.name, error.message)
            return ()
        except Exception as error:  # noqa: BLE001  a driver may fail in any way; the others go on
            self._once(sensor.name, f"{sensor.name} failed: {error!r}")
            return ()
        self._told.pop(sensor.name, None)
        return values

    def _fits(self, value: Value) -> bool:
        """Whether a receiver would take it; each metric keeps the unit it first came in."""
        try:
            check_unit(value.metric, unit(value.unit))
        except FreeholdError as error:
            self._once(value.metric[:80], error.message)
            return False
        if len(self._units) < 4 * METRICS_MAX:
            self._units.setdefault(value.metric, value.unit)
        same = self._units.get(value.metric) == value.unit
        return same and abs(value.value) <= VALUE_MAX

    def _once(self, name: str, message: str) -> None:
        if self._told.get(name) != message and len(self._told) < 4 * METRICS_MAX:
            self._told[name] = message
            self._tell(message)


def _silent(name: str, reason: str) -> UnavailableError:
    return UnavailableError(
        f"the sensor {name} gives nothing: {reason}",
        remedy="Check it, or take it out of the device's settings.",
    )
