"""What a device can switch: a board of lines, each a file that holds its value.

Linux shows relays and GPIO as files (``/sys/class/gpio/gpio17/value``); the same works on any
folder with ``relay.1/value``. A command is ``LINE on``, ``LINE off`` or ``LINE NUMBER``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from freehold.domain.errors import NotFoundError, UnavailableError

_COMMAND = re.compile(r"(?P<line>[a-z][a-z0-9_]{0,23}(\.[0-9]{1,3})?) (?P<value>on|off|[0-9]{1,5})")
_WORDS = {"on": "1", "off": "0"}
_SIZE_MAX = 64


@dataclass(frozen=True, slots=True)
class Switch:
    """A command understood: set ``line`` to ``value``."""

    line: str
    value: str


class Board(Protocol):
    """Lines that can be read and set."""

    def parse(self, command: str) -> Switch:
        """What a command asks for; NotFoundError where this board knows no such thing."""

    def read(self, line: str) -> str:
        """A line's value; UnavailableError where it cannot be read."""

    def set(self, line: str, value: str) -> None:
        """Set a line; UnavailableError where it cannot be set."""


@dataclass(frozen=True, slots=True)
class FileBoard:
    """Lines as folders below ``path``, their values in the file ``value`` of each."""

    path: Path

    def parse(self, command: str) -> Switch:
        """What a command asks for, of the lines that are there."""
        match = _COMMAND.fullmatch(command)
        if match is None or not self._file(match["line"]).is_file():
            raise NotFoundError(
                f"the board knows no {command[:64]!r}",
                remedy="Use `LINE on`, `LINE off` or `LINE NUMBER` with a line of this board.",
            )
        return Switch(match["line"], _WORDS.get(match["value"], match["value"]))

    def read(self, line: str) -> str:
        """The value of a line."""
        try:
            with self._file(line).open("rb") as file:
                return file.read(_SIZE_MAX).decode("ascii", errors="replace").strip()
        except OSError as error:
            raise _stuck(line, error) from error

    def set(self, line: str, value: str) -> None:
        """Write a line's file in place, as a driver of the kernel wants it."""
        try:
            handle = os.open(self._file(line), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            try:
                os.write(handle, value.encode())
            finally:
                os.close(handle)
        except OSError as error:
            raise _stuck(line, error) from error

    def _file(self, line: str) -> Path:
        return self.path / line / "value"


class NoBoard:
    """A device that can switch nothing: every command is refused."""

    def parse(self, command: str) -> Switch:
        """Nothing is known here."""
        raise NotFoundError(
            f"this device has no board, so {command[:64]!r} is unknown",
            remedy="Name the folder of its lines as `board` in its device.json.",
        )

    def read(self, line: str) -> str:
        """There is no line."""
        raise self._none(line)

    def set(self, line: str, value: str) -> None:
        """There is no line."""
        raise self._none(f"{line} to set to {value}")

    def _none(self, line: str) -> UnavailableError:
        return UnavailableError(f"there is no line {line}", remedy="Name a board in device.json.")


def _stuck(line: str, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"line {line} cannot be reached: {error.strerror or error}",
        remedy="Check the board and the right to use it.",
    )
