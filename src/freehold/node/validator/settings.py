"""What an owner sets of a validator: flag before environment before ``validator.toml`` before
default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from freehold.domain import money
from freehold.domain.errors import UsageError
from freehold.node.settings import (
    HOUR,
    NO,
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

FILE = "validator.toml"
PREFIX = "FREEHOLD_VALIDATOR_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one validator; spans are seconds, sizes bytes, money base units.

    ``subnet`` is a name. ``scorer`` is ``file.py:score``, ``schema`` a file with the subnet's
    schema; both are looked for where the subnet's documents are. ``asked`` is a journal of requests
    of this machine's users, whose spot checks count. Nodes are asked for nothing; with ``spend``
    those that want to be paid get at most so much a round, and ``fare`` a request. ``plain`` admits
    nodes at http:// on loopback, as a network of one machine has them. ``propose`` is the bond that
    it may post to propose who is paid; 0: it does not.

    One call of the scorer may take ``scorer_timeout``, loading it ``start_timeout``, and it may
    hold ``memory`` bytes of data (0: no bound). ``together`` questions are asked at once.
    """

    home: Path
    network: Path
    key: Path
    password: Path
    subnet: str = ""
    scorer: str = ""
    schema: str = ""
    asked: str = ""
    host: str = "127.0.0.1"
    port: int = 7470
    endpoint: str = ""
    plain: str = NO
    propose: int = 0
    spend: int = 0
    fare: int = money.UNIT // 100
    together: int = 32
    scorer_timeout: int = 10
    start_timeout: int = 120
    memory: int = 0
    connections: int = 256
    log_level: str = "info"


_PARSERS: dict[str, Callable[[str], Setting]] = {
    "network": place,
    "key": place,
    "password": place,
    "subnet": words,
    "scorer": words,
    "schema": words,
    "asked": words,
    "host": words,
    "port": count,
    "endpoint": words,
    "plain": yes_or_no,
    "propose": money.parse,
    "spend": money.parse,
    "fare": money.parse,
    "together": count,
    "scorer_timeout": span,
    "start_timeout": span,
    "memory": size,
    "connections": count,
    "log_level": level,
}
NAMES = tuple(_PARSERS)
"""Every setting that a flag, the environment or the file may give."""
_BOUNDS: Bounds = (
    ("port", 0, 65_535),
    ("propose", 0, 10**30),
    ("spend", 0, 10**30),
    ("fare", 0, 10**30),
    ("together", 1, 1_024),
    ("scorer_timeout", 1, HOUR),
    ("start_timeout", 1, HOUR),
    ("memory", 0, 2**50),
    ("connections", 8, 65_536),
)


def load(home: Path, *, flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Settings of the validator in ``home``; UsageError names what is wrong and where."""
    given = gather(home / FILE, _PARSERS, prefix=PREFIX, flags=flags, environment=environment)
    return checked(build(Settings, home, given))


def checked(settings: Settings) -> Settings:
    """The same settings; UsageError where they are out of bounds."""
    check_bounds(settings, _BOUNDS)
    if not settings.subnet:
        raise UsageError("no subnet is named", remedy="Name it: --subnet NAME.")
    check_url(settings.endpoint)
    return settings
