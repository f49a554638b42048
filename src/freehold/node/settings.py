"""What the owner of a node sets: flag before environment before ``node.toml`` before default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from freehold.domain import money
from freehold.domain.errors import UsageError
from freehold.domain.ids import address

FILE = "node.toml"
PREFIX = "FREEHOLD_NODE_"
KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40
MINUTE, HOUR, DAY = 60, 3600, 86_400

AUTO, OFF = "auto", "off"
YES, NO = "yes", "no"

Setting = int | str | Path
Bounds: TypeAlias = tuple[tuple[str, int, int], ...]
"""Names of settings, each with its least and its most."""
T = TypeVar("T")
_UNITS = {"": 1, "B": 1, "KIB": KIB, "MIB": MIB, "GIB": GIB, "TIB": TIB}
_SPANS = {"": 1, "S": 1, "M": MINUTE, "H": HOUR, "D": DAY}
_QUANTITY = re.compile(r"(?P<number>\d{1,18})\s*(?P<unit>[A-Za-z]*)")


def _quantity(value: str, units: Mapping[str, int], example: str) -> int:
    match = _QUANTITY.fullmatch(value.strip())
    if match is None or match["unit"].upper() not in units:
        raise UsageError(f"{value!r} is not understood", remedy=f"Write it like {example}.")
    return int(match["number"]) * units[match["unit"].upper()]


def size(value: str) -> int:
    """Bytes of a text such as ``64GiB``."""
    return _quantity(value, _UNITS, "64GiB")


def span(value: str) -> int:
    """Seconds of a text such as ``90d``."""
    return _quantity(value, _SPANS, "90d")


def count(value: str) -> int:
    """A whole number."""
    return _quantity(value, {"": 1}, "8")


def per_byte(value: str) -> int:
    """Base units per byte of a price per TiB, rounded up: dust never favours the caller."""
    return -(-money.parse(value) // TIB)


def text(value: str) -> str:
    """Text, with spaces around it removed."""
    return value.strip()


def path(value: str) -> Path:
    """A path; ``~`` is the user's home."""
    return Path(value).expanduser()


def level(value: str) -> str:
    """A log level."""
    if value.lower() not in ("debug", "info", "warning", "error"):
        raise UsageError(
            f"{value!r} is not a log level", remedy="Use debug, info, warning or error."
        )
    return value.lower()


def yes_or_no(value: str) -> str:
    """``yes`` or ``no``."""
    if value.lower() not in (YES, NO):
        raise UsageError(f"{value!r} is neither yes nor no", remedy="Write yes or no.")
    return value.lower()


def report(value: str) -> str:
    """Whom a node tells of itself: ``auto``, ``off`` or an operator's address."""
    return value.lower() if value.lower() in (AUTO, OFF) else address(value.strip())


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one node.

    Sizes are bytes, spans seconds, ``price`` base units per TiB-month, ``retrieval_price`` base
    units per byte. An account may have ``account_uploads`` open and ``staged`` bytes that no deal
    pays for; a client ``client_quota`` bytes in deals and acceptances. A finished upload is kept
    for ``hold`` unless it is accepted, an acceptance can be opened for ``acceptance_window``.
    ``allowance`` is how often a day a deal's client may read its piece without paying, in whole
    pieces; ``watcher_allowance`` is what one registered watcher may read a day. Every piece is
    read again each ``scrub_every``, at ``scrub_rate`` bytes a second. Rails are settled each
    ``settle_every``, which should be less than the lockup period; columns of a client whose
    deposit has been empty for ``dry_patience`` are left. The piece of a column that was moved to
    another node is kept until that one has proven a round, at most ``keep_moved`` periods: twice
    what a new network lets a node owe before it fails. A body that stalls for ``body_timeout``
    ends its request. Below ``gas_reserve`` native coins the node warns. ``coin`` is what a
    native coin is worth, in base units: what a contract wallet pays at once must be worth its gas.
    Rewards are fetched once they are worth ``reward_worth`` times their gas; 0 leaves them alone.
    ``report``: what the machine and the node do is told to the network's telemetry service (auto),
    to that of one operator (its address), or to nobody (off).
    """

    home: Path
    network: Path
    key: Path
    password: Path
    host: str = "127.0.0.1"
    port: int = 7420
    endpoint: str = ""
    capacity: int = 64 * GIB
    price: int = 5 * money.UNIT // 2
    retrieval_price: int = 10 * money.UNIT // TIB + 1
    min_term: int = MINUTE
    max_term: int = 540 * DAY
    client_quota: int = 64 * GIB
    max_piece: int = 32 * GIB
    max_uploads: int = 128
    account_uploads: int = 16
    staged: int = 32 * GIB
    upload_expiry: int = DAY
    hold: int = 2 * HOUR
    acceptance_window: int = HOUR
    allowance: int = 2
    watcher_allowance: int = 32 * GIB
    scrub_rate: int = 8 * MIB
    scrub_every: int = 7 * DAY
    settle_every: int = 3 * DAY
    dry_patience: int = DAY
    keep_moved: int = 6
    body_timeout: int = 30
    connections: int = 256
    gas_reserve: int = money.UNIT // 20
    coin: int = money.UNIT
    reward_worth: int = 4
    report: str = "auto"
    log_level: str = "info"

    def public_endpoint(self, port: int) -> str:
        """The URL that clients reach this node at, given the port that was bound."""
        return self.endpoint or f"https://{self.host}:{port}"


_PARSERS: dict[str, Callable[[str], Setting]] = {
    "network": path,
    "key": path,
    "password": path,
    "host": text,
    "port": count,
    "endpoint": text,
    "capacity": size,
    "price": money.parse,
    "retrieval_price": per_byte,
    "min_term": span,
    "max_term": span,
    "client_quota": size,
    "max_piece": size,
    "max_uploads": count,
    "account_uploads": count,
    "staged": size,
    "upload_expiry": span,
    "hold": span,
    "acceptance_window": span,
    "allowance": count,
    "watcher_allowance": size,
    "scrub_rate": size,
    "scrub_every": span,
    "settle_every": span,
    "dry_patience": span,
    "keep_moved": count,
    "body_timeout": span,
    "connections": count,
    "gas_reserve": money.parse,
    "coin": money.parse,
    "reward_worth": count,
    "report": report,
    "log_level": level,
}
NAMES = tuple(_PARSERS)
"""Every setting that a flag, the environment or the file may give."""


def load(home: Path, *, flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Settings of the node in ``home``.

    ``flags`` are texts by setting name; the environment gives ``FREEHOLD_NODE_<NAME>``; the file
    is ``home/node.toml``. UsageError names an unknown or malformed setting and where it stands.
    """
    given = gather(home / FILE, _PARSERS, prefix=PREFIX, flags=flags, environment=environment)
    return _checked(build(Settings, home, given))


