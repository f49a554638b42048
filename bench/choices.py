"""What validators commit instead of what they measured, and what model nodes show of themselves."""

from __future__ import annotations

import numpy as np

from bench.competition import Floats, Seen

HONEST = 8
"""Validators that are honest; their rows come first."""
FAULTY, WHEN = 5, 60
"""The model node that misbehaves or is meant, and from when on."""
SIDE = tuple(range(1, 24, 2))
"""Half of the nodes, ``FAULTY`` among them."""


# Validators


def agreed(seen: Seen) -> Floats:
    """The consensus of this epoch, reckoned from what was just revealed."""
    return _copied(seen, seen.agreed[-1])


def root(seen: Seen) -> Floats:
    """The consensus of the epoch before, which a root names."""
    return _copied(seen, _before(seen))


def row(seen: Seen) -> Floats:
    """The row of an honest validator."""
    return _copied(seen, seen.rows[0])


def average(seen: Seen) -> Floats:
    """The mean of the honest rows."""
    return _copied(seen, seen.rows[:HONEST].mean(axis=0))


def trend(seen: Seen) -> Floats:
    """The consensus, and half as much again of what last changed in it."""
    return _copied(seen, np.clip(1.5 * seen.agreed[-1] - 0.5 * _before(seen), 0, None))


def past(seen: Seen) -> Floats:
    """The mean of the last sixteen consensuses."""
    return _copied(seen, np.mean(seen.agreed[-16:], axis=0))


def blend(seen: Seen) -> Floats:
    """Half the consensus, half what it measured."""
    return (agreed(seen) + _scaled(seen.own)) / 2


def honest(seen: Seen) -> Floats:
    """What it measured."""
    return seen.own


def random(seen: Seen) -> Floats:
    """Anything."""
    found: Floats = seen.random.random(len(seen.own))
    return found


def equal(seen: Seen) -> Floats:
    """The same for everybody."""
    return np.ones(len(seen.own))


def upside_down(seen: Seen) -> Floats:
    """The best get least."""
    return 1 - _scaled(seen.own)


def favour(seen: Seen) -> Floats:
    """All to one node."""
    return np.where(np.arange(len(seen.own)) == FAULTY, 1.0, 0.0)


def side(seen: Seen) -> Floats:
    """The truth about its own half of the nodes, nothing for the others."""
    return np.where(np.isin(np.arange(len(seen.own)), SIDE), _scaled(seen.own), 0.0)


def lift(seen: Seen) -> Floats:
    """The truth, but the largest weight for one node."""
    return np.where(np.arange(len(seen.own)) == FAULTY, 1.0, _scaled(seen.own))


def sink(seen: Seen) -> Floats:
    """The truth, but nothing for one node."""
    return np.where(np.arange(len(seen.own)) == FAULTY, 0.0, _scaled(seen.own))


def gone(seen: Seen) -> Floats | None:
    """Honest until it goes away."""
    return seen.own if seen.now < WHEN else None


def forgetful(seen: Seen) -> Floats | None:
    """Honest, but every tenth row is not revealed."""
    return None if seen.now % 10 == 0 else seen.own


def moody(seen: Seen) -> Floats | None:
    """Honest, but every second row is not revealed."""
    return None if seen.now % 2 == 0 else seen.own


def absent(seen: Seen) -> Floats | None:
    """Honest, but one row is not revealed."""
    return None if seen.now == WHEN else seen.own


def late(seen: Seen) -> Floats | None:
    """Honest, but comes only after the others have their bonds."""
    return None if seen.now < WHEN else seen.own


def _before(seen: Seen) -> Floats:
    return seen.agreed[-min(2, len(seen.agreed))]


def _copied(seen: Seen, found: Floats) -> Floats:
    """Where there is nothing to copy yet, it measures."""
    return _scaled(found if found.any() else seen.own)


def _scaled(scores: Floats) -> Floats:
    found: Floats = scores / max(float(scores.max()), 1e-9)
    return found


# Model nodes


def once(now: int) -> float:
    """Nothing usable in one epoch."""
    return 0.0 if now == WHEN else 1.0


def pause(now: int) -> float:
    """Nothing usable for ten epochs."""
    return 0.0 if WHEN <= now < WHEN + 10 else 1.0


def dead(now: int) -> float:
    """Nothing usable any more."""
    return 0.0 if now >= WHEN else 1.0


def worse(now: int) -> float:
    """Half as good from now on."""
    return 0.5 if now >= WHEN else 1.0
