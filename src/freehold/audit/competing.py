"""The roots that pay model nodes, reckoned anew from the chain alone, and what is false in them.

A trace follows from the one in the root before, so roots are reckoned from the first one on; void
ones are passed over, since another one stands in their place. The newest are remembered. What one
builds on must be what the chain's root commits to: on a false one nothing can be built, and it is
said. That is so for a false root that nobody disproved in time, too: it is final, and what follows
from it only who has its served file can tell.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from freehold.audit.competing_facts import Reader
from freehold.domain.errors import IntegrityError, NotFoundError
from freehold.domain.ids import Address, keccak
from freehold.economics.trees import GRAIN, Tree
from freehold.ledger.contracts.base import convert, convert_list
from freehold.ledger.contracts.disputes import proof_of
from freehold.ledger.contracts.roots import Header as Told
from freehold.ledger.contracts.roots import State
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.values import Event, View
from freehold.markets.models.trace import batch
from freehold.markets.models.trace.batch import Bundle, grown
from freehold.markets.models.trace.build import build
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.claims import Claim, first_difference, growth
from freehold.markets.models.trace.proofs import Case, Root
from freehold.markets.models.trace.served import Served, read, serve
from freehold.markets.models.trace.values import EMPTY, Facts, Header, word

KEPT = 4
"""Roots that are remembered, the newest: one of 4,096 nodes takes hundreds of megabytes."""
AT_ONCE = 64
T = TypeVar("T")


class FalseRootError(IntegrityError):
    """A root that others build on is not what the chain says."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a root over the epochs ``since`` to ``epoch`` must say. ``earned``: grains by account,
    ever; ``tree`` None where nobody earned any."""

    since: int
    epoch: int
    bundle: Bundle
    earned: Mapping[Address, int]
    tree: Tree | None

    @property
    def data(self) -> bytes:
        """What the root names as its data."""
        return self.bundle.batch.hash()

    @property
    def root(self) -> int:
        """The root, 0 where there is none."""
        return self.tree.root if self.tree else 0

    @property
    def count(self) -> int:
        """Accounts of the tree."""
        return self.tree.count if self.tree else 0

    @property
    def total(self) -> int:
        """Grains of all accounts together."""
        return self.tree.total if self.tree else 0

    def is_in(self, header: Header) -> bool:
        """Whether a root says just that."""
        told = (header.since, header.epoch, header.root, header.count, header.data)
        return told == (self.since, self.epoch, self.root, self.count, self.data)

    def file(self) -> bytes:
        """What its proposer serves."""
        return serve(self.bundle)


@dataclass(frozen=True, slots=True)
class Standing:
    """A root of the chain, what it must say, and the root before (None for the first)."""

    header: Header
    own: Draft
    past: Root | None

    @property
    def sound(self) -> bool:
        """Whether the root says what it must."""
        return self.own.is_in(self.header)

    def served(self, file: bytes | None) -> Served:
        """The batch behind the root: one's own where it is the same, else that of a served file.
        IntegrityError where that is not the root's, or there is none."""
        if self.own.data == self.header.data:
            return read(self.own.file(), self.header.data)
        return read(file or b"", self.header.data)

    def tree(self, leaves: bytes | None) -> Tree:
        """The accounts of the root: one's own where they are the same, else those served.
        IntegrityError as above."""
        wanted = self.header.root, self.header.count
        if self.own.tree is not None and (self.own.root, self.own.count) == wanted:
            return self.own.tree
        tree = Tree.read(leaves or b"")
        if (tree.root, tree.count) != wanted:
            raise IntegrityError(
                "these are the leaves of another root", remedy="Demand what is missing."
            )
        return tree

    def case(self, served: Served, tree: Tree) -> Case:
        """Everything a proof is taken from."""
        return Case(self.header, served, self.own.bundle, tree, self.past)


@dataclass(frozen=True, slots=True)
class Finding:
    """The first false thing in a root, and the call that disproves it."""

    claim: Claim
    checker: int
    proof: bytes

    @property
    def name(self) -> str:
        """The false thing in words."""
        return named(self.claim)


@dataclass
class _Memory:
    """What was reckoned: roots by the hash of their header."""

    roots: dict[bytes, tuple[Root, Draft]] = field(default_factory=dict)

    def keep(self, hashed: bytes, root: Root, draft: Draft) -> None:
        self.roots.pop(hashed, None)
        while len(self.roots) >= KEPT:
            del self.roots[next(iter(self.roots))]
        self.roots[hashed] = root, draft


