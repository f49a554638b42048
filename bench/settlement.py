"""What it costs to pay everybody from one root, beside one transfer to each.

A tree of ``--accounts`` accounts is built twice, for two epochs, and its proofs are all made; CPU
seconds and the peak memory of the process are told. Its roots then go through the contract
``roots`` on pyrevm, where gas is a receipt's, to the unit: proposed by three watchers of five,
made final, claimed one by one and in batches of neighbours. The peer in the same run is the
network token's own ``transfer``, one to each account. "First" pays an account that never held the
token and was never paid, "again" one that was. An engine, where there is one, tells the same
story, and its receipts are compared row by row.

    uv run python bench/settlement.py --accounts 1000000 --json
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

if __package__ is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.anvil import running
from bench.chain import CHAIN_ID, GENESIS, Chain, Contract, Receipt, account
from bench.revm import Revm
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum, keccak
from freehold.domain.money import UNIT
from freehold.domain.typed import Domain, Struct
from freehold.economics.tree_hash import Words
from freehold.economics.trees import GRAIN, Span, Tree
from freehold.ledger.abi import artifact
from freehold.ledger.values import Value

NETWORK_ID = keccak(b"freehold benchmark network")
ATTESTATION = Struct(
    "Attestation(uint256 epoch,bytes32 root,uint256 count,bytes32 data,bytes32 parent)"
)
EPOCH, WINDOW = 86_400, 3_600
QUORUM, WATCHERS = 3, 5
BATCH, LARGEST = 100, 128
ANSWER_GAS, GAS_PRICE = 150_000, 10**9
CHUNK = 65_536
deployer = account("deployer")
proposer = account("proposer")
watchers = sorted(
    (account(f"watcher {number}") for number in range(WATCHERS)),
    key=lambda key: int(key.address, 16),
)


@dataclass(frozen=True, slots=True)
class Built:
    """CPU seconds to build a tree, to build and write the paths of all its accounts, to read the
    served data back and build it again; MiB of the process at most; MiB of data and of paths."""

    accounts: int
    depth: int
    tree_s: float
    paths_s: float
    checked_s: float
    tree_and_paths_s: float
    peak_mib: int
    data_mib: float
    paths_mib: float


@dataclass(frozen=True, slots=True)
class Row:
    """Gas of one transaction, of each account that it pays, and that through a transfer's."""

    kind: str
    gas: int
    paid: int = 1
    each: int = 0
    times_transfer: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """All figures; ``roots`` is the gas of proposing a root by the number of accounts."""

    built: Built
    rows: tuple[Row, ...]
    roots: dict[int, int]
    engine: str
    engine_difference: int | None


def columns(count: int, seed: int) -> tuple[np.typing.NDArray[np.uint8], Words]:
    """Random accounts and what they earned, up to ten tokens each."""
    draw = np.random.default_rng(seed)
    accounts = draw.integers(0, 256, (count, 20), dtype=np.uint8)
    return accounts, draw.integers(10**6, 10**10, count).astype(np.uint64)


def build(count: int) -> tuple[Built, Tree, Tree]:
    """Two epochs' trees of the same accounts, the first one timed."""
    accounts, grains = columns(count, 1)
    start = time.process_time()
    tree = Tree.of_columns(accounts, grains)
    made = time.process_time()
    for first in range(0, count, CHUNK):
        tree.paths(first, CHUNK).tobytes()
    proven = time.process_time()
    data = tree.data()
    if Tree.read(data).root != tree.root:
        raise ValueError("the served data give another root")
    checked = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    later = Tree.of_columns(accounts, grains + np.uint64(10**6))
    built = Built(
        accounts=count,
        depth=tree.depth,
        tree_s=round(made - start, 2),
        paths_s=round(proven - made, 2),
        checked_s=round(checked - proven, 2),
        tree_and_paths_s=round(proven - start, 2),
        peak_mib=peak,
        data_mib=round(len(data) / 2**20, 1),
        paths_mib=round(count * tree.depth * 32 / 2**20, 1),
    )
    return built, tree, later


