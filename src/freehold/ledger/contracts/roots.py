"""Rewards of a market whose work the chain cannot see: roots, their disputes, claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from eth_abi.abi import encode

from freehold.domain.ids import Address, keccak, raw_address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt

_HEADER = (*["uint256"] * 6, "bytes32", "address", "uint256", "uint256")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Seconds in which a root can be disputed and a demand answered; base units behind a root;
    grains that one may add; ten-thousandths of a lost bond for who disproved it."""

    window: int
    answer_window: int
    bond: int
    growth: int
    reward_bps: int


@dataclass(frozen=True, slots=True)
class State:
    """Positions of the last final root and of the last one, the first epoch that none covers, the
    grains of both, and how many verdicts wait for ``settle``: until then nobody proposes, draws or
    takes a bond back."""

    final: int
    tip: int
    next_epoch: int
    tip_total: int
    final_total: int
    unsettled: int = 0


@dataclass(frozen=True, slots=True)
class Bond:
    """A proposer's bond, base units, and the position of their last root."""

    amount: int
    last: int


@dataclass(frozen=True, slots=True)
class Header:
    """A root as it was proposed; totals in grains."""

    position: int
    since: int
    epoch: int
    parent_total: int
    root: int
    count: int
    data: bytes
    proposer: Address
    until: int
    bond: int

    def hash(self) -> bytes:
        """What the contract remembers of a root that is not void."""
        return keccak(encode(_HEADER, astuple(self)))

    def verdict(self, winner: Address) -> bytes:
        """What it remembers of one that ``winner`` disproved, until that is settled."""
        return keccak(self.hash() + bytes(12) + raw_address(winner))


class Roots(Contract):
    """Amounts in a tree are grains of 10^9 base units."""

    name = "roots"

    def fund(self, epoch: int, amount: int) -> Receipt:
        """Bring tokens (approved before) for the roots from an epoch on."""
        return self._send("fund", epoch, amount)

    def draw(self, epoch: int, amount: int) -> Receipt:
        """Have part of an epoch's emission minted here; a bonded proposer."""
        return self._send("draw", epoch, amount)

    def post_bond(self, amount: int) -> Receipt:
        """Add tokens (approved before) to one's bond."""
        return self._send("post_bond", amount)

    def withdraw_bond(self) -> Receipt:
        """Take a bond back that no open root needs."""
        return self._send("withdraw_bond")

    def propose(
        self, epoch: int, root: int, count: int, data: bytes, signatures: Sequence[bytes]
    ) -> Receipt:
        """Put down an ended epoch's root; signatures in rising order of the watchers."""
        return self._send("propose", epoch, root, count, data, list(signatures))

    def judge(self) -> Address:
        """The contract that may void roots besides the disputes here; nobody's where none does."""
        return self._view(Address, "judge")

    def pending(self, header: Header) -> bool:
        """Whether a root was proposed so and is neither final nor void."""
        return self._view(bool, "pending", header_words(header))

    def is_over(self, position: int, until: int, *, now: int) -> bool:
        """Whether a root that can be disputed ``until`` then could be final at ``now``: its window
        has passed, and an answer window since the last answer."""
        if now <= until:
            return False
        hashed = self.stands(position)
        answered = self._view(int, "released", hashed)
        return answered == 0 or now > answered + self.parameters().answer_window

    def finalize(self, header: Header) -> Receipt:
        """Make the oldest open root final after its window; anyone."""
        return self._send("finalize", header_words(header))

    def settle(self, header: Header, winner: Address) -> Receipt:
        """Take the bond of a void root's proposer for who disproved it; anyone, once."""
        return self._send("settle", header_words(header), winner)

    def stands(self, position: int) -> bytes:
        """What is remembered at a position: the hash of a header, or its verdict."""
        return self._view(bytes, "headers", position)

    def claim(
        self, epoch: int, account: Address, grains: int, index: int, path: Sequence[int]
    ) -> Receipt:
        """Pay an account what it did not have yet of a leaf of a final root; anyone."""
        return self._send("claim", epoch, account, grains, index, list(path))

    def set_payout(self, account: Address, payout: Address) -> Receipt:
        """Name who gets an account's rewards."""
        return self._send("set_payout", account, payout)

    def parameters(self) -> Parameters:
        """The rules in force."""
        return self._view(Parameters, "parameters")

    def quorum(self) -> tuple[int, int]:
        """How many watchers must sign, and how many there are."""
        needed, known = self._views(int, "quorum")
        return needed, known

    def state(self) -> State:
        """Where the roots stand."""
        return self._view(State, "state")

    def bond_of(self, proposer: Address) -> Bond:
        """A proposer's bond."""
        return self._view(Bond, "bond_of", proposer)

    def final_root(self, epoch: int) -> int:
        """An epoch's final root, 0 where there is none."""
        return self._view(int, "final_root", epoch)

    def claimed(self, account: Address) -> int:
        """Grains that an account was paid."""
        return self._view(int, "claimed", account)

    def payout_of(self, account: Address) -> Address:
        """Who gets an account's next rewards."""
        return self._view(Address, "payout_of", account)

    def funded(self) -> int:
        """Base units that were ever brought or drawn."""
        return self._view(int, "funded")

    def genesis(self) -> int:
        """When epoch 0 began."""
        return self._view(int, "genesis")

    def epoch_length(self) -> int:
        """Seconds of an epoch."""
        return self._view(int, "epoch_length")


class Prizes(Roots):
    """The roots that pay model nodes, beside those that pay devices."""

    name = "prizes"


def header_words(header: Header) -> tuple[object, ...]:
    """A header as the contract takes it."""
    return (
        header.position, header.since, header.epoch, header.parent_total, header.root,
        header.count, header.data, header.proposer, header.until, header.bond,
    )  # fmt: skip
