"""Copies are found among labelled models, and independent models are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from freehold.markets.models import copies as room
from freehold.markets.models.copies import Age, alike, copies, matured, probes_needed, unrefuted

Floats = room.Floats
PROBES, WIDTH = 32, 20


class Models:
    """Independent models of one task: what all have learnt, and what each made of it alone."""

    def __init__(self, seed: int, *, apart: float = 0.3) -> None:
        self.random = np.random.default_rng(seed)
        self.apart = apart
        self.common = self._weights()
        self.probes = self.random.normal(size=(PROBES, 6))

    def _weights(self) -> tuple[Floats, Floats]:
        return self.random.normal(size=(6, 30)), self.random.normal(size=(30, WIDTH))

    def answers(self) -> Floats:
        """Of a new model: softmax of what all share and its own, (probes, width)."""
        own = self._weights()
        first, last = (
            common + self.apart * mine for common, mine in zip(self.common, own, strict=True)
        )
        logits = np.tanh(self.probes @ first) @ last / 3
        found = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def relayed(self, answers: Floats, noise: float) -> Floats:
        """Another's answers with noise, in parts of their own spread."""
        spread = noise * answers.std(axis=0)
        return np.asarray(answers + spread * self.random.normal(size=answers.shape))


def ages(count: int) -> dict[int, Age]:
    return {uid: Age(float(uid)) for uid in range(count)}


def test_independent_models_are_never_accused() -> None:
    """200 rounds of 8 labelled models, 5,600 pairs, however near they are to each other."""
    for seed in range(200):
        models = Models(seed, apart=(0.1, 0.2, 0.4, 1.0)[seed % 4])
        answers = {uid: models.answers() for uid in range(8)}
        assert copies(answers, ages(8)) == {}


@pytest.mark.parametrize("noise", [0.0, 1e-7, 0.01, 0.03])
def test_who_relays_another_is_always_found(noise: float) -> None:
    for seed in range(50):
        models = Models(seed)
        answers = {uid: models.answers() for uid in range(7)}
        answers[7] = models.relayed(answers[seed % 7], noise)
        assert copies(answers, ages(8)) == {7: seed % 7}


def test_the_accusation_is_as_rare_as_it_says() -> None:
    """Were models to come near on as many probes as ``agreement`` allows, one in 10,000 rounds
    would accuse: the tail is exact, and the share of simulated rounds is within it."""
    random = np.random.default_rng(5)
    pairs, allowed = 28, room.ALARM
    tails = room._tails(PROBES, 0.5)[PROBES]
    assert tails[0] == pytest.approx(1)
    assert tails[PROBES] == pytest.approx(0.5**PROBES)
    hits = random.binomial(PROBES, 0.5, size=500_000)
    for least in (20, 24, 26):
        share = (hits >= least).mean()
        assert share == pytest.approx(tails[least], abs=4 * np.sqrt(tails[least] / len(hits)))
    accused = np.flatnonzero(tails < allowed / pairs)[0]
    assert pairs * tails[accused] < allowed


def test_a_majority_of_copies_is_found_as_well() -> None:
    models = Models(3)
    answers = {uid: models.answers() for uid in range(3)}
    answers |= {uid: models.relayed(answers[1], 0.01) for uid in range(3, 12)}
    assert copies(answers, ages(12)) == dict.fromkeys(range(3, 12), 1)


def test_the_younger_loses_whatever_its_uid() -> None:
    models = Models(4)
    answers = {3: models.answers(), 9: models.answers()}
    answers[5] = answers[9].copy()
    assert copies(answers, {3: Age(0), 5: Age(20), 9: Age(10)}) == {5: 9}
    assert copies(answers, {3: Age(0), 5: Age(10), 9: Age(20)}) == {9: 5}
    assert copies(answers, {3: Age(0), 5: Age(10), 9: Age(10)}) == {9: 5}


def test_neither_unit_nor_origin_matters() -> None:
    models = Models(6)
    answers = {uid: models.answers() for uid in range(4)}
    answers[4] = models.relayed(answers[2], 0.02)
    scaled = {uid: 1e6 * values - 5e5 for uid, values in answers.items()}
    assert copies(answers, ages(5)) == copies(scaled, ages(5)) == {4: 2}


def test_the_order_of_nodes_does_not_matter() -> None:
    models = Models(7)
    answers = {uid: models.answers() for uid in range(5)} | {5: models.answers()}
    answers[6] = answers[5].copy()
    found = copies(answers, ages(7))
    assert found == copies(dict(reversed(answers.items())), ages(7)) == {6: 5}


def test_those_who_answer_all_alike_copy_nobody() -> None:
    same = np.full((PROBES, WIDTH), 0.05)
    assert copies({1: same, 2: same.copy()}, ages(3)) == {}


