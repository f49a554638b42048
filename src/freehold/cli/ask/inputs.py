"""What a user gives to ask about, as the tensors that a model takes: files, text, JSON, numbers."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freehold.cli.ask.pictures import decode, fit, is_picture
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import FreeholdError, NotFoundError, UsageError
from freehold.markets.models.tensor import ANY, DATATYPES, Schema, Spec
from freehold.markets.models.tensor.messages import read_shape

BYTES_MAX = 2**24
PARTS_MAX = 2**20
"""Lists of a JSON input."""
_NPY, _NPZ = b"\x93NUMPY", b"PK\x03\x04"
_NAME_END = "="
_FILES = frozenset({".png", ".pgm", ".ppm", ".npy", ".npz", ".json", ".txt", ".jpg", ".jpeg"})
Value = object


def read_inputs(texts: Sequence[str], schema: Schema | None) -> dict[str, Value]:
    """Inputs by name, of arguments such as ``digit.png``, ``name=value``, JSON, or ``-`` for what
    comes in. UsageError names what does not fit, and what would."""
    given: dict[str, Value] = {}
    for text in texts:
        name, value = _named(text, schema)
        if not name:
            given |= _spread(_value(value, None), schema)
            continue
        spec = _spec(schema, name)
        given[name] = _fitted(_value(value, spec), spec)
    _check_names(given, schema)
    return given


def _named(text: str, schema: Schema | None) -> tuple[str, str]:
    """The input's name and the rest; without a name it is the only input of the schema, or the
    value itself tells the names."""
    name, found, rest = text.partition(_NAME_END)
    known = {spec.name for spec in schema.inputs} if schema is not None else set()
    if found and (name in known or (schema is None and name.isidentifier())):
        return name, rest
    if found and known and name.isidentifier() and not Path(text).is_file() and _is_name_of(rest):
        raise UsageError(
            f"the models take no input {name!r}", remedy=f"They take {', '.join(sorted(known))}."
        )
    if len(known) == 1 and not _tells_names(text, known):
        return next(iter(known)), text
    return "", text


def _is_name_of(rest: str) -> bool:
    """Whether a file is meant, so that what comes before it is no text but a name."""
    return Path(rest).suffix.lower() in _FILES and " " not in rest


def _tells_names(text: str, known: set[str]) -> bool:
    """Whether a JSON object, written out or in a file, has the inputs as members."""
    raw = _raw(text) if text != "-" else b""
    if not raw.lstrip().startswith(b"{"):
        return False
    found = _json(raw)
    return isinstance(found, dict) and (known <= found.keys() or "inputs" in found)


def _value(text: str, spec: Spec | None) -> Value:
    """What an argument holds: an array, JSON, or text; pictures once the shape is known."""
    raw = _stdin() if text == "-" else _raw(text)
    if raw.startswith((_NPY, _NPZ)):
        return _array(raw)
    if is_picture(raw):
        return _picture(raw, spec)
    if raw.lstrip()[:1] in (b"[", b"{") or _is_number(raw):
        found = _json(raw)
        if found is not None:
            return found
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{text[:80]} holds neither a picture, an array, JSON nor text",
            remedy="Give a PNG, an .npy file, JSON, or text in UTF-8.",
        ) from error


def _raw(text: str) -> bytes:
    """The bytes of a file of that name, else of the text itself."""
    try:
        path = Path(text)
        if not path.is_file():
            return _literal(text, path)
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except (OSError, ValueError):
        return text.encode(errors="replace")
    return _bounded(raw)


def _literal(text: str, path: Path) -> bytes:
    """The text itself; NotFoundError for what looks like the name of a file."""
    if path.suffix.lower() in _FILES and " " not in text:
        raise NotFoundError(f"there is no file {text}", remedy="Name a file that exists.")
    return text.encode()


def _stdin() -> bytes:
    return _bounded(sys.stdin.buffer.read(BYTES_MAX + 1))


def _bounded(raw: bytes) -> bytes:
    if len(raw) > BYTES_MAX:
        raise UsageError(
            f"an input has more than {BYTES_MAX:,} bytes", remedy="Ask about less at once."
        )
    return raw


def _json(raw: bytes) -> Value | None:
    try:
        return parse_document(raw, size=BYTES_MAX, parts=PARTS_MAX)
    except MalformedError:
        return None


def _is_number(raw: bytes) -> bool:
    try:
        float(raw)
    except ValueError:
        return False
    return len(raw) < 64


def _array(raw: bytes) -> Value:
    try:
        found = np.load(io.BytesIO(raw), allow_pickle=False)
        return found if isinstance(found, np.ndarray) else {name: found[name] for name in found}
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise UsageError(
            f"the array cannot be read: {error}"[:300], remedy="Write it with numpy.save."
        ) from error


def _picture(raw: bytes, spec: Spec | None) -> Value:
    if spec is None:
        raise UsageError(
            "a picture fits no input, since the subnet's schema is not known",
            remedy="Say which input it is, NAME=picture.png, or give numbers as an .npy file.",
        )
    shape = spec.shape[1:] if spec.shape[:1] == (ANY,) else spec.shape
    if any(size == ANY for size in shape):
        pixels = decode(raw)
        shape = pixels.shape if len(shape) == 3 else pixels.shape[:2]
        return fit(pixels, shape)
    return fit(decode(raw), shape)


def _spread(value: Value, schema: Schema | None) -> dict[str, Value]:
    """Inputs of an object: by its members, or as the protocol lists them."""
    if isinstance(value, Mapping) and isinstance(value.get("inputs"), list):
        value = {str(each.get("name")): _listed(each) for each in _objects(value["inputs"])}
    if not isinstance(value, Mapping):
        names = ", ".join(f"{spec.name}=…" for spec in schema.inputs) if schema else "NAME=…"
        raise UsageError(
            "which input this is cannot be told", remedy=f"Write its name before it: {names}."
        )
    return {str(name): _fitted(each, _spec(schema, str(name))) for name, each in value.items()}


def _objects(value: list[object]) -> list[Mapping[str, object]]:
    return [each for each in value if isinstance(each, Mapping)]


def _listed(each: Mapping[str, object]) -> Value:
    name = str(each.get("name"))
    try:
        return np.asarray(each.get("data")).reshape(read_shape(each.get("shape"), name))
    except (TypeError, ValueError, FreeholdError) as error:
        raise UsageError(
            f"the input {name[:80]} has no data of its shape", remedy="Correct the JSON."
        ) from error


def _fitted(value: Value, spec: Spec | None) -> Value:
    """The value in the input's type, with the dimension of rows where that is missing."""
    if spec is None:
        return np.asarray([value]) if isinstance(value, str) else value
    if isinstance(value, Mapping):  # an .npz file, or an object of JSON
        if spec.name not in value:
            raise _misfit(spec, f"an object of {', '.join(map(str, value))[:200] or 'nothing'}")
        value = value[spec.name]
    if isinstance(value, str):
        value = _text(value, spec)
    array = _typed(value, spec)
    if array.ndim == len(spec.shape) - 1:
        array = array[None]
    if array.size and _sizes(spec) == array.size and array.ndim < len(spec.shape):
        array = array.reshape([1 if size == ANY else size for size in spec.shape])
    return array


