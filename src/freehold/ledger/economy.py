"""What a network mints and for whom: the token model, its epochs, and the bounds of rewards."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.money import UNIT
from freehold.economics import stake
from freehold.economics.pricing import (
    FACTOR_BPS_MAX,
    HALF_LIFE_MAX,
    PRICE_MAX,
    WHOLE_BPS,
    Terms,
)
from freehold.economics.schedules import filecoin, ionet
from freehold.economics.schedules.plan import (
    AMOUNT_MAX,
    EXPONENTIAL,
    PRESETS,
    WINDOW_MAX,
    Plan,
)
from freehold.ledger.figures import misfit, outside, tokens, unfit

OWN = "own"
MODELS = (*PRESETS, OWN)
STORAGE, DEVICES, SUBNETS = (name.ljust(32, b"\0") for name in (b"storage", b"devices", b"models"))
"""Markets of the issuance: what the chain sees, and what roots tell it of devices and of models."""
DRAWERS = {STORAGE: "rewards", DEVICES: "roots", SUBNETS: "subnet"}
"""Who draws for each, by its place in the descriptor."""

_CAPS = {
    "filecoin": 600_000_000 * UNIT + filecoin.SIMPLE_TOTAL + filecoin.BASELINE_TOTAL,
    "ionet": ionet.CAP_IO * UNIT,
}
"""What each model's own genesis and schedule come to; Bittensor has no genesis."""
_UNSEEN = {"bittensor": (500, 2_500)}
"""What devices and models get where it is not half of the rest each: most to the models."""
_TIB_MONTH = 2**20 * 2_592_000
_EPOCH_MIN, _EPOCH_MAX = 60, 366 * 86_400
_SHARE_MAX, _WORK_MAX = 9_000, 2**60
_WINDOW_MIN, _WINDOW_MAX = 60, 30 * 86_400
_WINDOWS, _ROUNDS = 3, 12
"""Periods in which a root can be disputed, and how many answers can be waited for one after another
meanwhile: a search for what a proposer keeps back takes some nine rounds."""
_BOND_MAX = 2**96
_GRAIN = 10**9
_LOTS_IN_CAP = 1_000
_LOT_NEED = f"in order, above 0 and at most {tokens(PRICE_MAX)}"
_OTHERWISE = "Change the plan; the defaults of each token model fit."
_FREE = stake.Rule(0)
"""A device that asks for no stake: it cannot be declared."""


