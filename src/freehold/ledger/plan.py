"""What a network is made of before it is on a chain: its parameters, in three presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256

from freehold.domain.errors import UsageError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.money import UNIT, show
from freehold.economics.pricing import Terms
from freehold.economics.schedules.plan import AMOUNT_MAX, Plan
from freehold.economics.schedules.vesting import MONTH_SECONDS
from freehold.ledger.economy import Economy, economy
from freehold.ledger.figures import misfit, outside, tokens, unfit
from freehold.ledger.modeling import Modeling
from freehold.ledger.sensing import WATCHERS_MAX, Sensing

DAY = 86_400
CLIFF_MAX, PARTS_MAX = 240 * MONTH_SECONDS, 240
"""Of an allocation that waits, in seconds and months."""
VESTINGS_MAX, HOLDERS_MAX, ALLOCATORS_MAX = 32, 64, 16


_OTHERWISE = "Change the plan; the presets `production` and `devnet` fit."
_NAME = "Give another --name."


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
            raise unfit(
                "grace and window of a proof",
                f"{self.grace} s and {self.window} s",
                f"within the --period of {self.period} s",
                _OTHERWISE,
            )
        if not 5 <= self.challenges <= 32:
            raise outside("challenges", self.challenges, 5, 32)
        for name in ("unbonding", "governor_delay", "arbiter_timeout", "voucher_delay"):
            if (value := getattr(self, name)) < 60:
                raise misfit(name, value, "at least 60 s")
        if self.unbonding <= self.faults_max * self.period:
            raise misfit("unbonding", self.unbonding, "longer than it takes to find a fault")
        for name in ("fee_bps", "burn_bps"):
            if not 0 <= (value := getattr(self, name)) <= 10_000:
                raise outside(name, value, 0, 10_000)

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
class Vesting:
    """``amount`` base units of the genesis that ``beneficiary`` waits for: nothing before ``cliff``
    seconds after genesis, then ``parts`` equal months; without parts all of it at the cliff."""

    beneficiary: Address
    amount: int
    cliff: int = 0
    parts: int = 0

    def terms(self, genesis: int) -> tuple[Address, int, int, int, int]:
        """The contract's ``Allocation``, in its order."""
        return self.beneficiary, self.amount, genesis, self.cliff, self.parts

    def check(self) -> None:
        """UsageError naming what the contract would refuse."""
        whose = f"in --allocations, {self.beneficiary}'s"
        if self.beneficiary == ZERO_ADDRESS:
            raise _unallotted("an account of --allocations", "nobody's", "an account")
        _check_amount(f"{whose} amount", self.amount)
        if not 0 <= self.cliff <= CLIFF_MAX:
            most = f"at most {CLIFF_MAX // MONTH_SECONDS} months"
            raise _unallotted(f"{whose} cliff", f"{self.cliff:,} s", most)
        if not 0 <= self.parts <= PARTS_MAX:
            most = f"at most {PARTS_MAX} months"
            raise _unallotted(f"{whose} vesting after its cliff", f"{self.parts:,} months", most)


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """A network to deploy. ``allocation`` is minted at genesis, in base units by account, and
    ``vesting`` later, to those who claim it; ``allocators`` may grant so many base units each, out
    of the economy's ``budget``. ``treasury`` receives fees, the deployer where None. ``cap`` bounds
    everything ever minted: the token model's where None. ``model`` is a token model, with a
    ``schedule`` where it is ``own``; ``economy``, ``sensing`` and ``modeling`` replace the defaults
    for this network's period. ``watchers`` co-sign roots from the start, more than half of them
    each."""

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
    vesting: tuple[Vesting, ...] = ()
    allocators: Mapping[Address, int] = field(default_factory=dict)
    sensing: Sensing | None = None
    modeling: Modeling | None = None
    watchers: tuple[Address, ...] = ()

    @property
    def genesis(self) -> int:
        """Base units that are not of the schedule: minted at once, or waited for."""
        return sum(self.allocation.values()) + sum(each.amount for each in self.vesting)

    @property
    def emission(self) -> Economy:
        """The economy that is deployed."""
        return self.economy or economy(self.model, self.parameters.period, schedule=self.schedule)

    @property
    def senses(self) -> Sensing:
        """What is asked of devices, buyers of readings and watchers."""
        numbers = self.parameters
        return self.sensing or Sensing.of(numbers.period, unbonding=numbers.unbonding)

    @property
    def models(self) -> Modeling:
        """What is asked of subnets."""
        return self.modeling or Modeling.of(self.parameters.period)

    @property
    def minting_cap(self) -> int:
        """The token's cap, base units."""
        return self.cap or self.emission.cap(self.genesis)

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
            **self.senses.numbers(),
            "work_per_token": self.work_per_token,
            "cap": self.minting_cap,
        }

    def check(self) -> None:
        """UsageError naming what cannot be."""
        self.parameters.check()
        self._check_economy()
        self.senses.check(unbonding=self.parameters.unbonding)
        self.models.check()
        self._check_watchers()
        self._check_names()
        self._check_genesis()
        self._check_allocators()
        self._check_cap()

    def _check_names(self) -> None:
        if not 0 < len(self.name) <= 64:
            raise unfit("the network's name", repr(self.name), "1 to 64 characters long", _NAME)
        if not 0 < len(self.token_name.encode()) <= 32:
            raise unfit("the token's name", repr(self.token_name), "1 to 32 bytes long", _OTHERWISE)
        if not 0 < len(self.token_symbol.encode()) <= 8:
            words = "the token's symbol"
            raise unfit(words, repr(self.token_symbol), "1 to 8 bytes long", _OTHERWISE)

    def _check_economy(self) -> None:
        found = self.emission
        found.check()
        if found.epoch > (unbonding := self.parameters.unbonding):
            # Else the same stake could stand behind two validators of a subnet in one epoch.
            raise misfit("epoch", found.epoch, f"at most the {unbonding:,} s that stake unbonds in")
        if self.economy is not None and (self.model, self.schedule) != (
            found.model, found.schedule,
        ):  # fmt: skip
            need = "the plan's, with its schedule"
            raise unfit("the economy's model", found.model, need, _OTHERWISE)
        found.lots(self.minting_cap)

    def _check_genesis(self) -> None:
        if self.treasury == ZERO_ADDRESS:
            raise unfit("--treasury", "nobody's", "an account", "Leave it out: it is the founder.")
        for account, amount in self.allocation.items():
            _check_amount(f"what {account} gets at genesis", amount)
        for each in self.vesting:
            each.check()
        counts = ((len(self.allocation), HOLDERS_MAX), (len(self.vesting), VESTINGS_MAX))
        for (count, most), when in zip(counts, ("at once", "later"), strict=True):
            if count > most:
                raise _unallotted(f"the number of accounts paid {when}", count, f"at most {most}")

    def _check_allocators(self) -> None:
        for account, amount in self.allocators.items():
            _check_amount(f"what {account} may grant by --allocator", amount)
        if len(self.allocators) > ALLOCATORS_MAX:
            count, most = len(self.allocators), f"at most {ALLOCATORS_MAX}"
            raise unfit("the number of --allocator", count, most, "Name fewer.")
        together, reserve = sum(self.allocators.values()), self.emission.budget
        if together > reserve:
            raise misfit("budget", together, f"within the reserve of {tokens(reserve)}")

    def _check_watchers(self) -> None:
        if len(self.watchers) > WATCHERS_MAX or len(set(self.watchers)) < len(self.watchers):
            need = f"{WATCHERS_MAX} at most, each once"
            raise unfit("the watchers", f"{len(self.watchers)} accounts", need, "Name fewer.")

    def _check_cap(self) -> None:
        emission, genesis = self.emission, self.genesis
        whole = genesis + emission.reserved()
        if whole > self.minting_cap:
            raise UsageError(
                f"--cap is {tokens(self.minting_cap)}, but {tokens(whole)} could be minted: "
                f"{tokens(genesis)} of genesis, {tokens(emission.plan().limit)} by the schedule, "
                f"{tokens(emission.budget)} by allocators",
                remedy=f"Give --cap {show(whole, places=18).replace(',', '')} or more, leave it "
                "out, or lower --genesis or an --allocator.",
            )

    def digest(self) -> str:
        """A name for exactly this plan, to tell a resumed deployment from another one."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def _check_amount(words: str, amount: int) -> None:
    if not 0 < amount < AMOUNT_MAX:
        raise _unallotted(words, tokens(amount), f"above 0 and less than {tokens(AMOUNT_MAX)}")


def _unallotted(words: str, value: object, need: str) -> UsageError:
    return unfit(words, value, need, "Correct it; docs/how-to/found-a-network.md has an example.")
