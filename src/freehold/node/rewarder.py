"""Brings a node the emission that its work earned, as soon as that is worth the gas."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from fractions import Fraction

from freehold.domain import money
from freehold.domain.errors import InsufficientFundsError, RefusedError
from freehold.domain.ids import Address, keccak, raw_address
from freehold.ledger.values import Receipt
from freehold.node import dues as books
from freehold.node.dues import Dues, Errand, Trip
from freehold.node.logs import fields
from freehold.node.metrics import Metrics
from freehold.node.ports import Chain
from freehold.node.settings import Settings

LOOK_AGAIN = 300
"""Seconds after which a quiet chain is asked again."""
VAIN = 2
"""Looks whose transactions all did nothing, after which the chain is not believed: one may have
lost a race to another node."""
MOST = 24
"""Transactions of one step."""
EPOCHS = 8
"""Epochs with waiting work that one step looks at, the newest ones."""
GAS_SHARE = 4
"""A step spends at most this part of the gas that is above the reserve."""
SAVED_OPEN, SAVED_CLOSED = 53_741, 9_981
"""Gas that a node's first proof of an epoch saves where its account does not have to make room: the
epoch that would leave it not closed, or closed (docs/reference/gas.md)."""
_DONE = {
    books.ADVANCE: ("EpochClosed",), books.CLOSE: ("EpochClosed",), books.BACK: ("Backed",),
    books.COLLECT: ("Rewarded",), books.CLAIM: ("Claimed", "Rewarded"),
}  # fmt: skip
"""What each errand logs where it does something."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Purse:
    """Base units that a unit of gas is worth, and the gas that may be spent."""

    price: Fraction
    limit: int

    def pays(self, trip: Trip, *, times: int, saved: int = 0) -> bool:
        """Whether it brings ``times`` what its gas costs, less the gas that it saves."""
        enough = trip.gain >= max(trip.gas - saved, 0) * self.price * times
        return bool(trip.errands) and trip.gain > 0 and enough and trip.gas <= self.limit


class Rewarder:
    """Closes epochs, backs work with burned fees, collects and claims; never in a proof's way.

    An account with work of two epochs makes the next proof dearer, so it is done before the first
    round of an epoch: each node waits a while of its own, drawn over an eighth of the beacon's
    grace, and usually one pays and the others find the work done. Stake that joined earns only once
    the work before it was given out, so that is done sooner. Nothing is done while gas runs low.
    """

    def __init__(
        self, chain: Chain, node: Address, *, settings: Settings, metrics: Metrics
    ) -> None:
        self._chain = chain
        self._node = node
        self._settings = settings
        self._metrics = metrics
        self._times: tuple[int, int, int] | None = None
        self._next = 0
        self._vain = 0
        self._told: Address | None = None

    def step(self) -> None:
        """Do what is worth it now; while nothing can have changed the chain is not asked."""
        now = self._chain.now()
        if not self._settings.reward_worth or now < self._next:
            return
        self._next = self._again(now)
        found = books.look(self._chain, self._node, most=EPOCHS)
        if found is None:
            return
        self._metrics.reward_waiting.set(found.claimable + found.expected)
        self._tell(found)
        useful = self._act(found, self._purse())
        if any(useful):
            self._next, self._vain = now, 0
        elif useful:
            self._vain += 1
        if self._vain >= VAIN:
            # The chain tells of what is not there: for the rest of the epoch it is not believed.
            self._next, self._vain = self._turn(now), 0

    def _purse(self) -> _Purse:
        wei, settings = max(self._chain.gas_price(), 1), self._settings
        spare = self._chain.balance(self._node) - settings.gas_reserve
        return _Purse(Fraction(wei * settings.coin, money.UNIT), spare // GAS_SHARE // wei)

    def _act(self, found: Dues, purse: _Purse) -> list[bool]:
        """Do what pays; of each transaction whether it did something. What could soon be drawn no
        more only has to be worth its gas once."""
        price, worth = math.ceil(purse.price), self._settings.reward_worth
        whole, ready = books.settling(found, price=price), books.claiming(found, price=price)
        backing = books.backing(found, self._node)
        urgent = any(not e.closed and e.lost_at - found.epoch <= 2 for e in found.ended)
        saved = self._saved(found)
        times = 1 if urgent or found.joining else worth
        trips = []
        if purse.pays(whole, times=times, saved=saved):
            trips.append(whole)
        elif purse.pays(ready, times=times):
            trips.append(ready)
        if purse.pays(backing, times=worth):
            trips.append(backing)
        return [useful for trip in trips for useful in self._run(found, trip)]

    def _saved(self, found: Dues) -> int:
        if not found.crowded:
            return 0
        leaving = found.standing.last_epoch
        closed = any(each.epoch == leaving and each.closed for each in found.ended)
        return SAVED_CLOSED if closed else SAVED_OPEN

    def _run(self, found: Dues, trip: Trip) -> list[bool]:
        """Send them in order; of each whether it did something, for what did nothing (the chain's
        word was old, or a lie) must not be sent again at once. A refusal ends them: the next look
        knows."""
        useful: list[bool] = []
        for errand in trip.errands[:MOST]:
            try:
                receipt = books.perform(self._chain, found.account, errand)
            except InsufficientFundsError:
                raise
            except RefusedError as error:
                # Another node was faster, or the state moved on the way: both are in order.
                _log.debug("rewards", extra=fields(what=errand.what, refused=error.message))
                return useful
            if receipt is not None:
                useful.append(any(receipt.named(name) for name in _DONE[errand.what]))
                self._note(errand, receipt)
        return useful

    def _note(self, errand: Errand, receipt: Receipt) -> None:
        amount = sum(
            event.number("amount")
            for event in receipt.named("Claimed")
            if event.contract == "rewards"
        )
        self._metrics.earned.labels("reward").inc(amount)
        _log.info(
            "rewards",
            extra=fields(
                what=errand.what, epoch=errand.epoch, claimed=money.show(amount, places=18),
                gas=receipt.gas_used, transaction=receipt.hash,
            ),
        )  # fmt: skip

    def _tell(self, found: Dues) -> None:
        """Say once that the payout account must agree, for nobody else can."""
        if found.may_back(self._node) or not found.fresh or self._told == found.payee:
            return
        self._told = found.payee
        _log.warning(
            "burned fees back no work: the payout account has not agreed",
            extra=fields(
                payout=found.payee,
                remedy=f"With that account's wallet: `freehold rewards allow {self._node}`.",
            ),
        )

    def _again(self, now: int) -> int:
        """When to look next: after a while, or at this node's turn where an epoch ends before."""
        again = now + LOOK_AGAIN
        return again if again < self._end(now) else self._turn(now)

    def _end(self, now: int) -> int:
        """When the epoch of a moment ends."""
        self._times = self._times or self._ask_times()
        genesis, length, _ = self._times
        return genesis + ((now - genesis) // length + 1) * length

    def _turn(self, now: int) -> int:
        """This node's turn in the epoch after that of a moment."""
        ends = self._end(now)
        genesis, length, grace = self._times or self._ask_times()
        epoch = (ends - genesis) // length
        return ends + min(_draw(self._node, epoch) % (grace // 8 + 1), length - 1)

    def _ask_times(self) -> tuple[int, int, int]:
        rewards = self._chain.rewards
        return rewards.genesis(), rewards.epoch_seconds(), self._chain.beacon.grace()


def _draw(node: Address, epoch: int) -> int:
    return int.from_bytes(keccak(b"close" + raw_address(node) + epoch.to_bytes(8, "big"))[:8])
