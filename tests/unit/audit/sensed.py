"""A network that senses (devices, watchers, rules, buyers), and the models beside it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.evm import NETWORK_ID, Contract, Outcome, Signer, Struct
from contracts.fielded import DAY, Fielded, meter, sensor
from contracts.recording import address, plain
from contracts.streams import FEE_BPS, Stall, deploy_streams
from contracts.watchers import ASPECT, SPEED, SUBJECT, Watch, deploy_status, seen
from contracts.world import World, alice, bob, carol, guardian, mallory
from freehold.audit import claims
from freehold.audit.events import Event
from freehold.domain import pairing
from freehold.domain.did import Did
from freehold.domain.ids import keccak
from unit.audit.founded import EPOCH, Founded

FEE = 7
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\3" * 32)
KEY = Did.of(PRIVATE.public_key()).raw
WRONG = b"\5" * 64


def binding(device: Signer, owner: Signer) -> bytes:
    """What the device key says."""
    names = {"device": address(device.address), "owner": address(owner.address)}
    return pairing.seal(PRIVATE, network_id=NETWORK_ID, **names)


class Sensed:
    """The four contracts over a founded network; alice, bob and carol have tokens for them."""

    def __init__(self, *, seats: int = 24) -> None:
        self.founded = Founded()
        chain, world = self.founded.chain, self.world
        by, governor = guardian.address, self.world.governor.address
        devices = chain.deploy("devices", NETWORK_ID, governor, world.token.address, FEE, sender=by)
        self.beacon = self.founded.market.beacon
        status = deploy_status(world, self.beacon, terms=(1_000, seats, 1_000, 500))
        places = (governor, devices.address, status.address)
        automation = chain.deploy("automation", NETWORK_ID, *places, sender=by)
        self.field = Fielded(world, devices, status, automation)
        self.watch = Watch(world, self.beacon, status)
        roots = self.founded.roots.roots
        streams = deploy_streams(world, world.token.address, roots.address, governor, FEE_BPS)
        self.stall = Stall(world, roots, streams)
        self.contracts: dict[str, Contract] = {
            "devices": devices, "status": status, "automation": automation, "streams": streams,
        }  # fmt: skip
        self.founded.network = replace(
            self.founded.network,
            contracts={
                **self.founded.network.contracts,
                **{name: address(each.address) for name, each in self.contracts.items()},
            },
        )
        self.founded.models = self.founded.fresh()
        self.subjects: set[tuple[str, bytes]] = set()
        for who in (alice, bob, carol):
            world.fund(who.address, 10**6)
            for contract in (devices, streams):
                world.token.send("approve", contract.address, 10**6, sender=who.address)

    @property
    def world(self) -> World:
        return self.founded.world

    @property
    def now(self) -> int:
        return self.founded.chain.now

    def enroll(self, device: Signer, owner: Signer, *, bound: bytes | None = None) -> Outcome:
        """Enrol a device, with its own binding unless another is given."""
        consent = self.field.consent(device, owner.address, key=keccak(KEY))
        made = binding(device, owner) if bound is None else bound
        changes = {"device": device.address, "key": KEY, "binding": made}
        return self.field.enroll(consent, by=owner, **changes)

    def approve(self, device: Signer = sensor, *, by: Signer = alice, **changes: Any) -> int:
        """A rule that fires while the subject's value is above 100."""
        usual = {"subject": SUBJECT, "aspect": ASPECT, "max_age": DAY}
        return int(self.field.approve(device, by=by, **(usual | changes)).value)

    def buy(self, who: Signer, *, later: int = 0, count: int = 1, amount: int = 100) -> None:
        """A purchase from the present epoch on."""
        epoch = int(self.stall.streams.call("epoch")) + later
        self.stall.buy(who, epoch=epoch, count=count, amount=amount)

    def compare(self) -> None:
        """Every view that a claim can ask says what its model says."""
        self.founded.follow()
        keys = claims.Keys()
        for event in self.founded.events:
            keys.see(event)
        asked = [each for each in keys.questions() if each[0] in self.contracts]
        assert asked
        for contract, view, arguments in asked:
            self.agree(contract, view, *arguments)

    def agree(self, contract: str, view: str, *arguments: int | str) -> None:
        """A view says what its model says."""
        place = self.contracts[contract]
        kinds = next(e for e in place.abi if e.get("name") == view)["inputs"]
        given = [
            bytes.fromhex(str(value)[2:]) if kind["type"] == "bytes32" else value
            for kind, value in zip(kinds, arguments, strict=True)
        ]
        found = place.call(view, *given)
        many = isinstance(found, tuple) and not isinstance(found, Struct)
        told = [plain(each) for each in (found if many else (found,))]
        answer = self.founded.models.answer((contract, view, arguments), self.now)
        assert claims.plain(answer) == claims.plain(told), (contract, view, arguments)


