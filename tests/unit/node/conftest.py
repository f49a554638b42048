from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.node import world as worlds


@pytest.fixture
def world(tmp_path: Path) -> Iterator[worlds.World]:
    yield from worlds.opened(tmp_path / "home")
