"""The model market, run again: subnets beside the roots that pay their nodes, and their judge."""

from __future__ import annotations

from collections import Counter

from freehold.audit import disputes
from freehold.audit.burns import Burns
from freehold.audit.claims import Question
from freehold.audit.disputes import Disputes
from freehold.audit.economy import Economy, Made
from freehold.audit.events import Event
from freehold.audit.registry import Registry
from freehold.audit.report import Spot
from freehold.audit.stakes import Stakes
from freehold.audit.subnets import CHECK, Subnets
from freehold.domain.ids import Address
from freehold.domain.network import Network


class Modeling:
    """Subnets and disputes of a network, None where there are none."""

    def __init__(
        self, network: Network, made: Made, *, registry: Registry, stakes: Stakes,
        economy: Economy, burns: Burns, counts: Counter[str],
    ) -> None:  # fmt: skip
        self._at, self._economy, self._registry = network.contracts, economy, registry
        self.subnets = (
            Subnets(network, made(CHECK), burns=burns, counts=counts) if CHECK in self._at else None
        )
        self.disputes = self._judge(network, made, counts)
        if self.subnets is not None:
            self._connect(self.subnets, stakes)

    def apply(self, event: Event) -> None:
        """Re-run an event of any contract that these hear of."""
        subnets, judge = self.subnets, self.disputes
        if judge is not None and event.contract == disputes.CHECK:
            judge.apply(event)
        elif judge is not None and event.contract == "prizes":
            judge.see_roots(event)
        if subnets is None:
            return
        name, me = (event.contract, event.name), self._at[CHECK]
        if event.contract == CHECK:
            subnets.apply(event)
        elif name == ("issuance", "Drawn") and event.address("to") == me:
            subnets.see_draw(event)
        elif name == ("prizes", "Funded") and event.address("sender") == me:
            subnets.see_funding(event)

    def finish(self, event: Event) -> None:
        """Differs where a transaction promised what it did not do."""
        if self.subnets is not None:
            self.subnets.finish(event.spot(CHECK))
        if self.disputes is not None:
            self.disputes.finish(event.spot(disputes.CHECK))

    def check(self, spot: Spot, held: int) -> None:
        """Differs unless the subnets, who hold so many base units, hold what they owe."""
        if self.subnets is not None:
            covered = held >= self.subnets.locked + self.subnets.waiting
            spot.same("subnets holding locks and grants", expected=True, found=covered)

    def answer(self, question: Question) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        contract, view, arguments = question
        found = {CHECK: self.subnets, disputes.CHECK: self.disputes}.get(contract)
        return None if found is None else found.answer(view, arguments)

    def figures(self) -> dict[str, int]:
        """Sums that people ask for, base units and counts."""
        if self.subnets is None:
            return {}
        return {"subnets": len(self.subnets.subnets), "burned by subnets": self.subnets.burned}

    def hidden(self) -> dict[str, int]:
        """How much of what could not be checked, since no log and no input tells it."""
        if self.subnets is None:
            return {}
        return {"reveals of validators": self.subnets.weights.hidden}

    def _judge(self, network: Network, made: Made, counts: Counter[str]) -> Disputes | None:
        prizes = self._economy.prizes
        if disputes.CHECK not in self._at or prizes is None:
            return None
        return Disputes(network, made(disputes.CHECK), prizes=prizes, counts=counts)

    def _connect(self, subnets: Subnets, stakes: Stakes) -> None:
        subnets.owner_of = self._registry.owner
        subnets.in_role = self._in_role
        if self.disputes is not None:
            subnets.prune_of = self.disputes.prune
        subnets.weights.stake_of = lambda node: stakes.node(node).active.amount
        prizes = self._economy.prizes
        if prizes is not None:
            subnets.prize_rules = lambda: prizes.rules
        if self._economy.issuance is not None:
            subnets.drawable = self._drawable

    def _in_role(self, name: str, role: int) -> bool:
        entry = self._registry.nodes.get(name, {})
        roles = entry.get("roles")
        return isinstance(roles, int) and roles & role == role and not entry["retired"]

    def _drawable(self, epoch: int, moment: int) -> int:
        """What subnets may draw of an epoch, 0 where another draws for their market, or the
        issuance may not mint."""
        issuance, me = self._economy.issuance, Address(self._at[CHECK])
        market = None if issuance is None else issuance.market_of.get(me)
        if issuance is None or market is None or issuance.distributor(market, moment) != me:
            return 0
        if not self._economy.mints():
            return 0
        return issuance.drawable(market, epoch, moment) if epoch < len(issuance.epochs) else 0
