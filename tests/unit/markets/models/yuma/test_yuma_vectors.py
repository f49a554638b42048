"""Epochs of other implementations come out the same, to the last unit where it is stated."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from freehold.markets.models.yuma import fast, reference
from freehold.markets.models.yuma.fixed import to_u16
from freehold.markets.models.yuma.values import ONE, Inputs, Result, Rules
from unit.markets.models.yuma.cases import Case, Json, Step, filled, parameters

pytestmark = pytest.mark.xdist_group("yuma")
Epoch = Callable[[Rules, Inputs, int], Result]
EPOCHS = [pytest.param(reference.epoch, id="reference"), pytest.param(fast.epoch, id="fast")]
GAPS = (None, 0, 1)
"""When the epoch before was, in files that do not say: at the step before, or blocks ago."""


@pytest.mark.parametrize("epoch", EPOCHS)
@pytest.mark.parametrize(("file", "case"), parameters("yuma_epoch_*.json"))
def test_yuma_epoch_vectors(file: Json, case: Json, epoch: Epoch) -> None:
    readings = {gap: differences(filled(file, case), gap, epoch) for gap in GAPS}
    assert any(not found for found in readings.values()), readings


def differences(case: Json, gap: int | None, epoch: Epoch) -> list[str]:
    """Every figure of a case that comes out otherwise."""
    run, found = Case(case, gap), []
    for step in run.steps():
        result = epoch(step.rules, step.inputs, step.emission)
        found += [text for text in compared(step, result) if text]
        run.take(result)
    return found


def compared(step: Step, result: Result) -> list[str]:
    checks = [check(step, result, name, figure) for name, figure in step.figures.items()]
    assert any(text is not None for text in checks) or not step.figures, "nothing was compared"
    return [text for text in checks if text]


def check(step: Step, result: Result, name: str, figure: Any) -> str | None:
    """None for a figure of no known kind, an empty text where it agrees."""
    kind = name.split(".", 1)[1]
    tolerance = float(found[1]) if (found := re.search(r"tol_([0-9.e-]+?)(?=_|$)", kind)) else 0.0
    if kind.startswith("bonds"):
        ours, theirs = bonds(step, result, kind, figure)
    else:
        base = re.sub(r"_tol_.*", "", kind)
        values = vectors(result).get(base)
        if values is None:
            return None
        ours, theirs = picked(values, figure)
    far = np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)) > tolerance
    return f"{step.inputs.now} {name}: {ours} not {theirs}" if far.any() else ""


def vectors(result: Result) -> dict[str, Any]:
    shares = {
        "dividends": result.dividends,
        "incentive": result.incentive,
        "consensus": result.consensus,
        "vtrust": result.trust,
        "validator_trust": result.trust,
        "stake": result.stake,
        "active_stake": result.active_stake,
    }
    return {
        "emission": result.emission.combined,
        "server_emission": result.emission.server,
        "validator_emission": result.emission.validator,
        "permits": result.permits,
        "new_permits": result.permits,
        **{f"{name}_u16": to_u16(values) for name, values in shares.items()},
        **{f"{name}_f": values / ONE for name, values in shares.items()},
    }


def picked(values: Any, figure: Any) -> tuple[list[Any], list[Any]]:
    """Ours and theirs, where theirs names some uids or the first ones."""
    if isinstance(figure, dict):
        return [values[int(uid)] for uid in figure], list(figure.values())
    return list(values[: len(figure)]), figure


def bonds(step: Step, result: Result, kind: str, figure: Any) -> tuple[Any, Any]:
    """Some entries, all that are above 0, or whole rows of the last columns."""
    dense = result.stored_bonds.dense()
    if kind == "bonds_u16_nonzero":
        theirs = np.zeros_like(dense)
        for i, j, value in figure:
            theirs[i, j] = value
        return dense, theirs
    if kind == "bonds_u16":
        return [int(dense[i, j]) for i, j, _ in figure], [value for _, _, value in figure]
    ours = dense[: len(figure), step.inputs.n - len(figure[0]) :]
    return (ours / 65_535 if kind.startswith("bonds_f") else ours), figure
