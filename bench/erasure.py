"""Erasure and seal: MB of data per CPU-second, ours beside peers on the same bytes.

Peers in the same run: pyeclib's own calls of the same ISA-L (headers and copies included),
zfec where it is installed, and SHA-256 of the data as a yardstick of the machine. Decoding has
the first n - k data shards missing (all k where n > 2k). Run
``uv run python bench/erasure.py --json``; sizes are MiB of data.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from freehold.markets.storage import galois
from freehold.markets.storage.erasure import PRESETS, Code, room
from freehold.markets.storage.seal import open_into, open_segment, seal_into, seal_segment

MIB = 1 << 20
KEY, OBJECT_ID = bytes(32), bytes(range(32))


@dataclass(frozen=True, slots=True)
class Row:
    """Speeds in MB (10^6 bytes) of data per CPU-second; 0 where the tool has no such call."""

    tool: str
    code: str
    encode: float
    decode: float
    healthy: float
    rebuild: float


Speed = Callable[..., float]


def stopwatch(size: int, repeats: int) -> Speed:
    """Measures a call on ``size`` bytes: the best of ``repeats``, the others were disturbed."""

    def speed(call: Callable[..., object], *arguments: object) -> float:
        seconds = []
        for _ in range(repeats):
            start = time.process_time()
            call(*arguments)
            seconds.append(time.process_time() - start)
        return round(size / min(seconds) / 1e6, 1)

    return speed


def ours(kernel: galois.Kernel, data: bytes, speed: Speed) -> Iterator[Row]:
    """One row a preset; a rebuilt shard's speed counts the k shards that are read."""
    for k, n in PRESETS:
        code = Code(k, n, kernel)
        shards = dict(enumerate(code.encode(data)))
        damaged = {i: shard for i, shard in shards.items() if i >= min(k, n - k)}
        yield Row(
            f"freehold, {kernel.name}",
            f"{k} of {n}",
            speed(code.encode, data),
            speed(code.decode, damaged, len(data)),
            speed(code.decode, shards, len(data)),
            speed(code.rebuild, damaged, 0),
        )


def pyeclib(data: bytes, speed: Speed) -> Iterator[Row]:
    """The peer that wraps the same library."""
    if find_spec("pyeclib") is None:
        return
    driver_of = import_module("pyeclib.ec_iface").ECDriver
    for k, n in PRESETS:
        driver = driver_of(k=k, m=n - k, ec_type="isa_l_rs_cauchy")
        shards = driver.encode(data)
        damaged = shards[min(k, n - k) :]
        yield Row(
            "pyeclib, isa_l_rs_cauchy",
            f"{k} of {n}",
            speed(driver.encode, data),
            speed(driver.decode, damaged),
            speed(driver.decode, shards),
            speed(driver.reconstruct, damaged, [0]),
        )


def zfec(data: bytes, speed: Speed) -> Iterator[Row]:
    """The coder of Tahoe-LAFS, where it is installed."""
    if find_spec("zfec") is None:
        return
    module = import_module("zfec")
    for k, n in PRESETS:
        size = len(data) // k
        parts = [data[i * size : (i + 1) * size] for i in range(k)]
        encoder, decoder = module.Encoder(k, n), module.Decoder(k, n)
        kept = list(range(n))[min(k, n - k) :][:k]
        shards = encoder.encode(parts)
        blocks = [shards[i] for i in kept]
        encoding, decoding = speed(encoder.encode, parts), speed(decoder.decode, blocks, kept)
        yield Row("zfec", f"{k} of {n}", encoding, decoding, 0, 0)


def seals(data: bytes, speed: Speed) -> dict[str, float]:
    """Sealing and opening, in fresh memory and in memory at hand; SHA-256 as the yardstick."""
    seal = partial(seal_segment, key=KEY, object_id=OBJECT_ID, index=0, count=1)
    seal_at = partial(seal_into, key=KEY, object_id=OBJECT_ID, index=0, count=1)
    unseal = partial(open_segment, key=KEY, object_id=OBJECT_ID, index=0, count=1)
    unseal_at = partial(open_into, key=KEY, object_id=OBJECT_ID, index=0, count=1)
    sealed = seal(data)
    target = room(len(sealed))
    return {
        "seal": speed(seal, data),
        "seal_into": speed(seal_at, target, data),
        "open": speed(unseal, sealed),
        "open_into": speed(unseal_at, target, sealed),
        "plain_sha256": speed(hashlib.sha256, data),
    }


def show(rows: list[Row], sealing: dict[str, float]) -> None:
    print(f"{'MB per CPU-second':26} {'code':9} encode  decode  healthy  rebuild")
    for row in rows:
        print(
            f"{row.tool:26} {row.code:9} {row.encode:6.0f}  {row.decode:6.0f}"
            f"  {row.healthy:7.0f}  {row.rebuild:7.0f}"
        )
    print("  ".join(f"{name} {value:.0f}" for name, value in sealing.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--mib", type=int, default=64, help="MiB of data")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    data = random.Random(1).randbytes(options.mib * MIB)
    speed = stopwatch(len(data), options.repeats)
    kernels: list[galois.Kernel] = [galois.kernel()]
    if kernels[0].name != galois.NumpyKernel.name:
        kernels.append(galois.NumpyKernel())
    rows = [row for kernel in kernels for row in ours(kernel, data, speed)]
    rows += [*pyeclib(data, speed), *zfec(data, speed)]
    sealing = seals(data, speed)
    if options.json:
        print(json.dumps({"mib": options.mib, "rows": [asdict(r) for r in rows], "seal": sealing}))
    else:
        show(rows, sealing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
