"""A scenario: what is assumed of demand, prices, costs and rules, read from TOML.

Every key has bounds and a sentence; the report prints both, so that no assumption hides. The
defaults are round numbers to begin from, not forecasts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TypeVar

from freehold.domain.errors import UsageError

SIZE_MAX = 2**16
SHOCKS_MAX = 64
GENESIS_MAX = 32
PRICES_MAX = 101
_T = TypeVar("_T")


def _number(default: float, low: float, high: float, what: str) -> float:
    value: float = field(default=default, metadata={"low": low, "high": high, "what": what})
    return value


def _whole(default: int, low: int, high: int, what: str) -> int:
    value: int = field(default=default, metadata={"low": low, "high": high, "what": what})
    return value


@dataclass(frozen=True, slots=True)
class Token:
    """The token's price in USD: geometric Brownian motion, or around a path of your own."""

    valuation_usd: float = _number(
        100e6, 1.0, 1e13, "worth of all tokens that can ever be, at launch"
    )
    growth: float = _number(0.0, -0.99, 10.0, "growth of the median price a year")
    volatility: float = _number(0.8, 0.0, 5.0, "standard deviation of its logarithm a year")
    prices: tuple[float, ...] = ()
    """USD at the end of year 0, 1, 2 ...; the last one stays. Replaces valuation and growth."""


@dataclass(frozen=True, slots=True)
class Market:
    """Demand, price and cost of one service. A unit is a TiB-month or a GPU-hour, in USD."""

    start: float = _number(500.0, 0.0, 1e12, "demand at launch, in TiB or GPUs")
    growth: float = _number(1.0, -0.99, 20.0, "growth of demand a year while it is small")
    limit: float = _number(50_000.0, 0.0, 1e15, "demand at saturation; 0: none, growth goes on")
    noise: float = _number(0.15, 0.0, 2.0, "standard deviation of demand's logarithm around it")
    price: float = _number(2.5, 0.0, 1e6, "what clients pay a unit at launch, USD")
    price_change: float = _number(-0.10, -0.99, 10.0, "change of that price a year")
    cost: float = _number(1.2, 0.0, 1e6, "what a unit of capacity costs its owner, USD")
    cost_change: float = _number(-0.12, -0.99, 10.0, "change of that cost a year")
    capacity: float = _number(800.0, 0.0, 1e12, "capacity at launch, in TiB or GPUs")


