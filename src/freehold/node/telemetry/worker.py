"""``python -m freehold.node.telemetry.worker --home DIR --network FILE --nats URL``: one worker.

It works on partitions of a broker's stream, with a store and a desk of its own, and no API. Several
workers share the partitions; the broker's leases say whose each is, and a partition stays with the
folder that had it first.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from freehold.domain.clock import SystemClock
from freehold.domain.errors import UsageError
from freehold.domain.ids import ZERO_ADDRESS
from freehold.ledger.ledger import Ledger
from freehold.node import logs
from freehold.node.ending import on_signals
from freehold.node.files import disk, make_folder, replace_file
from freehold.node.launch import launch, parser
from freehold.node.loops import Chore, Crew
from freehold.node.process import alone, read_network
from freehold.node.telemetry.service import millis
from freehold.node.telemetry.settings import JSON, NAMES, Settings, load
from freehold.node.telemetry.terminal import Terminal
from freehold.node.telemetry.works import Works
from freehold.node.tokens import LedgerTime
from freehold.telemetry import jetstream

STOP_SECONDS = 5.0
NAME = "worker.id"


def run(settings: Settings, parts: Sequence[int] | None, *, stop: threading.Event) -> None:
    """Work until ``stop``; ConflictError when another process uses the home, or a partition is
    kept elsewhere; UnavailableError when the chain or the broker does not answer."""
    logs.setup(settings.log_level)
    make_folder(settings.home)
    network = read_network(settings.network)
    with (
        alone(settings.home),
        Ledger.open(network, state=settings.home / "ledger", key=None) as ledger,
    ):
        works = Works(
            settings, network, index=ledger.index, service=ZERO_ADDRESS, random=os.urandom,
            now=millis, seconds=LedgerTime(SystemClock(), ledger).now, parts=parts,
        )  # fmt: skip
        try:
            works.roll.refresh()
            _work(settings, works, stop)
        finally:
            for partition in works.partitions:
                partition.close()
            works.close()


def _work(settings: Settings, works: Works, stop: threading.Event) -> None:
    crew = Crew(failed=lambda _: None)
    terminal = Terminal(works.desk, as_json=settings.terminal == JSON)
    for chore in (
        Chore("members", works.roll.refresh, 2.0),
        Chore("cohorts", works.compare, 1.0),
        Chore("alerts", works.desk.sweep, 5.0),
        Chore("courier", lambda: _deliver(works), 2.0),
        Chore("tidy", works.tidy, 30.0),
        Chore("retain", works.retain, 3_600.0),
        Chore("evidence", lambda: works.forget(settings.evidence), 600.0),
        Chore("terminal", terminal.step, 0.0),
    ):
        crew.add(chore)
    crew.start()
    try:
        jetstream.work(
            settings.nats, works.partitions, owner=_name(settings.home), clock=millis, stop=stop
        )
    finally:
        crew.stop(STOP_SECONDS)


def _deliver(works: Works) -> None:
    works.courier.deliver()


def _name(home: Path) -> str:
    """What this worker is called, drawn once: after a crash its leases are its own."""
    file = home / NAME
    with disk(file):
        if not file.exists():
            replace_file(file, secrets.token_hex(8).encode())
        return file.read_text().strip()


def _on_signals() -> threading.Event:
    stop = threading.Event()
    on_signals(stop.set)
    return stop


def main(arguments: Sequence[str]) -> int:
    """Run a worker; returns the exit code that says how it ended."""
    reader = parser("freehold.node.telemetry.worker", names=NAMES, about="worker")
    reader.add_argument("--part", type=int, action="append", help="partition to work on")
    options = reader.parse_args(arguments)
    return launch(options, NAMES, partial(_begin, parts=options.part))


def _begin(home: Path, flags: Mapping[str, str], *, parts: Sequence[int] | None) -> None:
    settings = load(home, flags=flags, environment=os.environ)
    if not settings.nats:
        raise UsageError("no broker is named", remedy="Give its URL with --nats.")
    if parts and not all(0 <= part < settings.partitions for part in parts):
        raise UsageError(
            f"there are {settings.partitions} partitions", remedy="Name them from 0 on."
        )
    run(settings, parts, stop=_on_signals())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
