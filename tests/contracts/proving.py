"""A beacon and a verifier with an account as listener, and a prover that answers from trees."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts import merkle
from contracts.evm import GENESIS_TIME, ZERO, Chain, Contract, Outcome, signer

PERIOD, GRACE, WINDOW, CHALLENGES = 1_000, 200, 300, 5


@dataclass(slots=True)
class Prover:
    """What a prover of one set keeps: the pieces by id."""

    contract: Contract
    set_id: int
    pieces: dict[int, merkle.Piece] = field(default_factory=dict)

    def proof(self, round_id: int) -> bytes:
        """The answer to a round, from the contract's own list of what is asked."""
        asked = self.contract.call("challenged", self.set_id, round_id)
        return b"".join(self.pieces[each.piece_id].proof(each.offset) for each in asked)


class World:
    """Contracts and the keeper's routine."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.keeper = signer("keeper").address
        self.listener = signer("listener").address
        self.prover = signer("prover").address
        self.beacon = chain.deploy(
            "beacon", self.keeper, GENESIS_TIME, PERIOD, GRACE, sender=self.keeper
        )
        self.pdp = chain.deploy(
            "pdp", self.beacon.address, self.keeper, CHALLENGES, WINDOW, ZERO, sender=self.keeper
        )

    @property
    def period(self) -> int:
        return (self.chain.now - GENESIS_TIME) // PERIOD

    def start(self, period: int) -> int:
        return GENESIS_TIME + period * PERIOD

    def to_period(self, period: int, offset: int = 0) -> None:
        """Move on to a period; none of the ones between gets a round."""
        self.chain.warp_to(self.start(period) + offset)

    def round(self) -> int:
        """Make the round of the current period."""
        self.beacon.send("fix", self.period, sender=self.keeper)
        self.chain.warp(6, blocks=3)
        return int(self.beacon.send("store", self.period, sender=self.keeper).value)

    def next_round(self) -> int:
        """Go to the next period and make its round."""
        self.to_period(self.period + 1)
        return self.round()

    def create(self) -> Prover:
        """A new empty set."""
        set_id = self.pdp.send("create_set", self.prover, sender=self.listener).value
        return Prover(self.pdp, set_id)

    def add(self, prover: Prover, piece: merkle.Piece) -> int:
        """Add a piece to a set."""
        piece_id = int(
            self.pdp.send(
                "add_piece",
                prover.set_id,
                piece.root,
                piece.height,
                piece.leaves,
                sender=self.listener,
            ).value
        )
        prover.pieces[piece_id] = piece
        return piece_id

    def add_leaves(self, prover: Prover, leaves: int) -> int:
        """Add a piece of so many leaves that are never proven."""
        height = max(leaves - 1, 0).bit_length()
        arguments = (prover.set_id, bytes([1]) * 32, height, leaves)
        return int(self.pdp.send("add_piece", *arguments, sender=self.listener).value)

    def remove(self, prover: Prover, piece_id: int) -> Outcome:
        return self.pdp.send("remove_piece", prover.set_id, piece_id, sender=self.listener)

    def roll(self, prover: Prover, limit: int = 64) -> int:
        return int(self.pdp.send("roll", prover.set_id, limit, sender=self.keeper).value)

    def prove(self, prover: Prover, round_id: int, proof: bytes | None = None) -> Outcome:
        answer = prover.proof(round_id) if proof is None else proof
        return self.pdp.send("prove", prover.set_id, round_id, answer, sender=self.prover)

    def late(self) -> None:
        """Move past the deadline of the round of this period."""
        self.chain.warp(WINDOW)
