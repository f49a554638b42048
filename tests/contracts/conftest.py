"""Fixtures of the contract tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the harness skips on import where pyrevm is missing
    from contracts.evm import Chain


@pytest.fixture
def chain() -> Chain:
    """A fresh chain."""
    from contracts.evm import Chain

    return Chain()
