"""What was committed to survives, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freehold.control.consensus import TOLD_MAX, VALUE_MAX, Observation
from freehold.domain.errors import IntegrityError
from freehold.domain.ids import checksum
from freehold.node.watcher.observe.vault import FILE, Sealed, Vault

MOST = tuple(
    Observation(checksum(bytes([number]) * 20), bytes([number]) * 32, -VALUE_MAX)
    for number in range(TOLD_MAX)
)
SEALED = Sealed(2**40, b"\x07" * 32, MOST)


def test_the_largest_comes_back(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    assert vault.load() is None
    vault.keep(SEALED)
    assert Vault(tmp_path).load() == SEALED
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"round": "1"}, {"salt": "0x07"}, {"told": "x"}, {"told": ["x"]},
        {"told": [f"{MOST[0].subject} zz 1"]}, {"told": [1]}, {"revealed": 1}, {"salt": None},
    ],
)  # fmt: skip
def test_what_is_no_such_thing_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    Vault(tmp_path).keep(Sealed(1, b"\x07" * 32, MOST[:1]))
    fields = json.loads((tmp_path / FILE).read_text()) | change
    (tmp_path / FILE).write_text(json.dumps(fields))
    with pytest.raises(IntegrityError, match="is damaged"):
        Vault(tmp_path).load()


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b"[" * 70_000])
def test_neither_is_rubbish(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / FILE).write_bytes(raw)
    with pytest.raises(IntegrityError):
        Vault(tmp_path).load()
