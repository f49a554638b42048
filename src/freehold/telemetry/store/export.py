"""Readings for other programs: one file of Parquet, CSV, or a JSON object a line."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from freehold.domain.errors import ConflictError, UnavailableError, UsageError
from freehold.domain.files import sync_folder
from freehold.telemetry.store import sql
from freehold.telemetry.store.ask import Ask
from freehold.telemetry.store.engine import Engine, full
from freehold.telemetry.store.reader import Reader
from freehold.telemetry.store.shelf import Shelf

OPTIONS = {
    "parquet": "FORMAT parquet, CODEC ZSTD, USE_TMP_FILE false",
    "csv": "FORMAT csv, HEADER true, USE_TMP_FILE false",
    "json": "FORMAT json, USE_TMP_FILE false",
}


def write(
    path: Path, format: str, asked: Ask, *, engine: Engine, reader: Reader, shelf: Shelf
) -> int:
    """Write the answer to the new file ``path``; its bytes. A failure leaves nothing there.

    Raises ConflictError where the file is there, CapacityError for a full disk.
    """
    if format not in OPTIONS:
        raise UsageError(f"no format is called {format}", remedy="Use parquet, csv or json.")
    if path.exists():
        raise ConflictError(f"{path} is there already", remedy="Give another name.")
    inside = shelf.root / "exports" / secrets.token_hex(8)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _copy(inside, format, asked, engine, reader, shelf)
        # DuckDB may write inside the store only; the target may be on another disk
        shutil.move(inside, beside)
        beside.replace(path)
        sync_folder(path.parent)
        return path.stat().st_size
    except OSError as error:
        if error.errno == 28:
            raise full() from error
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror}", remedy="Check the folder."
        ) from error
    finally:
        inside.unlink(missing_ok=True)
        beside.unlink(missing_ok=True)


def _copy(
    inside: Path, format: str, asked: Ask, engine: Engine, reader: Reader, shelf: Shelf
) -> None:
    with reader.snapshot(asked) as entries:
        text, bound = reader.statement(asked, entries) or _nothing(asked)
        try:
            with engine.cursor(sql.tables(asked)) as cursor:
                copy = f"COPY ({text}) TO ? ({OPTIONS[format]})"
                cursor.execute(copy, [*bound, str(inside)]).fetchall()
        except engine.error as error:
            raise shelf.failure(error, entries) from error


def _nothing(asked: Ask) -> sql.Part:
    columns = sql.SPANS if asked.step else sql.READINGS
    return f"SELECT {', '.join(f'NULL AS {name}' for name in columns)} LIMIT 0", []
