"""The schema that a subnet's models must have: found anywhere, believed by its hash alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.cli.competition import FILE, folder_of, is_local
from freehold.domain.errors import FreeholdError, UsageError

if TYPE_CHECKING:
    from freehold.cli.subnet.named import Found
    from freehold.ledger.ledger import Ledger
    from freehold.markets.models.tensor import Schema


def find_schema(ledger: Ledger, found: Found, *, model: Path, given: Path | None) -> Schema | None:
    """The schema whose hash the ledger has: of the file ``given``, of a subnet.toml beside the
    model, of the subnet's folder, or of a node; None where nobody shows it.

    UsageError where the file that was given has another one.
    """
    if given is not None:
        return _given(found, given)
    for look in _places(ledger, found, model):
        schema = look()
        if schema is not None and schema.hash() == found.task.schema:
            return schema
    return None


def _given(found: Found, given: Path) -> Schema:
    from freehold.node.workloads.models.daemon import read_schema

    schema = read_schema(given.expanduser())
    if schema.hash() != found.task.schema:
        raise UsageError(
            f"the schema in {given} is not that of {found.name}",
            remedy="Leave --schema out: it is asked of the subnet's nodes.",
        )
    return schema


def _places(ledger: Ledger, found: Found, model: Path) -> Iterator[Callable[[], Schema | None]]:
    yield lambda: _of_file(model.parent / FILE)
    folder = folder_of(ledger.subnet.uri_of(found.id)) if is_local(ledger.network) else None
    if folder is not None:
        yield lambda: _of_file(folder / FILE)
    yield lambda: _of_nodes(ledger, found)


def _of_file(file: Path) -> Schema | None:
    from freehold.node.workloads.models.daemon import read_schema

    if not file.is_file():
        return None
    try:
        return read_schema(file)
    except FreeholdError:
        return None


def _of_nodes(ledger: Ledger, found: Found) -> Schema | None:
    from freehold.client.asking.standing import LedgerRanking

    ranking = LedgerRanking(ledger, plain=is_local(ledger.network))
    return ranking.load(found.name).schema
