"""A withheld batch, put together from what its proposer had to show on the chain.

What a demand was answered with tells a piece and the hashes beside its way up; whatever has the
hash of one's own needs no demand. So only what differs is asked for, from above: the batch, the
traces, then leaves and lists of the first trace that differs, at last what is paid. Where it begins
to differ is searched for in many places at once, since each answer may take its whole window, and
what stands there is enough to show something false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeAlias

from freehold.audit.competing_leaves import bounds, spread
from freehold.audit.competing_openings import BATCH, LEAF, MEMBERS, PAY, PERMITS, TRACE, WEIGHTS
from freehold.domain.ids import Address, keccak
from freehold.ledger.values import Value
from freehold.markets.models.trace.batch import Bundle
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.claims import first_difference, prune_list
from freehold.markets.models.trace.merkle import Merkle
from freehold.markets.models.trace.served import Served, ServedTrace
from freehold.markets.models.trace.values import Batch, Leaf, Pay, Trace, Words, vector

Wanted: TypeAlias = tuple[int, int, int]
"""Kind, trace and index of a demand."""
GUESSED = 16
"""Traces that are demanded together with the batch."""
_NONE = Merkle.of([])
_LANES: tuple[Callable[[Leaf], object], ...] = (
    lambda leaf: leaf.sums >> 192,
    lambda leaf: leaf.rows,
    lambda leaf: leaf.sums >> 152,
    lambda leaf: leaf.sums >> 113,
    lambda leaf: leaf.dividends,
    lambda leaf: leaf.sums,
)
"""What runs up along the uids, each with those before it, on which it rests."""


@dataclass
class Nodes:
    """What is known of a tree, by level and place, beside one's own tree of as many leaves."""

    own: Merkle
    known: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def add(self, leaf: bytes, index: int, path: Sequence[bytes]) -> None:
        """A leaf that was shown."""
        node = leaf
        for level, beside in enumerate(path):
            place = index >> level
            self.known[level, place], self.known[level, place ^ 1] = node, beside
            node = keccak(beside + node if place & 1 else node + beside)

    def same(self, index: int) -> bool:
        """Whether a leaf is surely one's own."""
        return any(
            self.known.get((level, index >> level)) == row[index >> level]
            for level, row in enumerate(self.own.levels)
        )


@dataclass(frozen=True, slots=True)
class Paths(Merkle):
    """A tree of which some paths are known."""

    paths: Mapping[int, tuple[bytes, ...]]

    def path(self, index: int) -> tuple[bytes, ...]:
        """The path of a leaf that was shown."""
        return self.paths[index]


