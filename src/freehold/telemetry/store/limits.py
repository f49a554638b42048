"""What a store may take and give."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
TIME_END = 253_402_300_800_000
"""Milliseconds from 1970 to the year 10000, the first that a day's name cannot hold."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """``memory_mb`` and ``threads`` of DuckDB; ``bytes`` that the files may take (0: what the disk
    has) and ``spare`` bytes that stay free; ``rows`` of one answer in batches of ``batch``;
    ``files`` one question may open; ``merge_rows`` and ``merge_files`` of one merge; ``days`` with
    files of their own in one segment, older readings share one; ``names`` of devices or metrics
    in one question; ``seconds`` that the answer for a day, read by its caller, may take."""

    memory_mb: int = 512
    threads: int = 1
    bytes: int = 0
    spare: int = 64 << 20
    rows: int = 1_000_000
    batch: int = 65_536
    files: int = 20_000
    merge_rows: int = 4_000_000
    merge_files: int = 256
    days: int = 32
    names: int = 100_000
    seconds: float = 120.0
