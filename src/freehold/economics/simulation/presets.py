"""Token models: what a schedule has minted at most by each month, exact in base units of 10^-18.

A month is a twelfth of 365.25 days, as in the issuance contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from freehold.domain.errors import UsageError
from freehold.domain.money import UNIT
from freehold.economics.schedules import bittensor, filecoin, geometric, ionet
from freehold.economics.schedules.vesting import MONTH_SECONDS, Part
from freehold.economics.simulation.scenario import Scenario, Schedule, Tranche

OWN = "own"


@dataclass(frozen=True, slots=True)
class Preset:
    """A token model. ``cap`` bounds all that is ever minted, genesis included (base units);
    ``issued(n)`` is what the schedule emits in the first n months (base units)."""

    name: str
    symbol: str
    cap: int
    genesis: tuple[Tranche, ...]
    issued: Callable[[int], int]
    words: str

    def initial(self) -> int:
        """Genesis tokens, base units."""
        return sum(tranche.tokens for tranche in self.genesis) * UNIT

    def months(self, count: int) -> list[int]:
        """What the schedule emits in each of the first ``count`` months, base units."""
        return [after - before for before, after in pairwise(map(self.issued, range(count + 1)))]


def simple_issued(months: int) -> int:
    """Filecoin's part by time, base units after ``months``."""
    theta = filecoin.elapsed_theta(months * MONTH_SECONDS)
    return filecoin.supply(theta, filecoin.SIMPLE_TOTAL)


def filecoin_issued(months: int) -> int:
    """Both parts, of a network that holds its baseline from the first day on."""
    theta = filecoin.elapsed_theta(months * MONTH_SECONDS)
    return simple_issued(months) + filecoin.baseline_reward(0, theta)


def ionet_issued(months: int) -> int:
    """io.net's 240 months, nothing afterwards."""
    return sum(map(_ionet_month, range(1, months + 1))) * ionet.NATIVE


_ionet_month = cache(ionet.month_emission)


def bittensor_issued(months: int) -> int:
    """Block by block from nothing."""
    blocks = months * MONTH_SECONDS // bittensor.BLOCK_SECONDS
    return bittensor.issued(blocks) * bittensor.NATIVE


def own_issued(schedule: Schedule) -> Callable[[int], int]:
    """A geometric schedule, cumulative figures rounded to base units."""
    factor = round(schedule.factor * 10**9) * 10**9
    first = schedule.first * UNIT
    return lambda months: geometric.issued(
        first=first, factor=factor, steps=min(months, schedule.months), grain=1
    )


FILECOIN = Preset(
    name="filecoin",
    symbol="FIL",
    cap=600_000_000 * UNIT + filecoin.SIMPLE_TOTAL + filecoin.BASELINE_TOTAL,
    genesis=(
        Tranche("fundraising", 200_000_000, 0, 36),
        Tranche("founding company and team", 300_000_000, 0, 72),
        Tranche("foundation", 100_000_000, 0, 72),
    ),
    issued=filecoin_issued,
    words="330M simple minting with a half-life of six years, and up to 770M as the network's "
    "fee-backed bytes keep up with a baseline that doubles every year; 600M at genesis "
    "(fundraising taken as 36 equal parts). Filecoin's mining reserve of 300M, for which no rule "
    "of release was ever set, is left out.",
)


def _tranche(part: Part) -> Tranche:
    """io.net's shares of the cap, the community's less what the schedule emits."""
    tokens = part.share_bps * ionet.CAP_IO // 10_000
    genesis = ionet.COMMUNITY_GENESIS_IO if part.name == "community" else tokens
    return Tranche(part.name, genesis, part.cliff_months, part.months)


IONET = Preset(
    name="ionet",
    symbol="IO",
    cap=ionet.CAP_IO * UNIT,
    genesis=tuple(_tranche(part) for part in ionet.ALLOCATION),
    issued=ionet_issued,
    words="500M at genesis and 300M over 240 months, from 3,333,333 falling by "
    "1.015 % a month; cap 800M. Investors wait 12 months, then 24 parts; staff 12, then 36. "
    "Research, ecosystem and the community's genesis part are free at launch.",
)
BITTENSOR = Preset(
    name="bittensor",
    symbol="TAO",
    cap=bittensor.CAP_RAO * bittensor.NATIVE,
    genesis=(),
    issued=bittensor_issued,
    words="One token a block of 12 seconds, halved as the tokens issued pass 10.5M, 15.75M and so "
    "on; cap 21M; nothing at genesis.",
)
PRESETS = {preset.name: preset for preset in (FILECOIN, IONET, BITTENSOR)}


def choose(name: str, scenario: Scenario) -> Preset:
    """The preset ``name`` with the scenario's own genesis, if it has one; UsageError when there
    is none of this name, or the scenario lacks or has a schedule against it."""
    if name == OWN:
        return _own(scenario)
    if name not in PRESETS:
        known = ", ".join([*PRESETS, OWN])
        raise UsageError(f"there is no preset {name!r}", remedy=f"Choose one of {known}.")
    if scenario.schedule is not None:
        raise UsageError(
            f"the scenario has a [schedule], but {name} has its own",
            remedy="Leave the table out, or choose `--preset own`.",
        )
    base = PRESETS[name]
    if not scenario.genesis:
        return base
    grown = sum(tranche.tokens for tranche in scenario.genesis) * UNIT - base.initial()
    return replace(base, cap=base.cap + grown, genesis=scenario.genesis)


def _own(scenario: Scenario) -> Preset:
    schedule = scenario.schedule
    if schedule is None:
        raise UsageError(
            "the preset own needs a schedule",
            remedy="Give a --scenario with a table [schedule]: first, factor, months.",
        )
    issued = own_issued(schedule)
    initial = sum(tranche.tokens for tranche in scenario.genesis) * UNIT
    words = "Genesis and a geometric schedule of the scenario; the cap is their sum."
    cap = initial + issued(schedule.months)
    if cap == 0:
        raise UsageError(
            "the scenario's token would never exist",
            remedy="Give a [[genesis]] with tokens, or a [schedule] with a first month.",
        )
    return Preset(OWN, "TOKEN", cap, scenario.genesis, issued, words)
