"""Verdicts that wait are found among roots that came and went, by what the contract remembers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import cast

from freehold.domain.ids import Address, checksum, keccak
from freehold.ledger.contracts.roots import Header, Roots, State
from freehold.ledger.index import Index
from freehold.ledger.values import Event
from freehold.ledger.verdicts import Verdict, unsettled

LIAR, ANN, BEN = (checksum(bytes(19) + bytes([number])) for number in (1, 2, 3))
FIRST = Header(2, 0, 0, 0, 5, 1, keccak(b"data"), LIAR, 600, 100)
SECOND = replace(FIRST, position=3, since=1, epoch=1, parent_total=5)
AGAIN = replace(FIRST, root=9, until=900)


@dataclass
class Chain:
    """Roots at one place: what was logged of them, and what stands."""

    name = "prizes"
    log: list[Event] = field(default_factory=list)
    standing: dict[int, bytes] = field(default_factory=dict)
    waiting: int = 0

    def state(self) -> State:
        return State(1, 1, 0, 0, 0, self.waiting)

    def stands(self, position: int) -> bytes:
        return self.standing.get(position, bytes(32))

    def events(
        self, contract: str, name: str, *, limit: int = 1_000, newest_first: bool = False
    ) -> list[Event]:
        assert (contract, newest_first) == ("prizes", True)
        return [event for event in reversed(self.log) if event.name == name][:limit]

    def _tell(self, name: str, args: dict[str, object]) -> None:
        block = len(self.log)
        self.log.append(Event("prizes", name, args, block, 0, "0x", "0x"))  # type: ignore[arg-type]

    def propose(self, header: Header) -> None:
        self._tell("Proposed", {"header": asdict(header)})
        self.standing[header.position] = header.hash()

    def void(self, header: Header, winner: Address) -> None:
        told = {"position": header.position, "winner": winner, "reason": "column"}
        self._tell("Voided", told)
        self.standing[header.position] = header.verdict(winner)
        self.waiting += 1

    def settle(self, header: Header) -> None:
        self.standing[header.position] = header.hash()
        self.waiting -= 1

    def found(self) -> list[Verdict]:
        return unsettled(cast("Index", self), cast("Roots", self))


def test_both_of_two_are_found_and_what_is_left_of_them() -> None:
    """Settled in any order; the newer one is gone first here."""
    chain = Chain()
    chain.propose(FIRST)
    chain.propose(SECOND)
    assert chain.found() == []
    chain.void(SECOND, ANN)
    chain.void(FIRST, BEN)
    assert chain.found() == [Verdict(FIRST, BEN), Verdict(SECOND, ANN)]
    chain.settle(FIRST)
    assert chain.found() == [Verdict(SECOND, ANN)]
    chain.settle(SECOND)
    assert chain.found() == []


def test_the_root_that_stood_last_at_a_position_is_meant() -> None:
    """One of before was void and settled there, and told the same winner."""
    chain = Chain()
    chain.propose(FIRST)
    chain.void(FIRST, ANN)
    chain.settle(FIRST)
    chain.propose(AGAIN)
    chain.void(AGAIN, ANN)
    assert chain.found() == [Verdict(AGAIN, ANN)]


def test_the_same_verdict_twice_is_one() -> None:
    """The same root, put down again in the same second, and the same winner again."""
    chain = Chain()
    for _ in range(2):
        chain.propose(FIRST)
        chain.void(FIRST, ANN)
        if len(chain.log) == 2:
            chain.settle(FIRST)
    assert chain.found() == [Verdict(FIRST, ANN)]


def test_what_the_index_has_not_read_is_left_out() -> None:
    chain = Chain()
    chain.propose(FIRST)
    chain.void(FIRST, ANN)
    chain.log.pop(0)
    assert chain.found() == []
