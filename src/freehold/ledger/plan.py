"""What a network is made of before it is on a chain: its parameters, in three presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256

from freehold.domain.errors import UsageError
from freehold.domain.ids import Address
from freehold.domain.money import UNIT
from freehold.economics.pricing import Terms
from freehold.economics.schedules.plan import Plan
from freehold.ledger.economy import Economy, economy

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Parameters:
    """A network's numbers: seconds, rounds, basis points, base units, gas.

    The contracts check hard bounds again; ``grace + window <= period`` and the rest of
    ``check`` are told before anything is spent.
    """

    period: int
    grace: int
    window: int
    challenges: int
    unbonding: int
    governor_delay: int
    arbiter_timeout: int
    voucher_delay: int
    fee_bps: int
    burn_bps: int
    notice: int
    faults_max: int
    stake_per_tib: int
    fault_fee_bps: int
    slash_bps: int
    compensation_bps: int
    bounty_bps: int
    spot_window: int
    spot_gas: int
    lockup_period: int
    repair_owed: int
    cleanup_window: int

    def check(self) -> None:
        """UsageError naming the first number that cannot be."""
        if not 0 < self.grace < self.period or self.grace + self.window > self.period:
            raise _unfit(
                "grace + window",
                f"{self.grace} + {self.window}",
                f"within the period of {self.period} s",
            )
        if not 5 <= self.challenges <= 32:
            raise _unfit("challenges", self.challenges, "5 to 32")
        for name in ("unbonding", "governor_delay", "arbiter_timeout", "voucher_delay"):
            if (value := getattr(self, name)) < 60:
                raise _unfit(name, value, "at least 60 seconds")
        if self.unbonding <= self.faults_max * self.period:
            raise _unfit("unbonding", self.unbonding, "longer than it takes to find a fault")
        if not 0 <= self.fee_bps <= 10_000 or not 0 <= self.burn_bps <= 10_000:
            raise _unfit("fee_bps and burn_bps", (self.fee_bps, self.burn_bps), "0 to 10000")

    def numbers(self) -> dict[str, int]:
        """All of them by name, as the descriptor lists them."""
        return {name: int(value) for name, value in asdict(self).items()}


def _preset(
    *, period: int, grace: int, window: int, unbonding: int, delay: int, voucher: int
) -> Parameters:
    return Parameters(
        period=period,
        grace=grace,
        window=window,
        challenges=5,
        unbonding=unbonding,
        governor_delay=delay,
        arbiter_timeout=max(7 * period, 60),
        voucher_delay=voucher,
        fee_bps=50,
        burn_bps=5_000,
        notice=2 * period,
        faults_max=3,
        stake_per_tib=100 * UNIT,
        fault_fee_bps=100,
        slash_bps=5_000,
        compensation_bps=3_000,
        bounty_bps=500,
        spot_window=max(period // 4, 60),
        spot_gas=250_000,
        lockup_period=10 * period,
        repair_owed=1,
        cleanup_window=30 * period,
    )


PRODUCTION = _preset(
    period=DAY, grace=3_600, window=7_200, unbonding=21 * DAY, delay=2 * DAY, voucher=DAY
)


def devnet(period: int) -> Parameters:
    """Parameters of a network to try things on, with ``period`` seconds between proofs."""
    return _preset(
        period=period,
        grace=max(period // 3, 3),
        window=max(period // 2, 4),
        unbonding=max(20 * period, 60),
        delay=60,
        voucher=max(10 * period, 60),
    )


DEVNET = devnet(60)
JOURNEY = devnet(8)
"""For tests that live through many periods."""


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """A network to deploy. ``allocation`` is minted at genesis, in base units by account;
    ``treasury`` receives fees, the deployer where None. ``cap`` bounds everything ever minted: the
    token model's where None. ``model`` is a token model, with a ``schedule`` where it is ``own``;
    ``economy`` replaces the model's defaults for this network's period."""

    name: str
    parameters: Parameters
    allocation: Mapping[Address, int] = field(default_factory=dict)
    treasury: Address | None = None
    token_name: str = "Freehold"  # noqa: S105 - a coin, not a password
    token_symbol: str = "HOLD"  # noqa: S105
    cap: int | None = None
    model: str = "filecoin"
    schedule: Plan | None = None
    economy: Economy | None = None

    @property
    def emission(self) -> Economy:
        """The economy that is deployed."""
        return self.economy or economy(self.model, self.parameters.period, schedule=self.schedule)

    @property
    def minting_cap(self) -> int:
        """The token's cap, base units."""
        return self.cap or self.emission.cap(sum(self.allocation.values()))

    @property
    def work_per_token(self) -> int:
        """MiB-seconds that a burned token backs."""
        numbers = self.parameters
        return self.emission.work_per_token(numbers.fee_bps, numbers.burn_bps)

    @property
    def lots(self) -> Terms:
        """How fees in foreign tokens are auctioned, base units and seconds."""
        return self.emission.lots(self.minting_cap)

    def numbers(self) -> dict[str, int]:
        """All parameters by name, as the descriptor lists them."""
        return {
            **self.parameters.numbers(),
            **self.emission.numbers(),
            "work_per_token": self.work_per_token,
            "cap": self.minting_cap,
        }

    def check(self) -> None:
        """UsageError naming what cannot be."""
        self.parameters.check()
        self._check_economy()
        if not 0 < len(self.name) <= 64:
            raise _unfit("the network's name", self.name, "1 to 64 characters long")
        if not 0 < len(self.token_name.encode()) <= 32:
            raise _unfit("the token's name", self.token_name, "1 to 32 bytes long")
        if not 0 < len(self.token_symbol.encode()) <= 8:
            raise _unfit("the token's symbol", self.token_symbol, "1 to 8 bytes long")
        if len(self.allocation) > 64 or any(amount <= 0 for amount in self.allocation.values()):
            raise _unfit("the allocation", len(self.allocation), "at most 64 amounts above zero")
        whole = sum(self.allocation.values()) + self.emission.reserved()
        if whole > self.minting_cap:
            raise _unfit(
                "the allocation with the schedule and its budget", whole, f"within {self.cap}"
            )

    def _check_economy(self) -> None:
        found = self.emission
        found.check()
        if self.economy is not None and (self.model, self.schedule) != (
            found.model, found.schedule,
        ):  # fmt: skip
            raise _unfit("the economy's model", found.model, "the plan's, with its schedule")
        found.lots(self.minting_cap)

    def digest(self) -> str:
        """A name for exactly this plan, to tell a resumed deployment from another one."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def _unfit(name: str, value: object, need: str) -> UsageError:
    return UsageError(
        f"{name} is {value}, but must be {need}",
        remedy="Change the plan; the presets `production` and `devnet` fit.",
    )
