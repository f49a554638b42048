"""Deploying: resumed after any interruption, refused where it cannot work."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.domain.aspects import REACHABLE
from freehold.domain.clock import SystemClock
from freehold.domain.errors import ConflictError, IntegrityError, UsageError, VersionError
from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.money import UNIT
from freehold.domain.network import CONTRACTS, Network
from freehold.economics.schedules.plan import FILECOIN
from freehold.economics.schedules.vesting import MONTH_SECONDS
from freehold.economics.stake import Rule
from freehold.ledger.contracts.issuance import ALLOCATOR
from freehold.ledger.contracts.registry import COMPUTE
from freehold.ledger.contracts.status import Parameters, Tolerance
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.economy import DEVICES, DRAWERS, STORAGE, SUBNETS, economy
from freehold.ledger.ledger import Ledger
from freehold.ledger.modeling import CHECKERS, MODELING
from freehold.ledger.plan import JOURNEY, DeployPlan, Vesting
from freehold.ledger.probe import probe
from freehold.ledger.rpc import RawReceipt, Rpc
from freehold.ledger.sender import Sender
from freehold.ledger.sensing import SENSING
from unit.ledger.fake_chain import CHAIN_ID, FakeChain, Refusal, address

TEAM = Vesting(address(0xC), 7 * UNIT + 1, 2 * MONTH_SECONDS, 3)
PLAN = DeployPlan(
    "resumed",
    JOURNEY,
    {address(0xA): 3 * UNIT, address(0xB): UNIT},
    economy=replace(
        economy("filecoin", JOURNEY.period),
        budget=90 * UNIT,
        device=Rule(7 * UNIT, 2, weighed=True),
    ),
    vesting=(TEAM,),
    allocators={address(0xE): 60 * UNIT, address(0xF): 30 * UNIT},
    watchers=(address(0x11), address(0x12), address(0x13)),
)


class Interrupted(BaseException):
    """The program was ended."""


def put(plan: DeployPlan, devnet: Devnet, state: Path) -> Network:
    """Deploy on the devnet."""
    return deploy(
        plan,
        rpc_urls=[devnet.url],
        chain_id=devnet.chain_id,
        key=devnet.funder,
        state=state,
        random=secrets.token_bytes,
        clock=SystemClock(),
    )


def test_an_interrupted_deployment_goes_on_where_it_stopped(
    devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Rpc([devnet.url], chain_id=devnet.chain_id) as rpc:
        before = rpc.nonce(devnet.funder.address)
    whole = Sender.send
    for survived in (0, 3, 5, 9, 13):
        monkeypatch.setattr(Sender, "send", interrupted_after(survived, whole))
        with pytest.raises(Interrupted):
            put(PLAN, devnet, tmp_path)
    monkeypatch.undo()
    network = put(PLAN, devnet, tmp_path)
    assert put(PLAN, devnet, tmp_path) == network
    with Ledger.open(network, state=tmp_path, key=None) as ledger:
        assert ledger.rpc.nonce(devnet.funder.address) - before == 24 + 11 + 8 + 10 + 4 + 4 + 2 + 8
        check_wiring(ledger)
    with pytest.raises(ConflictError, match="another plan"):
        put(replace(PLAN, name="other"), devnet, tmp_path)


def interrupted_after(survived: int, whole: Callable[..., RawReceipt]) -> object:
    """Sending that ends the program right after so many transactions and one more."""
    sent = iter(range(survived))

    def send(*args: object, **named: object) -> RawReceipt:
        receipt = whole(*args, **named)
        if next(sent, None) is None:
            raise Interrupted
        return receipt

    return send


@pytest.mark.parametrize("stolen", [1, 4])
def test_rewards_and_verifier_know_each_other_whoever_sends_in_between(
    stolen: int, devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has the other's address for ever, and one of them was told it in advance."""
    whole, begun = Sender.send, list[bool]()

    def send(self: Sender, *args: object, tag: str = "", **named: object) -> RawReceipt:
        if tag.startswith("create:pdp") and len(begun) < stolen:
            begun.append(True)
            whole(self, devnet.funder.address, b"", value=1)
        return whole(self, *args, tag=tag, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Sender, "send", send)
    if stolen == 4:
        with pytest.raises(ConflictError, match="4 times"):
            put(PLAN, devnet, tmp_path)
    network = put(PLAN, devnet, tmp_path)  # the rival has gone
    with Ledger.open(network, state=tmp_path, key=None) as ledger:
        check_wiring(ledger)


