from __future__ import annotations

from pathlib import Path

import pytest

from freehold.domain.errors import UsageError
from freehold.node.settings import DAY, MIB
from freehold.node.telemetry.settings import FILE, PREFIX, load


def test_flags_before_the_environment_before_the_file(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('port = "1"\nraw = "3d"\nbroker = "YES"\n')
    environment = {PREFIX + "PORT": "2", PREFIX + "STORE_BYTES": "100MiB", "OTHER": "x"}
    assert load(tmp_path, flags={}, environment={}).watch == 60
    settings = load(tmp_path, flags={"port": "3", "watch": "5s"}, environment=environment)
    assert settings.watch == 5
    assert (settings.port, settings.raw, settings.store_bytes) == (3, 3 * DAY, 100 * MIB)
    assert (settings.broker, settings.key) == ("yes", tmp_path / "key.json")


@pytest.mark.parametrize(
    "flags",
    [
        {"partitions": "0"},
        {"partitions": "5000"},
        {"broker": "maybe"},
        {"broker": "yes", "nats": "nats://here"},
        {"endpoint": "ftp://here"},
        {"store_bytes": "1MiB"},
        {"raw": "1h"},
        {"watch": "0s"},
        {"watch": "1d"},
        {"colour": "red"},
    ],
)
def test_what_cannot_be_is_said(flags: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load(tmp_path, flags=flags, environment={})
