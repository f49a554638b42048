"""Two nodes of one owner on a devnet with short epochs, and what they are due by a calculation of
its own from deals, rounds and payments."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contracts import merkle
from freehold.cli import rewards
from freehold.cli.enlist import Enlistment, enlist
from freehold.cli.home import Home, find_home
from freehold.cli.wallets import WalletFolder
from freehold.domain.clock import SystemClock
from freehold.domain.ids import Address
from freehold.domain.keys import Key, new_phrase
from freehold.domain.money import UNIT
from freehold.domain.network import Network
from freehold.domain.typed import ACCEPTANCE
from freehold.economics.schedules.plan import GEOMETRIC, Plan
from freehold.ledger.contracts.registry import STORAGE
from freehold.ledger.contracts.storage import Acceptance, Mandate, OpenRequest
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.economy import OWN, economy
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import DeployPlan, devnet
from unit.ledger.devnet.waiting import until

RULES = devnet(30)
PERIOD, FEE_BPS, BURN_BPS = RULES.period, RULES.fee_bps, RULES.burn_bps
PRICE = 3_000_000 * UNIT
EPOCH = 8 * PERIOD
SHARE_BPS, STORAGE_BPS = 9_000, 7_000
PLAN = Plan(
    kind=GEOMETRIC, limit=10**13, amount=3 * 10**12, step=EPOCH, factor=25 * 10**16, steps=20
)
"""The first epochs have more than fees allow, those from the fourth on less."""
COINS = 10**18


@dataclass
class Earner:
    """A node, what it holds, and a calculation of what it is due; work by epoch."""

    key: Key
    ledger: Ledger
    payee: Address
    piece: merkle.Piece
    deal: int = 0
    rail: int = 0
    set_id: int = 0
    paid: int = 0
    fee: int = 0
    burned: int = 0
    used: int = 0
    credit: int = 0
    work: dict[int, int] = field(default_factory=dict)

    def settled(self, paid: int) -> None:
        """A payment came: half of its fee burns, the fee being of all that was ever paid."""
        self.paid += paid
        fee = self.paid * FEE_BPS // 10_000 - self.fee
        self.fee += fee
        self.burned += fee * BURN_BPS // 10_000

    def backed(self, per_token: int) -> None:
        more = (self.burned - self.used) * per_token // UNIT
        self.used += -(-more * UNIT // per_token)
        self.credit += more

    def proved(self, epoch: int) -> None:
        done = min(self.piece.leaves * 32 * PERIOD // 2**20, self.credit)
        self.credit -= done
        self.work[epoch] = self.work.get(epoch, 0) + done


@dataclass
class Town:
    """A founder who is client and owner, and two nodes; the second pays somebody else.
    Registering them burned ``entered`` base units."""

    home: Home
    ledger: Ledger
    earners: list[Earner]
    stranger: Ledger
    per_token: int
    entered: int

    @property
    def epoch(self) -> int:
        return self.ledger.rewards.epoch()

    def warp(self, moment: int) -> None:
        ledgers = [self.ledger, self.stranger, *(each.ledger for each in self.earners)]
        ahead = moment - self.ledger.now()
        assert ahead > 0
        self.ledger.rpc.request("evm_increaseTime", ahead)
        for each in ledgers:
            each._clock.forget()

    def round(self) -> None:
        """The next period's round, answered by all; only where that is in the same epoch."""
        beacon = self.ledger.beacon
        period = beacon.period_of(self.ledger.now()) + 1
        self.warp(beacon.period_start(period))
        beacon.fix(period)
        target = beacon.fixed_block(period)
        until(lambda: self.ledger.head().number >= target, "no block for the beacon")
        beacon.store(period)
        for earner in self.earners:
            self._prove(earner)

    def _prove(self, earner: Earner) -> None:
        pdp, set_id = earner.ledger.pdp, earner.set_id
        while pdp.waiting(set_id)[1]:
            pdp.roll(set_id, 64)
        index = pdp.next_round(set_id)
        proof = b"".join(earner.piece.proof(s.offset) for s in pdp.challenged(set_id, index))
        receipt = pdp.prove(set_id, index, proof)
        assert receipt.one("Proven").args["in_time"]
        earner.proved((receipt.time - self.ledger.rewards.genesis()) // EPOCH)

    def settle(self) -> None:
        for earner in self.earners:
            receipt = self.ledger.payments.settle(earner.rail)
            earner.settled(sum(e.number("paid") for e in receipt.named("RailSettled")))

    def back(self) -> None:
        for earner in self.earners:
            earner.ledger.rewards.back(earner.set_id)
            earner.backed(self.per_token)

    def next_epoch(self) -> None:
        genesis = self.ledger.rewards.genesis()
        self.warp(genesis + (self.epoch + 1) * EPOCH)

    def rate(self, epoch: int) -> int:
        """What a unit of an epoch's work is worth, times 2^96."""
        weight = sum(earner.work.get(epoch, 0) for earner in self.earners)
        ceiling = weight * SHARE_BPS * UNIT // (10_000 * self.per_token)
        budget = PLAN.scheduled((epoch + 1) * EPOCH) - PLAN.scheduled(epoch * EPOCH)
        return min(ceiling, budget * STORAGE_BPS // 10_000) * 2**96 // weight if weight else 0

    def due(self, earner: Earner, epochs: range) -> int:
        return sum(earner.work.get(e, 0) * self.rate(e) >> 96 for e in epochs)


@contextmanager
def open_town(folder: Path) -> Iterator[Town]:
    """A town whose chain runs until the end of the context; its files lie in ``folder``."""
    with Devnet.start(folder / "devnet", admin=True) as running:
        home = find_home(folder / "home")
        home.claim()
        key = WalletFolder(home.wallet).create(new_phrase(), home.password(), cost=2**4)
        network = found(running, key.address, folder / "deploy")
        home.descriptor.write_text(network.render())
        ledgers: list[Ledger] = []

        def opened(who: Key, name: str) -> Ledger:
            ledgers.append(Ledger.open(network, state=folder / name, key=who))
            return ledgers[-1]

        try:
            yield peopled(opened, opened(running.funder, "funder"), key, home)
        finally:
            for each in ledgers:
                each.close()


def found(devnet: Devnet, owner: Address, state: Path) -> Network:
    wanted = replace(economy(OWN, PERIOD, schedule=PLAN), price=PRICE, epoch=EPOCH)
    plan = DeployPlan(
        "town", RULES, {owner: 10**6 * UNIT}, model=OWN, schedule=PLAN, economy=wanted
    )
    return deploy(
        plan, rpc_urls=[devnet.url], chain_id=devnet.chain_id, key=devnet.funder, state=state,
        random=secrets.token_bytes, clock=SystemClock(),
    )  # fmt: skip


def peopled(opened: Any, funder: Ledger, key: Key, home: Home) -> Town:
    keys = [Key.from_secret(bytes([n]) * 32) for n in (81, 82, 83)]
    for each in (key, *keys):
        funder.transfer(each.address, 5 * COINS)
    ledger: Ledger = opened(key, "owner")
    stranger = opened(keys[2], "stranger")
    payees = (key.address, keys[2].address)
    earners = []
    for number, (node, payee) in enumerate(zip(keys[:2], payees, strict=True)):
        enlist(ledger, node, Enlistment(roles=STORAGE, stake=1_000 * UNIT, payout=payee))
        piece = merkle.sample(number + 1, (500_000, 200_000)[number])
        made = Earner(node, opened(node, f"node-{number}"), payee, piece)
        made.set_id = ledger.faults.set_of(node.address)
        earners.append(made)
    entered = ledger.token.burned()
    ledger.token.approve(ledger.payments.address, 10**5 * UNIT)
    ledger.payments.deposit(ledger.token.address, key.address, 10**5 * UNIT)
    ledger.payments.approve_market(
        ledger.token.address, ledger.storage.address, rate_cap=2**200, lockup_cap=2**100
    )
    town = Town(home, ledger, earners, stranger, ledger.rewards.work_per_token(), entered)
    for earner in earners:
        open_deal(town, key, earner)
    return town


def open_deal(town: Town, client: Key, earner: Earner) -> None:
    """A deal of one column, at a price whose fees back all of its bytes."""
    ledger, piece = town.ledger, earner.piece
    beacon, now = ledger.beacon, ledger.now()
    term_end = beacon.period_start(beacon.period_of(now) + 90)
    deadline = now + 600
    digest = ACCEPTANCE.digest(
        ledger.network.domain("storage"),
        [earner.key.address, client.address, client.address, ledger.token.address, piece.root,
         piece.size, piece.height, PRICE, term_end, deadline, 1],
    )  # fmt: skip
    given = Acceptance(earner.key.address, PRICE, term_end, deadline, 1, earner.key.sign(digest))
    request = OpenRequest(
        b"\x0b" * 32, ledger.token.address, 1, piece.size, piece.height, (piece.root,),
        Mandate(PRICE, 0, 1, term_end, 0, 0), b"where",
    )  # fmt: skip
    event = ledger.storage.open(request, [given]).one("ColumnOpened")
    earner.deal, earner.rail = event.number("deal"), event.number("rail")


def grown(town: Town) -> None:
    """A town in which both nodes have been rewarded at least once."""
    if town.earners[0].work:
        return
    town.stranger.rewards.set_backer(town.earners[1].set_id, True)
    town.next_epoch()
    for _ in range(2):
        town.round()
    town.warp(town.ledger.now() + PERIOD)
    town.settle()
    town.back()
    town.round()
    town.next_epoch()
    rewards.claim(home=town.home.root, yes=True)