@dataclass(frozen=True, slots=True)
class Economy:
    """Emission and rewards; amounts in base units, times in seconds.

    ``model`` is one of MODELS; ``schedule`` is given where it is ``own``. An ``epoch`` is what a
    budget and a reward are of, and can be drawn for ``draw_window`` epochs after it. ``price`` per
    TiB-month is the least at which the fees that a deal burns back all of its bytes; ``share_bps``
    of what was burned is the most that an owner earns by it. ``storage_bps``, ``devices_bps`` and
    ``models_bps`` split an epoch; what none of them has is not minted. ``budget`` is reserved for
    public grants. Fees in foreign tokens are auctioned in lots: ``lot_least`` is the least sale and
    ``lot_opening`` the most that a lot asks, by default a thousandth of the token's cap; an ask
    halves in ``lot_half_life``, and what arrives joins at ``lot_factor_bps`` of the last price.
    Registering a node burns a price between ``entry_least`` (0: nothing, ever) and ``entry_most``,
    which each registration raises to ``entry_factor_bps`` of it and which halves in
    ``entry_half_life``. ``device`` is the stake that compute nodes lock for each device they offer.
    The others are the roots' rules.
    """

    model: str
    epoch: int
    draw_window: int
    root_window: int
    answer_window: int
    bond: int
    schedule: Plan | None = None
    price: int = 5 * UNIT // 2
    share_bps: int = _SHARE_MAX
    storage_bps: int = 7_000
    devices_bps: int = 1_500
    models_bps: int = 1_500
    budget: int = 0
    lost_bond_bps: int = 3_000
    lot_least: int = UNIT
    lot_opening: int | None = None
    lot_half_life: int = 3_600
    lot_factor_bps: int = 20_000
    entry_least: int = UNIT // 10
    entry_most: int = 10_000 * UNIT
    entry_half_life: int = 3_600
    entry_factor_bps: int = 11_000
    device: stake.Rule = _FREE

    def check(self) -> None:
        """UsageError naming the first figure that cannot be."""
        if self.model not in MODELS:
            known = f"one of {', '.join(MODELS)}"
            raise unfit("the token model", repr(self.model), known, "Choose it with --preset.")
        if (self.schedule is None) == (self.model == OWN):
            given = "given" if self.schedule else "missing"
            raise unfit("the schedule", given, "given for `--preset own` alone", _OTHERWISE)
        self._within("epoch", _EPOCH_MIN, _EPOCH_MAX)
        if self.plan().kind == EXPONENTIAL and self.epoch % filecoin.EPOCH_SECONDS:
            raise misfit("epoch", self.epoch, "a multiple of 30 s for this model")
        self._within("draw_window", 1, WINDOW_MAX)
        self._within("price", 1, AMOUNT_MAX)
        self._within("share_bps", 1, _SHARE_MAX)
        self._within("storage_bps", 1, 10_000)
        self._within("devices_bps", 0, 10_000 - self.storage_bps)
        self._within("models_bps", 0, 10_000 - self.storage_bps - self.devices_bps)
        self._within("budget", 0, AMOUNT_MAX - 1)
        self._within("root_window", _WINDOW_MIN, _WINDOW_MAX)
        self._within("answer_window", _WINDOW_MIN, self.root_window)
        self._within("bond", _GRAIN, _BOND_MAX)
        self._within("lost_bond_bps", 0, 4_000)
        self._within("lot_half_life", 1, HALF_LIFE_MAX)
        self._within("lot_factor_bps", WHOLE_BPS + 1, FACTOR_BPS_MAX)
        self._within("entry_most", 1, PRICE_MAX)
        self._within("entry_least", 0, self.entry_most)
        self._within("entry_half_life", 1, HALF_LIFE_MAX)
        self._within("entry_factor_bps", WHOLE_BPS + 1, FACTOR_BPS_MAX)
        self._check_device()

    def plan(self) -> Plan:
        """The schedule that the network is deployed with."""
        return self.schedule or PRESETS[self.model]

    def reserved(self) -> int:
        """What the issuance may ever mint."""
        return self.plan().limit + self.budget

    def cap(self, allocated: int) -> int:
        """What the token needs as its cap besides ``allocated`` at genesis: the model's own,
        or more where that is too little."""
        return max(_CAPS.get(self.model, 0), self.reserved() + allocated)

    def work_per_token(self, fee_bps: int, burn_bps: int) -> int:
        """MiB-seconds that a burned token backs; nothing burns, nothing earns: then as if all
        of a fee of one in a hundred did."""
        burned = self.price * (fee_bps * burn_bps or 10**6)
        return max(1, min(_TIB_MONTH * UNIT * 10**8 // burned, _WORK_MAX))

    def terms(self) -> dict[str, int]:
        """The issuance's plan, in its order."""
        return self.plan().terms(budget=self.budget, window=self.draw_window)

    def shares(self) -> list[tuple[bytes, int]]:
        """The first split of epochs."""
        wanted = (self.storage_bps, self.devices_bps, self.models_bps)
        return [(market, bps) for market, bps in zip(DRAWERS, wanted, strict=True) if bps]

    def rules(self) -> tuple[int, ...]:
        """The roots' parameters, in their order; one root adds no more than its bond."""
        growth = min(self.bond // _GRAIN, 2**64 - 1)
        return self.root_window, self.answer_window, self.bond, growth, self.lost_bond_bps

    def lots(self, cap: int) -> Terms:
        """How fees in foreign tokens are auctioned under a token's cap; UsageError where not."""
        usual = min(max(cap // _LOTS_IN_CAP, self.lot_least), PRICE_MAX)
        opening = usual if self.lot_opening is None else self.lot_opening
        if not 0 < self.lot_least <= opening <= PRICE_MAX:
            asked = f"{tokens(self.lot_least)} to {tokens(opening)}"
            raise unfit("what a lot asks at least and at most", asked, _LOT_NEED, _OTHERWISE)
        return Terms(
            lowest=self.lot_least,
            highest=opening,
            half_life=self.lot_half_life,
            factor_bps=self.lot_factor_bps,
        )

    def entry(self) -> tuple[int, int, int, int]:
        """The price of registering a node, in the registry's order."""
        rise = (self.entry_half_life, self.entry_factor_bps)
        return self.entry_least, self.entry_most, *rise

    def numbers(self) -> dict[str, int]:
        """What the descriptor of a network lists."""
        return {
            "epoch": self.epoch,
            "share_bps": self.share_bps,
            "schedule": self.plan().kind,
        }

    def _check_device(self) -> None:
        rule = self.device
        if not 0 <= rule.amount <= stake.AMOUNT_MAX:
            raise outside("stake_per_device", rule.amount, 0, stake.AMOUNT_MAX)
        if not 0 < rule.per <= stake.PER_MAX:
            need = f"1 to {stake.PER_MAX:,}"
            raise unfit("the devices that a stake is of", rule.per, need, _OTHERWISE)

    def _within(self, name: str, least: int, most: int) -> None:
        if not least <= (value := getattr(self, name)) <= most:
            raise outside(name, value, least, most)


def economy(model: str, period: int, *, schedule: Plan | None = None) -> Economy:
    """Defaults for a network with ``period`` seconds between proofs.

    A network in earnest settles by the week, so that most proofs of an epoch are not its first,
    which costs more. One to try things on settles every period; with periods under four minutes
    its roots leave time for fewer answers, since none can be shorter than a minute.
    """
    device = stake.PRESETS.get(model, {}).get(stake.COMPUTE, _FREE)
    devices, models = _UNSEEN.get(model, (1_500, 1_500))
    if period < 86_400:
        step = filecoin.EPOCH_SECONDS
        return Economy(
            model=model,
            schedule=schedule,
            epoch=max(-(-period // step) * step, _EPOCH_MIN),
            draw_window=1_000,
            root_window=max(_WINDOWS * period, _WINDOW_MIN),
            answer_window=max(_WINDOWS * period // _ROUNDS, _WINDOW_MIN),
            bond=1_000 * UNIT,
            devices_bps=devices,
            models_bps=models,
            lot_half_life=60,
            entry_half_life=60,
            device=device,
        )
    return Economy(
        model=model,
        schedule=schedule,
        epoch=7 * period,
        draw_window=52,
        root_window=(window := min(_WINDOWS * period, _WINDOW_MAX)),
        answer_window=window // _ROUNDS,
        bond=100_000 * UNIT,
        devices_bps=devices,
        models_bps=models,
        device=device,
    )
