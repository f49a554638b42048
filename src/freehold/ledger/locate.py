"""Finds a whole network from its registry alone, for whoever has nothing but a recovery kit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from freehold.domain.errors import IntegrityError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.network import Network
from freehold.ledger.abi import artifact, unpack_all
from freehold.ledger.contracts.base import convert, convert_list
from freehold.ledger.contracts.capacity import Rule
from freehold.ledger.contracts.governor import Power
from freehold.ledger.contracts.issuance import Plan
from freehold.ledger.contracts.registry import COMPUTE
from freehold.ledger.economy import DEVICES, SUBNETS
from freehold.ledger.modeling import CHECKERS, MODELING
from freehold.ledger.rpc import Rpc
from freehold.ledger.sensing import SENSING
from freehold.ledger.values import Value
from freehold.ledger.wire import RpcRefusal

_MARKET, _LOCKER = "market", "locker"
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
_ECONOMY = (
    ("epoch", "issuance", "epoch_seconds"),
    ("share_bps", "rewards", "share_bps"),
    ("work_per_token", "rewards", "work_per_token"),
)
_SENSING = (
    ("round_length", "status", "round_length"),
    ("stream_fee_bps", "streams", "fee_bps"),
)
_KNOWN = {
    "rewards": ("token", "payments", "registry", "staking", "governor"),
    "issuance": ("token", "governor"),
    "roots": ("token", "payments", "registry", "governor"),
    "prizes": ("token", "payments", "registry", "staking", "governor"),
    "subnet": ("token", "registry", "staking", "issuance", "governor", "prizes"),
    "disputes": ("prizes", "subnet"),
    "auction": ("token",),
    "capacity": ("registry", "staking", "governor"),
    "devices": ("token", "governor"),
    "status": ("registry", "staking", "beacon", "governor"),
    "automation": ("devices", "status", "governor"),
    "streams": ("token", "roots", "governor"),
}
_CALLED = {
    ("auction", "token"): "network_token",
    ("disputes", "subnet"): "subnets",
}
"""Where a contract's view of another is not called as that one is."""


