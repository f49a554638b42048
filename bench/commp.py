"""Piece commitments: MB of payload per CPU-second, ours and the same machine's hashlib.

Peers in the same run: our exact fallback on hashlib, and plain SHA-256 of the payload, which
hashes every byte once: the tree runs the compression function four times as often. Run
``uv run python bench/commp.py --json``; sizes are MiB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec

from freehold.markets.storage import commp
from freehold.markets.storage.piece import Committer, commit
from freehold.markets.storage.proof import CachedTree, prove

MIB = 1 << 20
FALLBACK_MIB = 4
"""hashlib's speed does not depend on the size: it is measured on at most this much."""


@dataclass(frozen=True, slots=True)
class Row:
    """One size in MiB; speeds in MB (10^6 bytes) of payload per CPU-second of one thread."""

    size_mib: int
    commit: float
    streamed_64_kib: float
    hashlib_tree: float
    plain_sha256: float
    times_hashlib_tree: float
    two_threads_wall: float
    five_proofs_ms: float


def speed(size: int, run: Callable[[], object], repeats: int) -> float:
    """The best of ``repeats`` runs: the others were disturbed."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return size / min(seconds) / 1e6


def stream(data: bytes) -> None:
    committer = Committer(len(data))
    view = memoryview(data)
    for start in range(0, len(data), 1 << 16):
        committer.update(view[start : start + (1 << 16)])
    committer.finish()


def plain(data: bytes) -> None:
    view = memoryview(data)
    for start in range(0, len(view), commp.UNIT_RAW):
        commp.subtree_root(view[start : start + commp.UNIT_RAW], height=commp.UNIT_HEIGHT)


def two_threads(data: bytes) -> float:
    """MB per second of wall clock of two columns hashed side by side."""
    threads = [threading.Thread(target=commit, args=(data,)) for _ in range(2)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 2 * len(data) / (time.perf_counter() - start) / 1e6


def five_proofs(data: bytes) -> float:
    """CPU-milliseconds to load a cached tree and prove a leaf, five times."""
    roots = bytearray()
    committer = Committer(len(data), sink=roots.extend)
    committer.update(data)
    tree = CachedTree.of(committer.finish(), bytes(roots))
    form, leaves = tree.to_bytes(), 1 << tree.piece.height
    start = time.process_time()
    for i in range(5):
        loaded = CachedTree.load(form, tree.piece)
        prove(leaves * i // 10, loaded, lambda offset, length: data[offset : offset + length])
    return (time.process_time() - start) * 1e3


def measure(size_mib: int, repeats: int) -> Row:
    data = random.Random(size_mib).randbytes(size_mib * MIB)
    ours = speed(len(data), lambda: commit(data), repeats)
    few = data[: FALLBACK_MIB * MIB]
    tree = speed(len(few), lambda: plain(few), 1)
    return Row(
        size_mib=size_mib,
        commit=round(ours, 1),
        streamed_64_kib=round(speed(len(data), lambda: stream(data), repeats), 1),
        hashlib_tree=round(tree, 1),
        plain_sha256=round(speed(len(data), lambda: hashlib.sha256(data).digest(), repeats), 1),
        times_hashlib_tree=round(ours / tree, 1),
        two_threads_wall=round(two_threads(data), 1),
        five_proofs_ms=round(five_proofs(data), 1),
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="bench/commp.py")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sizes", default="1,16,64", help="payload sizes in MiB, by commas")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, the best counts")
    return parser.parse_args()


def kernel_form(compiled: bool) -> str:
    if not compiled or find_spec("llvmlite") is None:
        return "hashlib"
    from freehold.markets.storage.kernel import Processor

    host = Processor.host()
    return f"{host.name or 'plain'}, {host.lanes} lanes"


def main() -> None:
    options = arguments()
    start = time.process_time()
    compiled = commp.warm()
    warmed = time.process_time() - start
    sizes = [int(size) for size in options.sizes.split(",")]
    rows = [measure(size, options.repeats) for size in sizes]
    form = kernel_form(compiled)
    if options.json:
        result = {"kernel": form, "warm_cpu_s": round(warmed, 3), "rows": list(map(asdict, rows))}
        json.dump(result, sys.stdout, indent=1)
        print()
        return
    print(f"kernel: {form}; ready after {warmed:.2f} CPU-s; MB of payload per CPU-second")
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in asdict(row).items()))


if __name__ == "__main__":
    main()
