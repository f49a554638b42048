from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("llvmlite", reason="the kernel is compiled by llvmlite")

from freehold.markets.storage import commp, kernel
from freehold.markets.storage.commp import NODE, UNIT_RAW
from freehold.markets.storage.kernel import Kernel, Processor
from unit.markets.storage.strategies import seeded

HOST = Processor.host()
PROCESSORS = [Processor("", "", 4), HOST]
if platform.machine() == "x86_64" and HOST.lanes > 8:
    PROCESSORS += [Processor("haswell", "", lanes) for lanes in (8, 16)]

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")
PAGE_END = """
import ctypes, mmap, sys
from pathlib import Path
from freehold.markets.storage.commp import UNIT_RAW
from freehold.markets.storage.kernel import Kernel
area = mmap.mmap(-1, UNIT_RAW // mmap.PAGESIZE * mmap.PAGESIZE + 2 * mmap.PAGESIZE)
base = ctypes.addressof(ctypes.c_char.from_buffer(area))
end = len(area) - mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mprotect(ctypes.c_void_p(base + end), mmap.PAGESIZE, 0) == 0
Kernel.open(Path(sys.argv[1])).unit_roots(memoryview(area)[end - UNIT_RAW : end])
print("read no byte too many")
"""
RACE = """
import sys
from pathlib import Path
from freehold.markets.storage import commp
assert commp.warm(Path(sys.argv[1]))
sys.stdout.write(commp.unit_roots(memoryview(bytes(range(256)) * 254)).hex())
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("code")


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda p: f"{p.name or 'plain'}-{p.lanes}")
def test_every_vector_width_is_exact(processor: Processor, cache: Path) -> None:
    opened = Kernel.open(cache, processor)
    most = 2 * processor.lanes + 1
    raw = memoryview(seeded(4)(most * UNIT_RAW))
    expected = commp._plain_roots(raw)
    for units in {1, 2, processor.lanes - 1, processor.lanes, processor.lanes + 1, most}:
        assert opened.unit_roots(raw[: units * UNIT_RAW]) == expected[: units * NODE]


def test_all_bits_of_a_unit_count(cache: Path) -> None:
    opened = Kernel.open(cache)
    for fill in (0x00, 0xFF, 0x80, 0x01):
        raw = memoryview(bytes([fill]) * UNIT_RAW)
        assert opened.unit_roots(raw) == commp._plain_roots(raw)


def test_more_units_than_one_call_takes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Kernel.open(cache)
    raw = memoryview(seeded(5)(7 * UNIT_RAW))
    whole = opened.unit_roots(raw)
    monkeypatch.setattr(kernel, "_BATCH_UNITS", 3)
    assert opened.unit_roots(raw) == whole


@pytest.mark.parametrize("size", [0, 1, UNIT_RAW - 1, UNIT_RAW + 1])
def test_only_whole_units_are_taken(size: int, cache: Path) -> None:
    with pytest.raises(ValueError, match="whole units"):
        Kernel.open(cache).unit_roots(memoryview(bytes(size)))


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
def test_nothing_beyond_the_last_byte_is_read(cache: Path) -> None:
    Kernel.open(cache)
    done = subprocess.run(
        [sys.executable, "-c", PAGE_END, str(cache)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "read no byte too many\n", done.stderr


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_machine_code_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "new" / "folder"
    Kernel.open(folder)
    monkeypatch.setattr(kernel, "compiled", lambda processor: pytest.fail("compiled again"))
    Kernel.open(folder)
    assert only_file(folder).stat().st_mode & 0o077 == 0 or os.name != "posix"


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied"])
def test_a_damaged_file_is_replaced(
    damage: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = kernel.compiled(HOST)
    monkeypatch.setattr(kernel, "compiled", lambda processor: good)
    Kernel.open(tmp_path)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {"cut": whole[:-9], "emptied": b""}.get(
            damage, whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        )
    )
    Kernel.open(tmp_path)
    assert path.read_bytes() == whole


@posix
def test_code_that_others_could_have_written_is_not_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "code.bin"
    kernel._keep(path, b"code")
    assert kernel._kept(path) == b"code"
    path.chmod(0o666)
    assert kernel._kept(path) is None
    assert "written by others" in caplog.text


def test_a_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = kernel.compiled(HOST)
    monkeypatch.setattr(kernel, "compiled", lambda processor: good)
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    unit = memoryview(bytes(UNIT_RAW))
    assert Kernel.open(blocked / "below").unit_roots(unit) == commp.ZERO_ROOTS[11]
    assert "every start compiles" in caplog.text


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    kernel._keep(tmp_path / "code.bin", b"code")
    assert not list(tmp_path.iterdir())
    assert "every start compiles" in caplog.text


def test_another_processor_has_another_file(tmp_path: Path) -> None:
    names = {kernel._key(HOST), kernel._key(Processor("", "", 4)), kernel._key(HOST)}
    assert len(names) == 2


def test_processes_may_compile_at_the_same_time(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", RACE, str(tmp_path)]] * 3
    racing = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    answers = {process.communicate()[0].decode() for process in racing}
    assert [process.returncode for process in racing] == [0, 0, 0]
    assert answers == {commp._plain_roots(memoryview(bytes(range(256)) * 254)).hex()}
    only_file(tmp_path)
