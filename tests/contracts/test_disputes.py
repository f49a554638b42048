"""The judge over real subnets and roots, with nobody in power."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

import pytest
from eth_utils.crypto import keccak

from contracts.cheating import LIES, recounted
from contracts.disputed import Court, History, judged, tree_of
from contracts.evm import Chain, Outcome, Signer
from contracts.metered import Meter
from contracts.roots import GAS_PRICE, Market, proposer, watchers
from contracts.subnets import (
    BOND,
    EPOCH,
    RULES,
    Arena,
    deploy_around,
    deploy_subnet,
    founder,
    row_of,
)
from contracts.subnets import MODELS as MARKET
from contracts.world import TOKEN, alice, bob, carol, deploy_world, mallory, refused
from freehold.domain.ids import address
from freehold.economics.trees import GRAIN
from freehold.ledger.contracts.disputes import disproving
from freehold.markets.models.trace.batch import Bundle, bundle, grown
from freehold.markets.models.trace.claims import Claim, first_difference, prune_list
from freehold.markets.models.trace.merkle import Merkle
from freehold.markets.models.trace.proofs import Case
from freehold.markets.models.trace.served import Served, ServedTrace, read, serve
from freehold.markets.models.trace.values import EMPTY, Facts, Node, Row, Terms, vector
from freehold.markets.models.yuma.values import Liquid, Rules

ANSWER = 250_000 * GAS_PRICE
SPAN = 1_024
BATCH, TRACE, LEAF, WEIGHTS, MEMBERS, PERMITS, PAY = range(7)
MODES = {
    "classic": RULES,
    "yuma3": replace(RULES, yuma3=True),
    "liquid": replace(
        RULES, yuma3=True, liquid=True, liquid_low=45_875, liquid_high=58_982, steepness=1_000
    ),
}


@dataclass(slots=True)
class Field:
    """A subnet with validators and models in it, and the court over it."""

    arena: Arena
    court: Court
    history: History
    id: int
    validators: list[Signer]
    models: list[Signer]
    honest: list[Case]

    def finalize(self, case: Case) -> None:
        """All roots, after the last one's window."""
        self.arena.chain.warp_to(case.header.until + 1)
        for each in [*self.honest, case]:
            told = each.header.words()
            self.court.market.roots.send("finalize", told, sender=mallory.address)

    def weigh(self, weights: Sequence[Sequence[int]]) -> None:
        """Every validator commits to weights for the uids 0, 1, ..."""
        for uid, (hot, row) in enumerate(zip(self.validators, weights, strict=True)):
            told = {target: weight for target, weight in enumerate(row) if weight}
            self.arena.commit(self.id, uid, row_of(told), by=hot)

    def record(self) -> None:
        """In an epoch without reveals, the validators' stake is told by others."""
        for uid in range(len(self.validators)):
            self.arena.subnet.send("record", self.id, uid, sender=mallory.address)

    def reveal(self, weights: Sequence[Sequence[int]]) -> None:
        """And reveals them in the epoch after."""
        for uid, (hot, row) in enumerate(zip(self.validators, weights, strict=True)):
            told = {target: weight for target, weight in enumerate(row) if weight}
            self.arena.reveal(self.id, uid, row_of(told), by=hot)

    def facts(self, epoch: int, weights: Sequence[Sequence[int]] | None) -> Facts:
        """The ended epoch as the chain tells it."""
        subnet, since = self.arena.subnet, self.history.next
        for each in range(max(since, epoch + 1 - SPAN), epoch + 1):
            if not subnet.call("closed", each):
                self.arena.close(each)
        told = subnet.call("rules_at", self.id, epoch)
        liquid = Liquid(told.liquid_low, told.liquid_high, told.steepness) if told.liquid else None
        rules = Rules(
            max_validators=told.max_validators,
            activity_cutoff=0,
            kappa=told.kappa,
            bonds_penalty=told.bonds_penalty,
            bonds_ema_ppm=told.bonds_ema_ppm,
            yuma3=told.yuma3,
            liquid=liquid,
            min_stake=told.min_stake,
        )
        nodes, rows = [], {}
        for uid in range(subnet.call("subnet_of", self.id).nodes):
            generation = subnet.call("generation", self.id, uid)
            holder, since_when = subnet.call("uid_at", self.id, uid, generation)
            stake = subnet.call("stake_at", self.id, epoch, uid)
            nodes.append(Node(address(holder), generation, since_when, stake))
            hashed, committed = subnet.call("row", self.id, epoch, uid)
            if hashed != EMPTY and weights is not None:
                entries = tuple((k, w) for k, w in enumerate(weights[uid]) if w)
                rows[uid] = Row(entries, committed)
                assert keccak(rows[uid].packed()) == hashed
        counted = max(since, epoch + 1 - SPAN)
        budget = subnet.call("budget", self.id, counted, epoch) // GRAIN
        genesis = self.arena.genesis
        return Facts(
            self.id,
            address(subnet.call("subnet_of", self.id).owner),
            Terms(rules, told.immunity, told.owner_bps),
            tuple(nodes),
            rows,
            budget,
            genesis + since * EPOCH,
            genesis + (epoch + 1) * EPOCH,
        )


