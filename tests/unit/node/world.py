"""A node in memory: a chain that answers from plain fields, a clock that is set by hand."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

from freehold.domain.clock import Clock
from freehold.domain.errors import CapacityError, RefusedError, UnavailableError
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum
from freehold.domain.keys import Key, recover
from freehold.domain.network import CONTRACTS, Network
from freehold.domain.typed import REQUEST, VOUCHER
from freehold.economics.earnings import Bounds
from freehold.ledger.contracts.beacon import Round
from freehold.ledger.contracts.faults import NodeState
from freehold.ledger.contracts.issuance import Plan
from freehold.ledger.contracts.payments import Rail, Status
from freehold.ledger.contracts.pdp import Spot
from freehold.ledger.contracts.registry import STORAGE, Session
from freehold.ledger.contracts.registry import Node as Entry
from freehold.ledger.contracts.rewards import Due, Standing
from freehold.ledger.contracts.staking import Arrival
from freehold.ledger.contracts.storage import ACTIVE, Column, Deal, Mandate
from freehold.ledger.look import Look
from freehold.ledger.values import Event, Header, Receipt, Value
from freehold.node.node import Node
from freehold.node.settings import MIB, Settings

NOW = 1_800_000_000
NODE = Key.from_secret(b"\x11" * 32)
CLIENT = Key.from_secret(b"\x22" * 32)
STRANGER = Key.from_secret(b"\x33" * 32)
WATCHER = Key.from_secret(b"\x44" * 32)
PAYOUT = checksum(b"\x55" * 20)
_numbers = itertools.count(1)


def network(*, name: str = "test", network_id: bytes = b"\x07" * 32) -> Network:
    contracts = {c: checksum(bytes([i + 1]) * 20) for i, c in enumerate(CONTRACTS)}
    return Network(name, 31337, network_id, contracts, {}, ("http://127.0.0.1:1",), 0)


@dataclass
class HandClock:
    """A clock that moves when it is told to."""

    time: int = NOW

    def now(self) -> int:
        return self.time


def receipt(*logs: Event, time: int = NOW) -> Receipt:
    return Receipt(f"0x{next(_numbers):064x}", 1, "0x", 21_000, 1, logs, time, 0)


def event(name: str, block: int = 1, contract: str = "storage", **args: Value) -> Event:
    return Event(contract, name, args, block, next(_numbers), "0x", "0x", NOW)


@dataclass
class FakeRegistry:
    entries: dict[Address, Entry] = field(default_factory=dict)
    roles: dict[Address, int] = field(default_factory=dict)
    sessions: dict[tuple[Address, Address], Session] = field(default_factory=dict)
    asked: int = 0

    def node(self, node: Address) -> Entry:
        empty = Entry(ZERO_ADDRESS, ZERO_ADDRESS, 0, 0, 0, False, "", bytes(32), bytes(32))
        return self.entries.get(node, empty)

    def active(self, node: Address, role: int) -> bool:
        return bool(self.roles.get(node, 0) & role)

    def session(self, account: Address, key: Address) -> Session:
        self.asked += 1
        return self.sessions.get((account, key), Session(0, 0, 0))

    def announce(self, node: Address, *, endpoint: str, tls: bytes) -> Receipt:
        self.entries[node] = replace(self.entries[node], endpoint=endpoint, tls=tls)
        return receipt()


@dataclass
class FakeToken:
    address: Address
    balances: dict[Address, int] = field(default_factory=dict)

    def balance_of(self, account: Address) -> int:
        return self.balances.get(account, 0)


@dataclass
class FakePayments:
    token: Address
    available: dict[Address, int] = field(default_factory=dict)
    solvent_until: dict[Address, int] = field(default_factory=dict)
    rails: dict[int, Rail] = field(default_factory=dict)
    settled: list[int] = field(default_factory=list)
    broken: set[int] = field(default_factory=set)
    redeemed: list[tuple[int, int]] = field(default_factory=list)
    redeem_gas: int = 120_000
    burnt: dict[Address, int] = field(default_factory=dict)

    def burned(self, market: Address, payee: Address) -> int:
        return self.burnt.get(payee, 0)

    def status(self, token: Address, owner: Address) -> Status:
        funds = self.available.get(owner, 0)
        return Status(funds, funds, self.solvent_until.get(owner, NOW * 2))

    def rail(self, rail: int) -> Rail:
        if rail not in self.rails:
            raise RefusedError("payments: unknown rail", remedy="-")
        return self.rails[rail]

    def settle_many(self, rails: Sequence[int]) -> Receipt:
        if self.broken & set(rails):
            raise RefusedError("payments: arbiter failed", remedy="-")
        return receipt(*(log for rail in rails for log in self.settle(rail).logs))

    def settle(self, rail: int) -> Receipt:
        if rail in self.broken:
            raise RefusedError("payments: arbiter failed", remedy="-")
        self.settled.append(rail)
        return receipt(event("RailSettled", contract="payments", rail=rail, paid=100, fee=1))

    def redeem(self, rail: int, amount: int, signature: bytes, *, most_gas: int = 2**24) -> Receipt:
        if self.redeem_gas > most_gas:
            raise CapacityError(f"it needs {self.redeem_gas} gas", remedy="-")
        self.redeemed.append((rail, amount))
        before = self.rails[rail]
        paid = min(amount - before.paid, before.fixed)
        self.rails[rail] = replace(before, paid=before.paid + paid, fixed=before.fixed - paid)
        return receipt(event("VoucherRedeemed", contract="payments", rail=rail, paid=paid, fee=0))

    def open_voucher(self, rail: int, payer: Address, *, collateral: int) -> None:
        self.rails[rail] = Rail(
            self.token, payer, PAYOUT, ZERO_ADDRESS, 0, 60, collateral, NOW, NOW, 0, 0, 0, 0, 50,
            0, False,
        )  # fmt: skip


@dataclass
class FakeBeacon:
    period: int = 60
    rounds: list[Round] = field(default_factory=list)
    fixed: dict[int, int] = field(default_factory=dict)
    head: int = 100

    def fix(self, period: int) -> Receipt:
        if period in self.fixed:
            raise RefusedError("beacon: fixed", remedy="-")
        self.fixed[period] = self.head + 2
        return receipt()

    def store(self, period: int) -> Receipt:
        self.rounds.append(Round(b"\x09" * 32, period, NOW))
        return receipt()

    def period_of(self, time: int) -> int:
        return max((time - NOW) // self.period, 0)

    def period_start(self, period: int) -> int:
        return NOW + period * self.period

    def grace(self) -> int:
        return 20

    def round_count(self) -> int:
        return len(self.rounds)

    def round(self, index: int) -> Round:
        return self.rounds[index]

    def round_of(self, period: int) -> int | None:
        return next((i for i, r in enumerate(self.rounds) if r.period == period), None)

    def fixed_block(self, period: int) -> int:
        return self.fixed.get(period, 0)


@dataclass
class FakePdp:
    beacon: FakeBeacon
    pieces: dict[int, SimpleNamespace] = field(default_factory=dict)
    spots: list[Spot] = field(default_factory=list)
    proven: list[tuple[int, bytes]] = field(default_factory=list)
    due: int = 0
    closed: bool = False
    late: bool = False
    decided: int = 2**63
    good: int = 0

    def prove(self, set_id: int, round_index: int, proof: bytes) -> Receipt:
        if self.due:
            raise RefusedError("pdp: roll first", remedy="-")
        self.proven.append((round_index, proof))
        return receipt(event("Proven", contract="pdp", in_time=not self.late))

    def roll(self, set_id: int, most: int) -> Receipt:
        self.due = max(self.due - most, 0)
        return receipt()

    def set(self, set_id: int) -> SimpleNamespace:
        return SimpleNamespace(closed=self.closed)

    def piece(self, set_id: int, piece_id: int) -> SimpleNamespace:
        return self.pieces[piece_id]

    def challenged(self, set_id: int, round_index: int) -> list[Spot]:
        return self.spots

    def next_round(self, set_id: int) -> int:
        return len(self.proven)

    def missed(self, set_id: int) -> int:
        return 0

    def decided_until(self, set_id: int) -> int:
        return 2**256 - 1 if self.closed else self.decided

    def good_rounds(self, set_id: int, first: int, last: int) -> int:
        return self.good

    def waiting(self, set_id: int) -> tuple[int, int]:
        return self.due, self.due


@dataclass
class FakeFaults:
    set_id: int = 1
    columns: int = 0
    notice_at: int = 0
    failed: bool = False
    stake_per_tib: int = 0
    notice: int = 120
    answered: list[tuple[int, bytes]] = field(default_factory=list)

    def parameters(self) -> FakeFaults:
        return self

    def set_of(self, node: Address) -> int:
        return self.set_id

    def node_state(self, node: Address) -> FakeFaults:
        return self

    def give_notice(self, node: Address) -> Receipt:
        self.notice_at = NOW
        return receipt()

    def answer_spot(self, challenge: int, proof: bytes) -> Receipt:
        self.answered.append((challenge, proof))
        return receipt()


@dataclass
class FakeStorage:
    deals: dict[int, Deal] = field(default_factory=dict)
    columns: dict[int, Column] = field(default_factory=dict)
    finished: list[int] = field(default_factory=list)
    exited: list[tuple[int, int]] = field(default_factory=list)
    lockup_period: int = 600

    def parameters(self) -> FakeStorage:
        return self

    def deal(self, deal: int) -> Deal:
        if deal not in self.deals:
            raise RefusedError("storage: unknown deal", remedy="-")
        return self.deals[deal]

    def column(self, deal: int, slot: int) -> Column:
        return self.columns[max(self.columns)]

    def column_of(self, rail: int) -> Column:
        if rail not in self.columns:
            raise RefusedError("storage: unknown rail", remedy="-")
        return self.columns[rail]

    def exit(self, deal: int, slot: int) -> Receipt:
        self.exited.append((deal, slot))
        return receipt()

    def finish_rail(self, rail: int) -> Receipt:
        self.finished.append(rail)
        self.columns[rail] = replace(self.columns[rail], state=3)
        return receipt()


@dataclass
class FakeIssuance:
    """Gives every epoch ``budget`` and lets it be drawn from for ``window`` epochs."""

    advanced: int = 0
    budget: int = 10**18
    window: int = 52
    sent: list[int] = field(default_factory=list)
    now: Callable[[], int] = lambda: 0

    def advance(self, most: int) -> Receipt:
        self.sent.append(most)
        self.advanced = min(self.advanced + most, self.now())
        return receipt(event("EpochClosed", contract="issuance", epoch=self.advanced - 1))

    def closed(self) -> int:
        return self.advanced

    def plan(self) -> Plan:
        return Plan(2, 0, 0, 0, 0, 0, 0, 0, 0, 0, self.window)

    def market_drawable(self, market: bytes, epoch: int) -> int:
        if epoch >= self.advanced:
            raise RefusedError("issuance: epoch is not closed", remedy="-")
        return self.budget


@dataclass
class FakeRewards:
    """One account, alone with all work of the network, or with ``others`` in each epoch."""

    issuance: FakeIssuance
    index: FakeIndex
    time: Callable[[], int]
    payments: FakePayments
    epoch_length: int = 600
    standing: Standing = field(default_factory=lambda: Standing(0, 0, 0, 0, 0))
    reward: int = 0
    waits: dict[int, int] = field(default_factory=dict)
    closings: dict[int, int] = field(default_factory=dict)
    others: dict[int, int] = field(default_factory=dict)
    used: dict[Address, int] = field(default_factory=dict)
    agreed: set[tuple[Address, int]] = field(default_factory=set)
    sent: list[tuple[str, int]] = field(default_factory=list)
    broken: bool = False
    bounds: Bounds = field(default_factory=lambda: Bounds(10**6, 9_000))

    def proven(self, work: int) -> None:
        """What the contract does with a proof of ``work`` that fees back."""
        a, epoch = self.standing, self.epoch()
        if a.epoch != epoch and a.weight:
            if a.last_weight:
                self._leave(a.last_epoch, a.last_weight)
            a = replace(a, last_epoch=a.epoch, last_weight=a.weight)
        weight = (a.weight if a.epoch == epoch else 0) + work
        self.standing = replace(a, epoch=epoch, weight=weight)

    def back(self, account: int) -> Receipt:
        self._sent("back", account)
        fresh = self.used != self.payments.burnt
        self.used |= self.payments.burnt
        told = event("Backed", contract="rewards", account=account)
        return receipt(*[told] * fresh)

    def close(self, epoch: int) -> Receipt:
        self._sent("close", epoch)
        if epoch in self.closings or epoch >= self.epoch():
            raise RefusedError("rewards: closed already", remedy="-")
        total, budget = self.total(epoch), self.issuance.market_drawable(b"", epoch)
        lost = self.epoch() > epoch + 1 + self.issuance.window
        paid = 0 if lost else min(self.bounds.ceiling(total), budget)
        self.closings[epoch] = paid * 2**96 // total
        return receipt(event("EpochClosed", contract="rewards", epoch=epoch))

    def collect(self, account: int, epoch: int) -> Receipt:
        self._sent("collect", epoch)
        self._reward(epoch, self.waits.pop(epoch))
        return receipt(event("Rewarded", contract="rewards", account=account, epoch=epoch))

    def claim(self, account: int) -> Receipt:
        self._sent("claim", account)
        a = self.standing
        if a.last_weight and a.last_epoch in self.closings:
            self._reward(a.last_epoch, a.last_weight)
            self.standing = replace(self.standing, last_weight=0)
        if a.weight and a.epoch in self.closings:
            self._reward(a.epoch, a.weight)
            self.standing = replace(self.standing, weight=0)
        paid, self.reward = self.reward, 0
        if not paid:
            return receipt()
        return receipt(event("Claimed", contract="rewards", account=account, amount=paid))

    def account(self, account: int) -> Standing:
        return self.standing

    def due(self, account: int) -> Due:
        return Due(self.reward, len(self.waits))

    def epoch(self) -> int:
        return (self.time() - NOW) // self.epoch_length

    def genesis(self) -> int:
        return NOW

    def epoch_seconds(self) -> int:
        return self.epoch_length

    def total(self, epoch: int) -> int:
        a = self.standing
        own = a.weight * (a.epoch == epoch) + a.last_weight * (a.last_epoch == epoch)
        return own + self.waits.get(epoch, 0) + self.others.get(epoch, 0)

    def waiting(self, account: int, epoch: int) -> int:
        return self.waits.get(epoch, 0)

    def closed(self, epoch: int) -> bool:
        return epoch in self.closings

    def rates(self, epoch: int) -> int:
        return self.closings.get(epoch, 0)

    def market(self) -> Address:
        return ZERO_ADDRESS

    def backed_fees(self, payee: Address) -> int:
        return self.used.get(payee, 0)

    def backers(self, payee: Address, account: int) -> bool:
        return (payee, account) in self.agreed

    def work_per_token(self) -> int:
        return self.bounds.work_per_token

    def share_bps(self) -> int:
        return self.bounds.share_bps

    def _reward(self, epoch: int, weight: int) -> None:
        amount = weight * self.closings[epoch] >> 96
        self.reward += amount
        self._log("Rewarded", epoch)

    def _leave(self, epoch: int, weight: int) -> None:
        if epoch in self.closings:
            self._reward(epoch, weight)
        else:
            self.waits[epoch] = weight
            self._log("WorkWaits", epoch)

    def _log(self, name: str, epoch: int) -> None:
        self.index.log.append(event(name, contract="rewards", account=1, epoch=epoch))

    def _sent(self, what: str, about: int) -> None:
        if self.broken:
            raise UnavailableError("no RPC answers", remedy="-")
        self.sent.append((what, about))


@dataclass
class FakeIndex:
    log: list[Event] = field(default_factory=list)
    reached: int = 100
    undone: int = 0

    def sync(self) -> int:
        return self.reached

    def rollbacks(self) -> int:
        return self.undone

    def events(
        self,
        contract: str,
        name: str,
        *,
        where: Mapping[str, object] | None = None,
        since: int = 0,
        after: Event | None = None,
        limit: int = 1_000,
        newest_first: bool = False,
    ) -> list[Event]:
        wanted = (where or {}).items()
        found = [
            e
            for e in self.log
            if (e.contract, e.name) == (contract, name)
            and e.block >= since
            and all(e.args[key] == value for key, value in wanted)
            and (after is None or (e.block, e.index) > (after.block, after.index))
        ]
        return (found[::-1] if newest_first else found)[:limit]


class FakeChain:
    """A chain of plain fields."""

    def __init__(self, net: Network, clock: Clock) -> None:
        self.clock = clock
        self.registry = FakeRegistry()
        self.registry.entries[NODE.address] = Entry(
            checksum(b"\x66" * 20), PAYOUT, 1, 1, NOW, False, "", bytes(32), bytes(32)
        )
        self.registry.roles = {NODE.address: 1, WATCHER.address: 2}
        self.arrival = Arrival(0, 0, 0)
        self.staking = SimpleNamespace(free=lambda node: 10**30, arrival=lambda node: self.arrival)
        self.token = FakeToken(net.contracts["token"])
        self.payments = FakePayments(self.token.address)
        self.payments.available = {CLIENT.address: 10**30}
        self.beacon = FakeBeacon()
        self.pdp = FakePdp(self.beacon)
        self.faults = FakeFaults()
        self.storage = FakeStorage()
        self.index = FakeIndex()
        self.issuance = FakeIssuance()
        self.rewards = FakeRewards(self.issuance, self.index, clock.now, self.payments)
        self.issuance.now = self.rewards.epoch
        self.gas = 10**18
        self.wei_per_gas = 10**9
        self.wallets: dict[Address, Address] = {}

    def look(self, node: Address, account: Address) -> Look:
        funds = self.payments.status(self.token.address, account).available
        return Look(
            self.registry.active(node, STORAGE),
            NodeState(
                self.faults.set_id,
                bytes=0,
                columns=self.faults.columns,
                notice_at=self.faults.notice_at,
                failed_at_round=0,
                failed=self.faults.failed,
                misses_charged=0,
                locked=0,
            ),
            self.staking.free(node),
            funds + self.token.balance_of(account),
        )

    def head(self) -> Header:
        return Header(self.beacon.head, "0x", "0x", self.clock.now())

    def balance(self, account: Address) -> int:
        return self.gas

    def gas_price(self) -> int:
        return self.wei_per_gas

    def wallet_signed(self, account: Address, digest: bytes, signature: bytes) -> bool:
        """A wallet takes what its owner signed; ``wallets`` names the owners."""
        return account in self.wallets and recover(digest, signature[:65]) == self.wallets[account]

    def now(self) -> int:
        return self.clock.now()

    def open_column(
        self,
        *,
        deal: int,
        slot: int,
        rail: int,
        root: bytes,
        size: int,
        height: int,
        block: int = 1,
    ) -> None:
        """What ``storage.open`` leaves behind for one column of CLIENT on NODE."""
        mandate = Mandate(0, 0, 1, 0, 0, 0)
        self.storage.deals[deal] = Deal(
            CLIENT.address, self.token.address, bytes(32), 4, 6, size, height, NOW, NOW + 86_400,
            0, mandate, 0, 0, b"",
        )  # fmt: skip
        self.storage.columns[rail] = Column(
            NODE.address, root, rail, rail, 1, 0, 0, 0, ACTIVE, 0, ZERO_ADDRESS, False
        )
        self.pdp.pieces[rail] = SimpleNamespace(root=root, height=height, removed=0)
        self.index.log.append(
            event(
                "ColumnOpened", block, deal=deal, slot=slot, node=NODE.address, root=root,
                piece_id=rail, rail=rail, price=1,
            )
        )  # fmt: skip


def settings(home: Path, **changes: object) -> Settings:
    made = Settings(home, home / "network.json", home / "key.json", home / "password")
    small: dict[str, object] = {"capacity": 256 * MIB, "body_timeout": 5, "port": 0}
    return replace(made, **(small | changes))  # type: ignore[arg-type]


@dataclass
class World:
    """A wired node that serves nothing by itself."""

    node: Node
    chain: FakeChain
    clock: HandClock
    network: Network

    def token(self, key: Key, method: str, path: str, body: bytes = b"", **wrong: object) -> str:
        return sign_request(self.network, key, method, path, body, self.clock.now(), **wrong)


def make(home: Path, **changes: object) -> World:
    net, clock = network(), HandClock()
    chain = FakeChain(net, clock)
    node = Node(settings(home, **changes), net, NODE, chain=chain, clock=clock)
    return World(node, chain, clock, net)


def opened(home: Path, **changes: object) -> Iterator[World]:
    world = make(home, **changes)
    try:
        yield world
    finally:
        world.node.close()


def sign_request(
    net: Network,
    key: Key,
    method: str,
    path: str,
    body: bytes = b"",
    now: int = NOW,
    /,
    **wrong: object,
) -> str:
    """An Authorization header; ``wrong`` replaces fields of the token before it is signed."""
    fields: dict[str, object] = {
        "audience": NODE.address,
        "method": method,
        "path": path,
        "body": "0x" + hashlib.sha256(body).hexdigest() if body else "",
        "expiry": now + 60,
        "nonce": "0x" + os.urandom(32).hex(),
        "account": key.address,
        "network": "0x" + net.network_id.hex(),
    }
    fields |= wrong
    digest = REQUEST.digest(
        net.domain("registry"),
        [
            str(fields["audience"]),
            str(fields["method"]),
            str(fields["path"]),
            bytes.fromhex(str(fields["body"])[2:]) or bytes(32),
            int(str(fields["expiry"])),
            bytes.fromhex(str(fields["nonce"])[2:]),
        ],
    )
    fields.setdefault("signature", "0x" + key.sign(digest).hex())
    return "Freehold " + base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def sign_voucher(net: Network, key: Key, rail: int, amount: int) -> str:
    signature = key.sign(VOUCHER.digest(net.domain("payments"), [rail, amount]))
    return f"{rail}:{amount}:0x{signature.hex()}"
