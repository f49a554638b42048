"""DuckDB, held in: one database in memory that touches no file outside the store and no network.

Threat: texts from outside (names of devices and metrics) reach queries. They are bound, never
part of the SQL; and the database can neither load extensions, nor read or write elsewhere, nor be
told otherwise once it is open.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import CapacityError, FreeholdError, UnavailableError, UsageError
from freehold.telemetry.store.limits import StoreLimits

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Table = Mapping[str, NDArray[np.generic]]
Value = str | int | float | None
Row = tuple[Value, ...]
Bound = list[object]
"""Values for the question marks of a statement."""
_FULL = ("no space left", "file too large", "disk quota", "max_temp_directory_size")


class Engine:
    """A database in memory for the files below ``folder``; every method from any thread.

    Raises UnavailableError where DuckDB is not installed.
    """

    def __init__(self, folder: Path, *, limits: StoreLimits) -> None:
        if set("*?[]{}") & set(str(folder)):
            raise UsageError(
                f"{folder} has a character that stands for many names",
                remedy="Use a folder without * ? [ ] { } in its path.",
            )
        try:
            import duckdb
        except ImportError as error:
            raise UnavailableError(
                "readings are kept with DuckDB, which is not installed",
                remedy="pip install 'freehold[ops]'",
            ) from error
        self._kind: type[Exception] = duckdb.Error
        self._memory: type[Exception] = duckdb.OutOfMemoryException
        self._interrupt: type[Exception] = duckdb.InterruptException
        spill = folder / "spill"
        self._database = duckdb.connect(
            ":memory:",
            config={
                "threads": limits.threads,
                "memory_limit": f"{limits.memory_mb}MB",
                "temp_directory": str(spill),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        quoted = str(folder).replace("'", "''")
        self._database.execute(f"SET allowed_directories=['{quoted}']")
        self._database.execute("SET enable_external_access=false")
        self._database.execute("SET enable_progress_bar=false")
        self._database.execute("SET lock_configuration=true")

    @contextmanager
    def cursor(
        self, tables: Mapping[str, Table] | None = None, *, seconds: float | None = None
    ) -> Iterator[DuckDBPyConnection]:
        """A connection of its own that sees ``tables`` by their names and is interrupted after
        ``seconds``; DuckDB's own errors pass."""
        cursor = self._database.cursor()
        timer = None if seconds is None else threading.Timer(seconds, cursor.interrupt)
        try:
            if timer is not None:
                timer.daemon = True
                timer.start()
            for name, table in (tables or {}).items():
                cursor.register(name, dict(table))
            yield cursor
        finally:
            if timer is not None:
                timer.cancel()
                timer.join()
            cursor.close()

    @property
    def error(self) -> type[Exception]:
        """What DuckDB raises."""
        return self._kind

    def refusal(self, error: Exception) -> FreeholdError | None:
        """The limit that ``error`` tells of, if it is one."""
        text = str(error)
        if any(sign in text.lower() for sign in _FULL):
            return full()
        if isinstance(error, self._interrupt):
            return CapacityError(
                "the answer took longer than the store allows",
                remedy="Ask for fewer devices, a shorter time or a longer step.",
            )
        if isinstance(error, self._memory):
            return CapacityError(
                "the question needs more memory than the store may use",
                remedy="Ask for fewer devices, a shorter time or a longer step.",
            )
        return None

    def close(self) -> None:
        """Let go of the memory."""
        self._database.close()


def full() -> CapacityError:
    """No room for more readings."""
    return CapacityError(
        "the disk has no room left for readings",
        remedy="Free space, or keep readings for fewer days; what was kept is whole.",
    )


def texts(values: tuple[str, ...]) -> NDArray[np.object_]:
    """A column of texts as DuckDB reads it fastest."""
    column = np.empty(len(values), object)
    column[:] = values
    return column
