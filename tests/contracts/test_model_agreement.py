"""The audit's models, written from the protocol, against the contracts, written in Vyper."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from contracts.evm import CHAIN_ID, GENESIS_TIME, NETWORK_ID, Chain
from contracts.recording import address, plain
from contracts.scene import CHALLENGES, GRACE, PERIOD, WINDOW, Scene
from contracts.world import CAP, UNBONDING
from freehold.audit import claims
from freehold.audit.claims import Keys, Question
from freehold.audit.world import Models, same_account
from freehold.domain.network import Network

STEPS = 300
SEEDS = (1, 6, 12, 18, 24, 29)


def network_of(scene: Scene) -> Network:
    return Network(
        name="scene",
        chain_id=CHAIN_ID,
        network_id=NETWORK_ID,
        contracts={name: address(c.address) for name, c in scene.found.items()},
        parameters={},
        rpc_urls=("http://127.0.0.1:1",),
        deployed_block=0,
    )


def models_of(scene: Scene, counts: Counter[str]) -> Models:
    arguments = {
        "beacon": {"genesis_": GENESIS_TIME, "period": PERIOD, "grace_": GRACE},
        "pdp": {"challenges_": CHALLENGES, "window_": WINDOW},
        "staking": {"unbonding_period_": UNBONDING},
        "token": {"cap_": CAP},
        "registry": {"lowest_": 0, "highest_": 0, "half_life_": 0, "factor_bps_": 0},
    }
    return Models(network_of(scene), arguments.__getitem__, counts)


class Twin:
    """The contracts and the models side by side."""

    def __init__(self, seed: int) -> None:
        self.scene = Scene(Chain(), random.Random(seed))
        self.counts: Counter[str] = Counter()
        self.models = models_of(self.scene, self.counts)
        self.keys = Keys()
        self._seen = 0

    def follow(self) -> None:
        """Re-run in the models what happened in the contracts."""
        chain = self.scene.chain
        events = self.scene.recording.take()
        for event in events:
            self.keys.see(event)
            if event.contract == "beacon" and event.name == "Stored":
                for number in range(event.block - 4, event.block):
                    self.models.beacon.see(self.scene.recording.header(number))
        self.models.run(events)
        assert chain.now >= GENESIS_TIME

    def compare(self) -> int:
        """Every claim that an export would hold, against what the models say."""
        asked = 0
        for question in self.keys.questions():
            found: object = self._ask(question)
            expected = self.models.answer(question, self.scene.now)
            if question[:2] == ("payments", "account"):
                found = same_account(self._ask(question), self.scene.now)
            assert claims.plain(expected) == claims.plain(found), question
            asked += 1
        return asked

    def _ask(self, question: Question) -> list[object]:
        contract, view, arguments = question
        found = self.scene.found[contract].call(view, *arguments)
        return [plain(each) for each in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("seed", SEEDS)
def test_models_agree_with_the_contracts_on_random_histories(seed: int) -> None:
    twin = Twin(seed)
    twin.follow()
    for step in range(STEPS):
        twin.scene.step()
        twin.follow()
        if step % 50 == 49:
            assert twin.compare() > 40
    assert twin.counts["proofs"] > 10
    assert twin.counts["settlements"] > 2
