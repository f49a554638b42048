"""A subnet over many epochs: nodes whose quality drifts, validators that measure, others that lie.

Everything that decides is the product's: ``weights.smooth``, ``standing`` and ``weights`` make the
rows, ``yuma.fast`` the epochs, and bonds and permits go from each into the next. Drawn are only the
nodes' qualities and the errors of measuring them. Timing is the protocol's: what is measured in
epoch t is committed in t and counts in t + 1, when everybody sees it; so what a copier can commit
in t is what honest validators measured in t - 1. Qualities, news and errors are the same for all
plans of a seed, so two plans differ by nothing but what is done in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from freehold.markets.models.weights import Row, smooth, standing, weights
from freehold.markets.models.yuma import fast
from freehold.markets.models.yuma.values import ONE, Inputs, Rules, Sparse

Floats = npt.NDArray[np.float64]
Node = tuple[int, int]
"""A model node's number and generation."""
LENGTH = 100
"""Moments in an epoch; rows are committed at half of it, uids change hands at three quarters."""
TOTAL = 10**9
"""All stake, grains."""
HALF = ONE / 2
"""Half of an epoch's pay, as which dividends and incentive are told."""
LOGISTIC = 1.702
"""Turns the normal distribution nearly into even steps."""


@dataclass(frozen=True, slots=True)
class World:
    """What is assumed. Scores and qualities are 0 to 1, half-lives are epochs.

    ``drift``: after that many epochs half of what sets a node apart is gone; None: never.
    ``news``: standard deviation of what an epoch's tasks add to a node's quality, the same for
    every validator. ``noise``: that of a validator's own error. ``half_life``: of the scores, as in
    a subnet's table ``[scoring]``. ``power``: to which scores are raised.
    """

    honest: int = 8
    models: int = 24
    epochs: int = 120
    warm: int = 40
    drift: float | None = 20.0
    news: float = 0.0
    noise: float = 0.07
    half_life: float = 4.0
    power: int = 1

    @property
    def counted(self) -> slice:
        """Epochs that figures are of: those before are for bonds and scores to settle."""
        return slice(self.warm, self.epochs)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a validator knows when it has to commit in epoch ``now``.

    ``rows`` (validators, models): what counts in this epoch, as shares of a row. ``agreed``: the
    consensus of every epoch so far, this one last, each (models,). ``own`` (models,): what it
    measured itself and smoothed.
    """

    now: int
    rows: Floats
    agreed: Sequence[Floats]
    own: Floats
    random: np.random.Generator


Choice = Callable[[Seen], Floats | None]
"""The scores (models,) that a validator commits; None: it reveals nothing."""
Fault = Callable[[int], float]
"""By epoch, what part of its quality a node shows; 0 is no answer, a wrong form, or a copy."""


@dataclass(frozen=True, slots=True)
class Liar:
    """A validator that does something else, and its share of all stake."""

    stake: float
    choice: Choice


@dataclass(frozen=True, slots=True)
class Plan:
    """Who misbehaves how: validators; model nodes by number; and whose uid a newcomer takes when.

    ``blind``: honest validators, by number, that see no fault.
    """

    liars: tuple[Liar, ...] = ()
    faults: Mapping[int, Fault] = field(default_factory=dict)
    sniped: Mapping[int, int] = field(default_factory=dict)
    blind: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Course:
    """What came of it: ``dividends`` (epochs, validators) and ``incentive`` (epochs, models), each
    as parts of half the pay, and ``stake`` (validators,) as parts of all stake."""

    stake: Floats
    dividends: Floats
    incentive: Floats

    def per_stake(self, epochs: slice) -> Floats:
        """What each validator earned over its stake, 1 where all earn alike."""
        earned: Floats = self.dividends[epochs].mean(axis=0) / self.stake
        return earned


def run(world: World, rules: Rules, plan: Plan, *, seed: int) -> Course:
    """All epochs; in the first nobody holds a permit yet, so nothing counts."""
    market = Market(world, rules, plan, seed)
    paid = [market.epoch(now) for now in range(world.epochs)]
    dividends, incentive = (np.stack(part) for part in zip(*paid, strict=True))
    return Course(market.stake, dividends, incentive)


class Market:
    """One course from one seed."""

    def __init__(self, world: World, rules: Rules, plan: Plan, seed: int) -> None:
        self._world, self._rules, self._plan = world, rules, plan
        lying = [liar.stake for liar in plan.liars]
        self.stake = np.array([(1 - sum(lying)) / world.honest] * world.honest + lying)
        self._voices = len(self.stake)
        self._uids = self._voices + world.models
        self._quality = qualities(world, np.random.default_rng([seed, 0]))
        self._random = [np.random.default_rng([seed, 1, voice]) for voice in range(self._voices)]
        self._smoothed: list[dict[Node, float]] = [{} for _ in self.stake]
        self._told: list[Row | None] = [None] * self._voices
        self._permits = np.zeros(self._uids, np.bool_)
        self._bonds = Sparse.of(self._uids, ())
        self._agreed: list[Floats] = []

    def epoch(self, now: int) -> tuple[Floats, Floats]:
        """Dividends and incentive of an epoch; then everybody commits for the next."""
        result = fast.epoch(self._rules, self._inputs(now), 0)
        self._permits, self._bonds = result.permits, result.stored_bonds
        self._agreed.append(result.consensus[self._voices :] / ONE)
        rows = result.weights.dense()[: self._voices, self._voices :] / ONE
        self._told = [self._row(now, voice, rows) for voice in range(self._voices)]
        paid = result.emission
        dividends, incentive = paid.validator_share / HALF, paid.server_share / HALF
        return dividends[: self._voices], incentive[self._voices :]

    def _row(self, now: int, voice: int, rows: Floats) -> Row | None:
        """What a validator commits in ``now``."""
        random = self._random[voice]
        own = self._measured(now, voice, random.normal(0, self._world.noise, self._world.models))
        scores: Floats | None = own
        if voice >= self._world.honest:
            liar = self._plan.liars[voice - self._world.honest]
            scores = liar.choice(Seen(now, rows, self._agreed, own, random))
        if scores is None:
            return None
        return weights(dict(enumerate(np.clip(scores, 0, 1).tolist(), start=self._voices)))

    def _measured(self, now: int, voice: int, errors: Floats) -> Floats:
        """A validator's scores of the models, smoothed and raised."""
        found = self._scores(now, voice, errors).tolist()
        scores: dict[Node, float | None] = {
            (model, self._generation(now, model)): score for model, score in enumerate(found)
        }
        smoothed = smooth(self._smoothed[voice], scores, self._world.half_life)
        self._smoothed[voice] = smoothed
        raised: Floats = np.array(list(standing(smoothed, scores).values())) ** self._world.power
        return raised

    def _generation(self, now: int, model: int) -> int:
        return int(now > self._plan.sniped.get(model, now))

    def _scores(self, now: int, voice: int, errors: Floats) -> Floats:
        shown = np.ones(self._world.models)
        if voice not in self._plan.blind:
            for model, fault in self._plan.faults.items():
                shown[model] = fault(now)
        found: Floats = np.clip(self._quality[now] * shown + errors, 0, 1)
        return np.where(shown > 0, found, 0.0)

    def _inputs(self, now: int) -> Inputs:
        """Rows that were committed in the epoch before; whoever has none is inactive."""
        committed = (now - 1) * LENGTH + LENGTH // 2
        updated = np.full(self._uids, committed - self._rules.activity_cutoff - 1, np.int64)
        updated[[voice for voice, row in enumerate(self._told) if row is not None]] = committed
        stake = np.zeros(self._uids, np.uint64)
        stake[: self._voices] = np.round(self.stake * TOTAL)
        entries = ((voice, *entry) for voice, row in enumerate(self._told) for entry in row or ())
        return Inputs(
            stake=stake,
            updated=updated,
            registered=self._registered(now),
            permits=self._permits,
            weights=Sparse.of(self._uids, entries),
            bonds=self._bonds,
            now=committed,
            last_epoch=(now - 1) * LENGTH,
        )

    def _registered(self, now: int) -> npt.NDArray[np.int64]:
        found = np.full(self._uids, -10 * LENGTH, np.int64)
        for model, when in self._plan.sniped.items():
            if now >= when:
                found[self._voices + model] = when * LENGTH + LENGTH * 3 // 4
        return found


def qualities(world: World, random: np.random.Generator) -> Floats:
    """(epochs, models), each 0 to 1: a stationary autoregressive walk of first order, through the
    logistic function so that all qualities are about as frequent, and each epoch's news."""
    kept = 1.0 if world.drift is None else 0.5 ** (1 / world.drift)
    shape = (world.epochs, world.models)
    steps, news = random.normal(size=shape), random.normal(0, world.news, shape)
    walk = np.empty(shape)
    walk[0] = steps[0]
    for now in range(1, world.epochs):
        walk[now] = kept * walk[now - 1] + np.sqrt(1 - kept**2) * steps[now]
    found: Floats = np.clip(1 / (1 + np.exp(-LOGISTIC * walk)) + news, 0, 1)
    return found
