"""Telemetry under load: a whole fleet through the path for dense sources, and signed batches over
MQTT through nats-server to two workers.

    uv run python bench/telemetry.py --devices 100000 --metrics 8 --seconds 10 --json
    uv run python bench/telemetry.py --nats --json     with the messages over MQTT as well
    uv run python bench/telemetry.py --door --json     frames posted over HTTP too
    uv run python bench/telemetry.py --write           both, into docs/reference/telemetry.{json,md}

The fleet's events (a device's metrics of a moment) are taken, checked, scored, alerted to and
stored by two shares side by side; incidents are put in, and the time from the arrival of a reading
to the alert that it leads to is told. Peers do a part of that in the same run: a robust
exponential mean alone, in numpy, and river's HalfSpaceTrees where river is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

if __package__ is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import dense, door, mqtt, telemetry_page

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"


def measure(
    load: dense.Load, traffic: mqtt.Traffic | None, store: Path | None, *, posted: bool = False
) -> dict[str, object]:
    """Everything asked for, with what the machine is."""
    found: dict[str, object] = {"cores": len(os.sched_getaffinity(0))}
    found |= {"devices": load.devices, "metrics": load.metrics}
    with tempfile.TemporaryDirectory(prefix="freehold-telemetry-") as scratch:
        found["dense"] = dense.measure(load, store or Path(scratch) / "store")
        found["peers"] = dense.peers(load)
        if posted:
            found["door"] = door.measure(
                load.devices, load.metrics, load.seconds, Path(scratch) / "door"
            )
        if traffic is not None:
            found["nats"] = mqtt.measure(traffic, Path(scratch) / "nats")
    return found


def dump(found: dict[str, object]) -> str:
    """The text of docs/reference/telemetry.json."""
    return json.dumps(found, indent=1) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench/telemetry.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--metrics", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0, help="of load, after the warm-up")
    parser.add_argument("--store", type=Path, help="a new folder in which the store stays")
    parser.add_argument("--nats", action="store_true", help="messages over MQTT too")
    parser.add_argument("--door", action="store_true", help="frames over HTTP too")
    parser.add_argument("--rate", type=int, default=mqtt.RATE, help="messages a second")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", action="store_true", help="write docs/reference/telemetry.*")
    options = parser.parse_args()
    load = dense.Load(options.devices, options.metrics, options.seconds)
    traffic = mqtt.Traffic(rate=options.rate, seconds=max(1, round(options.seconds)))
    broker = traffic if options.nats or options.write else None
    found = measure(load, broker, options.store, posted=options.door)
    if options.write:
        (REFERENCE / "telemetry.json").write_text(dump(found), encoding="utf-8")
        page = telemetry_page.render(json.loads(dump(found)))
        (REFERENCE / "telemetry.md").write_text(page, encoding="utf-8")
    if options.json or not options.write:
        sys.stdout.write(dump(found))


if __name__ == "__main__":
    main()