def check_wiring(ledger: Ledger) -> None:
    """Every contract is there and knows the others."""
    places = ledger.network.contracts
    later = {"auction", "capacity", "issuance", "rewards", "roots", *SENSING, *MODELING, *CHECKERS}
    assert {*CONTRACTS, *later} == set(places)
    assert ledger.token.balance_of(address(0xA)) == 3 * UNIT
    assert ledger.token.minted() == 4 * UNIT
    assert ledger.token.cap() == ledger.network.parameters["cap"] == PLAN.minting_cap
    assert ledger.governor.setup_done()
    roles = {(power.contract, power.role): power.holder for power in ledger.governor.powers()}
    assert roles[places["staking"], "slasher"] == places["faults"]
    powers = ledger.governor.powers()
    lockers = {power.holder for power in powers if power.role == "locker"}
    assert lockers == {places["faults"], places["capacity"]}
    assert roles[places["payments"], "market"] == places["storage"]
    assert roles[places["token"], "minter"] == places["issuance"]
    found = [power for power in ledger.governor.powers() if power.role == "distributor"]
    assert {power.holder for power in found} == {places[name] for name in DRAWERS.values()}
    check_economy(ledger)
    check_allocations(ledger)
    check_auction(ledger)
    check_entry(ledger)
    check_capacity(ledger)
    check_sensing(ledger)
    check_modeling(ledger)
    numbers = ledger.network.parameters
    assert ledger.beacon.period_length() == numbers["period"] == JOURNEY.period
    assert ledger.beacon.genesis() == numbers["genesis"]
    assert ledger.faults.parameters().stake_per_tib == JOURNEY.stake_per_tib
    assert ledger.storage.parameters().lockup_period == JOURNEY.lockup_period
    assert ledger.staking.unbonding_period() == JOURNEY.unbonding
    assert Network.parse(ledger.network.render()) == ledger.network


def check_economy(ledger: Ledger) -> None:
    """The emission reaches whoever earns it."""
    places, numbers = ledger.network.contracts, ledger.network.parameters
    issuance, rewards, roots = ledger.issuance, ledger.rewards, ledger.roots
    assert issuance.plan().limit == FILECOIN.limit
    assert issuance.power() == issuance.distributor(STORAGE) == places["rewards"]
    assert issuance.distributor(DEVICES) == places["roots"]
    assert issuance.distributor(SUBNETS) == places["subnet"]
    assert issuance.market_of(places["roots"]) == DEVICES
    assert (rewards.source(), rewards.market()) == (places["pdp"], places["storage"])
    assert rewards.listener() == places["faults"]
    assert rewards.epoch_seconds() == numbers["epoch"] == issuance.epoch_seconds()
    assert rewards.work_per_token() == numbers["work_per_token"]
    assert rewards.share_bps() == numbers["share_bps"]
    assert ledger.pdp.sink() == places["rewards"]
    assert roots.parameters().bond == PLAN.emission.bond
    assert roots.epoch_length() == numbers["epoch"]
    assert {issuance.genesis(), rewards.genesis(), roots.genesis()} == {numbers["genesis"]}


def check_entry(ledger: Ledger) -> None:
    """Registering has the price that the plan says, in the network's token."""
    registry, places = ledger.registry, ledger.network.contracts
    rise = (registry.half_life(), registry.factor_bps())
    assert (registry.lowest(), registry.highest(), *rise) == PLAN.emission.entry()
    assert registry.price() == UNIT // 10
    assert ledger.call("registry", "token", ()) == places["token"]


