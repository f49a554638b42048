"""Canonical binary fields: one encoding for each value, and bounds on everything read.

Numbers are LEB128 in their shortest form below 2^64; texts and byte strings follow their
length. Whatever else a reader meets, an overlong number, a cut or trailing byte, a length past
its bound, is an IntegrityError.
"""

from __future__ import annotations

from typing import NoReturn

from freehold.domain.errors import IntegrityError


class Writer:
    """Collects fields; ``data`` is what they amount to."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    @property
    def data(self) -> bytes:
        """The bytes written so far."""
        return b"".join(self._parts)

    def number(self, value: int) -> None:
        """A whole number from 0 to 2^64 - 1."""
        if not 0 <= value < 2**64:
            raise IntegrityError(f"{value} fits in no field", remedy="Use a number below 2^64.")
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
        self._parts.append(bytes(out))

    def fixed(self, value: bytes) -> None:
        """Bytes whose number both sides know."""
        self._parts.append(value)

    def blob(self, value: bytes) -> None:
        """Bytes behind their length."""
        self.number(len(value))
        self._parts.append(value)

    def text(self, value: str) -> None:
        """UTF-8 behind its length; IntegrityError on lone surrogates."""
        try:
            self.blob(value.encode())
        except UnicodeEncodeError as error:
            raise IntegrityError(
                f"{value!r} is not Unicode text", remedy="Rename it to valid Unicode."
            ) from error


class Reader:
    """Takes fields back out of ``data``; ``what`` names it in errors."""

    def __init__(self, data: bytes, *, what: str) -> None:
        self._data, self._at, self._what = data, 0, what

    @property
    def at(self) -> int:
        """How many bytes have been read."""
        return self._at

    def number(self, limit: int = 2**64 - 1) -> int:
        """A whole number up to ``limit``."""
        value = shift = 0
        while True:
            byte = self.fixed(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                self.fail("a number is too long")
        if (byte == 0 and shift) or value > limit:
            self.fail(f"the number {value} is not canonical or above {limit}")
        return value

    def fixed(self, length: int) -> bytes:
        """Exactly ``length`` bytes."""
        end = self._at + length
        if end > len(self._data):
            self.fail("it is cut short")
        part, self._at = self._data[self._at : end], end
        return part

    def blob(self, limit: int) -> bytes:
        """At most ``limit`` bytes behind their length."""
        return self.fixed(self.number(limit))

    def text(self, limit: int) -> str:
        """At most ``limit`` bytes of UTF-8 behind their length."""
        try:
            return self.blob(limit).decode()
        except UnicodeDecodeError:
            self.fail("a text is not UTF-8")

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.fixed(len(self._data) - self._at)

    def end(self) -> None:
        """IntegrityError unless everything was read."""
        if self._at != len(self._data):
            self.fail(f"{len(self._data) - self._at} bytes too many")

    def fail(self, reason: str) -> NoReturn:
        """Raise IntegrityError."""
        raise IntegrityError(
            f"{self._what} is malformed: {reason}",
            remedy="Fetch it again from another source; if all agree, it was never valid.",
        )