@dataclass(slots=True)
class Market:
    """A token and the roots of one market on a benchmark's chain."""

    chain: Chain
    token: Contract
    roots: Contract
    rows: list[Row] = field(default_factory=list)
    tip: int = 1

    @classmethod
    def deploy(cls, chain: Chain, funds: int) -> Market:
        """Both contracts, watchers, a bond, and tokens for all rewards."""
        by = deployer.address
        for key in (deployer, proposer):
            chain.give(key.address, 10**20)
        token = _create(chain, "token", "Freehold", "FREE", 10**9 * UNIT, NETWORK_ID, by)
        rules = (WINDOW, WINDOW, 2 * funds, 2**63, 4_000)
        payments = _create(chain, "payments", token.address, NETWORK_ID, by, by)
        nobody = (ZERO_ADDRESS,) * 3
        roots = _create(
            chain, "roots", token.address, payments.address, *nobody, by, NETWORK_ID, GENESIS,
            EPOCH, rules,
        )  # fmt: skip
        market = cls(chain, token, roots)
        market.prepare(funds)
        return market

    def prepare(self, funds: int) -> None:
        """Everything before the first root."""
        by = deployer.address
        self.token.send("set_minter", by, True, by=by)
        for owner, amount in ((by, funds * 2), (proposer.address, funds * 2)):
            self.token.send("mint", owner, amount, 4, by=by)
            self.token.send("approve", self.roots.address, 2**255, by=owner)
        names = [key.address for key in watchers]
        self.roots.send("set_watchers", names, QUORUM, by=by)
        self.roots.send("post_bond", funds * 2, by=proposer.address)
        self.roots.send("fund", 0, funds, by=by)

    def propose(self, epoch: int, tree: Tree) -> tuple[Receipt, Value]:
        """A root over an epoch that has just ended; its receipt and header."""
        self.chain.warp(EPOCH)
        data, root = keccak(tree.data()), tree.root.to_bytes(32, "big")
        (parent,) = self.roots.read("headers", self.tip)
        if not isinstance(parent, bytes):
            raise TypeError("a header's hash is no bytes")
        domain = Domain("Freehold roots", CHAIN_ID, self.roots.address, NETWORK_ID)
        digest = ATTESTATION.digest(domain, (epoch, root, tree.count, data, parent))
        signatures = [key.sign(digest) for key in watchers[:QUORUM]]
        sent = self.roots.send(
            "propose", epoch, tree.root, tree.count, data, signatures, by=proposer.address
        )
        self.tip += 1
        return sent, self.roots.event(sent, "Proposed").args["header"]

    def settle(self, epoch: int, tree: Tree, kind: str) -> Value:
        """A root, one of its leaves demanded and answered, made final; its header."""
        sent, header = self.propose(epoch, tree)
        prepaid = ANSWER_GAS * GAS_PRICE
        asked = self.roots.send("demand", header, 0, by=deployer.address, value=prepaid)
        number = self.roots.event(asked, "Demanded").number("id")
        answered = self.roots.send("answer", number, header, proof(tree, 0), by=proposer.address)
        self.chain.warp(WINDOW + 1)
        final = self.roots.send("finalize", header, by=deployer.address)
        self.rows += [
            Row(f"propose a root, {kind}", sent.gas),
            Row(f"demand a leaf, {kind}", asked.gas),
            Row(f"answer it, {kind}", answered.gas),
            Row(f"make a root final, {kind}", final.gas),
        ]
        return header

    def disprove(self, epoch: int, parent: Value, before: Tree) -> None:
        """A root that moves a grain from one account to the next falls, and the bond with it."""
        grains = before.grains.copy()
        grains[:2] += np.array([-1, 1]).astype(np.uint64)
        false = Tree.of_columns(before.accounts, grains)
        _, header = self.propose(epoch, false)
        shown = [proof(false, 0)]
        done = self.roots.send(
            "dispute_sunk", header, parent, proof(before, 0), shown, by=deployer.address
        )
        self.rows.append(Row("disprove a root", done.gas))
        taken = self.roots.send("settle", header, deployer.address, by=deployer.address)
        self.rows.append(Row("take the bond for it", taken.gas))

    def claim(self, epoch: int, tree: Tree, index: int, kind: str) -> None:
        """One account's claim."""
        leaf = tree.leaf(index)
        gas = self.roots.send(
            "claim", epoch, leaf.account, leaf.grains, index, tree.path(index), by=deployer.address
        ).gas
        self.rows.append(Row(f"claim, {kind}", gas))

    def batch(self, epoch: int, tree: Tree, span: Span, kind: str) -> None:
        """Neighbours' claims with one proof."""
        leaves = [(leaf.account, leaf.grains) for leaf in span.leaves]
        gas = self.roots.send(
            "claim_many", epoch, span.first, leaves, tree.depth, span.beside, by=deployer.address
        ).gas
        self.rows.append(Row(f"claim {len(leaves)}, {kind}", gas, len(leaves)))

    def transfer(self, to: Address, kind: str) -> None:
        """The peer."""
        gas = self.token.send("transfer", to, 10**6 * GRAIN, by=deployer.address).gas
        self.rows.append(Row(f"transfer, {kind}", gas))