def deploy_field(
    chain: Chain, *, mode: str = "classic", models: int = 5, validators: int = 3, seats: int = 16
) -> Field:
    """Everything as a network has it; the judge is named to subnets and roots."""
    world = deploy_world(chain)
    issuance, prizes = deploy_around(world)
    subnet = deploy_subnet(world, issuance=issuance.address, prizes=prizes.address)
    world.setup(issuance, "set_distributor", MARKET, subnet.address)
    market = Market(world, prizes)
    world.setup(prizes, "set_watchers", [each.address for each in watchers], 3)
    market.post(BOND)
    court = judged(market, subnet)
    world.setup(subnet, "set_judge", court.disputes.address)
    arena = Arena(world, issuance, prizes, subnet, court.disputes)
    for each in (alice, bob, founder):
        arena.enrich(each)
    rules = replace(MODES[mode], max_validators=max(8, validators))
    id = int(arena.create(max_nodes=seats, rules=asdict(rules)).value)
    stakes = [(3 + 2 * k) * 10**18 for k in range(validators)]
    hots = [arena.validator(f"scorer {k}", stake=stake) for k, stake in enumerate(stakes)]
    made = [arena.node(f"model {k}") for k in range(models)]
    for each in (*hots, *made):
        arena.enter(id, each)
    return Field(arena, court, History(court, []), id, hots, made, [])


