"""The arguments with which a claim is shown to a contract, whose function then reckons anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from freehold.domain.errors import UsageError
from freehold.domain.ids import Address, raw_address
from freehold.economics.trees import Tree
from freehold.markets.models.trace.batch import Bundle
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.claims import INCENTIVES, PAID, RANKS, STAKE, Claim, prune_list
from freehold.markets.models.trace.served import Served, ServedTrace
from freehold.markets.models.trace.values import (
    EMPTY,
    NOBODY,
    Cell,
    Column,
    Header,
    Node,
    Trace,
    pack,
)

Argument: TypeAlias = object
CHECKERS = ("columns", "standings", "payouts")
_COLUMNS = ("weight", "rows", "table", "column", "bond", "dividends")
_PAYOUTS = ("batch", "order", "pay", "lack", "growth")
_NO_SHOWN: tuple[Argument, ...] = ((EMPTY,) * 4 + (0,) + (EMPTY,) * 3, ())
_NO_NODE = Node(NOBODY, 0, 0, 0)
_NO_COLUMN, _NO_CELL = Column(0, 0), Cell(0, 0, 0, 0)
_NO_TRACE: tuple[int | bytes, ...] = tuple(
    EMPTY if k in (0, 2, 3, 5, 6) else 0 for k in range(Trace.FIELDS)
)
_NO_PLACE: tuple[Argument, ...] = ((0, EMPTY, 0, EMPTY, 0), _NO_TRACE, 0, ())
_NO_HEADER = Header(0, 0, 0, 0, 0, 0, EMPTY, NOBODY, 0, 0)


@dataclass(frozen=True, slots=True)
class Proof:
    """A call of a checker: its place in ``CHECKERS``, its function, all arguments."""

    checker: int
    function: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Root:
    """A root with what is known of it: its traces, and the tree of what accounts ever earned."""

    header: Header
    bundle: Bundle
    tree: Tree


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a proof is taken from: the root and what its proposer serves, one's own batch,
    and the root before (None where there is none)."""

    header: Header
    served: Served
    own: Bundle
    tree: Tree
    past: Root | None = None

    def proof(self, claim: Claim) -> Proof:
        """The call that shows a claim. UsageError for a claim of another kind."""
        checker = 0 if claim.kind in _COLUMNS else 2 if claim.kind in _PAYOUTS else 1
        shown = _KINDS.get(claim.kind)
        if shown is None:
            raise UsageError(
                f"nothing is called {claim.kind!r} in a trace",
                remedy="Take the claim from first_difference or growth.",
            )
        arguments = shown(self, claim)
        return Proof(checker, f"false_{claim.kind}", (self.header.words(), *arguments))

    def mine(self, claim: Claim) -> Built:
        """One's own trace."""
        return self.own.traces[claim.trace]

    def theirs(self, claim: Claim) -> ServedTrace:
        """The served trace."""
        return self.served.traces[claim.trace]

    def place(self, claim: Claim) -> tuple[Argument, ...]:
        """The served trace, proven."""
        batch = self.served.batch.words()
        if not 0 <= claim.trace < len(self.served.traces):
            return batch, _NO_TRACE, 0, ()
        path = self.served.trace_tree.path(claim.trace)
        return batch, self.theirs(claim).trace.words(), claim.trace, path

    def shown(self, claim: Claim, uid: int) -> tuple[Argument, ...]:
        """A leaf of the served trace, proven; nothing for a uid below 0."""
        if uid < 0:
            return _NO_SHOWN
        theirs = self.theirs(claim)
        return theirs.leaves[uid].words(), theirs.tree.path(uid)

    def seat(self, claim: Claim, uid: int) -> tuple[Argument, ...]:
        """A uid with its leaf and its node."""
        return uid, self.shown(claim, uid), self.mine(claim).nodes[uid].words()

    def before(self, claim: Claim) -> tuple[tuple[Argument, ...], tuple[Argument, ...]]:
        """The header and the subnet's trace in the root before."""
        if self.past is None:
            return _NO_HEADER.words(), _NO_PLACE
        bundle, header = self.past.bundle, self.past.header.words()
        if claim.trace >= len(bundle.traces):
            return header, (bundle.batch.words(), _NO_TRACE, 0, ())
        trace = bundle.traces[claim.trace].trace.words()
        return header, (
            bundle.batch.words(), trace, claim.trace, bundle.trace_tree.path(claim.trace),
        )  # fmt: skip

    def earlier(self, claim: Claim) -> Built | None:
        """The subnet's trace in the root before."""
        if self.past is None or claim.trace >= len(self.past.bundle.traces):
            return None
        return self.past.bundle.traces[claim.trace]

    def paid(self, at: int) -> tuple[Argument, ...]:
        """What is paid at a place, proven."""
        return at, self.served.pays[at].words(), self.served.pay_tree.path(at)

    def beside(self, at: int) -> tuple[tuple[Argument, ...], ...]:
        """What is paid on both sides of a gap before a place."""
        return tuple(self.paid(k) for k in (at - 1, at) if 0 <= k < len(self.served.pays))

    def cell(self, claim: Claim, uid: int) -> tuple[tuple[Argument, ...], ...]:
        """A uid with node and cell; none for the owner or a uid that there is not."""
        mine = self.mine(claim)
        if not uid < mine.trace.count:
            return ()
        node, cell = mine.nodes[uid].words(), mine.cells[uid].words()
        return ((self.shown(claim, uid), node, cell),)


