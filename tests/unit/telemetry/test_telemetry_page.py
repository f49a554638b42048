"""The page of telemetry under load: what was measured, and nothing else; the benchmark works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import telemetry_page
from bench.telemetry_page import Json

pytest.importorskip("duckdb", reason="readings are kept with DuckDB, which the extra `ops` has")
pytest.importorskip("paho.mqtt.client", reason="devices publish with paho, as `ops` has it")
DOCS = Path(__file__).parents[3] / "docs" / "reference"


@pytest.fixture(scope="module")
def found() -> dict[str, Json]:
    held: dict[str, Json] = json.loads((DOCS / "telemetry.json").read_text())
    return held


def test_the_page_is_what_was_measured(found: dict[str, Json]) -> None:
    written = (DOCS / "telemetry.md").read_text()
    again = "run `uv run python bench/telemetry.py --write`"
    assert written == telemetry_page.render(found), again


def test_what_is_published_is_a_whole_run(found: dict[str, Json]) -> None:
    dense, nats = found["dense"], found["nats"]
    assert isinstance(dense, dict)
    assert isinstance(nats, dict)
    assert dense["rows"] == dense["rows_expected"]
    assert dense["answer_is_what_was_sent"] is True
    assert dense["alerted"] == dense["incidents"]
    assert nats["messages"] == nats["timed"]
    assert (nats["refused"], nats["again"]) == (0, 0)
    messages, readings = nats["messages"], nats["readings_per_message"]
    assert isinstance(messages, int)
    assert isinstance(readings, int)
    assert nats["readings_stored"] == messages * readings


def test_a_small_fleet_is_stored_and_alerted_to(tmp_path: Path) -> None:
    from bench import dense

    found = dense.measure(dense.Load(devices=301, metrics=2, seconds=0.2), tmp_path)
    assert found["rows"] == found["rows_expected"]
    assert found["answer_is_what_was_sent"] is True
    assert found["alerted"] == found["incidents"] != 0


def test_messages_are_signed_and_end_when_they_are_due() -> None:
    from bench.mqtt_fleet import MARK, NETWORK, Station, batches
    from freehold.telemetry.columns import unpack
    from freehold.telemetry.reading import open_batch

    stations = [Station.of(number) for number in range(3)]
    due = list(batches(stations, start=10**12, rate=6, readings=50, seconds=1))
    assert [each.moment for each in due] == [10**12 + n * 1_000 // 6 for n in range(6)]
    for number, each in enumerate(due):
        batch = open_batch(each.payload, network_id=NETWORK)
        assert batch.device == stations[number % 3].member.did
        assert batch.sequence == number // 3 + 1
        columns = unpack(batch)
        mark = columns.table.names.index(MARK)
        assert len(columns.times) == 50
        assert columns.times[columns.which == mark].max() == each.moment
