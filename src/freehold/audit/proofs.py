"""Every proof checked again: seeds, ranges, challenged leaves, Merkle paths, deadlines.

The span of a round is modelled from the rule, not from the contract's words of storage: a piece
is in the round of period P when it was added in a period before P and its removal was not
requested in a period before P; but while a set is in debt nothing leaves it, so that a round whose
period began with an earlier one owed asks for all that the earlier one asked for. Challenges and
tree nodes are as PROTOCOL.md, Storage has them.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field

from freehold.audit import abi
from freehold.audit.beacon import Beacon
from freehold.audit.events import Event
from freehold.audit.sums import Sums
from freehold.domain.ids import Address, keccak

CHECK = "proofs"
MAX_UINT = 2**256 - 1
LEAF = 32


@dataclass(slots=True)
class Piece:
    """A piece of a set; ``removal`` is the period of its removal's request, ``gone`` applied."""

    root: bytes
    height: int
    leaves: int
    added: int
    removal: int | None = None
    gone: bool = False


@dataclass(slots=True)
class Set:
    """A set: pieces, the tree at the start of period ``rolled``, and which rounds are resolved."""

    listener: Address
    prover: Address
    created: int
    pieces: list[Piece] = field(default_factory=list)
    sums: Sums = field(default_factory=Sums)
    arriving: deque[int] = field(default_factory=deque)
    leaving: deque[int] = field(default_factory=deque)
    unapplied: deque[int] = field(default_factory=deque)
    held: int = 0
    cursor: int = 0
    good: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    closed: bool = False
    cut: int = 0
    cleared: int = -1

    def leave_before(self, period: int) -> int:
        """Removals requested in periods before this one are outside a period's round.

        All earlier rounds being resolved; ``cleared`` is when one was last answered late.
        """
        return period if self.cleared < period else self.cut

    def span(self, period: int) -> int:
        """Leaves in the round of a period, all earlier rounds being resolved."""
        cut = self.leave_before(period)
        coming = sum(self.pieces[i].leaves for i in self.arriving if self._in(i, period))
        going = sum(self.pieces[i].leaves for i in self.leaving if self._out(i, cut))
        return self.sums.total + coming - going

    def roll(self, period: int) -> None:
        """Bring the tree to the round of a period."""
        self.cut = self.leave_before(period)
        while self.arriving and self._in(self.arriving[0], period):
            self.sums.append(self.pieces[self.arriving.popleft()].leaves)
        while self.leaving and self._out(self.leaving[0], self.cut):
            self.sums.clear(self.leaving.popleft())

    def _in(self, index: int, period: int) -> bool:
        return self.pieces[index].added < period

    def _out(self, index: int, period: int) -> bool:
        removal = self.pieces[index].removal
        return removal is not None and removal < period