def _typed(value: Value, spec: Spec) -> NDArray[np.generic]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise _misfit(spec) from error
    wanted = DATATYPES.get(spec.datatype)
    if wanted is None or array.dtype == wanted or array.dtype.kind not in "iufb":
        return array
    if wanted.kind in "iu" and array.dtype.kind == "f" and isinstance(value, np.ndarray):
        # A picture's brightness, for models that count it to 255.
        array = np.rint(array * 255)
    with np.errstate(all="ignore"):
        made = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(made, array):
        raise _misfit(spec)
    return made


def _text(text: str, spec: Spec) -> Value:
    """Text for a model that takes text, or its last bytes for one that counts them."""
    if spec.datatype == "BYTES":
        return [text]
    row = spec.shape[-1] if spec.shape else ANY
    if spec.datatype != "UINT8" or len(spec.shape) > 2:
        raise _misfit(spec, "text")
    raw = text.encode()
    if row != ANY:
        raw = raw[-row:].rjust(row)
    return np.frombuffer(raw, np.uint8)


def _sizes(spec: Spec) -> int:
    return int(np.prod([1 if size == ANY else size for size in spec.shape], dtype=np.int64))


def _spec(schema: Schema | None, name: str) -> Spec | None:
    if schema is None:
        return None
    for spec in schema.inputs:
        if spec.name == name:
            return spec
    raise UsageError(f"the models take no input {name!r}", remedy=f"They take {_told(schema)}.")


def _check_names(given: Mapping[str, Value], schema: Schema | None) -> None:
    missing = [spec.name for spec in schema.inputs if spec.name not in given] if schema else []
    if missing and schema is not None:
        raise UsageError(
            f"the input {missing[0]} is missing",
            remedy=f"The models take {_told(schema)}; write {missing[0]}=VALUE.",
        )


def _misfit(spec: Spec, given: str = "this") -> UsageError:
    shape = " x ".join("any" if size == ANY else str(size) for size in spec.shape)
    return UsageError(
        f"the input {spec.name} takes {spec.datatype} of {shape}, which {given} is not",
        remedy="Give a picture, text, an .npy file or JSON that holds such numbers.",
    )


def _told(schema: Schema) -> str:
    return ", ".join(f"{spec.name} ({spec.datatype})" for spec in schema.inputs)
