"""The freeze rule as a law: whatever happens when, a round asks what its period started with.

The model knows only the rule: a round asks for the pieces that came in an earlier period and whose
removal was not requested in an earlier period; but a round whose period began while an earlier one
was owed leaves out only what the round before it left out. It keeps no totals, queues or cursors.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts import merkle
from contracts.evm import Chain
from contracts.proving import CHALLENGES, WINDOW, World
from contracts.world import refused


@dataclass(slots=True)
class Held:
    """A piece in the model: from when to when it is asked."""

    piece: merkle.Piece
    came: int
    left: int | None = None


class Freeze(RuleBasedStateMachine):
    """One set, its listener, a prover that is late, early or absent, and anyone who rolls."""

    @initialize()
    def start(self) -> None:
        self.net = World(Chain())
        self.net.to_period(1)
        self.prover = self.net.create()
        self.held: list[Held] = []
        self.rounds: list[int] = []
        self.stored: list[int] = []
        self.answered = 0
        self.misses: list[int] = []
        self.debt_at: dict[int, bool] = {}

    def gone(self, round_id: int) -> set[int]:
        """Ids of the pieces that a round leaves out because they were removed."""
        period = self.rounds[round_id]
        if self.debt_at.get(period):
            return self.gone(round_id - 1)
        return {
            i for i, each in enumerate(self.held) if each.left is not None and each.left < period
        }

    def asked(self, round_id: int) -> list[int]:
        """Ids of the pieces in a round."""
        gone, period = self.gone(round_id), self.rounds[round_id]
        return [i for i, each in enumerate(self.held) if each.came < period and i not in gone]

    def due(self) -> int:
        """The next round that asks for anything, or the number of rounds."""
        for round_id in range(self.answered, len(self.rounds)):
            if self.asked(round_id):
                return round_id
        return len(self.rounds)

    def owed(self) -> int:
        """Rounds past their deadline without an answer."""
        return sum(
            1
            for round_id in range(self.answered, len(self.rounds))
            if self.asked(round_id) and self.net.chain.now >= self.stored[round_id] + WINDOW
        )

    @rule(seed=st.integers(0, 40), size=st.sampled_from([31, 127, 300, 900]))
    def add(self, seed: int, size: int) -> None:
        piece = merkle.sample(seed, size)
        if self.owed():
            with refused("pdp: rounds owed"):
                self.net.add(self.prover, piece)
            return
        if self.net.pdp.call("waiting", self.prover.set_id)[1] > 8:
            self.net.roll(self.prover)
        piece_id = self.net.add(self.prover, piece)
        assert piece_id == len(self.held)
        self.held.append(Held(piece, self.net.period))

    @precondition(lambda self: any(each.left is None for each in self.held))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        there = [i for i, each in enumerate(self.held) if each.left is None]
        chosen = data.draw(st.sampled_from(there))
        self.net.remove(self.prover, chosen)
        self.held[chosen].left = self.net.period

    @precondition(lambda self: self.held)
    @rule()
    def remove_all(self) -> None:
        for piece_id, each in enumerate(self.held):
            if each.left is None:
                self.net.remove(self.prover, piece_id)
                each.left = self.net.period

    @rule(limit=st.integers(0, 3))
    def roll(self, limit: int) -> None:
        self.net.roll(self.prover, limit)

    @rule(periods=st.sampled_from([1, 1, 1, 2]), seed=st.booleans())
    def next_period(self, periods: int, seed: bool) -> None:
        self.net.to_period(self.net.period + periods)
        self.debt_at[self.net.period] = self.due() < len(self.rounds)
        if seed:
            self.make_round()

    @precondition(lambda self: self.net.period not in self.rounds)
    @rule()
    def make_round(self) -> None:
        offset = (self.net.chain.now - self.net.start(self.net.period)) % 1_000
        if offset > 150:
            return
        self.net.round()
        self.rounds.append(self.net.period)
        self.stored.append(self.net.chain.now)

    @rule()
    def pass_deadline(self) -> None:
        if self.rounds and self.rounds[-1] == self.net.period:
            until = self.stored[-1] + WINDOW
            if self.net.chain.now < until < self.net.start(self.net.period + 1):
                self.net.chain.warp_to(until)

    @precondition(lambda self: self.due() < len(self.rounds))
    @rule()
    def prove(self) -> None:
        round_id = self.due()
        while self.net.pdp.call("waiting", self.prover.set_id)[1]:
            self.net.roll(self.prover)
        live = [(i, self.held[i].piece.leaves) for i in self.asked(round_id)]
        span = sum(leaves for _, leaves in live)
        seed = self.net.beacon.call("round", round_id).seed
        proof = b""
        for i in range(CHALLENGES):
            drawn = merkle.challenge(seed, self.prover.set_id, i, span)
            piece_id, offset = merkle.locate(live, drawn)
            proof += self.held[piece_id].piece.proof(offset)
        outcome = self.net.prove(self.prover, round_id, proof).one("Proven")
        in_time = self.net.chain.now < self.stored[round_id] + WINDOW
        assert (outcome.span, outcome.in_time) == (span, in_time)
        if not in_time:
            self.misses.append(round_id)
        self.answered = round_id + 1

    @invariant()
    def the_schedule_is_the_models(self) -> None:
        call, set_id = self.net.pdp.call, self.prover.set_id
        due = self.due()
        assert call("next_round", set_id) == due
        assert call("owed", set_id) == self.owed()
        assert call("missed", set_id) == self.owed() + len(self.misses)
        period = self.net.period if due == len(self.rounds) else self.rounds[due]
        assert call("decided_until", set_id) == self.net.start(period)

    @invariant()
    def misses_are_kept(self) -> None:
        call, set_id = self.net.pdp.call, self.prover.set_id
        kept = [call("miss", set_id, i) for i in range(len(self.misses))]
        assert kept == self.misses
        last = self.answered
        assert call("good_rounds", set_id, 0, last) == last - len(self.misses)


TestFreeze = Freeze.TestCase
TestFreeze.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
