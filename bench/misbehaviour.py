"""What misbehaviour is worth: every kind of it over many epochs, beside honest work.

The table ``templates`` is of real models, asked by real scorers; in the others the qualities of
models and the errors of measuring them are drawn, and all that decides is the product's.

    uv run python bench/misbehaviour.py --json

Each figure is a mean over seeds with the half-width of its 95 % interval (Student's t). Copiers are
measured by what they earn per stake over what honest validators do in the same course.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

if __package__ is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import entrants, themes
from bench.choices import (
    FAULTY,
    HONEST,
    SIDE,
    WHEN,
    absent,
    agreed,
    average,
    blend,
    dead,
    equal,
    favour,
    forgetful,
    gone,
    honest,
    late,
    lift,
    moody,
    once,
    past,
    pause,
    random,
    root,
    row,
    side,
    sink,
    trend,
    upside_down,
    worse,
)
from bench.competition import Choice, Course, Fault, Floats, Liar, Plan, World, run
from freehold.audit.competing_facts import rules_of
from freehold.ledger.contracts.subnet import Rules as Told
from freehold.markets.models.yuma.values import U16_MAX, Rules

SEEDS = tuple(range(5))
T_95 = {3: 4.303, 4: 3.182, 5: 2.776, 10: 2.262}
"""Student's t of 95 % by the number of seeds."""
EPOCHS = 10
"""Of rounds with real models."""
AFTER = (1, 2, 3, 5, 10, 20)
"""Epochs after a fault."""


