"""What `freehold ask` makes of files, text, JSON and pictures."""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cli.ask.inputs import BYTES_MAX, read_inputs
from freehold.cli.ask.pictures import Pixels, decode, fit, is_picture
from freehold.domain.errors import FreeholdError, NotFoundError, UsageError
from freehold.markets.models.tensor import Schema

COLOURS = {1: 0, 3: 2, 2: 4, 4: 6}


def spec(name: str, datatype: str, *shape: int) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def made(texts: list[str], asked: Schema | None) -> dict[str, Any]:
    return read_inputs(texts, asked)


def schema(*inputs: dict[str, object]) -> Schema:
    return Schema.of({"inputs": list(inputs), "outputs": [spec("y", "FP32", -1)]})


BLACK = np.zeros((2, 2, 1), np.uint8)
IMAGE = schema(spec("image", "FP32", -1, 784))
TEXT = schema(spec("text", "UINT8", -1, 8))
WORDS = schema(spec("prompt", "BYTES", -1))
PAIR = schema(spec("a", "FP32", -1, 2), spec("b", "INT64", -1))


def filtered(kind: int, pixels: Pixels) -> bytes:
    """A picture's lines under one of PNG's filters, written down as the specification has it."""
    height, width, size = pixels.shape
    flat = pixels.reshape(height, width * size).astype(int)
    lines = []
    for row in range(height):
        line = bytearray([kind])
        for at in range(width * size):
            left = flat[row, at - size] if at >= size else 0
            up = flat[row - 1, at] if row else 0
            corner = flat[row - 1, at - size] if row and at >= size else 0
            p = left + up - corner
            order = sorted(((abs(p - left), 0, left), (abs(p - up), 1, up),
                            (abs(p - corner), 2, corner)))  # fmt: skip
            guess = (0, left, up, (left + up) // 2, order[0][2])[kind]
            line.append((flat[row, at] - guess) % 256)
        lines.append(bytes(line))
    return b"".join(lines)


def png(pixels: Pixels, kind: int = 0, **changed: int) -> bytes:
    height, width, size = pixels.shape
    head = {"w": width, "h": height, "depth": 8, "colour": COLOURS[size], "interlaced": 0} | changed
    told = (head["w"], head["h"], head["depth"], head["colour"], 0, 0, head["interlaced"])

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name))

    body = zlib.compress(filtered(kind, pixels))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *told))
        + chunk(b"IDAT", body[:5]) + chunk(b"IDAT", body[5:]) + chunk(b"IEND", b"")
    )  # fmt: skip


