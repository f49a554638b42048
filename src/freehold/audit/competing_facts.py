"""What the chain says of a subnet's ended epoch, as a trace takes it.

Everything is read from views page by page, but for the rows of weights, which are in the events
``Revealed``; each must have the hash that the contract keeps. Nothing of an ended epoch changes any
more, so a later look finds the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from freehold.audit.weights import entries
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import Address, keccak
from freehold.ledger.contracts.base import convert, convert_list
from freehold.ledger.contracts.subnet import GRAIN, PAGE, SPAN_MAX, Record, Seat, Subnet
from freehold.ledger.contracts.subnet import Rules as Told
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.values import Value, View
from freehold.markets.models.trace.values import Facts, Node, Row, Terms
from freehold.markets.models.yuma.values import Liquid, Rules

AT_ONCE = 64
"""Views that are asked in one exchange."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Calendar:
    """The network's epochs; seconds."""

    genesis: int
    length: int

    def begin(self, epoch: int) -> int:
        """When an epoch begins."""
        return self.genesis + epoch * self.length

    def ended(self, moment: int) -> int:
        """How many epochs have ended at a moment."""
        return max(0, moment - self.genesis) // self.length


class Reader:
    """Reads a ledger whose index somebody keeps in step; refuses as ``Ledger`` does."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.calendar = Calendar(ledger.prizes.genesis(), ledger.prizes.epoch_length())

    def count(self, epoch: int) -> int:
        """Subnets that were created by the end of an epoch."""
        end = self.calendar.begin(epoch + 1)
        low, high = 0, self._ledger.subnet.count()
        while low < high:
            middle = (low + high + 1) // 2
            created = self._ledger.subnet.subnet_of(middle).created_at
            low, high = (middle, high) if created < end else (low, middle - 1)
        return low

    def unclosed(self, since: int, epoch: int) -> list[int]:
        """Epochs of a span whose budgets are not fixed yet."""
        epochs = range(since, epoch + 1)
        closed = self._ask(bool, [View("subnet", "closed", (each,)) for each in epochs])
        return [each for each, done in zip(epochs, closed, strict=True) if not done]

    def budget(self, subnet: int, since: int, epoch: int) -> int:
        """Grains that a subnet pays for a span, of which the last ``SPAN_MAX`` epochs count;
        RefusedError until all of those are closed."""
        counted = max(since, epoch + 1 - SPAN_MAX)
        return self._ledger.subnet.budget(subnet, counted, epoch) // GRAIN

    def facts(self, subnet: int, since: int, epoch: int) -> Facts:
        """All that a subnet's trace of a span of epochs follows from; weights and stakes are those
        of the last one. UnavailableError where the index lacks a row."""
        known = self._ledger.subnet.subnet_of(subnet)
        end = self.calendar.begin(epoch + 1)
        seats = self._seats(subnet, known, end)
        records = self._records(subnet, epoch, len(seats))
        return Facts(
            subnet=subnet,
            owner=known.owner,
            terms=terms_of(self._ledger.subnet.rules_at(subnet, epoch)),
            nodes=tuple(
                Node(seat.node, seat.generation, seat.registered_at, record.stake)
                for seat, record in zip(seats, records, strict=True)
            ),
            rows=self._rows(subnet, epoch, records),
            budget=self.budget(subnet, since, epoch),
            opened=self.calendar.begin(since),
            ended=end,
        )

    def _seats(self, subnet: int, known: Subnet, end: int) -> list[Seat]:
        """Who held the uids at a moment."""
        views = [View("subnet", "seats", (subnet, at)) for at in range(0, known.nodes, PAGE)]
        seats = [seat for page in self._lists(Seat, views) for seat in page]
        late = {uid: seat for uid, seat in enumerate(seats) if seat.registered_at >= end}
        then = self._earlier(subnet, late, end)
        found = [then.get(uid, seat) for uid, seat in enumerate(seats)]
        # Uids are given out in order: from the first that nobody held yet on, nobody did.
        return [seat for seat in found if seat.registered_at < end]

    def _earlier(self, subnet: int, late: dict[int, Seat], end: int) -> dict[int, Seat]:
        """Of uids whose holder came later, who held them; not of those that nobody held.

        The generations of a uid came one after the other, so each is sought by halves, and all
        uids at once.
        """
        low = dict.fromkeys(late, 0)
        high = {uid: seat.generation - 1 for uid, seat in late.items()}
        found: dict[int, Seat] = {}
        while open_ := [uid for uid in late if low[uid] < high[uid]]:
            middle = {uid: (low[uid] + high[uid] + 1) // 2 for uid in open_}
            views = [View("subnet", "uid_at", (subnet, uid, middle[uid])) for uid in open_]
            for uid, seat in zip(open_, self._holders(views), strict=True):
                if seat.registered_at < end:
                    low[uid], found[uid] = middle[uid], seat
                else:
                    high[uid] = middle[uid] - 1
        return found

    def _records(self, subnet: int, epoch: int, count: int) -> list[Record]:
        views = [View("subnet", "records", (subnet, epoch, at)) for at in range(0, count, PAGE)]
        return [each for page in self._lists(Record, views) for each in page][:count]

    def _rows(self, subnet: int, epoch: int, records: Sequence[Record]) -> dict[int, Row]:
        wanted = {uid: each for uid, each in enumerate(records) if any(each.row)}
        where = {"subnet": subnet, "epoch": epoch}
        told: dict[int, bytes] = {}
        for event in every(self._ledger.index, "subnet", "Revealed", where) if wanted else ():
            uid, row = event.number("uid"), event.data("row")
            if uid in wanted and keccak(row) == wanted[uid].row:
                told[uid] = row
        if lacking := sorted(set(wanted) - set(told)):
            raise UnavailableError(
                f"the weights of uid {lacking[0]} in subnet {subnet}, epoch {epoch}, are not in"
                " the index",
                remedy="Sync it, or use an RPC that keeps all logs.",
            )
        return {
            uid: Row(tuple(entries(told[uid])), each.committed_at) for uid, each in wanted.items()
        }

    def _holders(self, views: Sequence[View]) -> Iterator[Seat]:
        """Answers of ``uid_at``."""
        for view, (node, since) in zip(views, self._pairs(views), strict=True):
            yield Seat(convert(Address, node), convert(int, since), int(str(view.args[2])))

    def _pairs(self, views: Sequence[View]) -> Iterator[list[Value]]:
        for at in range(0, len(views), AT_ONCE):
            for answer in self._ledger.call_many(views[at : at + AT_ONCE]):
                yield answer if isinstance(answer, list) else [answer]

    def _ask(self, kind: type[T], views: Sequence[View]) -> Iterator[T]:
        for at in range(0, len(views), AT_ONCE):
            answers = self._ledger.call_many(views[at : at + AT_ONCE])
            yield from (convert(kind, answer) for answer in answers)

    def _lists(self, kind: type[T], views: Sequence[View]) -> Iterator[list[T]]:
        for at in range(0, len(views), AT_ONCE):
            answers = self._ledger.call_many(views[at : at + AT_ONCE])
            yield from (convert_list(kind, answer) for answer in answers)


def rules_of(told: Told) -> Rules:
    """Yuma's rules of those of the contract; activity is a matter of revealing."""
    liquid = Liquid(told.liquid_low, told.liquid_high, told.steepness) if told.liquid else None
    return Rules(
        max_validators=told.max_validators,
        activity_cutoff=0,
        kappa=told.kappa,
        bonds_penalty=told.bonds_penalty,
        bonds_ema_ppm=told.bonds_ema_ppm,
        yuma3=told.yuma3,
        liquid=liquid,
        min_stake=told.min_stake,
    )


def terms_of(told: Told) -> Terms:
    """The rules of the contract as a trace takes them."""
    return Terms(rules_of(told), told.immunity, told.owner_bps)
