"""The real contract of subnets in this process, seen through the ledger's own bindings."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace

from contracts.evm import CHAIN_ID, NETWORK_ID, Chain, Contract, Reverted, Signer
from contracts.subnets import EPOCH, RULES, Arena, deploy_arena
from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address, address, keccak
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger import abi
from freehold.ledger.contracts.registry import Registry
from freehold.ledger.contracts.staking import Staking
from freehold.ledger.contracts.subnet import Record, Rules, Subnets, Task
from freehold.ledger.transaction import GAS_LIMIT
from freehold.ledger.values import Header, Receipt, Value, View
from freehold.markets.models.tensor import Schema
from freehold.node.validator.book import Shelf
from freehold.node.validator.clerk import Clerk
from freehold.node.validator.epochs import Epochs
from freehold.node.validator.examiner import Place
from freehold.node.validator.field import Key as SeatKey
from freehold.node.validator.metrics import Metrics
from freehold.node.validator.vault import Vault
from unit.node.validator.scorers import SUBNET

NAME = "digits"


class EvmLedger:
    """What a validator uses of ``Ledger``; ``before`` and ``after`` are told of transactions."""

    def __init__(self, arena: Arena, by: Signer) -> None:
        self.arena, self._by = arena, by
        self.key = Key.from_secret(by.key)
        world = arena.world
        self._contracts: dict[str, Contract] = {
            "registry": world.registry,
            "staking": world.staking,
            "subnet": arena.subnet,
            "prizes": arena.prizes,
            "token": world.token,
            "payments": world.payments,
            "governor": world.governor,
        }
        places = {name: address(each.address) for name, each in self._contracts.items()}
        self.network = Network("evm", CHAIN_ID, NETWORK_ID, places, {}, ("http://x:1",), 0)
        self.registry, self.staking = Registry(self), Staking(self)
        self.subnet = Subnets(self)
        self.prizes = SimpleNamespace(genesis=lambda: arena.genesis, epoch_length=lambda: EPOCH)
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self.sent: list[str] = []
        self.rests = False

    def first_block(self, since: int) -> Header | None:
        """One with that time, unless the chain rests; a transfer wakes it."""
        if self.rests:
            return None
        return Header(since, "0x" + keccak(since.to_bytes(32, "big")).hex(), "0x", since)

    def transfer(self, to: Address, wei: int, *, tag: str | None = None) -> None:
        self.sent.append("transfer")
        self.rests = False

    def now(self) -> int:
        return self.arena.chain.now

    def call(
        self, contract: str, function: str, args: Sequence[object], *, sender: Address | None = None
    ) -> Value:
        found = abi.artifact(contract)
        data = found.calldata(function, args)
        try:
            raw = self.arena.chain.transact(
                self._by.address, self._contracts[contract].address, data, static=True
            )
        except Reverted as error:
            raise RefusedError(error.reason, remedy="-") from error
        outputs = found.function(function, len(args)).outputs
        results = abi.unpack_all(outputs, bytes(raw.value), function)
        return results[0] if len(results) == 1 else results

    def call_many(self, views: Sequence[View]) -> list[Value]:
        return [self.call(view.contract, view.function, view.args) for view in views]

    def send(
        self,
        contract: str,
        function: str,
        args: Sequence[object],
        *,
        value: int = 0,
        tag: str | None = None,
        least_gas: int = 0,
        most_gas: int = GAS_LIMIT,
    ) -> Receipt:
        self.before(function)
        chain = self.arena.chain
        chain.mine()
        try:
            raw = chain.transact(
                self._by.address,
                self._contracts[contract].address,
                abi.artifact(contract).calldata(function, args),
            )
        except Reverted as error:
            raise RefusedError(error.reason, remedy="-") from error
        self.sent.append(function)
        self.after(function)
        return Receipt(
            f"0x{len(self.sent):064x}", chain.number, "0x", raw.gas_used, 1, (), chain.now, 0
        )


@dataclass
class Town:
    """A subnet with validators and models, and the ledger of the first validator."""

    arena: Arena
    subnet: int
    validators: list[Signer]
    models: list[Signer]
    ledgers: dict[str, EvmLedger] = field(default_factory=dict)

    @property
    def chain(self) -> Chain:
        return self.arena.chain

    @property
    def epochs(self) -> Epochs:
        return Epochs(self.arena.genesis, EPOCH)

    def ledger(self, which: int = 0) -> EvmLedger:
        by = self.validators[which]
        if by.address not in self.ledgers:
            self.ledgers[by.address] = EvmLedger(self.arena, by)
        return self.ledgers[by.address]

    def place(self, which: int = 0) -> Place:
        """The uid of a validator."""
        node = address(self.validators[which].address)
        uid = self.ledger(which).subnet.place_of(self.subnet, node)
        assert uid is not None
        return Place(self.subnet, NAME, uid, node)

    def uid(self, hot: Signer) -> int:
        uid = self.ledger().subnet.place_of(self.subnet, address(hot.address))
        assert uid is not None
        return uid

    def key(self, hot: Signer) -> SeatKey:
        uid = self.uid(hot)
        return uid, self.ledger().subnet.generation(self.subnet, uid)

    def record(self, epoch: int, uid: int) -> Record:
        return self.ledger().subnet.records(self.subnet, epoch, uid)[0]

    def to(self, share: float) -> int:
        """Move to that share of the running epoch; its number."""
        self.chain.warp_to(self.arena.genesis + self.arena.epoch * EPOCH + int(share * EPOCH))
        return self.arena.epoch

    def shelf(self, home: Path) -> Shelf:
        return Shelf(home, network=NETWORK_ID, subnet=self.subnet)

    def clerk(self, home: Path, *, which: int = 0, shelf: Shelf | None = None) -> Clerk:
        """A clerk over the files of a home, as a new process has it."""
        return Clerk(
            self.ledger(which),  # type: ignore[arg-type]
            self.place(which),
            epochs=self.epochs,
            shelf=shelf or self.shelf(home),
            vault=Vault(home),
            metrics=Metrics(),
            random=secrets.token_bytes,
        )


def build(
    chain: Chain, *, validators: int = 1, models: int = 2, rules: Rules = RULES, places: int = 16
) -> Town:
    """A subnet; validators have the uids from 0 on, models those that follow."""
    arena = deploy_arena(chain)
    task = asdict(Task(Schema.of(tomllib.loads(SUBNET)["schema"]).hash(), b"\x02" * 32))
    subnet = int(arena.create(NAME, rules=asdict(rules), max_nodes=places, task=task).value)
    judges = [arena.validator(f"validator {i}") for i in range(validators)]
    for each in judges:
        arena.enter(subnet, each)
    serving = arena.fill(subnet, models)
    arena.next()
    return Town(arena, subnet, judges, serving)
