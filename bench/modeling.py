"""What subnets, their nodes and validators pay: creating, registering, committing, revealing rows
of 64 entries, granting, closing an epoch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from bench.chain import Contract, Receipt, account
from bench.network import STAKE, TOKEN, Network, Node, keeper
from bench.story import Row
from freehold.domain.ids import keccak
from freehold.domain.keys import Key
from freehold.domain.typed import CONSENT
from freehold.economics.trees import GRAIN
from freehold.ledger.contracts.subnet import Entry, Rules, Task

ROLES = 8 | 16
NODES = 64
WEEK = 7 * 86_400
SALT = b"\7" * 32
CHAPTER = "subnets"
ENTRY = Entry(lowest=TOKEN, highest=100 * TOKEN, half_life=3_600, factor_bps=11_000)
TASK = Task(b"\1" * 32, b"\2" * 32)


@dataclass(slots=True)
class Models:
    """A network whose story has been told, and the rows of its subnets."""

    network: Network
    owner: Key
    rows: list[Row] = field(default_factory=list)

    @property
    def subnet(self) -> Contract:
        """The contract."""
        return self.network.on.subnet

    def send(self, kind: str, contract: Contract, function: str, *told: object, by: Key) -> Receipt:
        """A transaction, and its row where it has a name."""
        receipt = contract.send(function, *told, by=by.address)
        if kind:
            self.rows.append(Row(CHAPTER, kind, receipt.gas, receipt.calldata))
        return receipt

    def create(self, kind: str, name: str) -> None:
        """A subnet of the owner's."""
        told = (name.encode().ljust(32, b"\0"), 256, asdict(Rules()), asdict(ENTRY), asdict(TASK))
        self.send(kind, self.subnet, "create", *told, "", 10**6 * TOKEN, by=self.owner)

    def enter(self, kind: str, label: str, *, stake: int = 0) -> Key:
        """A node of the owner's that serves and validates, in the first subnet."""
        net, node = self.network, Node(account(f"model {label}"), self.owner)
        net.chain.warp(3_600)  # the price of registering comes down
        net.admit(node)
        deadline = net.chain.now + 600
        names = (node.key.address, self.owner.address)
        digest = CONSENT.digest(net.domain(net.on.registry), (*names, 1, deadline))
        net.on.registry.send(
            "register", node.key.address, ROLES, "https://model.example.org", keccak(b"tls"),
            keccak(b"info"), self.owner.address, deadline, node.key.sign(digest),
            by=self.owner.address,
        )  # fmt: skip
        if stake:
            net.stake(node, stake)
        told = (1, node.key.address, 10**6 * TOKEN)
        self.send(kind, self.subnet, "register", *told, by=self.owner)
        return node.key

    def commit(self, kind: str, row: bytes, *, by: Key) -> None:
        """The first node commits to a row."""
        told = (1, 0, 1, self.subnet.number("epoch"), keccak(row), SALT)
        (hashed,) = self.subnet.read("commitment_of", *told)
        self.send(kind, self.subnet, "commit", 1, 0, hashed, by=by)

    def next(self) -> None:
        """Move to the beginning of the next epoch."""
        subnet, chain = self.subnet, self.network.chain
        begin = subnet.number("genesis") + (subnet.number("epoch") + 1) * WEEK
        chain.warp(begin - chain.now)


def tell(network: Network) -> tuple[Row, ...]:
    """The rows of a network whose other stories have been told."""
    models = Models(network, account("owner of models"))
    net, owner = network, models.owner
    net.give(owner.address, 10**6 * TOKEN)
    net.allow(owner, net.on.staking, 10 * STAKE)
    allowed = (models.subnet.address, 10**6 * TOKEN)
    models.send("approve the token", net.on.token, "approve", *allowed, by=owner)
    models.create("create, first of all", "digits")
    models.create("create", "words")
    validator = models.enter("register, first of all", "one", stake=STAKE)
    models.enter("register", "two", stake=STAKE)
    for number in range(NODES - 2):
        models.enter("", str(number))
    models.next()
    _weigh(models, validator)
    return tuple(models.rows)


def _weigh(models: Models, validator: Key) -> None:
    row = b"".join(uid.to_bytes(2, "big") + b"\xff\xff" for uid in range(NODES))
    for kind in ("first of all", "again"):
        models.commit(f"commit, {kind}", row, by=validator)
        models.next()
        told = (1, 0, row, SALT)
        models.send(f"reveal {NODES} weights, {kind}", models.subnet, "reveal", *told, by=validator)
    models.send("record a stake", models.subnet, "record", 1, 1, by=keeper)
    models.send("grant for an epoch", models.subnet, "grant", 1, GRAIN, 1, by=models.owner)
    epoch = models.subnet.number("epoch")
    models.next()
    models.send("close an epoch of grants", models.subnet, "close_epoch", epoch, by=keeper)
    models.enter("", "late")
    epoch = models.subnet.number("epoch")
    models.next()
    models.send("close an epoch that burned", models.subnet, "close_epoch", epoch, by=keeper)
