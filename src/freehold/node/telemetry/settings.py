"""What an operator sets of a telemetry service: flag before environment before ``telemetry.toml``
before default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from freehold.domain import money
from freehold.domain.errors import UsageError
from freehold.node.settings import (
    DAY,
    GIB,
    HOUR,
    NO,
    YES,
    Bounds,
    Setting,
    build,
    check_bounds,
    check_url,
    count,
    gather,
    level,
    path,
    size,
    span,
    yes_or_no,
)
from freehold.node.settings import text as words
from freehold.telemetry.members import PARTITIONS_MAX

FILE = "telemetry.toml"
PREFIX = "FREEHOLD_TELEMETRY_"
JSON = "json"


def printing(value: str) -> str:
    """``yes``, ``no`` or ``json``."""
    return JSON if value.lower() == JSON else yes_or_no(value)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one telemetry service; sizes are bytes, spans seconds.

    ``partitions`` share the devices among threads and cannot change once there are readings.
    Readings are kept for ``raw``, their minutes and hours for ``minutes`` and ``hours``, and the
    signed batches, from which pay is reckoned, for ``evidence``, and never less than four epochs;
    the store takes ``store_bytes`` at most, 0 for what the disk has. ``broker`` starts a NATS
    server here, whose MQTT listens on ``mqtt_port`` (0: a free one); ``nats`` is the URL of another
    one to work on. ``webhook`` is told of alerts. The service pays gas for receipts and for rules
    that are due, unless ``trigger`` says no, while it has more than ``gas_reserve`` coins.
    ``terminal``: alerts are printed at once, in words (yes) or as JSON (json). Each ``watch`` it is
    looked for devices that copy or replay.
    """

    home: Path
    network: Path
    key: Path
    password: Path
    host: str = "127.0.0.1"
    port: int = 7440
    endpoint: str = ""
    partitions: int = 2
    raw: int = 7 * DAY
    minutes: int = 90 * DAY
    hours: int = 3_650 * DAY
    evidence: int = 7 * DAY
    store_bytes: int = 0
    broker: str = NO
    mqtt_port: int = 1883
    nats: str = ""
    webhook: str = ""
    trigger: str = YES
    gas_reserve: int = money.UNIT // 20
    connections: int = 512
    terminal: str = NO
    watch: int = 60
    log_level: str = "info"


_PARSERS: dict[str, Callable[[str], Setting]] = {
    "network": path,
    "key": path,
    "password": path,
    "host": words,
    "port": count,
    "endpoint": words,
    "partitions": count,
    "raw": span,
    "minutes": span,
    "hours": span,
    "evidence": span,
    "store_bytes": size,
    "broker": yes_or_no,
    "mqtt_port": count,
    "nats": words,
    "webhook": words,
    "trigger": yes_or_no,
    "gas_reserve": money.parse,
    "connections": count,
    "terminal": printing,
    "watch": span,
    "log_level": level,
}
NAMES = tuple(_PARSERS)
"""Every setting that a flag, the environment or the file may give."""
_BOUNDS: Bounds = (
    ("port", 0, 65_535),
    ("mqtt_port", 0, 65_535),
    ("partitions", 1, PARTITIONS_MAX),
    ("raw", DAY, 36_500 * DAY),
    ("minutes", DAY, 36_500 * DAY),
    ("hours", DAY, 36_500 * DAY),
    ("evidence", HOUR, 3_650 * DAY),
    ("store_bytes", 0, 2**60),
    ("connections", 8, 65_536),
    ("watch", 1, HOUR),
)
STORE_LEAST = GIB // 16


def load(home: Path, *, flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Settings of the service in ``home``; UsageError names what is wrong and where."""
    given = gather(home / FILE, _PARSERS, prefix=PREFIX, flags=flags, environment=environment)
    return _checked(build(Settings, home, given))


def _checked(settings: Settings) -> Settings:
    check_bounds(settings, _BOUNDS)
    if settings.broker == YES and settings.nats:
        raise UsageError(
            "a broker is to be started here and another one to be used",
            remedy="Give either --broker or --nats.",
        )
    check_url(settings.endpoint)
    if 0 < settings.store_bytes < STORE_LEAST:
        raise UsageError(
            f"a store of {settings.store_bytes:,} bytes is too small", remedy="Give 64MiB or more."
        )
    return settings
