"""Repairs in order of need, whatever else is opened on the same network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

from freehold.client.repair import Repaired, Repairer
from freehold.domain.errors import CapacityError, RefusedError
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum
from freehold.ledger.contracts.storage import ACTIVE, Column, Deal, Mandate
from freehold.ledger.ledger import Ledger
from freehold.node.watcher import medic
from freehold.node.watcher.columns import Columns, Placed
from freehold.node.watcher.judge import Judge, Patient
from freehold.node.watcher.medic import Medic
from freehold.node.watcher.metrics import Metrics

BAD = checksum(b"\x0b" * 20)
ME = checksum(b"\x0e" * 20)
NOW = 1_000_000


def placed(number: int, *, k: int = 4, n: int = 6, rail: int = 0) -> Placed:
    mandate = Mandate(0, 0, 1, NOW * 2, 0, 4)
    deal = Deal(
        ME, ZERO_ADDRESS, bytes(32), k, n, 300, 4, NOW, NOW * 2, 0, mandate, 0, 0, b""
    )  # fmt: skip
    column = Column(BAD, bytes(32), 0, rail or number, 1, 0, 0, 0, ACTIVE, 0, ME, False)
    return Placed(number, 0, deal, column)


@dataclass
class World:
    """Columns on one failed node, and what the repairer and the market refuse."""

    columns: list[Placed]
    hopeless: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    tried: list[int] = field(default_factory=list)
    claimed: list[int] = field(default_factory=list)

    def on(self, node: Address) -> Iterator[Placed]:
        return iter(self.columns)

    def at(self, deal: int, slot: int) -> Placed:
        return next(c for c in self.columns if c.number == deal)

    def patients(self) -> Iterator[Patient]:
        yield Patient(BAD, 1, "failed")

    def repair(self, deal: int, slot: int) -> Repaired:
        self.tried.append(deal)
        if deal in self.hopeless:
            raise CapacityError("no node takes it", remedy="-")
        self.columns = [c for c in self.columns if c.number != deal]
        return Repaired(deal, slot, ME, "0x")

    def claim_repair(self, deal: int, slot: int) -> None:
        if deal in self.refused:
            raise RefusedError("storage: no good round yet", remedy="-")
        self.claimed.append(deal)

    def replaced(self, *_: object, after: object = None, **__: object) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(number={"deal": c.number, "slot": 0, "rail": c.column.rail}.__getitem__)
            for c in self.columns
        ]

    def medic(self) -> Medic:
        ledger = SimpleNamespace(
            now=lambda: NOW,
            key=SimpleNamespace(address=ME),
            index=SimpleNamespace(events=self.replaced),
            storage=self,
            faults=SimpleNamespace(node_state=lambda node: SimpleNamespace(set_id=1)),
            beacon=SimpleNamespace(round_count=lambda: 9),
            pdp=SimpleNamespace(good_rounds=lambda set_id, first, last: 1),
        )
        return Medic(
            cast(Ledger, ledger), columns=cast(Columns, self), judge=cast(Judge, self),
            repairer=cast(Repairer, self), metrics=Metrics(),
        )  # fmt: skip


def test_deals_that_nobody_can_repair_do_not_keep_others_waiting() -> None:
    hopeless = range(1, medic.REPAIRS_A_STEP + 1)
    world = World([*(placed(i, k=1, n=1) for i in hopeless), placed(500)], set(hopeless))
    doctor = world.medic()
    doctor.step()
    assert 500 not in world.tried
    doctor.step()
    assert 500 in world.tried
    doctor.step()
    assert set(world.tried[-3:]) <= set(hopeless)


def test_the_deal_nearest_to_loss_comes_first() -> None:
    world = World([placed(1, k=4, n=6), placed(2, k=5, n=6)])
    world.medic().step()
    assert world.tried == [2, 1]


def test_a_fee_that_is_refused_keeps_no_other_from_being_claimed() -> None:
    world = World([placed(1), placed(2)], refused={1})
    world.medic().claim()
    assert world.claimed == [2]
