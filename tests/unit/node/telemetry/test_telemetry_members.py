"""The list of members follows the chain, and hears only whose hello is his."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from freehold.domain import pairing
from freehold.domain.did import Did, ForgedError, PrivateKey, sign
from freehold.domain.errors import AccessError, ConflictError, UsageError
from freehold.domain.ids import Address, checksum
from freehold.domain.keys import Key
from freehold.ledger.values import Event
from freehold.node.hello import Hello
from freehold.node.telemetry.access import Want
from freehold.node.telemetry.members import Owners, Roll
from freehold.telemetry.members import UnknownError
from freehold.telemetry.sources import Sources
from unit.node.world import NOW, event, network
from unit.telemetry.devices import KEYS

OWNER, OTHER = checksum(b"\x21" * 20), checksum(b"\x22" * 20)
AGENT, NODE = Key.from_secret(b"\x55" * 32), Key.from_secret(b"\x66" * 32)
SERVICE = checksum(b"\x77" * 20)
PLAIN = network()
NET = replace(PLAIN, contracts={**PLAIN.contracts, "devices": checksum(b"\x99" * 20)})
DID = Did.of(KEYS[0].public_key())
SALT = b"\x05" * 32


@dataclass
class Index:
    log: list[Event] = field(default_factory=list)
    undone: int = 0

    def sync(self) -> int:
        return max((each.block for each in self.log), default=0)

    def rollbacks(self) -> int:
        return self.undone

    def events(
        self, contract: str, name: str, *, until: int | None = None, after: Event | None = None,
        limit: int = 2,
    ) -> list[Event]:  # fmt: skip
        found = [
            each for each in self.log
            if (each.contract, each.name) == (contract, name)
            and (until is None or each.block <= until)
            and (after is None or (each.block, each.index) > (after.block, after.index))
        ]  # fmt: skip
        return found[:limit]


def enrolled(
    *, key: PrivateKey = KEYS[0], owner: Address = OWNER, binding: bytes | None = None,
    device: Address = AGENT.address,
) -> Event:  # fmt: skip
    if binding is None:
        binding = pairing.seal(key, network_id=NET.network_id, device=device, owner=owner)
    return event(
        "Enrolled", contract="devices", device=device, owner=owner, generation=1,
        key=Did.of(key.public_key()).raw, binding=binding, place=pairing.place(SALT, "u33d"),
        firmware="", payout=owner, burned=0,
    )  # fmt: skip


def registered(*, owner: Address = OWNER) -> Event:
    return event("NodeRegistered", contract="registry", node=NODE.address, owner=owner, roles=1)


def gone(name: str, contract: str, who: Address) -> Event:
    if contract == "registry":
        return event(name, contract=contract, owner=OWNER, node=who)
    return event(name, contract=contract, owner=OWNER, device=who)


def hello(
    *, key: PrivateKey = KEYS[1], owner: Address = OWNER, service: Address = SERVICE,
    at: int = NOW, node: Key = NODE,
) -> bytes:  # fmt: skip
    did = Did.of(key.public_key())
    return Hello.sign(
        node, did=did, bind=lambda told: sign(key, told), owner=owner, service=service,
        domain=NET.domain("registry"), at=at,
    ).render()  # fmt: skip


def roll(index: Index, folder: Path) -> Roll:
    made = Roll(index, NET, folder / "members", service=SERVICE, now=lambda: NOW)
    made.refresh()
    return made


def test_devices_of_the_chain_are_members_while_they_are_in_service(tmp_path: Path) -> None:
    index = Index([enrolled()])
    members = roll(index, tmp_path)
    member = members.find(DID)
    assert member is not None
    assert (member.id, member.owner, member.kind, member.cell) == (
        AGENT.address, OWNER, "device", "",
    )  # fmt: skip
    index.log.append(gone("Retired", "devices", AGENT.address))
    members.refresh()
    assert members.find(DID) is None
    index.log.append(enrolled(key=KEYS[1]))
    members.refresh()
    assert members.find(DID) is None
    assert members.find(Did.of(KEYS[1].public_key())) == members.member(AGENT.address)


def test_a_key_that_never_agreed_is_nobodys(tmp_path: Path) -> None:
    theft = pairing.seal(KEYS[0], network_id=NET.network_id, device=AGENT.address, owner=OTHER)
    members = roll(Index([enrolled(binding=theft)]), tmp_path)
    assert members.find(DID) is None
    assert members.all() == []


def test_a_key_of_two_is_the_first_ones(tmp_path: Path) -> None:
    events = [enrolled(), enrolled(device=checksum(b"\x31" * 20))]
    members = roll(Index(events), tmp_path)
    assert [each.id for each in members.all()] == [AGENT.address]


def test_what_a_reorganisation_took_back_is_forgotten(tmp_path: Path) -> None:
    index = Index([enrolled()])
    members = roll(index, tmp_path)
    index.log.clear()
    index.undone += 1
    members.refresh()
    assert members.find(DID) is None


def test_a_registered_node_says_hello_and_is_known_after_a_restart(tmp_path: Path) -> None:
    index = Index([registered()])
    members = roll(index, tmp_path)
    assert members.take(hello())["node"] == NODE.address
    for each in (members, roll(index, tmp_path)):
        member = each.find(Did.of(KEYS[1].public_key()))
        assert member is not None
        assert (member.id, member.kind, member.owner) == (NODE.address, "node", OWNER)
    index.log.append(gone("NodeRetired", "registry", NODE.address))
    members.refresh()
    assert members.member(NODE.address) is None


def test_a_new_owner_needs_a_new_hello(tmp_path: Path) -> None:
    index = Index([registered()])
    members = roll(index, tmp_path)
    members.take(hello())
    index.log += [gone("NodeRetired", "registry", NODE.address), registered(owner=OTHER)]
    members.refresh()
    assert members.member(NODE.address) is None
    members.take(hello(owner=OTHER, at=NOW + 1))
    assert members.member(NODE.address) is not None


@pytest.mark.parametrize(
    ("letter", "refused"),
    [
        (b"{}", UsageError),
        (b"\xff" * 9, UsageError),
        (hello(node=AGENT), UnknownError),
        (hello(service=OTHER), AccessError),
        (hello(owner=OTHER), ForgedError),
        (hello(at=NOW - 10_000), ConflictError),
        (hello(at=NOW + 10_000), ConflictError),
        (hello(key=KEYS[0]), ConflictError),
        (hello().replace(b'"at": 18', b'"at": 19'), AccessError),
    ],
    ids=[
        "empty",
        "no text",
        "not enrolled",
        "another service",
        "another owner",
        "too old",
        "to come",
        "another key",
        "changed",
    ],
)
def test_other_hellos_are_refused(letter: bytes, refused: type[Exception], tmp_path: Path) -> None:
    members = roll(Index([enrolled(), registered()]), tmp_path)
    with pytest.raises(refused):
        members.take(letter)
    assert [each.id for each in members.all()] == [AGENT.address]


def test_an_old_hello_does_not_bring_an_old_key_back(tmp_path: Path) -> None:
    members = roll(Index([registered()]), tmp_path)
    members.take(hello(key=KEYS[0], at=NOW))
    members.take(hello(key=KEYS[1], at=NOW + 5))
    with pytest.raises(ConflictError):
        members.take(hello(key=KEYS[0], at=NOW))
    assert members.find(DID) is None


def test_an_owner_tells_the_cell_that_the_chain_has_the_hash_of(tmp_path: Path) -> None:
    index = Index([enrolled()])
    members = roll(index, tmp_path)
    with pytest.raises(AccessError):
        members.place(AGENT.address, salt=SALT, cell="u33e")
    members.place(AGENT.address, salt=SALT, cell="u33d")
    for each in (members, roll(index, tmp_path)):
        member = each.member(AGENT.address)
        assert member is not None
        assert member.cell == "u33d"
    moved = event(
        "Updated", contract="devices", device=AGENT.address, owner=OWNER, place=bytes(32),
        payout=OWNER,
    )  # fmt: skip
    index.log.append(moved)
    members.refresh()
    member = members.member(AGENT.address)
    assert member is not None
    assert member.cell == ""
    with pytest.raises(UnknownError):
        members.place(OTHER, salt=SALT, cell="u33d")


def test_damaged_files_are_left_out(tmp_path: Path) -> None:
    index = Index([registered(), enrolled()])
    members = roll(index, tmp_path)
    members.take(hello())
    members.place(AGENT.address, salt=SALT, cell="u33d")
    for file in (tmp_path / "members").iterdir():
        file.write_bytes(b"{")
    again = roll(index, tmp_path)
    assert [(each.id, each.cell) for each in again.all()] == [(AGENT.address, "")]


def test_owners_read_and_so_do_buyers_of_devices_alone(tmp_path: Path) -> None:
    members = roll(Index([enrolled(), registered()]), tmp_path)
    members.take(hello())
    sources = Sources(
        tmp_path / "sources", network_id=NET.network_id, random=lambda size: b"\x05" * size, now=1
    )
    source, _ = sources.add("prom", owner=OTHER)
    owners = Owners(members, sources, bought=lambda account, _device, _want: account == OTHER)
    assert owners.owner_of(AGENT.address) == owners.owner_of(NODE.address) == OWNER
    assert owners.owner_of(source.id) == owners.owner_of(f"{source.id}/7") == OTHER
    assert owners.owner_of("source:pro/7") is None
    assert owners.owner_of(SERVICE) is None
    assert owners.may_read(OWNER, NODE.address, Want())
    assert owners.may_read(OTHER, AGENT.address, Want())
    assert not owners.may_read(OTHER, NODE.address, Want())
    assert not owners.may_read(SERVICE, AGENT.address, Want())
