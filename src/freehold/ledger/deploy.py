"""Putting a network on a chain: twenty-four contracts, their wiring, the genesis allocation.

Every transaction has a tag in the nonce book, so a deployment that was interrupted goes on where
it stopped and never deploys a contract twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.aspects import HONEST, REACHABLE, SPEED, name_of
from freehold.domain.clock import Clock
from freehold.domain.errors import ConflictError, IntegrityError, VersionError
from freehold.domain.files import write_whole
from freehold.domain.ids import ZERO_ADDRESS, Address, caip2
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger import abi, transaction
from freehold.ledger.book import FILE, Book
from freehold.ledger.contracts.issuance import ALLOCATOR
from freehold.ledger.contracts.registry import COMPUTE
from freehold.ledger.contracts.token import VESTING
from freehold.ledger.economy import DRAWERS
from freehold.ledger.modeling import CHECKERS, MODELING
from freehold.ledger.plan import DeployPlan
from freehold.ledger.probe import probe
from freehold.ledger.rpc import RawReceipt, Rpc
from freehold.ledger.sender import Patience, Sender
from freehold.ledger.sensing import SENSING

VERSION = 1
_RECORD = "deploy.json"
_PAIRINGS, _PAIRINGS_EVER = 4, 64
"""Tries to deploy two contracts with neighbouring nonces, of one run and of all."""

TOLERANCES = ((REACHABLE, 2_500), (SPEED, 1), (HONEST, 500))
"""What watchers may differ by: a missed probe of four, twice the speed, a twentieth of honesty."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Start:
    """What is drawn once, before the first transaction."""

    network_id: bytes
    genesis: int


