"""What a model's process is told to do, and what it says once it can."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from freehold.markets.models.tensor import MalformedError, Schema
from freehold.node.workloads.models.source import Source
from freehold.node.workloads.models.wire import HELLO, PLAN, Frame


@dataclass(frozen=True, slots=True)
class Plan:
    """The model to load, under which ``schema`` (None: its own), joining at most ``max_batch``
    rows; ``memory`` is bytes of data at most (0: no bound), ``threads`` those of one answer."""

    source: Source
    schema: Schema | None = None
    max_batch: int = 1
    memory: int = 0
    threads: int = 1

    def frame(self) -> Frame:
        """As it is sent."""
        members = {
            "file": str(self.source.file),
            "name": self.source.name,
            "schema": None if self.schema is None else self.schema.metadata(),
            "max_batch": self.max_batch,
            "memory": self.memory,
            "threads": self.threads,
        }
        return Frame.note(PLAN, members)

    @classmethod
    def read(cls, frame: Frame) -> Plan:
        """The plan of a frame; MalformedError."""
        members = frame.members()
        schema = members.get("schema")
        return cls(
            Source(Path(_text(members, "file")), _text(members, "name")),
            None if schema is None else Schema.of(schema),
            _number(members, "max_batch"),
            _number(members, "memory"),
            _number(members, "threads"),
        )


@dataclass(frozen=True, slots=True)
class Hello:
    """A model that is loaded and warm."""

    schema: Schema
    platform: str
    version: str
    batches: bool
    note: str

    def frame(self) -> Frame:
        """As it is sent."""
        members = {
            "schema": self.schema.metadata(),
            "platform": self.platform,
            "version": self.version,
            "batches": self.batches,
            "note": self.note,
        }
        return Frame.note(HELLO, members)

    @classmethod
    def read(cls, frame: Frame) -> Hello:
        """The hello of a frame; MalformedError."""
        members = frame.members()
        return cls(
            Schema.of(members.get("schema")),
            _text(members, "platform"),
            _text(members, "version"),
            members.get("batches") is True,
            _text(members, "note"),
        )


def _text(members: dict[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise MalformedError(f"{name} is no text", remedy="Use one release of freehold throughout.")
    return value


def _number(members: dict[str, object], name: str) -> int:
    value = members.get(name)
    if type(value) is not int:
        raise MalformedError(
            f"{name} is no number", remedy="Use one release of freehold throughout."
        )
    return value
