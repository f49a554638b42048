"""A network founded on a chain that is there already: what a founder wants, as a plan."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from freehold.cli.allocations import Allocation
from freehold.cli.home import Home
from freehold.cli.screen import Screen
from freehold.domain import money
from freehold.domain.clock import SystemClock
from freehold.domain.errors import UnavailableError, UsageError
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.money import UNIT, show
from freehold.domain.network import Network
from freehold.economics.schedules import geometric
from freehold.economics.schedules.plan import GEOMETRIC, WINDOW_MAX, Plan
from freehold.economics.schedules.vesting import MONTH_SECONDS
from freehold.economics.simulation import presets
from freehold.economics.stake import Rule
from freehold.ledger import book
from freehold.ledger.deploy import deploy
from freehold.ledger.economy import OWN, Economy, economy
from freehold.ledger.plan import DAY, PRODUCTION, DeployPlan, Parameters, devnet
from freehold.ledger.rpc import Rpc, find_chain_id

_BPS = 10_000
_GENESIS = 100_000_000 * UNIT
_FIRST_TOKENS = 1_000_000 * UNIT
"""Where the model has no genesis: stake and the first fees are paid with something."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a founder asks for; None is the model's figure, or that of the network's period.

    ``genesis``, ``cap`` and the schedule's ``first`` month in base units, ``factor`` in 10^-18,
    ``epoch`` and ``period`` in seconds, ``split`` (storage, devices, models) and fees in basis
    points.
    ``first``, ``factor`` and ``months`` belong to the model ``own`` alone. ``allocations`` are of
    the genesis, whose rest is the founder's at once; ``allocators`` may grant so many base units
    besides. ``treasury`` gets what of fees is not burned; None: the founder. ``device_stake`` base
    units are locked for each device that a compute node offers, times its multiplier where they are
    ``weighed``; 0: none can be offered.
    """

    name: str
    period: int
    model: str = "filecoin"
    genesis: int | None = None
    cap: int | None = None
    first: int | None = None
    factor: int | None = None
    months: int | None = None
    epoch: int | None = None
    split: tuple[int, int, int] | None = None
    fee_bps: int | None = None
    burn_bps: int | None = None
    treasury: Address | None = None
    allocations: tuple[Allocation, ...] = ()
    allocators: Mapping[Address, int] = field(default_factory=dict)
    device_stake: int | None = None
    weighed: bool | None = None

    def plan(self, founder: Address) -> DeployPlan:
        """The plan to deploy, checked; UsageError naming what cannot be."""
        schedule = self._schedule()
        made = DeployPlan(
            name=self.name,
            parameters=self._parameters(),
            allocation=self._at_once(founder),
            treasury=self.treasury,
            cap=self.cap,
            model=self.model,
            schedule=schedule,
            economy=self._economy(schedule),
            vesting=tuple(each.vesting() for each in self.allocations if each.waits),
            allocators=dict(self.allocators),
        )
        made.check()
        return made

    def rest(self) -> int:
        """Base units of the genesis that no allocation hands out; UsageError where they hand out
        more, or all of them wait."""
        whole, handed = self._genesis(), sum(each.amount for each in self.allocations)
        if handed > whole:
            raise UsageError(
                f"--allocations hand out {show(handed, places=18)} tokens, but the genesis has "
                f"{show(whole, places=18)}",
                remedy="Lower an amount, or raise --genesis.",
            )
        if handed == whole and all(each.waits for each in self.allocations):
            raise UsageError(
                "all of the genesis waits: nobody could stake or pay a fee when the network begins",
                remedy="Leave some tokens of --allocations to the founder, or raise --genesis.",
            )
        return whole - handed

    def shares(self, founder: str) -> Iterator[tuple[str, int, str, str]]:
        """Who gets what of the genesis, and when: account, base units, tranche, words."""
        for each in self.allocations:
            yield each.account, each.amount, each.tranche, each.words()
        if rest := self.rest():
            yield founder, rest, "", "at once"

    def _at_once(self, founder: Address) -> dict[Address, int]:
        rest = self.rest()
        found = {founder: rest} if rest else {}
        for each in self.allocations:
            if not each.waits:
                found[each.account] = found.get(each.account, 0) + each.amount
        return found

    def _parameters(self) -> Parameters:
        found = PRODUCTION if self.period == DAY else devnet(self.period)
        fee = found.fee_bps if self.fee_bps is None else self.fee_bps
        burn = found.burn_bps if self.burn_bps is None else self.burn_bps
        return replace(found, fee_bps=fee, burn_bps=burn)

    def _genesis(self) -> int:
        if self.genesis is not None:
            return self.genesis
        model = presets.PRESETS.get(self.model)
        return _GENESIS if model is None else model.initial() or _FIRST_TOKENS

    def _schedule(self) -> Plan | None:
        given = {"first": self.first, "factor": self.factor, "months": self.months}
        lacking = [name for name, value in given.items() if value is None]
        if self.model != OWN and len(lacking) < len(given):
            raise UsageError(
                f"the model {self.model} has a schedule of its own",
                remedy="Leave --first-month, --factor and --months out, or choose `--preset own`.",
            )
        if self.model != OWN:
            return None
        if self.first is None or self.factor is None or self.months is None:
            raise UsageError(
                "the model own needs a schedule",
                remedy="Give --first-month 1000 --factor 0.99 --months 120: as much in the first "
                "month, each month that part of the one before, and none after the last.",
            )
        return monthly(self.first, self.factor, self.months)

    def _economy(self, schedule: Plan | None) -> Economy:
        usual = economy(self.model, self.period, schedule=schedule)
        epoch = usual.epoch if self.epoch is None else self.epoch
        preset = (usual.storage_bps, usual.devices_bps, usual.models_bps)
        storage, devices, models = self.split or preset
        # A shorter epoch must not leave less time to draw from it.
        window = max(1, usual.draw_window * usual.epoch // max(epoch, 1))
        return replace(
            usual,
            epoch=epoch,
            draw_window=min(window, WINDOW_MAX),
            storage_bps=storage,
            devices_bps=devices,
            models_bps=models,
            budget=sum(self.allocators.values()),
            device=self._device(usual.device),
        )

    def _device(self, usual: Rule) -> Rule:
        amount = usual.amount if self.device_stake is None else self.device_stake
        if self.weighed is not None and not amount:
            raise UsageError(
                "no stake of devices is asked that could be weighed",
                remedy="Give --stake-per-device with it, such as 200, or leave it out.",
            )
        weighed = usual.weighed if self.weighed is None else self.weighed
        return Rule(amount, weighed=weighed and amount > 0)


def monthly(first: int, factor: int, months: int) -> Plan:
    """A schedule of ``months`` months that begins with ``first`` base units and shrinks by
    ``factor`` (10^-18) every month; UsageError where there is none such."""
    if not 0 < factor <= geometric.SCALE or min(first, months) <= 0:
        raise UsageError(
            "the schedule is not possible: it needs a first month and months above 0, and a factor "
            "above 0 and at most 1",
            remedy="Try it with `freehold economics simulate --preset own` first.",
        )
    return Plan(
        kind=GEOMETRIC,
        limit=geometric.issued(first=first, factor=factor, steps=months, grain=1),
        amount=first,
        step=MONTH_SECONDS,
        factor=factor,
        steps=months,
    )


def bps_of(text: str) -> int:
    """Basis points of a percentage such as ``"0.5"``; UsageError beyond 100 or for finer ones."""
    bps, rest = divmod(money.parse(text.strip().removesuffix("%")), UNIT // 100)
    if rest or bps > _BPS:
        raise UsageError(
            f"{text!r} is no share",
            remedy="Write a percentage from 0 to 100 with at most two places, such as 0.5.",
        )
    return bps


def split_of(text: str) -> tuple[int, int, int]:
    """Basis points for storage, devices and models of a text such as ``"70/10/20"``."""
    parts = text.split("/")
    if len(parts) != 3:
        raise UsageError(
            f"{text!r} is no split",
            remedy="Write the percentages of storage, devices and models, such as 70/10/20.",
        )
    storage, devices, models = (bps_of(part) for part in parts)
    return storage, devices, models


def found(home: Home, key: Key, wanted: Wanted, *, urls: Sequence[str], screen: Screen) -> Network:
    """Deploy and wire the contracts; called again after a crash it resumes.

    InsufficientFundsError before anything is sent where the account holds too few coins.
    """
    state = home.root / "founding"
    if not book.begun(state):
        (state / "deploy.json").unlink(missing_ok=True)
        _check_coins(key.address, wanted, urls, screen)
    return deploy(
        wanted.plan(key.address),
        rpc_urls=tuple(urls),
        chain_id=find_chain_id(urls),
        key=key,
        state=state,
        random=secrets.token_bytes,
        clock=SystemClock(),
        progress=lambda text: screen.say(f"[dim]·[/] {text}"),
    )


def _check_coins(account: Address, wanted: Wanted, urls: Sequence[str], screen: Screen) -> None:
    from freehold.cli.rehearsal import quote

    with Rpc(tuple(urls), chain_id=find_chain_id(urls)) as rpc:
        held = rpc.balance(account)
    try:
        with screen.waiting("rehearsing") as say:
            found = quote(wanted, urls, say=say)
    except UnavailableError as error:
        # Without a chain of this machine nobody can tell; the sender checks each transaction.
        screen.say(f"[yellow]·[/] not checked whether the coins suffice: {error.message}")
        return
    found.check(account, held)
