"""What a network mints and for whom, as its own contracts tell it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from freehold.cli.amounts import span
from freehold.domain.money import show

if TYPE_CHECKING:
    from freehold.ledger.contracts.issuance import Plan
    from freehold.ledger.ledger import Ledger

_OWN = "own"


@dataclass(frozen=True, slots=True)
class Emission:
    """A network's token model and where it stands; amounts in base units, ``epoch`` in seconds.

    ``split`` is ten-thousandths of an epoch's budget by market; ``limit`` what the schedule can
    ever mint, ``scheduled`` what it allowed in ``closed`` epochs, ``minted`` what of it was minted.
    """

    model: str
    cap: int
    limit: int
    schedule: str
    epoch: int
    closed: int
    scheduled: int
    minted: int
    split: dict[str, int]

    def to_json(self) -> dict[str, object]:
        """All of it for programs."""
        return asdict(self)

    def facts(self) -> dict[str, object]:
        """All of it for people."""
        shares = ", ".join(f"{name} {bps / 100:g} %" for name, bps in self.split.items())
        return {
            "cap on all that is ever minted": f"{show(self.cap)} tokens",
            "schedule": f"{self.schedule}; at most {show(self.limit)} tokens",
            "epoch": f"{span(self.epoch)}, {self.closed:,} closed",
            "split of an epoch": shares or "none",
            "scheduled so far": f"{show(self.scheduled)} tokens",
            "minted by it": f"{show(self.minted)} tokens",
        }


def emission_of(ledger: Ledger) -> Emission | None:
    """Ask the chain; None where a network was founded without an issuance."""
    if "issuance" not in ledger.network.contracts:
        return None
    issuance = ledger.issuance
    plan = issuance.plan()
    shares = issuance.split(issuance.split_count())
    return Emission(
        model=_model(plan),
        cap=ledger.token.cap(),
        limit=plan.limit,
        schedule=_words(plan),
        epoch=issuance.epoch_seconds(),
        closed=issuance.closed(),
        scheduled=issuance.scheduled_total(),
        minted=issuance.minted(),
        split={share.market.rstrip(b"\0").decode(errors="replace"): share.bps for share in shares},
    )


def _model(plan: Plan) -> str:
    """The preset whose schedule this is to the unit, else ``own``."""
    from freehold.economics.schedules.plan import PRESETS

    for name, preset in PRESETS.items():
        if all(getattr(plan, figure) == value for figure, value in asdict(preset).items()):
            return name
    return _OWN


def _words(plan: Plan) -> str:
    from freehold.economics.schedules.plan import EXPONENTIAL, GEOMETRIC
    from freehold.economics.schedules.vesting import MONTH_SECONDS

    if plan.kind == EXPONENTIAL:
        return (
            f"{show(plan.amount)} by time, halving every six years, and {show(plan.storage)} as "
            "storage grows"
        )
    if plan.kind == GEOMETRIC:
        step = "months" if plan.step == MONTH_SECONDS else f"steps of {span(plan.step)}"
        return (
            f"{show(plan.amount)} in the first of {plan.steps:,} {step}, each "
            f"{show(plan.factor, places=9)} of the one before"
        )
    return f"{show(plan.amount)} every {span(plan.step)}, halved as half of what is left is issued"
