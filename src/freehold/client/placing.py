"""Which nodes an object goes to, and what that costs."""

from __future__ import annotations

from freehold.client.chain import Chain
from freehold.client.peers import Peers
from freehold.client.quote import Policy, Quote, make_quote, stake_needed
from freehold.control.placement import Candidate, Need, Placement, place
from freehold.domain.ids import Address
from freehold.markets.storage.column import ColumnLayout


class Placing:
    """Chooses nodes under a client's policy."""

    def __init__(self, chain: Chain, peers: Peers, policy: Policy) -> None:
        self._chain, self._peers = chain, peers
        self.policy = policy

    def plan(self, layout: ColumnLayout, *, term: int, seed: bytes) -> Placement:
        """The nodes that would hold the columns; CapacityError explains when too few would."""
        need = self._need(layout, term=term, seed=seed, columns=layout.n)
        return place(self._peers.candidates(), need)

    def quote(self, size: int, layout: ColumnLayout, term: int, chosen: Placement) -> Quote:
        """What an object of ``size`` bytes costs on the chosen nodes for ``term`` seconds."""
        return make_quote(
            size=size,
            column=layout.total,
            shape=(layout.k, layout.n),
            term=term,
            chosen=chosen.chosen,
            terms=self._chain.terms(),
            funds=self._chain.funds(),
            policy=self.policy,
        )

    def repair_fee(self, columns: int) -> int:
        """What a repair of a deal of ``columns`` columns is paid at the present price of gas."""
        return self.policy.fee(columns, self._chain.funds().gas_price)

    def barred(self) -> set[Address]:
        """Nodes that may take nothing new, as of now."""
        return {c.node for c in self._peers.candidates(fresh=True) if c.barred}

    def spares(
        self, layout: ColumnLayout, *, term: int, seed: bytes, used: frozenset[Address]
    ) -> list[Candidate]:
        """Nodes whose owners own none of ``used``, best first; CapacityError without any."""
        candidates = self._peers.candidates(fresh=True)
        owners = {c.owner for c in candidates if c.node in used}
        fitting = [c for c in candidates if c.node not in used and c.owner not in owners]
        placement = place(fitting, self._need(layout, term=term, seed=seed, columns=1))
        return [*placement.chosen, *placement.spares]

    def _need(self, layout: ColumnLayout, *, term: int, seed: bytes, columns: int) -> Need:
        return Need(
            columns=columns,
            size=layout.total,
            term=term,
            max_price=self.policy.max_price,
            stake=stake_needed(layout.total, self._chain.terms()),
            seed=seed,
            per_owner=self.policy.per_owner,
        )
