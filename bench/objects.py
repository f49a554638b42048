"""Objects in and out: our client and six node processes beside Tahoe-LAFS 1.20, in one run.

Both store 4 of 6 on this machine, ours with the chain, the proofs' hashes on both sides and TLS.
Rounds alternate, so that both meet the same load; the median round counts. While the one is
measured the processes of the other are stopped (SIGSTOP): what they do when idle, eight of
Tahoe-LAFS a sixth of a core, is no part of the other's time. Speeds are MB (10^6
bytes) of object a second of wall clock. Also: the share of time by stage, small objects through
packing, and with ``--memory`` the peak memory of a 2 GiB put and get, each in a process of its
own. Of the last round the CPU-seconds of client and nodes are told, which other load on the
machine blurs less than wall clock. ``uv run python bench/objects.py --json``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.tahoe import Grid, install
from freehold.cli.home import Home
from freehold.cli.local import LocalNetwork
from freehold.cli.wallets import WalletFolder
from freehold.client.client import Client
from freehold.client.options import Options
from freehold.client.packer import Limits
from freehold.client.timing import Timing
from freehold.ledger.plan import DEVNET

MIB = 2**20
SHAPE = (4, 6)
HOUR = 3600
SMALL = 4096
SLOW = replace(
    DEVNET, period=HOUR, grace=600, window=600, unbonding=24 * HOUR, notice=2 * HOUR,
    lockup_period=10 * HOUR, arbiter_timeout=7 * HOUR, cleanup_window=30 * HOUR,
)  # fmt: skip
"""Periods so long that no proof falls into the run."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Median MB/s of both ways, and all rounds."""

    put: float
    get: float
    puts: list[float]
    gets: list[float]


@dataclass(slots=True)
class Rounds:
    """What was measured so far."""

    size: int
    puts: list[float] = field(default_factory=list)
    gets: list[float] = field(default_factory=list)

    def add(self, put: float, get: float) -> None:
        """One round in seconds."""
        self.puts.append(round(self.size / put / 1e6, 1))
        self.gets.append(round(self.size / get / 1e6, 1))

    def speeds(self) -> Speeds:
        """The medians."""
        return Speeds(median(self.puts), median(self.gets), self.puts, self.gets)


@contextmanager
def network(folder: Path, nodes: int) -> Iterator[Home]:
    """A devnet, a watcher and node processes of as many owners, stopped at the end."""
    home = Home(folder)
    home.claim()
    local = LocalNetwork(home, say)
    try:
        local.start(nodes=nodes, parameters=SLOW)
        yield home
    finally:
        local.stop()


@contextmanager
def client(home: Home, options: Options | None = None) -> Iterator[Client]:
    """The funded account's client."""
    folder, net = WalletFolder(home.wallet), home.network()
    wallet = folder.unlock(home.password(), network_id=net.network_id)
    with Client.open(net, wallet, folder.state, options=options) as made:
        yield made


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def say(text: str) -> None:
    """Progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def stop(*_: object) -> None:
    """A signal that ends the run lets it stop what it started."""
    sys.exit(1)


def fresh(path: Path, size: int) -> None:
    """A file of random bytes: neither side may know it from the round before."""
    with path.open("wb") as file:
        for at in range(0, size, 8 * MIB):
            file.write(os.urandom(min(8 * MIB, size - at)))


def same(left: Path, right: Path) -> None:
    """Both files must be equal, or nothing measured counts."""
    if subprocess.run(["cmp", "-s", str(left), str(right)], check=False).returncode:
        raise RuntimeError(f"{right} is not what was stored")


class Clock:
    """Wall-clock and CPU-seconds (user and system) of this process and of the nodes."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._before = self._now()

    def read(self) -> dict[str, float]:
        """What has passed since the last look."""
        now, before = self._now(), self._before
        self._before = now
        return {name: round(now[name] - before[name], 3) for name in now}

    def _now(self) -> dict[str, float]:
        own = os.times()
        nodes = sum(_cpu(pid) for pid in _pids(self._home))
        return {"wall": time.perf_counter(), "client": own.user + own.system, "nodes": nodes}


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def race(
    home: Home, ours: Client, grid: Grid | None, folder: Path, *, size: int, rounds: int
) -> dict[str, object]:
    """Put and get the same fresh bytes with both, in turn; a first round warms both up.

    Before each step all that was written is on the disk: nobody pays for what another left to
    the kernel.
    """
    source, target = folder / "source", folder / "target"
    mine, theirs = Rounds(size), Rounds(size)
    putting, getting = Timing(), Timing()
    put_seconds, get_seconds = dict[str, float](), dict[str, float]()
    for number in range(rounds + 1):
        fresh(source, size)
        name = f"bench/{number}"
        with stopped(_of(grid)):
            os.sync()
            clock = Clock(home)
            putting = ours.put(source, name, preset=SHAPE).timing
            put_seconds = clock.read()
            getting = Timing()
            os.sync()
            clock.read()
            ours.get(name, target, timing=getting)
            get_seconds = clock.read()
        mine.add(put_seconds["wall"], get_seconds["wall"])
        same(source, target)
        ours.rm(name)
        if grid is not None:
            with stopped(_pids(home, "*")):
                theirs.add(*visit(grid, source, target))
            same(source, target)
        if not number:
            mine, theirs = Rounds(size), Rounds(size)
            continue
        say(
            f"round {number}: ours {mine.puts[-1]} in, {mine.gets[-1]} out; "
            f"Tahoe-LAFS {theirs.puts[-1:]} in, {theirs.gets[-1:]} out (MB/s)"
        )
    found: dict[str, object] = {
        "freehold": asdict(mine.speeds()),
        "put_seconds": put_seconds,
        "get_seconds": get_seconds,
        "put_shares": {name: round(part, 3) for name, part in putting.shares().items()},
        "get_shares": {name: round(part, 3) for name, part in getting.shares().items()},
    }
    if grid is not None:
        found["tahoe"] = asdict(theirs.speeds())
        found["put_ratio"] = round(mine.speeds().put / theirs.speeds().put, 1)
        found["get_ratio"] = round(mine.speeds().get / theirs.speeds().get, 1)
    return found