def _batch(case: Case, _: Claim) -> tuple[Argument, ...]:
    return (case.served.batch.words(),)


def _placed(case: Case, claim: Claim) -> tuple[Argument, ...]:
    return (case.place(claim),)


def _node(case: Case, claim: Claim) -> tuple[Argument, ...]:
    generation = case.mine(claim).nodes[claim.index].generation
    return case.place(claim), claim.index, case.shown(claim, claim.index), generation


def _sums(case: Case, claim: Claim) -> tuple[Argument, ...]:
    mine, last, which = case.mine(claim), claim.index - 1, claim.other
    node = mine.nodes[last] if which == STAKE and last >= 0 else _NO_NODE
    ranked = which in (RANKS, INCENTIVES) and last >= 0
    column = mine.columns[last] if ranked else _NO_COLUMN
    cell = mine.cells[last] if which == PAID and last >= 0 else _NO_CELL
    return (
        case.place(claim), claim.index, case.shown(claim, last), case.shown(claim, claim.index),
        which, node.words(), column.words(), cell.words(),
    )  # fmt: skip


def _totals(case: Case, claim: Claim) -> tuple[Argument, ...]:
    return case.place(claim), case.shown(claim, case.mine(claim).trace.count)


def _dividend_totals(case: Case, claim: Claim) -> tuple[Argument, ...]:
    mine = case.mine(claim)
    return case.place(claim), mine.table_words(), pack(mine.dividends[-1], 64)


def _permits(case: Case, claim: Claim) -> tuple[Argument, ...]:
    return case.place(claim), case.theirs(claim).permits


def _permit(case: Case, claim: Claim) -> tuple[Argument, ...]:
    seated, other = (
        (case.seat(claim, uid),) if uid >= 0 else () for uid in (claim.index, claim.other)
    )
    return case.place(claim), case.theirs(claim).permits, seated, other


def _members(case: Case, claim: Claim) -> tuple[Argument, ...]:
    return case.place(claim), case.theirs(claim).members


def _member(case: Case, claim: Claim) -> tuple[Argument, ...]:
    past, uid = case.earlier(claim), claim.index
    then: tuple[Argument, ...] = (0, _NO_SHOWN, _NO_NODE.words())
    permits: tuple[int, ...] = ()
    earlier: tuple[int, ...] = ()
    if past is not None:
        permits, earlier = past.permit_words(), past.member_words()
        if uid < past.trace.count:
            then = uid, _shown_of(past, uid), past.nodes[uid].words()
    return (
        case.place(claim), *case.before(claim), case.seat(claim, uid), then,
        permits, earlier, case.theirs(claim).members,
    )  # fmt: skip


def _shown_of(built: Built, uid: int) -> tuple[Argument, ...]:
    return built.leaves[uid].words(), built.tree.path(uid)


def _weight(case: Case, claim: Claim) -> tuple[Argument, ...]:
    mine, uid, at = case.mine(claim), claim.index, claim.other
    row = b""
    if at < len(mine.members):
        found = mine.facts.rows.get(mine.members[at].uid)
        row = found.packed() if found else b""
    return (
        case.place(claim), uid, case.shown(claim, uid), at, case.theirs(claim).weights[uid],
        mine.member_words(), mine.nodes[uid].words(), row,
    )  # fmt: skip


def _rows(case: Case, claim: Claim) -> tuple[Argument, ...]:
    mine, last = case.mine(claim), claim.index - 1
    vectors = (pack(mine.rows[last], 32), mine.weight_words(last)) if last >= 0 else ((), ())
    return (
        case.place(claim), claim.index, case.shown(claim, last), case.shown(claim, claim.index),
        *vectors,
    )  # fmt: skip


def _table(case: Case, claim: Claim) -> tuple[Argument, ...]:
    mine = case.mine(claim)
    last = case.shown(claim, mine.trace.count)
    return case.place(claim), last, mine.member_words(), pack(mine.rows[-1], 32)


def _column(case: Case, claim: Claim) -> tuple[Argument, ...]:
    mine, uid = case.mine(claim), claim.index
    return (
        case.place(claim), uid, case.shown(claim, uid), mine.weight_words(uid),
        mine.table_words(), mine.columns[uid].consensus,
    )  # fmt: skip


