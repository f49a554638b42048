"""``verify --data``: every shard of one object, read from its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from freehold.audit.data import ColumnReport, DataReport, Target, verify_object
from freehold.cli.home import open_home
from freehold.cli.live import names_of
from freehold.cli.names import find_object
from freehold.cli.plain import plain
from freehold.cli.screen import Screen
from freehold.cli.session import open_client
from freehold.client.client import Client
from freehold.client.reading import RemoteColumn
from freehold.client.wallet import Wallet
from freehold.domain.errors import ConflictError
from freehold.markets.storage.header import open_header
from freehold.markets.storage.manifest import Location, Manifest
from freehold.markets.storage.seal import open_segment


@dataclass(frozen=True, slots=True)
class OwnerKeys:
    """An account's keys to one of its objects, as the audit uses them."""

    wallet: Wallet
    place: Location

    def open_head(self, header: bytes) -> Manifest:
        return open_header(
            header,
            object_id=self.place.object_id,
            seed=self.wallet.seed,
            account=self.wallet.account,
        )

    def open_segment(self, index: int, count: int, sealed: memoryview) -> bytes:
        return open_segment(
            sealed,
            key=self.place.content_key,
            object_id=self.place.object_id,
            index=index,
            count=count,
        )


@dataclass(frozen=True, slots=True)
class _Columns:
    """A client's columns as the audit reads them."""

    columns: dict[int, RemoteColumn]

    def read(self, target: Target, offset: int, length: int) -> bytes:
        return self.columns[target.slot].fetch(offset, length)


def read_object(
    screen: Screen, root: Path | None, password_file: Path | None, name: str
) -> DataReport:
    """Read all of an object's columns and check them; the report names what differs."""
    with open_client(root, password_file) as client:
        return read_over(client, screen, root, name)


def read_over(client: Client, screen: Screen, root: Path | None, name: str) -> DataReport:
    """The same over a client that is open."""
    report = read_columns(client, name, screen)
    _show(screen, root, name, report)
    return report


def check_stored(client: Client, name: str) -> None:
    """NotFoundError or ConflictError, told before any work, when there is nothing to read."""
    if find_object(client, name).pending:
        raise _pending(name)


def read_columns(client: Client, name: str, screen: Screen) -> DataReport:
    """Read and check them over a client, opening head and segments with the account's keys."""
    info = client.info(name)
    deal = info.deal
    if deal is None:
        raise _pending(name)
    columns = client.library.columns(deal.id)
    targets = [
        Target(slot, c.record.node, c.record.root, c.deal.size, c.deal.height)
        for slot, c in sorted(columns.items())
    ]
    total = deal.record.size * len(targets)
    with screen.progress(f"reading {name}", total) as advance:
        return verify_object(
            targets,
            k=deal.record.k,
            source=_Columns(columns),
            keys=OwnerKeys(client.wallet, info.named.put.location),
            progress=lambda _stage, done, whole: advance(done, whole),
        )


def _pending(name: str) -> ConflictError:
    return ConflictError(
        f"{name!r} is still pending: no node holds it yet",
        remedy="Send it with `freehold put --flush`, or wait for its pack.",
    )


def _show(screen: Screen, root: Path | None, name: str, report: DataReport) -> None:
    names = names_of(open_home(root))
    screen.table(
        f"{name}: {report.segments} segments decoded from {report.subsets} choices of columns",
        ("column", "node", "bytes read", "found"),
        [
            (
                column.slot,
                names.get(column.node, column.node),
                f"{column.bytes_read:,}",
                "[green]whole[/]" if column.fault is None else f"[red]{_fault(column)}[/]",
            )
            for column in report.columns
        ],
    )
    if report.fault is not None:
        screen.say(f"[red]✗ {plain(report.fault)}[/]")
    elif report.passed:
        screen.say("[green]✓ every shard is what the ledger says, and opens with your keys[/]")


def _fault(column: ColumnReport) -> str:
    if column.offset is None:
        return plain(str(column.fault))
    place = "its head" if column.segment is None else f"segment {column.segment}"
    return plain(f"{column.fault}; it first differs at byte {column.offset:,}, in {place}")
