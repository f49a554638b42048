"""What a user wants of a model server, upon what its ``model.toml`` says already."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from freehold.cli.home import read_text
from freehold.domain.errors import NotFoundError, UsageError
from freehold.domain.files import write_whole
from freehold.node.workloads.models.settings import FILE, Settings, load
from freehold.node.workloads.models.source import parse_source

PORT = 7460


@dataclass(frozen=True, slots=True)
class Wishes:
    """Options that were given; None leaves a setting as it is."""

    price: str | None = None
    port: int | None = None
    host: str | None = None
    endpoint: str | None = None
    workers: int | None = None
    batch: int | None = None
    schema: Path | None = None

    def settings(self) -> dict[str, str]:
        """Those given, as ``model.toml`` names and writes them."""
        given = {
            "price": self.price, "port": self.port, "host": self.host, "endpoint": self.endpoint,
            "workers": self.workers, "max_batch": self.batch,
            "schema": None if self.schema is None else self.schema.expanduser().absolute(),
        }  # fmt: skip
        return {name: str(value) for name, value in given.items() if value is not None}


def check_model(model: str) -> Path:
    """The model's file; NotFoundError where there is none, UsageError where it cannot be one."""
    file = parse_source(model).file
    if not file.is_file():
        raise NotFoundError(
            f"there is no file {file}", remedy="Name the model: my_model.py:answer, or net.onnx."
        )
    return file


def whole(model: str) -> str:
    """``model`` with its file's whole path."""
    source = parse_source(model)
    return f"{source.file}:{source.name}" if source.name else str(source.file)


def written(folder: Path) -> dict[str, str]:
    """What a folder's ``model.toml`` says; nothing where there is none."""
    file = folder / FILE
    if not file.is_file():
        return {}
    try:
        return {name: str(value) for name, value in tomllib.loads(read_text(file)).items()}
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is no TOML: {error}", remedy="Correct or remove it.") from error


def checked(folder: Path, settings: Mapping[str, str]) -> Settings:
    """The settings as the server will read them; UsageError. Nothing is written."""
    return load(folder, flags=settings, environment=os.environ)


def write(folder: Path, settings: Mapping[str, str]) -> None:
    """Write ``model.toml``."""
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(folder / FILE, lines.encode())


def with_port(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings with a port, the usual one where it is free."""
    from freehold.cli.local import free_port

    if "port" in settings:
        return dict(settings)
    return {**settings, "port": str(free_port(PORT))}
