"""The economics of whole networks: each token model for ten epochs, an owner who is his own client,
and a lie about rewards when nobody holds a power any more."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from freehold.audit.export import export
from freehold.audit.verify import verify_live
from freehold.cli.local import GENESIS, STAKE
from freehold.client.token import Identity
from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.ledger import abi, keystore
from freehold.ledger.contracts.roots import header_words
from freehold.ledger.contracts.token import FEE
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event
from journeys.books import SHARE_BPS, Books, books_of, told
from journeys.court import NOBODY, Court, open_court, place, tree_of
from journeys.seasons import (
    EPOCH,
    Season,
    answered,
    attempt,
    begin_round,
    claim,
    close_all,
    deployed,
    season,
    skip_without_engine,
    wait_for,
)
from journeys.test_cli import freehold
from journeys.test_node import PASSWORD, NodeProcess, join, open_deal, store
from journeys.town import QUICK

pytestmark = pytest.mark.journey
EPOCHS = 10
MANY = (
    [(int(os.environ["FREEHOLD_OWN_NODES"]), "2.5")] if "FREEHOLD_OWN_NODES" in os.environ else []
)
"""A hundred nodes are a hundred processes: minutes, so only where they are asked for."""
MONTH, SIX_YEARS = 2_629_800, 6 * 365 * 86_400


def schedule(model: str, seconds: int) -> float:
    """Tokens that a model allows in its first hours, by its own words."""
    if model == "own":
        return 2e-12 * (1 - 0.9 ** (seconds // EPOCH))
    if model == "filecoin":
        return 330e6 * (1 - 2 ** (-seconds / SIX_YEARS))
    return 10_000_000 / 3 * seconds / MONTH if model == "ionet" else seconds / 12


# Ten epochs of each token model


@pytest.mark.parametrize("model", ["filecoin", "ionet", "bittensor", "own"])
def test_ten_epochs_with_joining_failing_and_slashing(model: str, tmp_path: Path) -> None:
    with season(tmp_path / "home", model, nodes=3) as lived:
        try:
            live(lived, tmp_path)
        except BaseException:
            print(lived.town.tails())
            raise
        check(lived, model)


def live(lived: Season, scratch: Path) -> None:
    data = os.urandom(600_000)
    with lived.town.client() as client:
        client.put(data, "season/first", preset=(2, 3))
    for epoch in range(EPOCHS):
        lived.live()
        if epoch == 1:
            lived.join()
        if epoch == 3:
            lived.kill(lived.members[0])
            with lived.town.client() as client:
                client.put(data[::-1], "season/second", preset=(2, 3))
        if epoch % 3:  # work of some epochs waits for them to be closed
            lived.close()
        if epoch % 4 == 3:
            lived.claim()
    wait_for("the dead node is slashed", lambda: failed(lived))
    with lived.town.client() as client:
        client.get("season/first", scratch / "first")
    assert (scratch / "first").read_bytes() == data
    lived.live()
    lived.close()
    lived.claim()


def failed(lived: Season) -> bool:
    lived.ledger.index.sync()
    return bool(told(lived.ledger, "faults", "NodeFailed"))


def check(lived: Season, model: str) -> None:
    """Claims, fees, slashes and supply against the books."""
    ledger, books = lived.ledger, books_of(lived.ledger)
    claimed: Counter[int] = Counter()
    paid: Counter[Address] = Counter()
    for event in told(ledger, "rewards", "Claimed"):
        claimed[event.number("account")] += event.number("amount")
        paid[event.address("payee")] += event.number("amount")
    ended = ledger.rewards.epoch()
    assert ended >= EPOCHS
    for member in lived.members:
        assert claimed[member.account] == books.due(member.account, ended) > 0, member.name
        owner = member.owner.key
        assert owner is not None
        assert paid[owner.address] == claimed[member.account]
        assert ledger.token.balance_of(owner.address) == paid[owner.address]
    dead = lived.members[0]
    last = [max(books.accounts[member.account].work) for member in lived.members]
    assert last[0] < min(last[1:]), "who is dead works no more"
    assert ledger.faults.node_state(dead.node).failed
    assert 0 < ledger.staking.active(dead.node) < STAKE
    assert all(ledger.staking.active(member.node) == STAKE for member in lived.members[1:])
    supply(ledger, books, model, ended)
    agreed(ledger)


def agreed(ledger: Ledger) -> None:
    """The product's own verification finds nothing either."""
    report = verify_live([ledger.rpc], ledger.network)
    assert report.passed, report.difference


