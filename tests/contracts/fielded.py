"""Devices, a status that tests set, and rules for the devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts.evm import NETWORK_ID, Chain, Contract, Outcome, Signer, signer
from contracts.world import World, alice, deploy_world, fake, guardian
from freehold.domain.ids import keccak

ENROLMENT = {
    "Enrolment": "address device,address owner,bytes32 key,uint64 generation,uint64 deadline"
}
RECEIPT = {
    "Receipt": "uint256 command,address device,uint8 outcome,bytes32 detail,uint64 at",
}
KEY = bytes.fromhex("ed01") + b"\7" * 32
BINDING = b"\5" * 64
PLACE = b"\6" * 32
DAY = 86_400
ANSWER_TIME = 600
DONE, REFUSED, FAILED, LAPSED = 1, 2, 3, 4
ASPECT = b"\x01" * 32
SUBJECT = signer("subject").address
sensor = signer("sensor")
meter = signer("meter")


@dataclass(frozen=True, slots=True)
class Fielded:
    """The world with devices, a fake status and automation."""

    world: World
    devices: Contract
    gauge: Contract
    automation: Contract

    @property
    def chain(self) -> Chain:
        return self.world.chain

    def consent(self, device: Signer, owner: str, /, **changes: Any) -> bytes:
        """The agent key's consent, with some fields changed."""
        message = {
            "device": device.address,
            "owner": owner,
            "key": keccak(KEY),
            "generation": self.devices.call("device", device.address).generation + 1,
            "deadline": self.chain.now + 600,
        }
        return device.sign(self.devices.domain(), ENROLMENT, {**message, **changes})

    def enroll(self, consent: bytes, *, by: Signer = alice, **changes: Any) -> Outcome:
        """Enrol the sensor with some arguments changed."""
        arguments: dict[str, Any] = {
            "device": sensor.address,
            "key": KEY,
            "binding": BINDING,
            "place": PLACE,
            "firmware": "fw 1.0",
            "payout": by.address,
            "deadline": self.chain.now + 600,
            **changes,
        }
        return self.devices.send("enroll", *arguments.values(), consent, sender=by.address)

    def add(self, device: Signer = sensor, owner: Signer = alice) -> Outcome:
        """Enrol a device as it should be."""
        consent = self.consent(device, owner.address)
        return self.enroll(consent, by=owner, device=device.address)

    def retire(self, device: Signer = sensor, owner: Signer = alice) -> Outcome:
        """Take a device out of service."""
        return self.devices.send("retire", device.address, sender=owner.address)

    def settle(self, measured: int, *, ago: int = 0, subject: str = SUBJECT) -> None:
        """The watchers agree on a value."""
        told = (subject, ASPECT, measured, self.chain.now - ago)
        self.gauge.send("settle", *told, sender=guardian.address)

    def approve(self, device: Signer = sensor, *, by: Signer = alice, **changes: Any) -> Outcome:
        """Approve a rule that fires above 100; the value is its id."""
        arguments: dict[str, Any] = {
            "device": device.address,
            "subject": SUBJECT,
            "aspect": ASPECT,
            "above": True,
            "threshold": 100,
            "command": "relay.1 open",
            "hold": 60,
            "cooldown": 300,
            "max_age": 120,
            "expiry": self.chain.now + DAY,
            **changes,
        }
        return self.automation.send("approve", *arguments.values(), sender=by.address)

    def trigger(self, rule: int, *, by: Signer = guardian) -> Outcome:
        """Anyone triggers a rule; the value is the command's id."""
        return self.automation.send("trigger", rule, sender=by.address)

    def order(
        self,
        device: Signer = sensor,
        *,
        by: Signer = alice,
        command: str = "relay.2 close",
        hold: int = 5,
    ) -> Outcome:
        """The owner commands; the value is the command's id."""
        arguments = (device.address, command, hold)
        return self.automation.send("order", *arguments, sender=by.address)

    def receipt(
        self, command: int, outcome: int = DONE, /, *, by: Signer = sensor, **changes: Any
    ) -> bytes:
        """The agent's signature of a receipt, with some fields changed."""
        message = {
            "command": command,
            "device": by.address,
            "outcome": outcome,
            "detail": b"\2" * 32,
            "at": 1_234,
            **changes,
        }
        return by.sign(self.automation.domain(), RECEIPT, message)

    def acknowledge(
        self, command: int, signature: bytes, outcome: int = DONE, *, at: int = 1_234
    ) -> Outcome:
        """Anyone brings a receipt."""
        told = (command, outcome, b"\2" * 32, at, signature)
        return self.automation.send("acknowledge", *told, sender=guardian.address)

    def answer(self, command: int, outcome: int = DONE, *, by: Signer = sensor) -> Outcome:
        """The agent answers as it should."""
        return self.acknowledge(command, self.receipt(command, outcome, by=by), outcome)

    def lapse(self, command: int, *, by: Signer = guardian) -> Outcome:
        """Drop a command."""
        return self.automation.send("lapse", command, sender=by.address)

    def due(self, rule: int) -> bool:
        """Whether a rule can be triggered."""
        return bool(self.automation.call("due", rule))


def deploy_fielded(chain: Chain, *, fee: int = 0) -> Fielded:
    """Deploy everything; the governor's setup is not finished."""
    by = guardian.address
    world = deploy_world(chain)
    governor = world.governor.address
    devices = chain.deploy("devices", NETWORK_ID, governor, world.token.address, fee, sender=by)
    gauge = chain.deploy_artifact(fake("gauge"), sender=by)
    places = (governor, devices.address, gauge.address)
    return Fielded(
        world, devices, gauge, chain.deploy("automation", NETWORK_ID, *places, sender=by)
    )
