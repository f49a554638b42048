"""What a put stores: the files that the user named, and the name that each gets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.errors import CapacityError, UsageError
from freehold.markets.storage import names

PIPE = "-"
DIRECTORY = "files"
"""Where objects go for which the user names no place."""
MAX_FILES = 100_000


@dataclass(frozen=True, slots=True)
class Item:
    """One object to store: ``path`` is None for standard input, whose ``size`` is unknown (0)."""

    path: Path | None
    name: str
    size: int


def collect(given: Sequence[str], to: str | None) -> list[Item]:
    """The objects that ``put GIVEN... --to TO`` means, by name.

    Two paths of which only the first exists are a source and its name; else all are sources, and
    keep their own names under ``to``. UsageError for what is no source or no name, or means two
    things at once.
    """
    if not given:
        raise UsageError(
            "there is nothing to store", remedy="Name files or folders, or --flush what waits."
        )
    if len(given) == 2 and to is None and _is_name(*given):
        items = list(_named(given[0], given[1]))
    else:
        items = [item for source in given for item in _placed(source, to or DIRECTORY)]
    return _checked(items)


def _is_name(source: str, second: str) -> bool:
    """Whether the second of two paths is the first one's name on the network."""
    if source == PIPE or not os.path.lexists(second):
        return True
    if os.path.exists(source) and os.path.samefile(source, second):
        return True
    raise UsageError(
        f"{second!r} is a file here and could be a name as well",
        remedy=f"To store both: put {source} {second} --to {DIRECTORY}. To store the first under "
        "that name, go to another folder, or choose another name.",
    )


def _named(source: str, name: str) -> Iterator[Item]:
    path = Path(source)
    if source != PIPE and path.is_dir():
        yield from _below(path, name.rstrip("/"))
    else:
        yield _item(source, name)


def _placed(source: str, directory: str) -> Iterator[Item]:
    path, place = Path(source), directory.rstrip("/")
    if source == PIPE:
        raise UsageError(
            "standard input has no name", remedy="Give the name as second argument: put - NAME."
        )
    if path.is_dir():
        yield from _below(path, f"{place}/{path.resolve().name}")
    else:
        yield _item(source, f"{place}/{path.name}")


def _below(folder: Path, prefix: str) -> Iterator[Item]:
    """Every file of a folder and of those below it; links are left out, they may lead anywhere."""
    found = 0
    for place, folders, files in os.walk(folder, onerror=_unreadable):
        folders.sort()
        for file in sorted(files):
            path = Path(place) / file
            if path.is_symlink() or not path.is_file():
                continue
            found += 1
            if found > MAX_FILES:
                raise CapacityError(
                    f"{folder} holds more than {MAX_FILES:,} files",
                    remedy="Store its folders one at a time, or pack it into an archive.",
                )
            yield _item(str(path), f"{prefix}/{path.relative_to(folder).as_posix()}")
    if not found:
        raise UsageError(f"{folder} holds no files", remedy="Name a folder that does.")


def _unreadable(error: OSError) -> None:
    raise UsageError(
        f"{error.filename} cannot be read: {error.strerror}",
        remedy="Run as a user who may read it, or name other files.",
    ) from error


def _item(source: str, name: str) -> Item:
    if source == PIPE:
        return Item(None, name, 0)
    path = Path(source)
    if not path.is_file():
        raise UsageError(
            f"{source} is not a file", remedy="Name files or folders that exist, or -."
        )
    return Item(path, name, path.stat().st_size)


def _checked(items: list[Item]) -> list[Item]:
    seen: dict[str, Item] = {}
    for item in items:
        names.check_new(item.name)
        if item.name in seen:
            raise UsageError(
                f"{seen[item.name].path} and {item.path} would both be {item.name!r}",
                remedy="Store them one at a time, each with a name of its own.",
            )
        seen[item.name] = item
    return items
