"""Fees in foreign tokens run again: the payments keep them until all go to the one auction."""

from __future__ import annotations

from freehold.audit.events import Event
from freehold.domain.ids import ZERO_ADDRESS, Address

CHECK = "payments"


class Fees:
    """What the payments contract keeps of each foreign token; ``listed`` is the auction that the
    network's descriptor names, None where it names none."""

    def __init__(self, listed: Address | None) -> None:
        self._listed = listed
        self.auction = ZERO_ADDRESS
        self.kept: dict[str, int] = {}

    def keep(self, token: str, amount: int) -> None:
        """Add a fee."""
        self.kept[token] = self.kept.get(token, 0) + amount

    def name_auction(self, event: Event) -> None:
        """Learn where fees go; Differs where that was known, or is not what the descriptor says."""
        spot = event.spot(CHECK)
        spot.same("the auction before", expected=ZERO_ADDRESS, found=self.auction)
        if self._listed is not None:
            event.same(CHECK, "auction", self._listed)
        self.auction = event.address("auction")

    def push(self, event: Event) -> None:
        """Let all fees of a token go; Differs where it is not all, or not to the auction."""
        token, spot = event.address("token"), event.spot(CHECK)
        spot.same("an auction that is named", expected=True, found=self.auction != ZERO_ADDRESS)
        event.same(CHECK, "recipient", self.auction)
        event.same(CHECK, "amount", self.kept.get(token, 0))
        spot.same("fees that were taken", expected=True, found=event.number("amount") > 0)
        self.kept[token] = 0