def supply(ledger: Ledger, books: Books, model: str, ended: int) -> None:
    """Nothing but what was earned is minted, within the schedule, within the cap."""
    earned = sum(books.emission(epoch)[0] for epoch in range(ended))
    drawn = sum(event.number("amount") for event in told(ledger, "issuance", "Drawn"))
    assert drawn == earned == ledger.issuance.minted() == ledger.rewards.emitted() > 0
    assert ledger.token.minted() == GENESIS + drawn <= ledger.token.cap()
    scheduled = sum(books.budgets.values())
    assert drawn <= scheduled == ledger.issuance.scheduled_total() <= ledger.issuance.plan().limit
    assert scheduled / UNIT == pytest.approx(schedule(model, ended * EPOCH), rel=2e-6)
    worked = [epoch for epoch in range(ended) if books.emission(epoch)[1]]
    bound = {books.scarce(epoch) for epoch in worked}
    assert bound == ({True, False} if model == "own" else {False}), "fees, and budgets, bind"
    assert ledger.token.burned() >= sum(books.burned.values()) > drawn
    dust = ledger.token.balance_of(ledger.rewards.address)
    assert dust == drawn - ledger.rewards.claimed() < 4 * ended


# An owner who is his own client


@dataclass(frozen=True, slots=True)
class Dealer:
    """An owner with nodes and deals between accounts of his own."""

    ledger: Ledger
    owner: Key
    nodes: tuple[NodeProcess, ...]

    def wealth(self) -> int:
        """All tokens in all his accounts, stake and deposits included."""
        ledger, accounts = self.ledger, [self.owner.address, *(n.key.address for n in self.nodes)]
        held = sum(ledger.token.balance_of(each) for each in accounts)
        token = ledger.token.address
        deposited = sum(ledger.payments.account(token, each).funds for each in accounts)
        return held + deposited + sum(ledger.staking.active(each) for each in accounts[1:])

    def live(self) -> int:
        """An epoch of proofs, payments, backing and claims; how many epochs have ended."""
        ledger, number = self.ledger, begin_round(self.ledger)
        sets = [ledger.faults.set_of(node.key.address) for node in self.nodes]
        for each in sets:
            wait_for("a node answers", partial(answered, ledger, each, number))
        rails = range(1, ledger.payments.rail_count() + 1)
        attempt(lambda: ledger.payments.settle_many(list(rails)))
        for each in sets:
            attempt(partial(ledger.rewards.back, each))
        ended = close_all(ledger)
        for each in sets:
            claim(ledger, each)
        return ended


@contextmanager
def dealer(root: Path, nodes: int) -> Iterator[Dealer]:
    """A network in which there is nobody else."""
    skip_without_engine()
    owner = Key.draw(secrets.token_bytes)
    with ExitStack() as stack:
        devnet = stack.enter_context(Devnet.start(root / "devnet", admin=True))
        network = deployed(devnet, root / "deploy", "filecoin")
        descriptor = root / "network.json"
        descriptor.write_text(network.render())
        with Ledger.open(network, state=root / "funder", key=devnet.funder) as funder:
            funder.transfer(owner.address, 1_000 * UNIT)
            funder.token.transfer(owner.address, 100_000 * UNIT)
        ledger = stack.enter_context(Ledger.open(network, state=root / "owner", key=owner))
        made = [made_node(root / f"node-{number}", descriptor) for number in range(nodes)]
        for node in made:
            stack.callback(end, node)
            join(ledger, owner, node)
            node.start()
        yield Dealer(ledger, owner, tuple(made))


def made_node(home: Path, descriptor: Path) -> NodeProcess:
    home.mkdir()
    key = Key.draw(secrets.token_bytes)
    keystore.save(home / "key.json", key, PASSWORD, cost=QUICK)
    (home / "password").write_text(PASSWORD)
    return NodeProcess(home, descriptor, key)


def end(node: NodeProcess) -> None:
    if node.process is not None and node.process.poll() is None:
        node.process.kill()
        node.process.wait(30)