def visit(grid: Grid, source: Path, target: Path) -> tuple[float, float]:
    """Seconds of a put and a get by the peer."""
    os.sync()
    begun = time.perf_counter()
    capability = grid.put(source)
    stored = time.perf_counter() - begun
    os.sync()
    return stored, seconds(partial(grid.get, capability, target))


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Processes stand still for the length of the block."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def small_objects(home: Home, grid: Grid | None, count: int) -> dict[str, object]:
    """Puts a second of 4 KiB objects until all are on the chain, and until all are promised."""
    data = [os.urandom(SMALL) for _ in range(count)]
    options = Options(limits=Limits(count=count + 1))
    with stopped(_of(grid)), client(home, options) as ours:
        promised = seconds(
            lambda: [ours.put(part, f"small/{number}") for number, part in enumerate(data)]
        )
        flushed = seconds(ours.flush)
    found: dict[str, object] = {
        "count": count,
        "promised_per_second": round(count / promised, 1),
        "on_chain_per_second": round(count / (promised + flushed), 1),
    }
    if grid is not None:
        some = data[: max(1, count // 20)]
        with stopped(_pids(home, "*")):
            started = time.perf_counter()
            for part in some:
                grid.put_small(part)
            theirs = time.perf_counter() - started
        found["tahoe_per_second"] = round(len(some) / theirs, 1)
    return found


def memory(home: Home, folder: Path, size: int) -> dict[str, object]:
    """Peak resident MiB of client processes that put and get, and of the nodes."""
    source = folder / "large"
    fresh(source, size)
    found: dict[str, object] = {"mib": size // MIB}
    for step in ("put", "get"):
        command = [sys.executable, __file__, "--home", str(home.root), "--child", step]
        done = subprocess.run(
            [*command, "--source", str(source)], check=True, capture_output=True, text=True
        )
        found[f"{step}_peak_mib"] = json.loads(done.stdout)["peak_mib"]
    same(source, source.with_suffix(".out"))
    found["node_peak_mib"] = max(_peaks(home), default=0)
    return found


def _peaks(home: Home) -> Iterator[int]:
    for pid in _pids(home):
        status = Path(f"/proc/{pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        yield int(line.split()[1]) // 1024


def _pids(home: Home, names: str = "node-*") -> list[int]:
    """The processes of a network: its nodes, or with ``*`` ledger and watcher as well."""
    return [json.loads(r.read_text())["pid"] for r in sorted(home.run.glob(f"{names}.json"))]


def _of(grid: Grid | None) -> list[int]:
    return [] if grid is None else grid.pids()


def child(home: Home, step: str, source: Path) -> None:
    """One put or get in this process; its peak memory on standard output."""
    with client(home) as ours:
        if step == "put":
            ours.put(source, "bench/large", preset=SHAPE)
        else:
            ours.get("bench/large", source.with_suffix(".out"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"peak_mib": peak}))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Everything that was asked for."""
    found: dict[str, object] = {"mib": options.mib, "cores": os.cpu_count()}
    peer: Grid | None = None
    if not options.no_peer:
        peer = Grid(install(options.tahoe or folder / "tahoe"), folder / "grid")
        peer.folder.mkdir()
    with network(folder / "home", 6) as home, peer or nullcontext() as grid:
        with client(home) as ours:
            warm = folder / "warm"
            fresh(warm, 8 * MIB)
            ours.put(warm, "bench/warm", preset=SHAPE)
            found |= race(home, ours, grid, folder, size=options.mib * MIB, rounds=options.rounds)
        found["small"] = small_objects(home, grid, options.small)
        if options.memory:
            found["memory"] = memory(home, folder, 2048 * MIB)
    return found


def show(found: dict[str, object]) -> None:
    """The figures for people."""
    for name, value in found.items():
        print(f"{name:16} {json.dumps(value)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--mib", type=int, default=256, help="MiB of the object")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", type=int, default=1000, help="objects of 4 KiB")
    parser.add_argument("--memory", action="store_true", help="also 2 GiB, for peak memory")
    parser.add_argument("--no-peer", action="store_true", help="without Tahoe-LAFS")
    parser.add_argument("--tahoe", type=Path, help="folder of its environment, kept between runs")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=("put", "get"), help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(Home(options.home), options.child, options.source)
        return 0
    signal.signal(signal.SIGTERM, stop)
    folder = Path(tempfile.mkdtemp(prefix="freehold-bench-", dir=options.folder))
    try:
        found = measure(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found)) if options.json else show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
