"""The settings of a daemon of this machine, kept as TOML in its folder."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from freehold.cli.home import read_text
from freehold.domain.errors import UsageError
from freehold.domain.files import write_whole


def read_settings(file: Path) -> dict[str, str]:
    """What a file of settings says; nothing where there is none, UsageError where it is no TOML."""
    if not file.is_file():
        return {}
    try:
        return {name: str(value) for name, value in tomllib.loads(read_text(file)).items()}
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is no TOML: {error}", remedy="Correct or remove it.") from error


def write_settings(file: Path, settings: Mapping[str, str]) -> None:
    """Write a file of settings, and its folder where there is none."""
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(file, lines.encode())
