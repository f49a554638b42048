"""What a founder should not overlook in a run, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from freehold.economics.simulation.figures import Figures
from freehold.economics.simulation.plot import short


def findings(found: Figures) -> list[str]:
    """Sentences on medians; none where nothing stands out."""
    if found.years[-1].values["supply"] == 0.0:
        return [
            "No token ever exists: there is nothing at genesis and no grant, and emission only "
            "follows fees that were burned. Give the scenario a genesis or grants."
        ]
    return [*_losses(found), *_scarcity(found), *_sources(found)]


def _losses(found: Figures) -> Iterator[str]:
    for unit, income, cost in (
        ("TiB-month", "income_tib", "cost_tib"),
        ("GPU-hour", "income_gpu_hour", "cost_gpu_hour"),
    ):
        below = [str(y.year) for y in found.years if y.values[income] < y.values[cost]]
        if below:
            years = f"year{'s' if len(below) > 1 else ''} {', '.join(below)}"
            yield f"At the end of {years} a {unit} earns less than it costs: owners leave."


def _scarcity(found: Figures) -> Iterator[str]:
    last = found.years[-1].values
    for what, capacity, demand in (
        ("TiB", "capacity_tib", "demand_tib"),
        ("GPUs", "capacity_gpus", "demand_gpus"),
    ):
        if last[capacity] < last[demand]:
            yield (
                f"At the end clients want {short(last[demand])} {what} and find "
                f"{short(last[capacity])}: pay is too low, or the stake takes more tokens than "
                "there are."
            )


def _sources(found: Figures) -> Iterator[str]:
    last = found.years[-1].values
    before = found.years[-2].values
    if last["granted"] > last["earned"]:
        part = short(last["granted"] / max(last["minted"], 1e-9), "%")
        yield f"{part} of what was minted are grants, not emission that fees earned."
    if last["burned"] - before["burned"] > last["minted"] - before["minted"]:
        yield "In the last year more is burned than minted: the supply falls."
