"""What an account got for an epoch, reckoned while a verification goes by."""

from __future__ import annotations

from freehold.audit.blocks import Block
from freehold.audit.events import Event
from freehold.audit.payout import Payout
from freehold.audit.roots import PRIZES, ROOTS
from freehold.audit.standing import Standing
from freehold.audit.workings import Workings
from freehold.audit.world import Models
from freehold.domain.errors import NotFoundError, UsageError
from freehold.domain.ids import address

MOST_EPOCHS = 2**28


class Reckoner:
    """An observer of a verification; ``payouts`` tells at its end.

    ``account`` is the number of a set, or the address of a node, an owner or a payout. UsageError
    where it is neither, or the epoch cannot be.
    """

    def __init__(self, account: str, epoch: int) -> None:
        if not 0 <= epoch < MOST_EPOCHS:
            raise UsageError(
                f"{epoch} is no epoch", remedy="Epochs count from 0, the one of the genesis."
            )
        self._account, self._epoch = account, epoch
        self._models: Models | None = None
        self._now = 0
        self._parts: list[Workings | Standing]
        if account.isascii() and account.isdigit():
            self._parts = [Workings(int(account), epoch)]
        else:
            named = address(account)
            roots = [Standing(named, epoch, place=place) for place in (ROOTS, PRIZES)]
            self._parts = [Workings(named, epoch), *roots]

    def see(self, event: Event, block: Block, models: Models) -> None:
        """Take an event that the models have re-run."""
        self.hear(event, block.header.timestamp, models)

    def hear(self, event: Event, now: int, models: Models) -> None:
        """As ``see``, in a block of that time."""
        self._models, self._now = models, now
        for part in self._parts:
            part.see(event, models)

    def payouts(self, now: int = 0) -> list[Payout]:
        """What there is to say of each set and root at a moment; NotFoundError where the network
        pays no rewards."""
        models = self._models
        economy = None if models is None else models.economy
        if models is None or economy is None or (economy.rewards or economy.roots) is None:
            raise NotFoundError(
                "this network pays no rewards",
                remedy="Ask in a network that was created with a token model.",
            )
        moment = max(now, self._now)
        found = [each for part in self._parts for each in part.payouts(models, moment)]
        if found:
            return found
        return [Payout(self._account, self._epoch, 0, 0, "no set of this network is its", ())]
