"""What can be wrong with a machine or a home, each with its remedy."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.cli import processes
from freehold.cli.home import Home
from freehold.cli.wallets import keystore_address
from freehold.domain.errors import FreeholdError
from freehold.domain.ids import Address

if TYPE_CHECKING:
    from freehold.ledger.ledger import Ledger

FREE_BYTES = 2 * 2**30
WATCHER, TELEMETRY = "watcher", "telemetry"
RUNS, FAILED, LEFT = "runs", "failed", "left"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; a ``deliberate`` one is as somebody wanted it, and good."""

    what: str
    good: bool
    found: str
    remedy: str = ""
    deliberate: bool = False

    @property
    def mark(self) -> str:
        """A tick, a cross, or a dot for what is deliberate."""
        return "[yellow]•[/]" if self.deliberate else "[green]✓[/]" if self.good else "[red]✗[/]"

    @property
    def advice(self) -> str:
        """The remedy, where there is something to do or to know."""
        return self.remedy if self.deliberate or not self.good else ""

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
    fates: dict[Address, str] = {}
    yield _ledger(home, fates)
    for folder in home.nodes():
        yield examine_node(home, folder, fates)
    if home.watcher.exists():
        yield _member(home, WATCHER, "freehold up")
    if (home.telemetry / "enlisted").exists():
        yield _member(home, TELEMETRY, "freehold up")


def _ledger(home: Home, fates: dict[Address, str]) -> Finding:
    """Whether the ledger answers; what it says of this home's nodes comes into ``fates``."""
    from freehold.cli.live import names_of
    from freehold.ledger.ledger import Ledger

    try:
        with Ledger.open(home.network(), state=home.root / "reader", key=None) as ledger:
            fates.update((node, _fate(ledger, node)) for node in names_of(home))
            return Finding("ledger", True, f"block {ledger.head().number}")
    except FreeholdError as error:
        if why := processes.why_stopped(home, "ledger"):
            return Finding("ledger", True, why, "Start it with `freehold up`.", deliberate=True)
        remedy = "Start it with `freehold up`." if home.devnet.exists() else error.remedy
        return Finding("ledger", False, error.message, remedy)


def _fate(ledger: Ledger, node: Address) -> str:
    """What the ledger says of a node that no longer needs to run; empty while it must."""
    state = ledger.faults.node_state(node)
    if state.failed:
        return FAILED
    return LEFT if state.notice_at and not state.columns else ""


def examine_node(home: Home, folder: Path, fates: Mapping[Address, str]) -> Finding:
    """One node of this home: whether it runs, or need not (``fates``: the ledger's word)."""
    start = "freehold up" if home.devnet.exists() else f"freehold node start {folder.name}"
    finding = _member(home, folder.name, start)
    key = folder / "key.json"
    fate = fates.get(keystore_address(key), "") if key.exists() else ""
    if fate == LEFT and finding.found != RUNS:
        return Finding(folder.name, True, "stopped, and has left the network", deliberate=True)
    if fate != FAILED:
        return finding
    found = f"{finding.found}; failed on the ledger: slashed, its columns are lost or moved"
    if why := processes.why_killed(home, folder.name):
        found = f"{why}; failed on the ledger: slashed, its columns are lost or moved"
        remedy = "Nothing: watchers move what it held. A failed node never serves again."
        return Finding(folder.name, True, found, remedy, deliberate=True)
    remedy = (
        f"It cannot serve again. Read {home.logs / folder.name}.log for why it missed its proofs, "
        "take out the stake that is left with `freehold stake remove`, and make another node with "
        "`freehold node init`."
    )
    return Finding(folder.name, False, found, remedy)


def _member(home: Home, name: str, start: str) -> Finding:
    if processes.find(home, name) is not None:
        return Finding(name, True, RUNS)
    if why := processes.why_stopped(home, name):
        return Finding(name, True, why, f"Start it with `{start}`.", deliberate=True)
    log = home.logs / f"{name}.log"
    read = f"Read {log}, then `{start}`." if log.exists() else f"Start it with `{start}`."
    return Finding(name, False, "stopped", read)
