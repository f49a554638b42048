"""The contracts that every market stands on, deployed together, and the people in the tests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from contracts.evm import (
    CHAIN_ID,
    NETWORK_ID,
    ZERO,
    Chain,
    Contract,
    Outcome,
    Reverted,
    Signer,
    signer,
)

ROOT = Path(__file__).resolve().parents[2]
FAKES = Path(__file__).resolve().parent / "fakes"
RATE_UNIT = 2**40 * 2_592_000
TOKEN = 10**18
CAP = 1_000_000_000 * TOKEN
DELAY = 3_600
UNBONDING = 86_400
STORAGE_ROLE = 1
MAX = 2**256 - 1
FREE = (0, 0, 0, 0)
"""Terms under which registering costs nothing."""

CONSENT = {"Consent": "address node,address owner,uint64 generation,uint64 deadline"}
VOUCHER = {"Voucher": "uint256 rail,uint256 amount"}
PERMIT = {
    "Permit": "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline",
}

alice = signer("alice")
bob = signer("bob")
carol = signer("carol")
guardian = signer("guardian")
treasury = signer("treasury")
node = signer("node")
mallory = signer("mallory")


def refused(reason: str) -> pytest.RaisesExc[Reverted]:
    """Expect a refusal with exactly this reason."""
    return pytest.raises(Reverted, match=f"^{re.escape(reason)}$")


@cache
def compiler() -> ModuleType:
    """The project's own build script, for the contracts that only tests have."""
    spec = util.spec_from_file_location("contracts_build", ROOT / "contracts" / "build.py")
    if spec is None or spec.loader is None:
        raise ImportError("contracts/build.py")
    module = util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def fake(name: str) -> dict[str, Any]:
    """The compiled contract tests/contracts/fakes/NAME.vy."""
    return asdict(compiler().compile_contract(FAKES / f"{name}.vy"))


@dataclass(frozen=True, slots=True)
class Puppet:
    """A contract that acts as a test says: `act` sends a call in its name."""

    contract: Contract

    @property
    def address(self) -> str:
        """Its address."""
        return self.contract.address

    def act(self, target: Contract, function: str, *arguments: Any) -> Outcome:
        """A transaction by the puppet; `value` is what the target returned."""
        data = target.data(function, *arguments)
        raw = self.contract.send("run", target.address, data, sender=alice.address)
        return Outcome(target.result(function, len(arguments), raw.value), raw.events, raw.gas_used)

    def answer(self, *, seconds: int = 0, decided: int = 0, mode: int = 0) -> None:
        """What `accepted` answers from now on (modes: see the source)."""
        self.contract.send("set_answer", mode, seconds, decided, sender=alice.address)

    def evaluation(self, target: Contract, function: str, *arguments: Any) -> None:
        """What it does when it is asked to evaluate a node."""
        data = target.data(function, *arguments)
        self.contract.send("set_evaluation", target.address, data, sender=alice.address)

    def owe(self, since: int) -> None:
        """From when on it owes a node rewards, as an evaluator; `owe_nothing` ends that."""
        self.contract.send("set_owed", 1, since, sender=alice.address)

    def owe_nothing(self) -> None:
        """It owes nothing, as at first."""
        self.contract.send("set_owed", 0, 0, sender=alice.address)

    def refuse_to_tell(self) -> None:
        """It reverts when it is asked what it owes."""
        self.contract.send("set_owed", 2, 0, sender=alice.address)


