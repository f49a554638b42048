"""A deal prolonged: every node of it signs the new term, or is named with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from freehold.client import accepting
from freehold.client.chain import Chain
from freehold.client.peers import Peers
from freehold.client.reading import Library, RemoteColumn
from freehold.domain.errors import ConflictError, FreeholdError, NotFoundError, UnavailableError
from freehold.domain.ids import Address
from freehold.domain.money import show
from freehold.domain.spans import about
from freehold.ledger.contracts.storage import Acceptance


@dataclass(frozen=True, slots=True)
class Objection:
    """A column whose node does not sign a new term, and why."""

    slot: int
    node: Address
    reason: str


class NotRenewedError(UnavailableError):
    """Some nodes of a deal did not sign its new term, so nothing changed."""

    def __init__(self, deal: int, columns: int, objections: Sequence[Objection]) -> None:
        told = "; ".join(f"column {o.slot} on {o.node}: {o.reason}" for o in objections)
        super().__init__(
            f"{len(objections)} of the {columns} nodes of deal {deal} did not sign the new term "
            f"({told}); nothing was renewed and the deal goes on as it was",
            remedy=f"Move these columns to other nodes and renew in one: `freehold deal renew "
            f"{deal} --move`. Or try again when those nodes answer.",
        )
        self.objections = tuple(objections)

    def __reduce__(self) -> tuple[object, tuple[type[FreeholdError], str, str]]:
        return (_plain, (UnavailableError, self.message, self.remedy))


def _plain(kind: type[FreeholdError], message: str, remedy: str) -> FreeholdError:
    return kind(message, remedy=remedy)


class Renewing:
    """Prolongs deals of one account."""

    def __init__(self, chain: Chain, peers: Peers, library: Library) -> None:
        self._chain, self._peers, self._library = chain, peers, library

    def renew(self, deal: int, term_end: int) -> str:
        """Extend ``deal`` to ``term_end``; the transaction's hash.

        NotRenewedError names every node that did not sign; ConflictError when the deal lasts as
        long already, NotFoundError when nothing of it is left.
        """
        columns = self._columns(deal, term_end)
        acceptances, objections = self._ask(columns, term_end)
        if objections:
            raise NotRenewedError(deal, len(columns), objections)
        return self._chain.renew(deal, term_end, acceptances)

    def objections(self, deal: int, term_end: int) -> tuple[Objection, ...]:
        """The nodes that would not sign ``term_end``; errors as of ``renew``."""
        return tuple(self._ask(self._columns(deal, term_end), term_end)[1])

    def _columns(self, deal: int, term_end: int) -> Mapping[int, RemoteColumn]:
        ends = self._chain.deal(deal).term_end
        if term_end <= ends:
            raise ConflictError(
                f"deal {deal} lasts {about(ends - term_end)} longer than that already",
                remedy="Give a longer --term, counted from now.",
            )
        columns = self._library.columns(deal)
        if not columns:
            raise NotFoundError(
                f"no node holds a column of deal {deal} any more", remedy="Put the object again."
            )
        return columns

    def _ask(
        self, columns: Mapping[int, RemoteColumn], term_end: int
    ) -> tuple[list[Acceptance], list[Objection]]:
        """Ask all nodes at once; acceptances and objections in the order of the slots."""
        with ThreadPoolExecutor(len(columns)) as pool:
            asked = {
                slot: pool.submit(self._accept, column, term_end)
                for slot, column in sorted(columns.items())
            }
        acceptances: list[Acceptance] = []
        objections: list[Objection] = []
        for slot, answer in asked.items():
            error = answer.exception()
            if isinstance(error, FreeholdError):
                objections.append(Objection(slot, columns[slot].record.node, error.message))
            else:
                acceptances.append(answer.result())
        return acceptances, objections

    def _accept(self, column: RemoteColumn, term_end: int) -> Acceptance:
        acceptance = accepting.accept(
            self._peers.session(column.record.node),
            self._chain.network,
            parties=accepting.own(self._chain, column.deal.token),
            piece=column.piece,
            term_end=term_end,
            now=self._chain.now(),
        )
        if acceptance.price != column.record.price:
            raise ConflictError(
                f"asks {show(acceptance.price)} per TiB-month now; a deal is renewed at its own "
                f"price, {show(column.record.price)}",
                remedy="Move the column, or put the object anew.",
            )
        return acceptance
