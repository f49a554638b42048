from __future__ import annotations

import pickle

import pytest

from freehold.domain import errors

KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_carries_remedy_and_exit_code(kind: type[errors.FreeholdError]) -> None:
    error = kind("the thing broke", remedy="Mend it.")
    assert (str(error), error.remedy) == ("the thing broke", "Mend it.")
    assert 1 <= error.exit_code <= 6


def test_the_drawn_hierarchy_names_every_kind() -> None:
    drawing = errors.__doc__ or ""
    assert all(kind.__name__ in drawing for kind in KINDS)


def test_errors_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(errors.RefusedError("no", remedy="Ask again.")))
    assert (type(error), error.remedy) == (errors.RefusedError, "Ask again.")