class Court:
    """Reckons roots over a ledger; thread-safe, one at a time. Refuses as ``Ledger`` does."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.reader = Reader(ledger)
        self.calendar = self.reader.calendar
        self._lock = threading.RLock()
        self._memory = _Memory()
        self._headers: dict[bytes, Header] = {}
        self._drafts: dict[tuple[bytes, int], Draft] = {}
        self._read = 0
        self._rollbacks = -1

    def sync(self) -> None:
        """Read what the chain has logged meanwhile."""
        with self._lock:
            self._ledger.index.sync()
            self._read_headers()

    def state(self) -> State:
        """Where the roots stand."""
        return self._ledger.prizes.state()

    def facts(self, subnet: int, since: int, epoch: int) -> Facts:
        """All that a subnet's trace of some epochs follows from."""
        return self.reader.facts(subnet, since, epoch)

    def ended(self) -> int:
        """How many epochs have ended."""
        return self.calendar.ended(self._ledger.head().time)

    def parent(self, position: int) -> bytes:
        """The hash of the header at a position, 32 zeros for the empty root."""
        return convert(bytes, self._ledger.call("prizes", "headers", [position]))

    def header(self, position: int) -> Header | None:
        """The root that stands at a position; None for the empty one."""
        found = self.parent(position)
        return None if found == EMPTY else self.known(found)

    def position(self, epoch: int) -> int | None:
        """Where the root stands that covers an epoch, None where none does."""
        for header in reversed(list(self._chain(self.state().tip))):
            if header.since <= epoch <= header.epoch:
                return header.position
        return None

    def draft(self, epoch: int) -> Draft:
        """What the next root must say where an ended epoch is its last; FalseRootError where the
        last root is false, RefusedError where a budget is not fixed."""
        with self._lock:
            state = self.state()
            key = self.parent(state.tip), epoch
            if key not in self._drafts:
                self._drafts.clear()
                self._drafts[key] = self._reckon(state.next_epoch, epoch, self.root(state.tip))
            return self._drafts[key]

    def root(self, position: int) -> tuple[Root, Draft] | None:
        """The true root at a position; None for the empty one, FalseRootError for a false one."""
        with self._lock:
            if position < 2:
                return None
            last: tuple[Root, Draft] | None = None
            for header in self._from_known(position):
                last = self._memory.roots.get(header_hash(header)) or self._grow(header, last)
            return last

    def standing(self, position: int) -> Standing:
        """A root beside what it must say. FalseRootError where one before it is false;
        NotFoundError where there is none."""
        with self._lock:
            header = self.header(position)
            if header is None:
                raise NotFoundError(
                    f"there is no root {position}", remedy="The last one is `state().tip`."
                )
            past = self.root(position - 1)
            known = self._memory.roots.get(header_hash(header))
            own = known[1] if known else self._reckon(header.since, header.epoch, past)
            return Standing(header, own, past[0] if past else None)

    def judge(
        self, position: int, *, file: bytes | None = None, leaves: bytes | None = None
    ) -> Finding | None:
        """The first false thing in the root at a position, None where it is true. IntegrityError
        where it is not, and what is served does not tell what in it is false."""
        standing = self.standing(position)
        if standing.sound:
            return None
        return find(standing, standing.served(file), standing.tree(leaves))

    # --- reckoning -------------------------------------------------------------------------------

    def _reckon(self, since: int, epoch: int, past: tuple[Root, Draft] | None) -> Draft:
        before = past[0].bundle.traces if past else ()
        traces = [
            self._trace(subnet, since, epoch, before)
            for subnet in range(1, self.reader.count(epoch) + 1)
        ]
        made = batch.bundle(traces)
        earned = grown(past[1].earned if past else {}, made.pays)
        amounts = {each: grains * GRAIN for each, grains in earned.items()}
        return Draft(since, epoch, made, earned, Tree.of(amounts) if earned else None)

    def _trace(self, subnet: int, since: int, epoch: int, before: tuple[Built, ...]) -> Built:
        past = before[subnet - 1] if subnet <= len(before) else None
        return build(self.facts(subnet, since, epoch), past)

    def _grow(self, header: Header, past: tuple[Root, Draft] | None) -> tuple[Root, Draft]:
        """A root that must be true, on top of one that is."""
        draft = self._reckon(header.since, header.epoch, past)
        if draft.tree is None or not draft.is_in(header):
            raise FalseRootError(
                f"the root of epoch {header.epoch} is not what the chain says",
                remedy="Disprove it while it is open: `freehold verify --subnet NAME --dispute`.",
            )
        root = Root(header, draft.bundle, draft.tree)
        self._memory.keep(header_hash(header), root, draft)
        return root, draft

    # --- headers ---------------------------------------------------------------------------------

    def _from_known(self, position: int) -> list[Header]:
        """The roots up to one, from the last on that is remembered, else from the first on."""
        late: list[Header] = []
        for place in range(position, max(position - KEPT, 1), -1):
            late.insert(0, self.known(self.parent(place)))
            if header_hash(late[0]) in self._memory.roots:
                return late
        chain = list(self._chain(position))
        known = [at for at, each in enumerate(chain) if header_hash(each) in self._memory.roots]
        return chain[known[-1] :] if known else chain

    def _chain(self, position: int) -> Iterator[Header]:
        """The roots that stand, from the first one up to a position."""
        for first in range(2, position + 1, AT_ONCE):
            last = min(first + AT_ONCE, position + 1)
            views = [View("prizes", "headers", (each,)) for each in range(first, last)]
            for found in convert_list(bytes, self._ledger.call_many(views)):
                yield self.known(found)

    def known(self, hashed: bytes) -> Header:
        """The root of a hash, void ones too; NotFoundError."""
        found = self._headers.get(hashed)
        if found is None:
            self._read_headers()
            found = self._headers.get(hashed)
        if found is None:
            raise NotFoundError(
                f"the root 0x{hashed.hex()} is not in the index", remedy="Sync it and try again."
            )
        return found

    def _read_headers(self) -> None:
        """All roots that were ever proposed, also void ones: one of them can stand again."""
        index = self._ledger.index
        if index.rollbacks() != self._rollbacks:
            self._headers, self._read, self._rollbacks = {}, 0, index.rollbacks()
            self._memory.roots.clear()
            self._drafts.clear()
        for event in every(index, "prizes", "Proposed", since=self._read):
            header = header_of(event)
            self._headers[header_hash(header)] = header
            self._read = event.block


