"""Roots of nothing but true leaves that nobody else could have made, and other ways around."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from random import Random
from typing import Any

import pytest

from contracts.cheating import LIES, recounted, repaid
from contracts.disputed import Court, History, deploy_court, start, tree_of
from contracts.evm import Chain
from contracts.roots import proposer
from contracts.subnets import founder
from contracts.test_disputes import (
    LEAF,
    PAY,
    TRACE,
    demand,
    deploy_field,
    opening,
    played,
)
from contracts.test_disputes_laws import THIEF, shown, stands
from contracts.world import TOKEN, guardian, mallory, refused
from freehold.domain.errors import IntegrityError
from freehold.domain.ids import Address, address
from freehold.economics import trees
from freehold.economics.trees import GRAIN, Tree
from freehold.markets.models.trace.batch import Bundle, bundle, grains_of, grown
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.claims import Claim, first_difference, growth, prune_list
from freehold.markets.models.trace.merkle import Merkle
from freehold.markets.models.trace.proofs import Case, Root
from freehold.markets.models.trace.served import Served, ServedTrace, read, serve
from freehold.markets.models.trace.values import EMPTY, OWNER
from unit.markets.models.trace.chance import LENGTH, OWNERS, Competition, contract_rules

JUNK = b"\x99" * 32
SEED, MOST = 5, 2**256 - 1


def begun(chain: Chain) -> tuple[History, int, Bundle]:
    """Three subnets with an honest root, and the true batch of the next epoch."""
    history = start(deploy_court(chain), SEED, 3)
    for _ in range(2):
        epoch, facts = history.facts()
        own = history.own(facts)
        if not history.past:
            history.accept(history.propose(epoch, own, own))
    return history, epoch, own


def told(history: History, epoch: int, own: Bundle, batch: Bundle, shown: Served) -> Case:
    """A root over a batch that is not what it should be."""
    tree = tree_of(grown(history.before, own.pays))
    header = history.court.propose(epoch, batch, tree)
    return Case(header, shown, own, tree, history.past)


def served(built: Built) -> ServedTrace:
    """A trace as its proposer would serve it."""
    return ServedTrace(
        built.trace,
        built.leaves,
        built.permit_words(),
        built.member_words(),
        tuple(built.weight_words(uid) for uid in range(len(built.weights))),
        built.tree,
    )


def shown_of(batch: Bundle) -> Served:
    """A batch as its proposer would serve it."""
    traces = tuple(map(served, batch.traces))
    return Served(batch.batch, traces, batch.pays, batch.trace_tree, batch.pay_tree)


def padded(leaves: Sequence[bytes]) -> Merkle:
    """A tree in which something stands behind the last leaf."""
    assert len(leaves) & (len(leaves) - 1), "no room behind"
    return Merkle.of([*leaves, JUNK])


def hiding(own: Bundle, kind: int) -> Bundle:
    """The same leaves, with something behind the last one of a tree."""
    if kind == LEAF:
        built = own.traces[0]
        tree = padded([leaf.hash() for leaf in built.leaves])
        trace = replace(built.trace, nodes=tree.root)
        return recounted(own, [replace(built, trace=trace, tree=tree), *own.traces[1:]])
    if kind == TRACE:
        tree = padded([built.trace.hash() for built in own.traces])
        return replace(own, batch=replace(own.batch, subnets=tree.root), trace_tree=tree)
    tree = padded([pay.hash() for pay in own.pays])
    return replace(own, batch=replace(own.batch, cells=tree.root), pay_tree=tree)


def silent(court: Court, case: Case, id: int) -> None:
    """A demand that nobody answered makes the root void."""
    court.chain.warp(301)
    done = court.disputes.send("expire", id, case.header.words(), sender=mallory.address)
    assert done.one("Voided").reason == "not served"
    assert court.take_bond(case).one("BondLost").proposer == proposer.address


@pytest.mark.parametrize("kind", [LEAF, TRACE, PAY])
def test_nothing_hides_behind_the_last_leaf(chain: Chain, kind: int) -> None:
    """Every leaf is true, so nothing could be disproved; nobody could build on it either."""
    history, epoch, own = begun(chain)
    batch = hiding(own, kind)
    case = told(history, epoch, own, batch, shown_of(batch))
    with pytest.raises(IntegrityError):
        read(serve(batch), case.header.data)
    assert first_difference(own, case.served) is None
    last = {LEAF: own.traces[0].trace.count, TRACE: 2, PAY: len(own.pays) - 1}[kind]
    trace = last if kind == TRACE else 0
    for index in (0, last):
        at = index if kind == TRACE else 0
        id = demand(history.court, case, kind, at, index)
        answer = list(opening(case, kind, index))
        answer[0] = case.place(Claim("count", at))
        sent = ("answer", id, case.header.words(), tuple(answer))
        if index == 0:
            history.court.disputes.send(*sent, sender=mallory.address)
            continue
        with refused("disputes: something behind"):
            history.court.disputes.send(*sent, sender=mallory.address)
    assert trace == at
    silent(history.court, case, id)


@pytest.mark.parametrize("name", ["node", "raw", "column", "bond", "cell"])
def test_nothing_stands_where_nothing_follows(chain: Chain, name: str) -> None:
    history, epoch, own = begun(chain)
    built = own.traces[1]
    last = other(built.leaves[-1], name, JUNK)
    leaves = (*built.leaves[:-1], last)
    tree = Merkle.of([leaf.hash() for leaf in leaves])
    liar = replace(built, leaves=leaves, tree=tree, trace=replace(built.trace, nodes=tree.root))
    batch = recounted(own, [own.traces[0], liar, own.traces[2]])
    case = told(history, epoch, own, batch, shown_of(batch))
    assert read(serve(batch), case.header.data).batch == batch.batch
    claim = first_difference(own, case.served)
    assert claim == Claim("totals", 1)
    done = history.court.disprove(case, claim)
    assert done.one("Voided").reason == "standing"


def with_nobody(earned: dict[Address, int], account: Address) -> Tree:
    """A tree in which somebody has a leaf who never earned anything."""
    made = tree_of(earned | {account: 1})
    grains = made.grains.copy()
    grains[made.place(account)] = 0
    return Tree(made.accounts, grains, trees._levels(made.accounts, grains))


@pytest.mark.parametrize("account", ["0x" + "00" * 19 + "07", "0x" + "ff" * 20])
def test_who_never_earned_has_no_leaf(chain: Chain, account: str) -> None:
    history, epoch, own = begun(chain)
    nobody = address(account)
    due = grown(history.before, own.pays)
    assert nobody not in due
    case = history.propose(epoch, own, own, with_nobody(due, nobody))
    assert first_difference(own, case.served) is None
    claim = growth(history.before, own, grains_of(case.tree))
    assert claim == Claim("growth", account=nobody)
    assert not history.court.tells(case, Claim("growth", account=own.pays[0].account))
    done = history.court.disprove(case, claim)
    assert done.one("Voided").reason == "payout"


def test_a_list_of_nothing_is_empty(chain: Chain) -> None:
    history, epoch, own = begun(chain)
    none = repaid(own, [])
    batch = replace(none, batch=replace(none.batch, cells=JUNK))
    case = told(history, epoch, own, batch, shown_of(batch))
    claim = first_difference(own, case.served)
    assert claim == Claim("batch")
    assert history.court.disprove(case, claim).one("Voided").reason == "payout"


@pytest.mark.parametrize(
    ("field", "value"),
    [("version", 2), ("version", 0), ("subnet_count", MOST), ("cell_count", 2**32 + 1)],
)
def test_a_batch_of_another_form_is_shown(chain: Chain, field: str, value: int) -> None:
    history, epoch, own = begun(chain)
    batch = replace(own, batch=other(own.batch, field, value))
    case = told(history, epoch, own, batch, shown_of(batch))
    assert first_difference(own, case.served) == Claim("batch")
    done = history.court.disprove(case, Claim("batch"))
    assert done.one("Voided").reason == "payout"


@pytest.mark.parametrize(("root", "false"), [(EMPTY, False), (JUNK, True)])
def test_no_subnets_have_no_root(chain: Chain, root: bytes, *, false: bool) -> None:
    court, none = deploy_court(chain), bundle([])
    batch = replace(none, batch=replace(none.batch, subnets=root))
    header = court.propose(0, batch, tree_of({address("0x" + "07" * 20): 5}))
    told = court.checkers[2].call("false_batch", header.words(), batch.batch.words())
    assert told is false
    assert (first_difference(none, shown_of(batch)) == Claim("batch")) is false


def other(whole: Any, name: str, word: object) -> Any:
    """The same with one field changed."""
    return replace(whole, **{name: word})


def changed(value: int | bytes) -> list[int | bytes]:
    """Other words, also such as nothing can be added to."""
    return [JUNK] if isinstance(value, bytes) else [value + 1, value ^ 1 << 200, MOST - value]


def leaves_of(own: Bundle) -> Iterator[tuple[str, Bundle]]:
    """A root for each word of each leaf, told wrong; lists of weights are shown by themselves."""
    for at, built in enumerate(own.traces):
        for uid, leaf in enumerate(built.leaves):
            for each in fields(leaf):
                if each.name == "raw" and uid < built.trace.count:
                    continue
                for word in changed(getattr(leaf, each.name)):
                    wrong = other(leaf, each.name, word)
                    leaves = (*built.leaves[:uid], wrong, *built.leaves[uid + 1 :])
                    tree = Merkle.of([every.hash() for every in leaves])
                    trace = replace(built.trace, nodes=tree.root)
                    liar = replace(built, leaves=leaves, tree=tree, trace=trace)
                    traces = (*own.traces[:at], liar, *own.traces[at + 1 :])
                    yield f"{each.name} of {uid} in {at}", recounted(own, traces)


def totals_of(own: Bundle) -> Iterator[tuple[str, Bundle]]:
    """A root for each word of each trace; lists are shown by themselves."""
    for at, built in enumerate(own.traces):
        for each in fields(built.trace):
            if each.name in ("nodes", "permits", "members"):
                continue
            for word in changed(getattr(built.trace, each.name)):
                liar = replace(built, trace=other(built.trace, each.name, word))
                traces = (*own.traces[:at], liar, *own.traces[at + 1 :])
                yield f"{each.name} in {at}", recounted(own, traces)


def pays_of(own: Bundle) -> Iterator[tuple[str, Bundle]]:
    """A root for each word of what is paid."""
    for at, pay in enumerate(own.pays):
        for each in fields(pay):
            value = getattr(pay, each.name)
            for word in [THIEF] if each.name == "account" else changed(value):
                wrong = other(pay, each.name, word)
                pays = [*own.pays[:at], wrong, *own.pays[at + 1 :]]
                yield f"{each.name} at {at}", repaid(own, pays)


def test_no_word_of_a_root_can_be_another(chain: Chain) -> None:
    """There is one true root and no second: whichever word differs, something shows to be false."""
    history, epoch, own = begun(chain)
    true = history.propose(epoch, own, own)
    count = 0
    for name, batch in (*leaves_of(own), *totals_of(own), *pays_of(own)):
        header = replace(true.header, data=batch.batch.hash())
        case = Case(header, shown_of(batch), own, true.tree, history.past)
        claim = first_difference(own, case.served)
        assert claim is not None, name
        assert history.court.tells(case, claim), (name, claim)
        count += 1
    assert count > 150


# What was before


def joining(history: History, id: int, since: int) -> None:
    """A subnet that comes later than the others."""
    start = history.court.genesis

    def write(function: str, *told: object) -> None:
        history.court.subnets.send(function, *told, sender=guardian.address)

    write("set_subnet", id, OWNERS[id - 1], since)
    made = Competition(Random(id), id, start, write)
    made.joined(6, since - 1, since)
    history.competitions.append(made)


def test_a_subnet_is_in_a_root_from_the_epoch_on_that_it_came_in(chain: Chain) -> None:
    """In its first root it has no trace before, though the others have; in the last second of an
    epoch it is in that one's, a second later it is not."""
    history = start(deploy_court(chain), 7, 1)
    epoch, facts = history.facts()
    own = history.own(facts)
    history.accept(history.propose(epoch, own, own))
    end = history.court.genesis + 2 * LENGTH
    joining(history, 2, end - 1)
    history.court.subnets.send("set_subnet", 3, OWNERS[2], end, sender=guardian.address)
    for turn in range(2):
        epoch, facts = history.facts()
        if turn:
            # By now it is there, without nodes.
            none = replace(facts[1], subnet=3, owner=OWNERS[2], nodes=(), rows={}, budget=0)
            facts.append(none)
            told = contract_rules(none.terms)
            history.court.subnets.send("set_rules", 3, epoch, told, sender=guardian.address)
        own = history.own(facts)
        count = len(own.traces)
        assert count == 2 + turn
        for wrong in (own.traces[:-1], (*own.traces, own.traces[0])):
            assert shown(history, epoch, own, recounted(own, list(wrong)), ("batch",))
        case = history.propose(epoch, own, own)
        stands(history.court, case)
        history.accept(case)


