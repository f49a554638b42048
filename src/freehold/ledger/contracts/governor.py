"""Timelocked changes, the guardian's pause, and the list of every power."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt

PENDING, EXECUTED, CANCELLED = 1, 2, 3
"""States of a proposal."""


@dataclass(frozen=True, slots=True)
class Power:
    """A role that somebody holds in a contract; ``delay`` is how long a change of it takes."""

    contract: Address
    role: str
    holder: Address
    delay: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change; ``state`` is PENDING, EXECUTED or CANCELLED."""

    target: Address
    data: bytes
    ready_at: int
    state: int


class Governor(Contract):
    """The only sender whom the other contracts let change parameters and roles."""

    name = "governor"

    def setup_call(self, target: Address, data: bytes) -> Receipt:
        """Call a contract at once; the guardian, before ``finish_setup``."""
        return self._send("setup_call", target, data)

    def finish_setup(self) -> Receipt:
        """End the setup for good; the guardian."""
        return self._send("finish_setup")

    def grant_power(self, contract: Address, role: str, holder: Address) -> Receipt:
        """List a power; the guardian, during setup."""
        return self._send("grant_power", contract, role, holder)

    def propose(self, target: Address, data: bytes) -> Receipt:
        """Announce a change; its id is in the event Proposed."""
        return self._send("propose", target, data)

    def execute(self, proposal: int) -> Receipt:
        """Carry out a change whose delay is over."""
        return self._send("execute", proposal)

    def cancel(self, proposal: int) -> Receipt:
        """Withdraw a change."""
        return self._send("cancel", proposal)

    def pause(self, target: Address) -> Receipt:
        """Stop new business of a contract; never withdrawals, proofs or settlement."""
        return self._send("pause", target)

    def unpause(self, target: Address) -> Receipt:
        """Allow new business again."""
        return self._send("unpause", target)

    def proposal(self, proposal: int) -> Proposal:
        """A change that waits."""
        return self._view(Proposal, "proposal", proposal)

    def guardian(self) -> Address:
        """Who may propose, pause and cancel."""
        return self._view(Address, "guardian")

    def delay(self) -> int:
        """Seconds that a proposal waits."""
        return self._view(int, "delay")

    def role_delay(self) -> int:
        """Seconds that a proposal waits which gives or takes a role."""
        return self._view(int, "role_delay")

    def setup_done(self) -> bool:
        """Whether changes need proposals by now."""
        return self._view(bool, "setup_done")

    def proposal_count(self) -> int:
        """How many proposals there were; ids run from 1."""
        return self._view(int, "proposal_count")

    def powers(self) -> list[Power]:
        """Every power anyone has."""
        return self._views(Power, "powers")
