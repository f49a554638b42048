"""From scores to the row of weights that a validator commits.

Scores of rounds are smoothed over epochs, so that one lucky or one bad round moves little, and
then scaled so that the best node has the largest weight. A newcomer starts from 0, so leaving and
registering anew gains nothing; scaling by the largest means that a new validator, for whom all
start from 0, ranks at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from freehold.domain.errors import UsageError

Row = tuple[tuple[int, int], ...]
"""(uid, weight) with uids rising and weights from 1 to ``LARGEST``."""
LARGEST = 65_535
Node = TypeVar("Node", bound=Hashable)


def smooth(
    before: Mapping[Node, float], now: Mapping[Node, float | None], half_life: float
) -> dict[Node, float]:
    """Exponentially weighted scores of the nodes in ``now``; after ``half_life`` epochs half of
    the way to a steady new score is gone. None: not asked this epoch, keeps what it had.

    Nodes are keyed by uid and generation, so that who takes over a uid inherits nothing.
    UsageError on a score outside 0 to 1 or a half-life that is none.
    """
    if not half_life > 0:
        raise UsageError(f"a half-life of {half_life} epochs", remedy="Take one above 0.")
    new = 1 - 0.5 ** (1 / half_life)
    found = {}
    for node, score in now.items():
        old = before.get(node, 0.0)
        found[node] = old if score is None else old + new * (_checked(node, score) - old)
    return found


def standing(smoothed: Mapping[Node, float], now: Mapping[Node, float | None]) -> dict[Node, float]:
    """Smoothed scores, but 0 for who scored 0 this epoch: a node that hangs, answers garbage or
    copies weighs nothing at once, whatever it was worth before, and gets back by answering."""
    return {node: 0.0 if now.get(node) == 0 else score for node, score in smoothed.items()}


def weights(scores: Mapping[int, float]) -> Row:
    """The row of scores by uid: the largest becomes ``LARGEST``, the others in proportion, to
    nearest; who would have 0 is left out. Empty where nobody has any. UsageError on a score
    outside 0 to 1 and on uids that are none.
    """
    for uid, score in scores.items():
        _checked(uid, score)
        if not 0 <= uid <= LARGEST:
            raise UsageError(f"uid {uid} is none", remedy=f"Uids run from 0 to {LARGEST}.")
    best = max(scores.values(), default=0.0)
    if best < _LEAST:
        return ()
    scaled = ((uid, int(scores[uid] / best * LARGEST + 0.5)) for uid in sorted(scores))
    return tuple((uid, weight) for uid, weight in scaled if weight)


_LEAST = 1e-6
"""Below this even the best score is what rounding and forgetting left of nothing."""


def _checked(node: object, score: float) -> float:
    if not 0 <= score <= 1:
        raise UsageError(f"{node} has the score {score}", remedy="Scores run from 0 to 1.")
    return score
