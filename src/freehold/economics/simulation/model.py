"""The model: months of a network on many paths at once, from one scenario and one seed.

Exact: the schedule, genesis and vesting, and the books of every path. Estimates: demand, prices,
capacity, staking, and what follows from them. In each month, in this order:

1. genesis tokens vest; allocators grant their part of the schedule; no capacity without stake
2. clients pay for min(demand, capacity); of the fee a part burns, a part is saved
3. each market mints min(its part of the schedule, fraction of its burned fees), never past the cap
4. nodes earn what clients paid less the fee, and their part of emission and grants
5. stakes follow capacity, delegations follow yield, a little is slashed
6. capacity follows income over cost, with a lag
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from freehold.domain.errors import UsageError
from freehold.economics.simulation.books import Books, Floats, Tokens, floor, grains, tokens, whole
from freehold.economics.simulation.ceilings import ceiling
from freehold.economics.simulation.market import GPU_UNITS, TIB_UNITS, Sales, Service, demands
from freehold.economics.simulation.presets import Preset
from freehold.economics.simulation.prices import launch_price, prices
from freehold.economics.simulation.scenario import Scenario

YEARS_MAX, PATHS_MAX = 50, 100_000
CELLS_MAX = 6_000_000
"""Months times paths: 1.5 GB of history and quantiles."""
BONDED_MOST = 0.8
"""Part of the tokens that are not delegated that nodes can gather for their stake."""
Advance = Callable[[int, int], None]
"""Told how many months of how many are done."""


@dataclass(frozen=True, slots=True)
class History:
    """Every month of every path: arrays (months, paths). Tokens in grains of 10^-6; ``price`` in
    USD, incomes and costs in USD a TiB-month or GPU-hour of capacity that is offered, capacity and
    demand in TiB or GPUs; ``yielded`` is what delegators earn a year."""

    unvested: Tokens
    circulating: Tokens
    staked: Tokens
    treasury: Tokens
    minted: Tokens
    burned: Tokens
    earned: Tokens
    """Emission that burned fees allowed, so far."""
    granted: Tokens
    price: Floats
    yielded: Floats
    income_tib: Floats
    cost_tib: Floats
    capacity_tib: Floats
    demand_tib: Floats
    income_gpu: Floats
    cost_gpu: Floats
    capacity_gpu: Floats
    demand_gpu: Floats

    @classmethod
    def empty(cls, months: int, paths: int) -> History:
        """Room for a run."""

        def count() -> Tokens:
            return np.zeros((months, paths), dtype=np.int64)

        def value() -> Floats:
            return np.zeros((months, paths))

        return cls(
            count(), count(), count(), count(), count(), count(), count(), count(),
            value(), value(), value(), value(), value(), value(), value(), value(), value(),
            value(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """A finished simulation; ``schedule`` is exact, base units a month."""

    preset: Preset
    scenario: Scenario
    months: int
    paths: int
    seed: int
    schedule: tuple[int, ...]
    history: History


def simulate(
    preset: Preset,
    scenario: Scenario,
    *,
    years: int,
    paths: int,
    seed: int,
    progress: Advance = lambda _done, _total: None,
) -> Run:
    """Run ``paths`` networks for ``years``; the same arguments give the same result. UsageError
    when that is more than fits the memory of a small machine."""
    months = years * 12
    _fits(years, paths)
    network = _Network(preset, scenario, months=months, paths=paths, seed=seed)
    for month in range(months):
        network.live(month)
        progress(month + 1, months)
    return Run(preset, scenario, months, paths, seed, tuple(preset.months(months)), network.history)


def _fits(years: int, paths: int) -> None:
    if not 1 <= years <= YEARS_MAX or not 1 <= paths <= PATHS_MAX:
        raise UsageError(
            f"{years} years on {paths:,} paths cannot be simulated",
            remedy=f"Choose 1 to {YEARS_MAX} years and 1 to {PATHS_MAX:,} paths.",
        )
    if years * 12 * paths > CELLS_MAX:
        raise UsageError(
            f"{years} years on {paths:,} paths do not fit the memory",
            remedy=f"Choose at most {CELLS_MAX // (years * 12):,} paths.",
        )


class _Network:
    """The state of all paths between two months."""

    def __init__(
        self, preset: Preset, scenario: Scenario, *, months: int, paths: int, seed: int
    ) -> None:
        self.scenario, self.preset, self.paths = scenario, preset, paths
        random = np.random.Generator(np.random.PCG64(seed))
        launch = launch_price(scenario.token, preset.cap / 10**18)
        draws = [random.standard_normal((months, paths)) for _ in range(3)]
        self.price = prices(scenario.token, launch=launch, random=draws[0])
        stake = scenario.stake
        self.storage = Service(
            scenario.storage, units=TIB_UNITS, stake=stake.per_tib_usd / launch, paths=paths
        )
        self.compute = Service(
            scenario.compute, units=GPU_UNITS, stake=stake.per_gpu_usd / launch, paths=paths
        )
        self.demand = [
            demands(market, name, scenario.shock, months=months, random=draw)
            for market, name, draw in (
                (scenario.storage, "storage", draws[1]),
                (scenario.compute, "compute", draws[2]),
            )
        ]
        self.books = Books(grains(preset.initial()), paths)
        self.issued = [grains(preset.issued(month)) for month in range(months + 1)]
        self.ceiling = ceiling(preset, months=months, paths=paths, baseline=scenario.baseline)
        self.earned = np.zeros(paths, dtype=np.int64)
        self.granted = np.zeros(paths, dtype=np.int64)
        self.backed = np.minimum(scenario.storage.capacity, self.demand[0][0])
        self.history = History.empty(months, paths)

    def live(self, month: int) -> None:
        """One month, as the module says."""
        self.books.vest(self._vesting(month))
        allowed = self.ceiling.allow(month, self.books.minted, self.backed)
        granted = self._grant(month, allowed)
        self._bounded_by_stake()
        services = (self.storage, self.compute)
        sales = [s.sell(d[month], month) for s, d in zip(services, self.demand, strict=True)]
        earned = self._mint(month, allowed - tokens(granted), self._fees(month, sales))
        incomes = [
            self._income(month, service, sale, tokens(minted + granted // 2))
            for service, sale, minted in zip(services, sales, earned, strict=True)
        ]
        yielded = self._stake(tokens(earned[0] + earned[1] + granted))
        costs = [self._cost(month, service) for service in services]
        self._record(month, sales, incomes, costs, yielded)
        for service, sale, income, cost in zip(services, sales, incomes, costs, strict=True):
            service.answer(income, cost, sale.demand, self.scenario.entry)
        self.backed = sales[0].served

    def _vesting(self, month: int) -> int:
        """Grains that vest with the month's beginning; what is free at launch comes in month 0."""
        tranches = self.preset.genesis
        now = sum(grains(t.vested(month)) for t in tranches)
        return now - sum(grains(t.vested(month - 1)) for t in tranches) if month else now

    def _room(self, month: int, amount: Tokens) -> Tokens:
        """``amount``, as far as the schedule so far allows, which never passes the cap."""
        left = self.issued[month + 1] - self.books.minted
        return np.asarray(np.minimum(amount, np.maximum(left, 0)), dtype=np.int64)

    def _grant(self, month: int, allowed: Floats) -> Tokens:
        grants = self.scenario.grants
        share = grants.share if month < grants.months else 0.0
        amount = self._room(month, whole(allowed * share))
        self.books.mint(amount)
        self.granted += amount
        return amount

    def _fees(self, month: int, sales: list[Sales]) -> list[Tokens]:
        """What each market's fees burn; the rest of the fees is saved."""
        fees, burned = self.scenario.fees, []
        for sale in sales:
            fee = sale.paid / self.price[month] * fees.network
            burned.append(self.books.burn(whole(fee * fees.burned)))
            self.books.save(whole(fee * (1.0 - fees.burned)))
        return burned

    def _mint(self, month: int, allowed: Floats, burned: list[Tokens]) -> list[Tokens]:
        """The emission that each market earned."""
        split, minted = self.scenario.split, []
        for share, fees in zip((split.storage, split.compute), burned, strict=True):
            bound = floor(np.asarray(fees * self.scenario.fees.emission, dtype=np.float64))
            amount = self._room(month, np.minimum(whole(allowed * share), bound))
            self.books.mint(amount)
            self.earned += amount
            minted.append(amount)
        return minted

    def _income(self, month: int, service: Service, sale: Sales, reward: Floats) -> Floats:
        """USD a unit of offered capacity: fees of clients, emission and grants."""
        nodes = reward * (1.0 - self.scenario.stake.rewards) * self.price[month]
        kept = sale.paid * (1.0 - self.scenario.fees.network)
        income: Floats = (kept + nodes) / np.maximum(service.capacity * service.units, 1e-9)
        return income

    def _cost(self, month: int, service: Service) -> Floats:
        """USD a unit: the machine, and what its stake could earn elsewhere."""
        capital = service.stake * self.price[month] * self.scenario.stake.capital / 12
        cost: Floats = service.cost(month) + capital / service.units
        return cost

    def _stake(self, rewards: Floats) -> Floats:
        """Stakes of the month; returns delegators' yield a year."""
        rules, books = self.scenario.stake, self.books
        books.slash(whole(tokens(books.bonded) * rules.slashed / 12), rules.slash_burned)
        books.bond(np.minimum(whole(self._required()), whole(self._bondable())))
        rewarded = rewards * rules.rewards * 12
        # Nobody delegated yet: the first to do so would share with as many as half of `most`.
        least = tokens(books.free()) * rules.most * 0.01
        yielded: Floats = rewarded / np.maximum(tokens(books.delegated), np.maximum(least, 1e-6))
        share = rules.most * yielded / (yielded + rules.half_yield)
        wanted = share * tokens(books.free() - books.bonded)
        held = tokens(books.delegated)
        books.delegate(whole(held + (wanted - held) * rules.speed))
        return yielded

    def _required(self) -> Floats:
        required: Floats = (
            self.storage.capacity * self.storage.stake + self.compute.capacity * self.compute.stake
        )
        return required

    def _bondable(self) -> Floats:
        """Tokens that nodes can gather, delegations left alone."""
        return tokens(self.books.circulating + self.books.bonded) * BONDED_MOST

    def _bounded_by_stake(self) -> None:
        """No capacity without its stake: both markets shrink alike where tokens are too few."""
        part = np.minimum(1.0, self._bondable() / np.maximum(self._required(), 1e-12))
        for service in (self.storage, self.compute):
            if service.stake > 0.0:
                service.capacity *= part

    def _record(
        self,
        month: int,
        sales: list[Sales],
        incomes: list[Floats],
        costs: list[Floats],
        yielded: Floats,
    ) -> None:
        books, history = self.books, self.history
        history.unvested[month] = books.unvested
        history.circulating[month] = books.circulating
        history.staked[month] = books.bonded + books.delegated
        history.treasury[month] = books.treasury
        history.minted[month], history.burned[month] = books.minted, books.burned
        history.earned[month], history.granted[month] = self.earned, self.granted
        history.price[month], history.yielded[month] = self.price[month], yielded
        history.income_tib[month], history.income_gpu[month] = incomes
        history.cost_tib[month], history.cost_gpu[month] = costs
        history.capacity_tib[month] = self.storage.capacity
        history.capacity_gpu[month] = self.compute.capacity
        history.demand_tib[month], history.demand_gpu[month] = sales[0].demand, sales[1].demand
