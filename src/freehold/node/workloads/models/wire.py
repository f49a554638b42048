"""Frames between the server and a model's process, over a socket pair.

A frame is its kind (1 byte), the length of its JSON and of the whole (u32, little-endian), and the
bytes. Tensors travel as the protocol's own messages, with their data as bytes; what a model's
process says is read as a stranger's message is, and never unpickled.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from freehold.domain.document import MalformedError as NotJSONError
from freehold.domain.document import parse_document
from freehold.markets.models.tensor import Body, Limits, MalformedError

PLAN, HELLO, ASK, ANSWER, ERROR = b"P", b"H", b"Q", b"A", b"E"
HEAD = struct.Struct("<cII")
FRAME_MAX = 2**26
ANSWER_MAX = 2**24
"""Bytes of all outputs of one answer."""
LIMITS = Limits(json=2**20, body=FRAME_MAX)


@dataclass(frozen=True, slots=True)
class Frame:
    """A message; the first ``header`` bytes of ``data`` are JSON."""

    kind: bytes
    header: int
    data: bytes

    @classmethod
    def of(cls, kind: bytes, body: Body) -> Frame:
        """The frame of a message of the protocol."""
        length = len(body.data) if body.header_length is None else body.header_length
        return cls(kind, length, body.data)

    @classmethod
    def note(cls, kind: bytes, members: Mapping[str, object]) -> Frame:
        """A frame of JSON alone."""
        text = json.dumps(members).encode()
        return cls(kind, len(text), text)

    def members(self) -> dict[str, object]:
        """The JSON of a frame that is nothing else; MalformedError."""
        try:
            value = parse_document(self.data, size=LIMITS.json)
        except NotJSONError as error:
            raise _broken(str(error)) from error
        if not isinstance(value, dict):
            raise _broken("it is not an object")
        return value

    def head(self) -> bytes:
        """What goes before the data."""
        return HEAD.pack(self.kind, self.header, len(self.data))


def send(connection: socket.socket, frame: Frame) -> None:
    """Write a frame; OSError when the other side is gone."""
    connection.sendall(frame.head() + frame.data)


def receive(connection: socket.socket) -> Frame | None:
    """Read a frame; None at the end of the stream."""
    head = _exactly(connection, HEAD.size)
    if head is None:
        return None
    kind, header, length = _lengths(head)
    data = _exactly(connection, length)
    return None if data is None else Frame(kind, header, data)


async def read(stream: asyncio.StreamReader) -> Frame:
    """Read a frame; IncompleteReadError at the end, MalformedError for what is no frame."""
    kind, header, length = _lengths(await stream.readexactly(HEAD.size))
    return Frame(kind, header, await stream.readexactly(length))


def write(stream: asyncio.StreamWriter, frame: Frame) -> None:
    """Write a frame without waiting."""
    stream.write(frame.head() + frame.data)


def _lengths(head: bytes) -> tuple[bytes, int, int]:
    kind, header, length = HEAD.unpack(head)
    if kind not in (PLAN, HELLO, ASK, ANSWER, ERROR) or not header <= length <= FRAME_MAX:
        raise _broken("its head is wrong")
    return kind, header, length


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    found = bytearray(length)
    view = memoryview(found)
    while view:
        count = connection.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return bytes(found)


def _broken(reason: str) -> MalformedError:
    return MalformedError(
        f"a model's process said what is no frame: {reason}",
        remedy="Let the model leave the file descriptors alone that it did not open.",
    )
