"""Subnets over the deployed base, with an issuance and the roots that pay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from contracts.evm import NETWORK_ID, ZERO, Chain, Contract, Outcome, Signer, signer
from contracts.world import MAX, TOKEN, World, alice, bob, deploy_world, fake, guardian
from freehold.domain.ids import keccak
from freehold.economics.schedules.plan import GEOMETRIC, Plan
from freehold.ledger.contracts.subnet import Entry, Rules, Task, Terms

EPOCH = 1_000
GRAIN = 10**9
PER_EPOCH = 100 * TOKEN
SHARE_OF_MODELS = 5_000
DRAW_WINDOW = 8
PLAN = Plan(
    kind=GEOMETRIC, limit=10**6 * TOKEN, amount=PER_EPOCH, step=EPOCH, factor=10**18, steps=9_000
)
MODELS = b"models".ljust(32, b"\0")
BOND, GROWTH, WINDOW = 4_000 * TOKEN, 10**18, 600
PRIZE_RULES = (WINDOW, 300, BOND, GROWTH, 3_000)
MOST = BOND // 2
LOCK = 50 * TOKEN
TERMS = Terms(
    lowest=10 * TOKEN, highest=1_000 * TOKEN, half_life=3 * EPOCH, factor_bps=20_000, lock=LOCK,
    notice=4, share_bps=9_000,
)  # fmt: skip
RULES = Rules(immunity=1_500, owner_bps=1_000, max_validators=8)
ENTRY = Entry(lowest=2 * TOKEN, highest=64 * TOKEN, half_life=2 * EPOCH, factor_bps=15_000)
TASK = Task(schema=b"\x01" * 32, scorer=b"\x02" * 32)
URI = "https://subnet.example/digits.json"
MODEL, VALIDATOR = 8, 16
STAKE = 5 * TOKEN
SALT = b"\x07" * 32
WEALTH = 10**6 * TOKEN

founder = signer("founder of a subnet")


def word_of(name: str) -> bytes:
    """A name as the contract takes it."""
    return name.encode().ljust(32, b"\0")


def row_of(weights: Mapping[int, int]) -> bytes:
    """A row of weights by uid, packed."""
    entries = sorted(weights.items())
    return b"".join(uid.to_bytes(2, "big") + w.to_bytes(2, "big") for uid, w in entries)


def pruned(*uids: int) -> int:
    """The judge's word for whom newcomers replace, the first one first."""
    filled = [*uids, *[0xFFFF] * (16 - len(uids))]
    return int.from_bytes(b"".join(uid.to_bytes(2, "big") for uid in filled), "big")


