"""The epoch's theme as the chain tells it: the hash of the first block that the epoch has.

Threats and what meets them. A block that a reorganisation takes back: nobody asks before the epoch
is ``SETTLES`` seconds old, so that others stand on it. An RPC that lags behind: it has no block of
this epoch yet, and never passes an earlier one off. A chain that rests while nobody uses it, as a
development network does: a validator that finds no block pays for one, with a transfer of nothing
to itself. Where nothing can be read there is no theme, and without a theme no round.
"""

from __future__ import annotations

import logging

import numpy as np

from freehold.domain.ids import Address, hex32
from freehold.markets.models import theme
from freehold.node.logs import fields
from freehold.node.validator.epochs import Epochs
from freehold.node.validator.ports import Chain

SETTLES = 36.0
"""Seconds of an epoch, three blocks of the slowest chains, in which its first block may still be
taken back; a sixteenth of an epoch where that is less."""
_log = logging.getLogger(__name__)


class Themes:
    """The themes of a subnet; one thread uses it."""

    def __init__(self, chain: Chain, subnet: int, node: Address, *, epochs: Epochs) -> None:
        """``node`` is the validator's own."""
        self._chain, self._subnet, self._node, self._epochs = chain, subnet, node, epochs
        self._woken = -1

    @property
    def settled(self) -> float:
        """Seconds into an epoch from which on its theme stays."""
        return min(SETTLES, self._epochs.length / 16)

    def of(self, epoch: int) -> np.random.Generator | None:
        """A fresh generator of the epoch that runs, always the same one; None while the chain has
        no block of it. UnavailableError, NotFoundError or IntegrityError where the chain cannot be
        read."""
        found = self._chain.first_block(self._epochs.start(epoch))
        if found is None:
            self._wake(epoch)
            return None
        return theme.generator(
            network=self._chain.network.network_id, subnet=self._subnet, epoch=epoch,
            block=hex32(found.hash),
        )  # fmt: skip

    def _wake(self, epoch: int) -> None:
        """Once an epoch: have a block mined."""
        if self._woken == epoch:
            return
        self._woken = epoch
        _log.info("the chain rests: a block is asked for", extra=fields(epoch=epoch))
        self._chain.transfer(self._node, 0)
