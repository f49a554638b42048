"""One epoch, compiled: bit for bit what ``reference`` gives, many times as fast.

Needs numba, which comes with ``freehold[models]`` and is imported with the first epoch. That one
compiles the loops, some ten seconds of one core, unless an earlier process could keep them.
"""

from __future__ import annotations

from freehold.domain.errors import UnavailableError
from freehold.markets.models.yuma.values import Inputs, Result, Rules


def epoch(rules: Rules, inputs: Inputs, emission: int) -> Result:
    """Everything that follows from the inputs; ``emission`` in base units.

    UnavailableError where numba is not installed.
    """
    try:
        from freehold.markets.models.yuma.compiled import epoch as run
    except ImportError as fault:
        raise UnavailableError(
            f"the compiled epoch cannot start: {fault}",
            remedy="Install freehold[models], or use reference.epoch: the same integers, slower.",
        ) from fault
    return run(rules, inputs, emission)