_COMPUTE = Market(
    start=50.0,
    limit=5_000.0,
    price=1.2,
    price_change=-0.15,
    cost=0.55,
    cost_change=-0.15,
    capacity=80.0,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """How capacity answers to income."""

    lag: float = _number(4.0, 1.0, 60.0, "months over which owners average their margin")
    speed: float = _number(0.15, 0.0, 2.0, "growth of capacity a month at a margin of 100 %")
    most: float = _number(0.20, 0.0, 1.0, "most that capacity grows or shrinks a month")


@dataclass(frozen=True, slots=True)
class Fees:
    """The network's fee, and the emission that burned fees allow."""

    network: float = _number(0.005, 0.0, 0.05, "network fee, of what clients pay")
    burned: float = _number(0.5, 0.0, 1.0, "part of the fee that is burned; the rest is treasury")
    emission: float = _number(0.9, 0.0, 0.99, "most emission, of the fees that a deal burned")


@dataclass(frozen=True, slots=True)
class Grants:
    """Allocator budgets: the only emission that is not earned by burned fees."""

    share: float = _number(0.02, 0.0, 1.0, "of the schedule, set aside for public grants")
    months: int = _whole(48, 0, 1200, "months for which it is")


@dataclass(frozen=True, slots=True)
class Stake:
    """Stake of nodes for their capacity, and of delegators for yield."""

    per_tib_usd: float = _number(5.0, 0.0, 1e6, "stake a TiB, in USD at launch, fixed in tokens")
    per_gpu_usd: float = _number(250.0, 0.0, 1e6, "stake a GPU, in USD at launch, fixed in tokens")
    most: float = _number(0.5, 0.0, 0.9, "most of free tokens that would ever be delegated")
    half_yield: float = _number(0.08, 0.0001, 10.0, "yield a year at which half of that is")
    speed: float = _number(0.1, 0.0, 1.0, "part of the way to it in a month")
    rewards: float = _number(0.2, 0.0, 1.0, "part of emission and grants that delegators get")
    capital: float = _number(0.10, 0.0, 2.0, "yield a year that a node wants for its own stake")
    slashed: float = _number(0.005, 0.0, 1.0, "of nodes' stake slashed a year")
    slash_burned: float = _number(0.7, 0.0, 1.0, "part of a slash that burns; the rest compensates")


@dataclass(frozen=True, slots=True)
class Split:
    """Parts of the schedule for each market; the rest is never minted."""

    storage: float = _number(0.5, 0.0, 1.0, "of the schedule, at most for storage")
    compute: float = _number(0.5, 0.0, 1.0, "of the schedule, at most for compute")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A founder's own schedule: a first month, then each month ``factor`` times the last."""

    first: int = _whole(1_000_000, 0, 10**12, "whole tokens in month 1")
    factor: float = _number(0.99, 0.0, 1.0, "each month's part of the last, in billionths")
    months: int = _whole(240, 0, 1200, "months until it ends")


@dataclass(frozen=True, slots=True)
class Shock:
    """Demand (of ``storage``, ``compute`` or ``both``) times ``factor`` for ``months``."""

    month: int = _whole(24, 1, 1200, "first month")
    months: int = _whole(12, 1, 1200, "months it lasts")
    factor: float = _number(0.5, 0.0, 100.0, "demand is multiplied by this")
    market: str = "both"


@dataclass(frozen=True, slots=True)
class Tranche:
    """Genesis tokens that vest in equal monthly parts after a cliff."""

    name: str = "genesis"
    tokens: int = _whole(0, 0, 10**12, "whole tokens")
    cliff: int = _whole(0, 0, 1200, "months before which nothing vests")
    parts: int = _whole(0, 0, 1200, "equal monthly parts after the cliff; 0: all at the cliff")

    def vested(self, month: int) -> int:
        """Whole and part tokens in base units of 10^-18 that are free after ``month``."""
        amount = self.tokens * 10**18
        if month < self.cliff:
            return 0
        passed = min(month - self.cliff, self.parts)
        return amount * passed // self.parts if self.parts else amount


@dataclass(frozen=True, slots=True)
class Scenario:
    """All assumptions of a run; ``genesis`` empty keeps the preset's allocation."""

    token: Token = field(default_factory=Token)
    storage: Market = field(default_factory=Market)
    compute: Market = field(default_factory=lambda: _COMPUTE)
    entry: Entry = field(default_factory=Entry)
    fees: Fees = field(default_factory=Fees)
    grants: Grants = field(default_factory=Grants)
    stake: Stake = field(default_factory=Stake)
    split: Split = field(default_factory=Split)
    baseline: float = 1000.0
    """TiB of the Filecoin preset's baseline at launch; it doubles every year."""
    shock: tuple[Shock, ...] = ()
    genesis: tuple[Tranche, ...] = ()
    schedule: Schedule | None = None
    """Of the preset ``own`` alone."""


DEFAULT = Scenario()
_BASELINE = {"low": 1e-6, "high": 1e15}


def parse_scenario(text: str) -> Scenario:
    """The scenario of a TOML text; UsageError names the key that is unknown, of the wrong type
    or out of its bounds. Keys left out keep their defaults."""
    known = {f.name for f in fields(Scenario)}
    top = _table(_toml(text), "the file", known)
    found = Scenario(
        token=_token(top.get("token", {})),
        storage=_filled(top, "storage", DEFAULT.storage),
        compute=_filled(top, "compute", DEFAULT.compute),
        entry=_filled(top, "entry", DEFAULT.entry),
        fees=_filled(top, "fees", DEFAULT.fees),
        grants=_filled(top, "grants", DEFAULT.grants),
        stake=_filled(top, "stake", DEFAULT.stake),
        split=_filled(top, "split", DEFAULT.split),
        baseline=float(_bounded(top.get("baseline", DEFAULT.baseline), "baseline", _BASELINE)),
        shock=_each(top, "shock", SHOCKS_MAX, _shock),
        genesis=_each(top, "genesis", GENESIS_MAX, _tranche),
        schedule=_filled(top, "schedule", Schedule()) if "schedule" in top else None,
    )
    _consistent(found)
    return found


def assumptions(section: object) -> Iterator[tuple[str, float, str]]:
    """Name, value and meaning of every number of one section."""
    for key, rule in _rules(section).items():
        value = getattr(section, key)
        if isinstance(value, int | float):
            yield key, value, str(rule["what"])


def _rules(section: object) -> dict[str, Mapping[str, object]]:
    """Bounds and meaning of each numeric key of a section."""
    if not hasattr(section, "__dataclass_fields__"):
        raise TypeError(f"{type(section).__name__} is no section of a scenario")
    members = section.__dataclass_fields__.values()
    return {member.name: member.metadata for member in members if "low" in member.metadata}


def _toml(text: str) -> dict[str, object]:
    if len(text) > SIZE_MAX:
        raise _wrong("the file", f"is longer than {SIZE_MAX:,} characters")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(
            f"the scenario is not TOML: {error}",
            remedy="Write lines such as `growth = 0.5` under headings such as [storage].",
        ) from error


def _table(value: object, name: str, known: set[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _wrong(name, "is not a table")
    for key in value:
        if key not in known:
            label = key if name == "the file" else f"{name}.{key}"
            raise UsageError(
                f"the scenario has an unknown key {label!r}",
                remedy=f"Known here: {', '.join(sorted(known))}.",
            )
    return value


def _filled(top: Mapping[str, object], name: str, default: _T) -> _T:
    """``default`` with the numbers that the table ``name`` gives."""
    given, rules = top.get(name, {}), _rules(default)
    table = _table(given, name, set(rules))
    return _replaced(default, {k: _typed(v, f"{name}.{k}", rules[k]) for k, v in table.items()})


def _replaced(default: _T, changes: Mapping[str, object]) -> _T:
    held = {name: getattr(default, name) for name in type(default).__dict__["__match_args__"]}
    return type(default)(**{**held, **changes})


def _typed(value: object, name: str, rule: Mapping[str, object]) -> float:
    """A number within its bounds, whole where the bounds are whole."""
    number = _bounded(value, name, rule)
    if isinstance(rule["low"], int):
        if not isinstance(number, int):
            raise _wrong(name, f"is {number}, not a whole number")
        return number
    return float(number)


def _bounded(value: object, name: str, rule: Mapping[str, object]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, f"is {value!r}, not a number")
    low, high = rule["low"], rule["high"]
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise TypeError(f"{name} has no bounds")
    if not low <= value <= high:  # so is a NaN
        raise _wrong(name, f"is {value}, outside {low:,} to {high:,}")
    return value


def _token(value: object) -> Token:
    rules = _rules(DEFAULT.token)
    table = dict(_table(value, "token", set(rules) | {"prices"}))
    path = table.pop("prices", [])
    if not isinstance(path, list) or len(path) > PRICES_MAX:
        raise _wrong("token.prices", f"is not a list of at most {PRICES_MAX} numbers")
    rule = {"low": 1e-12, "high": 1e12}
    prices = tuple(float(_bounded(p, f"token.prices[{i}]", rule)) for i, p in enumerate(path))
    filled = _filled({"token": table}, "token", DEFAULT.token)
    return Token(filled.valuation_usd, filled.growth, filled.volatility, prices)


def _each(
    top: Mapping[str, object], name: str, most: int, make: Callable[[object, str], _T]
) -> tuple[_T, ...]:
    given = top.get(name, [])
    if not isinstance(given, list) or len(given) > most:
        raise _wrong(name, f"is not a list of at most {most} tables: write [[{name}]]")
    return tuple(make(value, f"{name}[{index}]") for index, value in enumerate(given))


def _shock(value: object, name: str) -> Shock:
    table = dict(_table(value, name, set(_rules(Shock())) | {"market"}))
    market = table.pop("market", "both")
    if market not in ("storage", "compute", "both"):
        raise _wrong(f"{name}.market", f"is {market!r}, not storage, compute or both")
    filled = _filled({name: table}, name, Shock())
    return _replaced(filled, {"market": market})


def _tranche(value: object, name: str) -> Tranche:
    table = dict(_table(value, name, set(_rules(Tranche())) | {"name"}))
    label = table.pop("name", f"tranche {name}")
    if not isinstance(label, str) or not 0 < len(label) <= 40 or not label.isprintable():
        raise _wrong(f"{name}.name", "is not a text of 1 to 40 characters")
    filled = _filled({name: table}, name, Tranche())
    return _replaced(filled, {"name": label})


def _consistent(found: Scenario) -> None:
    if found.split.storage + found.split.compute > 1.0 + 1e-9:
        raise _wrong("split", "gives away more than the whole schedule")
    for name in ("storage", "compute"):
        market: Market = getattr(found, name)
        if 0.0 < market.limit < market.start:
            raise _wrong(f"{name}.limit", f"is below {name}.start")


def _wrong(name: str, fault: str) -> UsageError:
    return UsageError(
        f"the scenario's {name} {fault}",
        remedy="Correct that key; `freehold economics simulate` without a scenario shows all of "
        "them with their meaning in its report.",
    )


def sections(scenario: Scenario) -> Sequence[tuple[str, object]]:
    """The tables of a scenario that hold numbers alone, in the order of the file."""
    names = ("token", "storage", "compute", "entry", "fees", "grants", "stake", "split")
    return [(name, getattr(scenario, name)) for name in names]