def check_capacity(ledger: Ledger) -> None:
    """Devices ask for the stake that the plan says, other roles for none."""
    found = ledger.capacity.rule(COMPUTE)
    assert (found.amount, found.per, found.weighed) == (7 * UNIT, 2, True)
    assert ledger.capacity.required(COMPUTE, 3, multiplier=25_000) == 105 * UNIT // 4
    assert ledger.capacity.rule(1).amount == 0


def check_sensing(ledger: Ledger) -> None:
    """Devices, status and pay know each other and are listed; watchers sign from the start."""
    places, senses = ledger.network.contracts, PLAN.senses
    listed = {each.role: each for each in ledger.governor.powers() if each.role in SENSING}
    assert {role: each.holder for role, each in listed.items()} == {n: places[n] for n in SENSING}
    assert {each.contract for each in listed.values()} == {places["registry"]}
    assert ledger.devices.fee() == senses.device_fee
    assert ledger.status.round_length() == senses.round_length == numbers_of(ledger)["round_length"]
    assert ledger.status.parameters() == Parameters(*senses.rules())
    assert ledger.status.tolerance_of(REACHABLE) == Tolerance(0, 2_500)
    assert ledger.call("automation", "status", ()) == places["status"]
    assert ledger.call("automation", "devices", ()) == places["devices"]
    assert ledger.streams.fee_bps() == senses.stream_fee_bps
    assert ledger.call("streams", "roots", ()) == places["roots"]
    assert ledger.roots.quorum() == (2, len(PLAN.watchers))


def check_modeling(ledger: Ledger) -> None:
    """What subnets earn goes to roots of their own, which the disputes judge."""
    places, prizes = ledger.network.contracts, ledger.prizes
    listed = {each.role: each for each in ledger.governor.powers() if each.role in MODELING}
    assert {role: each.holder for role, each in listed.items()} == {n: places[n] for n in MODELING}
    assert {each.contract for each in listed.values()} == {places["registry"]}
    (judge,) = [each for each in ledger.governor.powers() if each.role == "judge"]
    assert (judge.contract, judge.holder) == (places["prizes"], places["disputes"])
    assert prizes.judge() == ledger.call("subnet", "judge", ()) == places["disputes"]
    assert ledger.roots.judge() == ZERO_ADDRESS
    for name in CHECKERS:
        assert ledger.call("disputes", name, ()) == places[name]
    assert ledger.call("subnet", "prizes", ()) == places["prizes"]
    assert ledger.call("prizes", "emission", ()) == ZERO_ADDRESS
    assert prizes.quorum() == (2, len(PLAN.watchers))
    assert (prizes.genesis(), prizes.epoch_length()) == (
        ledger.roots.genesis(), ledger.roots.epoch_length(),
    )  # fmt: skip
    assert ledger.network.domain("prizes").name == "Freehold roots"


def numbers_of(ledger: Ledger) -> Mapping[str, int]:
    """The numbers of the descriptor."""
    return ledger.network.parameters


def check_allocations(ledger: Ledger) -> None:
    """What waits is on the ledger from genesis on, and who may grant is a power like others."""
    issuance, genesis = ledger.issuance, ledger.network.parameters["genesis"]
    assert issuance.reserved() == FILECOIN.limit + 97 * UNIT + 1
    assert (issuance.plan().budget, issuance.allocation_count()) == (90 * UNIT, 1)
    found = issuance.allocation(0)
    assert (found.beneficiary, found.amount) == (TEAM.beneficiary, TEAM.amount)
    assert (found.start, found.cliff, found.parts) == (genesis, TEAM.cliff, TEAM.parts)
    powers = [each for each in ledger.governor.powers() if each.role == ALLOCATOR]
    assert {each.holder for each in powers} == set(PLAN.allocators)
    assert {each.contract for each in powers} == {issuance.address}
    for account, budget in PLAN.allocators.items():
        allowed = issuance.allocator(account)
        assert (allowed.cap, allowed.spent) == (budget, 0)
        assert genesis <= allowed.since <= ledger.now()
    assert issuance.allocator(address(0xA)).cap == 0


