"""What the network's emission owes a node, and the transactions that bring it, in their order.

``look`` asks the chain once; the rest is decided from that. A person's command and the node's own
loop do the same things: they differ only in what they find worth its gas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.economics.earnings import Bounds
from freehold.ledger.contracts.rewards import Due, Standing
from freehold.ledger.economy import STORAGE
from freehold.ledger.paging import every
from freehold.ledger.values import Receipt
from freehold.node.ports import Chain

ADVANCE, CLOSE, BACK, COLLECT, CLAIM = "advance", "close", "back", "collect", "claim"
BATCH = 32
"""Epochs that one transaction closes, well inside its gas."""
GAS = {ADVANCE: 165_000, CLOSE: 180_000, BACK: 90_000, COLLECT: 45_000, CLAIM: 180_000}
"""Gas of each at the most, of an epoch where it is for epochs (docs/reference/gas.md; a collection
took 32,371)."""
EVERYTHING = 10**6
_SEEN = 256


@dataclass(frozen=True, slots=True)
class Work:
    """Backed work of an ended epoch that is no reward yet, MiB-seconds.

    ``amount`` is its reward, base units, exact once the issuance has closed the epoch
    (``budgeted``), and at most that before; 0 where nobody can draw it any more, which is so from
    ``lost_at`` on. ``waits``: it needs a transaction of its own.
    """

    epoch: int
    weight: int
    budgeted: bool
    closed: bool
    waits: bool
    amount: int
    lost_at: int


@dataclass(frozen=True, slots=True)
class Dues:
    """A node and its account in ``rewards``; amounts in base units, work in MiB-seconds.

    ``joining``: stake behind the node earns only once what the node did before was given out.
    ``fresh`` was burned for the payout account and backs nothing yet. ``agreed``: the payout
    account is the owner, or has said that this node may use what burned for it. ``budgets`` is how
    many epochs the issuance has closed.
    """

    node: Address
    owner: Address
    payee: Address
    account: int
    epoch: int
    standing: Standing
    due: Due
    joining: bool
    ended: tuple[Work, ...]
    fresh: int
    agreed: bool
    budgets: int
    bounds: Bounds

    @property
    def working(self) -> int:
        """Backed work of the present epoch."""
        return self.standing.weight if self.standing.epoch == self.epoch else 0

    @property
    def claimable(self) -> int:
        """What closed epochs have brought and was not claimed."""
        return self.due.reward + sum(each.amount for each in self.ended if each.closed)

    @property
    def crowded(self) -> bool:
        """Whether the next proof must move work out of the account, which has room for two epochs:
        that costs gas in the proof."""
        return self.standing.epoch < self.epoch and 0 not in (
            self.standing.weight, self.standing.last_weight,
        )  # fmt: skip

    @property
    def expected(self) -> int:
        """The most that epochs bring which ended and are not closed."""
        return sum(each.amount for each in self.ended if not each.closed)

    def may_back(self, sender: Address) -> bool:
        """Whether ``sender`` may let burned fees back this node's work."""
        return sender == self.payee or (self.agreed and sender in (self.node, self.owner))


@dataclass(frozen=True, slots=True)
class Errand:
    """A transaction to send; ``epoch`` is the last one that it is about."""

    what: str
    epoch: int = 0
    gas: int = 0


def look(chain: Chain, node: Address, *, most: int = EVERYTHING) -> Dues | None:
    """What a node is owed as of now; None where it never joined the market.

    Of work that waits the newest ``most`` epochs are looked at. Events are those of the chain's
    index as it stands: bring it up to date first.
    """
    account = chain.faults.set_of(node)
    if not account:
        return None
    entry, rewards = chain.registry.node(node), chain.rewards
    payee = entry.payout if entry.payout != ZERO_ADDRESS else entry.owner
    burned = chain.payments.burned(rewards.market(), payee)
    bounds = Bounds(rewards.work_per_token(), rewards.share_bps())
    epoch, standing = rewards.epoch(), rewards.account(account)
    budgets = chain.issuance.closed()
    waited = {each: rewards.waiting(account, each) for each in _waiting(chain, account, most)}
    found = [(each, weight, True) for each, weight in waited.items() if weight]
    found += [(each, weight, False) for each, weight in _ended(standing, epoch)]
    found.sort()
    glance = _Glance(chain, bounds, epoch, budgets)
    return Dues(
        node=node,
        owner=entry.owner,
        payee=payee,
        account=account,
        epoch=epoch,
        standing=standing,
        due=rewards.due(account),
        joining=chain.staking.arrival(node).shares > 0,
        ended=tuple(glance.work(*each) for each in found),
        fresh=burned - rewards.backed_fees(payee),
        agreed=payee == entry.owner or rewards.backers(payee, account),
        budgets=budgets,
        bounds=bounds,
    )


