"""What copying weights is worth with the templates as they come: real models, scorers and rounds.

Validators of equal stake ask all models of a template by its own scorer and terms, each with
a secret of its own and all with the epoch's theme; others of 2 % of the stake each measure nothing
and commit what was revealed. Scores, rows, ranking, bonds and dividends are the product's; who
commits what when is ``competition``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.choices import agreed, blend, past, row, trend
from bench.competition import Choice, Floats, Liar, Market, Plan, Seen, World
from bench.entrants import Answer, Entry
from freehold.audit.competing_facts import rules_of
from freehold.cli.competition import Competition
from freehold.markets.models import theme
from freehold.markets.models.scoring import Round
from freehold.markets.models.task import Reply, Tensors, forms
from freehold.markets.models.yuma.values import Rules

STAKE = 0.02
"""Of a copier."""
WARM = 3
"""Epochs that do not count: in the first nobody holds a permit, then there is little to copy."""
NETWORK = bytes(32)
RIDGE = 0.1


@dataclass(frozen=True, slots=True)
class Course:
    """Scores of real rounds, (epochs, validators, models), and what each theme was about, (epochs,
    features); ``rules`` and ``half_life`` are the template's."""

    scores: Floats
    about: Floats
    rules: Rules
    half_life: float


class Measured(Market):
    """A market in which honest validators found what they found; liars see what the first did."""

    def __init__(self, course: Course, plan: Plan) -> None:
        epochs, honest, models = course.scores.shape
        self._found = course.scores
        world = World(
            honest=honest, models=models, epochs=epochs, warm=WARM, half_life=course.half_life,
            drift=None, noise=0.0,
        )  # fmt: skip
        super().__init__(world, course.rules, plan, 0)

    def _scores(self, now: int, voice: int, errors: Floats) -> Floats:  # noqa: ARG002
        found: Floats = self._found[now, voice if voice < self._found.shape[1] else 0]
        return found


def measure(
    entry: Entry, *, epochs: int, seed: int, honest: int = 3, still: bool = False
) -> Course:
    """Rounds of ``honest`` validators; ``still``: every epoch has the theme of the first."""
    told = Competition.read(entry.folder)
    themes = [0 if still else epoch for epoch in range(epochs)]
    scores = [
        [_round(entry, told, (seed, now, voice), about) for voice in range(honest)]
        for now, about in enumerate(themes)
    ]
    about = np.stack([entry.about(_theme(seed, each)) for each in themes])
    return Course(np.array(scores), about, rules_of(told.rules), told.scoring.half_life)


def advantages(course: Course) -> dict[str, float]:
    """What each copier earns more (less: negative) per stake than the honest, in per cent."""
    honest = course.scores.shape[1]
    found: Mapping[str, Choice] = {
        "consensus": agreed, "one row": row, "mean row": lambda seen: _mean(seen, honest),
        "trend": trend, "long mean": past,
        "foreteller": lambda seen: _foretold(seen, course.about), "half copied": blend,
    }  # fmt: skip
    plan = Plan(tuple(Liar(STAKE, choice) for choice in found.values()))
    market = Measured(course, plan)
    paid = np.stack([market.epoch(now)[0] for now in range(len(course.scores))])[WARM:]
    earned = paid.mean(axis=0) / market.stake
    gains = 100 * (earned[honest:] / earned[:honest].mean() - 1)
    return dict(zip(found, gains.tolist(), strict=True))


def moved(course: Course) -> tuple[float, float]:
    """Standard deviations of a model's part of all scores, in per cent of the usual part: between
    epochs, and between validators in one epoch."""
    parts = course.scores / course.scores.sum(axis=2, keepdims=True)
    means = parts.mean(axis=1)
    usual = parts.mean()
    between, within = means.std(axis=0).mean(), (parts - means[:, None]).std()
    return 100 * float(between / usual), 100 * float(within / usual)


def _round(entry: Entry, told: Competition, which: Sequence[int], about: int) -> list[float]:
    """The scores of all models, in one validator's round."""
    seed, _, _ = which
    round_ = Round.plan(
        entry.scorer,
        range(len(entry.models)),
        random=np.random.default_rng([1, *which]),
        theme=_theme(seed, about),
        forms=forms(told.schema),
        terms=told.scoring,
    )
    for uid, model in enumerate(entry.models):
        asked = [each for each in round_.questions if each.uid == uid]
        answers = _answers(model, [round_.inputs(each) for each in asked])
        for question, answer in zip(asked, answers, strict=True):
            round_.take(question, Reply(answer, 0.0))
    judged = round_.judge({uid: float(uid) for uid in range(len(entry.models))})
    return [judged[uid].score or 0.0 for uid in range(len(entry.models))]


def _answers(model: Answer, asked: Sequence[Tensors]) -> list[Tensors]:
    """Each question's answer; all are asked at once, which is faster."""
    sizes = np.cumsum([len(next(iter(inputs.values()))) for inputs in asked])[:-1]
    found = model({name: np.concatenate([each[name] for each in asked]) for name in asked[0]})
    parts = {name: np.split(value, sizes) for name, value in found.items()}
    return [{name: each[place] for name, each in parts.items()} for place in range(len(asked))]


def _theme(seed: int, epoch: int) -> np.random.Generator:
    block = seed.to_bytes(32, "big")
    return theme.generator(network=NETWORK, subnet=1, epoch=epoch, block=block)


def _mean(seen: Seen, honest: int) -> Floats:
    """The mean of the honest rows."""
    found: Floats = seen.rows[:honest].mean(axis=0)
    return found / max(float(found.max()), 1e-9) if found.any() else seen.own


def _foretold(seen: Seen, about: Floats) -> Floats:
    """The consensus as a weighted sum of what themes are about, learnt from all former ones (ridge
    regression): what counts in an epoch was measured under the theme of the one before."""
    rows = [each / each.sum() for each in seen.agreed[1:] if each.any()]
    if len(rows) < 2:
        return agreed(seen)
    known = np.column_stack([about[seen.now - len(rows) : seen.now], np.ones(len(rows))])
    damped = RIDGE * np.diag([*np.ones(about.shape[1]), 1e-6])
    weights = np.linalg.solve(known.T @ known + damped, known.T @ np.stack(rows))
    found: Floats = np.clip(np.append(about[seen.now], 1.0) @ weights, 0, None)
    return found / max(float(found.max()), 1e-9)
