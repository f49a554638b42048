"""Verify an export or a live chain: run every check in order and name the first that differs."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from freehold.audit import blocks, lines
from freehold.audit.claims import Claim
from freehold.audit.export import Progress, Rpc, export
from freehold.audit.lines import Line
from freehold.audit.quantity import data_of, mapping_of
from freehold.audit.report import Difference, Differs, Place, Report, Spot
from freehold.audit.world import Observer, World
from freehold.domain.errors import FreeholdError, UsageError
from freehold.domain.network import Network

CHECK = "export"


def _quiet(_stage: str, _done: int, _total: int) -> None:
    return None


def verify_file(
    path: Path,
    *,
    network: Network | None = None,
    head: bytes | None = None,
    progress: Progress = _quiet,
    observer: Observer | None = None,
) -> Report:
    """Verify an export.

    ``network`` is the descriptor that it must be of, ``head`` the block hash that it must end
    in; without them the export is only checked against itself. ``observer`` hears of each event
    once it was recomputed. UsageError when it cannot be read.
    """
    try:
        with path.open("rb") as source:
            size = path.stat().st_size
            return Verification(network=network, head=head, observer=observer).run(
                source, lambda done: progress("verify", done, size)
            )
    except OSError as error:
        raise UsageError(
            f"the export {path} cannot be read: {error.strerror}",
            remedy="Name a file made by `freehold verify --export`.",
        ) from error


def verify_live(
    rpcs: Sequence[Rpc],
    network: Network,
    *,
    keep: Path | None = None,
    progress: Progress = _quiet,
    observer: Observer | None = None,
) -> Report:
    """Export from the first RPC, verify, and ask the others for the same head.

    ``keep`` is where the export stays; without it, it is removed. UnavailableError when the first
    RPC cannot be read as it stands.
    """
    with tempfile.TemporaryDirectory(prefix="freehold-verify-") as folder:
        path = keep or Path(folder) / "chain.jsonl"
        summary = export(rpcs[0], network, path, progress=progress)
        report = verify_file(
            path, network=network, head=summary.head.hash, progress=progress, observer=observer
        )
    notes, difference = list(report.notes), report.difference
    for index, rpc in enumerate(rpcs[1:], start=2):
        found = _hash_at(rpc, summary.head.number)
        if isinstance(found, str):
            notes.append(f"RPC {index} could not be asked: {found}")
        elif found != summary.head.hash and difference is None:
            difference = Difference(
                "rpc", f"the head as RPC {index} has it", Place(block=summary.head.number),
                "0x" + summary.head.hash.hex(), "0x" + found.hex(),
            )  # fmt: skip
    return report.but(notes=tuple(notes), difference=difference)


class Verification:
    """One pass over an export; `run` gives the report."""

    def __init__(
        self,
        *,
        network: Network | None = None,
        head: bytes | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer
        self._wanted = network
        self._head = head
        self._counts: Counter[str] = Counter()
        self._network: Network | None = None
        self._first = 0
        self._seal = lines.FIRST_SEAL
        self._world: World | None = None
        self._blocks = 0
        self._claims = 0
        self._ended = False

    @property
    def world(self) -> World | None:
        """What was recomputed so far."""
        return self._world

    def run(self, source: BinaryIO, progress: Callable[[int], None] = lambda _: None) -> Report:
        """Check every line in order, up to the first that differs."""
        difference: Difference | None = None
        place = Place()
        try:
            for line in lines.read(source):
                place = line.place
                self._take(line)
                progress(line.end)
            self._finish(Spot(CHECK, place))
        except Differs as failure:
            difference = failure.at(place).difference
        except (FreeholdError, LookupError, TypeError, ValueError, ArithmeticError) as failure:
            # A record that names what never was breaks a model instead of a comparison.
            spot = Spot(CHECK, place)
            found = f"{type(failure).__name__}: {failure}"
            difference = spot.differs(
                "a record", expected="one that can be", found=found
            ).difference
        return self._report(difference)

    def _take(self, line: Line) -> None:
        if self._ended:
            raise Spot(CHECK, line.place).differs("the end", expected="nothing", found=line.kind)
        if (line.number == 1) != (line.kind == "export"):
            raise Spot(CHECK, line.place).differs(
                "the first line", expected="export", found=line.kind
            )
        handler = {
            "export": self._open, "block": self._block, "claim": self._claim, "end": self._end,
        }[line.kind]  # fmt: skip
        handler(line)
        self._seal = line.seal

    def _open(self, line: Line) -> None:
        spot = Spot(CHECK, line.place)
        spot.same("the version", expected=lines.VERSION, found=line.fields.get("version"))
        lines.check_seal(line, self._seal)
        try:
            network = Network.parse(json.dumps(line.fields.get("network")))
        except FreeholdError as error:
            raise spot.field("network").differs(
                "the descriptor", expected="a network", found=error.message
            ) from error
        if self._wanted is not None:
            spot.field("network").same(
                "the contracts of the network",
                expected=(self._wanted.chain_id, self._wanted.network_id,
                          dict(self._wanted.contracts)),
                found=(network.chain_id, network.network_id, dict(network.contracts)),
            )  # fmt: skip
        first = line.fields.get("first_block")
        spot.field("first_block").same(
            "the first block", expected=network.deployed_block, found=first
        )
        self._network, self._first = network, network.deployed_block
        self._world = World(network, self._counts, self._observer)

    def _block(self, line: Line) -> None:
        world = self._opened(line)
        block = blocks.parse(line)
        number = Spot(blocks.CHECK, line.place).field("number")
        if world.head is None:
            number.same("the first block", expected=self._first, found=block.header.number)
        blocks.check_link(block, world.head, world.contracts)
        lines.check_seal(line, self._seal)
        self._counts["blocks"] += 1
        self._counts["transactions"] += len(block.transactions)
        self._blocks += 1
        world.see(block)

    def _claim(self, line: Line) -> None:
        world = self._opened(line)
        claim = Claim.parse(line)
        world.check_claim(claim)
        lines.check_seal(line, self._seal)
        self._claims += 1

    def _end(self, line: Line) -> None:
        world, spot = self._opened(line), Spot(CHECK, line.place)
        head = "0x" + world.head.hash.hex() if world.head else None
        told = {"blocks": self._blocks, "claims": self._claims, "head": head}
        for name, value in told.items():
            spot.field(name).same("the end", expected=value, found=line.fields.get(name))
        spot.same("the fields of the end", expected=sorted(told), found=sorted(line.fields))
        lines.check_seal(line, self._seal)
        self._ended = True

    def _opened(self, line: Line) -> World:
        if self._world is None:
            raise Spot(CHECK, line.place).differs("the first line", expected="export", found="none")
        return self._world

    def _finish(self, spot: Spot) -> None:
        spot.same("the last line", expected="end", found="end" if self._ended else "cut off")
        if self._world is None or self._world.head is None:
            return
        models = self._world.models
        models.balances.check_supply(Spot("balances", spot.place))
        if self._head is not None:
            found = self._world.head.hash
            place = Place(block=self._world.head.number, field="hash")
            Spot("headers", place).same("the head", expected=self._head, found=found)

    def _report(self, difference: Difference | None) -> Report:
        world = self._world
        head = world.head if world else None
        return Report(
            network=self._network.name if self._network else "",
            first_block=self._first,
            head_block=head.number if head else 0,
            head_hash="0x" + head.hash.hex() if head else "",
            counts=dict(sorted(self._counts.items())),
            figures=world.figures() if world else {},
            notes=tuple(world.notes()) if world else (),
            difference=difference,
            head_time=head.timestamp if head else 0,
        )


def _hash_at(rpc: Rpc, number: int) -> bytes | str:
    """A block's hash by another RPC, or why it cannot be told."""
    try:
        answer = rpc.request("eth_getBlockByNumber", hex(number), False)
        return data_of(mapping_of(answer, "block"), "hash")
    except FreeholdError as error:
        return error.message
