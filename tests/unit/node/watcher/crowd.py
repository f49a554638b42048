"""Several watchers of one network in this process, each with eyes of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.evm import Chain, Signer, signer
from contracts.watchers import HOTS, LENGTH, SEATS
from contracts.world import alice
from freehold.client.connection import Peer
from freehold.domain import pairing
from freehold.domain.aspects import REACHABLE
from freehold.domain.did import Did, sign
from freehold.domain.ids import Address, address
from freehold.domain.keys import Key
from freehold.ledger.ledger import Ledger
from freehold.node.watcher.observe.field import Watched
from freehold.node.watcher.observe.honesty import Span
from freehold.node.watcher.observe.reach import Reach
from freehold.node.watcher.observe.vault import Vault
from freehold.node.watcher.observer import Eyes, Observer
from freehold.telemetry.reading import Batch, Reading, pack, seal
from unit.node.watcher.evm_ledger import EvmLedger, Town, build

STORE = signer("store")
SERVICE = signer("service")
STEP = 10
STAKE = 10**6
DEVICE_KEY = Ed25519PrivateKey.from_private_bytes(b"\x21" * 32)


@dataclass
class Sensor:
    """A device and the batches that the service has of it."""

    agent: Signer
    key: Ed25519PrivateKey = DEVICE_KEY
    batches: list[bytes] = field(default_factory=list)
    sent: int = 0

    @property
    def id(self) -> Address:
        return address(self.agent.address)

    def send(self, network_id: bytes, time: int, value: float, *, sequence: int = 0) -> bytes:
        """A signed reading of its temperature, in degrees; ``time`` in milliseconds."""
        self.sent = sequence or self.sent + 1
        payload = pack([Reading("roof.temperature", "Cel", time, value)])
        did = Did.of(self.key.public_key())
        batch = Batch(network_id, did, 1, self.sent, time, payload)
        self.batches.append(seal(batch, lambda message: sign(self.key, message)))
        return self.batches[-1]


@dataclass
class Crowd:
    """``up`` is what is true of nodes; ``liars`` say the opposite of the storage node."""

    town: Town
    folder: Path
    up: dict[Address, bool] = field(default_factory=dict)
    sensors: dict[Address, Sensor] = field(default_factory=dict)
    observers: dict[int, Observer] = field(default_factory=dict)
    liars: set[int] = field(default_factory=set)
    speeds: dict[Address, int] = field(default_factory=dict)
    refresh: int = 24
    knocks: int = 0

    def add(self, index: int, *, stake: int = STAKE, liar: bool = False) -> Observer:
        """A registered watcher with stake, whose process starts now."""
        self.town.watch.enter(index, stake)
        if liar:
            self.liars.add(index)
        return self.start(index)

    def start(self, index: int) -> Observer:
        """Its process, after a crash too."""
        folder = self.folder / str(index)
        folder.mkdir(exist_ok=True)
        hot = HOTS[index]
        made = Observer(
            cast("Ledger", self.ledger(hot)),
            address(hot.address),
            eyes=Eyes(Reach(knock=lambda peer, _: self._knock(index, peer)), self._speeds, self),
            vault=Vault(folder),
            random=lambda size: bytes([index]) * size,
            refresh=self.refresh,
        )
        self.observers[index] = made
        return made

    def ledger(self, by: Signer) -> EvmLedger:
        return self.town.ledger(by)

    def gather(
        self,
        devices: Sequence[Watched],
        services: Sequence[Peer],
        span: Span,
        *,
        go_on: Callable[[], bool],
    ) -> dict[Address, list[bytes]]:
        """What the service hands out."""
        assert go_on()
        known = [each.device for each in devices if services and each.device in self.sensors]
        return {device: self.sensors[device].batches for device in known}

    def _knock(self, index: int, peer: Peer) -> bool:
        self.knocks += 1
        lies = index in self.liars and peer.node == address(STORE.address)
        return self.up.get(peer.node, True) != lies

    def _speeds(self, nodes: Iterable[Address]) -> dict[Address, int]:
        return {node: self.speeds[node] for node in nodes if node in self.speeds}

    def play(self, until: int, *, asleep: Iterable[int] = ()) -> None:
        """Let the time go on to a moment, and the watchers with it."""
        sleeping = set(asleep)
        while self.town.chain.now < until:
            self.town.chain.warp(min(STEP, until - self.town.chain.now))
            for index in sorted(self.observers.keys() - sleeping):
                self.observers[index].step()

    def half(self, *, asleep: Iterable[int] = ()) -> None:
        """To the next half of a round."""
        genesis = int(self.town.watch.status.call("genesis"))
        age = (self.town.chain.now - genesis) % (LENGTH // 2)
        self.play(self.town.chain.now + LENGTH // 2 - age, asleep=asleep)

    def committed(self) -> None:
        """To just before the second half of the round whose first half it is."""
        genesis = int(self.town.watch.status.call("genesis"))
        age = (self.town.chain.now - genesis) % LENGTH
        self.play(self.town.chain.now + LENGTH * 9 // 20 - age)

    def round(self, count: int = 1, *, asleep: Iterable[int] = ()) -> None:
        """To the same half of a later round."""
        for _ in range(2 * count):
            self.half(asleep=asleep)

    def value(self, subject: Address | None = None, aspect: bytes = REACHABLE) -> tuple[int, int]:
        """What is agreed on, by default of the store."""
        about = subject or address(STORE.address)
        value, at = self.town.watch.status.call("value_of", about, aspect)
        return int(value), int(at)

    def count(self, function: str) -> int:
        """Transactions of that name."""
        return sum(name == function for _, name, _ in self.town.sent)

    def enroll(self, sensor: Sensor, *, owner: Signer = alice, forged: bool = False) -> None:
        """Enrol a device; ``forged``: its key never said so."""
        ledger, did = self.ledger(owner), Did.of(sensor.key.public_key())
        whose = address(owner.address)
        network = ledger.network
        binding = pairing.seal(
            sensor.key, network_id=network.network_id, device=sensor.id, owner=whose
        )
        code = pairing.PairingCode.make(
            network.domain("devices"), agent=Key.from_secret(sensor.agent.key), key=sensor.key,
            did=did, owner=whose, generation=1, deadline=ledger.now() + 600, firmware="1",
        )  # fmt: skip
        ledger.devices.enroll(
            sensor.id, key=did.raw, binding=bytes(64) if forged else binding, place=b"\x06" * 32,
            firmware="1", payout=whose, deadline=code.deadline, consent=code.consent,
        )  # fmt: skip
        self.sensors[sensor.id] = sensor


def gather(chain: Chain, folder: Path, *, refresh: int = 24, seats: int = SEATS) -> Crowd:
    """A network with a storage node and a telemetry service, and no watcher yet."""
    crowd = Crowd(build(chain, seats=seats), folder, refresh=refresh)
    crowd.town.watch.world.register(alice, STORE, roles=1)
    crowd.town.watch.world.register(alice, SERVICE, roles=32)
    return crowd
