"""The token's economy in one model: what is minted, for which work, to whom it goes, what burns,
and the stake behind declared capacity.

A network may lack any of the six contracts: what is there is recomputed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from freehold.audit.auction import Auction
from freehold.audit.balances import Balances
from freehold.audit.burns import Burns
from freehold.audit.capacity import Capacity
from freehold.audit.claims import Question
from freehold.audit.deployment import integer
from freehold.audit.events import Event
from freehold.audit.issuance import Delays, Issuance
from freehold.audit.payments import Payments
from freehold.audit.proofs import Proofs
from freehold.audit.registry import Registry
from freehold.audit.report import Spot
from freehold.audit.rewards import Rewards
from freehold.audit.roots import PRIZES, ROOTS, Roots
from freehold.audit.stakes import Stakes
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.network import Network
from freehold.ledger.values import Value

Made = Callable[[str], Mapping[str, Value]]


class Economy:
    """Issuance, rewards, roots of devices and of models (``prizes``), auction and capacity of a
    network, None where there is none."""

    def __init__(
        self, network: Network, made: Made, *, balances: Balances, payments: Payments,
        proofs: Proofs, registry: Registry, stakes: Stakes, burns: Burns, counts: Counter[str],
        set_of: Callable[[Address], int],
    ) -> None:  # fmt: skip
        self._at, self._balances, self._payments = network.contracts, balances, payments
        self._registry, self._proofs, self._stakes = registry, proofs, stakes
        self._burns, self._set_of = burns, set_of
        self.issuance = self._issuance(made, counts) if "issuance" in self._at else None
        self.rewards = self._rewards(made, counts) if "rewards" in self._at else None
        self.roots = self._roots(network, made, counts, ROOTS)
        self.prizes = self._roots(network, made, counts, PRIZES)
        both = {ROOTS: self.roots, PRIZES: self.prizes}
        self.paying = {place: model for place, model in both.items() if model is not None}
        self.auction = self._auction(made, counts) if "auction" in self._at else None
        self.capacity = self._capacity(made, counts) if "capacity" in self._at else None
        self._connect()
        if self.rewards is not None and made("pdp").get("sink_") == self._at["rewards"]:
            self.rewards.period = integer(made("beacon"), "period")

    def apply(self, event: Event) -> None:
        """Re-run an event of any contract that the economy hears of."""
        route = {
            "issuance": self._emission, "rewards": self._work, ROOTS: self._root,
            PRIZES: self._root, "governor": self._governor, "token": self._token,
            "pdp": self._proof, "staking": self._stake, "auction": self._sale,
            "capacity": self._declaration,
        }.get(event.contract)  # fmt: skip
        if route is not None:
            route(event)

    def finish(self, event: Event) -> None:
        """Differs where a transaction promised what it did not do."""
        if self.issuance is not None:
            self.issuance.finish(event.spot("issuance"))
        if self.rewards is not None:
            self.rewards.finish(event.spot("rewards"))
        for roots in self.paying.values():
            roots.finish(event)
        if self.auction is not None:
            self.auction.finish(event.spot("auction"))
        if self.capacity is not None:
            self.capacity.finish(event.spot("capacity"))

    def check(self, spot: Spot) -> None:
        """Differs unless the contracts hold what they owe, and no more was minted than planned."""
        held, issuance = self._balances.of, self.issuance
        if issuance is not None:
            within = issuance.drawn_total <= issuance.progress.total
            spot.same("emission within the schedule", expected=True, found=within)
        if self.rewards is not None:
            owed = self.rewards.emitted - self.rewards.claimed
            covered = held(self._at["rewards"]) >= owed
            spot.same("rewards holding what was not claimed", expected=True, found=covered)
        for place, roots in self.paying.items():
            covered = held(self._at[place]) >= roots.funded - roots.leaves.paid
            spot.same(f"{place} holding what was not claimed", expected=True, found=covered)
            account = self._payments.accounts.get(self._at["token"], self._at[place])
            covered = account.funds >= roots.bonded
            spot.same(f"payments holding the bonds of {place}", expected=True, found=covered)

    def answer(self, question: Question) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        contract, view, arguments = question
        models = {
            "issuance": self.issuance, "rewards": self.rewards, **self.paying,
            "auction": self.auction, "capacity": self.capacity,
        }  # fmt: skip
        found = models.get(contract)
        return None if found is None else found.answer(view, arguments)

    def figures(self) -> dict[str, int]:
        """Sums that people ask for, base units."""
        found: dict[str, int] = {}
        if self.issuance is not None:
            found |= {"scheduled": self.issuance.progress.total, "emitted": self.issuance.minted}
        if self.rewards is not None:
            found["rewards claimed"] = self.rewards.claimed
        for place, roots in self.paying.items():
            found[f"{place} claimed"] = roots.leaves.paid
        if self.auction is not None:
            found["burned by sales"] = self.auction.burned
        return found

    def hidden(self) -> dict[str, int]:
        """How much of what could not be checked, since no log and no input tells it."""
        found: Counter[str] = Counter()
        if self.issuance is not None:
            found["power figures"] += self.issuance.hidden
        for place, roots in self.paying.items():
            found[f"{place} or disputes"] += roots.hidden
            found[f"claims of {place}"] += roots.leaves.hidden
        return dict(found)

    def notes(self) -> list[str]:
        """What happened and was not counted, by the network's own rules."""
        if self.rewards is None or not self.rewards.untold:
            return []
        count = self.rewards.untold
        return [f"proofs whose work did not arrive at the rewards, so that it counts not: {count}"]

    def mints(self) -> bool:
        """Whether the issuance may mint now."""
        return self._at.get("issuance") in self._balances.minters

    # Building

    def _issuance(self, made: Made, counts: Counter[str]) -> Issuance:
        me, cap = self._at["issuance"], integer(made("token"), "cap")
        delays = Delays(
            integer(made("governor"), "delay"), integer(made("staking"), "unbonding_period")
        )
        return Issuance(
            made("issuance"), free=lambda: cap - self._balances.minted, delays=delays,
            alone=lambda: self._balances.minters == {me}, counts=counts,
        )  # fmt: skip

    def _rewards(self, made: Made, counts: Counter[str]) -> Rewards:
        rewards = Rewards(made("rewards"), contract=self._at["rewards"], counts=counts)
        told = rewards.source
        Spot("rewards").same("the source of work", expected=self._at["pdp"], found=told)
        rewards.set_of = self._set_of
        rewards.prover_of = lambda number: self._proofs.sets[number].prover
        rewards.listener_of = lambda number: self._proofs.sets[number].listener
        rewards.payout_of, rewards.owner_of = self._registry.payout, self._registry.owner
        rewards.shared_by = self._stakes.shared
        self._stakes.payers[self._at["rewards"]] = rewards.owed_since
        rewards.burned_for = lambda market, payee: self._payments.burned_for[market, payee]
        return rewards

    def _roots(
        self, network: Network, made: Made, counts: Counter[str], place: str
    ) -> Roots | None:
        if place not in self._at:
            return None
        roots = Roots(network, made(place), counts, place=place)
        roots.leaves.payout_of, roots.leaves.owner_of = self._registry.payout, self._registry.owner
        roots.leaves.shared_by = self._stakes.shared
        return roots

    def _auction(self, made: Made, counts: Counter[str]) -> Auction:
        at = self._at
        return Auction(
            made("auction"), contract=at["auction"], token=at["token"], burns=self._burns,
            counts=counts,
        )  # fmt: skip

    def _capacity(self, made: Made, counts: Counter[str]) -> Capacity:
        at = self._at
        capacity = Capacity(
            made("capacity"), staking=at["staking"], registry=at["registry"], counts=counts
        )
        capacity.locked_by = lambda node: self._stakes.node(node).locked_by.get(at["capacity"], 0)
        capacity.short = self._short
        capacity.active = self._in_role
        return capacity

    def _short(self, name: str) -> bool:
        node = self._stakes.node(name)
        return node.locked > node.active.amount

    def _in_role(self, name: str, role: int) -> bool:
        entry = self._registry.nodes.get(name, {})
        roles = entry.get("roles")
        return isinstance(roles, int) and roles & role == role and not entry["retired"]

    def _connect(self) -> None:
        issuance, rewards = self.issuance, self.rewards
        if issuance is None or rewards is None:
            return
        issuance.powers[self._at["rewards"]] = rewards.backed
        if rewards.emission == self._at["issuance"]:
            rewards.drawable = self._drawable

    def _drawable(self, epoch: int, moment: int) -> int:
        issuance = self.issuance
        market = issuance.market_of.get(self._at["rewards"]) if issuance else None
        if issuance is None or market is None:
            return 0
        return issuance.drawable(market, epoch, moment)

    # Events

    def _emission(self, event: Event) -> None:
        if self.issuance is None:
            return
        self.issuance.apply(event)
        if event.name != "Drawn":
            return
        drawer = self.issuance.distributor(event.data("market"), event.time)
        for name, model in (("rewards", self.rewards), *self.paying.items()):
            if model is not None and drawer == self._at[name]:
                event.same("issuance", "to", drawer)
                model.see_draw(event)

    def _work(self, event: Event) -> None:
        if self.rewards is None:
            return
        self.rewards.apply(event)
        if event.name == "MarketSet":
            # Fees are those of this network's storage, whose sets its own ledger of nodes hears.
            for name, contract in {"market": "storage", "listener": "faults"}.items():
                event.same("rewards", name, self._at[contract])

    def _root(self, event: Event) -> None:
        if event.contract in self.paying:
            self.paying[event.contract].apply(event)

    def _sale(self, event: Event) -> None:
        if self.auction is not None:
            self.auction.apply(event)

    def _declaration(self, event: Event) -> None:
        if self.capacity is not None:
            self.capacity.apply(event)

    def _governor(self, event: Event) -> None:
        if self.issuance is not None:
            self.issuance.delays.apply(event)

    def _token(self, event: Event) -> None:
        if event.name != "Movement":
            return
        if self.issuance is not None and event.address("sender") == ZERO_ADDRESS:
            self.issuance.see_mint(event)
        burned = event.address("recipient") == ZERO_ADDRESS
        for place, roots in self.paying.items():
            if burned and event.address("sender") == self._at[place]:
                roots.see_burn(event)

    def _proof(self, event: Event) -> None:
        if self.rewards is None:
            return
        if event.name == "Proven":
            self.rewards.see_proof(event)
        elif event.name == "WorkUntold":
            self.rewards.see_untold(event)

    def _stake(self, event: Event) -> None:
        if event.name == "Rewarded":
            for payer in (self.rewards, *self.paying.values()):
                if payer is not None:
                    payer.see_shared(event)
        moved = event.name in ("Locked", "Unlocked")
        if self.capacity is not None and moved and event.address("locker") == self._at["capacity"]:
            self.capacity.see_lock(event)
