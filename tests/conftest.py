"""The order of a whole run: what waits for real processes begins first, so that it ends first."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Journeys before all else; the rest keeps its order."""
    items.sort(key=lambda item: item.get_closest_marker("journey") is None)
