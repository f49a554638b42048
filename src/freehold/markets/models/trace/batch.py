"""The traces of all subnets under one root of rewards, and what that root pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.economics.trees import Tree
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.merkle import Merkle
from freehold.markets.models.trace.values import OWNER, Batch, Pay


@dataclass(frozen=True, slots=True)
class Bundle:
    """A batch with everything below it. ``traces``: subnet i + 1 at i."""

    batch: Batch
    traces: tuple[Built, ...]
    pays: tuple[Pay, ...]
    trace_tree: Merkle
    pay_tree: Merkle


def bundle(traces: Sequence[Built]) -> Bundle:
    """The batch of the subnets' traces, in the order of their ids."""
    pays = listed(traces)
    trace_tree = Merkle.of([built.trace.hash() for built in traces])
    pay_tree = Merkle.of([pay.hash() for pay in pays])
    batch = Batch(trace_tree.root, len(traces), pay_tree.root, len(pays))
    return Bundle(batch, tuple(traces), pays, trace_tree, pay_tree)


def listed(traces: Sequence[Built]) -> tuple[Pay, ...]:
    """Every cell that pays something, by account, subnet and uid."""
    found = [
        Pay(account, place + 1, uid, grains, 0)
        for place, built in enumerate(traces)
        for uid, account in holders(built)
        if (grains := built.grains(uid))
    ]
    made: list[Pay] = []
    for pay in sorted(found, key=Pay.rank):
        last = made[-1] if made and made[-1].account == pay.account else None
        before = last.before + last.grains if last else 0
        made.append(Pay(pay.account, pay.subnet, pay.uid, pay.grains, before))
    return tuple(made)


def holders(built: Built) -> list[tuple[int, Address]]:
    """Uids of a subnet with whom they pay, its owner last."""
    nodes = [(uid, node.account) for uid, node in enumerate(built.nodes)]
    return [*nodes, (OWNER, built.facts.owner)]


def grown(before: Mapping[Address, int], pays: Sequence[Pay]) -> dict[Address, int]:
    """Grains that accounts ever earned, from those of the root before and a list."""
    made = dict(before)
    for pay in pays:
        made[pay.account] = made.get(pay.account, 0) + pay.grains
    return made


def grains_of(tree: Tree | None) -> dict[Address, int]:
    """The accounts of a tree of rewards; none of no tree."""
    if tree is None:
        return {}
    leaves = (tree.leaf(index) for index in range(tree.count))
    return {leaf.account: leaf.grains for leaf in leaves}
