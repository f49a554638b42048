"""Claims of reward roots: each a leaf of a final root, paid up to what its account did not have: to
its payout, or to the stake behind a node that others than its owner share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from freehold.audit import frauds, inputs
from freehold.audit.events import Event
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.network import Network
from freehold.economics.trees import GRAIN

STAKING = "staking"


class Leaves:
    """Who was paid up to how many grains and where to; ``roots`` are the final ones by epoch."""

    def __init__(
        self, network: Network, *, registry: Address, staking: Address, counts: Counter[str],
        place: str = "roots",
    ) -> None:  # fmt: skip
        self._place, self._me = place, network.contracts[place]
        self._token = network.contracts["token"]
        self._registry, self._staking, self._counts = registry, staking, counts
        self.payout_of: Callable[[str], object] = lambda _: ZERO_ADDRESS
        self.owner_of: Callable[[str], object] = lambda _: ZERO_ADDRESS
        self.shared_by: Callable[[Address], bool] = lambda _: False
        self.roots: dict[int, int] = {}
        self.grains: Counter[Address] = Counter()
        self.paid = 0
        self.latest: tuple[Address, int] = (ZERO_ADDRESS, 0)
        self.hidden = 0
        self._payouts: dict[Address, Address] = {}
        self._elsewhere: Event | None = None
        self._claims: list[tuple[Address, int]] = []

    def payout(self, account: Address) -> Address:
        """Who gets the next rewards of an account."""
        if account in self._payouts:
            return self._payouts[account]
        named = ZERO_ADDRESS if self._registry == ZERO_ADDRESS else self.payout_of(account)
        return account if named == ZERO_ADDRESS else Address(str(named))

    def set_payout(self, event: Event) -> None:
        """An account's payout is named: by itself, or by its node's owner."""
        account, payout = event.address("account"), event.address("payout")
        spot = event.spot(self._place)
        caller = inputs.caller(event.transaction, self._me, self._place)
        wrong = payout in (ZERO_ADDRESS, self._me, self._token)
        spot.same("a wrong payout", expected=False, found=wrong)
        if caller is not None:
            allowed = caller in (account, self.owner_of(account))
            spot.same("the account or its owner", expected=True, found=allowed)
        self._payouts[account] = payout

    def see_payout(self, event: Event) -> None:
        """The next movement goes to another account than the one that earned it."""
        event.spot(self._place).same("the payment before", expected=None, found=self._elsewhere)
        self._elsewhere = event

    def claim(self, event: Event, final_total: int) -> None:
        """A movement of rewards: what an account did not have yet of all that it earned."""
        noted, to = self._elsewhere, event.address("recipient")
        account = to if noted is None else noted.address("account")
        event.same(self._place, "recipient", self.payout(account))
        self._pay(event, account, to, final_total)

    def share(self, event: Event, final_total: int) -> None:
        """What a node earned went to the stake behind it, by the staking contract's event."""
        told = self._elsewhere is not None
        event.spot(self._place).same("a claim of the node", expected=True, found=told)
        self._pay(event, event.address("node"), self._staking, final_total)

    def _pay(self, event: Event, account: Address, to: Address, final_total: int) -> None:
        noted, self._elsewhere = self._elsewhere, None
        amount, spot = event.number("amount"), event.spot(self._place)
        grains = self.grains[account] + amount // GRAIN
        spot.same("what is no whole grain", expected=0, found=amount % GRAIN)
        shared = self._staking != ZERO_ADDRESS and self.shared_by(account)
        spot.same("a payment to the stake", expected=shared, found=event.contract == STAKING)
        if noted is not None:
            noted.same(self._place, "account", account)
            noted.same(self._place, "payout", to)
            noted.same(self._place, "grains", grains)
        self._payouts[account] = self.payout(account)
        self.grains[account] = grains
        self.paid += amount
        within = self.paid <= final_total * GRAIN
        spot.same("claims within the final total", expected=True, found=within)
        self.latest = (account, grains)
        self._claims.append(self.latest)
        self._counts[f"claims of {self._place}"] += 1

    def finish(self, event: Event) -> None:
        """Differs unless each claim of a transaction is a leaf that its input proves."""
        claims, self._claims = self._claims, []
        event.spot(self._place).same("a payment elsewhere", expected=None, found=self._elsewhere)
        shown = set(frauds.shown_leaves(event.transaction, self.roots)) if claims else set()
        for account, grains in claims:
            if (account, grains) in shown:
                continue
            if event.transaction.to == self._me:
                what = f"the leaf of {account} in the input"
                raise event.spot(self._place).differs(what, expected=grains, found=sorted(shown))
            self.hidden += 1