@pytest.mark.parametrize(("nodes", "price"), [(1, "2.5"), (3, "2.5"), (2, "4000"), *MANY])
def test_an_owner_who_is_his_own_client_ends_poorer(
    nodes: int, price: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FREEHOLD_NODE_PRICE", price)
    with dealer(tmp_path, nodes) as own:
        ledger, begun = own.ledger, own.wealth()
        me = Identity(own.owner, ledger.network.domain("registry"), ledger, secrets.token_bytes)
        for node in own.nodes:
            store(node, me)
            open_deal(ledger, node, me, ledger.now() + 100 * EPOCH)
        assert own.wealth() == begun, "opening takes nothing"
        while own.live() < EPOCHS + 1:
            pass
        claimed, burned = ledger.rewards.claimed(), ledger.token.burned()
        assert 0 < claimed <= burned * SHARE_BPS // 10_000
        assert ledger.issuance.scheduled_total() > 10**6 * claimed, "no lack of a budget"
        lost = begun - own.wealth()
        assert lost > 0
        assert lost == burned + treasury(ledger) - claimed


def test_a_payout_is_reckoned_from_an_export_alone(tmp_path: Path) -> None:
    path = tmp_path / "chain.jsonl"
    with dealer(tmp_path, 1) as own:
        ledger, node = own.ledger, own.nodes[0]
        me = Identity(own.owner, ledger.network.domain("registry"), ledger, secrets.token_bytes)
        store(node, me)
        open_deal(ledger, node, me, ledger.now() + 100 * EPOCH)
        while (paid := single_claim(ledger)) is None:
            assert own.live() < EPOCHS, "no claim of a single epoch"
        number = ledger.faults.set_of(node.key.address)
        export(ledger.rpc, ledger.network, path)
    epoch, amount = paid
    assert amount > 0
    for account in (str(number), node.key.address, own.owner.address):
        asked = ("--chain", str(path), "--account", account, "--epoch", str(epoch))
        report = freehold(tmp_path / "nobody", "verify", *asked)
        assert report["passed"] is True
        payouts = report["payouts"]
        assert isinstance(payouts, list)
        payout = payouts[0]
        assert (payout["account"], payout["epoch"]) == (f"set {number}", epoch)
        assert payout["earned"] == payout["paid"] == amount
        assert payout["reason"] == ""
        steps = {step["name"]: step["value"] for step in payout["steps"]}
        assert steps["backed work of the account"] == steps["backed work of all"] > 0
        assert steps["reward"] == steps["rewarded"] == amount


def single_claim(ledger: Ledger) -> tuple[int, int] | None:
    """The epoch and amount of a claim that paid the reward of one epoch; None before there is."""
    ledger.index.sync()
    rewards = told(ledger, "rewards", "Rewarded") + told(ledger, "rewards", "Claimed")
    since: list[Event] = []
    for event in sorted(rewards, key=lambda each: (each.block, each.index)):
        if event.name == "Rewarded":
            since.append(event)
        elif len(since) == 1:
            return since[0].number("epoch"), event.number("amount")
        else:
            since = []
    return None


def treasury(ledger: Ledger) -> int:
    """What fees brought to the treasury."""
    ledger.index.sync()
    moves = told(ledger, "payments", "Movement")
    return sum(move.number("amount") for move in moves if move.number("purpose") == FEE)


# A lie when nobody holds a power any more


@pytest.fixture
def court(tmp_path: Path) -> Iterator[Court]:
    with open_court(tmp_path) as opened:
        yield opened


def powerless(ledger: Ledger) -> None:
    """Nobody but contracts can do anything, and the founder's key is as good as any."""
    holders = {power.holder for power in ledger.governor.powers()}
    assert holders <= {*ledger.network.contracts.values(), NOBODY}
    wanted = ([ledger.token.address], 1)
    names = abi.artifact("roots").calldata("set_watchers", wanted)
    roots, token = ledger.roots.address, ledger.token.address
    acts: list[Callable[[], object]] = [
        partial(ledger.governor.propose, roots, names),
        partial(ledger.governor.setup_call, roots, names),
        partial(ledger.governor.pause, ledger.payments.address),
        partial(ledger.send, "roots", "set_watchers", wanted),
        partial(ledger.token.mint, token, 1, 1),
    ]
    for act in acts:
        with pytest.raises(RefusedError):
            act()


def test_a_false_root_is_disproved_when_every_key_is_given_up(court: Court) -> None:
    powerless(court.founder)
    ledger, liar = court.founder, court.liar.key
    assert liar is not None
    true = dict.fromkeys(court.earners, 10**9)
    court.draw(5 * 10**9)
    parent_tree = tree_of(true)
    parent = court.propose(court.proposer, parent_tree, court.watchers[1:4])
    court.finalize(parent)
    court.pay(parent, parent_tree)
    assert [ledger.token.balance_of(each) for each in court.earners] == [UNIT] * 5

    robbed = court.earners[0]
    court.draw(5 * 10**9)
    lie = tree_of({**true, robbed: 1, liar.address: 6 * 10**9 - 1})
    header = court.propose(court.liar, lie, court.watchers[2:])  # three watchers lie as well
    before, after = place(parent_tree, robbed), place(lie, robbed)
    burned, bond = ledger.token.burned(), header.bond
    done = court.watcher.send(
        "roots", "dispute_sunk", (header_words(header), header_words(parent), before, [after])
    )
    assert done.one("Voided").text("reason") == "sunk"
    watcher = court.watcher.key
    assert watcher is not None
    reward = bond * ledger.roots.parameters().reward_bps // 10_000
    court.founder.roots.settle(header, watcher.address)
    assert ledger.token.balance_of(watcher.address) == reward == 300 * UNIT
    assert ledger.token.burned() - burned == bond - reward
    assert ledger.roots.bond_of(liar.address).amount == 0
    with pytest.raises(RefusedError, match="no open root"):
        court.finalize(header)
    account, grains, index, path = place(lie, liar.address)
    with pytest.raises(RefusedError, match="not final"):
        court.watcher.roots.claim(header.epoch, Address(account), grains, index, path)

    grown = tree_of(dict.fromkeys(true, 2 * 10**9))
    honest = court.propose(court.proposer, grown, court.watchers[:3])
    court.finalize(honest)
    court.pay(honest, grown)
    assert [ledger.token.balance_of(each) for each in court.earners] == [2 * UNIT] * 5
    assert ledger.token.balance_of(liar.address) == 0
    assert ledger.token.minted() <= ledger.token.cap()
    powerless(ledger)
    agreed(ledger)
