"""What validators of subnets committed to and revealed, and the stake that was put down for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from eth_abi.abi import encode

from freehold.audit import inputs
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.domain.ids import Address, keccak
from freehold.domain.network import Network

CHECK = "weights"
GRAIN = 10**9
VALIDATOR = 16
ROW = keccak(b"Freehold subnet row")
_WORDS = ["bytes32", "bytes32", "address", *["uint256"] * 4, "bytes32", "bytes32"]


@dataclass(frozen=True, slots=True)
class Seat:
    """Who holds a uid, since when (seconds), and how many have."""

    node: Address
    registered_at: int
    generation: int


class Subnets(Protocol):
    """What is asked of the subnets; ``in_role`` and ``owner_of`` are the registry's."""

    in_role: Callable[[str, int], bool]
    owner_of: Callable[[str], object]

    def epoch(self, moment: int) -> int: ...

    def seat(self, event: Event) -> Seat: ...

    def running(self, event: Event) -> object: ...

    def nodes(self, subnet: int) -> int: ...

    def check_input(self, event: Event, function: str, count: int, told: Fields) -> None: ...


@dataclass(frozen=True, slots=True)
class Commitment:
    """What somebody who held a uid committed to in an epoch, and when."""

    hashed: bytes
    epoch: int
    committed_at: int
    generation: int


class Weights:
    """Commitments by subnet, uid and epoch; stakes in grains by subnet, epoch and uid."""

    def __init__(self, network: Network, subnets: Subnets, *, counts: Counter[str]) -> None:
        self._network, self._subnets, self._counts = network, subnets, counts
        self._me = network.contracts["subnet"]
        self.holders: dict[tuple[int, int, int], Seat] = {}
        self.stakes: dict[tuple[int, int, int], int] = {}
        self.stake_of: Callable[[str], int] = lambda _: 0
        self.hidden = 0
        self._commitments: dict[tuple[int, int, int], Commitment] = {}
        self._rows: set[tuple[int, int, int]] = set()

    def committed(self, event: Event) -> None:
        """A commitment, which takes the place of one of the same epoch."""
        epoch = self._begin(event)
        told = {"id": event.args["subnet"], "uid": event.args["uid"]}
        told["commitment"] = event.args["commitment"]
        self._subnets.check_input(event, "commit", 3, told)
        self._commitments[event.number("subnet"), event.number("uid"), epoch % 2] = Commitment(
            event.data("commitment"), epoch, event.time, event.number("generation")
        )

    def revealed(self, event: Event) -> None:
        """A row, opened in the epoch after it was committed to."""
        epoch, spot = self._begin(event), event.spot(CHECK)
        uid, subnet = event.number("uid"), event.number("subnet")
        made = self._commitments.get((subnet, uid, (epoch + 1) % 2))
        if made is None or made.epoch != epoch - 1:
            raise spot.differs("a commitment", expected=f"one of epoch {epoch - 1}", found=made)
        event.same(CHECK, "generation", made.generation)
        event.same(CHECK, "committed_at", made.committed_at)
        event.same(CHECK, "stake", self._stake(event))
        again = (subnet, epoch, uid) in self._rows
        spot.same("a row revealed before", expected=False, found=again)
        good = well_formed(event.data("row"), nodes=self._subnets.nodes(subnet))
        spot.same("a row of rising uids and weights", expected=True, found=good)
        self._check_opening(event, made)
        self._rows.add((subnet, epoch, uid))
        self.stakes[subnet, epoch, uid] = event.number("stake")

    def recorded(self, event: Event) -> None:
        """The stake of a validator that has not revealed."""
        epoch = self._begin(event)
        key = (event.number("subnet"), epoch, event.number("uid"))
        event.spot(CHECK).same("a stake before", expected=0, found=self.stakes.get(key, 0))
        event.same(CHECK, "stake", self._stake(event))
        self.stakes[key] = event.number("stake")

    def erase(self, subnet: int, epoch: int, uid: int) -> None:
        """Forget what a uid's former holder did in an epoch."""
        self.stakes.pop((subnet, epoch, uid), None)
        self._rows.discard((subnet, epoch, uid))

    def _begin(self, event: Event) -> int:
        """The running epoch; Differs unless a validator of a running subnet did it."""
        self._subnets.running(event)
        epoch, seat = self._subnets.epoch(event.time), self._subnets.seat(event)
        event.same(CHECK, "epoch", epoch)
        validates = self._subnets.in_role(seat.node, VALIDATOR)
        event.spot(CHECK).same("a validator", expected=True, found=validates)
        caller = event.transaction.caller(self._me)
        if event.name != "Recorded" and caller is not None:
            allowed = caller in (seat.node, self._subnets.owner_of(seat.node))
            event.spot(CHECK).same("the validator or its owner", expected=True, found=allowed)
        self._counts[CHECK] += 1
        return epoch

    def _stake(self, event: Event) -> int:
        stake = self.stake_of(self._subnets.seat(event).node) // GRAIN
        event.spot(CHECK).same("some stake", expected=True, found=stake > 0)
        return stake

    def _check_opening(self, event: Event, made: Commitment) -> None:
        """Differs unless the salt in the input opens the commitment."""
        salts = [
            inputs.data(call, "salt")
            for call in inputs.calls(event.transaction, "subnet", "reveal", 4)
            if call["row"] == event.args["row"]
        ]
        if not salts and event.transaction.to != self._me:
            self.hidden += 1
            return
        names = ("subnet", "uid", "generation")
        told = [*(event.number(name) for name in names), made.epoch]
        row = keccak(event.data("row"))
        opened = any(self._hash(told, row, salt) == made.hashed for salt in salts)
        event.spot(CHECK).same("what was committed", expected=True, found=opened)

    def _hash(self, told: Sequence[int], row: bytes, salt: bytes) -> bytes:
        body = (ROW, self._network.network_id, self._me, *told, row, salt)
        return keccak(encode(_WORDS, body))


def well_formed(row: bytes, *, nodes: int) -> bool:
    """Whether a row has entries of rising uids below ``nodes`` and weights above 0."""
    if not row or len(row) % 4:
        return False
    last = -1
    for uid, weight in entries(row):
        if not last < uid < nodes or not weight:
            return False
        last = uid
    return True


def entries(row: bytes) -> Iterator[tuple[int, int]]:
    """Uids and weights of a packed row, 16 bits each, big-endian."""
    for at in range(0, len(row), 4):
        yield int.from_bytes(row[at : at + 2], "big"), int.from_bytes(row[at + 2 : at + 4], "big")
