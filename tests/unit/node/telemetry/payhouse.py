"""Contracts that pay devices, in this process; a service that pays, and watchers who co-sign."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.evm import NETWORK_ID, Chain, Signer, signer
from contracts.roots import BOND, RULES, deploy_roots
from contracts.streams import deploy_streams
from contracts.world import World, carol, guardian
from freehold.domain import pairing
from freehold.domain.did import Did, sign
from freehold.domain.ids import ZERO_ADDRESS, Address, address
from freehold.domain.keys import Key
from freehold.economics.schedules.plan import GEOMETRIC, Plan
from freehold.ledger.contracts.issuance import Issuance
from freehold.ledger.contracts.roots import Roots
from freehold.ledger.contracts.streams import Streams
from freehold.ledger.contracts.token import Token
from freehold.ledger.economy import DEVICES
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Header
from freehold.node.telemetry.epochs import Books, Epochs
from freehold.node.telemetry.facts import Facts
from freehold.node.telemetry.pay import SLACK, Pay
from freehold.node.telemetry.statement import canonical
from freehold.node.watcher.cosigner import Cosigner
from freehold.telemetry.reading import Batch, Reading, pack, seal
from unit.node.watcher.evm_ledger import EvmLedger, Town, build

LENGTH = 1_000
FEE_BPS, SHARE_BPS = 1_000, 9_000
PRICE = 10**12
SERVICE = signer("service")
WATCHERS = [signer(f"roots' watcher {number}") for number in range(3)]
PLAN = Plan(kind=GEOMETRIC, limit=10**15, amount=10**14, step=30 * LENGTH, factor=9 * 10**17,
            steps=40)  # fmt: skip
TEMPERATURE = "roof.temperature"


class PayLedger(EvmLedger):
    """What pay and its check use of ``Ledger`` besides."""

    def __init__(self, town: Town, by: Signer) -> None:
        super().__init__(town, by)
        self.network = replace(self.network, parameters={"share_bps": SHARE_BPS})
        self.roots, self.streams = Roots(self), Streams(self)
        self.token, self.issuance = Token(self), Issuance(self)

    def head(self) -> Header:
        return Header(self._town.chain.number, "0x", "0x", self._town.chain.now)


@dataclass
class Log:
    """What arrived of devices, and who was found lying."""

    batches: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    lies: dict[str, str] = field(default_factory=dict)

    def evidence(self, since: int, until: int, member: str) -> Iterator[bytes]:
        for arrived, data in self.batches.get(member, []):
            if since <= arrived < until:
                yield data

    def marked(self, member: str, since: int = 0) -> str:
        return self.lies.get(member, "")


@dataclass
class Sensor:
    """A device that measures a roof."""

    number: int
    owner: Signer
    sent: int = 0
    network_id: bytes = NETWORK_ID

    @property
    def agent(self) -> Signer:
        return signer(f"sensor {self.number}")

    @property
    def id(self) -> Address:
        return address(self.agent.address)

    @property
    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(bytes([self.number]) * 32)

    def batch(self, times: Sequence[int], *, metric: str = TEMPERATURE) -> bytes:
        draw = random.Random(times[0] + self.number)
        readings = [Reading(metric, "Cel", at, 20 + draw.gauss(0, 0.1)) for at in times]
        self.sent += 1
        did = Did.of(self.key.public_key())
        made = Batch(self.network_id, did, 1, self.sent, times[-1], pack(readings))
        return seal(made, lambda message: sign(self.key, message))


@dataclass
class LocalSource:
    """The service, asked without a wire."""

    epochs_: Epochs
    withheld: set[Address] = field(default_factory=set)

    @property
    def node(self) -> Address:
        return address(SERVICE.address)

    def epochs(self) -> Sequence[int]:
        return self.epochs_.epochs()

    def statement(self, epoch: int) -> bytes:
        return canonical(self.epochs_.epoch(epoch))

    def evidence(self, epoch: int, device: Address) -> list[bytes]:
        return [] if device in self.withheld else list(self.epochs_.evidence(epoch, device))

    def sign(self, epoch: int, signature: bytes) -> None:
        self.epochs_.sign(epoch, b'{"signature": "%s"}' % signature.hex().encode())


class House:
    """The network; ``pay`` and ``cosigners`` start anew whenever they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, Log()
        self.town: Town = build(Chain(), seats=24)
        world, genesis = self.world, self.town.chain.now
        split = ((DEVICES, 9_000),)
        self.issuance = world.chain.deploy(
            "issuance", world.token.address, world.governor.address, genesis, LENGTH,
            tuple(PLAN.terms(budget=0, window=40).values()), split, [], sender=guardian.address,
        )  # fmt: skip
        places = (world.token, world.payments, self.issuance, world.registry)
        told = (
            *(each.address for each in places), ZERO_ADDRESS, world.governor.address, NETWORK_ID,
            genesis, LENGTH, RULES,
        )  # fmt: skip
        self.roots = deploy_roots(world, *told)
        streams = (world.token.address, self.roots.address, world.governor.address, FEE_BPS)
        self.streams = deploy_streams(world, *streams)
        self.town.contracts |= {
            "roots": self.roots, "streams": self.streams, "issuance": self.issuance,
        }  # fmt: skip
        world.setup(world.token, "set_minter", self.issuance.address, True)
        world.setup(self.issuance, "set_distributor", DEVICES, self.roots.address)
        world.setup(self.roots, "set_watchers", [each.address for each in WATCHERS], 2)
        world.fund(SERVICE.address, BOND)
        self.genesis = genesis
        self.cosigners = [self.cosigner(each) for each in WATCHERS]

    @property
    def world(self) -> World:
        return self.town.watch.world

    def ledger(self, by: Signer) -> Ledger:
        return cast("Ledger", PayLedger(self.town, by))

    @property
    def epochs(self) -> Epochs:
        ledger = self.ledger(SERVICE)
        books = Books(self.folder / "epochs")
        return Epochs(ledger, Facts(ledger).calendar, books, of=lambda _: self.log)

    @property
    def source(self) -> LocalSource:
        return LocalSource(self.epochs)

    def pay(self, *, behind: int = -SLACK) -> Pay:
        """The chore as it is after a start; its clock may be ``behind`` the chain's, seconds."""
        return Pay(
            self.ledger(SERVICE), self.epochs, now=lambda: 1_000 * (self.town.chain.now - behind)
        )

    def cosigner(self, by: Signer) -> Cosigner:
        return Cosigner(
            self.ledger(by), Key.from_secret(by.key), services=lambda: [self.source],
            draw=random.Random(1),
        )  # fmt: skip

    def enroll(self, sensor: Sensor) -> Sensor:
        ledger, whose = self.ledger(sensor.owner), address(sensor.owner.address)
        did = Did.of(sensor.key.public_key())
        code = pairing.PairingCode.make(
            ledger.network.domain("devices"), agent=Key.from_secret(sensor.agent.key),
            key=sensor.key, did=did, owner=whose, generation=1, deadline=ledger.now() + 600,
            firmware="1",
        )  # fmt: skip
        ledger.devices.enroll(
            sensor.id, key=did.raw, binding=code.binding, place=b"\x06" * 32, firmware="1",
            payout=whose, deadline=code.deadline, consent=code.consent,
        )  # fmt: skip
        return sensor

    def report(self, sensor: Sensor, epoch: int, *, count: int = 60) -> None:
        """Readings of an epoch, one each ten seconds, that arrive at once."""
        begin = 1_000 * (self.genesis + epoch * LENGTH)
        for at in range(0, count, 10):
            times = [begin + 10_000 * place for place in range(at, min(at + 10, count))]
            data = sensor.batch(times)
            self.log.batches.setdefault(sensor.id, []).append((times[-1], data))

    def buy(self, query: str, *, epoch: int, count: int = 1, amount: int = PRICE) -> None:
        self.world.fund(carol.address, amount * count)
        ledger = self.ledger(carol)
        ledger.token.approve(ledger.streams.address, amount * count)
        ledger.streams.buy(query, epoch, count, amount)

    def enter(self, epoch: int, *, after: int = 0) -> None:
        """To so many seconds after an epoch's beginning."""
        self.town.chain.warp_to(self.genesis + epoch * LENGTH + after)

    def cosign(self) -> None:
        for each in self.cosigners:
            each.step()

    def run(self) -> None:
        """Settle, sign, propose, wait, finalize and claim, with a new start at each step."""
        self.pay().step()
        self.cosign()
        self.pay().step()
        self.town.chain.warp(RULES[0] + 1)
        self.pay().step()
        self.pay().step()

    def count(self, function: str) -> int:
        return sum(name == function for _, name, _ in self.town.sent)

    def balance(self, who: Signer) -> int:
        return self.world.balance(who.address)
