"""A network's contracts on a benchmark's chain: in process, or by the ledger's own deployment.

Both put the same contracts at the same addresses with the same settings: the deployer's first
twenty-four transactions create them in the order of ``freehold.ledger.deploy``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.anvil import Anvil, receipt_of
from bench.chain import CHAIN_ID, GENESIS, Chain, Contract, Receipt, account
from freehold.domain.clock import SystemClock
from freehold.domain.ids import ZERO_ADDRESS, Address, address, keccak
from freehold.domain.money import UNIT
from freehold.ledger.abi import artifact
from freehold.ledger.contracts.token import VESTING
from freehold.ledger.deploy import TOLERANCES, deploy
from freehold.ledger.economy import DRAWERS
from freehold.ledger.modeling import CHECKERS, MODELING
from freehold.ledger.plan import PRODUCTION, DeployPlan
from freehold.ledger.sensing import SENSING
from freehold.ledger.transaction import created_address

NETWORK_ID = keccak(b"freehold benchmark network")
NAMES = (
    "governor", "token", "auction", "registry", "staking", "capacity", "payments", "beacon",
    "issuance", "rewards", "pdp", "faults", "storage", "roots", "devices", "status", "automation",
    "streams", "prizes", "subnet", "columns", "standings", "payouts", "disputes",
)  # fmt: skip
deployer = account("deployer")
PLAN = DeployPlan(
    name="benchmark",
    parameters=PRODUCTION,
    allocation={deployer.address: 10**8 * UNIT},
    treasury=account("treasury").address,
)


@dataclass(frozen=True, slots=True)
class Contracts:
    """The twenty-four contracts, and what deploying each cost."""

    governor: Contract
    token: Contract
    auction: Contract
    registry: Contract
    staking: Contract
    capacity: Contract
    payments: Contract
    beacon: Contract
    pdp: Contract
    faults: Contract
    storage: Contract
    issuance: Contract
    rewards: Contract
    roots: Contract
    devices: Contract
    status: Contract
    automation: Contract
    streams: Contract
    prizes: Contract
    subnet: Contract
    columns: Contract
    standings: Contract
    payouts: Contract
    disputes: Contract
    deployed: tuple[tuple[str, Receipt], ...]


def by_ledger(chain: Anvil, scratch: Path) -> Contracts:
    """Deploy with ``freehold.ledger.deploy``; the scratch folder keeps its nonce book."""
    chain.give(deployer.address, 10**20)
    chain.mine()
    network = deploy(
        PLAN,
        rpc_urls=[chain.url],
        chain_id=CHAIN_ID,
        key=deployer,
        state=scratch / "deploy",
        random=lambda length: NETWORK_ID[:length],
        clock=SystemClock(),
    )
    contracts = {name: Contract(chain, artifact(name), network.contracts[name]) for name in NAMES}
    receipts = dict(_creations(chain))
    found = tuple((name, receipts[contracts[name].address]) for name in NAMES)
    return Contracts(**contracts, deployed=found)


def _creations(chain: Anvil) -> Iterator[tuple[Address, Receipt]]:
    """The receipts of all contracts so far, by their addresses."""
    for number in range(chain.height() + 1):
        for found in chain.block_receipts(number):
            if isinstance(found["contractAddress"], str):
                yield address(found["contractAddress"]), receipt_of(found, b"")


def in_process(chain: Chain, *, counting: bool = True) -> Contracts:
    """The same by plain transactions; without ``counting`` no proof tells anybody its work."""
    numbers, salt = PLAN.parameters, NETWORK_ID
    made: dict[str, tuple[Contract, Receipt]] = {}

    def put(name: str, *arguments: object) -> Address:
        found = artifact(name)
        place, receipt = chain.create(deployer.address, found.initcode(arguments))
        made[name] = Contract(chain, found, place), receipt
        return place

    governor = put("governor", deployer.address, numbers.governor_delay)
    token = put("token", PLAN.token_name, PLAN.token_symbol, PLAN.minting_cap, salt, governor)
    lots = PLAN.lots
    put("auction", token, lots.lowest, lots.highest, lots.half_life, lots.factor_bps)
    registry = put("registry", salt, governor, token, *PLAN.emission.entry())
    staking = put("staking", token, registry, governor, numbers.unbonding)
    put("capacity", registry, staking, governor)
    payments = put("payments", token, salt, governor, PLAN.treasury)
    beacon = put("beacon", governor, GENESIS, numbers.period, numbers.grace)
    since = (GENESIS, PLAN.emission.epoch)
    terms = tuple(PLAN.emission.terms().values())
    issuance = put("issuance", token, governor, *since, terms, PLAN.emission.shares(), ())
    bounds = (PLAN.work_per_token, PLAN.emission.share_bps)
    pdp_at = created_address(deployer.address, len(made) + 1)
    rewards = put(
        "rewards", token, payments, registry, staking, issuance, governor, pdp_at, *since, *bounds
    )
    sink = rewards if counting else ZERO_ADDRESS
    pdp = put("pdp", beacon, governor, numbers.challenges, numbers.window, sink)
    faults = put("faults", token, registry, staking, pdp, beacon, governor)
    put("storage", registry, payments, pdp, beacon, faults, governor, salt)
    rules = PLAN.emission.rules()
    known = (registry, ZERO_ADDRESS, governor, salt, *since, rules)
    roots = put("roots", token, payments, issuance, *known)
    senses = PLAN.senses
    devices = put("devices", salt, governor, token, senses.device_fee)
    told = (GENESIS, senses.round_length, senses.rules())
    status = put("status", registry, staking, beacon, governor, *told)
    put("automation", salt, governor, devices, status)
    put("streams", token, roots, governor, senses.stream_fee_bps)
    paid = (ZERO_ADDRESS, registry, staking, governor, salt, *since, rules)
    prizes = put("prizes", token, payments, *paid)
    terms = PLAN.models.terms(share_bps=PLAN.emission.share_bps)
    subnet = put(
        "subnet", token, registry, staking, issuance, prizes, governor, salt, *since, terms
    )
    checkers = [put(name, prizes, subnet) for name in CHECKERS]
    put("disputes", prizes, subnet, *checkers)
    contracts = {name: contract for name, (contract, _) in made.items()}
    deployed = tuple((name, receipt) for name, (_, receipt) in made.items())
    on = Contracts(**contracts, deployed=deployed)
    _wire(on)
    return on


def _wire(on: Contracts) -> None:
    numbers = PLAN.parameters
    setup(on, on.governor, "set_staking", on.staking.address)
    setup(on, on.faults, "set_market", on.storage.address, True)
    for role in ("set_locker", "set_slasher", "set_evaluator"):
        setup(on, on.staking, role, on.faults.address, True)
    setup(on, on.payments, "set_market", on.storage.address, True)
    setup(on, on.payments, "set_auction", on.auction.address)
    setup(on, on.payments, "set_fees", numbers.fee_bps, numbers.burn_bps)
    setup(on, on.payments, "set_delays", numbers.arbiter_timeout, numbers.voucher_delay)
    setup(on, on.faults, "set_parameters", _of_faults())
    storage = (numbers.lockup_period, numbers.repair_owed, numbers.cleanup_window)
    setup(on, on.storage, "set_parameters", storage)
    setup(on, on.staking, "set_locker", on.capacity.address, True)
    _wire_emission(on)
    _wire_sensing(on)
    _wire_modeling(on)
    setup(on, on.token, "set_minter", on.governor.address, True)
    for owner, amount in PLAN.allocation.items():
        setup(on, on.token, "mint", owner, amount, VESTING)
    setup(on, on.token, "set_minter", on.governor.address, False)
    on.governor.send("finish_setup", by=deployer.address)


def _wire_emission(on: Contracts) -> None:
    setup(on, on.token, "set_minter", on.issuance.address, True)
    setup(on, on.rewards, "set_market", on.storage.address)
    setup(on, on.staking, "set_evaluator", on.rewards.address, True)
    setup(on, on.issuance, "set_power", on.rewards.address)
    for market, place in DRAWERS.items():
        distributor = getattr(on, place).address
        setup(on, on.issuance, "set_distributor", market, distributor)
        power = (on.issuance.address, "distributor", distributor)
        on.governor.send("grant_power", *power, by=deployer.address)


def _list(on: Contracts, names: tuple[str, ...]) -> None:
    for name in names:
        power = (on.registry.address, name, getattr(on, name).address)
        on.governor.send("grant_power", *power, by=deployer.address)


def _wire_modeling(on: Contracts) -> None:
    _list(on, MODELING)
    for contract in (on.subnet, on.prizes):
        setup(on, contract, "set_judge", on.disputes.address)
    power = (on.prizes.address, "judge", on.disputes.address)
    on.governor.send("grant_power", *power, by=deployer.address)


def _wire_sensing(on: Contracts) -> None:
    _list(on, SENSING)
    for aspect, least in TOLERANCES:
        setup(on, on.status, "set_tolerance", aspect, (0, least))


def _of_faults() -> tuple[int, ...]:
    numbers = PLAN.parameters
    return (
        numbers.notice, numbers.faults_max, numbers.stake_per_tib, numbers.fault_fee_bps,
        numbers.slash_bps, numbers.compensation_bps, numbers.bounty_bps, numbers.spot_window,
        numbers.spot_gas,
    )  # fmt: skip


def setup(on: Contracts, target: Contract, function: str, *arguments: object) -> None:
    """A governor's call while the network is set up."""
    data = target.artifact.calldata(function, arguments)
    on.governor.send("setup_call", target.address, data, by=deployer.address)
