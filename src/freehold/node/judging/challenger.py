"""Judges every open root that pays model nodes, and has the first false one made void.

Roots are looked at from the oldest on: with a false one all after it become void. What is false is
shown in one transaction, and another one takes the proposer's bond. Where the proposer keeps back
what one needs for it, the pieces are demanded, with the gas of the answers prepaid; once a demand
is too late, it is expired.

Threats: a proposer who serves nothing, or something else (demands; silence makes the root void); a
root whose budgets nobody fixed (they are fixed here); others who are faster (the root is void all
the same). Not met: a false root that no watcher who runs this sees within the window.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from freehold.audit.competing import Court, Standing, header_hash, told
from freehold.domain.errors import NotFoundError, RefusedError
from freehold.domain.ids import Address
from freehold.ledger.contracts.roots import header_words
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event
from freehold.markets.models.trace.values import Header
from freehold.node.judging.closing import close
from freehold.node.judging.prosecutor import AT_ONCE, Plan, Prosecutor
from freehold.node.judging.source import Source
from freehold.node.logs import fields
from freehold.node.settling import settle

OPEN_MAX = 256
"""Demands that are looked through for late ones, the newest."""
_REMEMBERED = 2 * OPEN_MAX
K = TypeVar("K")
_log = logging.getLogger(__name__)


class Challenger:
    """The chore; ``source`` tells where a proposer serves its files."""

    def __init__(
        self,
        ledger: Ledger,
        court: Court,
        *,
        source: Callable[[Address], Source | None],
        at_once: int = AT_ONCE,
    ) -> None:
        self._ledger, self._court = ledger, court
        self._prosecutor = Prosecutor(ledger, source=source, at_once=at_once)
        self._sound: dict[bytes, None] = {}
        self._closed: dict[tuple[str, int], None] = {}
        self._said = ""

    def step(self) -> None:
        """Take the bonds that are lost, expire what is late, judge; take the bonds lost by it."""
        self._court.sync()
        settle(self._ledger, self._ledger.prizes)
        self._act()
        self._court.sync()
        settle(self._ledger, self._ledger.prizes)

    def _act(self) -> None:
        for contract in ("disputes", "prizes"):
            self._expire(contract)
        state = self._court.state()
        for position in range(state.final + 1, state.tip + 1):
            header = self._court.header(position)
            if header is None or header_hash(header) in self._sound:
                continue
            if not self._judge(header):
                return

    def _judge(self, header: Header) -> bool:
        """Whether a root is true; something is done about a false one."""
        if not close(self._ledger, self._court, header.since, header.epoch):
            return False
        standing = self._court.standing(header.position)
        if not standing.sound:
            self._dispute(standing)
            return False
        _remember(self._sound, header_hash(header))
        return True

    def _dispute(self, standing: Standing) -> None:
        plan = self._prosecutor.plan(standing)
        self._say(standing.header, plan)
        try:
            self._prosecutor.send(plan)
        except RefusedError as error:
            # Somebody else may have been first; the next step sees it.
            _log.warning("not disproved", extra=fields(refused=error.message))
            return
        for call in plan.calls:
            _log.info("sent", extra=fields(call=f"{call.contract}.{call.function}"))

    def _say(self, header: Header, plan: Plan) -> None:
        """Say what is false, once for as long as it is the same."""
        if plan.what != self._said:
            _log.error(
                "a false root",
                extra=fields(epoch=header.epoch, proposer=header.proposer, first=plan.what),
            )
        self._said = plan.what

    # --- demands ---------------------------------------------------------------------------------

    def _expire(self, contract: str) -> None:
        for event, hashed in self._late(contract):
            try:
                header = self._court.known(hashed)
                given = (event.number("id"), header_words(told(header)))
                self._ledger.send(contract, "expire", given)
            except (RefusedError, NotFoundError) as error:
                _log.warning("not expired", extra=fields(reason=error.message))
                continue
            _log.info("expired", extra=fields(demand=event.number("id"), epoch=header.epoch))

    def _late(self, contract: str) -> Iterator[tuple[Event, bytes]]:
        """Demands that were not answered in time, with the hash of their header."""
        now = self._ledger.now()
        for event in self._ledger.index.events(
            contract, "Demanded", limit=OPEN_MAX, newest_first=True
        ):
            number = event.number("id")
            if event.number("deadline") >= now or (contract, number) in self._closed:
                continue
            asked = self._ledger.call(contract, "demanded", [number])
            hashed = asked["header"] if isinstance(asked, dict) and asked["deadline"] else None
            if isinstance(hashed, bytes):
                yield event, hashed
            else:
                _remember(self._closed, (contract, number))


def _remember(known: dict[K, None], key: K) -> None:
    while len(known) >= _REMEMBERED:
        del known[next(iter(known))]
    known[key] = None
