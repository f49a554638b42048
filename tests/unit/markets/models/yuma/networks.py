"""Epochs drawn at random, with everything that may be missing, zero, late or dead."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import strategies as st

from freehold.markets.models.yuma.values import (
    Fixed,
    Inputs,
    Liquid,
    Result,
    Rules,
    Sparse,
)

NOW, LAST_EPOCH = 100, 50
_U16 = st.one_of(st.integers(0, 65_535), st.sampled_from([0, 1, 65_535]))
# Late and lapsed ones are rare, or no epoch would have a majority that scores anyone.
_SET = st.sampled_from([100, 100, 100, 99, 99, 70, 51, 50, 30])
_JOINED = st.sampled_from([0, 0, 0, 0, 0, 0, 30, 49, 50, 51, 70, 99, 100])
_SEATED = st.sampled_from([True, True, True, False])


@st.composite
def rules(draw: st.DrawFn, n: int) -> Rules:
    """Parameters of all modes, mostly near the usual ones."""
    mode = draw(st.sampled_from(["classic", "yuma3", "liquid"]))
    low, high = sorted((draw(_U16), draw(_U16)))
    return Rules(
        max_validators=draw(st.integers(0, n)),
        activity_cutoff=draw(st.sampled_from([0, 30, 5_000])),
        kappa=draw(st.one_of(st.just(32_767), _U16)),
        bonds_penalty=draw(st.one_of(st.sampled_from([0, 65_535]), _U16)),
        bonds_ema_ppm=draw(st.sampled_from([0, 900_000, 975_000, 1_000_000])),
        yuma3=mode != "classic",
        liquid=Liquid(low, high, draw(st.integers(0, 10_000))) if mode == "liquid" else None,
        min_stake=draw(st.sampled_from([0, 0, 5])),
    )


@st.composite
def matrices(draw: st.DrawFn, n: int) -> Sparse:
    """Rows from empty to full, with explicit zeros."""
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    least = draw(st.sampled_from([0, n, n * (n - 1)]))
    found = draw(st.dictionaries(pairs, _U16, min_size=least, max_size=n * n))
    return Sparse.of(n, [(i, j, value) for (i, j), value in found.items()])


@st.composite
def networks(draw: st.DrawFn, most: int = 9) -> tuple[Rules, Inputs]:
    """Rules and inputs of an epoch."""
    n = draw(st.integers(1, most))
    stake = st.one_of(st.integers(0, 10), st.integers(0, 2**64 - 1))

    def vector(values: st.SearchStrategy[int]) -> Fixed:
        return np.array(draw(st.lists(values, min_size=n, max_size=n)), np.int64)

    stakes = np.array(draw(st.lists(stake, min_size=n, max_size=n)), np.uint64)
    inputs = Inputs(
        stake=stakes,
        updated=vector(_SET),
        registered=vector(_JOINED),
        permits=np.array(draw(st.lists(_SEATED, min_size=n, max_size=n)), np.bool_),
        weights=draw(matrices(n)),
        bonds=draw(matrices(n)),
        now=NOW,
        last_epoch=LAST_EPOCH,
        committed=vector(_SET) if draw(st.booleans()) else None,
    )
    return draw(rules(n)), inputs


def random_network(seed: int, n: int = 60) -> Inputs:
    """A larger epoch by numpy's generator: two of three seeds have enough weights to agree."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 65_536, n)
    there = draw.random((n, n)) < (0.95, 0.75, 0.05)[seed % 3]
    noise = draw.normal(1, draw.choice([0, 0.1, 0.6]), (n, n))
    weights = np.clip(truth * noise, 0, 65_535).astype(np.int64)
    old = draw.random((n, n)) < 0.5
    bonds = draw.integers(0, 65_536, (n, n))

    def sparse(mask: np.ndarray, values: Fixed) -> Sparse:
        return Sparse.of(n, [(int(i), int(j), int(values[i, j])) for i, j in np.argwhere(mask)])

    return Inputs(
        stake=draw.integers(0, 2**63, n).astype(np.uint64),
        updated=draw.choice([60, 99], n).astype(np.int64),
        registered=draw.choice([0, 0, 0, 55, 70], n).astype(np.int64),
        permits=draw.random(n) < 0.7,
        weights=sparse(there, weights),
        bonds=sparse(old, bonds),
        now=NOW,
        last_epoch=LAST_EPOCH,
    )


def unlike(one: object, other: object) -> list[str]:
    """The names of the fields in which two results, or parts of them, differ."""
    names = []
    for field in fields(one):  # type: ignore[arg-type]
        a, b = getattr(one, field.name), getattr(other, field.name)
        if hasattr(a, "__dataclass_fields__"):
            names += [f"{field.name}.{name}" for name in unlike(a, b)]
        elif isinstance(a, np.ndarray):
            names += [field.name] * (a.dtype != b.dtype or not np.array_equal(a, b))
        else:
            names += [field.name] * (a != b)
    return names


def permuted(inputs: Inputs, order: Fixed) -> Inputs:
    """The same network with node ``order[i]`` at uid i."""
    committed = None if inputs.committed is None else inputs.committed[order]
    return Inputs(
        stake=inputs.stake[order],
        updated=inputs.updated[order],
        registered=inputs.registered[order],
        permits=inputs.permits[order],
        weights=moved(inputs.weights, order),
        bonds=moved(inputs.bonds, order),
        now=inputs.now,
        last_epoch=inputs.last_epoch,
        committed=committed,
    )


def moved(matrix: Sparse, order: Fixed) -> Sparse:
    """Rows and columns in another order."""
    place = np.argsort(order)
    n = len(order)
    return Sparse.of(n, [(int(place[i]), int(place[j]), v) for i, j, v in matrix.entries()])


def permuted_result(result: Result, order: Fixed) -> dict[str, object]:
    """Fields of a result as they must come out for the permuted network."""
    found: dict[str, object] = {}
    for field in fields(result):
        value = getattr(result, field.name)
        if isinstance(value, Sparse):
            found[field.name] = moved(value, order)
        elif isinstance(value, np.ndarray):
            found[field.name] = value[order]
    return found
