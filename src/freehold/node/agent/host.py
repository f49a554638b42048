"""The machine itself as a sensor: processor, memory, temperatures, disk and network flows."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from freehold.domain.errors import UnavailableError
from freehold.node.agent.sensors import Value
from freehold.telemetry.metrics import NAME_MAX

CHIPS_MAX = 12
"""Temperatures, and fans, that are read at most."""
_OTHER = re.compile(r"[^a-z0-9]+")


class Host:
    """Readings by psutil; flows are rates since the reading before."""

    name = "host"

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._before: tuple[float, dict[str, int]] | None = None
        psutil.cpu_percent()  # the first call only sets where the next one counts from

    def read(self) -> Sequence[Value]:
        """What this machine shows; what its kernel does not tell is left out."""
        try:
            return [
                *self._processor(),
                *_memory(),
                *_space(self._folder),
                *_chips(),
                *self._flows(),
                Value("host.uptime", "s", max(0.0, time.time() - psutil.boot_time())),
            ]
        except (psutil.Error, OSError) as error:
            raise UnavailableError(
                f"this machine cannot be read: {error}", remedy="Check /proc and /sys."
            ) from error

    def _processor(self) -> Iterator[Value]:
        yield Value("host.cpu.share", "%", psutil.cpu_percent())
        yield Value("host.cpu.load", "1", os.getloadavg()[0])

    def _flows(self) -> Iterator[Value]:
        now, counters = self._clock(), _counters()
        before, self._before = self._before, (now, counters)
        if before is None or now <= before[0]:
            return
        for name, count in counters.items():
            last = before[1].get(name, count)
            if count >= last:  # a counter that ran back began anew
                yield Value(name, "B/s", (count - last) / (now - before[0]))


def _memory() -> Iterator[Value]:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    yield Value("host.memory.used", "B", float(memory.total - memory.available))
    yield Value("host.memory.share", "%", float(memory.percent))
    yield Value("host.swap.used", "B", float(swap.used))


def _space(folder: Path) -> Iterator[Value]:
    usage = psutil.disk_usage(str(folder))
    yield Value("host.disk.used", "B", float(usage.used))
    yield Value("host.disk.free", "B", float(usage.free))


def _counters() -> dict[str, int]:
    """Bytes that went through disks and network since the machine started, by metric."""
    disk, net = psutil.disk_io_counters(), psutil.net_io_counters()
    found: dict[str, int] = {}
    if disk is not None:
        found |= {"host.disk.read.flow": disk.read_bytes, "host.disk.write.flow": disk.write_bytes}
    if net is not None:
        found |= {"host.net.in.flow": net.bytes_recv, "host.net.out.flow": net.bytes_sent}
    return found


def _chips() -> Iterator[Value]:
    """Temperatures and fans, where this system has them at all."""
    for ask, word, symbol in (
        ("sensors_temperatures", "temperature", "Cel"), ("sensors_fans", "fan", "rpm"),
    ):  # fmt: skip
        yield from _labelled(getattr(psutil, ask, dict)(), word, symbol)


def _labelled(chips: Mapping[str, Sequence[object]], word: str, symbol: str) -> Iterator[Value]:
    entries = [
        (chip, place, entry) for chip, all_ in chips.items() for place, entry in enumerate(all_)
    ]
    for chip, place, entry in entries[:CHIPS_MAX]:
        current = getattr(entry, "current", None)
        if isinstance(current, int | float):
            yield Value(_named(chip, place, word), symbol, float(current))


def _named(chip: str, place: int, word: str) -> str:
    """Such as ``host.coretemp.1.temperature``; labels are free text, places are not."""
    stem = _OTHER.sub("_", chip.lower()).strip("_") or "chip"
    end = f".{place}.{word}"
    return f"host.{stem[: NAME_MAX - len(end) - 5]}{end}"