@dataclass(frozen=True, slots=True)
class World:
    """The deployed base: setup not finished, so that tests may still name roles."""

    chain: Chain
    governor: Contract
    token: Contract
    registry: Contract
    staking: Contract
    payments: Contract

    def setup(self, target: Contract, function: str, *arguments: Any) -> Outcome:
        """A governor's call during setup."""
        data = target.data(function, *arguments)
        return self.governor.send("setup_call", target.address, data, sender=guardian.address)

    def govern(self, target: Contract, function: str, *arguments: Any) -> Outcome:
        """A proposal carried out after its delay (setup finished)."""
        data = target.data(function, *arguments)
        proposal = self.governor.send("propose", target.address, data, sender=guardian.address)
        self.chain.warp_to(max(self.chain.now, proposal.one("Proposed").ready_at))
        return self.governor.send("execute", proposal.value, sender=alice.address)

    def fund(self, account: str, amount: int) -> None:
        """Mint tokens to an account (the guardian is a minter here)."""
        self.token.send("mint", account, amount, 4, sender=guardian.address)

    def puppet(self) -> Puppet:
        """A new contract under the test's control."""
        return Puppet(self.chain.deploy_artifact(fake("puppet"), sender=guardian.address))

    def foreign(self, name: str = "foreign") -> Contract:
        """A new foreign token."""
        return self.chain.deploy_artifact(fake(name), sender=guardian.address)

    def market(self) -> Puppet:
        """A puppet that is an allowed market."""
        puppet = self.puppet()
        self.setup(self.payments, "set_market", puppet.address, True)
        return puppet

    def register(self, owner: Signer = alice, hot: Signer = node, roles: int = 1) -> Outcome:
        """Register a node under an owner."""
        deadline = self.chain.now + 600
        generation = self.registry.call("node", hot.address).generation + 1
        consent = hot.sign(
            self.registry.domain(),
            CONSENT,
            {
                "node": hot.address,
                "owner": owner.address,
                "generation": generation,
                "deadline": deadline,
            },
        )
        return self.registry.send(
            "register",
            hot.address,
            roles,
            "https://node.example",
            b"\x01" * 32,
            b"\x02" * 32,
            owner.address,
            deadline,
            consent,
            sender=owner.address,
        )

    def deposit(self, owner: Signer, amount: int) -> None:
        """Mint tokens to an owner and bring them into the owner's account."""
        self.fund(owner.address, amount)
        self.token.send("approve", self.payments.address, amount, sender=owner.address)
        self.payments.send(
            "deposit", self.token.address, owner.address, amount, sender=owner.address
        )

    def balance(self, account: str) -> int:
        """Tokens of an account."""
        return int(self.token.call("balanceOf", account))

    def funds(self, account: str) -> int:
        """Funds of an account in payments."""
        return int(self.payments.call("account", self.token.address, account).funds)


def deploy_world(chain: Chain, *, entry: Sequence[int] = FREE) -> World:
    """Deploy governor, token, registry, staking and payments; the guardian may mint.

    ``entry`` is the price of registering: lowest, highest, half-life, factor.
    """
    by = guardian.address
    governor = chain.deploy("governor", by, DELAY, sender=by)
    token = chain.deploy("token", "Freehold", "FREE", CAP, NETWORK_ID, governor.address, sender=by)
    registry = chain.deploy(
        "registry", NETWORK_ID, governor.address, token.address, *entry, sender=by
    )
    staking = chain.deploy(
        "staking", token.address, registry.address, governor.address, UNBONDING, sender=by
    )
    payments = chain.deploy(
        "payments", token.address, NETWORK_ID, governor.address, treasury.address, sender=by
    )
    world = World(chain, governor, token, registry, staking, payments)
    world.setup(governor, "set_staking", staking.address)
    world.setup(token, "set_minter", by, True)
    return world


def permit_of(
    token: Contract, owner: Signer, spender: str, value: int, deadline: int
) -> tuple[int, bytes, bytes]:
    """v, r, s of a permit under the owner's present nonce."""
    message: Mapping[str, Any] = {
        "owner": owner.address,
        "spender": spender,
        "value": value,
        "nonce": token.call("nonces", owner.address),
        "deadline": deadline,
    }
    signature = owner.sign(token.domain("Freehold"), PERMIT, message)
    return signature[64], signature[:32], signature[32:64]


__all__ = [
    "CHAIN_ID",
    "NETWORK_ID",
    "ZERO",
    "Puppet",
    "Reverted",
    "World",
    "deploy_world",
]
