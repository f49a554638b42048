"""What must hold once processes were killed: what was acknowledged is there, and all adds up."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from freehold.audit.report import Report
from freehold.audit.verify import verify_live
from freehold.client.client import Client
from freehold.domain.errors import FreeholdError, NotFoundError
from freehold.domain.ids import Address
from freehold.ledger.book import MINED
from freehold.ledger.contracts.storage import ACTIVE
from freehold.ledger.ledger import Ledger
from freehold.markets.storage.piece import commit, parse_cid
from journeys.promises import Promises
from journeys.storm import wait_for
from journeys.town import Town
from journeys.worker import OPTIONS


@dataclass(frozen=True, slots=True)
class Aftermath:
    """A town whose network runs again, and what its clients were told."""

    town: Town
    told: Sequence[Promises]

    def check_objects(self, elsewhere: Path) -> int:
        """Every name means what it was said to mean, here and in an empty folder; how many."""
        with self.town.client(OPTIONS) as client:
            self._flush(client)
            self._read_all(client)
            self._check_deals(client)
        wallet = self.town.wallet.unlock(
            self.town.home.password(), network_id=self.town.network.network_id
        )
        with Client.open(self.town.network, wallet, elsewhere, options=OPTIONS) as client:
            assert client.refresh() == []
            return self._read_all(client)

    def _flush(self, client: Client) -> None:
        """Put on the chain what still waits; nodes may just be coming back."""
        failures: list[FreeholdError] = []

        def flushed() -> bool:
            try:
                client.flush()
            except FreeholdError as error:
                failures.append(error)
                return False
            return not any(named.pending for named in client.ls())

        try:
            wait_for("all promises are on the chain", flushed)
        except AssertionError as error:
            raise AssertionError(f"{error}: {failures[-3:]}") from error

    def _read_all(self, client: Client) -> int:
        names = {name: allowed for each in self.told for name, allowed in each.names.items()}
        for name, allowed in sorted(names.items()):
            sink = io.BytesIO()
            try:
                client.get(name, sink)
            except NotFoundError:
                assert None in allowed, f"{name} is gone; it should be {allowed}"
                continue
            contents = [value.content() for value in allowed if value is not None]
            found = f"{name} has {len(sink.getvalue())} other bytes, allowed are {allowed}"
            assert sink.getvalue() in contents, found
        listed = {named.name for named in client.ls()}
        sure = {name for name, allowed in names.items() if None not in allowed}
        assert sure <= listed <= names.keys()
        return len(names)

    def _check_deals(self, client: Client) -> None:
        opened = {deal for each in self.told for deal in each.opened}
        closed = {deal for each in self.told for deal in each.closed}
        for deal in opened:
            assert client.chain.deal(deal).client == client.wallet.account
        for deal in closed:
            assert client.chain.deal(deal).closed_at, f"deal {deal} is open again"

    def check_transactions(self, ledger: Ledger) -> int:
        """Every transaction that anybody saw mined is in a block of the chain; how many."""
        hashes = {name for each in self.told for name in each.transactions}
        books = sorted(self.town.home.root.rglob("sender.sqlite"))
        assert len(books) > len(self.town.home.nodes())
        for book in books:
            hashes |= _mined(book)
        for name in sorted(hashes):
            receipt = ledger.rpc.receipt(name)
            assert receipt is not None, f"transaction {name} was mined and is gone"
            assert ledger.rpc.header(receipt.block).hash == receipt.block_hash
        return len(hashes)

    def check_nodes(self, ledger: Ledger) -> None:
        """No node failed, and each proves again."""
        ledger.index.sync()
        failed = ledger.index.events("faults", "NodeFailed")
        assert not failed, failed
        rounds = ledger.beacon.round_count()
        sets = [ledger.faults.set_of(address) for address in self._nodes(ledger)]
        wait_for("a round was proven by all", lambda: _proven(ledger, sets, rounds))

    def _nodes(self, ledger: Ledger) -> Iterator[Address]:
        for event in ledger.index.events("faults", "NodeJoined"):
            yield event.address("node")

    def verify(self, ledger: Ledger) -> Report:
        """Anyone can check the whole chain."""
        report = verify_live([ledger.rpc], self.town.network)
        assert report.passed, report.difference
        return report

    def check_disks(self, ledger: Ledger) -> int:
        """What lies on each node's disk is what its records say and its deals need; bytes."""
        needed = self._needed(ledger)
        return sum(
            _check_disk(folder, needed.get(folder.name, set())) for folder in self.town.home.nodes()
        )

    def _needed(self, ledger: Ledger) -> dict[str, set[bytes]]:
        """Roots that each node must hold, by the name of its folder."""
        names = {_address(folder): folder.name for folder in self.town.home.nodes()}
        needed: dict[str, set[bytes]] = {}
        for event in ledger.index.events("storage", "DealOpened", limit=100_000):
            number = event.number("deal")
            for slot in range(ledger.storage.deal(number).n):
                column = ledger.storage.column(number, slot)
                if column.state == ACTIVE:
                    needed.setdefault(names[column.node], set()).add(column.root)
        return needed


def _address(folder: Path) -> str:
    from freehold.cli.wallets import keystore_address

    return keystore_address(folder / "key.json")


def _mined(book: Path) -> set[str]:
    with closing(sqlite3.connect(book)) as database:
        rows = database.execute("SELECT hash FROM sent WHERE state = ?", (MINED,)).fetchall()
    return {str(row[0]) for row in rows}


def _proven(ledger: Ledger, sets: Sequence[int], rounds: int) -> bool:
    """Whether every set owes nothing and has come past the first ``rounds`` rounds."""
    return ledger.beacon.round_count() > rounds and all(
        ledger.pdp.owed(number) == 0 and ledger.pdp.next_round(number) > rounds for number in sets
    )


def _check_disk(folder: Path, needed: set[bytes]) -> int:
    with closing(sqlite3.connect(folder / "node.sqlite")) as database:
        rows = database.execute("SELECT cid, root, size, bytes, fault FROM pieces").fetchall()
        uploads = dict(database.execute("SELECT id, offset FROM uploads").fetchall())
    pieces = {str(cid): (folder / "pieces" / cid, folder / "trees" / cid) for cid, *_ in rows}
    for where in ("pieces", "trees"):
        lying = {path.name for path in (folder / where).iterdir()}
        assert lying == pieces.keys(), f"{folder.name}/{where}: {lying ^ pieces.keys()} differ"
    for cid, root, size, room, fault in rows:
        data, tree = pieces[cid]
        assert not fault, f"{cid}: {fault}"
        assert (data.stat().st_size, data.stat().st_size + tree.stat().st_size) == (size, room)
        assert commit(data.read_bytes()) == parse_cid(cid), f"{data} holds other bytes"
        assert bytes(root) == parse_cid(cid).root
    for path in (folder / "incoming").iterdir():
        assert path.name in uploads, f"{path} is a leftover"
        assert path.stat().st_size >= uploads[path.name]
    missing = needed - {bytes(root) for _, root, *_ in rows}
    assert not missing, f"{folder.name} lacks {missing}"
    return sum(int(room) for _, _, _, room, _ in rows)
