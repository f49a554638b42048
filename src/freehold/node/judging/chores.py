"""The chores of a watcher about the roots that pay model nodes."""

from __future__ import annotations

from functools import partial

from freehold.audit.competing import Court
from freehold.domain.keys import Key
from freehold.ledger.ledger import Ledger
from freehold.node.judging.challenger import Challenger
from freehold.node.judging.cosigner import Cosigner
from freehold.node.judging.source import proposer, proposers
from freehold.node.loops import Chore

CONTRACTS = frozenset({"prizes", "subnet", "disputes"})
STEPS, SLOWEST = 32, 30.0
"""Steps within the shortest time that they must not miss, and seconds between two at most."""


def chores(ledger: Ledger, key: Key) -> list[Chore]:
    """Of the cosigner and the challenger; none in a network without a model market."""
    if not ledger.network.contracts.keys() >= CONTRACTS:
        return []
    court, rules = Court(ledger), ledger.prizes.parameters()
    length = ledger.prizes.epoch_length()
    cosigner = Cosigner(ledger, key, court, sources=partial(proposers, ledger, within=length))
    challenger = Challenger(ledger, court, source=partial(proposer, ledger, within=rules.window))
    signing = often(length)
    return [
        Chore("prize cosigner", cosigner.step, signing),
        Chore("challenger", challenger.step, often(rules.window)),
    ]


def often(seconds: int) -> float:
    """Seconds between two steps that must not miss a span of so many."""
    return max(1.0, min(SLOWEST, seconds / STEPS))
