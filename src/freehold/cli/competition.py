"""A competition as its founder writes it down: ``subnet.toml``, beside the scorer."""

from __future__ import annotations

import ast
import ipaddress
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from freehold.cli.home import read_text
from freehold.domain import money
from freehold.domain.errors import FreeholdError, NotFoundError, UsageError
from freehold.domain.ids import keccak
from freehold.domain.network import Network
from freehold.ledger.contracts.subnet import Entry, Rules, Task
from freehold.markets.models.task import WITHOUT_THEME, Terms
from freehold.markets.models.tensor import Schema

FILE, SCORER = "subnet.toml", "scorer.py"
URI_MAX = 128
MAX_NODES = 64
_TABLES = frozenset({"name", "about", "schema", "scoring", "rules", "entry"})
_ENTRY: Mapping[str, int | str] = {
    "lowest": "1", "highest": "100", "half_life": 3_600, "factor_bps": 12_600,
}  # fmt: skip
_KINDS: Mapping[type, str] = {int: "whole number", str: "text", bool: "true or false"}
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Competition:
    """What is asked, how it is scored, by which rules, and what a place costs."""

    name: str
    about: str
    schema: Schema
    scoring: Terms
    max_nodes: int
    rules: Rules
    entry: Entry
    scorer: bytes

    @classmethod
    def read(cls, path: Path) -> Competition:
        """The competition of a file, or of a folder with ``subnet.toml``; UsageError."""
        file = path / FILE if path.is_dir() else path
        table = _parsed(file)
        try:
            return _made(table, file.parent)
        except FreeholdError as error:
            raise UsageError(f"{file}: {error.message}", remedy=error.remedy) from error

    @property
    def task(self) -> Task:
        """The hashes that the ledger keeps."""
        return Task(self.schema.hash(), self.scorer)


def scorer_hash(code: bytes, terms: Terms) -> bytes:
    """What the ledger keeps of how answers are scored: of the program and of the numbers that all
    validators use."""
    numbers = json.dumps(asdict(terms), sort_keys=True, separators=(",", ":"))
    return keccak(b"Freehold scorer" + keccak(code) + keccak(numbers.encode()))


def folder_of(uri: str) -> Path | None:
    """The folder of this machine that a subnet's URI names, None where it names none."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc:
        return None
    folder = Path(unquote(parts.path))
    return folder if folder.is_dir() else None


def uri_of(folder: Path) -> str:
    """The URI of a folder of this machine; empty where the ledger has no room for it."""
    uri = folder.absolute().as_uri()
    return uri if len(uri) <= URI_MAX else ""


def is_local(network: Network) -> bool:
    """Whether a network's ledger is on this machine."""
    return all(_on_loopback(url) for url in network.rpc_urls)


def _on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parsed(file: Path) -> Mapping[str, object]:
    if not file.is_file():
        raise NotFoundError(
            f"there is no {file}",
            remedy="Write one with `freehold subnet new image`, then name it or its folder.",
        )
    try:
        return tomllib.loads(read_text(file))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{file} is no TOML: {error}"[:300], remedy="Correct it.") from error


def _made(table: Mapping[str, object], folder: Path) -> Competition:
    if unknown := sorted(table.keys() - _TABLES):
        raise UsageError(
            f"{unknown[0]} is unknown", remedy=f"It may have {', '.join(sorted(_TABLES))}."
        )
    rules = dict(_table(table, "rules"))
    places = rules.pop("max_nodes", MAX_NODES)
    scoring = Terms.read(_table(table, "scoring"))
    return Competition(
        name=_typed(table.get("name"), str, "name"),
        about=_typed(table.get("about", ""), str, "about"),
        schema=Schema.of(_table(table, "schema")),
        scoring=scoring,
        max_nodes=_typed(places, int, "max_nodes"),
        rules=_rules(rules),
        entry=_entry(_table(table, "entry")),
        scorer=scorer_hash(_code(folder), scoring),
    )


def _rules(table: Mapping[str, object]) -> Rules:
    usual = asdict(Rules())
    _check_known(table, usual, "rules")
    for name, value in table.items():
        _typed(value, type(usual[name]), name)
    return replace(Rules(), **table)  # type: ignore[arg-type]


def _entry(table: Mapping[str, object]) -> Entry:
    _check_known(table, _ENTRY, "entry")
    told = {**_ENTRY, **table}
    return Entry(
        lowest=_tokens(told["lowest"], "lowest"),
        highest=_tokens(told["highest"], "highest"),
        half_life=_typed(told["half_life"], int, "half_life"),
        factor_bps=_typed(told["factor_bps"], int, "factor_bps"),
    )


def _code(folder: Path) -> bytes:
    try:
        found = (folder / SCORER).read_bytes()
    except OSError as error:
        raise UsageError(
            f"{SCORER} beside it cannot be read: {error.strerror}",
            remedy="Put the validators' program there; its hash goes to the ledger.",
        ) from error
    _check_code(found)
    return found


def _check_code(code: bytes) -> None:
    """Refuse, before anything is paid, what no validator can run; nothing of it is run here."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{SCORER} is no Python: {error}"[:300], remedy="Correct it.") from error
    for each in body:
        if isinstance(each, ast.FunctionDef) and each.name == "tasks":
            given = each.args
            if given.vararg is None and len(given.posonlyargs) + len(given.args) < 2:
                raise UsageError(
                    f"{SCORER} knows no themes: {WITHOUT_THEME}",
                    remedy="Write def tasks(random, theme).",
                )


def _table(table: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise UsageError(f"{name} is no table", remedy=f"Write [{name}] above its settings.")
    return value


def _check_known(table: Mapping[str, object], known: Mapping[str, object], where: str) -> None:
    if unknown := sorted(table.keys() - known.keys()):
        raise UsageError(
            f"[{where}] has {unknown[0]}, which is unknown", remedy=f"It may have {_list(known)}."
        )


def _typed(value: object, kind: type[_Value], name: str) -> _Value:
    """``value`` where it is of that very type: a bool is no number."""
    if type(value) is not kind:
        raise UsageError(
            f"{name} = {value!r} is no {_KINDS[kind]}"[:200],
            remedy="Compare it with a template's: `freehold subnet new image`.",
        )
    return value


def _tokens(value: object, name: str) -> int:
    if type(value) is int:
        return value * money.UNIT
    return money.parse(_typed(value, str, name))


def _list(known: Mapping[str, object]) -> str:
    return ", ".join(sorted(known))
