"""When devices report: how often and how late, since which start, and at which interval."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from freehold.telemetry.cleaning import Flags, Floats, Whole

_USUAL = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Pulse:
    """Of devices (n,), milliseconds: arrival of the latest batch, the usual time between two and
    from a reading to its arrival; batches so far; whether its clock is wrong; its newest boot (-1
    before any), the first reading since it started or changed its interval, and the interval that
    it told (0 before any)."""

    heard: Whole
    period: Floats
    delay: Floats
    count: Whole
    wrong: Flags
    boot: Whole
    began: Whole
    told: Floats

    @classmethod
    def empty(cls, devices: int) -> Pulse:
        """Of devices that have not been heard of."""
        whole, real = np.zeros((3, devices), np.int64), np.zeros((3, devices))
        return cls(
            whole[0], real[0], real[1], whole[1], np.zeros(devices, np.bool_),
            np.full(devices, -1), whole[2], real[2],
        )  # fmt: skip


def beaten(pulse: Pulse, arrived: Whole, delays: Floats, wrong: Flags, told: Floats) -> Pulse:
    """With batches that came ``arrived``, ``delays`` after they were read on average, sealed by
    ``wrong`` clocks or right ones, that told of intervals of ``told``, 0 where of none."""
    share = np.maximum(_USUAL, 1.0 / np.maximum(pulse.count, 1))
    passed = np.where(pulse.count > 0, arrived - pulse.heard, 0)
    late = np.where(pulse.count > 0, delays - pulse.delay, 0.0)
    period = pulse.period + share * np.where(pulse.count > 0, passed - pulse.period, 0)
    return replace(
        pulse,
        heard=arrived,
        period=np.maximum(told, period),
        delay=np.where(pulse.count > 0, pulse.delay + share * late, delays),
        count=pulse.count + 1,
        wrong=wrong,
    )


def begun(pulse: Pulse, boots: Whole, first: Whole, told: Floats) -> Pulse:
    """With what batches of ``boots``, read from ``first`` on, say of starts and intervals; one
    from before the newest start says nothing."""
    newest = boots >= pulse.boot
    changed = newest & (told > 0) & (told != pulse.told)
    return replace(
        pulse,
        boot=np.maximum(boots, pulse.boot),
        began=np.where((boots > pulse.boot) | changed, first, pulse.began),
        told=np.where(changed, told, pulse.told),
    )