def test_probes_without_an_answer_do_not_count() -> None:
    models = Models(8)
    first, second = models.answers(), models.answers()
    copy = first.copy()
    copy[: PROBES // 4] = np.nan
    assert copies({1: first, 2: second, 3: copy}, ages(4)) == {3: 1}
    copy[8:] = np.nan
    assert copies({1: first, 2: second, 3: copy}, ages(4)) == {}
    copy[:] = np.nan
    assert copies({1: copy, 2: copy}, ages(3)) == {}


@pytest.mark.parametrize("size", [1e9, 1e20, 1e100])
def test_one_far_out_hides_nobody_and_accuses_nobody(size: float) -> None:
    models = Models(11)
    answers = {uid: models.answers() for uid in range(4)}
    answers[4] = models.relayed(answers[1], 0.01)
    answers[5] = size * models.random.normal(size=answers[0].shape)
    assert copies(answers, ages(6)) == {4: 1}


def test_nothing_is_found_among_nobody() -> None:
    assert copies({}, {}) == copies({1: Models(1).answers()}, ages(2)) == {}
    assert copies({1: np.zeros((0, 4)), 2: np.zeros((0, 4))}, ages(3)) == {}


def test_what_is_needed_to_accuse_is_enough() -> None:
    for nodes in (2, 8, 64):
        count = probes_needed(nodes)
        answers = {uid: Models(uid).answers() for uid in range(nodes - 1)}
        answers[nodes - 1] = answers[0].copy()
        few = {uid: values[: count - 1] for uid, values in answers.items()}
        enough = {uid: values[:count] for uid, values in answers.items()}
        assert alike(few) == {}
        assert list(alike(enough)) == [(0, nodes - 1)]
    assert probes_needed(8, agreement=0.9) > 3 * probes_needed(8)


def test_a_node_is_as_old_as_its_quality() -> None:
    assert matured(5.0, [], 0.9) == 5
    assert matured(5.0, [(6.0, 0.9), (7.0, 0.75)], 0.9) == 5
    assert matured(5.0, [(6.0, 0.5), (7.0, 0.6), (8.0, 0.9)], 0.9) == 7
    assert matured(5.0, [(6.0, 0.5)], 0.0) == 5
    assert matured(5.0, [(6.0, 0.5), (7.0, 0.6)], 0.9) == float("inf")


@pytest.mark.parametrize("came", [3.5, 4.5])
def test_an_old_node_cannot_drive_out_a_newcomer_by_relaying_it(came: float) -> None:
    """Not even from its first round on, before which the old one was asked last."""
    models = Models(10)
    answers = {1: models.answers(), 2: models.answers()}
    answers[0] = models.relayed(answers[2], 0.01)
    old = Age(0.0, 0.9, [(3.0, 0.4), (4.0, 0.4)])
    assert copies(answers, {0: old, 1: Age(0.0), 2: Age(came, 0.9)}) == {0: 2}


def test_a_copy_does_not_become_the_older_one_by_staying() -> None:
    """Once the rounds are forgotten in which it was worse, all that are left are of both."""
    models = Models(13)
    own = models.answers()
    answers, both = {0: own, 2: own.copy()}, [(time, 0.9) for time in (5.0, 6.0)]
    known = {0: Age(0.0, 0.9, both), 2: Age(4.5, 0.9, both)}
    assert copies(answers, known, {0: 2}) == {0: 2}
    assert copies(answers, known, {2: 0}) == copies(answers, known) == {2: 0}
    stumbled = {0: known[0], 2: Age(4.5, 0.9, [*both, (7.0, 0.1)])}
    stumbled[0] = Age(0.0, 0.9, [*both, (7.0, 0.9)])
    assert copies(answers, stumbled, {0: 2}) == {2: 0}


def test_of_two_who_were_asked_together_the_worse_one_is_the_younger() -> None:
    """Rounds differ in what was asked, so only one round's qualities say anything of two nodes."""
    models = Models(12)
    own = models.answers()
    answers = {4: own, 1: own.copy()}
    hard = [(6.0, 0.5), (7.0, 0.9), (8.0, 0.45)]
    relay = [(6.0, 0.3), (7.0, 0.9), (8.0, 0.46)]
    assert copies(answers, {4: Age(5.0, 0.9, hard), 1: Age(0.0, 0.9, relay)}) == {1: 4}
    assert copies(answers, {4: Age(5.0, 0.9, hard), 1: Age(0.0, 0.9, hard)}) == {4: 1}
    assert copies(answers, {4: Age(5.0, 0.9, hard), 1: Age(9.0, 0.9)}) == {1: 4}


def relay_with(lost: int, shown: int = PROBES) -> dict[int, Floats]:
    """Three models and a relay (uid 3) of the first that failed on ``lost`` of ``shown`` probes."""
    models = Models(11)
    answers = {uid: models.answers() for uid in range(3)}
    answers[3] = answers[0].copy()
    answers[3][:lost] = 1 / WIDTH
    for own in answers.values():
        own[shown:] = np.nan
    return answers


@pytest.mark.parametrize(("lost", "shown"), [(0, 10), (1, 3), (4, 20)])
def test_a_short_or_stumbling_round_clears_no_copy(lost: int, shown: int) -> None:
    answers = relay_with(lost, shown)
    assert copies(answers, ages(4)) == {}
    assert unrefuted(answers, {3: 0}) == {3: 0}


def test_answers_of_its_own_clear_a_node() -> None:
    answers = relay_with(0)
    assert unrefuted(answers, {2: 0}) == {}
    assert unrefuted(answers, {3: 0}) == {3: 0}


def test_nothing_is_held_against_who_answers_while_the_other_is_silent() -> None:
    answers = relay_with(0)
    del answers[0]
    assert unrefuted(answers, {3: 0, 2: 7}) == {}
    assert unrefuted({}, {3: 0}) == {}