def enrolled(net: Sensed) -> None:
    """Devices come, one of them with a wrong binding, change, go and come back."""
    net.enroll(sensor, alice)
    net.enroll(meter, bob, bound=WRONG)
    devices = net.field.devices
    devices.send("update", sensor.address, b"\x09" * 32, carol.address, sender=alice.address)
    devices.send("report", sensor.address, "fw 2.0", sender=sensor.address)
    devices.send("report", sensor.address, "fw 2.1", sender=alice.address)
    net.field.retire(sensor, alice)
    net.world.setup(devices, "set_fee", FEE + 2)
    net.enroll(sensor, alice)
    net.enroll(mallory, carol)
    net.world.setup(devices, "set_paused", True)
    net.world.setup(devices, "set_paused", False)


def agreed(net: Sensed) -> None:
    """Watchers agree, move, err, sleep and leave."""
    watch = net.watch
    one, two, three = watch.members(2_000, 1_500, 1_200)
    watch.agree({one: 101, two: 103, three: 160})
    net.world.setup(watch.status, "set_tolerance", SPEED, (0, 3))
    told = [seen(140), seen(7, aspect=SPEED)]
    current = watch.tell({one: told, two: told, three: 101})
    both = ([SUBJECT, SUBJECT], [ASPECT, SPEED])
    watch.status.send("settle_many", current, *both, sender=mallory.address)
    watch.stake(2, 900)
    watch.second_half()
    watch.status.send("refresh", three.address, sender=mallory.address)
    watch.next_round()
    watch.agree({one: 141, two: 142})
    net.world.setup(watch.status, "set_parameters", (1_000, 24, 4_990, 400))
    watch.second_half()
    watch.status.send("leave", sender=two.address)
    watch.next_round()
    watch.agree({one: 150, three: 151})
    watch.join(two)
    watch.next_round()


def automated(net: Sensed) -> None:
    """Rules fire, orders go out; receipts come, and some do not."""
    field, chain = net.field, net.founded.chain
    rule, low = net.approve(), net.approve(threshold=500, above=False)
    other = net.approve(meter, by=bob, cooldown=10)
    field.answer(int(field.trigger(rule).value))
    waiting = int(field.trigger(low).value)
    first, second, third = (int(field.order().value) for _ in range(3))
    field.answer(second, 2)
    field.lapse(first, by=alice)
    chain.warp(700)
    field.lapse(waiting)
    field.answer(third, 3)
    field.answer(int(field.trigger(rule).value), 3)
    field.answer(int(field.trigger(other).value), by=meter)
    field.automation.send("revoke", rule, sender=alice.address)
    field.order(meter, by=bob)
    net.world.setup(field.automation, "set_paused", True)
    net.world.setup(field.automation, "set_paused", False)
    field.trigger(low)


def sold(net: Sensed) -> None:
    """Readings are bought for one epoch and several."""
    net.buy(alice)
    net.buy(bob, later=2, count=3, amount=1_001)
    net.world.setup(net.stall.streams, "set_fee", 333)
    net.buy(alice, later=1, amount=99)
    net.founded.chain.warp(EPOCH)
    net.buy(carol, count=2, amount=77)


@cache
def history() -> Sensed:
    """All of it, on one chain."""
    net = Sensed()
    enrolled(net)
    agreed(net)
    automated(net)
    sold(net)
    net.compare()
    return net


def events() -> list[Event]:
    """What the history's contracts logged."""
    return list(history().founded.events)
