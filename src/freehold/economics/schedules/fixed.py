"""Numbers with 128 binary places (Q.128): products, powers and exp(-x), rounded down.

``exp_negative`` is the rational function of Filecoin's reward actor (builtin-actors,
actors/reward/src/expneg.rs): a Padé quotient of degrees 7 and 13, evaluated by Horner's rule with
a floor at every step. It falls strictly up to x = 16 and turns negative beyond 16.8, so callers
stop at ``REACH``.
"""

from __future__ import annotations

from collections.abc import Sequence

PLACES = 128
ONE = 1 << PLACES
REACH = 16 * ONE
"""The largest x that ``exp_negative`` is asked for; larger ones count as this one."""

_NUMERATOR = (
    -648770010757830093818553637600,
    67469480939593786226847644286976,
    -3197587544499098424029388939001856,
    89244641121992890118377641805348864,
    -1579656163641440567800982336819953664,
    17685496037279256458459817590917169152,
    -115682590513835356866803355398940131328,
    ONE,
)
_DENOMINATOR = (
    1225524182432722209606361,
    114095592300906098243859450,
    5665570424063336070530214243,
    194450132448609991765137938448,
    5068267641632683791026134915072,
    104716890604972796896895427629056,
    1748338658439454459487681798864896,
    23704654329841312470660182937960448,
    259380097567996910282699886670381056,
    2250336698853390384720606936038375424,
    14978272436876548034486263159246028800,
    72144088983913131323343765784380833792,
    224599776407103106596571252037123047424,
    ONE,
)


def times(left: int, right: int) -> int:
    """The product of two Q.128 numbers, or of one with an integer, rounded down."""
    return (left * right) >> PLACES


def power(base: int, exponent: int) -> int:
    """``base ** exponent`` by squaring, lowest bit first; ``base`` at most about ``ONE``."""
    result = ONE
    while exponent:
        if exponent & 1:
            result = times(result, base)
        base = times(base, base)
        exponent >>= 1
    return result


def exp_negative(x: int) -> int:
    """exp(-x) for a Q.128 ``x`` of at least 0, taken as ``REACH`` where it is larger."""
    x = min(x, REACH)
    return (_horner(_NUMERATOR, x) << PLACES) // _horner(_DENOMINATOR, x)


def _horner(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in coefficients:
        value = times(value, x) + coefficient
    return value
