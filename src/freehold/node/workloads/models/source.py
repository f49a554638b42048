"""Where a model comes from: ``my_model.py:answer``, or ``net.onnx``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from freehold.domain.errors import UsageError
from freehold.domain.ids import keccak
from freehold.node.workloads.models.refusals import BrokenModelError

FUNCTION = "answer"
"""The name that is looked for where none is given."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and the name of a function or class in it (empty for ONNX)."""

    file: Path
    name: str

    @property
    def stem(self) -> str:
        """A name for the model, after its file."""
        return self.file.stem

    def version(self) -> str:
        """Twelve hexadecimal digits that change when the file does; BrokenModelError when it
        cannot be read."""
        try:
            return keccak(self.file.read_bytes()).hex()[:12]
        except OSError as error:
            raise BrokenModelError(
                f"{self.file} cannot be read: {error.strerror}",
                remedy="Name the model's file: my_model.py:answer, or net.onnx.",
            ) from error


def parse_source(text: str) -> Source:
    """Parse ``file.py:name``, ``file.py`` (its ``answer``) or ``file.onnx``; UsageError."""
    path, colon, name = text.partition(".py:")
    if colon and name.isidentifier():
        return Source(Path(path + ".py").expanduser().absolute(), name)
    file = Path(text).expanduser().absolute()
    if file.suffix == ".py":
        return Source(file, FUNCTION)
    if file.suffix == ".onnx":
        return Source(file, "")
    raise UsageError(
        f"{text!r} names no model",
        remedy="Write my_model.py:answer for a function, or net.onnx for an ONNX file.",
    )