class Proofs:
    """All sets of the verifier, answered rounds and what they owe."""

    def __init__(
        self, *, beacon: Beacon, challenges: int, window: int, counts: Counter[str]
    ) -> None:
        self._beacon = beacon
        self._challenges = challenges
        self._window = window
        self._counts = counts
        self.sets: dict[int, Set] = {}
        self.hidden = 0

    # What other models ask

    def next_round(self, set_id: int) -> int:
        """The next round that a set must answer; the number of rounds where there is none."""
        found = self.sets[set_id]
        rounds = self._beacon.rounds
        while found.cursor < len(rounds) and found.span(rounds[found.cursor].period) == 0:
            found.cursor += 1  # a period that began with nothing to prove asks for nothing, ever
        return found.cursor

    def owed(self, set_id: int, moment: int) -> int:
        """Rounds past their deadline and unresolved."""
        found = self.sets[set_id]
        if found.closed:
            return 0
        rounds = self._beacon.rounds[self.next_round(set_id) :]
        return sum(1 for each in rounds if each.stored_at + self._window <= moment)

    def missed(self, set_id: int, moment: int) -> int:
        """Rounds answered late or owed."""
        return len(self.sets[set_id].late) + self.owed(set_id, moment)

    def good(self, set_id: int, first: int, last: int) -> int:
        """Rounds r with first <= r < last that were answered in time."""
        rounds = self.sets[set_id].good
        return max(0, bisect_left(rounds, last) - bisect_left(rounds, first))

    def decided(self, set_id: int, moment: int) -> int:
        """Up to when every round of a set is resolved for good."""
        if self.sets[set_id].closed:
            return MAX_UINT
        period = self._beacon.period_of(moment)
        following = self.next_round(set_id)
        if following < len(self._beacon.rounds):
            period = self._beacon.rounds[following].period
        return self._beacon.start(period)

    # Events

    def apply(self, event: Event) -> None:
        """Re-run an event of the verifier."""
        if event.name == "SetCreated":
            self._create(event)
            return
        found = self._set_of(event)
        if event.name == "PieceAdded":
            self._add(event, found)
        elif event.name == "PieceRemovalQueued":
            self._queue(event, found)
        elif event.name == "PieceRemoved":
            self._remove(event, found)
        elif event.name == "Proven":
            self._prove(event, found)
        elif event.name == "SetClosed":
            found.closed = True

    def answer(
        self, view: str, arguments: tuple[int | str, ...], moment: int
    ) -> list[object] | None:
        """What a view must say at a moment; None for views that are not modelled."""
        numbers = [each for each in arguments if isinstance(each, int)]
        if view == "set" and len(numbers) == 1:
            return [self._show_set(numbers[0], moment)]
        if view == "piece" and len(numbers) == 2:
            return [_show_piece(self.sets[numbers[0]].pieces[numbers[1]])]
        return None

    def _create(self, event: Event) -> None:
        event.same(CHECK, "set_id", len(self.sets) + 1)
        period = self._beacon.period_of(event.time)
        listener, prover = event.address("listener"), event.address("prover")
        self.sets[event.number("set_id")] = Set(listener, prover, period)

    def _set_of(self, event: Event) -> Set:
        found = self.sets.get(event.number("set_id"))
        if found is None:
            raise event.spot(CHECK).differs(
                "the set", expected="created before", found=event.number("set_id")
            )
        return found

    def _add(self, event: Event, found: Set) -> None:
        event.same(CHECK, "piece_id", len(found.pieces))
        set_id = event.number("set_id")
        owed = self.owed(set_id, event.time)
        event.spot(CHECK).same("rounds owed when a piece is added", expected=0, found=owed)
        if not found.pieces:
            found.cursor = len(self._beacon.rounds)
        period = self._beacon.period_of(event.time)
        leaves, height = event.number("leaves"), event.number("height")
        possible = 0 < leaves <= 1 << height
        event.spot(CHECK).same("leaves that fit the height", expected=True, found=possible)
        found.arriving.append(len(found.pieces))
        found.pieces.append(Piece(event.data("root"), height, leaves, period))
        found.held += leaves
        self._counts["pieces"] += 1

    def _queue(self, event: Event, found: Set) -> None:
        period = self._beacon.period_of(event.time)
        event.same(CHECK, "period", period)
        piece = self._piece_of(event, found)
        event.spot(CHECK).same("a removal requested before", expected=None, found=piece.removal)
        piece.removal = period
        found.leaving.append(event.number("piece_id"))
        found.unapplied.append(event.number("piece_id"))

    def _remove(self, event: Event, found: Set) -> None:
        spot = event.spot(CHECK)
        oldest = found.unapplied.popleft() if found.unapplied else None
        spot.same("the oldest removal", expected=oldest, found=event.number("piece_id"))
        piece = self._piece_of(event, found)
        due = piece.removal is not None and piece.removal < self._horizon(event)
        spot.same("a removal that is due", expected=True, found=due)
        piece.gone = True
        found.held -= piece.leaves

    def _piece_of(self, event: Event, found: Set) -> Piece:
        index = event.number("piece_id")
        if index >= len(found.pieces):
            raise event.spot(CHECK).differs("the piece", expected="added before", found=index)
        return found.pieces[index]

    def _horizon(self, event: Event) -> int:
        """Removals requested in periods before this one count now."""
        rounds, found = self._beacon.rounds, self._set_of(event)
        following = self.next_round(event.number("set_id"))
        if following < len(rounds):
            return found.leave_before(rounds[following].period)
        period = self._beacon.period_of(event.time)
        if rounds and rounds[-1].period == period:
            period += 1
        return found.leave_before(period)

    def _prove(self, event: Event, found: Set) -> None:
        set_id, index = event.number("set_id"), event.number("round")
        event.spot(CHECK).same("a proof of an open set", expected=False, found=found.closed)
        event.same(CHECK, "round", self.next_round(set_id))
        answered = self._beacon.rounds[index]
        found.roll(answered.period)
        event.same(CHECK, "span", found.sums.total)
        in_time = event.time < answered.stored_at + self._window
        event.same(CHECK, "in_time", in_time)
        self._check_paths(event, found, answered.seed)
        found.cursor = index + 1
        (found.good if in_time else found.late).append(index)
        if not in_time:
            found.cleared = self._beacon.period_of(event.time)
        self._counts["proofs"] += 1

    def _check_paths(self, event: Event, found: Set, seed: bytes) -> None:
        proof = _given_proof(event)
        if proof is None:
            self.hidden += 1
            return
        spot = event.spot(CHECK).field("proof")
        position = 0
        for number in range(self._challenges):
            leaf = challenge(seed, event.number("set_id"), number) % found.sums.total
            index, offset = found.sums.find(leaf)
            piece = found.pieces[index]
            size = LEAF * (piece.height + 1)
            root = climb(proof[position : position + size], offset)
            what = f"the root above challenge {number}, leaf {offset} of piece {index}"
            spot.same(what, expected=piece.root, found=root)
            position += size
            self._counts["paths"] += 1
        spot.same("the length of the proof", expected=position, found=len(proof))

    def _show_set(self, set_id: int, moment: int) -> dict[str, object]:
        found = self.sets[set_id]
        following = self.next_round(set_id)
        period = self._beacon.period_of(moment)
        if following < len(self._beacon.rounds):
            period = self._beacon.rounds[following].period
        listed = (p.leaves for p in found.pieces if not p.gone and p.added < period)
        return {
            "listener": found.listener,
            "prover": found.prover,
            "next_round": following,
            "span": sum(listed),
            "leaves": found.held,
            "pieces": len(found.pieces),
            "misses": len(found.late),
            "created_period": found.created,
            "closed": found.closed,
        }