@dataclass
class Pieces:
    """The pieces of one root, beside one's own batch."""

    own: Bundle
    batch: Batch | None = None
    traces: dict[int, Trace] = field(default_factory=dict)
    leaves: dict[tuple[int, int], Leaf] = field(default_factory=dict)
    paths: dict[tuple[int, int], tuple[bytes, ...]] = field(default_factory=dict)
    lists: dict[Wanted, Words] = field(default_factory=dict)
    pays: dict[int, tuple[Pay, tuple[bytes, ...]]] = field(default_factory=dict)
    _nodes: dict[int, Nodes] = field(default_factory=dict)
    _ways: dict[int, tuple[bytes, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Traces are beside one's own as leaves are."""
        self._top = Nodes(self.own.trace_tree)

    def add(self, wanted: Wanted, opening: Mapping[str, Value]) -> None:
        """The answer to a demand, as its event tells it; the chain has checked it."""
        kind, at, index = wanted
        place = _struct(opening["place"])
        self.batch = Batch(**_numbers(place["batch"]))  # type: ignore[arg-type]
        if kind == PAY:
            if index < self.batch.cell_count:
                self.pays[index] = _pay(opening["pay"]), tuple(_hashes(opening["path"]))
            return
        if kind == BATCH or at >= self.batch.subnet_count:
            return
        trace = Trace(**_numbers(place["trace"]))  # type: ignore[arg-type]
        self.traces[at] = trace
        self._ways[at] = way = tuple(_hashes(place["path"]))
        self._top.add(trace.hash(), at, way)
        if kind in (MEMBERS, PERMITS):
            self.lists[wanted] = _words(opening["words"])
        if kind in (LEAF, WEIGHTS) and index <= trace.count:
            shown = _struct(opening["shown"])
            leaf = Leaf(**_numbers(shown["leaf"]))  # type: ignore[arg-type]
            self.leaves[at, index] = leaf
            self.paths[at, index] = path = tuple(_hashes(shown["path"]))
            self._tree(at).add(leaf.hash(), index, path)
            if kind == WEIGHTS:
                self.lists[wanted] = _words(opening["words"])

    def wanted(self, most: int) -> list[Wanted]:
        """What has to be demanded next; nothing where a false thing can be shown already."""
        found = list(islice(self._wanted(), most))
        return found or list(self._needed())

    def served(self) -> Served:
        """The batch, as far as it is needed to show the first false thing in it."""
        batch = self.batch
        if batch is None or batch.subnet_count != len(self.own.traces):
            return Served(batch or self.own.batch, (), (), _NONE, _NONE)
        traces = tuple(self._served(at, built) for at, built in enumerate(self.own.traces))
        same = batch.subnets == self.own.batch.subnets
        trace_tree = self.own.trace_tree if same else Paths((), self._ways)
        return Served(batch, traces, self._paid(), trace_tree, self._pay_tree())

    def _wanted(self) -> Iterator[Wanted]:
        if self.batch is None:
            yield BATCH, 0, 0
            # Guessed, to save a round: who has fewer traces shows that.
            yield from ((TRACE, at, 0) for at in range(min(len(self.own.traces), GUESSED)))
            return
        if self.batch.subnet_count != len(self.own.traces):
            return
        for at, trace in sorted(self.traces.items()):
            # None rests on another, so any false one will do.
            if trace != self.own.traces[at].trace:
                if trace.count == self.own.traces[at].trace.count:
                    yield from self._of_trace(at, trace, self.own.traces[at])
                return
        if self.batch.subnets != self.own.batch.subnets:
            yield from self._lacking()
            return
        # Traces are as they must be: what is paid is not.
        low, high = self._pay_bounds(self.batch)
        told, own = self.batch, self.own.batch
        differs = (told.cells, told.cell_count) != (own.cells, own.cell_count)
        if differs:
            yield from ((PAY, 0, place) for place in spread(low, high))

    def _lacking(self) -> Iterator[Wanted]:
        """Traces, until one is not one's own. The last one always: where something stands behind
        it, it cannot be shown."""
        last = len(self.own.traces) - 1
        if last not in self.traces:
            yield TRACE, last, 0
        left = [at for at in range(last) if at not in self.traces and not self._top.same(at)]
        yield from ((TRACE, left[place], 0) for place in spread(-1, len(left)))

    def _of_trace(self, at: int, trace: Trace, own: Built) -> Iterator[Wanted]:
        """Lists that are not one's own; then leaves around the first uid before which something ran
        up to another sum; where all sums are one's own, leaves that are not."""
        for kind, told, words in (
            (PERMITS, trace.permits, own.permit_words()),
            (MEMBERS, trace.members, own.member_words()),
        ):
            if told != vector(words) and (kind, at, 0) not in self.lists:
                yield kind, at, 0
        if trace.nodes != own.trace.nodes:
            # Weights are answered with the leaf that they belong to.
            yield from ((WEIGHTS, at, uid) for uid in self._uids(at, own))

    def _uids(self, at: int, own: Built) -> Iterator[int]:
        count = own.trace.count
        known = {uid: leaf for (trace, uid), leaf in self.leaves.items() if trace == at}
        if count not in known:
            yield from (count, *spread(-1, count))
            return
        lacking = [
            uid
            for uid, leaf in known.items()
            if leaf.raw != own.leaves[uid].raw and (WEIGHTS, at, uid) not in self.lists
        ]
        if any(uid < count for uid in lacking):
            yield from (uid for uid in lacking if uid < count)
            return
        for lane in _LANES:
            bad = [uid for uid, leaf in known.items() if lane(leaf) != lane(own.leaves[uid])]
            if bad:
                low = max((uid for uid in known if uid < min(bad)), default=-1)
                yield from spread(low, min(bad))
                return
        if all(leaf == own.leaves[uid] for uid, leaf in known.items()):
            tree = self._tree(at)
            yield from (uid for uid in range(count) if uid not in known and not tree.same(uid))

    def _needed(self) -> Iterator[Wanted]:
        """Leaves that the proof of the first false thing takes besides."""
        claim = first_difference(self.own, self.served()) if self.batch else None
        trace = self.traces.get(claim.trace) if claim else None
        if claim is None or trace is None:
            return
        own = self.own.traces[claim.trace].trace
        uids = {"permit": [claim.index, claim.other], "member": [claim.index]}.get(claim.kind, [])
        if claim.kind == "prune":
            uids = [prune_list(trace.prune)[claim.index], claim.other]
        for uid in uids if trace.nodes != own.nodes else ():
            if 0 <= uid < own.count and (claim.trace, uid) not in self.leaves:
                yield WEIGHTS, claim.trace, uid

    def _served(self, at: int, own: Built) -> ServedTrace:
        trace = self.traces.get(at, own.trace)
        if trace.count != own.trace.count:
            return ServedTrace(trace, (), (), (), (), _NONE)
        leaves = tuple(
            self.leaves.get((at, uid), leaf) for uid, leaf in enumerate(own.leaves)
        )  # fmt: skip
        weights = tuple(
            self.lists.get((WEIGHTS, at, uid), own.weight_words(uid))
            for uid in range(own.trace.count)
        )
        return ServedTrace(
            trace,
            leaves,
            self.lists.get((PERMITS, at, 0), own.permit_words()),
            self.lists.get((MEMBERS, at, 0), own.member_words()),
            weights,
            own.tree if trace.nodes == own.trace.nodes else Paths((), self._paths(at)),
        )

    def _paths(self, at: int) -> dict[int, tuple[bytes, ...]]:
        return {uid: path for (trace, uid), path in self.paths.items() if trace == at}

    def _paid(self) -> tuple[Pay, ...]:
        """What is paid up to the first difference, and then what may follow it: so that only cells
        that stand before what is there are lacking."""
        if not self.pays or self.batch is None:
            return self.own.pays
        _, first = self._pay_bounds(self.batch)
        if first not in self.pays:
            return self.own.pays[:first]
        made, there = list(self.own.pays[:first]), self.pays[first][0]
        made.append(there)
        for pay in self.own.pays[first:]:
            if pay.rank() > there.rank():
                last = made[-1]
                before = last.before + last.grains if last.account == pay.account else 0
                made.append(replace(pay, before=before))
        return tuple(made)

    def _pay_tree(self) -> Merkle:
        paths = {at: path for at, (_, path) in self.pays.items()}
        return Paths((), paths) if paths else self.own.pay_tree

    def _pay_bounds(self, batch: Batch) -> tuple[int, int]:
        return bounds({at: self._pay_agrees(at) for at in self.pays}, batch.cell_count)

    def _pay_agrees(self, at: int) -> bool:
        pay, path = self.pays[at]
        levels = self.own.pay_tree.levels
        return (
            at < len(self.own.pays)
            and pay == self.own.pays[at]
            and all(
                level < len(levels) and beside == levels[level][(at >> level) ^ 1]
                for level, beside in enumerate(path)
                if at >> level & 1
            )
        )

    def _tree(self, at: int) -> Nodes:
        return self._nodes.setdefault(at, Nodes(self.own.traces[at].tree))


def _struct(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _numbers(value: Value) -> dict[str, int | bytes]:
    return {name: each for name, each in _struct(value).items() if isinstance(each, int | bytes)}


def _words(value: Value) -> Words:
    return tuple(each for each in value if isinstance(each, int)) if isinstance(value, list) else ()


def _hashes(value: Value) -> list[bytes]:
    return [each for each in value if isinstance(each, bytes)] if isinstance(value, list) else []


def _pay(value: Value) -> Pay:
    told = _numbers(value)
    numbers = [int(each) for name, each in told.items() if isinstance(each, int)]
    return Pay(Address(str(_struct(value)["account"])), *numbers)
