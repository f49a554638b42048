"""What an owner gains who is also the client: integers in base units, rounded as fees are.

Whatever they pay comes back to their node less the fee; of what burned, a fraction below one comes
back as emission. So the difference is never above zero, at any price, with any number of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.errors import UsageError

BPS = 10_000


@dataclass(frozen=True, slots=True)
class Rules:
    """Network fee, its burned part, and emission of what burned; all in ten-thousandths."""

    fee: int = 50
    burned: int = 5_000
    emission: int = 9_000

    def __post_init__(self) -> None:
        if not (0 <= self.fee <= BPS and 0 <= self.burned <= BPS and 0 <= self.emission < BPS):
            raise UsageError(
                "the fees do not bound emission below what burned",
                remedy="Choose fee and burned up to 10000 and emission up to 9999.",
            )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Base units: paid to oneself, lost as fee, got back as emission, and the difference."""

    paid: int
    fee: int
    emission: int
    gain: int


def bounded(rules: Rules, *, paid: int, nodes: int = 1, epochs: int = 1) -> Outcome:
    """``paid`` an epoch to each of ``nodes``, and all the emission that these fees allow."""
    total = paid * epochs
    fee = total * rules.fee // BPS
    emission = fee * rules.burned // BPS * rules.emission // BPS
    return Outcome(total * nodes, fee * nodes, emission * nodes, (emission - fee) * nodes)


def classical(rules: Rules, *, paid: int, others: int, emitted: int) -> Outcome:
    """The same owner where ``emitted`` is shared by volume, burned or not, with ``others``."""
    fee = paid * rules.fee // BPS
    emission = emitted * paid // (paid + others) if paid else 0
    return Outcome(paid, fee, emission, emission - fee)
