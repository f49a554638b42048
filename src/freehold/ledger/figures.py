"""A plan's figures as a founder knows them: the option that sets each, and its unit."""

from __future__ import annotations

from freehold.domain.errors import UsageError
from freehold.domain.money import show

SECONDS, SHARE, TOKENS, COUNT = "s", "%", "tokens", ""

_FIGURES = {
    "challenges": ("the challenges of a proof", COUNT),
    "unbonding": ("the time in which stake unbonds", SECONDS),
    "governor_delay": ("the governor's delay", SECONDS),
    "arbiter_timeout": ("the time that an arbiter has", SECONDS),
    "voucher_delay": ("the delay of vouchers", SECONDS),
    "fee_bps": ("--fee", SHARE),
    "burn_bps": ("--burn", SHARE),
    "epoch": ("--epoch", SECONDS),
    "draw_window": ("the epochs in which a closed one can be drawn", COUNT),
    "price": ("the price of a TiB-month whose fees back all of its bytes", TOKENS),
    "share_bps": ("the part of burned fees that owners earn", SHARE),
    "storage_bps": ("storage's part of --split", SHARE),
    "devices_bps": ("the devices' part of --split", SHARE),
    "models_bps": ("the models' part of --split", SHARE),
    "budget": ("what every --allocator may grant together", TOKENS),
    "root_window": ("the time in which a root can be disputed", SECONDS),
    "answer_window": ("the time to answer a dispute", SECONDS),
    "bond": ("the bond of roots", TOKENS),
    "lost_bond_bps": ("the part of a lost bond that rewards who disproved the root", SHARE),
    "lot_half_life": ("the time in which a lot's price halves", SECONDS),
    "lot_factor_bps": ("a lot's price after a sale", SHARE),
    "lot_least": ("the least sale of a lot", TOKENS),
    "entry_least": ("the least that registering a node costs", TOKENS),
    "entry_most": ("the most that registering a node costs", TOKENS),
    "entry_half_life": ("the time in which the price of registering halves", SECONDS),
    "entry_factor_bps": ("what a registration makes of the price", SHARE),
    "lot_opening": ("the most that a lot asks", TOKENS),
    "subnet_least": ("the least that creating a subnet costs", TOKENS),
    "subnet_most": ("the most that creating a subnet costs", TOKENS),
    "subnet_half_life": ("the time in which the price of a subnet halves", SECONDS),
    "subnet_factor_bps": ("what a new subnet makes of the price", SHARE),
    "subnet_lock": ("what a subnet locks", TOKENS),
    "subnet_notice": ("the epochs that closing a subnet takes", COUNT),
    "stake_per_device": ("--stake-per-device", TOKENS),
}  # fmt: skip
_UNKNOWN = "the network's "


def named(name: str) -> str:
    """What sets a figure, or what it is where no option does."""
    return _FIGURES.get(name, (_UNKNOWN + name, COUNT))[0]


def told(name: str, value: int) -> str:
    """A figure with its unit: seconds, percent of basis points, tokens of base units."""
    unit = _FIGURES.get(name, ("", COUNT))[1]
    if unit == TOKENS:
        return tokens(value)
    if unit == SHARE:
        return f"{value / 100:g} %"
    return f"{value:,} {unit}".rstrip()


def tokens(amount: int) -> str:
    """Base units as a founder reads them, every place of them."""
    return f"{show(amount, places=18)} tokens"


def misfit(name: str, value: int, need: str) -> UsageError:
    """The error for a figure that is not what it must be."""
    words = named(name)
    option = words.rsplit(" ", 1)[-1]
    remedy = "Change the plan; the presets' own figures fit."
    if option.startswith("--"):
        remedy = f"Give {option} otherwise, or leave it out: the preset's own figure fits."
    return unfit(words, told(name, value), need, remedy)


def outside(name: str, value: int, least: int, most: int) -> UsageError:
    """The error for a figure that is not ``least`` to ``most``."""
    return misfit(name, value, f"{told(name, least)} to {told(name, most)}")


def unfit(words: str, value: object, need: str, remedy: str) -> UsageError:
    """The error for anything else of a plan."""
    return UsageError(f"{words} is {value}, but must be {need}", remedy=remedy)
