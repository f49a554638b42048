"""Making a device's folder, its pairing code, and its place in the contract ``devices``."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from freehold import __version__
from freehold.cli.device.folder import PLACE
from freehold.domain.errors import AccessError, ConflictError, UsageError
from freehold.domain.files import write_whole
from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.domain.pairing import PairingCode, place
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Receipt
from freehold.node.agent import keys as key_files
from freehold.node.agent.keys import Keys
from freehold.node.agent.settings import FILE, SCHEMES, Settings, load

DAY = 86_400
VALID = 7 * DAY
"""Seconds that a pairing code holds."""
FIRMWARE = f"freehold {__version__}"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user wants of a device's agent; empty and None leave it as it is."""

    sensors: str | None = None
    service: str = ""
    fingerprint: str = ""
    interval: int | None = None
    board: Path | None = None

    def upon(self, settings: Settings) -> Settings:
        """The settings with the wishes in them; UsageError where they cannot be."""
        changed: dict[str, object] = {}
        if self.sensors is not None:
            changed["sensors"] = _sensors(self.sensors)
        if self.service:
            changed["services"] = tuple(url.strip() for url in self.service.split(","))
        if self.fingerprint:
            changed["fingerprint"] = self.fingerprint.lower().removeprefix("0x").replace(":", "")
        if self.board is not None:
            changed["board"] = str(self.board.expanduser().absolute())
        if self.interval is not None:
            changed["interval"] = self.interval
        return replace(settings, **changed)  # type: ignore[arg-type]


def _sensors(text: str) -> tuple[str, ...]:
    """Names of sensors divided by commas; a comma within ``file:...#name,unit`` divides none."""
    parts: list[str] = []
    for part in text.split(","):
        if parts and parts[-1].startswith("file:") and "#" in parts[-1] and ":" not in part:
            parts[-1] += f",{part}"
        elif part.strip():
            parts.append(part.strip())
    return tuple(parts)


def prepare(
    folder: Path, network: Network, owner: Address, wishes: Wishes
) -> tuple[Settings, Keys]:
    """The device in ``folder``: made now with fresh keys, or as it was begun before.

    ConflictError where the folder belongs to another owner or network; UsageError.
    """
    contracts = {name: _contract(network, name) for name in ("devices", "automation")}
    if (folder / FILE).is_file():
        settings, keys = load(folder), key_files.load(folder)
        if settings.owner != owner or settings.network != network.network_id:
            raise ConflictError(
                f"{folder} holds a device of another owner or network",
                remedy="Choose another name for this one.",
            )
    else:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        began = (folder / key_files.AGENT_KEY).exists()
        keys = (
            key_files.load(folder)
            if began
            else key_files.create(folder, random=secrets.token_bytes)
        )
        settings = Settings(
            name=folder.name,
            network_id="0x" + network.network_id.hex(),
            chain_id=network.chain_id,
            devices=contracts["devices"],
            automation=contracts["automation"],
            rpc_urls=network.rpc_urls,
            device=keys.agent.address,
            did=keys.did.text,
            owner=owner,
        )
    settings = wishes.upon(settings)
    _check_sensors(settings, folder)
    settings.write(folder)
    return settings, keys


def pairing_code(
    network: Network, keys: Keys, *, owner: Address, generation: int, now: int
) -> PairingCode:
    """What the device shows its owner, valid from ``now`` (seconds) for a week."""
    return PairingCode.make(
        network.domain("devices"),
        agent=keys.agent,
        key=keys.reading,
        did=keys.did,
        owner=owner,
        generation=generation,
        deadline=now + VALID,
        firmware=FIRMWARE,
    )


def enrol(ledger: Ledger, code: PairingCode, *, owner: Address, cell: str, folder: Path) -> Receipt:
    """Enrol the device of a code under the sender; its cell and salt are kept in ``folder``.

    ConflictError where it is enrolled already, AccessError for another owner's code.
    """
    code.check(ledger.network.domain("devices"), now=ledger.now())
    if code.owner != owner:
        raise AccessError(
            f"the pairing code names the owner {code.owner}, this wallet is {owner}",
            remedy="Open that wallet, or pair the device with `--owner` of this one.",
        )
    entry = ledger.devices.device(code.device)
    if entry.generation and not entry.retired:
        raise ConflictError(
            f"device {code.device} is enrolled already",
            remedy="Look at it with `freehold device show`, run it with `freehold device run`.",
        )
    _check_generation(code, entry.generation)
    salt = _salt(folder, code.device, cell)
    if entry.generation == 0 and (fee := ledger.devices.fee()):
        ledger.token.approve(ledger.network.contracts["devices"], fee)
    return ledger.devices.enroll(
        code.device,
        key=code.did.raw,
        binding=code.binding,
        place=place(salt, cell),
        firmware=code.firmware,
        payout=owner,
        deadline=code.deadline,
        consent=code.consent,
    )


def _check_generation(code: PairingCode, last: int) -> None:
    if code.generation != last + 1:
        raise ConflictError(
            f"the pairing code is of generation {code.generation}, the next one is {last + 1}",
            remedy=f"Make it anew on the device: `freehold device pair --generation {last + 1}`.",
        )


def _salt(folder: Path, device: Address, cell: str) -> bytes:
    """A fresh salt, kept with the device and its cell before the ledger has their hash."""
    salt = secrets.token_bytes(32)
    place(salt, cell)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fields = {"device": device, "cell": cell, "salt": "0x" + salt.hex()}
    write_whole(folder / PLACE, (json.dumps(fields) + "\n").encode())
    return salt


def _contract(network: Network, name: str) -> str:
    found = network.contracts.get(name)
    if found is None:
        raise UsageError(
            f"network {network.name} has no contract {name!r}: it takes no devices",
            remedy="Use a network that was founded with a release that has them.",
        )
    return found


def _check_sensors(settings: Settings, folder: Path) -> None:
    from freehold.node.agent.sensors import build

    build(settings.sensors, folder=folder)
    for url in settings.services:
        if url.partition(":")[0] not in SCHEMES:
            raise UsageError(f"{url} is no service", remedy="Give an http(s) or mqtt(s) URL.")
