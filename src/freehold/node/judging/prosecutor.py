"""What to do about a false root: the one transaction that disproves it, or the demands for what its
proposer keeps back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from freehold.audit.competing import Finding, Standing, finding, header_hash, header_of, named, told
from freehold.audit.competing_leaves import Leaves
from freehold.audit.competing_pieces import Pieces, Wanted
from freehold.domain.errors import FreeholdError, IntegrityError
from freehold.domain.ids import Address
from freehold.economics.trees import GRAIN, Tree
from freehold.ledger.contracts.disputes import disproving
from freehold.ledger.contracts.roots import header_words
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.values import Event
from freehold.markets.models.trace.batch import grains_of
from freehold.markets.models.trace.claims import Claim, first_difference, growth
from freehold.markets.models.trace.served import Served
from freehold.markets.models.trace.values import VERSION, Header
from freehold.node.judging.source import FILE_MAX, Source

DEMANDS, AT_ONCE = 80, 32
"""Pieces that are demanded together, and transactions that are on their way at once."""
ANSWER_GAS = {"disputes": 250_000, "prizes": 150_000}
CELLS_MAX = 2**32
"""Cells that a batch may have for the contract."""
SLACK = 2**20
"""Bytes that a served file may be longer than twice one's own: of what is longer, pieces are
demanded, for whoever doubts must not choke on a file that was made for that."""
LEAST_PRICE, MARGIN = 10**9, 2
"""Wei that a unit of an answer's gas costs at least; how far its price may rise until then."""


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction; ``value`` in wei."""

    contract: str
    function: str
    arguments: Sequence[object]
    value: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is false, in words, and what to send about it: nothing while answers are waited for."""

    what: str
    calls: tuple[Call, ...] = ()