def gather(
    file: Path,
    parsers: Mapping[str, Callable[[str], Setting]],
    *,
    prefix: str,
    flags: Mapping[str, str],
    environment: Mapping[str, str],
) -> dict[str, Setting]:
    """What is set, by name, of the settings that ``parsers`` read: flag before environment
    (``prefix`` and the name in capitals) before ``file``; the files of a home by default."""
    home = file.parent
    given: dict[str, Setting] = {
        "network": home / "network.json",
        "key": home / "key.json",
        "password": home / "password",
    }
    sources = (
        (file.name, _read_file(file)),
        ("the environment", _from_environment(environment, prefix)),
        ("the command line", dict(flags)),
    )
    for where, values in sources:
        for name, value in values.items():
            given[name] = _parse(parsers, name, value, where=where)
    return given


def _parse(
    parsers: Mapping[str, Callable[[str], Setting]], name: str, value: str, *, where: str
) -> Setting:
    parser = parsers.get(name)
    if parser is None:
        raise UsageError(
            f"{where} names a setting that does not exist: {name}",
            remedy=f"Settings are: {', '.join(parsers)}.",
        )
    try:
        return parser(value)
    except UsageError as error:
        raise UsageError(f"{name} in {where}: {error.message}", remedy=error.remedy) from error


def build(made: Callable[..., T], home: Path, given: Mapping[str, Setting]) -> T:
    """Settings of a class from what was given by name."""
    return made(home, **given)


def check_bounds(settings: object, bounds: Bounds) -> None:
    """UsageError where a number is out of the bounds of its name."""
    for name, low, high in bounds:
        value = int(getattr(settings, name))
        if not low <= value <= high:
            raise UsageError(
                f"{name} is {value}, outside {low} to {high}", remedy=f"Set {name} within bounds."
            )


def check_url(endpoint: str) -> None:
    """UsageError where an endpoint is given that is no URL."""
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise UsageError(f"the endpoint {endpoint} is no URL", remedy="Write http:// or https://.")


def _read_file(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    try:
        table = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not TOML: {error}", remedy="Correct the file.") from error
    return {name: str(value) for name, value in table.items()}


def _from_environment(environment: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }


_BOUNDS: Bounds = (
    ("port", 0, 65_535),
    ("capacity", MIB, 2**60),
    ("price", 0, 10**30),
    ("retrieval_price", 0, 10**24),
    ("min_term", 1, 10 * 365 * DAY),
    ("max_term", 1, 10 * 365 * DAY),
    ("max_piece", 127, 64 * GIB),
    ("max_uploads", 1, 4096),
    ("account_uploads", 1, 4096),
    ("upload_expiry", MINUTE, 30 * DAY),
    ("hold", MINUTE, 30 * DAY),
    ("acceptance_window", MINUTE, DAY),
    ("scrub_rate", 64 * KIB, 2**34),
    ("scrub_every", MINUTE, 365 * DAY),
    ("settle_every", 1, 30 * DAY),
    ("dry_patience", 0, 365 * DAY),
    ("keep_moved", 0, 1000),
    ("body_timeout", 1, HOUR),
    ("connections", 8, 65_536),
    ("coin", 0, 10**30),
    ("reward_worth", 0, 10**6),
)


def _checked(settings: Settings) -> Settings:
    check_bounds(settings, _BOUNDS)
    if settings.min_term > settings.max_term:
        raise UsageError(
            "min_term is longer than max_term", remedy="Lower min_term or raise max_term."
        )
    if settings.endpoint and not settings.endpoint.startswith("https://"):
        raise UsageError(
            f"the endpoint {settings.endpoint} is not https", remedy="Nodes speak HTTPS only."
        )
    return settings
