"""Work that the verifier tells: how much, of which proofs, and that nothing it tells stops one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pytest

from contracts import merkle
from contracts.evm import ZERO, Chain, Contract, Outcome, Reverted, signer
from contracts.proving import CHALLENGES, PERIOD, WINDOW, Prover, World
from contracts.world import fake, refused

TAKES, REVERTS, BURNS, SHOUTS = range(4)
SINK_GAS = 150_000
SIZE = 20_000


@dataclass(frozen=True, slots=True)
class Heard:
    """A prover with one piece, and who hears of its work."""

    net: World
    sink: Contract
    prover: Prover
    piece: merkle.Piece

    def prove(self, *, gas: int = 10**7) -> Outcome:
        """Answer the next round, with so much gas."""
        number = self.net.pdp.call("next_round", self.prover.set_id)
        proof = self.prover.proof(number)
        data = self.net.pdp.data("prove", self.prover.set_id, number, proof)
        chain, pdp = self.net.chain, self.net.pdp
        return chain.transact(self.net.keeper, pdp.address, data, gas=gas)

    @property
    def work(self) -> int:
        return int(self.sink.call("work", self.prover.set_id))


def verifier(net: World, sink: str) -> Contract:
    by = net.keeper
    return net.chain.deploy("pdp", net.beacon.address, by, CHALLENGES, WINDOW, sink, sender=by)


def begin(chain: Chain, sink: str | None = None) -> Heard:
    net = World(chain)
    ear = chain.deploy_artifact(fake("sink"), sender=net.keeper)
    net.pdp = verifier(net, sink or ear.address)
    net.to_period(1)
    prover, piece = net.create(), merkle.sample(1, SIZE)
    net.add(prover, piece)
    net.next_round()
    return Heard(net, ear, prover, piece)


@pytest.fixture
def heard(chain: Chain) -> Heard:
    return begin(chain)


def test_a_proof_tells_a_periods_work_in_mib_seconds(heard: Heard) -> None:
    assert heard.net.pdp.call("sink") == heard.sink.address
    assert not heard.prove().named("WorkUntold")
    period = heard.piece.leaves * 32 * PERIOD // 2**20
    assert heard.work == period > 0
    heard.net.next_round()
    heard.prove()
    assert heard.work == 2 * period


def test_only_frozen_bytes_are_work(heard: Heard) -> None:
    heard.net.add(heard.prover, merkle.sample(2, SIZE))
    heard.prove()
    assert heard.work == heard.piece.leaves * PERIOD >> 15


def test_an_answer_that_is_too_late_is_no_work(heard: Heard) -> None:
    heard.net.chain.warp(WINDOW)
    assert not heard.prove().one("Proven").in_time
    assert heard.work == 0


@pytest.mark.parametrize("mode", [REVERTS, BURNS])
def test_a_sink_that_fails_stops_no_proof(heard: Heard, mode: int) -> None:
    heard.prove()
    heard.sink.send("set_mode", mode, sender=heard.net.keeper)
    heard.net.next_round()
    proven = heard.prove()
    assert proven.one("Proven").in_time
    lost = proven.one("WorkUntold")
    work = heard.piece.leaves * PERIOD >> 15
    assert (lost.set_id, lost.round, lost.work) == (heard.prover.set_id, 1, work)
    assert heard.work == work
    assert heard.net.pdp.call("good_rounds", heard.prover.set_id, 0, 2) == 2


def test_what_a_sink_can_burn_is_capped(heard: Heard) -> None:
    heard.prove()
    heard.net.next_round()
    fair = heard.prove().gas_used
    heard.sink.send("set_mode", BURNS, sender=heard.net.keeper)
    heard.net.next_round()
    assert heard.prove().gas_used < fair + SINK_GAS + 15_000


def test_what_a_sink_answers_is_not_looked_at(heard: Heard) -> None:
    heard.sink.send("set_mode", SHOUTS, sender=heard.net.keeper)
    assert not heard.prove().named("WorkUntold")
    assert heard.work > 0


def test_a_sink_without_code_stops_no_proof(chain: Chain) -> None:
    heard = begin(chain, signer("nobody").address)
    assert heard.prove().one("Proven").in_time
    assert heard.work == 0


def test_no_sink_is_told_nothing(chain: Chain) -> None:
    net = World(chain)
    assert verifier(net, ZERO).call("sink") == ZERO


def test_nobody_can_starve_the_sink(heard: Heard) -> None:
    """A stranger who hands in a proof brings the gas of the count, or the proof is refused."""
    chain, heeded = heard.net.chain, 0
    with chain.anchor():
        used = heard.prove().gas_used
    for spare in range(0, SINK_GAS + 30_000, 10_000):
        with chain.anchor(), suppress(Reverted):
            assert not heard.prove(gas=used + spare).named("WorkUntold")
            assert heard.work > 0
            heeded += 1
    assert 0 < heeded < 6
    with refused("pdp: bring more gas"):
        heard.prove(gas=used + 50_000)


def test_a_sets_parties_are_told(heard: Heard) -> None:
    pdp, set_id = heard.net.pdp, heard.prover.set_id
    assert pdp.call("prover", set_id) == heard.net.prover
    assert pdp.call("listener", set_id) == heard.net.listener
    assert (pdp.call("prover", 99), pdp.call("listener", 99)) == (ZERO, ZERO)