@dataclass(frozen=True, slots=True)
class _Reader:
    rpc: Rpc

    def read(self, contract: str, at: Address, function: str, *args: object) -> Value:
        kind = artifact(contract)
        outputs = kind.function(function, len(args)).outputs
        data = self.rpc.call(at, kind.calldata(function, args))
        results = unpack_all(outputs, data, f"{contract}.{function}")
        return results[0] if len(results) == 1 else results

    def address(self, contract: str, at: Address, function: str, *args: object) -> Address:
        return Address(convert(str, self.read(contract, at, function, *args)))


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
        contracts |= _auction(reader, contracts) | _economy(reader, contracts)
        contracts |= _capacity(reader, contracts)
        contracts |= _listed(reader, SENSING, contracts, network_id)
        contracts |= _listed(reader, MODELING, contracts, network_id)
        contracts |= _checkers(reader, contracts)
        return Network(
            name=convert(str, reader.read("token", contracts["token"], "name")).lower(),
            chain_id=chain_id,
            network_id=network_id,
            contracts=contracts,
            parameters=_numbers(reader, contracts),
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


def _auction(reader: _Reader, contracts: dict[str, Address]) -> dict[str, Address]:
    """The auction that the payments name; left out where none is, or it burns another token."""
    found = reader.address("payments", contracts["payments"], "auction")
    return {"auction": found} if _knows(reader, "auction", found, contracts, {}) else {}


def _capacity(reader: _Reader, contracts: dict[str, Address]) -> dict[str, Address]:
    """The capacity among those who may lock stake; left out where none is."""
    powers = convert_list(Power, reader.read("governor", contracts["governor"], "powers"))
    for power in powers:
        locks = power.role == _LOCKER and power.contract == contracts["staking"]
        if locks and _has_rules(reader, power.holder, contracts):
            return {"capacity": power.holder}
    return {}


def _has_rules(reader: _Reader, at: Address, contracts: dict[str, Address]) -> bool:
    """Whether a locker is this network's capacity; markets name the same neighbours."""
    if not _knows(reader, "capacity", at, contracts, {}):
        return False
    try:
        convert(Rule, reader.read("capacity", at, "rule", COMPUTE))
    except (IntegrityError, RpcRefusal):
        return False
    return True


def _listed(
    reader: _Reader, names: Sequence[str], contracts: dict[str, Address], network_id: bytes
) -> dict[str, Address]:
    """Those contracts of ``names`` that the governor lists beside the registry.

    One that does not know this network, or stands on one that does not, is left out.
    """
    powers = convert_list(Power, reader.read("governor", contracts["governor"], "powers"))
    found: dict[str, Address] = {}
    for name in names:
        at = contracts | found
        for power in powers:
            listed = power.role == name and power.contract == contracts["registry"]
            if listed and _fits(reader, name, power.holder, at, network_id):
                found[name] = power.holder
                break
    return found


def _checkers(reader: _Reader, contracts: Mapping[str, Address]) -> dict[str, Address]:
    """Whom the judge of models' roots asks; nobody where there is no judge."""
    judge = contracts.get("disputes")
    if judge is None:
        return {}
    return {name: reader.address("disputes", judge, name) for name in CHECKERS}


def _fits(
    reader: _Reader, name: str, at: Address, contracts: dict[str, Address], network_id: bytes
) -> bool:
    """Whether a contract that the governor lists is this network's, as far as it says."""
    if not contracts.keys() >= set(_KNOWN[name]) or not _knows(reader, name, at, contracts, {}):
        return False
    if ("network_id", 0) not in artifact(name).functions:
        return True
    try:
        return reader.read(name, at, "network_id") == network_id
    except (IntegrityError, RpcRefusal):
        return False


def _economy(reader: _Reader, contracts: dict[str, Address]) -> dict[str, Address]:
    """Rewards, issuance and roots, as far as each knows the network that leads to it.

    What does not is left out, for the network stands without it: a sink may be of another kind,
    and who draws for a market can change.
    """
    found: dict[str, Address] = {}
    rewards = reader.address("pdp", contracts["pdp"], "sink")
    wired = {"source": contracts["pdp"], "market": contracts["storage"]}
    if not _knows(reader, "rewards", rewards, contracts, wired):
        return found
    issuance = reader.address("rewards", rewards, "emission")
    if not _knows(reader, "issuance", issuance, contracts, {}):
        return found
    found |= {"rewards": rewards, "issuance": issuance}
    roots = _roots(reader, issuance)
    if _knows(reader, "roots", roots, contracts, {"emission": issuance}):
        found["roots"] = roots
    return found


def _roots(reader: _Reader, issuance: Address) -> Address:
    """Who draws for devices; where nobody does, who draws what models get: the roots did in
    networks of before there were subnets."""
    roots = reader.address("issuance", issuance, "distributor", DEVICES)
    if roots != ZERO_ADDRESS:
        return roots
    return reader.address("issuance", issuance, "distributor", SUBNETS)


def _knows(
    reader: _Reader,
    contract: str,
    at: Address,
    contracts: Mapping[str, Address],
    wired: Mapping[str, Address],
) -> bool:
    """Whether such a contract is there and names this network's others, and those of ``wired``."""
    if at == ZERO_ADDRESS:
        return False
    names = {_CALLED.get((contract, name), name): contracts[name] for name in _KNOWN[contract]}
    told = names | dict(wired)
    try:
        return all(reader.address(contract, at, name) == place for name, place in told.items())
    except (IntegrityError, RpcRefusal):
        return False


def _numbers(reader: _Reader, contracts: dict[str, Address]) -> dict[str, int]:
    sensing = [each for each in _SENSING if each[1] in contracts]
    wanted = (*_NUMBERS, *(_ECONOMY if "issuance" in contracts else ()), *sensing)
    found = {
        name: convert(int, reader.read(contract, contracts[contract], function))
        for name, contract, function in wanted
    }
    if "issuance" in contracts:
        plan = convert(Plan, reader.read("issuance", contracts["issuance"], "plan"))
        found["schedule"] = plan.kind
    return found


def _not_here(registry: Address, reason: str) -> IntegrityError:
    return IntegrityError(
        f"the registry {registry} does not lead to the network: {reason}",
        remedy="Check the recovery kit, or give network.json with --network.",
    )
