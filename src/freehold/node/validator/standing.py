"""Whether a validator's stake is enough: for the subnet's least, and for a permit."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.domain.money import show
from freehold.ledger.contracts.subnet import GRAIN
from freehold.node.validator.field import look, records, stakes
from freehold.node.validator.ports import Chain


@dataclass(frozen=True, slots=True)
class Stand:
    """Base units: ``stake`` behind the validator, ``least`` that the subnet asks for, and
    ``permit``, which it has to exceed so that its weights count (0: any will do)."""

    stake: int
    least: int
    permit: int

    @property
    def needed(self) -> int:
        """What a validator without a lack has."""
        return max(self.least, self.permit + GRAIN, GRAIN)

    def warning(self, node: Address) -> str:
        """What is lacking and what to do, empty where nothing is."""
        if self.stake >= self.needed:
            return ""
        why = "the subnet asks for" if self.least >= self.permit else "a permit takes more than"
        bound = self.least if self.least >= self.permit else self.permit
        lacking = show(self.needed - self.stake, up=True).replace(",", "")
        if not (self.stake or bound):
            return (
                f"nothing is staked behind {node}: its weights do not count. "
                f"Stake some: freehold stake add {node} {lacking}"
            )
        return (
            f"{show(self.stake)} tokens are staked behind {node}, {why} {show(max(bound, GRAIN))}: "
            f"its weights do not count. Stake more: freehold stake add {node} {lacking}"
        )


def stand(chain: Chain, subnet: int, node: Address, *, epoch: int) -> Stand:
    """How a validator stands against those that were there in this epoch or the one before."""
    rules = chain.subnet.rules_at(subnet, epoch)
    members = look(chain, subnet)
    told = [
        records(chain, subnet, each, nodes=len(members)) for each in (epoch - 1, epoch) if each >= 0
    ]
    there = {uid for page in told for uid, record in enumerate(page) if record.stake}
    others = [
        m.seat.node for m in members if m.uid in there and m.validates and m.seat.node != node
    ]
    ranked = sorted(stakes(chain, others), reverse=True)
    full = len(ranked) >= rules.max_validators
    return Stand(
        stake=stakes(chain, [node])[0],
        least=rules.min_stake * GRAIN,
        permit=ranked[rules.max_validators - 1] if full else 0,
    )
