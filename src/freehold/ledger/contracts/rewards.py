"""Emission to the nodes whose proofs the chain sees, by work that burned fees back."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Standing:
    """A node's account: backed work (MiB-seconds) of its last ``epoch`` and of the one with work
    before it, 0 each once it is a reward, and work that fees back and that is not done yet."""

    epoch: int
    weight: int
    last_epoch: int
    last_weight: int
    credit: int


@dataclass(frozen=True, slots=True)
class Due:
    """Base units to claim, and how many epochs' work waits to be collected."""

    reward: int
    waits: int


class Rewards(Contract):
    """An account is a node's proof set; work in MiB-seconds, amounts in base units."""

    name = "rewards"

    def back(self, account: int) -> Receipt:
        """Let burned fees back a node's future work; its payout, or the node or its owner
        where that agreed."""
        return self._send("back", account)

    def set_backer(self, account: int, allowed: bool) -> Receipt:
        """Let a node of another owner use what burned for the sender, or no more."""
        return self._send("set_backer", account, allowed)

    def close(self, epoch: int) -> Receipt:
        """Fix what a unit of an epoch's work is worth, once the issuance has closed it; anyone."""
        return self._send("close", epoch)

    def collect(self, account: int, epoch: int) -> Receipt:
        """Reward work that waited for its epoch to be closed; anyone."""
        return self._send("collect", account, epoch)

    def claim(self, account: int) -> Receipt:
        """Pay a node's rewards to its payout account, or to its stake; anyone."""
        return self._send("claim", account)

    def account(self, account: int) -> Standing:
        """Where a node stands."""
        return self._view(Standing, "account", account)

    def due(self, account: int) -> Due:
        """What a node may claim so far, besides what its account brings."""
        return self._view(Due, "due", account)

    def owed_since(self, node: Address) -> int:
        """The beginning of the first epoch whose work was not given to the node's stake yet; the
        present moment where there is none, 0 where nothing tells."""
        return self._view(int, "owed_since", node)

    def epoch(self) -> int:
        """The present epoch."""
        return self._view(int, "epoch")

    def total(self, epoch: int) -> int:
        """Backed work of an epoch that is not closed."""
        return self._view(int, "total", epoch)

    def backed(self, epoch: int) -> int:
        """The bytes that an epoch's backed work comes to."""
        return self._view(int, "backed", epoch)

    def waiting(self, account: int, epoch: int) -> int:
        """A node's backed work of an epoch that was not closed in time."""
        return self._view(int, "waiting", account, epoch)

    def closed(self, epoch: int) -> bool:
        """Whether an epoch's emission is fixed."""
        return self._view(bool, "closed", epoch)

    def rates(self, epoch: int) -> int:
        """What a unit of a closed epoch's work is worth, base units times 2^96."""
        return self._view(int, "rates", epoch)

    def backed_fees(self, payee: Address) -> int:
        """Fees burned for a payout account that back work already."""
        return self._view(int, "backed_fees", payee)

    def backers(self, payee: Address, account: int) -> bool:
        """Whether a payout account lets a node of another owner use what burned for it."""
        return self._view(bool, "backers", payee, account)

    def emitted(self) -> int:
        """What was drawn from the issuance."""
        return self._view(int, "emitted")

    def claimed(self) -> int:
        """What was paid out."""
        return self._view(int, "claimed")

    def genesis(self) -> int:
        """When epoch 0 began."""
        return self._view(int, "genesis")

    def epoch_seconds(self) -> int:
        """The length of an epoch."""
        return self._view(int, "epoch_seconds")

    def work_per_token(self) -> int:
        """MiB-seconds that a burned token backs."""
        return self._view(int, "work_per_token")

    def share_bps(self) -> int:
        """Most of the burned fees that an epoch pays back, ten-thousandths."""
        return self._view(int, "share_bps")

    def source(self) -> Address:
        """The contract that reports work."""
        return self._view(Address, "source")

    def market(self) -> Address:
        """The market whose fees back work."""
        return self._view(Address, "market")

    def listener(self) -> Address:
        """Who opens the sets whose work counts."""
        return self._view(Address, "listener")
