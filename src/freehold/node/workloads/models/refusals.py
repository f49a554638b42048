"""What a model server refuses, and the HTTP status each refusal travels as.

FreeholdError
├── UsageError
│   └── BrokenModelError           the model cannot be loaded; ends the start of a server
├── NotFoundError
│   └── NoSuchModelError           404
├── CapacityError
│   └── BusyError                  429  the queue, or the room for bodies, is full
├── IntegrityError
│   └── ModelFailedError           500  the model raised, or answered garbage
└── UnavailableError
    ├── ModelLostError             500  the model's process died over a request
    ├── NotReadyError              503  no process of the model runs just now
    └── ModelTimeoutError          504  the model took longer than it may

A message that is malformed or breaks the schema (``markets.models.tensor``) travels as 400, one
that is too large as 413; the others as a node's do.
"""

from __future__ import annotations

from freehold.domain import errors

RETRY_SECONDS = 5.0


class BrokenModelError(errors.UsageError):
    """A model that cannot be loaded or does not do what its schema says."""


class NoSuchModelError(errors.NotFoundError):
    """A model of another name or version."""


class BusyError(errors.CapacityError):
    """More than is taken at once; ``seconds`` says when to come again."""

    def __init__(self, message: str, *, remedy: str, seconds: float = 1.0) -> None:
        super().__init__(message, remedy=remedy)
        self.seconds = seconds


class ModelFailedError(errors.IntegrityError):
    """The model raised an exception or gave what is no answer."""


class ModelLostError(errors.UnavailableError):
    """The model's process died over the request."""


class NotReadyError(errors.UnavailableError):
    """No process of the model runs; ``seconds`` says when the next is started."""

    def __init__(self, message: str, *, remedy: str, seconds: float = RETRY_SECONDS) -> None:
        super().__init__(message, remedy=remedy)
        self.seconds = seconds


class ModelTimeoutError(errors.UnavailableError):
    """The model did not answer in time; its process was ended."""
