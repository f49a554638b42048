from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.client.fakes import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Six nodes of six owners that run, over a chain in memory."""
    with World(tmp_path) as made:
        yield made
