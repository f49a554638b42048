"""What answering a round costs in sets of one piece to ten thousand: the sum tree's share."""

from __future__ import annotations

from collections.abc import Sequence

from bench.chain import Receipt, account
from bench.network import Network, Node, fresh
from bench.pieces import Pattern, pattern
from bench.revm import Revm
from bench.story import COLUMN, Spread, seed_of, spread

SIZES = (1, 10, 100, 1_000, 10_000)
ROUNDS = 8


def measure(
    sizes: Sequence[int] = SIZES, *, rounds: int = ROUNDS, column: int = COLUMN
) -> list[Spread]:
    """A set of each size under a listener of its own, through several rounds; ``column`` in bytes.

    The first round of a set is left out: only it writes to fresh storage.
    """
    chain = Revm()
    network = fresh(chain)
    piece = pattern(1, column)
    nodes = [_set(chain, network, piece, size) for size in sizes]
    proofs: list[list[Receipt]] = [[] for _ in sizes]
    for number in range(rounds + 1):
        network.next_round()
        network.choose_seed(number, seed_of(number))
        for node, found in zip(nodes, proofs, strict=True):
            found.append(network.prove(node, number))
    return [spread(size, found[1:]) for size, found in zip(sizes, proofs, strict=True)]


def _set(chain: Revm, network: Network, piece: Pattern, size: int) -> Node:
    listener = account("listener")
    prover = account(f"prover of {size}")
    pdp = network.on.pdp
    receipt = pdp.send("create_set", prover.address, by=listener.address)
    set_id = pdp.event(receipt, "SetCreated").number("set_id")
    arguments = (set_id, piece.root, piece.height, piece.leaves)
    with chain.unmetered():
        for _ in range(size):
            pdp.send("add_piece", *arguments, by=listener.address)
    return Node(prover, listener, set_id, dict.fromkeys(range(size), piece))