def deploy(
    plan: DeployPlan,
    *,
    rpc_urls: Sequence[str],
    chain_id: int,
    key: Key,
    state: Path,
    random: Callable[[int], bytes],
    clock: Clock,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Network:
    """Deploy ``plan`` and return the network; called again after a crash it resumes.

    ``state`` keeps what was drawn and sent, ``random`` draws the network id, ``clock`` serves the
    nonce book. The deployer becomes guardian. Raises UsageError for a plan or chain that cannot
    be, ConflictError when ``state`` belongs to another deployment, InsufficientFundsError,
    RefusedError, UnavailableError.
    """
    plan.check()
    with Rpc(rpc_urls, chain_id=chain_id) as rpc:
        rpc.check_chain()
        probe(rpc)
        start = _start(plan, rpc, state, random)
        scope = f"{chain_id}:{start.network_id.hex()}:{key.address}"
        sender = Sender(rpc, key, Book(state / FILE, scope), clock, patience=patience)
        try:
            sender.recover()
            deployment = _Deployment(plan, start, rpc, sender, progress or (lambda _: None))
            return deployment.run(tuple(rpc_urls), chain_id)
        finally:
            sender.close()


class _Deployment:
    def __init__(
        self, plan: DeployPlan, start: _Start, rpc: Rpc, sender: Sender, progress: Progress
    ) -> None:
        self._plan = plan
        self._rpc = rpc
        self._start = start
        self._sender = sender
        self._progress = progress
        self._places: dict[str, Address] = {}
        self._first_block: int | None = None

    def run(self, rpc_urls: tuple[str, ...], chain_id: int) -> Network:
        """Create, wire, allocate, finish."""
        self._create_all()
        self._wire()
        self._allocate()
        self._governed("finish_setup", "finish_setup", ())
        parameters = {**self._plan.numbers(), "genesis": self._start.genesis}
        return Network(
            name=self._plan.name,
            chain_id=chain_id,
            network_id=self._start.network_id,
            contracts=dict(self._places),
            parameters=parameters,
            rpc_urls=rpc_urls,
            deployed_block=self._first_block or 0,
        )

    def _create_all(self) -> None:
        plan, numbers, at = self._plan, self._plan.parameters, self._places
        me, salt = self._sender.key.address, self._start.network_id
        self._create("governor", me, numbers.governor_delay)
        self._create(
            "token", plan.token_name, plan.token_symbol, plan.minting_cap, salt, at["governor"]
        )
        lots = plan.lots
        terms = (lots.lowest, lots.highest, lots.half_life, lots.factor_bps)
        self._create("auction", at["token"], *terms)
        self._create("registry", salt, at["governor"], at["token"], *plan.emission.entry())
        self._create("staking", at["token"], at["registry"], at["governor"], numbers.unbonding)
        self._create("capacity", at["registry"], at["staking"], at["governor"])
        self._create("payments", at["token"], salt, at["governor"], plan.treasury or me)
        self._create("beacon", at["governor"], self._start.genesis, numbers.period, numbers.grace)
        self._create_emission()
        names = ("token", "registry", "staking", "pdp", "beacon", "governor")
        self._create("faults", *(at[name] for name in names))
        names = ("registry", "payments", "pdp", "beacon", "faults", "governor")
        self._create("storage", *(at[name] for name in names), salt)
        self._create_roots("roots", at["issuance"], ZERO_ADDRESS)
        self._create_sensing()
        self._create_modeling()

    def _create_emission(self) -> None:
        plan, emission, at = self._plan, self._plan.emission, self._places
        since = (self._start.genesis, emission.epoch)
        terms = tuple(emission.terms().values())
        waiting = [each.terms(self._start.genesis) for each in plan.vesting]
        told = (*since, terms, emission.shares(), waiting)
        self._create("issuance", at["token"], at["governor"], *told)
        names = ("token", "payments", "registry", "staking", "issuance", "governor")
        bounds = (plan.work_per_token, emission.share_bps)
        self._create_pairs(tuple(at[name] for name in names), (*since, *bounds))

    def _create_pairs(self, told: tuple[Address, ...], bounds: tuple[int, ...]) -> None:
        """Until a pair comes true; those of an earlier run are looked at and not sent again."""
        tried = 0
        for attempt in range(_PAIRINGS_EVER):
            begun = self._sender.next_nonce()
            if self._create_pair(told, bounds, key=str(attempt or "")):
                return
            tried += self._sender.next_nonce() > begun
            if tried == _PAIRINGS:
                break
        raise ConflictError(
            f"account {self._sender.key.address} sent other transactions in between, {tried} times",
            remedy="Stop the other program that sends from this account, and run this again.",
        )

    def _create_pair(self, told: tuple[Address, ...], bounds: tuple[int, ...], *, key: str) -> bool:
        """Rewards and verifier, each told the other's address for ever; whether it came true.

        The verifier's follows from the nonce after that of the rewards, which another program
        with the same key may take.
        """
        numbers, at = self._plan.parameters, self._places
        expected = transaction.created_address(
            self._sender.key.address, self._sender.next_nonce() + 1
        )
        self._create("rewards", *told, expected, *bounds, key=key)
        self._create(
            "pdp", at["beacon"], at["governor"], numbers.challenges, numbers.window, at["rewards"],
            key=key,
        )  # fmt: skip
        source = abi.artifact("rewards")
        found = self._rpc.call(at["rewards"], source.calldata("source", ()))
        return source.result("source", found) == at["pdp"]

    def _create_roots(self, name: str, emission: Address, staking: Address) -> None:
        """Roots at a place, that draw from ``emission`` or are funded by others; who has staked for
        a node shares in what it earns where there is a ``staking``."""
        at, rules = self._places, self._plan.emission.rules()
        told = (at["token"], at["payments"], emission, at["registry"], staking, at["governor"])
        since = (self._start.genesis, self._plan.emission.epoch)
        self._create(name, *told, self._start.network_id, *since, rules)

    def _create_sensing(self) -> None:
        terms, at, salt = self._plan.senses, self._places, self._start.network_id
        self._create("devices", salt, at["governor"], at["token"], terms.device_fee)
        names = ("registry", "staking", "beacon", "governor")
        told = (self._start.genesis, terms.round_length, terms.rules())
        self._create("status", *(at[name] for name in names), *told)
        self._create("automation", salt, at["governor"], at["devices"], at["status"])
        self._create("streams", at["token"], at["roots"], at["governor"], terms.stream_fee_bps)

    def _create_modeling(self) -> None:
        """Subnets draw and bring what their nodes earn to roots that none but they fund."""
        emission, at = self._plan.emission, self._places
        self._create_roots("prizes", ZERO_ADDRESS, at["staking"])
        names = ("token", "registry", "staking", "issuance", "prizes", "governor")
        told = (self._start.network_id, self._start.genesis, emission.epoch)
        terms = self._plan.models.terms(share_bps=emission.share_bps)
        self._create("subnet", *(at[name] for name in names), *told, terms)
        for name in CHECKERS:
            self._create(name, at["prizes"], at["subnet"])
        self._create("disputes", *(at[name] for name in ("prizes", "subnet", *CHECKERS)))

    def _create(self, name: str, *args: object, key: str = "") -> None:
        self._progress(f"deploying {name}")
        tag = f"create:{name}{key}"
        receipt = self._sender.send(
            transaction.CREATION, abi.artifact(name).initcode(args), tag=tag
        )
        if receipt.contract is None:
            raise IntegrityError(
                f"the chain deployed {name} without naming its address",
                remedy="Use another RPC for this chain.",
            )
        self._places[name] = receipt.contract
        if self._first_block is None:
            self._first_block = receipt.block

    def _wire(self) -> None:
        numbers, at = self._plan.parameters, self._places
        faults = (
            numbers.notice, numbers.faults_max, numbers.stake_per_tib, numbers.fault_fee_bps,
            numbers.slash_bps, numbers.compensation_bps, numbers.bounty_bps, numbers.spot_window,
            numbers.spot_gas,
        )  # fmt: skip
        storage = (numbers.lockup_period, numbers.repair_owed, numbers.cleanup_window)
        self._progress("wiring the contracts")
        self._setup("governor", "set_staking", at["staking"])
        self._setup("faults", "set_market", at["storage"], True)
        self._setup("staking", "set_locker", at["faults"], True)
        self._setup("staking", "set_slasher", at["faults"], True)
        self._setup("staking", "set_evaluator", at["faults"], True)
        self._setup("payments", "set_market", at["storage"], True)
        self._setup("payments", "set_auction", at["auction"])
        self._setup("payments", "set_fees", numbers.fee_bps, numbers.burn_bps)
        self._setup("payments", "set_delays", numbers.arbiter_timeout, numbers.voucher_delay)
        self._setup("faults", "set_parameters", faults)
        self._setup("storage", "set_parameters", storage)
        self._wire_capacity()
        self._wire_emission()
        self._wire_sensing()
        self._wire_modeling()

    def _wire_capacity(self) -> None:
        rule = self._plan.emission.device
        self._setup("staking", "set_locker", self._places["capacity"], True, key="capacity")
        if rule.amount:
            told = (COMPUTE, rule.amount, rule.per, rule.weighed)
            self._setup("capacity", "set_rule", *told)

    def _wire_emission(self) -> None:
        at = self._places
        self._setup("token", "set_minter", at["issuance"], True, key="issuance")
        self._setup("rewards", "set_market", at["storage"])
        self._setup("staking", "set_evaluator", at["rewards"], True, key="rewards")
        if self._plan.emission.plan().storage:
            self._setup("issuance", "set_power", at["rewards"])
        for market, distributor in DRAWERS.items():
            self._setup("issuance", "set_distributor", market, at[distributor], key=distributor)
            power = (at["issuance"], "distributor", at[distributor])
            self._governed(f"power:{distributor}", "grant_power", power)
        for account, budget in sorted(self._plan.allocators.items()):
            self._setup("issuance", "set_allocator", account, budget, key=account)
            power = (at["issuance"], ALLOCATOR, account)
            self._governed(f"power:{account}", "grant_power", power)

    def _wire_sensing(self) -> None:
        self._list(SENSING)
        for aspect, least in TOLERANCES:
            self._setup("status", "set_tolerance", aspect, (0, least), key=name_of(aspect))
        self._name_watchers("roots")

    def _wire_modeling(self) -> None:
        at = self._places
        self._list(MODELING)
        for name in ("subnet", "prizes"):
            self._setup(name, "set_judge", at["disputes"])
        self._governed("power:judge", "grant_power", (at["prizes"], "judge", at["disputes"]))
        self._name_watchers("prizes")

    def _list(self, names: Sequence[str]) -> None:
        """List what no contract names, so that whoever knows the registry finds it."""
        for name in names:
            power = (self._places["registry"], name, self._places[name])
            self._governed(f"list:{name}", "grant_power", power)

    def _name_watchers(self, roots: str) -> None:
        if watchers := self._plan.watchers:
            self._setup(roots, "set_watchers", list(watchers), len(watchers) // 2 + 1)

    def _allocate(self) -> None:
        if not self._plan.allocation:
            return
        self._progress("minting the genesis allocation")
        governor = self._places["governor"]
        self._setup("token", "set_minter", governor, True)
        for account, amount in sorted(self._plan.allocation.items()):
            self._setup("token", "mint", account, amount, VESTING, key=account)
        self._setup("token", "set_minter", governor, False, key="end")

    def _setup(self, contract: str, function: str, *args: object, key: str = "") -> None:
        data = abi.artifact(contract).calldata(function, args)
        tag = f"setup:{contract}.{function}:{key}"
        self._governed(tag, "setup_call", (self._places[contract], data))

    def _governed(self, tag: str, function: str, args: Sequence[object]) -> RawReceipt:
        data = abi.artifact("governor").calldata(function, args)
        return self._sender.send(self._places["governor"], data, tag=tag)


def _start(plan: DeployPlan, rpc: Rpc, state: Path, random: Callable[[int], bytes]) -> _Start:
    """Read what was drawn for this deployment, or draw and keep it."""
    path = state / _RECORD
    wanted = {"plan": plan.digest(), "chain": caip2(rpc.chain_id)}
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        genesis = rpc.header("latest").time
        drawn = {"network_id": random(32).hex(), "genesis": genesis}
        _write(path, {"freehold_deploy": VERSION, **wanted, **drawn})
        return _start(plan, rpc, state, random)
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(found, dict) or found.get("freehold_deploy") != VERSION:
        raise VersionError(
            f"{path} is not a deployment of version {VERSION}",
            remedy="Install the release of freehold that wrote it, or choose an empty folder.",
        )
    if any(found.get(name) != value for name, value in wanted.items()):
        raise ConflictError(
            f"{state} holds the deployment of another plan or chain",
            remedy="Resume it with the plan it was begun with; or move that folder away and begin "
            "anew: what was deployed from it stays on the chain, unused.",
        )
    try:
        return _Start(bytes.fromhex(found["network_id"]), int(found["genesis"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path) from error


def _write(path: Path, fields: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(fields, indent=2).encode() + b"\n")


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(
        f"the record of the deployment {path} is damaged",
        remedy="Restore it from a backup, or deploy a new network into an empty folder.",
    )
