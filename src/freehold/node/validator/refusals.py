"""What goes wrong between a validator and its scorer.

FreeholdError
├── UsageError
│   └── BrokenScorerError     the scorer cannot be loaded
└── UnavailableError
    └── ScorerLostError       the scorer's process hung or ended; it is started anew
"""

from __future__ import annotations

from freehold.domain.errors import UnavailableError, UsageError

CORRECT = "Correct tasks(random, theme) and score(task, answer, seconds) in the scorer's file."


class BrokenScorerError(UsageError):
    """A scorer that cannot be loaded, or whose file is not there."""


class ScorerLostError(UnavailableError):
    """The scorer's process did not answer in time, or ended."""
