"""Templates of subnets: folders that run as they are, for founders to copy and change."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from freehold.domain.errors import ConflictError, NotFoundError
from freehold.domain.files import PUBLIC, write_whole

_ABOUT = {
    "image": "image recognition: a small network trained on handwritten digits, served as ONNX",
    "text": "a language model trained on the spot, scored by bits per character",
    "forecast": "forecasts of a series, scored against what then happened",
}
_SUFFIXES = {".py", ".toml", ".md", ".csv"}
_LAST = "subnet.toml"
"""Written last: a folder that has it is whole."""


def names() -> tuple[str, ...]:
    """What ``write`` knows."""
    return tuple(_ABOUT)


def describe(name: str) -> str:
    """One line about a template; NotFoundError where there is none of this name."""
    if name not in _ABOUT:
        raise NotFoundError(
            f"there is no template {name}", remedy=f"Take one of {', '.join(_ABOUT)}."
        )
    return _ABOUT[name]


def write(name: str, folder: Path) -> list[Path]:
    """Write a template into ``folder``, which is made where it is missing; the files' paths.

    Nothing is ever overwritten: ConflictError, before anything is written, where a file of the
    same name has other content. What an interrupted call has left is completed by the next.
    NotFoundError where there is no such template.
    """
    contents = _contents(name)
    taken = [file for file in contents if not _free(folder / file, contents[file])]
    if taken or (folder.exists() and not folder.is_dir()):
        raise ConflictError(
            f"{folder} has {', '.join(taken)} already" if taken else f"{folder} is no folder",
            remedy="Name a new folder; nothing was written.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in contents.items():
        _write_new(folder / file, data)
    return [folder / file for file in contents]


def _contents(name: str) -> dict[str, bytes]:
    describe(name)
    found = sorted(
        (entry for entry in (files(__name__) / name).iterdir() if _belongs(entry)),
        key=lambda entry: (entry.name == _LAST, entry.name),
    )
    return {entry.name: entry.read_bytes() for entry in found}


def _belongs(entry: Traversable) -> bool:
    """Whether a file is part of the template, and not something that was made by running it."""
    path = Path(entry.name)
    return entry.is_file() and path.suffix in _SUFFIXES and not path.name.startswith(("_", "."))


def _free(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def _write_new(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data, mode=PUBLIC, replace=False)
    except FileExistsError as error:
        if not _free(path, data):
            raise ConflictError(
                f"{path} appeared while the template was written",
                remedy="Name a new folder.",
            ) from error
