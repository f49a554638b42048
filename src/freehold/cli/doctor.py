"""What can be wrong with a machine or a home, each with its remedy."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from freehold.cli import processes
from freehold.cli.home import Home
from freehold.domain.errors import FreeholdError

FREE_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    found: str
    remedy: str = ""

    def to_json(self) -> dict[str, object]:
        """A JSON object with all of it."""
        return asdict(self)


def examine(home: Home) -> list[Finding]:
    """Look at everything; what cannot be looked at is a finding too."""
    return [*_machine(home), *_home(home)]


def _machine(home: Home) -> Iterator[Finding]:
    version = sys.version.split()[0]
    yield Finding(
        "Python", (3, 11) <= sys.version_info < (3, 14), version, "Use Python 3.11 to 3.13."
    )
    yield _engine()
    yield _kernel()
    existing = next(p for p in (home.root, *home.root.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    yield Finding("disk", free > FREE_BYTES, f"{free / 2**30:.1f} GiB free", "Free at least 2 GiB.")


def _engine() -> Finding:
    from freehold.ledger.devnet import engine

    try:
        return Finding("ledger engine", True, str(engine.install()))
    except FreeholdError as error:
        return Finding("ledger engine", False, error.message, error.remedy)


def _kernel() -> Finding:
    from freehold.markets.storage import commp

    if commp.warm():
        return Finding("hashing", True, "compiled for this processor")
    return Finding(
        "hashing",
        False,
        "plain Python: pieces are hashed some thirty times slower",
        "Reinstall llvmlite for this platform, or unset FREEHOLD_NO_JIT.",
    )


def _home(home: Home) -> Iterator[Finding]:
    if not home.root.exists():
        yield Finding("home", True, f"{home.root} does not exist yet")
        return
    try:
        home.claim()
        network = home.network()
    except FreeholdError as error:
        yield Finding("home", False, error.message, error.remedy)
        return
    yield Finding("home", True, f"{home.root}: network {network.name}")
    yield _ledger(home)
    yield from _members(home)


def _ledger(home: Home) -> Finding:
    from freehold.ledger.ledger import Ledger

    try:
        with Ledger.open(home.network(), state=home.root / "reader", key=None) as ledger:
            return Finding("ledger", True, f"block {ledger.head().number}")
    except FreeholdError as error:
        remedy = "Start it with `freehold up`." if home.devnet.exists() else error.remedy
        return Finding("ledger", False, error.message, remedy)


def _members(home: Home) -> Iterator[Finding]:
    for folder in home.nodes():
        start = "freehold up" if home.devnet.exists() else f"freehold node start {folder.name}"
        yield _member(home, folder.name, start)
    if home.watcher.exists():
        yield _member(home, "watcher", "freehold up")


def _member(home: Home, name: str, start: str) -> Finding:
    if processes.find(home, name) is not None:
        return Finding(name, True, "runs")
    log = home.logs / f"{name}.log"
    read = f"Read {log}, then `{start}`." if log.exists() else f"Start it with `{start}`."
    return Finding(name, False, "stopped", read)
