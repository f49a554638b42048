"""The audit's models, written from the protocol, against the contracts, written in Vyper."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from contracts.evm import CHAIN_ID, GENESIS_TIME, NETWORK_ID, Chain, Contract, Reverted, Signer
from contracts.recording import address, plain
from contracts.scene import CHALLENGES, GRACE, NODES, OWNERS, PERIOD, WINDOW, Scene
from contracts.world import CAP, UNBONDING, alice, bob, carol, guardian
from freehold.audit import claims
from freehold.audit.claims import Keys, Question
from freehold.audit.events import Event
from freehold.audit.stakes import Request
from freehold.audit.world import Models, same_account
from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.network import Network

STEPS = 300
SEEDS = (1, 6, 12, 18, 24, 29)
STAKERS = (alice, bob, carol)
MOST = 10**30


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


class Shared(Twin):
    """Three of the nodes have delegators, and a payer that owes rewards from whatever moment."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        base, self.rng = self.scene.base, random.Random(seed)
        self.payer = base.puppet()
        self.since: int | None = None
        base.setup(self.staking, "set_evaluator", self.payer.address, True)
        for who in (*STAKERS, guardian):
            base.fund(who.address, 10**19)
            base.token.send("approve", self.staking.address, 10**19, sender=who.address)
        base.setup(self.staking, "set_slasher", self.payer.address, True)
        self.models.stakes.payers[address(self.payer.address)] = self._owed
        self.models.stakes.slashers[address(self.payer.address)] = self

    @property
    def staking(self) -> Contract:
        return self.scene.base.staking

    def _owed(self, _: str, moment: int) -> int:
        return moment if self.since is None else self.since

    def requested(self, event: Event) -> Request:
        """As a slasher it takes everything."""
        del event
        return Request(MOST, ZERO_ADDRESS, 0, ZERO_ADDRESS, 0)

    def live(self) -> None:
        """Something about the stake of a node, or something else."""
        who, node = self.rng.choice(STAKERS), self.rng.choice(NODES[:3])
        actions = [self._owe, self._join, self._join, self._leave, self._reward, self._reward,
                   self._claim, self._admit, self._else, self._else]  # fmt: skip
        action = self._ruin if self.rng.random() < 0.01 else self.rng.choice(actions)
        try:
            action(who, node.address)
        except Reverted:
            return

    def _owe(self, who: Signer, node: str) -> None:
        del who, node
        self.since = self.rng.choice([None, 0, self.scene.now - PERIOD, self.scene.now - 1])
        if self.since is None:
            self.payer.owe_nothing()
        else:
            self.payer.owe(self.since)

    def _join(self, who: Signer, node: str) -> None:
        amount = self.rng.choice([self.rng.randint(1, 99), self.rng.randint(1, 10**17)])
        self.staking.send("delegate", node, amount, sender=who.address)

    def _leave(self, who: Signer, node: str) -> None:
        held = int(self.staking.call("stake_of", who.address, node))
        self.staking.send("unbond", node, self.rng.randint(0, held), sender=who.address)

    def _reward(self, who: Signer, node: str) -> None:
        del who
        self.staking.send("reward", node, self.rng.randint(1, 10**15), sender=guardian.address)

    def _claim(self, who: Signer, node: str) -> None:
        self.staking.send("claim_rewards", node, sender=who.address)

    def _admit(self, who: Signer, node: str) -> None:
        self.staking.send("admit", node, sender=who.address)

    def _ruin(self, who: Signer, node: str) -> None:
        """A slash to nothing, after which the owner stakes anew."""
        self.payer.act(self.staking, "slash", node, MOST, ZERO_ADDRESS, 0, ZERO_ADDRESS, 0)
        owner = OWNERS[[each.address for each in NODES].index(node)].address
        self.scene._stake(owner, node, 10**17)

    def _else(self, who: Signer, node: str) -> None:
        del who, node
        self.scene.step()


@pytest.mark.parametrize("seed", [1, 2])
def test_models_agree_on_stake_that_waits(seed: int) -> None:
    twin, seen = Shared(seed), Counter[str]()
    twin.follow()
    for step in range(2 * STEPS):
        twin.live()
        events = list(twin.scene.recording.events)
        seen.update(each.name for each in events if each.contract == "staking")
        seen["waits"] += sum(each.number("waits") for each in events if each.name == "Staked")
        twin.follow()
        if step % 20 == 19:
            twin.compare()
    assert min(seen[name] for name in ("Admitted", "waits", "Unbonded", "Rewarded")) > 8
    assert max(node.active.generation for node in twin.models.stakes.nodes.values()) > 0
    assert seen["Staked"] > seen["waits"]
