"""Finds a whole network from its registry alone, for whoever has nothing but a recovery kit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.errors import IntegrityError
from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.ledger.abi import artifact
from freehold.ledger.contracts.base import convert, convert_list
from freehold.ledger.contracts.governor import Power
from freehold.ledger.rpc import Rpc
from freehold.ledger.values import Value

_MARKET = "market"
_NUMBERS = (
    ("period", "beacon", "period_length"),
    ("grace", "beacon", "grace"),
    ("genesis", "beacon", "genesis"),
    ("challenges", "pdp", "challenges"),
    ("window", "pdp", "window"),
    ("unbonding", "staking", "unbonding_period"),
    ("cap", "token", "cap"),
    ("governor_delay", "governor", "delay"),
    ("fee_bps", "payments", "fee_bps"),
    ("burn_bps", "payments", "burn_bps"),
    ("arbiter_timeout", "payments", "arbiter_timeout"),
    ("voucher_delay", "payments", "voucher_delay"),
)


@dataclass(frozen=True, slots=True)
class _Reader:
    rpc: Rpc

    def read(self, contract: str, at: Address, function: str) -> Value:
        kind = artifact(contract)
        return kind.result(function, self.rpc.call(at, kind.calldata(function, ())))

    def address(self, contract: str, at: Address, function: str) -> Address:
        return Address(convert(str, self.read(contract, at, function)))


def locate(
    registry: Address,
    *,
    network_id: bytes,
    rpc_urls: Sequence[str],
    chain_id: int,
    deployed_block: int,
) -> Network:
    """The descriptor of the network whose registry this is, named after its token.

    IntegrityError when the registry is of another network; UnavailableError when no RPC answers.
    """
    with Rpc(rpc_urls, chain_id=chain_id) as rpc:
        rpc.check_chain()
        reader = _Reader(rpc)
        if reader.read("registry", registry, "network_id") != network_id:
            raise _not_here(registry, "it belongs to another network")
        contracts = _contracts(reader, registry)
        return Network(
            name=convert(str, reader.read("token", contracts["token"], "name")).lower(),
            chain_id=chain_id,
            network_id=network_id,
            contracts=contracts,
            parameters={
                name: convert(int, reader.read(contract, contracts[contract], function))
                for name, contract, function in _NUMBERS
            },
            rpc_urls=tuple(rpc_urls),
            deployed_block=deployed_block,
        )


def _contracts(reader: _Reader, registry: Address) -> dict[str, Address]:
    governor = reader.address("registry", registry, "governor")
    powers = convert_list(Power, reader.read("governor", governor, "powers"))
    for market in dict.fromkeys(power.holder for power in powers if power.role == _MARKET):
        found = {"governor": governor, "registry": registry, "storage": market}
        for name in ("payments", "pdp", "beacon", "faults"):
            found[name] = reader.address("storage", market, name)
        for name in ("token", "staking"):
            found[name] = reader.address("faults", found["faults"], name)
        if reader.address("storage", market, "registry") == registry:
            return found
    raise _not_here(registry, "no storage market is listed in its governor")


def _not_here(registry: Address, reason: str) -> IntegrityError:
    return IntegrityError(
        f"the registry {registry} does not lead to the network: {reason}",
        remedy="Check the recovery kit, or give network.json with --network.",
    )