@dataclass(slots=True)
class _Glance:
    """What is asked of the epochs of one look."""

    chain: Chain
    bounds: Bounds
    epoch: int
    budgets: int
    window: int = -1

    def work(self, epoch: int, weight: int, waits: bool) -> Work:
        closed, budgeted = self.chain.rewards.closed(epoch), epoch < self.budgets
        if self.window < 0:
            self.window = self.chain.issuance.plan().window
        lost_at = epoch + self.window + 2
        amount = self._amount(epoch, weight, closed=closed, budgeted=budgeted)
        if not closed and self.epoch >= lost_at:
            amount = 0
        return Work(epoch, weight, budgeted, closed, waits, amount, lost_at)

    def _amount(self, epoch: int, weight: int, *, closed: bool, budgeted: bool) -> int:
        if closed:
            return weight * self.chain.rewards.rates(epoch) >> 96
        if not budgeted:
            return self.bounds.ceiling(weight)
        drawable = self.chain.issuance.market_drawable(STORAGE, epoch)
        total = self.chain.rewards.total(epoch)
        return self.bounds.reward(weight, total=total, drawable=drawable)


@dataclass(frozen=True, slots=True)
class Trip:
    """Transactions in their order, and the base units that they bring at most."""

    errands: tuple[Errand, ...] = ()
    gain: int = 0

    @property
    def gas(self) -> int:
        """What they take together."""
        return sum(errand.gas for errand in self.errands)


def claiming(dues: Dues, *, price: int = 0) -> Trip:
    """What brings the rewards of closed epochs; ``price`` in base units a unit of gas leaves out
    what brings less than its own transaction."""
    return _trip(dues, [each for each in dues.ended if each.closed], price)


def settling(dues: Dues, *, price: int = 0) -> Trip:
    """What brings the rewards of all ended epochs, each closed where it is not; ``price`` as for
    ``claiming``."""
    return _trip(dues, dues.ended, price)


def backing(dues: Dues, sender: Address) -> Trip:
    """What lets burned fees back work to come."""
    if not dues.may_back(sender) or not dues.bounds.backing(dues.fresh):
        return Trip()
    return Trip((Errand(BACK, gas=GAS[BACK]),), dues.bounds.worth(dues.fresh))


def _trip(dues: Dues, works: Sequence[Work], price: int) -> Trip:
    wanted = [each for each in works if each.amount > price * _own_gas(each)]
    gain = dues.due.reward + sum(each.amount for each in wanted)
    if not gain:
        return Trip()
    opened = [each.epoch for each in wanted if not each.closed]
    return Trip(
        (
            *_advancing(dues.budgets, opened),
            *(Errand(CLOSE, epoch, GAS[CLOSE]) for epoch in opened),
            *(Errand(COLLECT, each.epoch, GAS[COLLECT]) for each in wanted if each.waits),
            Errand(CLAIM, gas=GAS[CLAIM]),
        ),
        gain,
    )


def _own_gas(work: Work) -> int:
    return GAS[CLOSE] * (not work.closed) + GAS[COLLECT] * work.waits


def _advancing(budgets: int, epochs: Sequence[int]) -> Iterator[Errand]:
    end = max(epochs, default=-1) + 1
    for first in range(budgets, end, BATCH):
        last = min(first + BATCH, end)
        yield Errand(ADVANCE, last - 1, GAS[ADVANCE] * (last - first))


def perform(chain: Chain, account: int, errand: Errand) -> Receipt | None:
    """Send it, unless another was faster: None then. RefusedError where they met on the way."""
    rewards, epoch = chain.rewards, errand.epoch
    match errand.what:
        case "advance":
            lacking = epoch + 1 - chain.issuance.closed()
            return chain.issuance.advance(min(lacking, BATCH)) if lacking > 0 else None
        case "close":
            return None if rewards.closed(epoch) else rewards.close(epoch)
        case "collect":
            return rewards.collect(account, epoch) if rewards.waiting(account, epoch) else None
        case "back":
            return rewards.back(account)
        case _:
            return rewards.claim(account) if _is_due(chain, account) else None


def _is_due(chain: Chain, account: int) -> bool:
    rewards = chain.rewards
    ended = _ended(rewards.account(account), rewards.epoch())
    return rewards.due(account).reward > 0 or any(rewards.rates(epoch) for epoch, _ in ended)


def _ended(standing: Standing, epoch: int) -> list[tuple[int, int]]:
    """Ended epochs and their work that an account still has itself, in order."""
    both = ((standing.last_epoch, standing.last_weight), (standing.epoch, standing.weight))
    return [(each, weight) for each, weight in both if weight and each < epoch]


def _waiting(chain: Chain, account: int, most: int) -> list[int]:
    """The newest epochs whose work waited and was not rewarded since, by the events, in order."""
    where, limit = {"account": account}, max(most, _SEEN)
    waited = chain.index.events("rewards", "WorkWaits", where=where, limit=limit, newest_first=True)
    if not waited:
        return []
    later = every(chain.index, "rewards", "Rewarded", where, since=waited[-1].block)
    rewarded = {event.number("epoch") for event in later}
    return sorted({event.number("epoch") for event in waited} - rewarded)[-most:]
