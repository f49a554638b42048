"""What a subnet asks and how it is scored: the scorer, the schema, and the table ``[scoring]``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from freehold.domain.errors import FreeholdError, UsageError
from freehold.markets.models.task import Form, Terms, forms
from freehold.markets.models.tensor import Schema
from freehold.node.files import disk
from freehold.node.workloads.models.daemon import read_schema
from freehold.node.workloads.models.source import Source

SCORER, SUBNET = "scorer.py", "subnet.toml"
SCORE = "score"
SIZE_MAX = 2**16
FETCH = "Fetch its documents, look at them, and name the scorer: --scorer scorer.py:score."


@dataclass(frozen=True, slots=True)
class Documents:
    """A scorer, the schema of the models (with the forms of their outputs), and the terms."""

    source: Source
    schema: Schema
    terms: Terms

    @property
    def forms(self) -> tuple[Form, ...]:
        """What outputs have to be."""
        return forms(self.schema)


def find(scorer: str, schema: str, *, uri: str, local: bool) -> Documents:
    """The documents of a validator.

    ``scorer`` is ``file.py:score`` or empty: then it lies in the folder that the subnet's ``uri``
    names, where the network is ``local``: the URI is its owner's, and a stranger must not say which
    file is run. ``schema`` is a file with the subnet's schema, or
    empty: then it is in ``subnet.toml`` beside the scorer. UsageError says what is missing.
    """
    source = _there(_source(scorer) if scorer else _local(uri, local=local))
    beside = source.file.with_name(SUBNET)
    file = Path(schema).expanduser() if schema else beside
    if not file.is_file():
        raise UsageError(
            f"nothing says what the models take and give: there is no {file}",
            remedy="Put the subnet's subnet.toml beside the scorer, or name it with --schema.",
        )
    return Documents(source, read_schema(file), _terms(beside if beside.is_file() else file))


def _source(text: str) -> Source:
    path, colon, name = text.partition(".py:")
    file = Path(path + ".py" if colon else text).expanduser().absolute()
    if file.suffix != ".py" or not (name or SCORE).isidentifier():
        raise UsageError(f"{text!r} names no scorer", remedy="Write scorer.py:score.")
    return Source(file, name or SCORE)


def _local(uri: str, *, local: bool) -> Source:
    if not local:
        raise UsageError(
            "no scorer is named, and the place where a subnet says that its documents are is "
            "followed only in a network of this machine",
            remedy=FETCH,
        )
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    folder = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc or not folder.is_dir():
        raise UsageError(
            f"the subnet's documents are not on this machine, but at {uri or 'no place it names'}",
            remedy=FETCH,
        )
    return Source(folder / SCORER, SCORE)


def _there(source: Source) -> Source:
    if not source.file.is_file():
        raise UsageError(
            f"there is no scorer {source.file}",
            remedy="Name it: --scorer path/to/scorer.py:score.",
        )
    return source


def _terms(file: Path) -> Terms:
    if file.suffix != ".toml":
        return Terms()
    try:
        with disk(file):
            told = tomllib.loads(file.read_text()[:SIZE_MAX])
        table = told.get("scoring", {})
        if not isinstance(table, dict):
            raise UsageError("[scoring] is no table", remedy="Write [scoring] and its lines.")
        return Terms.read(table)
    except ValueError as error:
        raise UsageError(f"{file} is no TOML: {error}", remedy="Correct it.") from error
    except FreeholdError as error:
        raise UsageError(f"{file}: {error.message}", remedy=error.remedy) from error
