"""What a network asks of devices, of who buys their readings, and of watchers who agree on what
no contract can measure."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.money import UNIT
from freehold.ledger.figures import outside

SENSING = ("devices", "status", "automation", "streams")
"""Contracts that the governor lists beside the registry, since no other names them."""
DEVICE_FEE_MAX = 1_000 * UNIT
FEE_BPS_MIN, FEE_BPS_MAX = 100, 2_000
ROUND_MIN, ROUND_MAX = 10, 7 * 86_400
SEATS_MIN, SEATS_MAX = 3, 24
FLOOR_MAX = 4_999
TOLERANCE_BPS_MAX = 5_000
WATCHERS_MAX = 24
_STAKE_MAX = 2**88 - 1


@dataclass(frozen=True, slots=True)
class Sensing:
    """``device_fee`` base units burn when a device is enrolled, ``stream_fee_bps`` of each purchase
    of readings. Watchers agree in rounds of ``round_length`` seconds; one needs ``watcher_stake``
    of own stake, a committee has ``seats``, a score below ``floor`` has no weight, and values that
    differ by ``tolerance_bps`` of the median agree."""

    round_length: int
    device_fee: int = UNIT // 10
    stream_fee_bps: int = 500
    watcher_stake: int = 0
    seats: int = SEATS_MAX
    floor: int = 1_000
    tolerance_bps: int = 1_000

    @classmethod
    def of(cls, period: int, *, unbonding: int) -> Sensing:
        """Defaults for a network with ``period`` seconds between proofs: a round a period, of an
        hour at the most, and short enough that no stake counts in two places."""
        longest = min(max(period, 20), 3_600, unbonding // 2)
        return cls(round_length=max(longest // 2 * 2, ROUND_MIN))

    def check(self, *, unbonding: int) -> None:
        """UsageError naming the first figure that the contracts would refuse."""
        for name, least, most in (
            ("device_fee", 0, DEVICE_FEE_MAX),
            ("stream_fee_bps", FEE_BPS_MIN, FEE_BPS_MAX),
            ("round_length", ROUND_MIN, min(ROUND_MAX, unbonding // 2)),
            ("watcher_stake", 0, _STAKE_MAX),
            ("seats", SEATS_MIN, SEATS_MAX),
            ("floor", 0, FLOOR_MAX),
            ("tolerance_bps", 0, TOLERANCE_BPS_MAX),
        ):
            if not least <= (value := getattr(self, name)) <= most:
                raise outside(name, value, least, most)

    def rules(self) -> tuple[int, int, int, int]:
        """The parameters of ``status``, in their order."""
        return self.watcher_stake, self.seats, self.floor, self.tolerance_bps

    def numbers(self) -> dict[str, int]:
        """What the descriptor of a network lists."""
        return {"round_length": self.round_length, "stream_fee_bps": self.stream_fee_bps}
