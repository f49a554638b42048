"""Whether this node may take on more, and whether a client can pay for it, read from the chain."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from freehold.domain import money
from freehold.domain.clock import Clock
from freehold.domain.errors import ConflictError, InsufficientFundsError
from freehold.domain.ids import Address
from freehold.ledger.contracts.registry import WATCHER
from freehold.ledger.look import Look
from freehold.node.database import Database
from freehold.node.ports import Chain

K = TypeVar("K")
V = TypeVar("V")
FRESH_SECONDS = 3
SLOW_SECONDS = 60
REMEMBERED = 1024


class Recent(Generic[K, V]):
    """Answers of the chain that may be a few seconds old; it remembers a bounded number."""

    def __init__(self, ask: Callable[[K], V], *, seconds: int, clock: Clock) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._known: OrderedDict[K, tuple[int, V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V:
        """The answer for ``key``, asked again when it is too old."""
        now = self._clock.now()
        with self._lock:
            known = self._known.get(key)
        # A clock that was set back would make old answers count until it has caught up.
        if known is not None and 0 <= now - known[0] < self._seconds:
            return known[1]
        value = self._ask(key)
        with self._lock:
            self._known[key] = (now, value)
            self._known.move_to_end(key)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return value


class Standing:
    """What the chain says about this node and its clients, a few seconds old at most."""

    def __init__(
        self, chain: Chain, node: Address, database: Database, *, price: int, clock: Clock
    ) -> None:
        self._chain = chain
        self._node = node
        self._database = database
        self._price = price
        self._stake_per_tib: Recent[None, int] = Recent(
            lambda _: chain.faults.parameters().stake_per_tib, seconds=SLOW_SECONDS, clock=clock
        )
        self._lockup: Recent[None, int] = Recent(
            lambda _: chain.storage.parameters().lockup_period, seconds=SLOW_SECONDS, clock=clock
        )
        self._watchers: Recent[Address, bool] = Recent(
            lambda who: chain.registry.active(who, WATCHER), seconds=SLOW_SECONDS, clock=clock
        )
        self._looks: Recent[Address, Look] = Recent(
            lambda account: chain.look(node, account), seconds=FRESH_SECONDS, clock=clock
        )

    def is_watcher(self, account: Address) -> bool:
        """Whether the registry lists the account as a watcher."""
        return self._watchers.get(account)

    def check_open(self, account: Address) -> None:
        """ConflictError while this node may take no new deals, of ``account`` or of anybody else;
        the message says why."""
        refusal = _refusal(self._looks.get(account))
        if refusal:
            raise ConflictError(
                f"node {self._node} takes no new deals: {refusal}", remedy="Choose another node."
            )

    def check_stake(self, account: Address, size: int) -> None:
        """ConflictError unless the free stake covers this column, for ``account``, and all open
        acceptances."""
        promised = self._database.number("SELECT sum(size) FROM acceptances WHERE NOT opened")
        need = -(-(promised + size) * self._stake_per_tib.get(None) // money.TIB)
        free = self._looks.get(account).free_stake
        if need > free:
            raise ConflictError(
                f"node {self._node} has {money.show(free)} of stake free, "
                f"{money.show(need)} would be locked",
                remedy="Choose another node; its owner can add stake.",
            )

    def check_funds(self, account: Address, size: int) -> None:
        """InsufficientFundsError unless the account could pay for the first lockup of all that it
        has here without a deal: ``size`` bytes.

        It keeps strangers without money from filling the disk; watchers pass, because they
        store what others pay for.
        """
        need = money.cost(price=self._price, size=size, seconds=self._lockup.get(None))
        if need and not self.is_watcher(account) and self._looks.get(account).money < need:
            raise InsufficientFundsError(
                f"{account} has less than the {money.show(need)} that storing this would lock",
                remedy="Deposit more of the network's token, and try again.",
            )


def _refusal(look: Look) -> str:
    if not look.registered:
        return "it is not registered for storage"
    if not look.state.set_id:
        return "it has not joined the storage market"
    if look.state.failed:
        return "it failed to prove what it holds"
    return "it gave notice" if look.state.notice_at else ""
