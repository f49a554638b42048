"""The order of a whole run: what waits for real processes begins first, so that it ends first.

Where Python is told to keep nothing that it compiles, hundreds of processes would compile the same
modules again; they may keep it, as those of the command do (``freehold.cli.__main__``).

Each process that runs tests has ports of its own: what a test starts again finds its own one free.
"""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
os.environ.setdefault("FREEHOLD_PORTS", f"{20_000 + 1_200 * _WORKER}-{21_199 + 1_200 * _WORKER}")
settings.register_profile("patient", settings(), deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Journeys before all else; the rest keeps its order."""
    items.sort(key=lambda item: item.get_closest_marker("journey") is None)