def challenge(seed: bytes, set_id: int, number: int) -> int:
    """The draw of a challenge, before it is taken modulo the range."""
    return int.from_bytes(
        keccak(seed + set_id.to_bytes(32, "big") + number.to_bytes(8, "big")), "big"
    )


def climb(path: bytes, index: int) -> bytes:
    """The root above a leaf, from the leaf and its siblings, 32 bytes each."""
    node = path[:LEAF]
    for at in range(LEAF, len(path), LEAF):
        sibling = path[at : at + LEAF]
        left, right = (sibling, node) if index & 1 else (node, sibling)
        digest = hashlib.sha256(left + right).digest()
        node = digest[:-1] + bytes([digest[-1] & 0x3F])
        index >>= 1
    return node


def _given_proof(event: Event) -> bytes | None:
    """The proof in the transaction's input; None where another contract passed it on hidden.

    A contract that calls the verifier passes the call on as it is, so its bytes stand in the
    input of the transaction in most cases.
    """
    interface = abi.interface("pdp")
    opening = interface.call_data("prove", (event.number("set_id"), event.number("round"), b""))
    at = event.transaction.data.find(opening[:68])
    if at < 0:
        return None
    call = interface.read_call(event.transaction.data[at:])
    proof = None if call is None else call[1]["proof"]
    return proof if isinstance(proof, bytes) else None


def _show_piece(piece: Piece) -> dict[str, object]:
    removed = 2 if piece.gone else 0 if piece.removal is None else 1
    return {
        "root": piece.root,
        "height": piece.height,
        "leaves": piece.leaves,
        "added_period": piece.added,
        "removed": removed,
    }
