"""The model of reward roots against the contract, and against events and claims that lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.evm import Contract, Outcome, Struct
from contracts.roots import (
    ANSWER_WINDOW,
    BOND,
    DATA,
    LENGTH,
    PREPAID,
    WINDOW,
    Forged,
    honest,
    proposer,
    same,
    watchers,
)
from contracts.roots import (
    ATTESTATION as FIELDS,
)
from contracts.world import alice, bob, carol, fake, mallory
from freehold.audit import frauds
from freehold.audit.events import Event
from freehold.audit.payout import Payout
from freehold.audit.reckoner import Reckoner
from freehold.audit.report import Differs
from freehold.audit.roots import Demand, Roots
from freehold.domain.ids import Address, checksum
from freehold.domain.typed import ATTESTATION
from freehold.economics.trees import GRAIN, Tree
from unit.audit.founded import DEVICES, EPOCH, Founded, differs, lied, occasions

PEOPLE = sorted((alice, bob, carol, mallory), key=lambda each: each.address)
AMOUNTS = dict(zip((each.address for each in PEOPLE), (70, 30, 50, 1), strict=True))
ONE = honest(AMOUNTS)
TWO = honest({who: grains + 10 for who, grains in AMOUNTS.items()})
CHOSEN = {
    ("Funded", "epoch"), ("Demanded", "prepaid"), ("Demanded", "index"), ("PayoutSet", "payout"),
    ("PayoutSet", "account"), ("WatchersSet", "watchers"),
}  # fmt: skip
"""What an account or the governor chooses: only the logs' place in the block's root binds it,
where nothing else rests on it."""


def started() -> Founded:
    founded = Founded()
    roots = founded.roots
    roots.post()
    roots.fund(1_000)
    return founded


def compare(founded: Founded) -> None:
    founded.follow()
    for view in ("state", "quorum", "funded", "demand_count", "parameters"):
        founded.agree("roots", view)
    founded.agree("roots", "bond_of", proposer.address)
    for position in range(1, int(founded.roots.state.tip) + 2):
        founded.agree("roots", "headers", position)
    for epoch in range(12):
        founded.agree("roots", "final_root", epoch)
    for who in (*PEOPLE, *watchers):
        for view in ("claimed", "payout_of", "watchers"):
            founded.agree("roots", view, who.address)


@cache
def history() -> Founded:
    """Two roots, a draw, payouts elsewhere, claims alone and together, demands, a void root, and
    the bond taken back."""
    founded = started()
    roots, chain = founded.roots, founded.chain
    chain.warp(EPOCH)
    founded.issuance.send("advance", 64, sender=mallory.address)
    roots.roots.send("draw", 0, 5 * GRAIN, sender=proposer.address)
    first = roots.propose(4, ONE)
    asked = roots.demand(first, 2)
    roots.roots.send("answer", asked, first, ONE.proof(2), sender=mallory.address)
    roots.finalize(first)
    roots.roots.send("set_payout", carol.address, alice.address, sender=carol.address)
    for index, who in enumerate(PEOPLE):
        if who is carol:
            roots.claim(4, ONE, index)
    compare(founded)
    second = roots.propose(8, TWO)
    roots.finalize(second)
    claim_all(founded, 8, TWO)
    compare(founded)
    third = roots.propose(9, honest({**AMOUNTS, carol.address: 200}))
    unanswered = roots.demand(third, 1)
    chain.warp(ANSWER_WINDOW + 1)
    roots.roots.send("expire", unanswered, third, sender=carol.address)
    compare(founded)
    roots.take_bond(third)
    roots.post()
    roots.roots.send("withdraw_bond", sender=proposer.address)
    compare(founded)
    return founded


def test_a_bond_that_a_verdict_waits_for_moves_nothing() -> None:
    """A contract that let its proposer go: the model says what it had to refuse."""
    events = history().events
    void = next(i for i, e in enumerate(events) if e.name == "Voided")
    for name in ("BondWithdrawn", "Proposed"):
        early = next(e for e in events if e.name == name)
        with pytest.raises(Differs, match="verdicts not settled"):
            history().replay([*events[: void + 1], early], history().fresh())


def refunded(founded: Founded, header: Struct, sly: Contract) -> Outcome:
    """A contract demands a leaf of a root, which nobody serves, and gets its prepayment back."""
    roots, chain = founded.roots.roots, founded.chain
    chain.give_ether(carol.address, PREPAID)
    asked = roots.data("demand", header, 1)
    sly.send("run", roots.address, asked, sender=carol.address, value=PREPAID)
    chain.warp(ANSWER_WINDOW + 1)
    return roots.send("expire", roots.call("demand_count"), header, sender=mallory.address)


def test_a_payout_may_be_named_while_another_call_refunds() -> None:
    founded = started()
    roots = founded.roots.roots
    sly = founded.chain.deploy_artifact(fake("reenterer"), sender=alice.address)
    named = roots.data("set_payout", sly.address, alice.address)
    sly.send("aim", roots.address, named, sender=carol.address)
    refunded(founded, founded.roots.propose(0, ONE), sly)
    assert roots.call("payout_of", sly.address) == alice.address
    compare(founded)
    founded.agree("roots", "payout_of", sly.address)


def test_a_root_may_become_void_while_another_call_refunds() -> None:
    """By the contract that is refunded, not by who sent the transaction."""
    founded = started()
    tree, told = lies()["order"]
    false = founded.roots.propose(0, tree)
    header = founded.roots.propose(1, honest(dict.fromkeys(OTHERS, 50)))
    roots, by = founded.roots.roots, alice.address
    shown = roots.data("dispute_order", false, *told)
    sly = founded.chain.deploy_artifact(fake("hasty"), roots.address, shown, sender=by)
    done = refunded(founded, header, sly)
    assert [each.name for each in done.events] == ["Expired", "Voided", "Voided"]
    assert done.events[2].args["winner"].lower() == sly.address.lower()
    compare(founded)


def test_nobody_names_the_payout_of_another() -> None:
    events = list(history().events)
    place = next(i for i, e in enumerate(events) if e.name == "PayoutSet")
    told: Any = events[place].transaction
    events[place] = replace(events[place], transaction=replace(told, who=checksum(b"\x05" * 20)))
    with pytest.raises(Differs, match="the account or its owner"):
        history().replay(events, history().fresh())


@pytest.mark.parametrize("argument", ["position", "proposer", "winner"])
def test_a_bond_is_lost_by_its_verdict(argument: str) -> None:
    events = list(history().events)
    place = next(i for i, e in enumerate(events) if e.name == "BondLost")
    events[place] = lied(events[place], argument)
    with pytest.raises(Differs, match=r"BondLost|a lost bond"):
        history().replay(events, history().fresh())
    with pytest.raises(Differs, match="a lost bond"):
        history().replay([*history().events, history().events[place]], history().fresh())


def claim_all(founded: Founded, epoch: int, tree: Forged) -> None:
    depth = len(tree.levels()) - 1
    founded.roots.roots.send("claim_many", epoch, 0, tree.leaves, depth, [], sender=mallory.address)


def test_the_model_agrees_with_the_contract() -> None:
    founded = history()
    names = {event.name for event in founded.events if event.contract == "roots"}
    assert names == {
        "ParametersSet", "WatchersSet", "BondPosted", "Movement", "Funded", "Proposed", "Demanded",
        "Answered", "Finalized", "PayoutSet", "PaidElsewhere", "Expired", "Voided", "BondLost",
        "BondWithdrawn",
    }  # fmt: skip
    roots = founded.models.economy.roots
    assert roots is not None
    assert roots.hidden == roots.leaves.hidden == 0
    assert founded.counts["attestations"] > 0
    assert founded.models.balances.of(founded.network.contracts["roots"]) == (
        roots.funded - roots.leaves.paid
    )


@pytest.mark.parametrize("occasion", occasions(history().events, "roots"), ids=str)
def test_an_event_that_lies_is_found(occasion: tuple[str, str, int]) -> None:
    name, argument, place = occasion
    events = list(history().events)
    events[place] = lied(events[place], argument)
    if (name, argument) not in CHOSEN:
        assert differs(history(), events)


@pytest.mark.parametrize("field", ["position", "since", "epoch", "parent_total", "root", "count",
                                   "data", "proposer", "until", "bond"])  # fmt: skip
def test_a_header_that_lies_is_found(field: str) -> None:
    events = list(history().events)
    place = next(i for i, e in enumerate(events) if e.name == "Proposed")
    header: Any = events[place].args["header"]
    value = header[field]
    if isinstance(value, int):
        other: Any = value + 1
    else:
        other = bytes(32) if isinstance(value, bytes) else checksum(b"\x05" * 20)
    args = {**events[place].args, "header": {**header, field: other}}
    events[place] = replace(events[place], args=args)
    assert differs(history(), events)


@pytest.mark.parametrize("name", ["BondPosted", "Funded", "Proposed", "Demanded", "Finalized",
                                  "PaidElsewhere", "PayoutSet", "BondLost", "Voided", "Expired",
                                  "WatchersSet", "ParametersSet"])  # fmt: skip
def test_an_event_that_is_missing_is_found(name: str) -> None:
    events = history().events
    place = next(i for i, e in enumerate(events) if (e.contract, e.name) == ("roots", name))
    assert differs(history(), [*events[:place], *events[place + 1 :]])


def test_the_message_that_watchers_sign_is_the_contracts() -> None:
    founded = started()
    founded.roots.end_of(0)
    signatures = founded.roots.signatures(0, ONE.root, ONE.count)
    values: list[int | bytes | str] = [0, ONE.root.to_bytes(32, "big"), ONE.count, DATA, bytes(32)]
    digest = ATTESTATION.digest(founded.network.domain("roots"), values)
    from freehold.domain.keys import recover

    signers = [recover(digest, each).lower() for each in signatures]
    assert signers == [each.address for each in watchers[:3]]
    assert [part.split()[0] for part in FIELDS["Attestation"].split(",")] == ATTESTATION.types()
    assert founded.roots.propose(0, ONE).root == ONE.root


@pytest.mark.parametrize("change", ["one watcher less", "another quorum", "another network"])
def test_signatures_of_others_are_found(change: str) -> None:
    founded, events = history(), list(history().events)
    place = next(i for i, e in enumerate(events) if e.name == "WatchersSet")
    args: dict[str, Any] = dict(events[place].args)
    if change == "one watcher less":
        args["watchers"] = args["watchers"][1:]
    elif change == "another quorum":
        args["quorum"] = 4
    events[place] = replace(events[place], args=args)
    network = founded.network
    if change == "another network":
        founded.network = replace(network, network_id=bytes(32))
    try:
        models = founded.fresh()
    finally:
        founded.network = network
    with pytest.raises(Differs, match="quorum"):
        founded.replay(events, models)


# Disputes

OTHERS = [f"0x{number:040x}" for number in range(100, 107)]
TRUE = honest({account: 10 + i for i, account in enumerate(OTHERS)})


def swapped(first: int, second: int) -> list[tuple[str, int]]:
    leaves = list(TRUE.leaves)
    leaves[first], leaves[second] = leaves[second], leaves[first]
    return leaves


def short(tree: Forged) -> Forged:
    """The same with a leaf that is not counted."""
    return replace(tree, claimed_count=len(tree.leaves) - 1)


def lies() -> dict[str, tuple[Forged, Sequence[Any]]]:
    """A false root for each reason, and what shows it."""
    order = Forged(swapped(3, 4))
    padded = short(TRUE)
    total = Forged(TRUE.leaves, lies={(1, 1): 5})
    leaf = Forged(TRUE.leaves, lies={(0, 3): 7})
    left, right = total.node(0, 2), total.node(0, 3)
    stated = total.node(1, 1) & (2**64 - 1)
    return {
        "order": (order, [order.proof(3), order.proof(4)]),
        "padding": (padded, [padded.proof(5)]),
        "sum": (total, [left, right, stated, 1, total.above(1, 1)]),
        "leaf": (leaf, [leaf.proof(3), leaf.leaves[3][1] + 7]),
    }


def dispute(founded: Founded, kind: str, header: Struct, *told: object) -> Outcome:
    return founded.roots.roots.send(f"dispute_{kind}", header, *told, sender=carol.address)


def check_void(founded: Founded, kind: str) -> None:
    """The dispute is followed; another input, or none, is found."""
    compare(founded)
    roots = founded.models.economy.roots
    assert roots is not None
    assert roots.hidden == 0
    events = founded.events
    place = next(i for i, e in enumerate(events) if e.name == "Voided")
    assert events[place].text("reason") == kind
    data = bytearray(events[place].transaction.data)
    data[-1] ^= 1
    for other in (bytes(data), events[place].transaction.data[:4], b""):
        moved = replace(events[place].transaction, data=other)
        false = [*events]
        false[place] = replace(events[place], transaction=moved)
        with pytest.raises(Differs, match="disproves"):
            founded.replay(false, founded.fresh())


@pytest.mark.parametrize("kind", sorted(lies()))
def test_what_disproves_a_root_is_checked(kind: str) -> None:
    founded = started()
    tree, told = lies()[kind]
    header = founded.roots.propose(0, tree)
    dispute(founded, kind, header, *told)
    check_void(founded, kind)


@pytest.mark.parametrize("gone", [None, 0, 3, 6])
def test_earnings_that_shrank_are_checked(gone: int | None) -> None:
    founded = started()
    parent = founded.roots.settle(0, TRUE)
    amounts = {who: grains + 20 for who, grains in TRUE.leaves}
    if gone is None:
        amounts[OTHERS[3]] = 1
    else:
        del amounts[OTHERS[gone]]
    tree = honest(amounts)
    places = [who for who, _ in tree.leaves]
    if gone is None:
        shown = [tree.proof(places.index(OTHERS[3]))]
    elif gone in (0, 6):
        shown = [tree.proof(0 if gone == 0 else len(places) - 1)]
    else:
        shown = [tree.proof(gone - 1), tree.proof(gone)]
    header = founded.roots.propose(1, tree)
    dispute(founded, "sunk", header, parent, TRUE.proof(3 if gone is None else gone), shown)
    check_void(founded, "sunk")


def test_a_true_root_that_was_voided_is_found() -> None:
    """A contract that took any proof: the dispute shows nothing."""
    founded = started()
    tree, told = lies()["order"]
    header = founded.roots.propose(0, tree)
    dispute(founded, "order", header, *told)
    founded.follow()
    place = next(i for i, e in enumerate(founded.events) if e.name == "Voided")
    events = list(founded.events)
    swapped_proofs = founded.roots.roots.data("dispute_order", header, told[1], told[0])
    moved = replace(events[place].transaction, data=swapped_proofs)
    events[place] = replace(events[place], transaction=moved)
    with pytest.raises(Differs, match="disproves"):
        founded.replay(events, founded.fresh())


# Claims

ACCOUNTS = st.binary(min_size=20, max_size=20).filter(any).map(checksum)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(ACCOUNTS, st.integers(1, 20_000), min_size=1, max_size=40), st.data())
def test_a_span_leads_to_its_root_and_no_other_does(
    grains: dict[Address, int], data: st.DataObject
) -> None:
    tree = Tree.of({account: amount * GRAIN for account, amount in grains.items()})
    first = data.draw(st.integers(0, tree.count - 1))
    count = data.draw(st.integers(1, tree.count - first))
    span = tree.span(first, count)
    leaves: list[Any] = [{"account": leaf.account, "grains": leaf.grains} for leaf in span.leaves]
    call: dict[str, Any] = {
        "first": first, "leaves": leaves, "depth": tree.depth, "beside": list(span.beside),
    }  # fmt: skip
    assert frauds.span_root(call) == tree.root
    leaves[-1] = {**leaves[-1], "grains": leaves[-1]["grains"] + 1}
    assert frauds.span_root(call) != tree.root
    leaf = tree.leaf(first)
    proof = frauds.Proof(leaf, first, tree.path(first))
    assert proof.root() == tree.root
    assert replace(proof, index=first ^ 1).root() != tree.root or tree.depth == 0
    assert same(tree).proof(first)[3] == list(proof.path)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 200), st.booleans()), min_size=1,
                max_size=4))  # fmt: skip
def test_it_agrees_on_any_history(gains: list[tuple[int, int, bool]]) -> None:
    founded = started()
    amounts = dict.fromkeys(OTHERS[:4], 1)
    for epoch, (who, more, together) in enumerate(gains):
        amounts[OTHERS[who]] += more
        tree = honest(amounts)
        founded.roots.settle(epoch, tree)
        if together:
            claim_all(founded, epoch, tree)
        else:
            founded.roots.claim(epoch, tree, who)
        compare(founded)


def claimed(founded: Founded) -> int:
    return max(
        i for i, e in enumerate(founded.events)
        if (e.contract, e.name) == ("roots", "Movement") and e.number("purpose") == 4
    )  # fmt: skip


def test_a_claim_above_its_leaf_is_found_and_named() -> None:
    founded = started()
    founded.roots.settle(0, ONE)
    founded.roots.claim(0, ONE, 0)
    founded.follow()
    place = claimed(founded)
    event = founded.events[place]
    more = replace(event, args={**event.args, "amount": event.number("amount") + GRAIN})
    sent = founded.events[place + 1]
    assert sent.name == "Transfer"
    moved = replace(sent, args={**sent.args, "value": more.number("amount")})
    events: list[Event] = [*founded.events[:place], more, moved]
    with pytest.raises(Differs, match="leaf of") as caught:
        founded.replay(events, founded.fresh())
    assert caught.value.difference.place.transaction == event.place.transaction


def test_a_claim_that_another_contract_made_out_of_sight_is_counted() -> None:
    founded = started()
    founded.roots.settle(0, ONE)
    founded.roots.claim(0, ONE, 0)
    founded.follow()
    hidden = [
        replace(e, transaction=replace(e.transaction, to=checksum(b"\x01" * 20), data=b""))
        for e in founded.events
    ]
    models = founded.fresh()
    founded.replay(hidden, models)
    assert models.economy.hidden() == {
        "power figures": 0, "roots or disputes": 1, "claims of roots": 1,
    }  # fmt: skip


# Payouts


def payout(founded: Founded, account: str, epoch: int) -> Payout:
    reckoner, models = Reckoner(account, epoch), founded.fresh()
    founded.replay(founded.events, models, lambda event: reckoner.hear(event, event.time, models))
    return reckoner.payouts(founded.chain.now)[-1]


def test_the_sums_of_a_path_lead_to_the_total() -> None:
    founded = started()
    founded.roots.settle(3, ONE)
    founded.roots.claim(3, ONE, 2)
    founded.follow()
    who, grains = ONE.leaves[2]
    found = payout(founded, who, 1)
    assert (found.earned, found.paid, found.reason) == (grains * GRAIN, grains * GRAIN, "")
    values = {step.name: step.value for step in found.steps}
    assert values["leaf 2: all that it ever earned, grains"] == grains
    assert values["sum at level 2"] == sum(amount for _, amount in ONE.leaves)
    assert values["grains of all 4 accounts"] == values["sum at level 2"]
    for step in found.steps:
        if step.rule:
            rule = step.rule.split(" on ")[0].replace(" paid before", "")
            assert eval(rule) == step.value, step


def test_who_was_not_paid_by_a_root_hears_why() -> None:
    founded = started()
    who = ONE.leaves[0][0]
    founded.follow()
    assert payout(founded, who, 3).reason == "the epoch runs"
    founded.roots.end_of(3)
    founded.roots.fund(1)
    founded.follow()
    assert payout(founded, who, 3).reason == "no root covers the epoch yet"
    header = founded.roots.propose(3, ONE)
    founded.follow()
    assert payout(founded, who, 3).reason == "its root is not final yet"
    founded.roots.finalize(header)
    founded.follow()
    assert payout(founded, who, 3).reason.startswith("no claim")
    assert payout(founded, who, 4).reason in ("the epoch runs", "no root covers the epoch yet")


def test_the_bounds_of_the_history_are_those_of_the_contract() -> None:
    assert LENGTH > WINDOW > ANSWER_WINDOW
    assert BOND >= 1_000 * GRAIN
    assert len(DEVICES) == 32


# What a contract that forgot one of its rules would let pass


def forgotten(name: str, tweak: Callable[[Roots], None], *, time: int | None = None) -> str:
    """What is found when the first such event comes to other circumstances."""
    founded = history()
    place = next(i for i, e in enumerate(founded.events) if (e.contract, e.name) == ("roots", name))
    models, event = founded.fresh(), founded.events[place]
    founded.replay(founded.events[:place], models)
    assert models.economy.roots is not None
    tweak(models.economy.roots)
    moved = event if time is None else replace(event, time=time)
    with pytest.raises(Differs) as caught:
        founded.replay([moved, founded.events[place + 1]], models)
    return caught.value.difference.what


def unfunded(roots: Roots) -> None:
    roots.funded = 0


def unbonded(roots: Roots) -> None:
    for bond in roots.bonds.values():
        bond.amount = 1


def asked(roots: Roots) -> None:
    roots.demands[9] = Demand(roots.headers[roots.tip], 0, 0, None)


def answered(roots: Roots) -> None:
    roots.released = {each.hash(): each.until for each in roots.headers.values()}


def reopened(roots: Roots) -> None:
    roots.final, roots.tip = 1, 2
    for bond in roots.bonds.values():
        bond.last = 2


def drained(roots: Roots) -> None:
    roots.leaves.paid = BOND


def same_as_before(_: Roots) -> None:
    return None


@pytest.mark.parametrize(
    ("name", "tweak", "time", "what"),
    [
        ("Proposed", lambda roots: roots.rules.update(growth=1), None, "growth within the bound"),
        ("Proposed", unfunded, None, "a total that was funded"),
        ("Proposed", lambda roots: roots.rules.update(bond=1), None, "the bond of the root"),
        ("Proposed", unbonded, None, "the proposer's bond"),
        ("Finalized", same_as_before, 0, "the window over"),
        ("Finalized", answered, None, "the window over"),
        ("Finalized", asked, None, "open demands"),
        ("Expired", same_as_before, 0, "the deadline over"),
        ("BondWithdrawn", reopened, None, "a bond without an open root"),
        ("PaidElsewhere", drained, None, "claims within the final total"),
    ],
)
def test_a_rule_that_was_broken_is_named(
    name: str, tweak: Callable[[Roots], None], time: int | None, what: str
) -> None:
    assert forgotten(name, tweak, time=time) == what


def test_a_root_before_its_epoch_ended_is_found() -> None:
    founded = history()
    place = next(i for i, e in enumerate(founded.events) if e.name == "Proposed")
    event: Any = founded.events[place]
    early = founded.models.economy.roots
    assert early is not None
    time = early.genesis + (event.number("epoch") + 1) * early.epoch_length - 1
    header = {**event.args["header"], "until": time + WINDOW}
    moved = replace(event, time=time, args={**event.args, "header": header})
    models = founded.fresh()
    founded.replay(founded.events[:place], models)
    with pytest.raises(Differs, match="an epoch that has ended"):
        founded.replay([moved], models)


def test_a_root_that_pays_more_than_the_bond_is_found() -> None:
    founded = history()
    place = next(i for i, e in enumerate(founded.events) if e.name == "Proposed")
    event: Any = founded.events[place]
    models = founded.fresh()
    founded.replay(founded.events[:place], models)
    assert models.economy.roots is not None
    models.economy.roots.rules["bond"] = GRAIN
    header = {**event.args["header"], "bond": GRAIN}
    moved = replace(event, args={**event.args, "header": header})
    with pytest.raises(Differs, match="open payments below the bond"):
        founded.replay([moved], models)


def test_a_stranger_names_no_payout() -> None:
    founded = history()
    place = next(i for i, e in enumerate(founded.events) if e.name == "PayoutSet")
    events = list(founded.events)
    told: Any = events[place].transaction
    events[place] = replace(events[place], transaction=replace(told, who=checksum(b"\x09" * 20)))
    with pytest.raises(Differs, match="the account or its owner"):
        founded.replay(events, founded.fresh())


def test_accounts_that_rise_disprove_nothing() -> None:
    founded = started()
    header = founded.roots.propose(0, TRUE)
    data = founded.roots.roots.data("dispute_order", header, TRUE.proof(3), TRUE.proof(4))
    founded.follow()
    roots = founded.models.economy.roots
    assert roots is not None
    made = replace(founded.events[-1].transaction, data=data)
    known = roots.headers[roots.tip]
    assert not frauds.disproved(made, "order", known, bytes(32))
