"""Why the inputs of an epoch are refused.

FreeholdError
├── UsageError
│   ├── RulesError                a parameter is outside its bounds
│   └── MalformedError            arrays that do not fit each other or their bounds
│       └── EntriesError          targets that do not rise, repeat, or name no node
└── CapacityError
    └── TooManyNodesError         more nodes, entries or stake than the integers are exact for
"""

from __future__ import annotations

from freehold.domain.errors import CapacityError, UsageError


class RulesError(UsageError):
    """A parameter of an epoch outside its bounds."""


class MalformedError(UsageError):
    """Inputs whose lengths, types or values do not fit."""


class EntriesError(MalformedError):
    """A sparse matrix whose targets do not rise within a row, or name no node."""


class TooManyNodesError(CapacityError):
    """More nodes, entries or stake than the integers are exact for."""