def test_what_was_before_is_what_stands_now(chain: Chain) -> None:
    """After a void root another one stands in its place, and nothing follows from the first."""
    history = start(deploy_court(chain), SEED, 2)
    epoch, facts = history.facts()
    own = history.own(facts)
    cheat = next(each for each in LIES if each.part == "permits")
    false = bundle(history.traces(facts, {0: lambda f, past: cheat.told(Random(3), f, past)}))
    assert false.batch != own.batch
    void = history.propose(epoch, false, own)
    claim = first_difference(own, void.served)
    assert claim is not None
    history.court.disprove(void, claim)
    history.court.take_bond(void)
    history.court.market.post()
    history.accept(history.propose(epoch, own, own))
    epoch, facts = history.facts(skipped=1)
    own = history.own(facts)
    case = history.propose(epoch, own, own)
    stands(history.court, case)
    other = replace(case, past=Root(void.header, false, void.tree))
    for kind in ("bond", "member"):
        with refused("disputes: not the root before"):
            history.court.tells(other, Claim(kind, 0, 0))
    with refused("disputes: not the root before"):
        history.court.tells(other, Claim("growth", account=own.traces[0].nodes[0].account))


# Spans


def test_a_root_over_any_number_of_epochs_can_be_disproved(chain: Chain) -> None:
    """Nobody earned anything for long; the first root then covers more than can be added up."""
    field = deploy_field(chain)
    field.court.market.give_up_keys()
    field.arena.subnet.send("grant", field.id, 7 * TOKEN, 1, sender=founder.address)
    epoch = field.arena.next(1_100)
    field.arena.subnet.send("grant", field.id, 30 * TOKEN, 1, sender=founder.address)
    field.record()
    field.arena.next()
    facts = field.facts(epoch, None)
    # What was granted more than 1,024 epochs ago is lost; a root in time would have paid it.
    assert facts.budget == 30 * TOKEN // GRAIN
    own = bundle(field.history.traces([facts], {}))
    field.court.market.fund(10)
    lie = next(each for each in LIES if each.part == "emission")
    false = bundle([lie.told(Random(1), facts, None).built()])
    with chain.anchor():
        case = field.history.propose(epoch, false, own)
        done = field.court.disprove(case, Claim("emission", 0))
        assert done.one("Voided").reason == "standing"
        print(f"emission of 1,024 epochs: {done.gas_used} gas")
        assert done.gas_used < 16_000_000
    case = field.history.propose(epoch, own, own)
    assert not field.court.tells(case, Claim("emission", 0))


# Uids


def test_a_subnet_of_the_young_can_still_go_on(chain: Chain) -> None:
    """All were immune when the last list was made; the first whose time is over is replaced."""
    field = deploy_field(chain, seats=8)
    epoch, _, own = played(field, 1)
    case = field.history.propose(epoch, own, own)
    field.finalize(case)
    place = case.place(Claim("count", 0))
    field.court.disputes.send("settle", case.header.words(), place, sender=mallory.address)
    turn = prune_list(own.traces[0].trace.prune)
    assert sorted(turn[:8]) == list(range(8))
    assert turn[8:] == [OWNER] * 8
    for number in range(8):
        done = field.arena.enter(field.id, field.arena.node(f"newcomer {number}"))
        assert done.value == turn[number]
    with refused("subnet: full for now"):
        field.arena.enter(field.id, field.arena.node("one more"))
