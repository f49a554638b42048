"""Names that a user gives: of an object that is there, of a new one, and of the file it goes to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.domain.errors import ConflictError, NotFoundError, UsageError

if TYPE_CHECKING:
    from freehold.client.client import Client
    from freehold.client.view import Named

_NAME_MAX = 255
"""Bytes that file systems take as a file's name."""


def find_object(client: Client, name: str) -> Named:
    """The account's object of that name; NotFoundError, which knows a folder from nothing."""
    found = client.ls(name) if name.strip("/") else []
    for named in found:
        if named.name == name:
            return named
    if not found:
        raise NotFoundError(
            f"there is no object {name!r}", remedy="List what there is with `freehold ls`."
        )
    folder = name.rstrip("/") + "/"
    many = "1 object" if len(found) == 1 else f"{len(found):,} objects"
    raise NotFoundError(
        f"{name!r} is a folder of {many}, and no object itself",
        remedy=f"List them with `freehold ls {folder}`, and name one, such as {found[0].name!r}.",
    )


def check_new(name: str) -> None:
    """UsageError for a new name without a folder; it says what names look like."""
    if "/" not in name:
        raise UsageError(
            f"{name!r} does not name an object: it lies in no folder",
            remedy=f"Names on the network have a folder and a slash, like files/{name or 'a.txt'}.",
        )


def local_file(name: str) -> Path:
    """Where an object goes when the user names no file: into this folder, under its last part.

    UsageError when that is no proper file name.
    """
    last = name.rpartition("/")[2]
    if last in ("", ".", "..") or not last.isprintable() or len(last.encode()) > _NAME_MAX:
        raise UsageError(
            f"{name!r} does not end in a file name", remedy="Say where to write it: get NAME FILE."
        )
    return Path(last)


def choose_file(file: Path | None, name: str, *, force: bool) -> Path:
    """``file``, or the object's own in this folder; ConflictError where that one, which the user
    did not name, would be overwritten without ``force``."""
    if file is not None:
        return file
    own = local_file(name)
    if os.path.lexists(own) and not force:
        raise ConflictError(
            f"there is a file {str(own)!r} here already",
            remedy="Say where to write it, `freehold get NAME FILE`, or overwrite it with --force.",
        )
    return own