@dataclass(slots=True)
class Arena:
    """The contract, whom it pays, and people with tokens for it."""

    world: World
    issuance: Contract
    prizes: Contract
    subnet: Contract
    pruner: Contract
    owners: dict[str, Signer] = field(default_factory=dict)

    @property
    def chain(self) -> Chain:
        return self.world.chain

    @property
    def genesis(self) -> int:
        return int(self.subnet.call("genesis"))

    @property
    def epoch(self) -> int:
        return int(self.subnet.call("epoch"))

    def next(self, epochs: int = 1) -> int:
        """Move to the beginning of a later epoch; gives its number."""
        to = self.epoch + epochs
        self.chain.warp_to(self.genesis + to * EPOCH)
        return to

    def enrich(self, owner: Signer) -> Signer:
        """Tokens, and leave to take them."""
        self.world.fund(owner.address, WEALTH)
        for spender in (self.subnet, self.world.staking):
            self.world.token.send("approve", spender.address, MAX, sender=owner.address)
        return owner

    def create(self, name: str = "digits", *, by: Signer = founder, **changes: Any) -> Outcome:
        """Open a subnet with some arguments changed; the value is its id."""
        told: dict[str, Any] = {
            "name": word_of(name),
            "max_nodes": 4,
            "rules": asdict(RULES),
            "entry": asdict(ENTRY),
            "task": asdict(TASK),
            "uri": URI,
            "most": MAX,
            **changes,
        }
        return self.subnet.send("create", *told.values(), sender=by.address)

    def revise(
        self, subnet: int, from_epoch: int, *, by: Signer = founder, **changes: Any
    ) -> Outcome:
        """Change rules, entry or task."""
        told = {"rules": asdict(RULES), "entry": asdict(ENTRY), "task": asdict(TASK), **changes}
        return self.subnet.send("set_rules", subnet, from_epoch, *told.values(), sender=by.address)

    def node(
        self, label: str, *, owner: Signer = alice, roles: int = MODEL, stake: int = 0
    ) -> Signer:
        """A registered node of an owner, with stake where it is said."""
        hot = signer(label)
        self.world.register(owner, hot, roles)
        self.owners[hot.address] = owner
        if stake:
            self.world.staking.send("stake", hot.address, stake, sender=owner.address)
        return hot

    def validator(self, label: str, *, owner: Signer = bob, stake: int = STAKE) -> Signer:
        """A staked validator."""
        return self.node(label, owner=owner, roles=VALIDATOR, stake=stake)

    def enter(self, subnet: int, hot: Signer, *, most: int = MAX) -> Outcome:
        """Register a node in a subnet; the value is its uid."""
        by = self.owners[hot.address].address
        return self.subnet.send("register", subnet, hot.address, most, sender=by)

    def fill(self, subnet: int, count: int, *, prefix: str = "model") -> list[Signer]:
        """Model nodes, registered."""
        made = [self.node(f"{prefix} {i}") for i in range(count)]
        for each in made:
            self.enter(subnet, each)
        return made

    def commitment(
        self, subnet: int, uid: int, row: bytes, *, salt: bytes = SALT, **changes: int
    ) -> bytes:
        """What the contract takes for a row in the running epoch."""
        generation = changes.get("generation", self.subnet.call("generation", subnet, uid))
        epoch = changes.get("epoch", self.epoch)
        hashed = keccak(row)
        told = (subnet, uid, generation, epoch, hashed, salt)
        return bytes(self.subnet.call("commitment_of", *told))

    def commit(self, subnet: int, uid: int, row: bytes, *, by: Signer) -> Outcome:
        """Commit to a row."""
        told = self.commitment(subnet, uid, row)
        return self.subnet.send("commit", subnet, uid, told, sender=by.address)

    def reveal(
        self, subnet: int, uid: int, row: bytes, *, by: Signer, salt: bytes = SALT
    ) -> Outcome:
        """Open a commitment."""
        return self.subnet.send("reveal", subnet, uid, row, salt, sender=by.address)

    def weigh(self, subnet: int, uid: int, row: bytes, *, by: Signer) -> Outcome:
        """Commit now and reveal in the next epoch."""
        self.commit(subnet, uid, row, by=by)
        self.next()
        return self.reveal(subnet, uid, row, by=by)

    def close(self, epoch: int) -> Outcome:
        """Fix an ended epoch's budgets, by nobody in particular."""
        return self.subnet.send("close_epoch", epoch, sender=guardian.address)

    def prune(self, subnet: int, uids: Sequence[int], *, ended_at: int | None = None) -> None:
        """The judge names whom newcomers replace, of a trace that has just ended."""
        moment = self.chain.now if ended_at is None else ended_at
        self.pruner.send("name", subnet, pruned(*uids), moment, sender=guardian.address)

    def money(self, account: Contract) -> int:
        """Tokens of a contract."""
        return self.world.balance(account.address)


def deploy_subnet(world: World, **changes: Any) -> Contract:
    """The contract alone; `changes` are arguments by name."""
    told: dict[str, Any] = {
        "token": world.token.address,
        "registry": world.registry.address,
        "staking": world.staking.address,
        "issuance": None,
        "prizes": None,
        "governor": world.governor.address,
        "network_id": NETWORK_ID,
        "genesis": world.chain.now,
        "epoch_length": EPOCH,
        "terms": asdict(TERMS),
        **changes,
    }
    return world.chain.deploy("subnet", *told.values(), sender=guardian.address)


def deploy_around(world: World) -> tuple[Contract, Contract]:
    """An issuance with a market of models, and roots that pay it."""
    by, now = guardian.address, world.chain.now
    issuance = world.chain.deploy(
        "issuance",
        world.token.address,
        world.governor.address,
        now,
        EPOCH,
        PLAN.terms(budget=0, window=DRAW_WINDOW),
        [(MODELS, SHARE_OF_MODELS)],
        [],
        sender=by,
    )
    world.setup(world.token, "set_minter", issuance.address, True)
    prizes = world.chain.deploy(
        "roots",
        world.token.address,
        world.payments.address,
        ZERO,
        world.registry.address,
        world.staking.address,
        world.governor.address,
        NETWORK_ID,
        now,
        EPOCH,
        PRIZE_RULES,
        sender=by,
    )
    return issuance, prizes


def deploy_arena(chain: Chain) -> Arena:
    """Everything wired, Alice, Bob and the founder rich; setup not finished."""
    world = deploy_world(chain)
    issuance, prizes = deploy_around(world)
    subnet = deploy_subnet(world, issuance=issuance.address, prizes=prizes.address)
    pruner = chain.deploy_artifact(fake("pruner"), sender=guardian.address)
    world.setup(issuance, "set_distributor", MODELS, subnet.address)
    world.setup(subnet, "set_judge", pruner.address)
    arena = Arena(world, issuance, prizes, subnet, pruner)
    for each in (alice, bob, founder):
        arena.enrich(each)
    return arena