@given(st.integers(0, 4), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_png_of_every_filter(kind: int, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (5, 4, size), dtype=np.uint8)
    assert np.array_equal(decode(png(pixels, kind)), pixels)


def test_transparent_pixels_lie_on_black_and_palettes_are_looked_up() -> None:
    pixels = np.array([[[200, 100, 50, 0], [200, 100, 50, 255]]], np.uint8)
    assert decode(png(pixels)).tolist() == [[[0, 0, 0], [200, 100, 50]]]
    data = png(np.array([[[1], [0]]], np.uint8), colour=3)
    palette = struct.pack(">I", 6) + b"PLTE" + bytes([9, 8, 7, 6, 5, 4]) + b"\0\0\0\0"
    place = data.index(b"IDAT") - 4
    assert decode(data[:place] + palette + data[place:]).tolist() == [[[6, 5, 4], [9, 8, 7]]]


def test_pnm() -> None:
    assert decode(b"P5\n# by hand\n2 1\n255\n\x00\xff").tolist() == [[[0], [255]]]
    assert decode(b"P6 1 1 255\n\x01\x02\x03").tolist() == [[[1, 2, 3]]]
    assert is_picture(b"P5 ")
    assert not is_picture(b"hello")


@pytest.mark.parametrize(
    "data",
    [
        png(BLACK)[:-30],
        png(BLACK, interlaced=1),
        png(BLACK, depth=16),
        png(BLACK, w=2**20, h=2**20),
        png(BLACK, h=3),
        png(BLACK, kind=0).replace(b"IHDR", b"IHDX"),
        b"P5 3 3 255\n\x00",
        b"P5 99999 99999 255\n",
        b"P5 hello",
    ],
)
def test_damaged_and_huge_pictures_are_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        decode(data)


@pytest.mark.parametrize("data", [b"P6 9999 9999 255\n", png(BLACK, w=2**13, h=2**12)])
def test_a_claim_to_be_huge_is_refused_before_it_is_unpacked(data: bytes) -> None:
    with pytest.raises(UsageError, match="pixels cannot be asked about"):
        decode(data)


def test_a_picture_is_resized_by_area_to_what_the_model_takes() -> None:
    pixels = np.zeros((56, 56, 3), np.uint8)
    pixels[:28] = 255
    made = fit(pixels, (784,))
    assert made.shape == (784,)
    assert np.allclose(made.reshape(28, 28)[:14], 1)
    assert np.allclose(made.reshape(28, 28)[14:], 0)
    assert fit(pixels, (3, 7, 5)).shape == (3, 7, 5)
    assert fit(pixels[:, :, :1], (7, 5, 3)).shape == (7, 5, 3)
    assert fit(pixels, (1, 9, 4)).shape == (1, 9, 4)
    assert abs(fit(pixels, (13, 3)).mean() - 0.5) < 1e-9
    with pytest.raises(UsageError, match="no picture fits"):
        fit(pixels, (785,))


def test_a_file_of_each_kind(tmp_path: Path) -> None:
    picture = tmp_path / "one.png"
    picture.write_bytes(png(np.full((10, 10, 1), 255, np.uint8)))
    array = made([str(picture)], IMAGE)["image"]
    assert (array.shape, array.dtype, array.min()) == ((1, 784), np.dtype("float32"), 1.0)
    file = tmp_path / "x.npy"
    np.save(file, np.zeros((3, 784)))
    assert np.shape(made([str(file)], IMAGE)["image"]) == (3, 784)
    several = tmp_path / "x.npz"
    np.savez(several, a=np.ones(2), b=np.array([4]))
    found = made([str(several)], PAIR)
    assert (np.shape(found["a"]), np.asarray(found["b"]).tolist()) == ((1, 2), [4])
    text = tmp_path / "x.txt"
    text.write_text("hello world")
    assert bytes(np.asarray(made([str(text)], TEXT)["text"])[0]) == b"lo world"


def test_text_and_numbers_as_they_are_typed() -> None:
    assert bytes(np.asarray(made(["hi"], TEXT)["text"])[0]) == b"      hi"
    assert np.asarray(made(["what = this"], WORDS)["prompt"]).tolist() == ["what = this"]
    found = made(["a=[1, 2]", "b=3"], PAIR)
    assert np.asarray(found["a"]).tolist() == [[1.0, 2.0]]
    assert np.asarray(found["b"]).tolist() == [3]
    written = json.dumps({"a": [[1, 2], [3, 4]], "b": [5, 6]})
    assert np.shape(made([written], PAIR)["a"]) == (2, 2)
    listed = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 784],
                          "data": [0] * 784}]}  # fmt: skip
    assert np.shape(made([json.dumps(listed)], IMAGE)["image"]) == (1, 784)
    assert made(["x=[1]"], None) == {"x": [1]}


def test_what_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def comes(raw: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))

    comes(b"[1, 2]")
    assert np.asarray(made(["a=-", "b=1"], PAIR)["a"]).tolist() == [[1.0, 2.0]]
    comes(b"x" * (BYTES_MAX + 1))
    with pytest.raises(UsageError, match="more than"):
        made(["-"], WORDS)
    comes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="neither a picture"):
        made(["-"], WORDS)


@pytest.mark.parametrize(
    ("texts", "asked", "error", "says"),
    [
        (["gone.png"], IMAGE, NotFoundError, "no file gone.png"),
        (["[1, 2]", "b=1"], PAIR, UsageError, "cannot be told"),
        (["a=[1,2]"], PAIR, UsageError, "b is missing"),
        (['{"c": 1}'], PAIR, UsageError, "no input 'c'"),
        (["a=[1,2]", "b=1.5"], PAIR, UsageError, "input b takes"),
        (["a=[[1],[1,2]]", "b=1"], PAIR, UsageError, "input a takes"),
        (["a=word", "b=1"], PAIR, UsageError, "which text is not"),
        (["hello"], None, UsageError, "cannot be told"),
    ],
)
def test_what_does_not_fit_is_told(
    texts: list[str], asked: Schema | None, error: type[FreeholdError], says: str
) -> None:
    with pytest.raises(error, match=says):
        made(texts, asked)


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "x.npy"
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="cannot be read"):
        made([str(file)], IMAGE)


def test_what_names_another_input_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="take no input 'picture'") as wrong:
        made(["picture=digit.png"], IMAGE)
    assert wrong.value.remedy == "They take image."
    assert bytes(np.asarray(made(["a=b"], TEXT)["text"])[0]) == b"     a=b"
    with pytest.raises(UsageError, match="the input image takes FP32 of any x 784, which text"):
        made(["hello"], IMAGE)


def test_an_archive_is_searched_for_the_only_input(tmp_path: Path) -> None:
    file = tmp_path / "held.npz"
    np.savez(file, image=np.zeros((2, 784), np.float32), truth=np.zeros(2))
    assert np.shape(made([str(file)], IMAGE)["image"]) == (2, 784)
    np.savez(file, images=np.zeros((2, 784), np.float32), truth=np.zeros(2))
    with pytest.raises(UsageError, match="which an object of images, truth is not"):
        made([str(file)], IMAGE)
