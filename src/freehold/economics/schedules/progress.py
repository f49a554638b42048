"""A schedule run epoch by epoch, as the contract closes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from freehold.domain.errors import UsageError
from freehold.economics.schedules.filecoin import Baseline
from freehold.economics.schedules.plan import Plan


@dataclass(frozen=True, slots=True)
class Progress:
    """What ``closed`` epochs of ``epoch_seconds`` have been given.

    ``total`` is their sum and ``budget`` the last one's, base units.
    """

    plan: Plan
    epoch_seconds: int
    baseline: Baseline | None
    closed: int = 0
    total: int = 0
    budget: int = 0

    @classmethod
    def start(cls, plan: Plan, *, epoch_seconds: int) -> Progress:
        """Before the first epoch; UsageError for an epoch that the schedule cannot have."""
        if epoch_seconds <= 0:
            raise UsageError("an epoch has no length", remedy="Choose at least one second.")
        baseline = None
        if plan.storage:
            baseline = Baseline.start(epoch_seconds=epoch_seconds, initial=plan.initial)
        return cls(plan=plan, epoch_seconds=epoch_seconds, baseline=baseline)

    def after(self, backed: int = 0) -> Progress:
        """One epoch on, in which ``backed`` bytes were held and paid for."""
        total = self.plan.scheduled((self.closed + 1) * self.epoch_seconds)
        baseline = self.baseline
        if baseline is not None:
            baseline = baseline.after(backed)
            total += baseline.supply(self.plan.storage)
        total = max(total, self.total)
        return replace(
            self,
            baseline=baseline,
            closed=self.closed + 1,
            total=total,
            budget=total - self.total,
        )
