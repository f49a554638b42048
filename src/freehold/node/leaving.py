"""How a node leaves without penalty: notice, the time others need to take over, exit."""

from __future__ import annotations

import logging

from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address
from freehold.ledger.contracts.storage import ENDED
from freehold.node.database import Database
from freehold.node.deals import Deals
from freehold.node.logs import fields
from freehold.node.ports import Chain
from freehold.node.treasury import Treasury

MARK = "leaving"
ASKED, LEFT = "asked", "left"
EXITS_A_STEP = 20
_log = logging.getLogger(__name__)


class Leaver:
    """Takes the node out of the market once its owner asked for it; survives restarts.

    Until the last column is finished the node keeps serving and proving, because others
    regenerate their columns from it and its stake answers for it.
    """

    def __init__(
        self, chain: Chain, node: Address, *, database: Database, deals: Deals, treasury: Treasury
    ) -> None:
        self._chain = chain
        self._node = node
        self._database = database
        self._deals = deals
        self._treasury = treasury

    @property
    def state(self) -> str:
        """Empty, ``asked`` or ``left``."""
        return self._database.mark(MARK)

    def ask(self) -> None:
        """The owner wants to leave."""
        if self.state != LEFT:
            self._database.remember(MARK, ASKED)

    def step(self) -> None:
        """Take the next step out, if any is due."""
        if self.state != ASKED:
            return
        state = self._chain.faults.node_state(self._node)
        if not state.set_id:
            self._done()
            return
        if not state.notice_at and not state.failed:
            self._chain.faults.give_notice(self._node)
            _log.info("gave notice", extra=fields(columns=state.columns))
            return
        if state.columns:
            self._exit_columns(state.notice_at)
            return
        self._treasury.redeem(everything=True)
        if not list(self._deals.all()):
            self._done()

    def _exit_columns(self, notice_at: int) -> None:
        free_at = notice_at + self._chain.faults.parameters().notice
        if self._chain.now() < free_at:
            return
        for column in self._deals.active()[:EXITS_A_STEP]:
            try:
                self._chain.storage.exit(column.deal, column.slot)
            except RefusedError as error:
                _log.info(
                    "not out yet",
                    extra=fields(deal=column.deal, slot=column.slot, reason=error.message),
                )
                continue
            self._deals.set_state(column.rail, ENDED)
            _log.info("left a column", extra=fields(deal=column.deal, slot=column.slot))

    def _done(self) -> None:
        self._database.remember(MARK, LEFT)
        _log.info(
            "left the market",
            extra=fields(remedy="The owner can now take the stake back: `freehold stake remove`."),
        )
