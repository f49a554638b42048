from __future__ import annotations

from pathlib import Path

import pytest

from freehold.domain.errors import UsageError
from freehold.domain.money import UNIT
from freehold.node.settings import GIB, load


def test_a_flag_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('capacity = "1GiB"\nport = 1000\nprice = "3"\n')
    environment = {"FREEHOLD_NODE_PORT": "2000", "FREEHOLD_NODE_PRICE": "4", "HOME": "/"}
    found = load(tmp_path, flags={"price": "5.5"}, environment=environment)
    assert (found.capacity, found.port, found.price) == (GIB, 2000, 55 * UNIT // 10)
    assert found.network == tmp_path / "network.json"


def test_units_are_read(tmp_path: Path) -> None:
    flags = {"max_term": "90d", "capacity": "2 TiB", "retrieval_price": "0.000000000000000001"}
    found = load(tmp_path, flags=flags, environment={})
    assert (found.max_term, found.capacity) == (90 * 86_400, 2**41)
    assert found.retrieval_price == 1  # rounded up: never for nothing by accident


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({"colour": "red"}, "colour"),
        ({"capacity": "much"}, "capacity"),
        ({"capacity": "1"}, "capacity"),
        ({"price": "-1"}, "price"),
        ({"port": "70000"}, "port"),
        ({"min_term": "2d", "max_term": "1d"}, "min_term"),
        ({"endpoint": "http://node"}, "https"),
        ({"log_level": "loud"}, "log_level"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, flags: dict[str, str], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        load(tmp_path, flags=flags, environment={})


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("= 3")
    with pytest.raises(UsageError, match=r"node\.toml"):
        load(tmp_path, flags={}, environment={})
    (tmp_path / "node.toml").write_text("nonsense = 3")
    with pytest.raises(UsageError, match=r"node\.toml names a setting"):
        load(tmp_path, flags={}, environment={})
