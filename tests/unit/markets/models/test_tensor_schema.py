"""Schemas: their text, their hash, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from freehold.domain.ids import keccak
from freehold.markets.models.tensor import (
    DATATYPES,
    MalformedError,
    MismatchError,
    Schema,
    Spec,
    TooLargeError,
    from_arrays,
)

TEXT = (
    '{"inputs":[{"datatype":"FP32","name":"x","shape":[-1,64]}],'
    '"outputs":[{"datatype":"INT64","name":"label","shape":[-1]}]}'
)
SCHEMA = Schema.parse(TEXT)
SPECS = st.lists(
    st.builds(
        Spec,
        st.text(st.characters(categories=["L"]), min_size=1, max_size=8),
        st.sampled_from([*DATATYPES, "BYTES"]),
        st.lists(st.integers(-1, 2**24), max_size=8).map(tuple),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda spec: spec.name,
).map(tuple)


@given(st.builds(Schema, SPECS, SPECS))
@hypothesis_settings(max_examples=100, deadline=None)
def test_a_schema_comes_back_from_its_text(schema: Schema) -> None:
    assert Schema.parse(schema.format()) == schema
    assert Schema.of(schema.metadata()).hash() == schema.hash()


def test_the_hash_is_of_the_canonical_text() -> None:
    """Pinned: a subnet keeps it on the chain."""
    assert SCHEMA.format() == TEXT
    spaced = Schema.parse(TEXT.replace(",", " , ").replace(":", " : "))
    assert SCHEMA.hash() == spaced.hash() == keccak(TEXT.encode())
    assert SCHEMA.hash().hex() == "5c810fc5ffccc3701b8be253f054e0a11e5e10e5f8631d8e4d69bee69d696277"


def test_only_schemas_whose_every_first_dimension_is_free_are_batched() -> None:
    assert SCHEMA.batched
    assert not Schema.parse(TEXT.replace("[-1]", "[1]")).batched
    assert not Schema.parse(TEXT.replace("[-1]", "[]")).batched


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_request_that_fits_is_let_in(rows: int) -> None:
    SCHEMA.check_inputs(from_arrays({"x": np.zeros((rows, 64), "<f4")}))


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({}, "x is missing"),
        ({"x": np.zeros((1, 64), "<f8")}, "FP32, not FP64"),
        ({"x": np.zeros((1, 63), "<f4")}, "shape"),
        ({"x": np.zeros(64, "<f4")}, "shape"),
        ({"x": np.zeros((1, 64), "<f4"), "y": np.zeros(1)}, "y is not in it"),
    ],
)
def test_a_request_that_does_not_fit_is_told_why(arrays: dict[str, object], word: str) -> None:
    with pytest.raises(MismatchError, match=word):
        SCHEMA.check_inputs(from_arrays(arrays))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        TEXT.replace("FP32", "FP33"),
        TEXT.replace("64", "-2"),
        TEXT.replace("64", "6.4"),
        TEXT.replace('"x"', '""'),
        TEXT.replace('"x"', "null"),
        '{"inputs":[],"outputs":[]}',
        '{"inputs":[7],"outputs":[7]}',
        TEXT.replace("[-1,64]", "null"),
    ],
)
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Schema.parse(text)


def test_a_schema_is_bounded() -> None:
    specs = tuple(Spec(f"x{n}", "BOOL", ()) for n in range(65))
    with pytest.raises(TooLargeError):
        Schema(specs, specs[:1])
    with pytest.raises(TooLargeError):
        Spec("x", "BOOL", (1,) * 9)