def check_auction(ledger: Ledger) -> None:
    """Fees in foreign tokens go to the one auction, and no power over it is left."""
    places, auction, lots = ledger.network.contracts, ledger.auction, PLAN.lots
    assert ledger.payments.auction() == places["auction"]
    assert (auction.least(), auction.opening()) == (UNIT, PLAN.minting_cap // 1_000)
    assert (auction.half_life(), auction.factor_bps()) == (60, 20_000)
    assert (lots.lowest, lots.highest) == (auction.least(), auction.opening())
    assert all(power.contract != places["auction"] for power in ledger.governor.powers())


def test_over_the_cap_nothing_is_sent(devnet: Devnet, tmp_path: Path) -> None:
    with Rpc([devnet.url], chain_id=devnet.chain_id) as rpc:
        before = rpc.nonce(devnet.funder.address)
        with pytest.raises(UsageError, match="--cap"):
            put(replace(PLAN, cap=PLAN.genesis + PLAN.emission.reserved() - 1), devnet, tmp_path)
        assert rpc.nonce(devnet.funder.address) == before
    assert not list(tmp_path.iterdir())


def test_a_foreign_record_is_refused(devnet: Devnet, tmp_path: Path) -> None:
    record = tmp_path / "deploy.json"
    for text, error in (("{", IntegrityError), ("[]", VersionError), ("{}", VersionError)):
        record.write_text(text)
        with pytest.raises(error):
            put(PLAN, devnet, tmp_path)


def rpc_of(chain: FakeChain) -> Rpc:
    """An RPC to a fake chain."""
    return Rpc(["http://a.test"], chain_id=CHAIN_ID, rounds=1, transport=chain.transport())


def able(chain: FakeChain, *, code_at: str = "", hash_of: str | None = None) -> FakeChain:
    """A chain that runs the probe's program as a real one does."""

    def program(params: list[object]) -> object:
        last = chain.blocks[-1]
        told = (hash_of or last.hash)[2:]
        nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        return f"0x{last.number + 1:064x}{told}{nothing}"

    chain.answers["eth_call"] = program
    chain.answers["eth_getCode"] = lambda params: (
        "0xfe" if str(params[0]).lower() == code_at else "0x"
    )
    chain.answers["web3_clientVersion"] = lambda _: "Besu/v26"
    return chain


def test_a_development_chain_is_told_apart(devnet: Devnet) -> None:
    with Rpc([devnet.url], chain_id=devnet.chain_id) as rpc:
        found = probe(rpc)
    assert (found.kind, found.beacon) == ("development", False)


def test_a_consensus_chain_may_seed_challenges_and_a_rollup_may_not() -> None:
    chain = FakeChain()
    for _ in range(5):
        chain.mine()
    with rpc_of(able(chain)) as rpc:
        found = probe(rpc)
    assert (found.kind, found.beacon, found.block_seconds) == ("consensus", True, 1.0)
    with rpc_of(able(chain, code_at="0x4200000000000000000000000000000000000015")) as rpc:
        found = probe(rpc)
    assert (found.kind, found.beacon) == ("sequencer", False)
    assert "OP Stack" in found.reason


def test_chains_that_cannot_run_the_contracts_are_refused() -> None:
    def refuse(_: list[object]) -> object:
        raise Refusal("invalid opcode: TLOAD")

    old = able(FakeChain())
    old.answers["eth_call"] = refuse
    with rpc_of(old) as rpc, pytest.raises(UsageError, match="refuses Cancun"):
        probe(rpc)
    with (
        rpc_of(able(FakeChain(), hash_of="0x" + "77" * 32)) as rpc,
        pytest.raises(UsageError, match="BLOCKHASH"),
    ):
        probe(rpc)
    wrong = able(FakeChain())
    wrong.answers["eth_call"] = lambda _: "0x" + "00" * 96
    with rpc_of(wrong) as rpc, pytest.raises(UsageError, match="SHA-256 wrongly"):
        probe(rpc)
