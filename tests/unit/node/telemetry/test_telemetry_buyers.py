"""Buyers read what they paid for: those metrics, those epochs, and no more."""

from __future__ import annotations

import pytest

from freehold.domain.ids import checksum
from freehold.node.telemetry.access import Want
from freehold.node.telemetry.buyers import Buyers
from freehold.node.telemetry.facts import Calendar
from unit.node.world import FakeIndex, event

BUYER, DEVICE, OTHER = (checksum(bytes([n]) * 20) for n in (1, 2, 3))
CALENDAR = Calendar(1_000, 100)
BEGIN, END = 1_200_000, 1_400_000
"""Epochs 2 and 3 in milliseconds."""


def buyers(*queries: str) -> Buyers:
    log = [
        event("Bought", contract="streams", id=n, buyer=BUYER, query=query, epoch=2, count=2,
              amount=1, burned=0)
        for n, query in enumerate(queries)
    ]  # fmt: skip
    return Buyers(FakeIndex(log), CALENDAR)


def test_all_metrics_and_all_of_the_span_must_be_bought() -> None:
    bought = buyers("metric=roof.*", f"metric=wall.rain;device={DEVICE}")
    want = Want(("roof.wind", "wall.rain"), BEGIN, END)
    assert bought.bought(BUYER, DEVICE, want)
    assert not bought.bought(OTHER, DEVICE, want)
    assert not bought.bought(BUYER, OTHER, want)
    assert bought.bought(BUYER, OTHER, Want(("roof.wind",), BEGIN, END))


@pytest.mark.parametrize(
    "want",
    [
        Want((), BEGIN, END),
        Want(("wall.rain",), BEGIN, END),
        Want(("roof.wind", "wall.rain"), BEGIN, END),
        Want(("roof.wind",), BEGIN - 1, END),
        Want(("roof.wind",), BEGIN, END + 1),
    ],
)
def test_other_readings_are_not_shown(want: Want) -> None:
    assert not buyers("metric=roof.*").bought(BUYER, DEVICE, want)


@pytest.mark.parametrize("query", ["metric=*", "metric=**", f"device={DEVICE}"])
def test_who_bought_every_metric_need_name_none(query: str) -> None:
    assert buyers("metric=roof.*", query).bought(BUYER, DEVICE, Want((), BEGIN, END))
    assert not buyers(query).bought(OTHER, DEVICE, Want((), BEGIN, END))
    assert not buyers(query).bought(BUYER, DEVICE, Want((), BEGIN, END + 1))


@pytest.mark.parametrize("query", ["metric=*.*", "metric=a*", "metric=*;cell=u", f"device={OTHER}"])
def test_less_than_every_metric_is_not_all(query: str) -> None:
    assert not buyers(query, "metric=*a").bought(BUYER, DEVICE, Want((), BEGIN, END))


def test_cells_and_nonsense_give_no_look() -> None:
    want = Want(("roof.wind",), BEGIN, END)
    assert not buyers("cell=u33", "colour=red", "").bought(BUYER, DEVICE, want)