class Prosecutor:
    """Plans; ``source`` tells where a proposer serves its files."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        source: Callable[[Address], Source | None],
        at_once: int = AT_ONCE,
    ) -> None:
        self._ledger, self._source, self._at_once = ledger, source, at_once

    def plan(self, standing: Standing) -> Plan:
        """What to do about a false root; IntegrityError where nothing in it can be shown."""
        source = self._source(standing.header.proposer)
        served = self._served(standing, source)
        if isinstance(served, Plan):
            return served
        claim = Claim("batch") if _odd(served) else first_difference(standing.own.bundle, served)
        if claim is not None:
            return _disproof(finding(standing.case(served, _anything(standing)), claim))
        return self._plan_accounts(standing, served, source)

    def send(self, plan: Plan) -> None:
        """Send what was planned; refuses as ``Ledger`` does."""
        if min(self._at_once, len(plan.calls)) < 2:
            for call in plan.calls:
                self._send(call)
            return
        with ThreadPoolExecutor(self._at_once, "demand") as pool:
            deque(pool.map(self._send, plan.calls), maxlen=0)

    def _send(self, call: Call) -> None:
        self._ledger.send(call.contract, call.function, call.arguments, value=call.value)

    # --- the batch -------------------------------------------------------------------------------

    def _served(self, standing: Standing, source: Source | None) -> Served | Plan:
        """The batch from where it is served, else from what was answered, else what to demand."""
        header = standing.header
        most = _most(standing.own.file())
        file = _fetch(partial(source.trace, header.epoch, most) if source else None)
        try:
            return standing.served(file)
        except IntegrityError as error:
            pieces = Pieces(standing.own.bundle)
            asked = self._answered(header, pieces)
            wanted = pieces.wanted(DEMANDS)
            if not wanted:
                return pieces.served()
            return self._demand(header, [each for each in wanted if each not in asked], error)

    def _answered(self, header: Header, pieces: Pieces) -> set[Wanted]:
        """Add what was answered; all that was demanded."""
        asked: set[Wanted] = set()
        for event in self._demands("disputes", header):
            kind, trace, index = (event.number(name) for name in ("kind", "trace", "index"))
            asked.add((kind, trace, index))
            answer = self._answer("disputes", event)
            opening = answer.args["opening"] if answer else None
            if isinstance(opening, dict):
                pieces.add((kind, trace, index), opening)
        return asked

    def _demand(self, header: Header, wanted: Sequence[Wanted], error: FreeholdError) -> Plan:
        value = self._price("disputes")
        calls = (
            Call("disputes", "demand", (header_words(told(header)), *each), value)
            for each in wanted
        )  # fmt: skip
        return Plan(f"what is served does not do ({error.message})", tuple(calls))

    # --- the accounts ----------------------------------------------------------------------------

    def _plan_accounts(
        self, standing: Standing, served: Served, source: Source | None
    ) -> Plan:  # fmt: skip
        """The batch is true: then some account has not what follows from it."""
        header = standing.header
        most = _most(standing.own.tree.data() if standing.own.tree else b"")
        data = _fetch(partial(source.leaves, header.epoch, most) if source else None)
        try:
            tree = standing.tree(data)
        except IntegrityError as error:
            return self._glimpsed(standing, served, error)
        before = grains_of(standing.past.tree if standing.past else None)
        claim = growth(before, standing.own.bundle, grains_of(tree))
        if claim is None:
            raise IntegrityError("nothing in it can be shown false", remedy="Report this root.")
        return _disproof(finding(standing.case(served, tree), claim))

    def _glimpsed(self, standing: Standing, served: Served, error: FreeholdError) -> Plan:
        header, leaves = standing.header, Leaves(standing.header, standing.own.tree)
        asked = set()
        for event in self._demands("prizes", header):
            asked.add(event.number("index"))
            if answer := self._answer("prizes", event):
                leaves.add(answer.args["proof"])
        words = header_words(told(header))
        if wanted := leaves.wanted():
            value = self._price("prizes")
            calls = tuple(
                Call("prizes", "demand", (words, index), value)
                for index in wanted
                if index not in asked
            )
            return Plan(f"the accounts that are served do not do ({error.message})", calls)
        if (pair := leaves.disorder()) is not None:
            given = (words, pair[0].words(), pair[1].words())
            what = f"order of account {pair[1].account}"
            return Plan(what, (Call("prizes", "dispute_order", given),))
        account, tree = leaves.glimpse()
        return _disproof(finding(standing.case(served, tree), Claim("growth", account=account)))

    # --- demands ---------------------------------------------------------------------------------

    def _demands(self, contract: str, header: Header) -> Iterator[Event]:
        """Those for a root."""
        if contract == "disputes":
            where: dict[str, object] = {"header": header_hash(header)}
            yield from every(self._ledger.index, contract, "Demanded", where)
            return
        begun, where = self._begun(header), {"position": header.position}
        for event in every(self._ledger.index, contract, "Demanded", where, since=begun[0]):
            # A position may have had another root before.
            if (event.block, event.index) > begun:
                yield event

    def _begun(self, header: Header) -> tuple[int, int]:
        """Block and index of where a root was proposed."""
        for event in every(self._ledger.index, "prizes", "Proposed", {"epoch": header.epoch}):
            if header_hash(header_of(event)) == header_hash(header):
                return event.block, event.index
        return 0, 0

    def _answer(self, contract: str, demanded: Event) -> Event | None:
        return self._ledger.index.last(contract, "Answered", where={"id": demanded.number("id")})

    def _price(self, contract: str) -> int:
        return ANSWER_GAS[contract] * max(MARGIN * self._ledger.gas_price(), LEAST_PRICE)


def _disproof(found: Finding) -> Plan:
    call = Call("disputes", disproving(found.proof), (found.checker, found.proof))
    return Plan(named(found.claim), (call,))


def _odd(served: Served) -> bool:
    """Whether a batch is of another version or too large, which no file can be."""
    return served.batch.version != VERSION or served.batch.cell_count > CELLS_MAX


def _anything(standing: Standing) -> Tree:
    """A tree where a proof takes nothing from it."""
    return standing.own.tree or Tree.of({standing.header.proposer: GRAIN})


def _most(own: bytes) -> int:
    """Bytes of a served file that are looked at, given one's own."""
    return min(FILE_MAX, 2 * len(own) + SLACK)


def _fetch(call: Callable[[], bytes] | None) -> bytes | None:
    """What is served; None where it is not."""
    try:
        return call() if call else None
    except FreeholdError:
        return None
