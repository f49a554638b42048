"""Whether a node can earn what its proofs cost, told before it begins."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from freehold.cli.amounts import brief
from freehold.control.running import SHARE_BPS, Conditions, least_bytes
from freehold.domain.errors import CapacityError, UsageError
from freehold.domain.money import TIB
from freehold.ledger.ledger import Ledger
from freehold.node import settings


@dataclass(frozen=True, slots=True)
class Floor:
    """The least set (bytes; None when no set is large enough) beside what a node offers."""

    conditions: Conditions
    least: int | None
    capacity: int

    @property
    def below(self) -> bool:
        """Whether even a full node would pay more for its proofs than their share."""
        return self.least is None or self.capacity < self.least

    def to_json(self) -> dict[str, object]:
        """For programs: bytes, and base units a month."""
        return {
            "proving_a_month": self.conditions.monthly,
            "least_bytes": self.least,
            "capacity": self.capacity,
        }

    def text(self) -> str:
        """What proving costs, and what is needed for it, in one sentence."""
        coin = brief(self.conditions.coin)
        least = "no size is enough" if self.least is None else f"at least {amount(self.least)}"
        return (
            f"at {self.conditions.gas_price / 10**9:g} gwei, with a coin worth "
            f"{coin} token{'' if coin == '1' else 's'}, proving costs "
            f"{brief(self.conditions.monthly)} tokens a month whatever is held: {least} must be "
            f"held for that to be under {SHARE_BPS / 100:g} % of pay, this node offers "
            f"{amount(self.capacity)}"
        )

    def require(self, *, yes: bool) -> None:
        """CapacityError below the least set, unless the owner has agreed to the loss."""
        if self.below and not yes:
            raise CapacityError(
                self.text(),
                remedy="Offer more space or ask a higher price in node.toml, wait for cheaper "
                "gas, tell what a coin is worth with --coin, or go on at a loss with --yes.",
            )


def measure(ledger: Ledger, folder: Path, *, coin: int) -> Floor:
    """The floor of the node in ``folder`` at the chain's present price of gas; ``coin`` in base
    units of the network's token."""
    mine = settings.load(folder, flags={}, environment=os.environ)
    parameters = ledger.network.parameters
    conditions = Conditions(
        period=parameters["period"],
        challenges=parameters["challenges"],
        fee_bps=parameters["fee_bps"],
        gas_price=ledger.head().base_fee + ledger.rpc.tip(),
        coin=coin,
    )
    return Floor(conditions, _least(conditions, mine.price), mine.capacity)


def _least(conditions: Conditions, price: int) -> int | None:
    try:
        return least_bytes(conditions.monthly, price=price, fee_bps=conditions.fee_bps)
    except UsageError:
        return None


def amount(count: int) -> str:
    """Bytes as space is offered: GiB, or TiB from one on."""
    return f"{count / TIB:,.1f} TiB" if count >= TIB else f"{count / 2**30:,.1f} GiB"