def find(standing: Standing, served: Served, tree: Tree) -> Finding | None:
    """The first false thing in a root of which all is known, None where nothing is."""
    case = standing.case(served, tree)
    past = standing.past.tree if standing.past else None
    claim = first_difference(case.own, served) or growth(
        batch.grains_of(past), case.own, batch.grains_of(tree)
    )
    return finding(case, claim) if claim else None


def finding(case: Case, claim: Claim) -> Finding:
    """A claim with its proof."""
    proof = case.proof(claim)
    return Finding(claim, proof.checker, proof_of(proof.checker, proof.function, proof.arguments))


def header_hash(header: Header) -> bytes:
    """What the chain keeps of a root."""
    return keccak(b"".join(word(each) for each in _plain(header)))


def header_of(event: Event) -> Header:
    """The root that an event ``Proposed`` tells of."""
    return Header(**asdict(convert(Told, event.args["header"])))


def told(header: Header) -> Told:
    """A header as the contract's class takes it."""
    return Told(**asdict(header))


def named(claim: Claim) -> str:
    """A claim in words, with subnet and uid as people count them."""
    where = [] if claim.kind in ("batch", "order", "growth") else [f"subnet {claim.trace + 1}"]
    if claim.account is not None:
        where.append(f"account {claim.account}")
    elif claim.kind in _UIDS:
        where.append(f"uid {claim.index}")
    elif claim.kind in ("order", "pay"):
        where.append(f"place {claim.index}")
    elif claim.kind == "permit":
        where.append(f"uid {claim.index if claim.index >= 0 else claim.other}")
    return f"{claim.kind.replace('_', ' ')} of {', '.join(where)}" if where else claim.kind


def _plain(header: Header) -> tuple[int | bytes | str, ...]:
    return (
        header.position, header.since, header.epoch, header.parent_total, header.root,
        header.count, header.data, header.proposer, header.until, header.bond,
    )  # fmt: skip


_UIDS = frozenset(
    {"node", "sums", "member", "weight", "rows", "column", "bond", "dividends", "cell", "lack"}
)
