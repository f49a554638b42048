"""The Parquet files: written whole or not at all, removed when nobody reads them any more."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path

from freehold.domain.errors import CapacityError, FreeholdError, IntegrityError, UnavailableError
from freehold.domain.files import sync_folder
from freehold.telemetry.store.engine import Engine, Table, full
from freehold.telemetry.store.limits import DAY, StoreLimits
from freehold.telemetry.store.manifest import FOLDERS, Entry, Level, Manifest
from freehold.telemetry.store.sql import Part

SUFFIX = ".parquet"


class Shelf:
    """The files below ``root``; every method from any thread."""

    def __init__(
        self, root: Path, *, engine: Engine, manifest: Manifest, limits: StoreLimits
    ) -> None:
        self.root = root
        self._engine = engine
        self._manifest = manifest
        self._limits = limits
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._doomed: set[str] = set()

    def write(
        self,
        part: Part,
        *,
        level: Level,
        day: int,
        tables: Mapping[str, Table] | None = None,
        metrics: tuple[str, ...] = (),
        quick: bool = False,
    ) -> Entry:
        """Put the rows of ``part`` into a new file, durable on return, which does not count yet.

        Raises CapacityError, and then nothing of it remains.
        """
        self._check_room()
        folder = self.root / FOLDERS[level] / f"day={_date(day)}"
        if not folder.exists():
            folder.mkdir(parents=True)
            sync_folder(folder.parent)
        path = folder / (secrets.token_hex(8) + SUFFIX)
        temporary = path.with_suffix(".tmp")
        try:
            stats = self._copy(part, temporary, tables, "SNAPPY" if quick else "ZSTD")
            size, digest = _seal(temporary)
            temporary.replace(path)
        except OSError as error:
            raise _disk(error, path) from error
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(folder)
        name = str(path.relative_to(self.root))
        rows, first, last, low, high = stats
        return Entry(name, level, day, first, last, rows, size, low, high, metrics, False, digest)

    def _copy(
        self, part: Part, path: Path, tables: Mapping[str, Table] | None, codec: str
    ) -> tuple[int, int, int, str, str]:
        options = f"FORMAT parquet, CODEC {codec}, USE_TMP_FILE false"
        try:
            with self._engine.cursor(tables) as cursor:
                copy = f"COPY ({part[0]}) TO ? ({options})"
                # a statement has run only once its result was fetched
                cursor.execute(copy, [*part[1], str(path)]).fetchall()
                cursor.execute(
                    "SELECT count(*), min(time), max(time), min(device), max(device) "
                    "FROM read_parquet(?)",
                    [[str(path)]],
                )
                (found,) = cursor.fetchall()
        except self._engine.error as error:
            raise self._engine.refusal(error) or _unwritten(error) from error
        rows, first, last, low, high = found
        return int(rows), int(first or 0), int(last or 0), str(low or ""), str(high or "")

    def settle(
        self,
        *,
        add: Sequence[Entry],
        drop: Sequence[Entry] = (),
        fold: Sequence[Entry] = (),
        segment: tuple[str, int] | None = None,
    ) -> None:
        """Let ``add`` count and ``drop`` not any more, at once; see ``Manifest.change``."""
        try:
            self._manifest.change(add=add, drop=drop, fold=fold, segment=segment)
        except FreeholdError:
            self.discard(add)
            raise
        self._remove([entry.name for entry in drop])

    def discard(self, entries: Sequence[Entry]) -> None:
        """Remove files that do not count."""
        counted = self._manifest.names()
        self._remove([entry.name for entry in entries if entry.name not in counted])

    @contextmanager
    def hold(self, choose: Callable[[], list[Entry]]) -> Iterator[list[Entry]]:
        """What ``choose`` returns, kept on disk while the block runs, even when it no longer
        counts. Nothing is removed while it chooses."""
        with self._lock:
            entries = choose()
            names = [entry.name for entry in entries]
            self._held.update(names)
        try:
            yield entries
        finally:
            self._release(names)

    def _release(self, names: Sequence[str]) -> None:
        with self._lock:
            self._held.subtract(names)
            free = [name for name in names if not self._held[name]]
            for name in free:
                del self._held[name]
            self._unlink(self._doomed.intersection(free))

    def _remove(self, names: Sequence[str]) -> None:
        with self._lock:
            self._doomed.update(names)
            self._unlink({name for name in names if name not in self._held})

    def _unlink(self, names: set[str]) -> None:
        for name in names:
            (self.root / name).unlink(missing_ok=True)
        self._doomed -= names

    def sweep(self) -> None:
        """Remove what a crash left: files that do not count, and what DuckDB spilled."""
        counted = self._manifest.names()
        for folder in FOLDERS.values():
            for path in (self.root / folder).glob("day=*/*"):
                if str(path.relative_to(self.root)) not in counted:
                    path.unlink()
        shutil.rmtree(self.root / "spill", ignore_errors=True)
        for path in (self.root / "exports").glob("*"):
            path.unlink()

    def tidy_folders(self) -> None:
        """Remove the folders of days that have no file left."""
        for folder in FOLDERS.values():
            for path in (self.root / folder).glob("day=*"):
                if not any(path.iterdir()):
                    path.rmdir()

    def check(self, entry: Entry) -> None:
        """Raise IntegrityError unless the file has the bytes that were written."""
        path = self.root / entry.name
        try:
            with path.open("rb") as file:
                whole = file_digest(file, "sha256").digest() == entry.digest
        except OSError as error:
            raise _damaged(entry, str(error.strerror)) from error
        if not whole:
            raise _damaged(entry, "its bytes are not those that were written")

    def set_aside(self, entries: Sequence[Entry]) -> None:
        """Move files to ``damaged/``; they no longer count."""
        folder = self.root / "damaged"
        folder.mkdir(exist_ok=True)
        self._manifest.change(drop=entries)
        for entry in entries:
            path = self.root / entry.name
            if path.exists():
                path.replace(folder / path.name)

    def check_sizes(self, entries: Sequence[Entry]) -> None:
        """Raise IntegrityError for a file that is gone, or longer or shorter than it was."""
        for entry in entries:
            try:
                size = (self.root / entry.name).stat().st_size
            except OSError as error:
                raise _damaged(entry, str(error.strerror)) from error
            if size != entry.size:
                raise _damaged(entry, f"it has {size:,} bytes instead of {entry.size:,}")

    def failure(self, error: Exception, entries: Sequence[Entry]) -> FreeholdError:
        """Why DuckDB failed on these files: a limit, a damaged file by its name, or its words."""
        refusal = self._engine.refusal(error)
        if refusal is not None:
            return refusal
        for entry in entries:
            try:
                self.check(entry)
            except IntegrityError as damage:
                return damage
        return UnavailableError(
            f"the readings cannot be read: {str(error)[:200]}",
            remedy="Try again; if it stays so, check the disk and its permissions.",
        )

    def _check_room(self) -> None:
        limits = self._limits
        if limits.bytes and self._manifest.bytes() >= limits.bytes:
            raise CapacityError(
                f"the store holds the {limits.bytes:,} bytes that it may take",
                remedy="Allow it more, or keep readings for fewer days.",
            )
        if shutil.disk_usage(self.root).free < limits.spare:
            raise full()


def _seal(path: Path) -> tuple[int, bytes]:
    """Size and SHA-256 of a file that is now on the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size, file_digest(file, "sha256").digest()


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY / 1000, UTC).strftime("%Y-%m-%d")


def _disk(error: OSError, path: Path) -> FreeholdError:
    if error.errno in {27, 28, 122}:  # EFBIG, ENOSPC, EDQUOT
        return full()
    return UnavailableError(
        f"{path} cannot be written: {error.strerror}", remedy="Check the disk and its permissions."
    )


def _unwritten(error: Exception) -> FreeholdError:
    return UnavailableError(
        f"readings cannot be written: {str(error)[:200]}",
        remedy="Check the disk and its permissions; what was kept before is whole.",
    )


def _damaged(entry: Entry, why: str) -> IntegrityError:
    return IntegrityError(
        f"{entry.name} is damaged: {why}",
        remedy="Restore it from a backup, or set it aside: the others stay readable.",
    )
