"""Paying nodes for bytes: one voucher rail a node, opened when first asked to pay.

The amount of a voucher is cumulative and is written to the journal before it is signed, so a
crash never makes the client sign less than it did; a node that asks for more than its price
times what was requested is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock

from freehold.client.chain import Chain
from freehold.client.journal import Journal
from freehold.client.peers import number, signature
from freehold.client.session import DueError, Session
from freehold.domain.errors import AccessError, IntegrityError
from freehold.domain.ids import Address
from freehold.domain.keys import Key, recover
from freehold.domain.money import TIB, UNIT, show
from freehold.domain.typed import VOUCHER

PATIENCE = 8
"""Tries until a node has seen new collateral; nodes remember rails for some seconds."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What retrieval may cost: base units per byte at most, and bytes a rail is opened for."""

    max_price: int = 100 * UNIT // TIB
    ahead: int = 2**30


class Cheques:
    """Vouchers to all nodes; safe to share between threads."""

    def __init__(
        self,
        chain: Chain,
        journal: Journal,
        key: Key,
        *,
        budget: Budget | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._chain, self._journal, self._key = chain, journal, key
        self._budget = budget or Budget()
        self._sleep = sleep
        self._lock = Lock()
        self._locks: dict[Address, Lock] = {}

    def read(
        self,
        session: Session,
        path: str,
        start: int,
        into: memoryview,
        *,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """``session.read``, paying when the node wants it; DueError when it is never content."""
        node = session.peer.node
        for tried in range(PATIENCE):
            try:
                session.read(path, start, into, headers=self._headers(node), stop=stop)
                return
            except DueError as due:
                if tried == PATIENCE - 1:
                    raise
                self._pay(node, due.bill, into.nbytes, patient=tried > 1)

    def _headers(self, node: Address) -> dict[str, str]:
        known = self._journal.cheque(node)
        if known is None or not known[1]:
            return {}
        rail, amount = known
        digest = VOUCHER.digest(self._chain.network.domain("payments"), [rail, amount])
        return {"Freehold-Voucher": f"{rail}:{amount}:0x{self._key.sign(digest).hex()}"}

    def _pay(
        self, node: Address, bill: Mapping[str, object], length: int, *, patient: bool
    ) -> None:
        if patient:
            self._sleep(2.0)
        price = number(bill, "price_per_byte", who=node)
        if price > self._budget.max_price:
            raise AccessError(
                f"node {node} asks {show(price * TIB)} per TiB read, above "
                f"{show(self._budget.max_price * TIB)}",
                remedy="Raise the limit, or read from other nodes of the object.",
            )
        with self._lock_of(node):
            rail, signed = self._rail(node, price)
            signed = max(signed, self._shown(rail, bill, node))
            due = number(bill, "due", who=node)
            if due > signed + price * length:
                raise IntegrityError(
                    f"node {node} wants {show(due)} where {show(signed + price * length)} is due",
                    remedy="Read from other nodes of the object; report this one.",
                )
            self._cover(rail, due, price)
            self._journal.save_cheque(node, rail, due)

    def _shown(self, rail: int, bill: Mapping[str, object], node: Address) -> int:
        """The amount of a voucher of ours that the bill carries, 0 without one: a journal that
        was put back from a copy knows less than its node."""
        if "signed" not in bill or bill.get("rail") != rail:
            return 0
        amount = number(bill, "signed", who=node)
        digest = VOUCHER.digest(self._chain.network.domain("payments"), [rail, amount])
        try:
            ours = recover(digest, signature(bill, who=node)) == self._key.address
        except AccessError:
            ours = False
        return amount if ours else 0

    def _rail(self, node: Address, price: int) -> tuple[int, int]:
        known = self._journal.cheque(node)
        if known is not None and not self._chain.cheque(known[0]).closing:
            return known
        rail = self._chain.open_cheque(node, max(1, price * self._budget.ahead))
        self._journal.save_cheque(node, rail, 0)
        return rail, 0

    def _cover(self, rail: int, due: int, price: int) -> None:
        cheque = self._chain.cheque(rail)
        lacking = due - cheque.collateral - cheque.redeemed
        if lacking > 0:
            self._chain.add_collateral(rail, lacking + price * self._budget.ahead)

    def _lock_of(self, node: Address) -> Lock:
        with self._lock:
            return self._locks.setdefault(node, Lock())
