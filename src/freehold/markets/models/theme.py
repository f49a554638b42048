"""What an epoch is about: a random generator that is the same for every validator of a subnet.

A scorer lets its tasks lean by it on some part of what it could ask, so that the models' true
scores move from epoch to epoch. Weights that were copied are an epoch old, and so worth less.

Threats and what meets them. A theme that is known beforehand: the hash of a block goes into it
that is mined after the epoch has begun. Another network's or subnet's theme: their ids go into it.
A node knows the theme as soon as validators do. That tells it what is asked more, of plain tasks,
canaries and probes alike, and never which of these a question is: that comes from the validator's
own generator.
"""

from __future__ import annotations

import numpy as np

from freehold.domain.ids import keccak

_DOMAIN = b"freehold theme 1"


def generator(*, network: bytes, subnet: int, epoch: int, block: bytes) -> np.random.Generator:
    """The theme of an epoch; ``network`` is the network's id, ``block`` a block's hash, 32 bytes
    each. The kind of generator is named, for numpy may change its default one."""
    parts = (_DOMAIN, network, subnet.to_bytes(32, "big"), epoch.to_bytes(32, "big"), block)
    return np.random.Generator(np.random.PCG64(int.from_bytes(keccak(b"".join(parts)), "big")))
