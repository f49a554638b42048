"""Pictures as numbers: PNG (8 bits a channel, not interlaced) and binary PGM and PPM files.

Threats: a small file that claims to be huge, or unpacks to it (bounded before it is unpacked).
"""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import UsageError

Pixels = NDArray[np.uint8]
"""(height, width, channels) of 1 or 3 channels."""
PIXELS_MAX = 2**24
_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Bytes of a pixel by PNG's colour type: grey, RGB, palette, grey with alpha, RGB with alpha."""
_GREY = np.array([0.299, 0.587, 0.114])
"""How bright red, green and blue are to an eye (ITU-R BT.601)."""
_PNM = re.compile(rb"P([56])(?:\s+#[^\n]*)*\s+(\d{1,5})\s+(\d{1,5})\s+255\s", re.DOTALL)


def is_picture(data: bytes) -> bool:
    """Whether ``decode`` may know the format."""
    return data.startswith(_PNG) or data[:2] in (b"P5", b"P6")


def decode(data: bytes) -> Pixels:
    """The pixels of a picture; transparent ones lie on black. UsageError for other files."""
    try:
        return _png(data) if data.startswith(_PNG) else _pnm(data)
    except (ValueError, IndexError, KeyError, struct.error, zlib.error) as error:
        raise _unread(f"the picture is damaged: {error}") from error


def fit(pixels: Pixels, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A picture as a model wants one: resized to a square of as many numbers as ``shape`` has (or
    to its own height and width), grey or with three colours, from 0 to 1. UsageError where a
    square of that many numbers cannot be made."""
    height, width, channels = _size(shape)
    made = _scaled(_coloured(pixels.astype(np.float64) / 255, channels), height, width)
    if len(shape) == 3 and shape[0] == channels == 3:
        made = made.transpose(2, 0, 1)
    return made.reshape(shape)


def _size(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width and channels of a picture for a model's input."""
    if len(shape) == 3 and 3 in (shape[0], shape[2]):
        return (*shape[:2], 3) if shape[2] == 3 else (shape[1], shape[2], 3)
    if len(shape) == 2 or (len(shape) == 3 and 1 in (shape[0], shape[2])):
        height, width = (each for each in (shape if len(shape) == 2 else _without_one(shape)))
        return height, width, 1
    count = int(np.prod(shape, dtype=np.int64))
    for channels in (1, 3):
        side = round((count / channels) ** 0.5)
        if side * side * channels == count and count:
            return side, side, channels
    raise UsageError(
        f"no picture fits an input of {count} numbers",
        remedy="Give the numbers themselves, as JSON or as an .npy file.",
    )


def _without_one(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[1:] if shape[0] == 1 else shape[:2]


def _coloured(pixels: NDArray[np.float64], channels: int) -> NDArray[np.float64]:
    found = pixels.shape[2]
    if found == channels:
        return pixels
    if channels == 1:
        grey: NDArray[np.float64] = (pixels @ _GREY)[:, :, None]
        return grey
    return np.repeat(pixels, 3, axis=2)


def _scaled(pixels: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Means of the areas that the new pixels cover, whatever the sizes are."""
    rows, columns = _cover(pixels.shape[0], height), _cover(pixels.shape[1], width)
    made: NDArray[np.float64] = np.einsum("ij,jkc,lk->ilc", rows, pixels, columns, optimize=True)
    return made


def _cover(old: int, new: int) -> NDArray[np.float64]:
    """(new, old): the share of each old pixel in each new one; rows sum to 1."""
    edges = np.linspace(0, old, new + 1)
    low, high = edges[:-1, None], edges[1:, None]
    at = np.arange(old)[None, :]
    covered = np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, None)
    shares: NDArray[np.float64] = covered / covered.sum(axis=1, keepdims=True)
    return shares


def _pnm(data: bytes) -> Pixels:
    head = _PNM.match(data)
    if head is None:
        raise _unread("it is no picture of a known kind")
    channels, width, height = 1 if head[1] == b"5" else 3, int(head[2]), int(head[3])
    _check(width, height)
    raw = np.frombuffer(data, np.uint8, width * height * channels, offset=head.end())
    return raw.reshape(height, width, channels)


def _png(data: bytes) -> Pixels:
    chunks = _chunks(data)
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    _check(width, height)
    if depth != 8 or interlaced or colour not in _CHANNELS:
        raise _unread("a PNG needs 8 bits a channel, and no interlacing")
    size = _CHANNELS[colour]
    length = height * (width * size + 1)
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(chunks[b"IDAT"], length)
    lines = np.frombuffer(raw, np.uint8).reshape(height, width * size + 1)
    pixels = _unfiltered(lines, size).reshape(height, width, size)
    if colour == 3:
        return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[pixels[:, :, 0]]
    return _on_black(pixels) if colour in (4, 6) else pixels


def _chunks(data: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, list[bytes]] = {}
    at = len(_PNG)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.setdefault(data[at + 4 : at + 8], []).append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return {name: b"".join(parts) for name, parts in found.items()}


def _unfiltered(lines: Pixels, size: int) -> Pixels:
    """Undo the five filters of PNG, line by line; ``size``: bytes of a pixel."""
    made = np.zeros((len(lines), lines.shape[1] - 1), np.uint8)
    above = np.zeros(lines.shape[1] - 1, np.uint8)
    for at, line in enumerate(lines):
        kind, row = int(line[0]), line[1:]
        if kind == 2:
            row = row + above
        elif kind in (1, 3, 4):
            row = _leftward(kind, row, above, size)
        elif kind:
            raise ValueError(f"filter {kind}")
        made[at] = above = row
    return made


def _leftward(kind: int, row: Pixels, above: Pixels, size: int) -> Pixels:
    """The filters that look to the left, which go byte by byte."""
    out, up = bytearray(row.tobytes()), above.tobytes()
    for at in range(len(out)):
        left, corner = (out[at - size], up[at - size]) if at >= size else (0, 0)
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + up[at]) // 2
        else:
            guess = _paeth(left, up[at], corner)
        out[at] = (out[at] + guess) & 0xFF
    return np.frombuffer(bytes(out), np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    near = (abs(guess - left), abs(guess - up), abs(guess - corner))
    return (left, up, corner)[near.index(min(near))]


def _on_black(pixels: Pixels) -> Pixels:
    alpha = pixels[:, :, -1:].astype(np.uint16)
    return (pixels[:, :, :-1].astype(np.uint16) * alpha // 255).astype(np.uint8)


def _check(width: int, height: int) -> None:
    if not 0 < width * height <= PIXELS_MAX:
        raise _unread(f"{width} x {height} pixels cannot be asked about")


def _unread(reason: str) -> UsageError:
    return UsageError(reason, remedy="Save it as an ordinary PNG of up to 16 million pixels.")
