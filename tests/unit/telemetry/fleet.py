"""Fleets of sensors with labelled lies: those of the benchmark, by the names used here."""

from bench.fleets import seed, wilson
from bench.liars import (
    BEGINS,
    CELL,
    INTERVAL,
    SHAPES,
    START,
    TICKS,
    Fleet,
    Shape,
    draw,
    shapes,
)

__all__ = (
    "BEGINS",
    "CELL",
    "INTERVAL",
    "SHAPES",
    "START",
    "TICKS",
    "Fleet",
    "Shape",
    "draw",
    "seed",
    "shapes",
    "wilson",
)