def good(field: Field, *, spread: int = 1) -> list[list[int]]:
    """Weights that mostly agree: the later a model, the better."""
    v = len(field.validators)
    n = v + len(field.models)

    def weight(by: int, uid: int) -> int:
        return 100 + (60_000 // n) * uid + spread * 7 * (by % 5 + 1) * (uid % 3)

    return [[0 if uid == by else weight(by, uid) for uid in range(n)] for by in range(v)]


def played(field: Field, epochs: int = 2) -> tuple[int, Facts, Bundle]:
    """Epochs with honest roots up to the last one, whose number, facts and batch are given."""
    first = field.arena.epoch
    field.arena.subnet.send("grant", field.id, 120 * TOKEN, 4, sender=founder.address)
    field.weigh(good(field))
    field.record()
    for turn in range(epochs):
        field.arena.next()
        told = field.facts(first + turn, good(field, spread=turn))
        own = bundle(field.history.traces([told], {}))
        field.honest.append(field.history.propose(first + turn, own, own))
        field.history.accept(field.honest[-1])
        field.reveal(good(field, spread=turn + 1))
        field.weigh(good(field, spread=turn + 2))
    field.arena.next()
    told = field.facts(first + epochs, good(field, spread=epochs))
    return first + epochs, told, bundle(field.history.traces([told], {}))


def lost(court: Court, done: Outcome, case: Case) -> None:
    """The root is void; the bond is Carol's in part, the rest burned."""
    void, market = done.one("Voided"), court.market
    assert (void.position, void.winner) == (case.header.position, carol.address)
    assert market.bond() == BOND
    bond = court.take_bond(case).one("BondLost")
    assert (bond.proposer, bond.winner) == (proposer.address, carol.address)
    assert (bond.reward, bond.burned) == (BOND * 3_000 // 10_000, BOND - BOND * 3_000 // 10_000)
    assert market.world.balance(carol.address) == bond.reward
    assert market.bond() == 0


@pytest.fixture
def field(chain: Chain) -> Field:
    """Three validators and five models; every privileged key has been given up."""
    made = deploy_field(chain)
    made.court.market.give_up_keys()
    return made


@pytest.mark.parametrize("mode", list(MODES))
def test_a_cheat_loses_the_bond_over_real_subnets(chain: Chain, mode: str) -> None:
    field = deploy_field(chain, mode=mode)
    field.court.market.give_up_keys()
    epoch, facts, own = played(field)
    # Room for lies that pay more than there is, which the roots refuse by themselves.
    field.court.market.fund(10 * GRAIN)
    assert len(own.traces[0].members) == 3
    assert len({cell.server for cell in own.traces[0].cells}) > 3
    assert any(any(bond.stored) for bond in own.traces[0].bonds)
    pick = Random(1)
    past = field.history.past
    assert past is not None
    for lie in LIES:
        told = bundle([lie.told(pick, facts, past.bundle.traces[0]).built()])
        if told.batch == own.batch:
            continue
        with chain.anchor():
            case = field.history.propose(epoch, told, own)
            claim = first_difference(own, case.served)
            assert claim is not None
            assert claim.kind in lie.kinds
            lost(field.court, field.court.disprove(case, claim), case)
    case = field.history.propose(epoch, own, own)
    field.finalize(case)
    paid = field.court.market.world.balance(field.models[-1].address)
    index = case.tree.index(address(field.models[-1].address))
    leaf = case.tree.leaf(index)
    field.court.market.roots.send(
        "claim", epoch, leaf.account, leaf.grains, index, case.tree.path(index),
        sender=mallory.address,
    )  # fmt: skip
    owner = field.court.market.roots.call("payout_of", leaf.account)
    assert field.court.market.world.balance(owner) >= paid + leaf.grains * GRAIN


# What is believed


def test_only_a_checker_is_believed(field: Field) -> None:
    epoch, facts, own = played(field, 1)
    case = field.history.propose(epoch, own, own)
    court, claim = field.court, Claim("column", 0, 1)
    checker, proof = court.data(case, claim)
    assert checker == 0
    for told, reason in ((0, "disputes: nothing is false"), (1, ""), (2, "")):
        with refused(reason):
            court.disputes.send("disprove", told, proof, sender=carol.address)
    with refused("disputes: no such checker"):
        court.disputes.send("disprove", 3, proof, sender=carol.address)
    with refused("roots: not the judge"):
        told_header = case.header.words()
        court.market.roots.send(
            "void", told_header, mallory.address, "mine", sender=mallory.address
        )
    # What a checker knows besides its functions is not asked.
    for name in ("prizes", "subnets", "columns", "prune_list"):
        assert not any(item.get("name") == name for each in court.checkers for item in each.abi)
    assert {
        str(item["name"])
        for each in court.checkers
        for item in each.abi
        if item["type"] == "function" and not str(item["name"]).startswith("false_")
    } == set()
    assert court.market.bond() == BOND
    assert facts.budget > 0


def test_a_proof_about_another_root_is_refused(field: Field) -> None:
    """One that a checker believes, of a header that was never proposed so, or is final."""
    epoch, facts, own = played(field, 1)
    past = field.history.past
    assert past is not None
    cheat = next(lie for lie in LIES if lie.part == "column")
    told = bundle([cheat.told(Random(2), facts, past.bundle.traces[0]).built()])
    case = field.history.propose(epoch, told, own)
    claim = first_difference(own, case.served)
    assert claim is not None
    for changed in (
        replace(case.header, bond=0),
        replace(case.header, proposer=address(mallory.address)),
    ):
        wrong = Case(changed, case.served, own, case.tree, case.past)
        assert field.court.tells(wrong, claim)
        with refused("roots: no open root"):
            field.court.disprove(wrong, claim)
    field.arena.chain.warp_to(case.header.until + 1)
    for header in (past.header, case.header):
        field.court.market.roots.send("finalize", header.words(), sender=mallory.address)
    with refused("roots: no open root"):
        field.court.disprove(case, claim)


def test_what_is_shown_must_be_committed_to(field: Field) -> None:
    epoch, _, own = played(field, 1)
    case = field.history.propose(epoch, own, own)
    built = own.traces[0]

    def told(claim: Claim, **changes: Any) -> str:
        mine = replace(built, **changes)
        lying = Case(case.header, case.served, replace(own, traces=(mine,)), case.tree, case.past)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            field.court.tells(lying, claim)
        return str(caught.value)

    table = tuple((active + 1, total) for active, total in built.table)
    column = replace(built.columns[2], consensus=built.columns[2].consensus + 1)
    columns = (*built.columns[:2], column, *built.columns[3:])
    assert told(Claim("column", 0, 2), table=table) == "disputes: another table"
    assert told(Claim("column", 0, 2), columns=columns) == "disputes: not the median"
    weights = (*built.weights[:2], (1, 2, 3), *built.weights[3:])
    assert told(Claim("column", 0, 2), weights=weights) == "disputes: other weights"
    assert told(Claim("bond", 0, 2), columns=columns) == "disputes: another column"
    members = built.members[:-1]
    assert told(Claim("table", 0), members=members) == "disputes: other members"
    cells = (replace(built.cells[0], server=9**9), *built.cells[1:])
    assert told(Claim("sums", 0, 1, 3), cells=cells) == "disputes: another cell"
    row = Row(((1, 5),), 7)
    facts = replace(built.facts, rows={0: row})
    assert told(Claim("weight", 0, 2, 0), facts=facts) == "disputes: another row"


@pytest.mark.parametrize("kind", ["weight", "members", "permits"])
def test_a_vector_of_the_wrong_length(field: Field, kind: str) -> None:
    epoch, _, own = played(field, 1)
    honest = own.traces[0]
    assert honest.members
    lists = {
        "weight": honest.weight_words(2),
        "members": honest.member_words(),
        "permits": honest.permit_words(),
    }
    lists[kind] += (0,)
    leaf = replace(honest.leaves[2], raw=vector(lists["weight"]))
    leaves = (*honest.leaves[:2], leaf, *honest.leaves[3:])
    tree = Merkle.of([each.hash() for each in leaves])
    trace = replace(
        honest.trace,
        nodes=tree.root,
        members=vector(lists["members"]),
        permits=vector(lists["permits"]),
    )
    told = recounted(own, [replace(honest, trace=trace, leaves=leaves, tree=tree)])
    weights = [honest.weight_words(uid) for uid in range(trace.count)]
    weights[2] = lists["weight"]
    served = ServedTrace(trace, leaves, lists["permits"], lists["members"], tuple(weights), tree)
    rewards = tree_of(grown(field.history.before, own.pays))
    header = field.court.propose(epoch, told, rewards)
    shown = Served(told.batch, (served,), own.pays, told.trace_tree, told.pay_tree)
    case = Case(header, shown, own, rewards, field.history.past)
    claim = first_difference(own, shown)
    assert claim is not None
    assert claim.kind == kind
    lost(field.court, field.court.disprove(case, claim), case)


# Demands


def demand(court: Court, case: Case, kind: int, trace: int, index: int) -> int:
    """Carol asks for a piece, and prepays the answer."""
    court.chain.give_ether(carol.address, court.chain.ether(carol.address) + ANSWER)
    told = (case.header.words(), kind, trace, index)
    done = court.disputes.send("demand", *told, sender=carol.address, value=ANSWER)
    assert done.one("Demanded").kind == kind
    return int(done.value)


def opening(case: Case, kind: int, index: int) -> tuple[object, ...]:
    """What was asked for, of the first subnet; nothing where there is no such thing."""
    claim, built = Claim("weight", 0, index), case.own.traces[0]
    words = {
        WEIGHTS: built.weight_words(min(index, built.trace.count - 1)),
        MEMBERS: built.member_words(),
        PERMITS: built.permit_words(),
    }
    shown = case.shown(claim, index if index <= built.trace.count else -1)
    pay, path = case.own.pays[0].words(), case.served.pay_tree.path(0)
    if index < len(case.own.pays):
        _, pay, path = case.paid(index)  # type: ignore[assignment]
    return case.place(claim), shown, words.get(kind, ()), pay, path


def test_demands_are_answered_or_the_root_is_void(field: Field) -> None:
    epoch, _, own = played(field, 1)
    case = field.history.propose(epoch, own, own)
    court, chain = field.court, field.arena.chain
    past = field.history.past
    assert past is not None
    for kind in range(7):
        id = demand(court, case, kind, 0, 1)
        with chain.anchor():
            chain.warp_to(case.header.until + 1)
            court.market.roots.send("finalize", past.header.words(), sender=mallory.address)
            with refused("roots: a demand is open"):
                court.market.roots.send("finalize", case.header.words(), sender=mallory.address)
        before = chain.ether(proposer.address)
        done = court.disputes.send(
            "answer", id, case.header.words(), opening(case, kind, 1), sender=mallory.address
        )
        assert done.one("Answered").id == id
        assert chain.ether(proposer.address) == before + ANSWER
    id = demand(court, case, LEAF, 0, 2)
    with refused("disputes: another leaf"):
        # Uid 1's leaf in an answer to uid 2: its path leads elsewhere.
        told = (
            opening(case, LEAF, 2)[0],
            opening(case, LEAF, 1)[1],
            (),
            *opening(case, LEAF, 2)[3:],
        )
        court.disputes.send("answer", id, case.header.words(), told, sender=mallory.address)
    with refused("disputes: can be answered"):
        court.disputes.send("expire", id, case.header.words(), sender=mallory.address)
    chain.warp(301)
    done = court.disputes.send("expire", id, case.header.words(), sender=mallory.address)
    lost(court, done, case)
    assert done.one("Voided").reason == "not served"
    assert chain.ether(carol.address) >= ANSWER
    with refused("disputes: no such demand"):
        court.disputes.send("expire", id, case.header.words(), sender=mallory.address)


def test_what_is_answered_late_can_be_used(field: Field) -> None:
    """A liar answers the last demand in the last moment, and cannot be final in the same one."""
    epoch, facts, own = played(field, 1)
    past = field.history.past
    assert past is not None
    cheat = next(lie for lie in LIES if lie.part == "column")
    told = bundle([cheat.told(Random(2), facts, past.bundle.traces[0]).built()])
    case = field.history.propose(epoch, told, own)
    court, chain = field.court, field.arena.chain
    chain.warp_to(case.header.until)
    id = demand(court, case, BATCH, 0, 0)
    court.market.roots.send("finalize", past.header.words(), sender=mallory.address)
    chain.warp(300)
    told_all = case.header.words(), opening(case, BATCH, 0)
    court.disputes.send("answer", id, *told_all, sender=mallory.address)
    for wait in (0, 300):
        with chain.anchor():
            chain.warp(wait)
            with refused("roots: can be disputed"):
                court.market.roots.send("finalize", case.header.words(), sender=mallory.address)
    chain.warp(300)
    claim = first_difference(own, case.served)
    assert claim is not None
    court.disprove(case, claim)


def test_what_does_not_exist_is_answered_by_showing_that(field: Field) -> None:
    epoch, _, own = played(field, 1)
    case = field.history.propose(epoch, own, own)
    count = own.traces[0].trace.count
    for kind, trace, index in (
        (TRACE, 1, 0), (LEAF, 0, count), (LEAF, 0, count + 1), (WEIGHTS, 0, count),
        (WEIGHTS, 0, 10**9), (PAY, 0, len(own.pays)), (MEMBERS, 2**255, 0), (PERMITS, 1, 0),
    ):  # fmt: skip
        id = demand(field.court, case, kind, trace, index)
        told = opening(case, kind, index)
        field.court.disputes.send("answer", id, case.header.words(), told, sender=mallory.address)
    with refused("disputes: no such kind"):
        demand(field.court, case, 7, 0, 0)


def test_a_wrong_answer_is_none(field: Field) -> None:
    epoch, _, own = played(field, 1)
    case = field.history.propose(epoch, own, own)
    court = field.court
    wrong = {WEIGHTS: (1,), MEMBERS: (), PERMITS: (0,) * 17}
    for kind, words in wrong.items():
        id = demand(court, case, kind, 0, 1)
        place, shown, _, pay, path = opening(case, kind, 1)
        with refused("disputes: no answer"):
            told = (place, shown, words, pay, path)
            court.disputes.send("answer", id, case.header.words(), told, sender=mallory.address)
    other = replace(case.header, epoch=90).words()
    with refused("disputes: another root"):
        court.disputes.send("answer", 1, other, opening(case, WEIGHTS, 1), sender=mallory.address)


def test_a_list_too_long_to_be_shown_is_no_answer(field: Field) -> None:
    epoch, _, own = played(field, 1)
    words = tuple(range(1, 18))
    trace = replace(own.traces[0].trace, permits=vector(words))
    told = recounted(own, [replace(own.traces[0], trace=trace)])
    rewards = tree_of(grown(field.history.before, own.pays))
    header = field.court.propose(epoch, told, rewards)
    served = read(serve(own), own.batch.hash())
    shown = replace(served, batch=told.batch, traces=(replace(served.traces[0], trace=trace),))
    case = Case(header, shown, own, rewards, field.history.past)
    id = demand(field.court, case, PERMITS, 0, 0)
    place, leaf, _, pay, path = opening(case, PERMITS, 0)
    with refused("disputes: no answer"):
        answer = (place, leaf, words, pay, path)
        field.court.disputes.send("answer", id, header.words(), answer, sender=mallory.address)


def test_demands_end_with_the_window_and_cost_their_answer(field: Field) -> None:
    epoch, _, own = played(field, 1)
    case = field.history.propose(epoch, own, own)
    field.arena.chain.give_ether(carol.address, ANSWER)
    told = (case.header.words(), LEAF, 0, 1)
    with refused("disputes: prepay the answer's gas"):
        field.court.disputes.send("demand", *told, sender=carol.address, value=ANSWER - 1)
    field.arena.chain.warp_to(case.header.until + 1)
    with refused("disputes: too late"):
        field.court.disputes.send("demand", *told, sender=carol.address, value=ANSWER)


def test_a_demand_about_a_void_root_is_paid_back(field: Field) -> None:
    epoch, facts, own = played(field, 1)
    past = field.history.past
    assert past is not None
    cheat = next(lie for lie in LIES if lie.part == "column")
    told = bundle([cheat.told(Random(2), facts, past.bundle.traces[0]).built()])
    case = field.history.propose(epoch, told, own)
    id = demand(field.court, case, LEAF, 0, 2)
    claim = first_difference(own, case.served)
    assert claim is not None
    field.court.disprove(case, claim)
    chain = field.arena.chain
    chain.warp(301)
    before = chain.ether(carol.address)
    done = field.court.disputes.send("expire", id, case.header.words(), sender=mallory.address)
    assert not done.named("Voided")
    assert chain.ether(carol.address) == before + ANSWER


# Who has to go


def test_the_list_of_a_final_trace_is_settled_once(field: Field) -> None:
    epoch, _, own = played(field, 1)
    case = field.history.propose(epoch, own, own)
    past, disputes = field.history.past, field.court.disputes
    assert past is not None
    assert disputes.call("prune_list", field.id) == (0, 0)
    place = case.place(Claim("count", 0))
    with refused("disputes: root is not final"):
        disputes.send("settle", case.header.words(), place, sender=mallory.address)
    field.finalize(case)
    disputes.send("settle", case.header.words(), place, sender=mallory.address)
    word, ended = disputes.call("prune_list", field.id)
    assert word == own.traces[0].trace.prune
    assert ended == field.arena.genesis + (epoch + 1) * EPOCH
    turn = prune_list(word)
    assert turn[0] != 0xFFFF
    first = Case(past.header, case.served, own, case.tree)
    with refused("disputes: a later one is settled"):
        before = past.bundle.batch.words(), past.bundle.traces[0].trace.words(), 0, ()
        disputes.send("settle", past.header.words(), before, sender=mallory.address)
    with refused("disputes: no such root"):
        other = replace(first.header, epoch=70).words()
        disputes.send("settle", other, place, sender=mallory.address)


def test_a_newcomer_gets_the_uid_of_the_last(chain: Chain) -> None:
    field = deploy_field(chain, seats=8)
    epoch, _, own = played(field, 1)
    case = field.history.propose(epoch, own, own)
    past = field.history.past
    assert past is not None
    field.finalize(case)
    place = case.place(Claim("count", 0))
    field.court.disputes.send("settle", case.header.words(), place, sender=mallory.address)
    worst = prune_list(own.traces[0].trace.prune)[0]
    newcomer = field.arena.node("newcomer")
    assert field.arena.enter(field.id, newcomer).value == worst
    assert field.arena.subnet.call("generation", field.id, worst) == 2


def test_no_other_median_is_believed(field: Field) -> None:
    """One so large that it would run over into the sums beside it is refused as all others."""
    epoch, _, own = played(field, 1)
    case = field.history.propose(epoch, own, own)
    pick, built = Random(3), own.traces[0]
    claim = Claim("column", 0, 5)
    true = built.columns[5].consensus
    hints = [0, true - 1, true + 1, 2**32 + 1, 2**64, 2**128, 2**255, 2**256 - 1]
    hints += [pick.getrandbits(pick.randint(33, 256)) for _ in range(30)]
    proof = case.proof(claim)
    for hint in hints:
        with refused("disputes: not the median"):
            field.court.checkers[0].call(proof.function, *proof.arguments[:-1], hint)


@pytest.mark.parametrize(
    ("validators", "proof_most", "most"), [(64, 60_000, 92_000), (256, 0, 250_000)]
)
def test_the_cost_of_a_proof_is_bounded(
    chain: Chain, validators: int, proof_most: int, most: int
) -> None:
    """A column at 64 validators and 256 nodes takes less than 60,000 gas of calldata and reckoning
    where nothing is cold, and the whole transaction, where all is, less than 92,000 besides the
    21,000 of every one. At 256 validators it stays below 250,000. What takes the bond afterwards
    is the same for every root.
    """
    meter = Meter(chain)
    field = deploy_field(chain, validators=validators, models=256 - validators, seats=256)
    field.arena.next()
    epoch, facts, own = played(field, 1)
    past = field.history.past
    assert past is not None
    assert len(own.traces[0].members) == validators
    cheat = next(lie for lie in LIES if lie.part == "column")
    told = bundle([cheat.told(Random(2), facts, past.bundle.traces[0]).built()])
    case = field.history.propose(epoch, told, own)
    claim = first_difference(own, case.served)
    assert claim is not None
    assert claim.kind == "column"
    checker, proof = field.court.data(case, claim)
    sent = chain.transact(carol.address, field.court.checkers[checker].address, proof, static=True)
    reckoning = sent.gas_used - 21_000 - sum(16 if byte else 4 for byte in proof)
    data = field.court.disputes.data(disproving(proof), checker, proof)
    disputes, roots = field.court.disputes.address, field.court.market.roots
    settling = roots.data("settle", case.header.words(), carol.address)
    done = meter.transact(carol.address, disputes, data)
    print(
        f"a column at {validators} validators: {done.calldata} of calldata, {reckoning} of"
        f" reckoning where all is warm; in all {done.whole} where all is cold, by its data alone"
        f" at least {done.floor}"
    )
    assert not proof_most or done.calldata + reckoning < proof_most
    assert done.whole < most
    assert done.floor < most
    taken = meter.transact(mallory.address, roots.address, settling)
    print(f"taking the bond: {taken.whole}")
    assert taken.outcome.one("BondLost").winner == carol.address
