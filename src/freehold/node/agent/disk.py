"""Disks as sensors: SMART by smartmontools, where it is installed and may look."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence

from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import NotFoundError, UnavailableError
from freehold.node.agent.sensors import Value, output

PAUSE = 300.0
"""Seconds between looks: asking may wake a disk."""
DISKS_MAX = 8
_SECONDS = 20.0
_NAME = re.compile(r"/dev/[A-Za-z0-9/_-]{1,32}")
_ATTRIBUTES = {5: "reallocated.count", 197: "pending.count", 198: "uncorrectable.count"}
Run = Callable[[Sequence[str]], bytes]


def _run(argv: Sequence[str]) -> bytes:
    return output(argv, seconds=_SECONDS)


class Disk:
    """Health, temperature, age and wear of the disks that ``smartctl --scan`` finds."""

    name = "disk"

    def __init__(
        self,
        *,
        run: Run = _run,
        find: Callable[[str], str | None] = shutil.which,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._find, self._clock = run, find, clock
        self._next = 0.0

    def read(self) -> Sequence[Value]:
        """Every PAUSE seconds what the disks tell of themselves, nothing in between."""
        if self._next and self._clock() < self._next:
            return ()
        self._next = self._clock() + PAUSE
        program = self._find("smartctl")
        if program is None:
            raise NotFoundError(
                "the sensor disk gives nothing: smartctl is not installed",
                remedy="Install smartmontools, or take `disk` out of the device's settings.",
            )
        scan = _object(self._run([program, "--json", "--scan"]))
        names = [str(_of(each).get("name")) for each in _list(scan.get("devices"))[:DISKS_MAX]]
        found = [
            value
            for name in names
            if _NAME.fullmatch(name)
            for value in _values(name, _object(self._run([program, "--json", "-H", "-A", name])))
        ]
        if not found:
            raise UnavailableError(
                "the sensor disk gives nothing: smartctl found no disk that it may ask",
                remedy="Run the agent with the right to ask disks, or take `disk` out.",
            )
        return found


def _values(name: str, told: dict[str, object]) -> Iterator[Value]:
    stem = "disk." + name.removeprefix("/dev/").replace("/", "_").replace("-", "_").lower()
    passed = _of(told.get("smart_status")).get("passed")
    if isinstance(passed, bool):
        yield Value(f"{stem}.passed", "1", float(passed))
    yield from _number(f"{stem}.temperature", "Cel", _of(told.get("temperature")).get("current"))
    yield from _number(f"{stem}.uptime", "s", _of(told.get("power_on_time")).get("hours"), 3_600)
    log = _of(told.get("nvme_smart_health_information_log"))
    yield from _number(f"{stem}.wear", "%", log.get("percentage_used"))
    yield from _number(f"{stem}.errors.count", "1", log.get("media_errors"))
    for row in _list(_of(told.get("ata_smart_attributes")).get("table")):
        number = _of(row).get("id")
        word = _ATTRIBUTES.get(number) if isinstance(number, int) else None
        if word:
            yield from _number(f"{stem}.{word}", "1", _of(_of(row).get("raw")).get("value"))


def _number(name: str, symbol: str, value: object, scale: float = 1.0) -> Iterator[Value]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield Value(name, symbol, value * scale)


def _object(content: bytes) -> dict[str, object]:
    try:
        return _of(parse_document(content))
    except MalformedError as error:
        raise UnavailableError(
            f"smartctl printed what is not its JSON: {error}", remedy="Install smartmontools 7."
        ) from error


def _of(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
