from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.markets.storage import commp
from freehold.markets.storage.commp import UNIT_HEIGHT, UNIT_RAW
from freehold.markets.storage.piece import commit
from unit.markets.storage.strategies import seeded

# Root of 2 KiB of zeros, from FilOzone/pdp.
ZERO_2_KIB = "fc7e928296e516faade986b28f92d44a4f24b935485223376a799027bc18f833"


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> commp._Engine:
    engine = commp._Engine()
    monkeypatch.setattr(commp, "_engine", engine)
    return engine


def fr32_bit_by_bit(raw: bytes) -> list[bytes]:
    bits = [byte >> i & 1 for byte in raw for i in range(8)]
    groups = (bits[i : i + 254] for i in range(0, len(bits), 254))
    return [sum(b << i for i, b in enumerate(group)).to_bytes(32, "little") for group in groups]


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=400))
def test_fr32_spreads_254_bits_over_32_bytes(raw: bytes) -> None:
    assert commp.leaves(raw) == fr32_bit_by_bit(raw)


def test_a_node_is_a_truncated_hash() -> None:
    digest = hashlib.sha256(b"l" * 32 + b"r" * 32).digest()
    assert commp.parent(b"l" * 32, b"r" * 32) == digest[:31] + bytes([digest[31] & 0x3F])


def test_padding_comes_from_the_table_of_zero_roots() -> None:
    assert commp.ZERO_ROOTS[6].hex() == ZERO_2_KIB
    assert commp.subtree_root(b"\0", height=20) == commp.ZERO_ROOTS[20]


def test_every_level_holds_only_what_has_payload() -> None:
    levels = commp.levels(commp.leaves(bytes(127 * 5)), start=0, height=UNIT_HEIGHT)
    assert [len(level) for level in levels] == [20, 10, 5, 3, 2, 1, 1, 1, 1, 1, 1, 1]


def test_the_kernel_agrees_with_hashlib_on_whole_units_and_tails() -> None:
    if not commp.warm():
        pytest.skip("no compiler for the kernel here, or FREEHOLD_NO_JIT is set")
    raw = memoryview(seeded(3)(3 * UNIT_RAW))
    assert commp.unit_roots(raw) == commp._plain_roots(raw)
    for size in (1, 126, UNIT_RAW // 16, 40_001, UNIT_RAW):
        tail = raw[:size]
        assert commp.tail_root(tail) == commp.subtree_root(tail, height=UNIT_HEIGHT)


def test_threads_share_the_kernel() -> None:
    data = [seeded(i)(5 * UNIT_RAW + i) for i in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(commit, data * 8))
    assert together == [commit(each) for each in data] * 8


def test_small_inputs_never_load_the_kernel(cold: commp._Engine) -> None:
    commit(seeded(1)(2 * UNIT_RAW))
    assert not cold.tried


def test_a_large_input_loads_the_kernel_first(
    cold: commp._Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(commp, "warm", lambda: asked.append(True))
    commp.expect(commp._COLD_UNITS * UNIT_RAW)
    assert not asked
    commp.expect(commp._COLD_UNITS * UNIT_RAW + 1)
    assert asked


def test_many_small_inputs_load_it_too(
    cold: commp._Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FREEHOLD_NO_JIT", "1")
    cold.cold_units = commp._COLD_UNITS - 1
    unit = memoryview(seeded(2)(UNIT_RAW))
    plain = commp.unit_roots(unit)
    assert not cold.tried
    assert commp.unit_roots(unit) == plain
    assert cold.tried


def test_it_can_be_forbidden(cold: commp._Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_NO_JIT", "1")
    assert not commp.warm()
    assert cold.kernel is None


def test_hashlib_takes_over_where_nothing_compiles(
    cold: commp._Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("FREEHOLD_NO_JIT", raising=False)
    monkeypatch.setitem(sys.modules, "freehold.markets.storage.kernel", None)
    assert not commp.warm()
    assert "install llvmlite" in caplog.text


def test_a_kernel_that_computes_nonsense_is_not_used(
    cold: commp._Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    kernel = pytest.importorskip("freehold.markets.storage.kernel")
    monkeypatch.delenv("FREEHOLD_NO_JIT", raising=False)

    class Wrong:
        def unit_roots(self, raw: memoryview) -> bytes:
            return bytes(32)

    monkeypatch.setattr(kernel.Kernel, "open", lambda cache: Wrong())
    assert not commp.warm(tmp_path)
    assert "wrong on this processor" in caplog.text


def test_importing_it_loads_no_compiler() -> None:
    heavy = "numba numpy llvmlite freehold.markets.storage.kernel"
    program = (
        "import sys, freehold.markets.storage.piece, freehold.markets.storage.proof\n"
        f"print([name for name in {heavy!r}.split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
