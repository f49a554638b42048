"""Compile the kernel of ``lanes`` once, keep its machine code, run it without the GIL.

The code is kept under a name that hashes everything it depends on: the module that writes it,
the compiler, the processor. A file that is damaged, or that another user could have written, is
compiled again and never run. Writers may race: each renames a whole file of the same content
into place. Where the folder cannot be written, every process compiles for itself.

LLVM through llvmlite alone costs a process 45 MB of memory and 0.1 CPU-s; numba with the same
kernel in its cache costs 120 MB and 0.5 CPU-s.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, Self

import llvmlite
from llvmlite import binding
from platformdirs import user_cache_path

from freehold.domain.files import write_whole
from freehold.markets.storage.commp import NODE, UNIT_HEIGHT, UNIT_RAW

ENTRY = "freehold_unit_roots"
"""Name of the function ``(raw, units, scratch, roots)`` in the machine code."""

_DIGEST = 32
_MAX_CODE = 1 << 20
_BATCH_UNITS = 256
"""Units (16 MiB) for each call, so that an interrupt is seen within tens of milliseconds."""
_log = logging.getLogger(__name__)


class _Entry(Protocol):
    def __call__(self, raw: int, units: int, scratch: int, roots: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Processor:
    """What to compile for: LLVM's name and features of a processor, and words in a vector.

    With AVX-512 that is two of the machine's vectors: while the one waits for its last
    instruction, which takes two cycles on some processors, the other goes on.
    """

    name: str
    features: str
    lanes: int

    @classmethod
    def host(cls) -> Self:
        """The processor this runs on."""
        try:
            features = binding.get_host_cpu_features()
        except RuntimeError:  # LLVM cannot list them on every platform: compile the plain form.
            return cls("", "", 4)
        present = {name for name, here in features.items() if here}
        lanes = 32 if {"avx512f", "avx512bw"} <= present else 8 if "avx2" in present else 4
        return cls(binding.get_host_cpu_name(), features.flatten(), lanes)


def user_cache() -> Path:
    """Where machine code is kept unless the caller says otherwise."""
    return user_cache_path("freehold", appauthor=False)


class Kernel:
    """Machine code that computes the roots of units; any number of threads may call it."""

    def __init__(self, code: bytes, processor: Processor) -> None:
        self._lanes = processor.lanes
        self._engine = _linked(code, processor)
        kind = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p
        )
        self._entry: _Entry = kind(self._engine.get_function_address(ENTRY))

    @classmethod
    def open(cls, cache: Path, processor: Processor | None = None) -> Self:
        """The kernel for ``processor`` (this one), from ``cache`` or compiled and kept there."""
        chosen = processor or Processor.host()
        path = cache / f"commp-{_key(chosen)}.bin"
        code = _kept(path)
        if code is None:
            code = compiled(chosen)
            _keep(path, code)
        return cls(code, chosen)

    def unit_roots(self, raw: memoryview) -> bytes:
        """The roots, joined, of the whole units that ``raw`` consists of."""
        units, rest = divmod(raw.nbytes, UNIT_RAW)
        if rest or not units:
            raise ValueError(f"{raw.nbytes} bytes are not whole units of {UNIT_RAW}")
        size = scratch_size(self._lanes)
        memory = bytearray(size + (units + self._lanes) * NODE)
        scratch = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        with _address(raw) as source:
            for first in range(0, units, _BATCH_UNITS):
                batch = min(_BATCH_UNITS, units - first)
                roots = scratch + size + first * NODE
                self._entry(source + first * UNIT_RAW, batch, scratch, roots)
        return bytes(memory[size : size + units * NODE])


class _Buffer(ctypes.Structure):
    """CPython's Py_buffer; of its fields only the first is read here."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


@contextmanager
def _address(view: memoryview) -> Iterator[int]:
    """Where the bytes of a contiguous view lie, held there; ctypes alone refuses read-only ones."""
    buffer = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(buffer), 0)
    try:
        yield buffer.buf
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))


def scratch_size(lanes: int) -> int:
    """Bytes of working memory: one group, the levels of a unit, the levels that join a batch."""
    return 64 * lanes + (64 << (UNIT_HEIGHT - 1)) + 64 * lanes * lanes


def compiled(processor: Processor) -> bytes:
    """Machine code (an object file) of the kernel for ``processor``."""
    from freehold.markets.storage import lanes

    machine = _machine(processor)
    module = binding.parse_assembly(lanes.module(processor.lanes))
    module.verify()
    tuning = binding.create_pipeline_tuning_options(speed_level=3)
    builder = binding.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


def _machine(processor: Processor) -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=processor.name, features=processor.features, opt=3, jit=True
    )


def _linked(code: bytes, processor: Processor) -> Any:
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine(processor))
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _key(processor: Processor) -> str:
    source = resources.files("freehold.markets.storage").joinpath("lanes.py").read_bytes()
    made_by = f"{llvmlite.__version__} {binding.llvm_version_info} {binding.get_process_triple()}"
    return hashlib.sha256(source + f"{made_by} {processor}".encode()).hexdigest()[:32]


def _kept(path: Path) -> bytes | None:
    """The code in a file of ours, None if there is none that can be trusted."""
    try:
        with path.open("rb") as file:
            if not _ours(os.fstat(file.fileno())):
                _log.warning("%s may have been written by others: not used; delete it", path)
                return None
            kept = file.read(_MAX_CODE)
    except OSError:  # Absent or unreadable: it is compiled instead.
        return None
    digest, code = kept[:_DIGEST], kept[_DIGEST:]
    return code if code and hashlib.sha256(code).digest() == digest else None


def _ours(status: os.stat_result) -> bool:
    if os.name != "posix":
        return True
    return status.st_uid in {0, os.geteuid()} and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _keep(path: Path, code: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, hashlib.sha256(code).digest() + code)
    except OSError as error:
        _log.warning("cannot keep compiled code in %s (%s): every start compiles", path, error)