def proof(tree: Tree, index: int) -> tuple[str, int, int, tuple[int, ...]]:
    """A leaf's proof as the contract takes it."""
    leaf = tree.leaf(index)
    return leaf.account, leaf.grains, index, tree.path(index)


def story(chain: Chain, tree: Tree, later: Tree) -> tuple[Row, ...]:
    """Both epochs, and the peer's transfers; batches where there are accounts enough."""
    market = Market.deploy(chain, later.total * GRAIN)
    middle = tree.count // 2
    for epoch, made, kind in ((0, tree, "first"), (1, later, "again")):
        header = market.settle(epoch, made, kind)
        market.claim(epoch, made, middle, kind)
        for first, size in ((0, BATCH), (BATCH, LARGEST)):
            if first + size <= middle:
                market.batch(epoch, made, made.span(first, size), kind)
        market.transfer(account("receiver").address, kind)
    market.disprove(2, header, later)
    return _rated(market.rows)


def by_count(counts: list[int]) -> dict[int, int]:
    """Gas of a root that is not the first one, by accounts."""
    found = {}
    for count in counts:
        accounts, grains = columns(count, 2)
        trees = [Tree.of_columns(accounts, grains + np.uint64(more)) for more in (0, 10**6)]
        market = Market.deploy(Revm(), trees[1].total * GRAIN)
        market.settle(0, trees[0], "first")
        found[count] = market.propose(1, trees[1])[0].gas
    return found


def receipts(tree: Tree, later: Tree, rows: tuple[Row, ...]) -> tuple[str, int | None]:
    """The engine and the largest difference of its receipts, None where there is none."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="freehold-settlement-") as scratch,
            running(Path(scratch)) as chain,
        ):
            chain.mine()
            others = story(chain, tree, later)
    except UnavailableError as error:
        return error.message, None
    pairs = zip(rows, others, strict=True)
    return "anvil", max(abs(ours.gas - theirs.gas) for ours, theirs in pairs)


def measure(count: int, *, engine: bool) -> Report:
    """All figures for a number of accounts."""
    built, tree, later = build(count)
    rows = story(Revm(), tree, later)
    compared = receipts(tree, later, rows) if engine else ("not asked", None)
    roots = by_count([1, 1_000, min(count, 100_000)])
    return Report(built, rows, roots, *compared)


def _rated(rows: list[Row]) -> tuple[Row, ...]:
    """With the gas for each account, and through the transfer of the same kind."""
    peers = {kind: _only(rows, f"transfer, {kind}") for kind in ("first", "again")}
    found = []
    for row in rows:
        each = round(row.gas / row.paid)
        paying = row.kind.startswith(("claim", "transfer"))
        times = round(each / peers[row.kind.rpartition(", ")[2]], 3) if paying else 0.0
        found.append(Row(row.kind, row.gas, row.paid, each, times))
    return tuple(found)


def _only(rows: list[Row], kind: str) -> int:
    (row,) = (row for row in rows if row.kind == kind)
    return row.gas


def _create(chain: Chain, name: str, *args: object) -> Contract:
    made = artifact(name)
    address, _ = chain.create(deployer.address, made.initcode(args))
    return Contract(chain, made, checksum(bytes.fromhex(address[2:])))


def show(report: Report) -> None:
    """The figures as a table."""
    made = report.built
    print(f"{made.accounts:,} accounts: tree {made.tree_s} s, all paths {made.paths_s} s CPU, ")
    print(f"checked again from the data {made.checked_s} s; at most {made.peak_mib} MiB")
    for row in report.rows:
        times = f"{row.times_transfer:8.2f} x" if row.times_transfer else ""
        print(f"{row.gas:12,} {row.each:10,} {times:10}  {row.kind}")
    print("a root by accounts:", ", ".join(f"{n:,}: {gas:,}" for n, gas in report.roots.items()))
    print(f"engine: {report.engine}, largest difference {report.engine_difference}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench/settlement.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--accounts", type=int, default=1_000_000, help="leaves of the tree")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-receipts", action="store_true", help="compare with no engine")
    options = parser.parse_args()
    report = measure(options.accounts, engine=not options.no_receipts)
    if options.json:
        print(json.dumps(asdict(report), indent=1))
    else:
        show(report)


if __name__ == "__main__":
    main()
