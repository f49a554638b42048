"""What a node asks the chain before it takes something in, in one exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.ledger.contracts.base import convert, convert_list
from freehold.ledger.contracts.faults import NodeState
from freehold.ledger.contracts.registry import STORAGE
from freehold.ledger.values import Value, View


@dataclass(frozen=True, slots=True)
class Look:
    """A storage node, and a client of it: whether the node is registered for storage, what the
    market knows of it, its free stake, and the client's money (base units of the network's
    token): what payments holds for it and is not locked, and what it holds itself."""

    registered: bool
    state: NodeState
    free_stake: int
    money: int


class Asker(Protocol):
    """What can be asked several things at once."""

    @property
    def network(self) -> Network:
        """The network's descriptor."""

    def call_many(self, views: Sequence[View]) -> list[Value]:
        """The answers to all ``views``."""


def look(asker: Asker, node: Address, account: Address) -> Look:
    """A node and a client as of now; errors as those of the ledger's ``call``."""
    token = asker.network.contracts["token"]
    registered, state, free, status, balance = asker.call_many(
        [
            View("registry", "active", (node, STORAGE)),
            View("faults", "node_state", (node,)),
            View("staking", "free", (node,)),
            View("payments", "status", (token, account)),
            View("token", "balanceOf", (account,)),
        ]
    )
    _, available, _ = convert_list(int, status)
    return Look(
        convert(bool, registered),
        convert(NodeState, state),
        convert(int, free),
        available + convert(int, balance),
    )
