"""The arithmetic of rewards by work: from the schedule to what one set got for an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from freehold.audit.events import Event
from freehold.audit.issuance import Issuance
from freehold.audit.payout import Payout, Step, where
from freehold.audit.rewards import BPS, LEAF_SHIFT, RATE_ONE, TOKEN, Rate, Rewards
from freehold.audit.world import Models
from freehold.domain.ids import Address


@dataclass(slots=True)
class _Work:
    """What one set did in the epoch and got for it; values are MiB-seconds or base units."""

    record: list[Step] = field(default_factory=list)
    """Fees that came to back work, and proofs, as they happened."""
    amounts: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    rewarded: Step | None = None
    claimed: Step | None = None


class Workings:
    """Hears of the sets of an account: by number, or of a node, an owner or a payout."""

    def __init__(self, account: int | Address, epoch: int) -> None:
        self._account, self._epoch = account, epoch
        self._works: dict[int, _Work] = {}
        self._closed = self._budgeted = ""
        self._untold: set[int] = set()

    def see(self, event: Event, models: Models) -> None:
        """Take an event that the models have re-run."""
        rewards = models.economy.rewards
        if rewards is None:
            return
        if event.contract == "pdp":
            self._see_proof(event, rewards, models)
        elif event.name == "EpochClosed" and event.number("epoch") == self._epoch:
            self._see_closing(event)
        elif event.contract == "rewards":
            self._see_work(event, rewards, models)

    def payouts(self, models: Models, now: int) -> Iterator[Payout]:
        """What every set of the account got, or why it got nothing; at a moment."""
        rewards = models.economy.rewards
        if rewards is None:
            return
        numbers = [number for number in models.proofs.sets if self._mine(number, models)]
        for number in sorted({*numbers, *self._works}):
            work = self._works.get(number, _Work())
            yield self._payout(number, work, rewards, models.economy.issuance, now)

    def _mine(self, number: int, models: Models) -> bool:
        if isinstance(self._account, int):
            return number == self._account
        held, registry = models.proofs.sets.get(number), models.registry
        if held is None:
            return False
        node = held.prover
        return self._account in (node, registry.owner(node), registry.payout(node))

    # Hearing

    def _see_proof(self, event: Event, rewards: Rewards, models: Models) -> None:
        if event.name not in ("Proven", "WorkUntold"):
            return
        number = event.number("set_id")
        if not self._mine(number, models) or rewards.epoch_at(event.time) != self._epoch:
            return
        found = self._works.setdefault(number, _Work())
        if event.name == "WorkUntold":
            del found.record[-2:], found.weights[-1:], found.amounts[-1:]
            self._untold.add(number)
        elif rewards.latest is not None and event.number("in_time"):
            work, credit = rewards.latest, rewards.latest.before.credit
            rule = f"{event.number('span')} leaves * {rewards.period} s // {1 << LEAF_SHIFT}"
            backed = f"the least of {work.amount} and {credit}"
            found.record += [
                Step("work of a proof, MiB-seconds", rule, work.amount, where(event)),
                Step("of it backed by fees", backed, work.backed),
            ]
            found.weights.append(work.backed)
            found.amounts.append(work.amount)

    def _see_closing(self, event: Event) -> None:
        if event.contract == "rewards":
            self._closed = where(event)
        else:
            self._budgeted = where(event)

    def _see_work(self, event: Event, rewards: Rewards, models: Models) -> None:
        number = event.args.get("account")
        if not isinstance(number, int) or not self._mine(number, models):
            return
        work = self._works.setdefault(number, _Work())
        ours = event.args.get("epoch") == self._epoch
        if event.name == "Backed" and rewards.epoch_at(event.time) <= self._epoch:
            work.record.append(_backing(event, rewards))
        elif event.name == "Rewarded" and ours:
            work.rewarded = Step("rewarded", "", event.number("amount"), where(event))
        elif event.name == "Claimed" and work.rewarded and not work.claimed:
            name = f"claim to {event.text('payee')}, all rewards together"
            work.claimed = Step(name, "", event.number("amount"), where(event))

    # Telling

    def _payout(
        self, number: int, work: _Work, rewards: Rewards, issuance: Issuance | None, now: int
    ) -> Payout:
        weight, rate = sum(work.weights), rewards.rates.get(self._epoch)
        steps = [] if issuance is None else [*self._budget(issuance, rewards)]
        steps += work.record
        earned = 0
        if weight:
            rule = " + ".join(str(each) for each in work.weights)
            steps.append(Step("backed work of the account", rule, weight))
        if rate is not None and weight:
            earned = weight * rate.rate // RATE_ONE
            steps += [*self._rate(rewards, rate), *_reward(weight, rate, earned)]
        steps += [step for step in (work.rewarded, work.claimed) if step is not None]
        reason = self._reason(number, work, rewards, earned, now)
        paid = earned if work.claimed else 0
        return Payout(f"set {number}", self._epoch, earned, paid, reason, tuple(steps))

    def _budget(self, issuance: Issuance, rewards: Rewards) -> Iterator[Step]:
        epoch, seconds = self._epoch, issuance.epoch_seconds
        if epoch >= len(issuance.epochs):
            return
        closed, start = issuance.epochs[epoch], 0
        if epoch:
            start = issuance.epochs[epoch - 1].total
        yield Step(f"schedule by time, {(epoch + 1) * seconds} s on", "", closed.by_time)
        if issuance.plan.storage:
            name = f"schedule by storage, {closed.backed} backed bytes"
            yield Step(name, "", closed.by_storage)
        yield Step("schedule at the epoch's end", "", closed.total)
        yield Step(f"schedule at its start, {epoch * seconds} s on", "", start)
        yield Step("budget of the epoch", f"{closed.total} - {start}", closed.budget,
                   self._budgeted)  # fmt: skip
        market = issuance.market_of.get(rewards.contract)
        if market is not None:
            bps = issuance.share(market, epoch)
            rule = f"{closed.budget} * {bps} // {BPS}"
            yield Step("share of its market", rule, closed.budget * bps // BPS)

    def _rate(self, rewards: Rewards, rate: Rate) -> Iterator[Step]:
        fees = f"{rate.weight} * {rewards.share_bps} * {TOKEN}"
        yield Step("backed work of all", "", rate.weight, self._closed)
        yield Step("most that burned fees allow", f"{fees} // ({BPS} * {rewards.work_per_token})",
                   rate.ceiling)  # fmt: skip
        yield Step("left of the market's share", "", rate.drawable)
        rule = f"the least of {rate.ceiling} and {rate.drawable}"
        yield Step("emitted for the epoch", rule, rate.emitted)
        rule = f"{rate.emitted} * {RATE_ONE} // {rate.weight}"
        yield Step("rate of a unit of work, 2**-96", rule, rate.rate)

    def _reason(self, number: int, work: _Work, rewards: Rewards, earned: int, now: int) -> str:
        """Why an account earned nothing, or has not been paid yet."""
        begun = rewards.genesis + self._epoch * rewards.epoch_seconds
        silent = "it gave no proof in time in this epoch"
        if number in self._untold:
            silent += ", or the work of one was not told"
        why = (
            (now < begun, "the epoch has not begun"),
            (now < begun + rewards.epoch_seconds, "the epoch runs"),
            (not work.weights, silent),
            (not sum(work.amounts), "each of its proofs was of less than a MiB-second"),
            (not sum(work.weights), "no burned fee backs its work"),
            (not self._closed, "the epoch is not closed yet"),
            (not earned, "nothing was left to draw, or it is less than one base unit"),
            (work.claimed is None, "nobody has claimed it yet"),
        )
        return next((reason for holds, reason in why if holds), "")


def _backing(event: Event, rewards: Rewards) -> Step:
    burned = event.number("burned")
    more = burned * rewards.work_per_token // TOKEN
    rule = f"{burned} burned * {rewards.work_per_token} // {TOKEN}"
    return Step("fees back work, MiB-seconds", rule, more, where(event))


def _reward(weight: int, rate: Rate, earned: int) -> Iterator[Step]:
    yield Step("reward", f"{weight} * {rate.rate} // {RATE_ONE}", earned)
    exact = f"{rate.emitted} * {weight} // {rate.weight}"
    lost = rate.emitted * weight // rate.weight - earned
    yield Step("lost by rounding, whole units", f"{exact} - {earned}", lost)
