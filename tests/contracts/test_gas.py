"""What transactions cost, against docs/reference/gas.json: growth must be seen and meant."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from freehold.domain.errors import UnavailableError
from freehold.ledger.devnet import engine
from freehold.markets.storage.piece import commit, leaf_count
from freehold.markets.storage.proof import verify

pytest.importorskip(
    "pyrevm",
    reason="pyrevm has no wheel for this platform: contract tests need x86-64, 3.11-3.12",
)

if TYPE_CHECKING:
    from bench.scale import Report
    from bench.story import Row

pytestmark = pytest.mark.xdist_group("gas")  # one worker tells the story once

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
AGAIN = "run `uv run python bench/gas.py --write` and say in the changelog why"
TRANSACTION_CAP = 16_777_216  # EIP-7825
PROOF_TARGET = 260_000
COUNTING_TARGET = 15_000
MIB = 2**20


@cache
def snapshot() -> Any:
    """The committed figures."""
    return json.loads((REFERENCE / "gas.json").read_text(encoding="utf-8"))


@cache
def measured() -> tuple[Row, ...]:
    """The story, told now."""
    from bench.gas import modelled

    return modelled()


@cache
def networks() -> Report:
    """Two small networks and some clients."""
    from bench.scale import measure

    return measure([10, 20], [1, 10], 20, 64 * MIB)


def named(rows: Any) -> dict[str, tuple[int, int]]:
    """Gas and calldata by chapter and kind."""
    return {f"{row['chapter']}: {row['kind']}": (row["gas"], row["calldata"]) for row in rows}


def test_every_transaction_costs_what_the_snapshot_says() -> None:
    from dataclasses import asdict

    found = named([asdict(row) for row in measured()])
    assert found == named(snapshot()["transactions"]), AGAIN


def test_proofs_cost_what_the_snapshot_says_by_size_of_set() -> None:
    from dataclasses import asdict

    from bench import sets

    found = [asdict(each) for each in sets.measure((1, 10, 100))]
    assert found == snapshot()["sets"][:3], AGAIN


def test_five_challenges_over_a_hundred_pieces_stay_under_the_target() -> None:
    (hundred,) = [each for each in snapshot()["sets"] if each["pieces"] == 100]
    assert snapshot()["column_mib"] == 64
    assert hundred["most"] < PROOF_TARGET


def test_counting_costs_a_proof_what_the_snapshot_says() -> None:
    from dataclasses import asdict

    from bench import work

    found = [asdict(each) for each in work.measure()]
    assert found == snapshot()["work"], AGAIN
    extra = {each["kind"]: each["gas"] - each["without"] for each in found}
    for kind in (
        "again in an epoch",
        "first of an epoch, the last one closed",
        "first of an epoch, the last one not closed",
    ):
        assert extra[kind] < COUNTING_TARGET


def test_every_transaction_fits_into_a_block() -> None:
    wide = [row.gas for row in measured() if row.kind.startswith("open 20 of 30")]
    assert len(wide) == 2
    assert max(row.gas for row in measured()) <= TRANSACTION_CAP


def test_the_page_tells_the_snapshot() -> None:
    from bench.page import render

    page = (REFERENCE / "gas.md").read_text(encoding="utf-8")
    assert page == render(snapshot()), AGAIN


def test_the_snapshot_was_compared_with_receipts() -> None:
    compared = snapshot()["compared"]
    assert compared["rows"] == len(snapshot()["transactions"])
    assert compared["difference"] == 0


def test_a_thousand_nodes_cost_each_what_ten_do() -> None:
    networks = snapshot()["scale"]
    assert [row["nodes"] for row in networks["by_nodes"]] == [10, 100, 1_000]
    first, *others = networks["by_nodes"]
    for row in others:
        assert row["columns_per_node"] == first["columns_per_node"]
        for name in ("node_gas_per_month", "shared_gas_per_node_month"):
            assert row[name] <= first[name] * 1.1
        assert row["node_transactions_per_day"] <= first["node_transactions_per_day"] * 1.1


def test_a_proof_does_not_cost_more_with_more_clients() -> None:
    networks = snapshot()["scale"]
    assert [row["clients"] for row in networks["by_clients"]] == [1, 10, 100]
    assert networks["proof_growth_with_clients"] == 1.0
    daily = {row["node_transactions_per_day"] for row in networks["by_clients"]}
    assert len(daily) == 1


def test_small_networks_keep_the_same_laws_now() -> None:
    found = networks()
    assert found.proof_growth_with_clients == 1.0
    assert found.proof_growth_with_nodes < 1.02
    assert found.growth_with_nodes < 1.1
    assert {row.columns_per_node for row in found.by_nodes} == {6.0}
    assert {row.node_transactions_per_day for row in found.by_clients} == {
        found.by_nodes[0].node_transactions_per_day
    }


def test_the_smallest_network_costs_what_the_snapshot_says() -> None:
    from dataclasses import asdict

    found = json.loads(json.dumps(asdict(networks().by_nodes[0])))
    assert found == snapshot()["scale"]["by_nodes"][0], AGAIN


@pytest.mark.parametrize("size", [1, 31, 126, 127, 128, 254, 300, 65_024, 65_025, 200_001])
def test_pieces_of_the_benchmarks_are_real(size: int) -> None:
    from bench.pieces import pattern

    piece = pattern(size, size)
    real = commit(piece.payload(size))
    assert (piece.root, piece.height, piece.leaves) == (real.root, real.height, leaf_count(real))
    for leaf in {0, piece.leaves // 2, piece.leaves - 1}:
        assert verify(piece.root, piece.height, leaf, piece.proof(leaf))


def test_least_set_grows_with_the_price_of_gas() -> None:
    from bench.page import least_tib

    assert least_tib(250_000, 1e-6) == pytest.approx(30 * 0.25 / (0.05 * 2.5 * 0.995))
    assert least_tib(250_000, 2e-6) == pytest.approx(2 * least_tib(250_000, 1e-6))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    try:
        engine.install()
    except UnavailableError as error:
        pytest.skip(f"no anvil here to compare receipts with: {error.message}")
    return tmp_path


def test_the_figures_are_those_of_real_receipts(scratch: Path) -> None:
    from bench.gas import real

    found = [(row.kind, row.gas) for row in real(scratch)]
    assert found == [(row.kind, row.gas) for row in measured()]
