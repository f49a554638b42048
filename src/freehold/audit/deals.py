"""Deals run again: what was accepted, what each column earns, how it ends, who is owed what.

The arbiter's rule is modelled from PROTOCOL.md, Storage: a rail earns one period for every round
that its node answered in time, from the first period after the column's opening to the last that
ended before the column did.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping

from freehold.audit import terms
from freehold.audit.beacon import Beacon
from freehold.audit.events import Event
from freehold.audit.faults import Faults
from freehold.audit.payments import Payments
from freehold.audit.proofs import MAX_UINT, Proofs
from freehold.audit.registry import Registry
from freehold.audit.terms import ACTIVE, ENDED, FINISHED, Column, Deal
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.network import Network

CHECK = "deals"
CLOSED, TERM, EXIT, FAILED, REPLACED, ABANDONED = range(1, 7)
REFUND, REPAIR = 8, 17


class Deals:
    """The market's state, recomputed; the arbiter of its rails."""

    def __init__(
        self, network: Network, *, beacon: Beacon, proofs: Proofs, faults: Faults,
        payments: Payments, registry: Registry, counts: Counter[str],
    ) -> None:  # fmt: skip
        self._network = network
        self._market = network.contracts["storage"]
        self._beacon = beacon
        self._proofs = proofs
        self._faults = faults
        self._payments = payments
        self._registry = registry
        self._counts = counts
        self.deals: dict[int, Deal] = {}
        self.columns: dict[int, Column] = {}
        self.parameters: dict[str, int] = {}
        self.hidden = 0
        self._collected = 0
        self._due: Counter[tuple[str, int, int]] = Counter()
        self._unearned: set[int] = set()
        self._handlers: dict[str, Callable[[Event], None]] = {
            "DealOpened": self._opened, "ColumnOpened": self._column_opened,
            "ColumnReplaced": self._replaced, "ColumnEnded": self._ended,
            "ColumnFinished": self._finished, "DealClosed": self._closed,
            "DealRenewed": self._renewed, "RepairPaid": self._repaired, "ParametersSet": self._set,
        }  # fmt: skip

    # What others ask

    def accepted(self, rail: int, limit: int, moment: int) -> tuple[int, int]:
        """Seconds that a rail has earned up to a moment, and up to when that is final."""
        column = self.columns[rail]
        end = self._end_of(column)
        seconds = self._seconds(column, limit)
        decided = self._proofs.decided(column.set_id, moment)
        if decided == MAX_UINT:
            return seconds, decided
        border = self._beacon.start(self._beacon.period_of(min(limit, end)))
        if limit >= end and decided >= border:
            return seconds, MAX_UINT
        return seconds, min(decided, border)

    def column_of(self, deal: int, slot: int) -> tuple[Address, int]:
        """Node and piece of the present column of a slot."""
        column = self.deals[deal].present[slot]
        return column.node, column.piece_id

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        numbers = [each for each in arguments if isinstance(each, int)]
        if view == "deal_count":
            return [len(self.deals)]
        if view == "deal":
            shown = self.deals[numbers[0]].shown()
            return None if shown is None else [shown]
        if view == "column":
            return [self._shown(self.deals[numbers[0]].present[numbers[1]])]
        return None

    # Events

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        handler = self._handlers.get(event.name)
        if handler is not None:
            handler(event)

    def see_payment(self, event: Event) -> None:
        """Note what the payments contract did in the market's name."""
        if event.name == "Collected" and event.address("market") == self._market:
            self._collected += event.number("amount")
        elif event.name == "Sent" and event.address("sender") == self._market:
            move = (event.text("recipient"), event.number("amount"), event.number("purpose"))
            self._due[move] -= 1

    def finish(self, event: Event) -> None:
        """Differs where a transaction moved the market's money without a cause, or owes some."""
        left = {move: count for move, count in self._due.items() if count}
        spot = event.spot(CHECK)
        spot.same("reserves collected without a deal", expected=0, found=self._collected)
        spot.same("repairs and refunds, due and not sent", expected={}, found=left)
        spot.same("repairs paid without a good round", expected=set(), found=self._unearned)
        self._due.clear()

    def _opened(self, event: Event) -> None:
        event.same(CHECK, "deal", len(self.deals) + 1)
        request = terms.request_of(event)
        self.hidden += request is None
        deal = Deal(
            number=event.number("deal"), client=event.address("client"),
            token=event.address("token"), object_id=event.data("object_id"), k=event.number("k"),
            n=event.number("n"), size=event.number("size"), height=event.number("height"),
            opened_at=event.time, term_end=event.number("term_end"), request=request,
        )  # fmt: skip
        deal.unfinished = deal.n
        reserve = deal.reserve()
        if reserve is not None:
            spot = event.spot(CHECK)
            spot.same("the reserve collected", expected=reserve, found=self._collected)
        self._collected = 0
        self.deals[deal.number] = deal
        self._counts["deals"] += 1

    def _column_opened(self, event: Event) -> None:
        deal = self._deal(event)
        column = self._admit(event, deal, event.data("root"))
        deal.present[column.slot] = column

    def _admit(self, event: Event, deal: Deal, root: bytes) -> Column:
        """A column that came to a node, checked against what was signed, locked and opened."""
        node, spot = event.address("node"), event.spot(CHECK)
        column = Column(
            deal=deal.number, slot=event.number("slot"), node=node, root=root,
            locked=self._faults.take(event, node, deal.size),
            set_id=self._faults.nodes[node].set_id, piece_id=event.number("piece_id"),
            rail=event.number("rail"), price=event.number("price"),
            opened_period=self._beacon.period_of(event.time),
        )  # fmt: skip
        self._check_piece(event, deal, column)
        self._check_rail(event, deal, column)
        self._check_acceptance(event, deal, column)
        limit = deal.mandate("max_price")
        fair = limit is None or column.price <= limit
        spot.same("a price within the mandate", expected=True, found=fair)
        self._check_spread(event, deal, column)
        self.columns[column.rail] = column
        self._counts["columns"] += 1
        return column

    def _check_acceptance(self, event: Event, deal: Deal, column: Column) -> None:
        """Differs unless the node signed for this column; a batch may hold several of a node."""
        given = terms.acceptances_of(event, column.node)
        if not given:
            self.hidden += 1
            return
        terms_meant = (deal.term_end, column.price)
        meant = [a for a in given if (a.term_end, a.price) == terms_meant] or given
        mover = self._mover(event, deal)
        if mover is None:
            self.hidden += 1
            return
        signers = [a.signer(self._network, deal, column.root, mover=mover) for a in meant]
        signer = column.node if column.node in signers else signers[0]
        spot = event.spot(CHECK).field("acceptance")
        spot.same(
            "the term and price", expected=terms_meant, found=(meant[0].term_end, meant[0].price)
        )
        spot.same("the signer", expected=column.node, found=signer)
        self._counts["acceptances"] += 1

    def _mover(self, event: Event, deal: Deal) -> Address | None:
        """Who submitted an acceptance; None where another contract did, whose name no log tells."""
        if event.name != "ColumnReplaced":
            return deal.client
        if event.transaction.to == self._market:
            return event.transaction.sender()
        replacer = event.address("replacer")
        return None if replacer == ZERO_ADDRESS else replacer

    def _check_spread(self, event: Event, deal: Deal, column: Column) -> None:
        """Differs where two running columns share a node, or too many an owner."""
        others = [c for c in deal.present.values() if c.slot != column.slot and c.state == ACTIVE]
        spot = event.spot(CHECK)
        shared = [c.slot for c in others if c.node == column.node]
        spot.same("columns of the deal on the same node", expected=[], found=shared)
        owner, limit = self._registry.owner(column.node), deal.mandate("per_owner")
        same = 1 + sum(self._registry.owner(c.node) == owner for c in others)
        within = limit is None or same <= limit
        spot.same("columns of one owner within the mandate", expected=True, found=within)

    def _check_piece(self, event: Event, deal: Deal, column: Column) -> None:
        pieces = self._proofs.sets[column.set_id].pieces
        event.same(CHECK, "piece_id", len(pieces) - 1)
        piece = pieces[-1]
        room = 127 << max(0, deal.height - 2)
        leaves = (1 << deal.height) - ((128 * (room - deal.size) // 127) >> 5)
        event.spot(CHECK).same(
            "the piece of the column",
            expected=(column.root, deal.height, leaves),
            found=(piece.root, piece.height, piece.leaves),
        )

    def _check_rail(self, event: Event, deal: Deal, column: Column) -> None:
        rail = self._payments.rails.get(column.rail)
        if rail is None:
            raise event.spot(CHECK).differs("the rail", expected="opened", found=column.rail)
        event.spot(CHECK).same(
            "the rail of the column",
            expected=(
                deal.token, deal.client, self._registry.payout(column.node), self._market,
                column.price * deal.size, self.parameters["lockup_period"], 0,
            ),
            found=(
                rail.token, rail.payer, rail.payee, rail.market, rail.rate, rail.lockup_period,
                rail.fixed,
            ),
        )  # fmt: skip

    def _replaced(self, event: Event) -> None:
        deal = self._deal(event)
        old = deal.present[event.number("slot")]
        event.same(CHECK, "old_node", old.node)
        if old.state == FINISHED:
            deal.unfinished += 1
        else:
            self._give_back(event, deal, old)
            event.spot(CHECK).same("the old column ended", expected=ENDED, found=old.state)
        column = self._admit(event, deal, old.root)
        column.replacer = event.address("replacer")
        if column.replacer != ZERO_ADDRESS:
            deal.repairs_done += 1
            self._check_mandate(event, deal)
        mover = self._mover(event, deal)
        column.moved = mover not in (None, deal.client)
        if column.moved:
            spot = event.spot(CHECK)
            spot.same("a column that may be moved", expected=True, found=old.movable)
            self._check_proven(event, deal, column)
        elif not old.movable:
            self._unearned.discard(old.rail)
        deal.present[column.slot] = column
        self._counts["repairs"] += 1

    def _check_proven(self, event: Event, deal: Deal, column: Column) -> None:
        """Differs unless k columns stay that no stranger moved without a good round since."""
        others = [c for c in deal.present.values() if c.slot != column.slot and c.state == ACTIVE]
        sound = [c for c in others if not c.moved or c.claimed or self._seconds(c, event.time)]
        enough = len(sound) >= deal.k
        event.spot(CHECK).same("k columns that are proven", expected=True, found=enough)

    def _check_mandate(self, event: Event, deal: Deal) -> None:
        expiry, repairs = deal.mandate("expiry"), deal.mandate("repairs")
        if expiry is None or repairs is None:
            return
        within = event.time <= expiry and deal.repairs_done <= repairs
        event.spot(CHECK).same("a move within the mandate", expected=True, found=within)

    def _ended(self, event: Event) -> None:
        column = self._column(event)
        event.same(CHECK, "node", column.node)
        reason = event.number("reason")
        if column.state == ACTIVE:
            column.movable = reason != REPLACED or self._movable(event, column)
        column.abandoned = reason == ABANDONED
        column.ended_at = self._payments.rails[column.rail].end_at
        column.state = ENDED
        expected = self._expected_end(event, column)
        spot = event.spot(CHECK)
        spot.same("the end of the column's rail", expected=expected, found=column.ended_at)

    def _expected_end(self, event: Event, column: Column) -> int:
        reason = event.number("reason")
        rail = self._payments.rails[column.rail]
        deal = self.deals[column.deal]
        if reason == CLOSED:
            return rail.natural_end
        wanted = event.time
        if reason in (TERM, FAILED, ABANDONED):
            wanted = min(event.time, deal.term_end)
        sound = reason == REPLACED and not column.movable
        if sound or (reason == EXIT and not self._may_leave(event, column)):
            wanted = deal.term_end
        return max(min(wanted, rail.natural_end), rail.settled_at)

    def _movable(self, event: Event, column: Column) -> bool:
        """Whether anyone may move a column: its node failed, leaves, or owes rounds."""
        node = self._faults.nodes[column.node]
        owed = self._proofs.owed(column.set_id, event.time)
        return node.failed or node.notice_at > 0 or owed >= self.parameters["repair_owed"]

    def _may_leave(self, event: Event, column: Column) -> bool:
        notice = self._faults.nodes[column.node].notice_at
        return notice > 0 and event.time >= notice + self._faults.parameters["notice"]

    def _finished(self, event: Event) -> None:
        deal, column = self._deal(event), self._column(event)
        over = min(column.ended_at or MAX_UINT, deal.term_end) <= event.time
        spot = event.spot(CHECK)
        spot.same("a column that is over", expected=True, found=over)
        spot.same("rounds decided", expected=True, found=self._is_decided(event, column))
        column.state = FINISHED
        share = self._faults.release(event, column.node, size=deal.size, locked=column.locked)
        event.same(CHECK, "compensation", share)
        if deal.present[column.slot] is not column:
            return
        self._give_back(event, deal, column)
        deal.unfinished -= 1
        if deal.unfinished == 0:
            self._refund(event, deal)

    def _is_decided(self, event: Event, column: Column) -> bool:
        """Whether every round up to that of the period in which a column ended is resolved, or it
        was left behind for so long that anyone may clear it."""
        border = self._beacon.start(self._beacon.period_of(self._end_of(column)) + 1)
        decided = self._proofs.decided(column.set_id, event.time) >= border
        left = column.ended_at + self.parameters["cleanup_window"] < event.time
        return decided or column.abandoned or left

    def _refund(self, event: Event, deal: Deal) -> None:
        rest = deal.reserve()
        deal.closed_at = deal.closed_at or event.time
        deal.refunded = True
        if rest:
            self._due[deal.client, rest, REFUND] += 1
        elif rest is None:
            self._due.clear()  # what was collected is not known, so neither is what goes back

    def _give_back(self, event: Event, deal: Deal, column: Column) -> None:
        """A move whose column earned nothing by its end goes back to the mandate, unpaid."""
        if column.replacer == ZERO_ADDRESS or column.claimed:
            return
        earned = self._seconds(column, event.time)
        event.spot(CHECK).same("a move earned and not paid", expected=0, found=earned)
        column.replacer = ZERO_ADDRESS
        deal.repairs_done -= 1
        self._counts["repairs given back"] += 1

    def _repaired(self, event: Event) -> None:
        deal = self._deal(event)
        column = deal.present[event.number("slot")]
        event.same(CHECK, "replacer", column.replacer)
        spot = event.spot(CHECK)
        spot.same("a move paid twice", expected=False, found=column.claimed)
        if not self._seconds(column, event.time):
            self._unearned.add(column.rail)
        fee = deal.mandate("repair_fee")
        if fee is not None:
            event.same(CHECK, "amount", fee)
        column.claimed = True
        deal.claims += 1
        self._counts["repairs paid"] += 1
        if event.number("amount") > 0:
            self._due[column.replacer, event.number("amount"), REPAIR] += 1

    def _closed(self, event: Event) -> None:
        deal = self._deal(event)
        event.spot(CHECK).same("a deal closed twice", expected=0, found=deal.closed_at)
        deal.closed_at = event.time

    def _renewed(self, event: Event) -> None:
        deal = self._deal(event)
        longer = event.number("term_end") > deal.term_end
        event.spot(CHECK).same("a term that grows", expected=True, found=longer)
        deal.prolong(event.number("term_end"))
        for call in terms.calls(event, "renew", 3):
            listed = call["acceptances"]
            if call["deal"] == deal.number and isinstance(listed, list):
                self._check_renewal(event, deal, [terms.Acceptance.parse(a) for a in listed])

    def _check_renewal(self, event: Event, deal: Deal, given: list[terms.Acceptance]) -> None:
        active = [c for _, c in sorted(deal.present.items()) if c.state == ACTIVE]
        spot = event.spot(CHECK).field("acceptances")
        spot.same("the number of acceptances", expected=len(active), found=len(given))
        for column, each in zip(active, given, strict=True):
            signer = each.signer(self._network, deal, column.root, mover=deal.client)
            spot.same("the signer", expected=column.node, found=signer)
            self._counts["acceptances"] += 1

    def _set(self, event: Event) -> None:
        given = event.args["parameters"]
        if isinstance(given, Mapping):
            self.parameters = {k: v for k, v in given.items() if isinstance(v, int)}

    # Columns

    def _seconds(self, column: Column, until: int) -> int:
        first = bisect_right(self._beacon.periods, column.opened_period)
        last = self._beacon.ended(min(until, self._end_of(column)))
        return self._proofs.good(column.set_id, first, last) * self._beacon.period

    def _end_of(self, column: Column) -> int:
        term = self.deals[column.deal].term_end
        return min(column.ended_at, term) if column.ended_at else term

    def _column(self, event: Event) -> Column:
        """The column that an event names by its rail."""
        found = self.columns.get(event.number("rail"))
        named = (event.number("deal"), event.number("slot"))
        place = None if found is None else (found.deal, found.slot)
        if found is None or place != named:
            raise event.spot(CHECK).differs(f"the column of {named}", expected=named, found=place)
        return found

    def _deal(self, event: Event) -> Deal:
        found = self.deals.get(event.number("deal"))
        if found is None:
            raise event.spot(CHECK).differs(
                "the deal", expected="opened before", found=event.number("deal")
            )
        return found

    def _shown(self, column: Column) -> dict[str, object]:
        names = (
            "node", "root", "piece_id", "rail", "price", "opened_period", "ended_at", "state",
            "locked", "replacer",
        )  # fmt: skip
        told = {name: getattr(column, name) for name in names}
        first = bisect_right(self._beacon.periods, column.opened_period)
        return {**told, "first_round": first, "repair_claimed": column.claimed}
