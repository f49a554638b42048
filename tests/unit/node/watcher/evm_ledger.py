"""The ledger's own bindings and calculations over contracts that run in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts.evm import CHAIN_ID, NETWORK_ID, Chain, Contract, Reverted, Signer
from contracts.watchers import FLOOR, LEAST, TOLERANCE_BPS, Watch, deploy_watch
from contracts.world import guardian
from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address, address
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger import abi
from freehold.ledger.contracts.automation import Automation
from freehold.ledger.contracts.devices import Devices
from freehold.ledger.contracts.registry import Registry
from freehold.ledger.contracts.staking import Staking
from freehold.ledger.contracts.status import Status
from freehold.ledger.transaction import GAS_LIMIT
from freehold.ledger.values import Event, Log, Receipt, Value, View

NAMES = ("registry", "staking", "beacon", "status", "devices", "automation", "governor", "token")


@dataclass
class EvmIndex:
    """Events as they were logged."""

    log: list[Event] = field(default_factory=list)
    syncs: int = 0

    def sync(self) -> int:
        self.syncs += 1
        return 0

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
        found = [
            each
            for each in self.log
            if (each.contract, each.name) == (contract, name)
            and each.block >= since
            and all(each.args[key] == value for key, value in (where or {}).items())
            and (after is None or (each.block, each.index) > (after.block, after.index))
        ]
        return (found[::-1] if newest_first else found)[:limit]

    def last(
        self, contract: str, name: str, *, where: Mapping[str, object] | None = None
    ) -> Event | None:
        found = self.events(contract, name, where=where, limit=1, newest_first=True)
        return found[0] if found else None


@dataclass
class Town:
    """Contracts `status`, `devices` and `automation` over one base, and everything they logged."""

    watch: Watch
    contracts: dict[str, Contract]
    index: EvmIndex = field(default_factory=EvmIndex)
    sent: list[tuple[str, str, int]] = field(default_factory=list)
    """Sender, function and gas of each transaction."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Function and reason of those that were refused."""

    @property
    def chain(self) -> Chain:
        return self.watch.chain

    @property
    def network(self) -> Network:
        places = {name: address(found.address) for name, found in self.contracts.items()}
        filler = dict.fromkeys(("payments", "pdp", "faults", "storage"), address("0x" + "77" * 20))
        return Network("evm", CHAIN_ID, NETWORK_ID, {**filler, **places}, {}, ("http://x:1",), 0)

    def ledger(self, by: Signer) -> EvmLedger:
        """The ledger as one account sees it."""
        return EvmLedger(self, by)


def build(chain: Chain, *, seats: int) -> Town:
    """A town at the beginning of round 0, with committees of so many."""
    watch = deploy_watch(chain, terms=(LEAST, seats, FLOOR, TOLERANCE_BPS))
    world, by = watch.world, guardian.address
    governor = world.governor.address
    devices = chain.deploy("devices", NETWORK_ID, governor, world.token.address, 0, sender=by)
    places = (governor, devices.address, watch.status.address)
    automation = chain.deploy("automation", NETWORK_ID, *places, sender=by)
    found = (
        world.registry, world.staking, watch.beacon, watch.status, devices, automation,
        world.governor, world.token,
    )  # fmt: skip
    return Town(watch, dict(zip(NAMES, found, strict=True)))


class EvmLedger:
    """What observers use of ``Ledger``."""

    def __init__(self, town: Town, by: Signer) -> None:
        self._town, self._by = town, by
        self.key = Key.from_secret(by.key)
        self.network = town.network
        self.index = town.index
        self.registry, self.staking = Registry(self), Staking(self)
        self.status, self.devices, self.automation = Status(self), Devices(self), Automation(self)

    def now(self) -> int:
        return self._town.chain.now

    def call(
        self, contract: str, function: str, args: Sequence[object], *, sender: Address | None = None
    ) -> Value:
        found = abi.artifact(contract)
        data = found.calldata(function, args)
        try:
            raw = self._town.chain.transact(
                self._by.address, self._town.contracts[contract].address, data, static=True
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
        chain, found = self._town.chain, abi.artifact(contract)
        place = self._town.contracts[contract].address
        chain.mine()
        try:
            raw = chain.transact(self._by.address, place, found.calldata(function, args))
        except Reverted as error:
            self._town.refused.append((function, error.reason))
            raise RefusedError(error.reason, remedy="-") from error
        self._town.sent.append((self._by.address, function, raw.gas_used))
        logs = tuple(self._logs())
        self._town.index.log += logs
        return Receipt(f"0x{len(self._town.sent):064x}", chain.number, "0x", raw.gas_used, 1,
                       logs, chain.now, 0)  # fmt: skip

    def _logs(self) -> list[Event]:
        result = self._town.chain.evm.result
        names = {found.address: name for name, found in self._town.contracts.items()}
        events = []
        for at, log in enumerate(result.logs if result else ()):
            name = names.get(log.address.lower())
            topics = tuple(bytes.fromhex(topic[2:]) for topic in log.topics)
            made = Log(
                address(log.address), topics, bytes(log.data[1]), self._town.chain.number, "0x",
                "0x", at,
            )  # fmt: skip
            event = name and abi.decode_log(name, abi.artifact(name), made)
            if event:
                events.append(_timed(event, self._town.chain.now))
        return events


def _timed(event: Event, now: int) -> Event:
    return Event(
        event.contract, event.name, event.args, event.block, event.index, event.transaction,
        event.block_hash, now,
    )  # fmt: skip
