"""Who is answered for nothing: those whose word counts, not those who only have a role."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

from freehold.domain.ids import Address, checksum
from freehold.ledger.contracts.registry import VALIDATOR
from freehold.ledger.contracts.subnet import GRAIN
from freehold.ledger.ledger import Ledger
from freehold.node.workloads.models.judges import PLACE, Judges

WHO = checksum(b"\x61" * 20)
LEAST = 5


@dataclass
class Town:
    """What the chain says of WHO."""

    validates: bool = True
    place: int | None = 3
    stake: int = LEAST * GRAIN
    signs: bool = False
    least: int = LEAST
    contracts: set[str] = field(default_factory=lambda: {PLACE})

    @property
    def ledger(self) -> Ledger:
        made = SimpleNamespace(
            network=SimpleNamespace(contracts=self.contracts),
            registry=SimpleNamespace(active=lambda who, role: self._is(who) and self._has(role)),
            staking=SimpleNamespace(active=lambda who: self.stake if self._is(who) else 0),
            subnet=SimpleNamespace(
                id_of=lambda name: 7 if name == "digits" else 0,
                place_of=lambda subnet, who: self.place if self._is(who) and subnet == 7 else None,
                rules_at=lambda subnet, epoch: SimpleNamespace(min_stake=self.least),
                epoch=lambda: 1,
            ),
            call=lambda contract, _, told: self.signs and (contract, told) == (PLACE, [WHO]),
        )
        return cast("Ledger", made)

    def _is(self, who: Address) -> bool:
        return who == WHO

    def _has(self, role: int) -> bool:
        return self.validates and role == VALIDATOR


def judges(town: Town, subnet: str = "digits") -> bool:
    return Judges(town.ledger, subnet)(WHO)


def test_a_validator_of_the_subnet_judges_its_models() -> None:
    assert judges(Town())
    assert judges(Town(stake=GRAIN, least=0))


def test_a_role_alone_is_not_enough() -> None:
    assert not judges(Town(place=None))
    assert not judges(Town(stake=LEAST * GRAIN - 1))
    assert not judges(Town(stake=0, least=0))
    assert not judges(Town(), subnet="other")
    assert not judges(Town(), subnet="")
    assert not Judges(Town().ledger, "digits")(checksum(b"\x62" * 20))


def test_watchers_who_sign_the_roots_do_too() -> None:
    assert judges(Town(validates=False, signs=True))
    assert judges(Town(place=None, signs=True))
    assert judges(Town(validates=False, signs=True), subnet="")
    assert not judges(Town(validates=False))
    assert not judges(Town(validates=False, signs=True, contracts=set()))
