"""Every typed method is a function of the contract's ABI, and every struct fits."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import fields

import pytest

from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import Key, recover
from freehold.domain.network import Network
from freehold.domain.typed import PERMIT, Domain
from freehold.ledger import abi
from freehold.ledger.abi import Parameter
from freehold.ledger.contracts import (
    auction,
    automation,
    beacon,
    capacity,
    devices,
    disputes,
    faults,
    issuance,
    payments,
    pdp,
    registry,
    rewards,
    roots,
    staking,
    status,
    storage,
    streams,
    subnet,
)
from freehold.ledger.contracts.auction import Auction
from freehold.ledger.contracts.automation import Automation
from freehold.ledger.contracts.base import Contract, convert
from freehold.ledger.contracts.beacon import Beacon
from freehold.ledger.contracts.capacity import Capacity
from freehold.ledger.contracts.devices import Devices
from freehold.ledger.contracts.disputes import Disputes
from freehold.ledger.contracts.faults import Faults
from freehold.ledger.contracts.governor import Governor, Power, Proposal
from freehold.ledger.contracts.issuance import Issuance
from freehold.ledger.contracts.payments import Payments
from freehold.ledger.contracts.pdp import Pdp
from freehold.ledger.contracts.registry import Registry
from freehold.ledger.contracts.rewards import Rewards
from freehold.ledger.contracts.roots import Roots
from freehold.ledger.contracts.staking import Staking
from freehold.ledger.contracts.status import Status
from freehold.ledger.contracts.storage import Storage
from freehold.ledger.contracts.streams import Streams
from freehold.ledger.contracts.subnet import Subnets
from freehold.ledger.contracts.token import Permit, Token
from freehold.ledger.values import Receipt, Value

CLASSES: list[type[Contract]] = [
    Auction, Automation, Beacon, Capacity, Devices, Disputes, Faults, Governor, Issuance, Payments,
    Pdp, Registry, Rewards, Roots, Staking, Status, Storage, Streams, Subnets, Token,
]  # fmt: skip
RECEIPT = Receipt("0x", 1, "0x", 1, 1, (), 1, 1)
SAMPLES: dict[str, object] = {
    "int": 1,
    "bytes": b"\x01" * 32,
    "str": "text",
    "bool": True,
    "Address": ZERO_ADDRESS,
    "Permit": Permit(1, 2, 27, b"\x01" * 32, b"\x02" * 32),
    "Sequence[int]": (1, 2),
    "Sequence[Address]": (ZERO_ADDRESS, ZERO_ADDRESS),
    "Sequence[bytes]": (b"\x01" * 65,),
    "Header": roots.Header(2, 0, 1, 3, 4, 5, b"\x01" * 32, ZERO_ADDRESS, 6, 7),
    "Rules": subnet.Rules(),
    "Entry": subnet.Entry(1, 2, 3, 10_001),
    "Task": subnet.Task(b"\x01" * 32, b"\x02" * 32),
}
NONE = bytes(32)
SAMPLES["Place"] = (
    (1, NONE, 0, NONE, 0), (NONE, 0, NONE, NONE, 0, NONE, NONE, *[0] * 11), 0, (),
)  # fmt: skip
SAMPLES["Opening"] = (
    SAMPLES["Place"], ((NONE, NONE, NONE, NONE, 0, NONE, NONE, NONE), ()), (),
    (ZERO_ADDRESS, 0, 0, 0, 0), (),
)  # fmt: skip
ASPECTS = (b"\x01" * 32, b"\x02" * 32)
MANDATE = storage.Mandate(1, 2, 1, 3, 4, 5)
SAMPLES["Acceptance"] = storage.Acceptance(ZERO_ADDRESS, 1, 2, 3, 4, b"\x01" * 65)
SAMPLES["Sequence[Acceptance]"] = (SAMPLES["Acceptance"],)
SAMPLES["OpenRequest"] = storage.OpenRequest(
    b"\x01" * 32, ZERO_ADDRESS, 1, 2, 3, (b"\x01" * 32,), MANDATE, b""
)


class Recorder:
    """A door that checks calls against the ABI and answers zeros."""

    def __init__(self) -> None:
        self.called: set[str] = set()
        self.network = Network(
            "test", 1, b"\x01" * 32, {c.name: ZERO_ADDRESS for c in CLASSES}, {}, ("http://x",), 0
        )

    def call(
        self, contract: str, function: str, args: Sequence[object], *, sender: Address | None = None
    ) -> Value:
        """Encode the call; decode what a contract that answers zeros would say."""
        found = self._checked(contract, function, args)
        results: list[Value] = [zero(output) for output in found.outputs]
        return results[0] if len(results) == 1 else results

    def send(
        self,
        contract: str,
        function: str,
        args: Sequence[object],
        *,
        value: int = 0,
        tag: str | None = None,
        least_gas: int = 0,
        most_gas: int = 0,
    ) -> Receipt:
        """Encode the call."""
        found = self._checked(contract, function, args)
        assert found.payable == bool(value)
        return RECEIPT

    def _checked(self, contract: str, function: str, args: Sequence[object]) -> abi.Function:
        self.called.add(f"{contract}.{function}")
        compiled = abi.artifact(contract)
        assert compiled.calldata(function, args)
        return compiled.function(function, len(args))


def zero(parameter: Parameter) -> Value:
    """The zero of an ABI type."""
    if parameter.kind.endswith("]"):
        return []
    if parameter.fields:
        return {field.name: zero(field) for field in parameter.fields}
    if parameter.kind == "bool":
        return False
    if parameter.kind == "address":
        return ZERO_ADDRESS
    if parameter.kind == "string":
        return ""
    return bytes(32) if parameter.kind.startswith("bytes") else 0


def sample(parameter: inspect.Parameter) -> object:
    """An argument that fits; bytes in sequences are signatures, but for aspects."""
    return ASPECTS if parameter.name == "aspects" else SAMPLES[str(parameter.annotation)]


def methods(kind: type[Contract]) -> list[str]:
    """The methods that talk to the contract."""
    skipped = {"address", "name", "sign_permit"}
    return [name for name in vars(kind) if not name.startswith("_") and name not in skipped]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.name)
def test_every_method_fits_the_abi(kind: type[Contract]) -> None:
    door = Recorder()
    contract = kind(door)
    for name in methods(kind):
        method = getattr(contract, name)
        parameters = inspect.signature(method).parameters.values()
        given = [p for p in parameters if p.default is p.empty]
        plain = [sample(p) for p in given if p.kind is not p.KEYWORD_ONLY]
        named = {p.name: sample(p) for p in given if p.kind is p.KEYWORD_ONLY}
        method(*plain, **named)
    assert door.called


STRUCTS = [
    (auction.Lot, "auction", "lot", 1),
    (auction.Sale, "auction", "last_sale", 1),
    (automation.Rule, "automation", "rule", 1),
    (automation.Command, "automation", "command", 1),
    (beacon.Round, "beacon", "round", 1),
    (capacity.Rule, "capacity", "rule", 1),
    (capacity.Declaration, "capacity", "declaration", 2),
    (devices.Device, "devices", "device", 1),
    (disputes.Demand, "disputes", "demanded", 1),
    (faults.Parameters, "faults", "parameters", 0),
    (faults.NodeState, "faults", "node_state", 1),
    (faults.SpotChallenge, "faults", "spot", 1),
    (Proposal, "governor", "proposal", 1),
    (payments.Account, "payments", "account", 2),
    (payments.Rail, "payments", "rail", 1),
    (issuance.Plan, "issuance", "plan", 0),
    (issuance.Allocation, "issuance", "allocation", 1),
    (issuance.Allocator, "issuance", "allocators", 1),
    (issuance.Baseline, "issuance", "baseline", 0),
    (rewards.Standing, "rewards", "account", 1),
    (roots.Parameters, "roots", "parameters", 0),
    (roots.State, "roots", "state", 0),
    (roots.Bond, "roots", "bond_of", 1),
    (pdp.ProofSet, "pdp", "set", 1),
    (pdp.Piece, "pdp", "piece", 2),
    (registry.Node, "registry", "node", 1),
    (registry.Session, "registry", "session", 2),
    (staking.Entry, "staking", "entry", 3),
    (staking.Notice, "staking", "notice", 2),
    (staking.Commission, "staking", "commission", 1),
    (status.Parameters, "status", "parameters", 0),
    (status.Tolerance, "status", "tolerance_of", 1),
    (status.Agreed, "status", "status_of", 2),
    (status.Member, "status", "member", 1),
    (status.Told, "status", "told_of", 4),
    (storage.Parameters, "storage", "parameters", 0),
    (storage.Deal, "storage", "deal", 1),
    (storage.Column, "storage", "column", 2),
    (streams.Purchase, "streams", "purchase", 1),
    (subnet.Subnet, "subnet", "subnet_of", 1),
    (subnet.Rules, "subnet", "rules_at", 2),
    (subnet.Entry, "subnet", "entry_at", 2),
    (subnet.Task, "subnet", "task_at", 2),
    (subnet.Terms, "subnet", "terms", 0),
    (subnet.Seat, "subnet", "seat", 2),
    (subnet.Commitment, "subnet", "committed", 3),
]


@pytest.mark.parametrize(("kind", "contract", "function", "count"), STRUCTS)
def test_every_struct_has_all_fields_of_its_contract(
    kind: type, contract: str, function: str, count: int
) -> None:
    (output,) = abi.artifact(contract).function(function, count).outputs
    assert {f.name for f in output.fields} == {f.name for f in fields(kind)}
    assert convert(kind, zero(output)) is not None


def test_powers_are_structs_too() -> None:
    (output,) = abi.artifact("governor").function("powers", 0).outputs
    assert [f.name for f in output.fields] == [f.name for f in fields(Power)]


def test_a_permit_is_signed_over_the_tokens_own_name() -> None:
    key = Key.from_secret(b"\x03" * 32)
    token = Token(Recorder())
    permit = token.sign_permit(key, ZERO_ADDRESS, amount=5, deadline=6)
    digest = PERMIT.digest(
        Domain("", 1, ZERO_ADDRESS, b"\x01" * 32), (key.address, ZERO_ADDRESS, 5, 0, 6)
    )
    assert recover(digest, permit.r + permit.s + bytes([permit.v])) == key.address
