"""Rewards by work run again: each proof's work, what fees back of it, an epoch's rate, each claim.

The rules are those of docs/decisions/0011-rewards-by-backed-work.md: a unit of work counts when a
burned fee backs it, once; an epoch pays at most a share of the fees behind its units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from freehold.audit import inputs
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.audit.report import Spot
from freehold.domain.ids import ZERO_ADDRESS, Address

CHECK = "rewards"
REWARD = 4
LEAF_SHIFT = 15
"""2**15 leaves of 32 bytes are a MiB."""
BPS, TOKEN, RATE_ONE = 10_000, 10**18, 2**96
MOST_WEIGHT, MOST_TOTAL = 2**64 - 1, 2**68 - 1


@dataclass(slots=True)
class Account:
    """A node's account: its weight in its two last epochs, what fees back, what it is due.

    ``waiting`` is backed work of epochs that were not closed when the second one after began.
    """

    epoch: int = 0
    weight: int = 0
    last_epoch: int = 0
    last_weight: int = 0
    credit: int = 0
    reward: int = 0
    waiting: dict[int, int] = field(default_factory=dict)

    def shown(self) -> dict[str, int]:
        """The fields as the contract's view `account` names them."""
        named = ("epoch", "weight", "last_epoch", "last_weight", "credit")
        return {name: getattr(self, name) for name in named}

    def due(self) -> dict[str, int]:
        """The fields as the contract's view `due` names them."""
        return {"reward": self.reward, "waits": len(self.waiting)}

    def move_on(self, epoch: int) -> tuple[int, int] | None:
        """Begin an epoch; the epoch and weight that there is no room for any more."""
        if not self.weight:
            self.epoch = epoch
            return None
        left = (self.last_epoch, self.last_weight) if self.last_weight else None
        self.last_epoch, self.last_weight = self.epoch, self.weight
        self.epoch, self.weight = epoch, 0
        return left

    def take(self, epoch: int) -> int:
        """Take an epoch's weight off the account, 0 where it has none."""
        if self.last_weight and self.last_epoch == epoch:
            weight, self.last_weight = self.last_weight, 0
        elif self.weight and self.epoch == epoch:
            weight, self.weight = self.weight, 0
        else:
            weight = self.waiting.pop(epoch, 0)
        return weight

    def oldest(self, present: int) -> int:
        """The first epoch with work that is no reward yet, the present one where there is none."""
        if self.last_weight:
            return self.last_epoch
        return self.epoch if self.weight else present


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one proof, MiB-seconds; ``before`` is the account as it was."""

    account: int
    round: int
    epoch: int
    amount: int
    backed: int
    before: Account


@dataclass(frozen=True, slots=True)
class Rate:
    """A closed epoch: its work, what could be drawn, what was, and what a unit is worth."""

    weight: int
    drawable: int
    ceiling: int
    emitted: int
    rate: int


class Rewards:
    """The rewards contract's state, recomputed."""

    def __init__(self, made: Fields, *, contract: Address, counts: Counter[str]) -> None:
        self.emission = inputs.account(made, "emission_")
        self.staking = inputs.account(made, "staking_")
        self.genesis = inputs.number(made, "genesis_")
        self.epoch_seconds = inputs.number(made, "epoch_seconds_")
        self.work_per_token = inputs.number(made, "work_per_token_")
        self.share_bps = inputs.number(made, "share_bps_")
        self.contract, self._counts = contract, counts
        self.untold = 0
        self.source = inputs.account(made, "source_")
        self.market = self.listener = ZERO_ADDRESS
        self.accounts: dict[int, Account] = {}
        self.totals: Counter[int] = Counter()
        self.rates: dict[int, Rate] = {}
        self.backed_fees: Counter[Address] = Counter()
        self.period = 0
        self.emitted = self.claimed = 0
        self.prover_of: Callable[[int], Address] = lambda _: ZERO_ADDRESS
        self.set_of: Callable[[Address], int] = lambda _: 0
        self.listener_of: Callable[[int], Address] = lambda _: self.listener
        self.payout_of: Callable[[Address], object] = lambda _: ZERO_ADDRESS
        self.owner_of: Callable[[Address], object] = lambda _: ZERO_ADDRESS
        self.shared_by: Callable[[Address], bool] = lambda _: False
        self.burned_for: Callable[[Address, Address], int] | None = None
        self.drawable: Callable[[int, int], int] | None = None
        self._drawing: Counter[tuple[int, int]] = Counter()
        self._paying: Counter[tuple[str, int]] = Counter()
        self._backers: set[tuple[Address, int]] = set()
        self._leaving: dict[int, tuple[int, int]] = {}
        self.latest: Work | None = None
        self._routes: dict[str, Callable[[Event], None]] = {
            "MarketSet": self._market_set, "BackerSet": self._backer_set,
            "WorkWaits": self._waits, "Backed": self._backed,
            "EpochClosed": self._closed, "Rewarded": self._rewarded, "Claimed": self._claimed,
            "Movement": self._moved,
        }  # fmt: skip

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[CHECK] += 1

    def see_draw(self, event: Event) -> None:
        """Note a draw by this contract; Differs where no epoch was closed with it."""
        key = (event.number("epoch"), event.number("amount"))
        asked = self._drawing[key] > 0
        event.spot(CHECK).same("a draw that a closed epoch needs", expected=True, found=asked)
        self._drawing[key] -= 1

    def see_proof(self, event: Event) -> None:
        """Count a proof in time: the leaves of a whole period are work, in MiB-seconds.

        ``period`` is the verifier's, 0 where it does not tell its work to this contract.
        """
        if not self.period or not event.number("in_time"):
            return
        work = event.number("span") * self.period >> LEAF_SHIFT
        self._work(event.number("set_id"), event.number("round"), self.epoch_at(event.time), work)
        self._counts[CHECK] += 1

    def see_untold(self, event: Event) -> None:
        """Take back the work of the last proof: it did not arrive."""
        last = self.latest
        known = (event.number("set_id"), event.number("round"), event.number("work"))
        told = None if last is None else (last.account, last.round, last.amount)
        event.spot(CHECK).same("the work of the proof", expected=told, found=known)
        if last is not None:
            self.accounts[last.account] = last.before
            self.totals[last.epoch] -= last.backed
            self._leaving.pop(last.account, None)
        self.latest = None
        self.untold += 1

    def see_shared(self, event: Event) -> None:
        """Note that a claim went to a node's stake; by the staking contract's event."""
        if event.address("payer") == self.contract:
            self._pay(event, _stake_of(event.text("node")), event.number("amount"))

    def finish(self, spot: Spot) -> None:
        """Differs where emission was not drawn, a claim not paid, or work got lost."""
        if self.drawable is not None:
            spot.same("emission that was not drawn", expected={}, found=dict(+self._drawing))
        spot.same("claims that were not paid", expected={}, found=dict(+self._paying))
        spot.same("work of an epoch that was left", expected={}, found=self._leaving)
        self._drawing.clear()
        self._paying.clear()
        self.latest = None

    def epoch_at(self, moment: int) -> int:
        """The epoch of a moment."""
        return (moment - self.genesis) // self.epoch_seconds

    def backed(self, epoch: int) -> int:
        """Bytes that fees backed throughout an epoch: its MiB-seconds over its length."""
        return (self.totals[epoch] << 20) // self.epoch_seconds

    def owed_since(self, node: Address, moment: int) -> int:
        """From when on a node's work may bring rewards that it has not got; the moment where it
        does none here, 0 where something is due whose epochs are not known any more.
        """
        number = 0 if self.listener == ZERO_ADDRESS else self.set_of(node)
        if not number:
            return moment
        account = self.accounts.get(number, Account())
        if account.reward or account.waiting:
            return 0
        return self.genesis + account.oldest(self.epoch_at(moment)) * self.epoch_seconds

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        numbers = [each for each in arguments if isinstance(each, int)]
        if view == "account":
            return [self.accounts.get(numbers[0], Account()).shown()]
        if view == "due":
            return [self.accounts.get(numbers[0], Account()).due()]
        if view == "waiting":
            return [self.accounts.get(numbers[0], Account()).waiting.get(numbers[1], 0)]
        if view == "rates":
            found = self.rates.get(numbers[0])
            return [0 if found is None else found.rate]
        if view == "backed_fees":
            return [self.backed_fees[Address(str(arguments[0]))]]
        totals = {
            "emitted": self.emitted, "claimed": self.claimed, "source": self.source,
            "market": self.market, "listener": self.listener,
        }  # fmt: skip
        return [totals[view]] if view in totals else None

    # Work

    def _market_set(self, event: Event) -> None:
        event.spot(CHECK).same("the market before", expected=ZERO_ADDRESS, found=self.market)
        self.market, self.listener = event.address("market"), event.address("listener")

    def _account(self, event: Event) -> Account:
        return self.accounts.setdefault(event.number("account"), Account())

    def _work(self, number: int, round_index: int, epoch: int, work: int) -> None:
        account = self.accounts.setdefault(number, Account())
        before = replace(account)
        if account.epoch != epoch:
            left = account.move_on(epoch)
            if left is not None:
                self._leaving[number] = left
        room = min(MOST_WEIGHT - account.weight, MOST_TOTAL - self.totals[epoch])
        backed = min(work, account.credit, room)
        account.credit -= backed
        account.weight += backed
        self.totals[epoch] += backed
        self.latest = Work(number, round_index, epoch, work, backed, before)

    def _left(self, event: Event) -> int:
        """The weight that an account had no room for any more; 0 where it is another epoch's."""
        epoch, weight = self._leaving.get(event.number("account"), (0, 0))
        if epoch != event.number("epoch") or not weight:
            return 0
        del self._leaving[event.number("account")]
        return weight

    def _waits(self, event: Event) -> None:
        epoch, spot = event.number("epoch"), event.spot(CHECK)
        spot.same("an epoch that is closed", expected=False, found=epoch in self.rates)
        event.same(CHECK, "weight", self._left(event))
        self._account(event).waiting[epoch] = event.number("weight")

    def _backer_set(self, event: Event) -> None:
        agreed = (event.address("payee"), event.number("account"))
        (self._backers.add if event.number("allowed") else self._backers.discard)(agreed)

    def _check_backer(self, event: Event, payee: Address) -> None:
        """Differs where somebody used fees of an account that did not agree."""
        caller, node = event.transaction.caller(self.contract), self._node(event)
        if caller in (None, payee):
            return
        owner = self.owner_of(node)
        agreed = payee == owner or (payee, event.number("account")) in self._backers
        allowed = agreed and caller in (node, owner)
        event.spot(CHECK).same("a payout that agreed", expected=True, found=allowed)

    def _backed(self, event: Event) -> None:
        account, payee = self._account(event), self._payee(event)
        self._check_settled(event, account)
        event.same(CHECK, "payee", payee)
        self._check_backer(event, payee)
        heard = self.listener_of(event.number("account"))
        event.spot(CHECK).same("the listener of the set", expected=self.listener, found=heard)
        used = event.number("burned")
        if self.burned_for is not None:
            fresh = self.burned_for(self.market, payee) - self.backed_fees[payee]
            room = MOST_WEIGHT - account.credit
            more = min(fresh * self.work_per_token // TOKEN, room)
            used = -(-more * TOKEN // self.work_per_token)
        else:
            more = used * self.work_per_token // TOKEN
        event.spot(CHECK).same("fees that back something", expected=True, found=more > 0)
        event.same(CHECK, "burned", used)
        self.backed_fees[payee] += used
        account.credit += more
        event.same(CHECK, "credit", account.credit)

    def _node(self, event: Event) -> Address:
        return self.prover_of(event.number("account"))

    def _payee(self, event: Event) -> Address:
        return Address(str(self.payout_of(self._node(event))))

    # Epochs and claims

    def _closed(self, event: Event) -> None:
        epoch, spot = event.number("epoch"), event.spot(CHECK)
        over = epoch < self.epoch_at(event.time)
        spot.same("an epoch that has ended", expected=True, found=over)
        spot.same("an epoch closed twice", expected=False, found=epoch in self.rates)
        weight = self.totals[epoch]
        event.same(CHECK, "weight", weight)
        ceiling = weight * self.share_bps * TOKEN // (BPS * self.work_per_token)
        drawable = event.number("emitted")
        if self.drawable is not None:
            drawable = self.drawable(epoch, event.time)
        emitted = min(ceiling, drawable) if weight else 0
        event.same(CHECK, "emitted", emitted)
        rate = emitted * RATE_ONE // weight if weight else 0
        event.same(CHECK, "rate", rate)
        self.rates[epoch] = Rate(weight, drawable, ceiling, emitted, rate)
        self.emitted += emitted
        if emitted:
            self._drawing[epoch, emitted] += 1

    def _rewarded(self, event: Event) -> None:
        epoch, account, spot = event.number("epoch"), self._account(event), event.spot(CHECK)
        spot.same("a closed epoch", expected=True, found=epoch in self.rates)
        weight = self._left(event) or account.take(epoch)
        event.same(CHECK, "weight", weight)
        spot.same("work that is rewarded", expected=True, found=weight > 0)
        amount = weight * self.rates[epoch].rate // RATE_ONE
        event.same(CHECK, "amount", amount)
        account.reward += amount

    def _claimed(self, event: Event) -> None:
        account, node = self._account(event), self._node(event)
        self._check_settled(event, account)
        shared = self.shared_by(node)
        event.same(CHECK, "payee", self.staking if shared else self._payee(event))
        event.same(CHECK, "amount", account.reward)
        account.reward = 0
        self.claimed += event.number("amount")
        within = self.claimed <= self.emitted
        event.spot(CHECK).same("claims within what was emitted", expected=True, found=within)
        receiver = _stake_of(node) if shared else event.text("payee")
        self._paying[receiver, event.number("amount")] += 1

    def _check_settled(self, event: Event, account: Account) -> None:
        """Differs where an account still has work of closed epochs: that is a reward by then."""
        works = ((account.last_epoch, account.last_weight), (account.epoch, account.weight))
        left = [epoch for epoch, weight in works if weight and epoch in self.rates]
        event.spot(CHECK).same("closed epochs whose work is no reward", expected=[], found=left)

    def _moved(self, event: Event) -> None:
        spot = event.spot(CHECK).field("Movement.purpose")
        spot.same("the purpose", expected=REWARD, found=event.number("purpose"))
        self._pay(event, event.text("recipient"), event.number("amount"))

    def _pay(self, event: Event, receiver: str, amount: int) -> None:
        due = self._paying[receiver, amount] > 0
        event.spot(CHECK).same("a payment that a claim needs", expected=True, found=due)
        self._paying[receiver, amount] -= 1


def _stake_of(node: str) -> str:
    """A receiver that no account is: what is due to a node's stake must not go to its key."""
    return f"the stake of {node}"
