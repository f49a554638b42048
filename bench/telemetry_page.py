"""The reference page of telemetry, rendered from docs/reference/telemetry.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | None"

HEAD = """# Telemetry under load

`uv run python bench/telemetry.py --write` writes this page and `telemetry.json` beside it; \
without `--write` it prints the same for other numbers (`--devices`, `--metrics`, `--seconds`, \
`--nats`, `--rate`). Taken with {cores} cores. Nothing here replays a day at another speed: \
readings are made or signed beforehand, all else is the product's own code."""

DENSE = """## A fleet of {devices:,} devices with {metrics} metrics each

An event is one device's {metrics} metrics of one moment, as a scrape or a plant's controller \
brings them (`freehold.telemetry.bulk`). Each is checked against its device's last and against \
what its metrics can be, scored against the device's own past (a level and spread of each metric, \
ranks, evidence), alerted to, and in the store, synced, before the next frame of its share is \
taken; two shares of the fleet go side by side. Each share takes a frame as soon as it can, so a \
reading's time to its alert includes its wait for the frame before. An incident is a jump of one \
metric by 150 spreads for three readings."""

MQTT = """## Signed messages over MQTT

{devices:,} devices publish {rate:,} messages a second of {readings} readings each, signed \
beforehand (Ed25519), at QoS 1 to nats-server; two workers (`freehold.telemetry.jetstream`), a \
partition each, verify, guard against replay, log, clean, score by the service's detector, and \
store. A time counts from the moment at which a message is due to when its rows are synced in the \
store. A device is scored after 32 rows of its own. The sender, the server and both workers share \
the cores."""

_DENSE = (
    ("events a second", "events_per_second"),
    ("events a second of processor time", "events_per_processor_second"),
    ("cores that it got meanwhile", "cores_used"),
    ("seconds from reading to alert, p50", "p50_seconds"),
    ("the same, p99", "p99_seconds"),
    ("incidents put in", "incidents"),
    ("of them alerted to", "alerted"),
    ("other alerts", "other_alerts"),
    ("bytes an event in the store", "bytes_per_row"),
    ("events in the store", "rows"),
    ("events that should be", "rows_expected"),
)
_PEERS = {
    "numpy_ewma_events_per_second": "peer: a robust exponential mean alone, numpy, one thread",
    "river_half_space_trees_events_per_second": "peer: river's HalfSpaceTrees, one thread",
}
_MQTT = (
    ("messages a second, up to the last one stored", "messages_per_second"),
    ("messages counted", "messages"),
    ("refused", "refused"),
    ("sent again by the server and passed over", "again"),
    ("readings stored", "readings_stored"),
    ("seconds from due to stored, p50", "p50_seconds"),
    ("the same, p99", "p99_seconds"),
    ("bytes a message", "message_bytes"),
)


def render(found: dict[str, Json]) -> str:
    """The page's text."""
    dense, peers = _object(found, "dense"), _object(found, "peers")
    parts = [
        HEAD.format(cores=found["cores"]),
        DENSE.format(devices=found["devices"], metrics=found["metrics"]),
        "\n".join(_table([*_rows(dense, _DENSE), *_peers(peers)])),
    ]
    if isinstance(nats := found.get("nats"), dict):
        parts += [
            MQTT.format(
                devices=nats["devices"], rate=nats["messages_asked_per_second"],
                readings=nats["readings_per_message"],
            ),
            "\n".join(_table([*_rows(nats, _MQTT), *_processes(nats)])),
        ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _table(rows: list[tuple[str, Json]]) -> Iterator[str]:
    yield from ("| | |", "|---|---:|")
    for words, value in rows:
        yield f"| {words} | {value:,} |"


def _rows(found: dict[str, Json], wanted: tuple[tuple[str, str], ...]) -> list[tuple[str, Json]]:
    return [(words, found[name]) for words, name in wanted]


def _peers(found: dict[str, Json]) -> list[tuple[str, Json]]:
    return [(words, found[name]) for name, words in _PEERS.items() if name in found]


def _processes(nats: dict[str, Json]) -> list[tuple[str, Json]]:
    used = _object(nats, "processor_seconds")
    return [(f"processor seconds of {name}", each) for name, each in used.items()]


def _object(found: dict[str, Json], name: str) -> dict[str, Json]:
    value = found[name]
    if not isinstance(value, dict):
        raise TypeError(f"{name} is no object")
    return value
