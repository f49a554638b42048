"""What a user wants of a model server, upon what its ``model.toml`` says already."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from freehold.cli.keeping import read_settings, write_settings
from freehold.domain.errors import NotFoundError
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
    return read_settings(folder / FILE)


def checked(folder: Path, settings: Mapping[str, str]) -> Settings:
    """The settings as the server will read them; UsageError. Nothing is written."""
    return load(folder, flags=settings, environment=os.environ)


def write(folder: Path, settings: Mapping[str, str]) -> None:
    """Write ``model.toml``."""
    write_settings(folder / FILE, settings)


def with_port(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings with a port, the usual one where it is free."""
    from freehold.ledger.devnet.ports import free_port

    if "port" in settings:
        return dict(settings)
    return {**settings, "port": str(free_port(PORT))}
