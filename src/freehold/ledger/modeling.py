"""What a network asks of who creates a subnet, and how much of what subnets burn comes back."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.money import UNIT
from freehold.economics.pricing import FACTOR_BPS_MAX, HALF_LIFE_MAX, PRICE_MAX, WHOLE_BPS
from freehold.ledger.figures import outside

MODELING = ("prizes", "subnet", "disputes")
"""Contracts that the governor lists beside the registry: the roots that pay model nodes, the
subnets that earn, the judge of those roots."""
CHECKERS = ("columns", "standings", "payouts")
"""What tells the judge whether something in a root is false; the judge names them."""
HALF_LIFE_MIN = 60
LOCK_MAX = 2**96
NOTICE_MIN, NOTICE_MAX = 2, 64


@dataclass(frozen=True, slots=True)
class Modeling:
    """Creating a subnet burns a price between ``subnet_least`` and ``subnet_most`` base units,
    which each one raises to ``subnet_factor_bps`` of it and which halves in ``subnet_half_life``
    seconds. ``subnet_lock`` base units come back when it is closed, which takes ``subnet_notice``
    epochs."""

    subnet_half_life: int
    subnet_least: int = 100 * UNIT
    subnet_most: int = 100_000 * UNIT
    subnet_factor_bps: int = 15_000
    subnet_lock: int = 1_000 * UNIT
    subnet_notice: int = 4

    @classmethod
    def of(cls, period: int) -> Modeling:
        """Defaults for a network with ``period`` seconds between proofs."""
        return cls(subnet_half_life=max(7 * period, HALF_LIFE_MIN))

    def check(self) -> None:
        """UsageError naming the first figure that the contract would refuse."""
        for name, least, most in (
            ("subnet_most", 1, PRICE_MAX),
            ("subnet_least", 1, self.subnet_most),
            ("subnet_half_life", HALF_LIFE_MIN, HALF_LIFE_MAX),
            ("subnet_factor_bps", WHOLE_BPS + 1, FACTOR_BPS_MAX),
            ("subnet_lock", 0, LOCK_MAX),
            ("subnet_notice", NOTICE_MIN, NOTICE_MAX),
        ):
            if not least <= (value := getattr(self, name)) <= most:
                raise outside(name, value, least, most)

    def terms(self, *, share_bps: int) -> tuple[int, ...]:
        """The terms of ``subnet``, in their order; ``share_bps`` of what subnets burn they earn."""
        price = (self.subnet_least, self.subnet_most, self.subnet_half_life, self.subnet_factor_bps)
        return (*price, self.subnet_lock, self.subnet_notice, share_bps)
