"""A network on a real chain lives through a random history; anyone can check all of it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from freehold.audit.evidence import evidence
from freehold.audit.export import export
from freehold.audit.verify import verify_file, verify_live
from freehold.domain.errors import IntegrityError, NotFoundError, UnavailableError
from freehold.domain.ids import address
from freehold.domain.network import Network
from freehold.ledger.devnet import engine
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.rpc import Rpc

pytestmark = pytest.mark.journey
STEPS = 100


@dataclass(frozen=True, slots=True)
class Lived:
    """A network that has lived, its RPC, and the export of its chain."""

    network: Network
    rpc: Rpc
    path: Path


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """A network with deals, proofs, faults, payments and repairs on a devnet."""
    from contracts.live import LiveChain
    from contracts.scene import PEOPLE, Scene

    try:
        engine.install()
    except UnavailableError as error:
        pytest.skip(f"no engine for a devnet: {error.message}")
    folder = tmp_path_factory.mktemp("verify")
    with (
        Devnet.start(folder, admin=True) as devnet,
        Rpc([devnet.url], chain_id=devnet.chain_id) as rpc,
    ):
        chain = LiveChain(rpc, devnet.funder, PEOPLE)
        scene = Scene(chain, random.Random(7))
        network = Network(
            name="lived",
            chain_id=devnet.chain_id,
            network_id=bytes(range(32)),
            contracts={n: address(c.address) for n, c in scene.found.items()},
            parameters={},
            rpc_urls=(devnet.url,),
            deployed_block=chain.first_block or 0,
        )
        for _ in range(STEPS):
            scene.step()
        path = folder / "chain.jsonl"
        export(rpc, network, path)
        yield Lived(network, rpc, path)


def test_the_network_verifies_live(lived: Lived) -> None:
    report = verify_live([lived.rpc, lived.rpc], lived.network)
    assert report.passed, report.difference
    assert report.notes == ()
    for check in ("proofs", "paths", "settlements", "claims", "acceptances", "slashes", "deals"):
        assert report.counts[check] > 0, check
    assert report.figures["supply"] == report.figures["minted"] - report.figures["burned"]


def test_the_export_verifies_and_names_what_is_changed(lived: Lived, tmp_path: Path) -> None:
    assert verify_file(lived.path, network=lived.network).passed
    lines = lived.path.read_bytes().splitlines(keepends=True)
    draw = random.Random(11)
    for number in draw.sample(range(len(lines)), 12):
        at = draw.randrange(len(lines[number]))
        changed = bytes([lines[number][at] ^ 1])
        broken = [*lines[:number], lines[number][:at] + changed + lines[number][at + 1 :]]
        path = tmp_path / "broken.jsonl"
        path.write_bytes(b"".join([*broken, *lines[number + 1 :]]))
        report = verify_file(path)
        assert report.difference is not None
        assert report.difference.place.line == number + 1


def test_the_evidence_of_a_deal_stands_alone(lived: Lived, tmp_path: Path) -> None:
    found = evidence(lived.path, 1)
    content = json.loads(found.to_json())
    names = [event["event"] for event in content["events"]]
    assert names.count("DealOpened") == 1
    assert "Proven" in names
    settled = [event for event in content["events"] if event["event"] == "RailSettled"]
    for event in settled:
        sums = event["reckoning"]
        scaled = sums["price_per_tib_month"] * sums["bytes"] * sums["seconds_proven"]
        assert (scaled + sums["carried_in"]) // sums["unit"] == event["arguments"]["paid"]
    assert {str(event["block"]) for event in content["events"]} == set(content["blocks"])
    assert "everything agrees" in found.render()
    with pytest.raises(NotFoundError, match="no deal 999"):
        evidence(lived.path, 999)
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(lived.path.read_bytes()[:-200])
    with pytest.raises(IntegrityError, match="does not hold"):
        evidence(broken, 1)
