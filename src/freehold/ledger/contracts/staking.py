"""Stake behind nodes, own and delegated: locks, unbonding, slashing, commission, rewards."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Entry:
    """One unbonding entry; ``ready_at`` is when it can be withdrawn."""

    shares: int
    generation: int
    ready_at: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A delegator's notice: from ``ready_at`` its shares may unbond though they are locked."""

    shares: int
    generation: int
    ready_at: int


@dataclass(frozen=True, slots=True)
class Commission:
    """The owner's part of rewards in basis points, and the raise announced for ``raised_at``
    (0: none)."""

    bps: int
    raised: int
    raised_at: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """Shares of a node's stake that do not earn yet; the last of them came at ``since``."""

    number: int
    shares: int
    since: int


EVALUATED = 1_100_000
"""Gas for whatever makes stake come or go: more may be handed out by then than the estimate saw."""


class Staking(Contract):
    """Stake; amounts in base units of the network's token."""

    name = "staking"

    def stake(self, node: Address, amount: int) -> Receipt:
        """Put tokens (approved before) behind a node of one's own."""
        return self._send("stake", node, amount, least_gas=EVALUATED)

    def delegate(self, node: Address, amount: int, *, most_bps: int) -> Receipt:
        """Put tokens (approved before) behind another's node, for at most that commission."""
        return self._send("delegate", node, amount, most_bps, least_gas=EVALUATED)

    def give_notice(self, node: Address, amount: int) -> Receipt:
        """Announce that delegated stake leaves, locked or not; 0 takes a notice back."""
        return self._send("give_notice", node, amount)

    def reward(self, node: Address, amount: int) -> Receipt:
        """Give tokens (approved before) to a node's stakers, its owner's commission first."""
        return self._send("reward", node, amount)

    def claim_rewards(self, node: Address) -> Receipt:
        """Take what the sender earned behind a node; the amount is in RewardsClaimed."""
        return self._send("claim_rewards", node)

    def set_commission(self, node: Address, bps: int) -> Receipt:
        """Set the commission of a node of one's own; a raise waits where others have stake."""
        return self._send("set_commission", node, bps)

    def admit(self, node: Address) -> Receipt:
        """Have what a node's work brought given out, and let stake earn that waited for it."""
        return self._send("admit", node, least_gas=EVALUATED)

    def unbond(self, node: Address, amount: int) -> Receipt:
        """Start taking stake back; the entry's id is in the event Unbonded."""
        return self._send("unbond", node, amount, least_gas=EVALUATED)

    def withdraw(self, node: Address, entry: int) -> Receipt:
        """Take out an entry that is ready."""
        return self._send("withdraw", node, entry, least_gas=EVALUATED)

    def active(self, node: Address) -> int:
        """Stake that counts."""
        return self._view(int, "active", node)

    def unbonding(self, node: Address) -> int:
        """Stake on its way out, still slashable."""
        return self._view(int, "unbonding", node)

    def locked(self, node: Address) -> int:
        """Active stake that commitments hold."""
        return self._view(int, "locked", node)

    def free(self, node: Address) -> int:
        """Active stake that can still be locked: not locked, not under notice, and backed by
        enough of the owner's own."""
        return self._view(int, "free", node)

    def own(self, node: Address) -> int:
        """What of the active stake is the owner's."""
        return self._view(int, "own", node)

    def shortfall(self, node: Address) -> int:
        """How much more is locked than there is active stake."""
        return self._view(int, "shortfall", node)

    def commission(self, node: Address) -> Commission:
        """The commission in force and the raise announced."""
        return self._view(Commission, "commission", node)

    def notice(self, staker: Address, node: Address) -> Notice:
        """A delegator's notice; shares 0 where there is none."""
        return self._view(Notice, "notice", staker, node)

    def can_unbond(self, staker: Address, node: Address, amount: int) -> bool:
        """Whether nothing holds so much of a staker's stake."""
        return self._view(bool, "can_unbond", staker, node, amount)

    def claimable(self, staker: Address, node: Address) -> int:
        """What a staker earned behind a node and did not claim."""
        return self._view(int, "claimable", staker, node)

    def least_own_bps(self) -> int:
        """The least part of a node's stake that must be its owner's to count, basis points."""
        return self._view(int, "least_own_bps")

    def exit_term(self) -> int:
        """Seconds from a delegator's notice until no lock holds its stake."""
        return self._view(int, "exit_term")

    def rewards(self) -> int:
        """All rewards that nobody claimed yet."""
        return self._view(int, "rewards")

    def stake_of(self, staker: Address, node: Address) -> int:
        """One staker's part of a node's active stake."""
        return self._view(int, "stake_of", staker, node)

    def waiting_of(self, staker: Address, node: Address) -> int:
        """What of a staker's active stake does not earn yet."""
        return self._view(int, "waiting_of", staker, node)

    def arrival(self, node: Address) -> Arrival:
        """A node's stake that does not earn yet."""
        return self._view(Arrival, "arrival", node)

    def entry(self, staker: Address, node: Address, entry: int) -> Entry:
        """An unbonding entry."""
        return self._view(Entry, "entry", staker, node, entry)

    def entry_amount(self, staker: Address, node: Address, entry: int) -> int:
        """What an unbonding entry is worth now."""
        return self._view(int, "entry_amount", staker, node, entry)

    def entry_count(self, staker: Address, node: Address) -> int:
        """How many entries a staker ever had with a node; ids run from 0."""
        return self._view(int, "entry_count", staker, node)

    def shares_of(self, staker: Address, node: Address) -> int:
        """A staker's shares of the present active pool."""
        return self._view(int, "shares_of", staker, node)

    def open_entries(self, staker: Address, node: Address) -> int:
        """How many entries are not withdrawn."""
        return self._view(int, "open_entries", staker, node)

    def total(self) -> int:
        """All stake, active and unbonding."""
        return self._view(int, "total")

    def unbonding_period(self) -> int:
        """Seconds from unbonding to withdrawal."""
        return self._view(int, "unbonding_period")
