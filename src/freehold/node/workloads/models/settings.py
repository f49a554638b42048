"""What an owner sets of a model server: flag before environment before ``model.toml`` before
default."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from freehold.domain import money
from freehold.domain.errors import UsageError
from freehold.node.settings import (
    DAY,
    GIB,
    HOUR,
    KIB,
    MIB,
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
    size,
    span,
    yes_or_no,
)
from freehold.node.settings import path as place
from freehold.node.settings import text as words
from freehold.node.workloads.models.source import parse_source

FILE = "model.toml"
PREFIX = "FREEHOLD_MODEL_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one model server; sizes are bytes, spans seconds, ``price`` base units.

    ``model`` is ``my_model.py:answer`` or ``net.onnx``, served as ``name`` (its subnet's or its
    file's otherwise); ``schema`` is a file with the subnet's schema (JSON or TOML), which it must
    have. ``alone``: it is served without a ledger, for nothing. ``subnet`` and ``uid`` are told to
    who asks. Each request costs ``price``; validators of its subnet with stake, and the watchers
    who sign what models are paid, have ``free`` a day.

    ``workers`` processes run it, each with ``threads`` and at most ``memory`` bytes of data (0: no
    bound). Up to ``max_batch`` rows are asked at once, where the model answers each row as if it
    were alone; a batch that is not full waits ``batch_delay`` milliseconds for more. ``queue``
    requests may wait. An answer takes at most ``timeout``, loading ``start_timeout``. A body has at
    most ``max_body`` bytes, ``max_json`` of them JSON, and all that are on their way ``bodies``.
    """

    home: Path
    network: Path
    key: Path
    password: Path
    model: str = ""
    name: str = ""
    schema: str = ""
    alone: str = NO
    subnet: str = ""
    uid: str = ""
    host: str = "127.0.0.1"
    port: int = 7460
    endpoint: str = ""
    price: int = 0
    free: int = 10_000
    workers: int = 1
    threads: int = 1
    memory: int = 0
    max_batch: int = 16
    batch_delay: int = 0
    queue: int = 256
    timeout: int = 30
    start_timeout: int = 120
    max_body: int = 16 * MIB
    max_json: int = 2 * MIB
    bodies: int = 256 * MIB
    body_timeout: int = 30
    connections: int = 512
    settle_every: int = DAY
    coin: int = money.UNIT
    log_level: str = "info"

    @property
    def called(self) -> str:
        """The name that the model is served by; it is found by that of its subnet too."""
        return self.name or self.subnet or parse_source(self.model).stem


_PARSERS: dict[str, Callable[[str], Setting]] = {
    "network": place,
    "key": place,
    "password": place,
    "model": words,
    "name": words,
    "schema": words,
    "alone": yes_or_no,
    "subnet": words,
    "uid": words,
    "host": words,
    "port": count,
    "endpoint": words,
    "price": money.parse,
    "free": count,
    "workers": count,
    "threads": count,
    "memory": size,
    "max_batch": count,
    "batch_delay": count,
    "queue": count,
    "timeout": span,
    "start_timeout": span,
    "max_body": size,
    "max_json": size,
    "bodies": size,
    "body_timeout": span,
    "connections": count,
    "settle_every": span,
    "coin": money.parse,
    "log_level": level,
}
NAMES = tuple(_PARSERS)
"""Every setting that a flag, the environment or the file may give."""
_BOUNDS: Bounds = (
    ("port", 0, 65_535),
    ("price", 0, 10**30),
    ("free", 0, 10**9),
    ("workers", 1, 64),
    ("threads", 1, 256),
    ("memory", 0, 2**50),
    ("max_batch", 1, 1024),
    ("batch_delay", 0, 1000),
    ("queue", 1, 65_536),
    ("timeout", 1, HOUR),
    ("start_timeout", 1, HOUR),
    ("max_body", KIB, 32 * MIB),
    ("max_json", KIB, 8 * MIB),
    ("bodies", MIB, 64 * GIB),
    ("body_timeout", 1, HOUR),
    ("connections", 8, 65_536),
    ("settle_every", 1, 30 * DAY),
    ("coin", 0, 10**30),
)


def load(home: Path, *, flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Settings of the server in ``home``; UsageError names what is wrong and where."""
    given = gather(home / FILE, _PARSERS, prefix=PREFIX, flags=flags, environment=environment)
    return checked(build(Settings, home, given))


def checked(settings: Settings) -> Settings:
    """The same settings; UsageError where they are out of bounds or contradict each other."""
    check_bounds(settings, _BOUNDS)
    if not settings.model:
        raise UsageError("no model is named", remedy="Name it: --model my_model.py:answer.")
    if _NAME.fullmatch(settings.called) is None:
        raise UsageError(
            f"{settings.called!r} is no name for a model",
            remedy="Use 1 to 64 letters, digits, dots, dashes and underscores: --name NAME.",
        )
    if settings.alone == YES and settings.price:
        raise UsageError(
            "a price needs a ledger", remedy="Set the price to 0, or serve in a network."
        )
    if settings.max_body > settings.bodies:
        raise UsageError("max_body is more than bodies", remedy="Raise bodies, or lower max_body.")
    check_url(settings.endpoint)
    return settings