DEFAULT = rules_of(Told())
VARIANTS: Mapping[str, Rules] = {
    "default (yuma3)": DEFAULT,
    "classic": rules_of(Told(yuma3=False)),
    "liquid alpha": rules_of(Told(liquid=True)),
    "nine tenths of old bonds stay": rules_of(Told(bonds_ema_ppm=900_000)),
    "no old bonds stay": rules_of(Told(bonds_ema_ppm=0)),
    "no bonds penalty": rules_of(Told(bonds_penalty=0)),
    "kappa 0.4": rules_of(Told(kappa=U16_MAX * 2 // 5)),
}
USUAL = World(honest=HONEST, drift=20.0, news=0.1, noise=0.03, half_life=0.25)
"""About what themes do to the models of the templates (``themes.moved``), which drift a little."""
STILL = replace(USUAL, drift=None, news=0.0)
SUBNETS: Mapping[str, World] = {
    "usual": USUAL,
    "usual, half-life 1": replace(USUAL, half_life=1.0),
    "usual, half-life 4": replace(USUAL, half_life=4.0),
    "usual, scores squared": replace(USUAL, power=2),
    "news 0.2": replace(USUAL, news=0.2),
    "no news": replace(USUAL, news=0.0),
    "no news, drift 5": replace(USUAL, news=0.0, drift=5.0),
    "nothing changes": STILL,
    "nothing changes, error 0.01": replace(STILL, noise=0.01),
    "nothing changes, error 0.07": replace(STILL, noise=0.07),
}
HALF_LIVES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
CHANGING: Mapping[str, World] = {
    "usual": USUAL,
    "no news, drift 5": replace(USUAL, news=0.0, drift=5.0),
    "no news": replace(USUAL, news=0.0),
    "nothing changes": STILL,
}


# Who misbehaves

COPIERS: Mapping[str, Choice] = {
    "consensus": agreed, "last root": root, "one row": row, "mean row": average, "trend": trend,
    "long mean": past, "half copied": blend,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A liar, and the model nodes that it owns."""

    stake: float
    choice: Choice
    owns: tuple[int, ...] = ()


LIARS: Mapping[str, Case] = {
    "honest, for comparison": Case(0.2, honest),
    "scores at random, 20 %": Case(0.2, random),
    "scores at random, 49.9 %": Case(0.499, random),
    "the same score for all, 20 %": Case(0.2, equal),
    "scores upside down, 20 %": Case(0.2, upside_down),
    "reveals nine rows of ten, 20 %": Case(0.2, forgetful),
    "reveals every second row, 20 %": Case(0.2, moody),
    "goes away after 20 of 80 epochs, 20 %": Case(0.2, gone),
    "goes away after 20 of 80 epochs, 49.9 %": Case(0.499, gone),
    "the truth, but most for its own node, 20 %": Case(0.2, lift, (FAULTY,)),
    "the truth, but most for its own node, 49.9 %": Case(0.499, lift, (FAULTY,)),
    "all for its own node, 20 %": Case(0.2, favour, (FAULTY,)),
    "all for its own node, 49.9 %": Case(0.499, favour, (FAULTY,)),
    "all for its own node, 50.1 %": Case(0.501, favour, (FAULTY,)),
    "all for its own half of the nodes, 20 %": Case(0.2, side, SIDE),
    "all for its own half of the nodes, 30 %": Case(0.3, side, SIDE),
    "all for its own half of the nodes, 40 %": Case(0.4, side, SIDE),
    "all for its own half of the nodes, 49.9 %": Case(0.499, side, SIDE),
    "all for its own half of the nodes, 50.1 %": Case(0.501, side, SIDE),
    "the truth, but nothing for one rival, 20 %": Case(0.2, sink),
    "the truth, but nothing for one rival, 49.9 %": Case(0.499, sink),
    "the truth, but nothing for one rival, 50.1 %": Case(0.501, sink),
}
CROWDS = (0.1, 0.3, 0.49, 0.51, 0.7)
"""Stake of all who copy the consensus."""


def _plan(fault: Fault, blind: int = 0) -> Plan:
    return Plan(faults={FAULTY: fault}, blind=frozenset(range(blind)))


NODES: Mapping[str, Plan] = {
    "hangs, garbage or another shape in one epoch": _plan(once),
    "the same for ten epochs": _plan(pause),
    "gone, or found to be a copy": _plan(dead),
    "found to be a copy by 5 of 8 validators": _plan(dead, blind=3),
    "found to be a copy by 4 of 8": _plan(dead, blind=4),
    "found to be a copy by 3 of 8": _plan(dead, blind=5),
    "half as good": _plan(worse),
    "its uid taken by a newcomer as good": Plan(sniped={FAULTY: WHEN}),
}


# Figures


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean, and the half-width of its 95 % interval."""

    mean: float
    within: float


def figure(values: Sequence[float]) -> Figure:
    """Of one value a seed."""
    spread = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Figure(float(np.mean(values)), T_95[len(values)] * spread)


def _figures(columns: Sequence[str], rows: Sequence[Sequence[float]]) -> dict[str, Figure]:
    return {
        name: figure(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)
    }


def copying(
    world: World, by: Rules = DEFAULT, seeds: Sequence[int] = SEEDS, stake: float = 0.02
) -> dict[str, Figure]:
    """What each copier earns more (less: negative) per stake than the honest, in per cent."""
    plan = Plan(tuple(Liar(stake, choice) for choice in COPIERS.values()))
    return _figures(tuple(COPIERS), [_advantages(world, by, plan, seed) for seed in seeds])


def _advantages(world: World, by: Rules, plan: Plan, seed: int) -> list[float]:
    earned = run(world, by, plan, seed=seed).per_stake(world.counted)
    lying = earned[world.honest :] / earned[: world.honest].mean()
    return [float(100 * (each - 1)) for each in lying]


def lying(
    case: Case, world: World = USUAL, by: Rules = DEFAULT, seeds: Sequence[int] = SEEDS
) -> dict[str, Figure]:
    """In per cent: what a liar earns per stake (100: all earn alike), what it earns with its own
    nodes of what it would get if it were honest, what the honest earn per stake, what node
    ``FAULTY`` gets of what it would, and how much of the models' pay goes elsewhere."""
    columns = ("liar", "with its nodes", "honest", "node", "moved")
    return _figures(columns, [_lied(case, world, by, seed) for seed in seeds])


def _lied(case: Case, world: World, by: Rules, seed: int) -> list[float]:
    course = run(world, by, Plan((Liar(case.stake, case.choice),)), seed=seed)
    fair = _fair(case.stake, world, by, seed)
    pay, earned, owns = _pay(course, world), course.per_stake(world.counted), list(case.owns)
    every = earned[-1] * case.stake + pay[owns].sum()
    found = (
        earned[-1],
        every / (case.stake + fair[owns].sum()),
        earned[: world.honest].mean(),
        pay[FAULTY] / fair[FAULTY],
        abs(pay - fair).sum() / 2,
    )
    return [100 * float(each) for each in found]


@cache
def _fair(stake: float, world: World, by: Rules, seed: int) -> Floats:
    """What the nodes would get if a validator of that stake were honest."""
    return _pay(run(world, by, Plan((Liar(stake, honest),)), seed=seed), world)


def _pay(course: Course, world: World) -> Floats:
    found: Floats = course.incentive[world.counted].mean(axis=0)
    return found


def serving(
    plan: Plan, world: World = USUAL, by: Rules = DEFAULT, seeds: Sequence[int] = SEEDS
) -> dict[str, Figure]:
    """Per cent of what a node would have got, so many epochs after its fault; a ratio of sums over
    the seeds, its interval by leaving out one seed at a time (jackknife)."""
    courses = [run(world, by, plan, seed=seed).incentive[:, FAULTY] for seed in seeds]
    with_, without = np.stack(courses), np.stack([_sound(world, by, seed) for seed in seeds])
    return {str(after): _ratio(with_[:, WHEN + after], without[:, WHEN + after]) for after in AFTER}


@cache
def _sound(world: World, by: Rules, seed: int) -> Floats:
    """What the node would get in each epoch."""
    return run(world, by, Plan(), seed=seed).incentive[:, FAULTY]


def _ratio(top: Floats, bottom: Floats) -> Figure:
    count = len(top)
    left = (top.sum() - top) / (bottom.sum() - bottom)
    spread = float(np.sqrt((count - 1) * left.var()))
    return Figure(100 * float(top.sum() / bottom.sum()), 100 * T_95[count] * spread)


def missing(by: Rules, seeds: Sequence[int] = SEEDS[:3]) -> dict[str, Figure]:
    """What one row that is not revealed costs, in epochs of dividends, and after how many epochs a
    validator that comes late earns nine tenths per stake of what the others do."""
    rows = [[_missed(by, seed), _grown(by, seed)] for seed in seeds]
    return _figures(("missed", "grown"), rows)


def _missed(by: Rules, seed: int) -> float:
    plans = (Plan((Liar(0.1, choice),)) for choice in (absent, honest))
    lost, all_ = (run(USUAL, by, plan, seed=seed).dividends[WHEN:, -1] for plan in plans)
    return float((all_ - lost).sum() / all_.mean())


def _grown(by: Rules, seed: int) -> float:
    course = run(USUAL, by, Plan((Liar(0.1, late),)), seed=seed)
    earned = course.dividends / course.stake
    ratio = earned[WHEN + 1 :, -1] / earned[WHEN + 1 :, :-1].mean(axis=1)
    return float(np.argmax(ratio >= 0.9)) if (ratio >= 0.9).any() else float(len(ratio))


def best(copiers: Mapping[str, Figure]) -> Figure:
    """Of those who measure nothing, the one who earns most."""
    return max((copiers[name] for name in COPIERS if name != "half copied"), key=lambda f: f.mean)


def curves(seeds: Sequence[int] = SEEDS[:3]) -> dict[str, list[Figure]]:
    """What the best copier earns, by subnet and half-life of the scores."""
    return {
        name: [best(copying(replace(world, half_life=each), seeds=seeds)) for each in HALF_LIVES]
        for name, world in CHANGING.items()
    }


def _still(by: Rules) -> dict[str, Figure]:
    """What copying the consensus is worth under these rules where nothing changes."""
    return {"still": copying(STILL, by)["consensus"]}


def templates() -> Table:
    """What each copier earns against three validators who ask real models by a template's own
    scorer, terms and rules: with themes, and as if every epoch had the same."""
    found = {}
    with TemporaryDirectory() as folder:
        for name, make in entrants.FIELDS.items():
            entry = make(Path(folder) / name)
            found[name] = _themed(entry, range(10), still=False)
            found[f"{name}, one theme for ever"] = _themed(entry, range(3), still=True)
    return found


def _themed(entry: entrants.Entry, seeds: Sequence[int], *, still: bool) -> dict[str, Figure]:
    found = []
    for seed in seeds:
        course = themes.measure(entry, epochs=EPOCHS, seed=seed, still=still)
        between, within = themes.moved(course)
        found.append(themes.advantages(course) | {"between": between, "within": within})
    return _figures(tuple(found[0]), [list(each.values()) for each in found])


Table = dict[str, dict[str, Figure]]
TABLES: Mapping[str, Callable[[], Table]] = {
    "templates": templates,
    "copiers": lambda: {name: copying(world) for name, world in SUBNETS.items()},
    "rules": lambda: {
        name: _still(by) | copying(USUAL, by) | missing(by) for name, by in VARIANTS.items()
    },
    "crowds": lambda: {f"{stake:.0%}": lying(Case(stake, agreed)) for stake in CROWDS},
    "validators": lambda: {name: lying(case) for name, case in LIARS.items()},
    "nodes": lambda: {name: serving(plan) for name, plan in NODES.items()},
}


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--table", choices=TABLES, action="append", help="only these")
    given = parser.parse_args()
    for name in given.table or TABLES:
        table = TABLES[name]()
        if given.json:
            found = {row: {k: asdict(v) for k, v in cells.items()} for row, cells in table.items()}
            print(json.dumps({"table": name, "seeds": len(SEEDS), "rows": found}))
            continue
        for label, cells in table.items():
            told = "  ".join(f"{k} {v.mean:.2f}±{v.within:.2f}" for k, v in cells.items())
            print(f"{name} | {label}: {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
