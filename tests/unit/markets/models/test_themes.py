"""A copier of weights loses against validators that measure: real models, scorers and rounds."""

from __future__ import annotations

import numpy as np
import pytest

from bench import entrants, themes
from bench.themes import Course

EPOCHS = 24
PURE = ("consensus", "one row", "mean row", "trend", "long mean", "foreteller")


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> entrants.Entry:
    return entrants.images(tmp_path_factory.mktemp("image") / "image")


@pytest.fixture(scope="module")
def course(entry: entrants.Entry) -> Course:
    return themes.measure(entry, epochs=EPOCHS, seed=1)


def test_who_copies_what_was_revealed_loses(course: Course) -> None:
    """By the template's own scorer, terms and rules, though no model ever changes."""
    found = themes.advantages(course)
    assert all(found[name] < -4 for name in PURE), found
    assert found["half copied"] < -2


def test_without_themes_a_copier_would_lose_nothing(entry: entrants.Entry) -> None:
    found = themes.advantages(themes.measure(entry, epochs=12, seed=2, still=True))
    assert all(found[name] > -2 for name in PURE), found


def test_models_rank_differently_by_theme_and_alike_for_all_validators(course: Course) -> None:
    between, within = themes.moved(course)
    assert between > 3 * within > 0
    best = course.scores.mean(axis=1).argmax(axis=1)
    assert len(set(best.tolist())) >= 4, "one model is best in every epoch"


def test_over_epochs_the_better_models_earn_more(course: Course) -> None:
    """Two that saw all digits and many images, two that saw few, two that lack some digits."""
    earned = course.scores.mean(axis=(0, 1))
    assert min(earned[:2]) > 0.95 * max(earned[2:])
    assert earned.min() > 0.6 * earned.max(), "nobody is shut out by what is asked"


def test_honest_models_are_not_accused_whatever_the_theme(course: Course) -> None:
    assert (course.scores == 0).mean() < 0.03


def test_rounds_are_reckoned_the_same_again(entry: entrants.Entry, course: Course) -> None:
    again = themes.measure(entry, epochs=2, seed=1)
    assert np.array_equal(again.scores, course.scores[:2])
