"""Every token movement counted again: balances, supply, and the purpose that each one names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from freehold.audit.events import Event
from freehold.audit.report import Spot
from freehold.domain.ids import ZERO_ADDRESS, Address

CHECK = "balances"
FEE = 5

_Move = tuple[str, str, int]


class Balances:
    """The network's token: who holds what, what was minted and burned, and under which purpose."""

    def __init__(
        self, *, token: Address, payments: Address, contracts: Collection[Address], cap: int,
        counts: Counter[str],
    ) -> None:  # fmt: skip
        self._token = token
        self._payments = payments
        self._contracts = frozenset(contracts)
        self._cap = cap
        self._counts = counts
        self._held: dict[str, int] = {}
        self._minters: set[str] = set()
        self.minted = 0
        self.burned = 0
        self.by_purpose: Counter[int] = Counter()
        self._transfers: Counter[_Move] = Counter()
        self._named: Counter[_Move] = Counter()

    def of(self, owner: str) -> int:
        """What an account holds."""
        return self._held.get(owner, 0)

    @property
    def minters(self) -> frozenset[str]:
        """Who may mint."""
        return frozenset(self._minters)

    @property
    def supply(self) -> int:
        """What exists."""
        return self.minted - self.burned

    def apply(self, event: Event) -> None:
        """Re-run a transfer or role of the token."""
        if event.name == "Transfer":
            self._transferred(event)
        elif event.name == "MinterSet":
            change = self._minters.add if event.number("allowed") else self._minters.discard
            change(event.address("account"))

    def see_movement(self, event: Event) -> None:
        """Note a movement's purpose, by whichever contract names it."""
        purpose, sender = event.number("purpose"), event.address("sender")
        self.by_purpose[purpose] += event.number("amount")
        # A fee between accounts of the payments contract moves no token.
        inside = purpose == FEE and event.contract == "payments" and sender != self._payments
        if event.address("token") == self._token and not inside:
            move = (sender, event.address("recipient"), event.number("amount"))
            self._named[move] += 1

    def finish(self, spot: Spot) -> None:
        """Differs where a movement has no transfer, or a contract's transfer names no purpose."""
        unmoved = self._named - self._transfers
        spot.same("movements without a transfer", expected={}, found=dict(unmoved))
        ours = {m: n for m, n in self._transfers.items() if m[0] in self._contracts}
        unnamed = Counter(ours) - self._named
        spot.same("transfers without a purpose", expected={}, found=dict(unnamed))
        self._transfers.clear()
        self._named.clear()

    def check_supply(self, spot: Spot) -> None:
        """Differs unless the balances add up to what was minted less what was burned."""
        spot.same("the sum of balances", expected=self.supply, found=sum(self._held.values()))

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        if view == "balanceOf":
            return [self.of(str(arguments[0]))]
        found = {"totalSupply": self.supply, "minted": self.minted, "burned": self.burned}
        return [found[view]] if view in found else None

    def _transferred(self, event: Event) -> None:
        sender, receiver = event.address("sender"), event.address("receiver")
        value, spot = event.number("value"), event.spot(CHECK)
        if sender == ZERO_ADDRESS:
            self.minted += value
            spot.same("a minter named", expected=True, found=bool(self._minters))
            spot.same("minted within the cap", expected=True, found=self.minted <= self._cap)
        else:
            left = self.of(sender) - value
            spot.same("enough to send", expected=True, found=left >= 0)
            self._held[sender] = left
        if receiver == ZERO_ADDRESS:
            self.burned += value
        else:
            self._held[receiver] = self.of(receiver) + value
        self._transfers[sender, receiver, value] += 1
        self._counts["transfers"] += 1
