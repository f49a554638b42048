from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from freehold.domain.errors import (
    CapacityError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from freehold.telemetry import sources as module
from freehold.telemetry.columns import unpack
from freehold.telemetry.foreign import Harvest
from freehold.telemetry.reading import Reading, open_batch
from freehold.telemetry.sources import AHEAD, BadTokenError, Sources
from unit.telemetry.devices import NETWORK, NOW

OWNER = "0x" + "11" * 20


def counting() -> Callable[[int], bytes]:
    drawn = iter(range(1, 255))
    return lambda size: bytes([next(drawn)]) * size


def opened(folder: Path, now: int = 1) -> Sources:
    return Sources(folder / "sources", network_id=NETWORK, random=counting(), now=now)


def harvest(*times: int, metric: str = "up") -> Harvest:
    return Harvest([Reading(metric, "1", time, 1.0) for time in times])


def test_what_a_source_sends_is_sealed_under_its_key(tmp_path: Path) -> None:
    sources = opened(tmp_path)
    source, token = sources.add("prom", owner=OWNER)
    assert sources.admit(token) == source
    sealed = sources.seal("prom", harvest(NOW, NOW - 5), now=NOW)
    (data,) = sealed.batches
    batch = open_batch(data, network_id=NETWORK)
    assert sources.find(batch.device) == source
    assert source.id == "source:prom"
    assert (batch.boot, batch.sequence, batch.time) == (1, 1, NOW)
    assert [reading.time for reading in unpack(batch).readings()] == [NOW - 5, NOW]


def test_no_number_comes_twice_even_after_a_crash(tmp_path: Path) -> None:
    _, token = opened(tmp_path).add("prom", owner=OWNER)
    seen = set()
    for _ in range(3):
        sources = opened(tmp_path)  # nothing is closed before
        assert sources.admit(token).name == "prom"
        for data in sources.seal("prom", harvest(NOW), now=NOW).batches:
            batch = open_batch(data, network_id=NETWORK)
            seen.add((batch.boot, batch.sequence))
    assert seen == {(2, 1), (3, 1), (4, 1)}


def test_a_folder_from_a_backup_gives_no_number_again(tmp_path: Path) -> None:
    source, _ = opened(tmp_path, 1_000).add("prom", owner=OWNER)
    file = tmp_path / "sources" / "prom.json"
    backup = file.read_bytes()
    opened(tmp_path, 2_000)
    file.write_bytes(backup)
    (again,) = opened(tmp_path, 3_000).all()
    assert (source.boot, again.boot) == (1_000, 3_000)


def test_the_token_is_not_on_the_disk(tmp_path: Path) -> None:
    _, token = opened(tmp_path).add("prom", owner=OWNER)
    (file,) = (tmp_path / "sources").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert token not in file.read_text()


def test_secrets_do_not_show(tmp_path: Path) -> None:
    source, token = opened(tmp_path).add("prom", owner=OWNER)
    assert source.key.hex() not in repr(source)
    assert repr(source.key) not in repr(source)
    assert token not in repr(source)


@pytest.mark.parametrize("wrong", ["", "00" * 32, "é", "x" * 100_000])
def test_a_wrong_token_is_nobodys(tmp_path: Path, wrong: str) -> None:
    sources = opened(tmp_path)
    sources.add("prom", owner=OWNER)
    with pytest.raises(BadTokenError):
        sources.admit(wrong)


def test_a_removed_source_is_gone(tmp_path: Path) -> None:
    sources = opened(tmp_path)
    source, token = sources.add("prom", owner=OWNER)
    sources.remove("prom")
    for again in (sources, opened(tmp_path)):
        assert again.all() == []
        assert again.find(source.did) is None
        with pytest.raises(BadTokenError):
            again.admit(token)
        with pytest.raises(NotFoundError):
            again.seal("prom", harvest(NOW), now=NOW)
    with pytest.raises(NotFoundError):
        sources.remove("prom")


def test_samples_from_the_future_are_left_out(tmp_path: Path) -> None:
    sources = opened(tmp_path)
    sources.add("prom", owner=OWNER)
    sealed = sources.seal("prom", harvest(NOW + AHEAD, NOW + AHEAD + 1), now=NOW)
    assert (sealed.readings, sealed.skipped) == (1, 1)
    unpack(open_batch(sealed.batches[0], network_id=NETWORK))


def test_a_flood_of_metrics_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "METRICS_KEPT", 2)
    sources = opened(tmp_path)
    sources.add("prom", owner=OWNER)
    counts = [sources.seal("prom", harvest(NOW, metric=name), now=NOW).readings for name in "abca"]
    assert counts == [1, 1, 0, 1]


@pytest.mark.parametrize("name", ["", "A", "../x", "a" * 33, "a/b", "-a"])
def test_bad_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        opened(tmp_path).add(name, owner=OWNER)


def test_names_are_taken_once_and_sources_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = opened(tmp_path)
    sources.add("prom", owner=OWNER)
    with pytest.raises(ConflictError):
        sources.add("prom", owner=OWNER)
    monkeypatch.setattr(module, "SOURCES_MAX", 1)
    with pytest.raises(CapacityError):
        sources.add("other", owner=OWNER)


@pytest.mark.parametrize(
    "change",
    [{"boot": -1}, {"boot": True}, {"name": "x"}, {"key": "zz"}, {"key": "00"}, {"version": 2},
     {"more": 1}],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    opened(tmp_path).add("prom", owner=OWNER)
    file = tmp_path / "sources" / "prom.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(IntegrityError, match=r"prom\.json"):
        opened(tmp_path)