def _bond(case: Case, claim: Claim) -> tuple[Argument, ...]:
    mine, past, uid = case.mine(claim), case.earlier(claim), claim.index
    held, gains = _NO_SHOWN, EMPTY
    stored: tuple[int, ...] = ()
    if past is not None and uid < past.trace.count:
        held, bond = _shown_of(past, uid), past.bonds[uid]
        stored, gains = pack(bond.stored, 16), bond.parts()[1]
    return (
        case.place(claim), *case.before(claim), uid, case.shown(claim, uid),
        mine.nodes[uid].words(), mine.columns[uid].words(), mine.weight_words(uid),
        mine.table_words(), mine.member_words(), held, stored, gains,
    )  # fmt: skip


def _dividends(case: Case, claim: Claim) -> tuple[Argument, ...]:
    mine, last = case.mine(claim), claim.index - 1
    stored = EMPTY
    gains: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    if last >= 0:
        stored, gains = mine.bonds[last].parts()[0], pack(mine.bonds[last].gains, 64)
        before = pack(mine.dividends[last], 64)
    return (
        case.place(claim), claim.index, case.shown(claim, last), case.shown(claim, claim.index),
        stored, gains, before,
    )  # fmt: skip


def _cell(case: Case, claim: Claim) -> tuple[Argument, ...]:
    mine, uid = case.mine(claim), claim.index
    return (
        case.place(claim), uid, case.shown(claim, uid), mine.nodes[uid].words(),
        mine.columns[uid].words(), mine.member_words(), mine.table_words(),
        pack(mine.dividends[-1], 64),
    )  # fmt: skip


def _prune(case: Case, claim: Claim) -> tuple[Argument, ...]:
    mine = case.mine(claim)
    told = prune_list(case.theirs(claim).trace.prune)[claim.index]

    def turn(uid: int) -> tuple[tuple[Argument, ...], ...]:
        if not 0 <= uid < mine.trace.count:
            return ()
        return ((*case.seat(claim, uid), mine.cells[uid].words()),)

    return case.place(claim), claim.index, turn(told), turn(claim.other)


def _order(case: Case, claim: Claim) -> tuple[Argument, ...]:
    first = (case.paid(claim.index - 1),) if claim.index else ()
    return case.served.batch.words(), first, case.paid(claim.index)


def _pay(case: Case, claim: Claim) -> tuple[Argument, ...]:
    uid = case.served.pays[claim.index].uid
    known = 0 <= claim.trace < len(case.served.traces)
    seat = case.cell(claim, uid) if known else ()
    return case.place(claim), case.paid(claim.index), seat


def _lack(case: Case, claim: Claim) -> tuple[Argument, ...]:
    uid = claim.index
    ranks = [pay.rank() for pay in case.served.pays]
    mine = next(
        pay for pay in case.own.pays if (pay.subnet, pay.uid) == (claim.trace + 1, uid)
    )  # fmt: skip
    at = sum(rank < mine.rank() for rank in ranks)
    return case.place(claim), uid, case.cell(claim, uid), case.beside(at)


def _growth(case: Case, claim: Claim) -> tuple[Argument, ...]:
    account = claim.account or NOBODY
    last = sum(raw_address(pay.account) <= raw_address(account) for pay in case.served.pays)
    before = _leaves_of(case.past.tree, account) if case.past else ()
    header = case.past.header if case.past else _NO_HEADER
    return (
        case.served.batch.words(), header.words(), account, before, case.beside(last),
        _leaves_of(case.tree, account),
    )  # fmt: skip


def _leaves_of(tree: Tree, account: Address) -> tuple[tuple[Argument, ...], ...]:
    """An account's leaf with its path; else the leaves on both sides of where it would be."""
    at = tree.place(account)
    if at < tree.count and tree.leaf(at).account == account:
        return (_leaf_of(tree, at),)
    return tuple(_leaf_of(tree, k) for k in (at - 1, at) if 0 <= k < tree.count)


def _leaf_of(tree: Tree, index: int) -> tuple[Argument, ...]:
    leaf = tree.leaf(index)
    return leaf.account, leaf.grains, index, tree.path(index)


_KINDS: Mapping[str, Callable[[Case, Claim], tuple[Argument, ...]]] = {
    "batch": _batch, "count": _placed, "node": _node, "sums": _sums, "totals": _totals,
    "dividend_totals": _dividend_totals, "permits": _permits, "permit": _permit,
    "members": _members, "member": _member, "weight": _weight, "rows": _rows, "table": _table,
    "column": _column, "bond": _bond, "dividends": _dividends, "emission": _placed, "cell": _cell,
    "prune": _prune, "order": _order, "pay": _pay, "lack": _lack, "growth": _growth,
}  # fmt: skip
