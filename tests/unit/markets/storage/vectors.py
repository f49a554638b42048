"""Numbers that other implementations agree on, from every folder in ``FREEHOLD_VECTORS``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_DEFAULT = Path(__file__).resolve().parents[4].parent / "shared" / "vectors"


def folders() -> list[Path]:
    """The folders to read, whether or not they are there."""
    named = os.environ.get("FREEHOLD_VECTORS", "")
    return [Path(name) for name in named.split(":") if name] or [_DEFAULT]


def matching(known: Callable[[dict[str, Any]], bool]) -> list[Any]:
    """Every vector file whose content ``known`` recognises, as parameters of a test."""
    found = [
        pytest.param(content, id=f"{path.parent.name}-{path.stem}")
        for path, content in _contents()
        if known(content)
    ]
    missing = ", ".join(str(folder) for folder in folders())
    absent = pytest.mark.skip(reason=f"no such vector file in {missing}")
    return found or [pytest.param({}, marks=absent, id="absent")]


def _contents() -> Iterator[tuple[Path, dict[str, Any]]]:
    for folder in folders():
        for path in sorted(folder.glob("*.json")):
            content = json.loads(path.read_text())
            if isinstance(content, dict):
                yield path, content


def payload(file: dict[str, Any], case: dict[str, Any]) -> bytes:
    """The payload of one CommP case: a constant, or a chain of hashes cut to size."""
    size = int(case["size"])
    if "fill" in case:
        return size * bytes([int(case["fill"])])
    described = f"{case.get('payload', '')} {file.get('payload', '')}"
    if "sha512" not in described.lower().replace("-", ""):
        pytest.fail(f"no known payload generator: {described!r}")
    return hash_chain(size)


def hash_chain(size: int) -> bytes:
    """``x0 = sha512("")``, ``x(i+1) = sha512(x(i))``, joined and cut to ``size`` bytes."""
    chain, link = bytearray(), b""
    while len(chain) < size:
        link = hashlib.sha512(link).digest()
        chain += link
    return bytes(chain[:size])
