"""Whose uid goes to the next newcomer once all are taken."""

from __future__ import annotations

from collections.abc import Sequence


def order(
    emission: Sequence[int], registered: Sequence[int], immune: Sequence[bool]
) -> tuple[int, ...]:
    """All uids, the next to go first.

    Those not immune first, then by lowest combined emission, oldest registration, lowest uid.
    """
    uids = range(len(emission))
    return tuple(sorted(uids, key=lambda uid: (immune[uid], emission[uid], registered[uid], uid)))
