"""Every shard is read from real nodes; a byte changed behind a node's back is named."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from freehold.audit.verify import verify_live
from freehold.cli.screen import Screen
from freehold.cli.shards import read_object
from freehold.ledger.plan import DEVNET
from freehold.markets.storage.piece import cid_from
from journeys.town import Town

pytestmark = pytest.mark.journey
SIZE = 3 * 2**20 + 17


def test_a_changed_byte_of_a_shard_names_its_node_and_place(tmp_path: Path) -> None:
    town = Town.found(tmp_path / "town", parameters=DEVNET)
    try:
        root, password = town.home.root, town.home.root / "password"
        with town.client() as client:
            client.put(secrets.token_bytes(SIZE), "attic/whole")
            client.flush()
            deal = client.info("attic/whole").deal
        assert deal is not None
        report = read_object(Screen(as_json=True), root, password, "attic/whole")
        assert report.passed, report
        assert report.opened, "the owner's keys open head and segments"
        assert sum(column.bytes_read for column in report.columns) == 6 * deal.record.size

        victim = deal.columns[4].record
        cid = cid_from(victim.root, deal.record.size, deal.record.height)
        piece = piece_file(town, victim.node, cid)
        at = deal.record.size // 2
        with piece.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 0x20]))

        report = read_object(Screen(as_json=True), root, password, "attic/whole")
        assert [(c.slot, c.node, c.offset, c.segment) for c in report.differing] == [
            (4, victim.node, at, 0)
        ]
        assert report.fault is None, "the other five still decode alike"
        with town.ledger() as ledger:
            chain = verify_live([ledger.rpc], ledger.network)
            assert chain.passed, chain.difference
            assert chain.counts["acceptances"] >= 6
    finally:
        town.stop()


def piece_file(town: Town, node: str, cid: str) -> Path:
    """The file of a piece in its node's store."""
    folder = next(
        folder
        for folder in town.home.nodes()
        if json.loads((folder / "ready.json").read_text())["node"] == node
    )
    found = [p for p in folder.rglob(f"*{cid}*") if p.is_file()]
    return max(found, key=lambda path: path.stat().st_size)
