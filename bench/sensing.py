"""What devices, watchers, rules and buyers of readings pay: enrolling, telling and settling with
three members and with a full committee, triggering, receipts, purchases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.chain import CHAIN_ID, Contract, Receipt, account
from bench.network import STAKE, TOKEN, Network, Node, keeper
from bench.story import Row
from freehold.control import consensus
from freehold.control.consensus import Observation
from freehold.domain.aspects import REACHABLE, SPEED
from freehold.domain.ids import keccak
from freehold.domain.keys import Key
from freehold.domain.pairing import place
from freehold.domain.typed import CONSENT, ENROLMENT, RECEIPT

WATCHER = 2
FEW, FULL = 3, 24
MANY = 32
"""Values of one settlement of several."""
DAY = 86_400
KEY, BINDING = bytes.fromhex("ed01") + b"\7" * 32, b"\5" * 64
PLACE = place(b"\6" * 32, "u33dc")
DONE = 1


@dataclass(slots=True)
class Senses:
    """A network whose story has been told, and the rows of what senses in it."""

    network: Network
    owner: Key
    watchers: list[Key] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    chapter: str = ""

    def send(self, kind: str, contract: Contract, function: str, *told: object, by: Key) -> Receipt:
        """A transaction, and its row where it has a name."""
        receipt = contract.send(function, *told, by=by.address)
        if kind:
            self.rows.append(Row(self.chapter, kind, receipt.gas, receipt.calldata))
        return receipt

    # Devices

    def enroll(self, kind: str, device: Key) -> None:
        """List a device of the owner."""
        net, devices = self.network, self.network.on.devices
        deadline = net.chain.now + 600
        names = (device.address, self.owner.address, keccak(KEY), 1, deadline)
        consent = device.sign(ENROLMENT.digest(net.domain(devices), names))
        told = (device.address, KEY, BINDING, PLACE, "fw 1.0", self.owner.address)
        self.send(kind, devices, "enroll", *told, deadline, consent, by=self.owner)

    # Watchers

    @property
    def round(self) -> int:
        """The round that the next transaction is in."""
        status = self.network.on.status
        since = self.network.chain.now - status.number("genesis")
        return since // status.number("round_length")

    def to_round(self, number: int, *, half: int = 0) -> None:
        """Move the clock to a round's first or second half."""
        status = self.network.on.status
        length = status.number("round_length")
        begin = status.number("genesis") + number * length + half * (length // 2)
        self.network.chain.warp(begin - self.network.chain.now)

    def enter(self, label: str) -> Key:
        """A node in the role of a watcher, with stake; not a member yet."""
        net, node = self.network, Node(account(f"watcher {label}"), account(f"keeper {label}"))
        net.admit(node)
        deadline = net.chain.now + 600
        names = (node.key.address, node.owner.address)
        digest = CONSENT.digest(net.domain(net.on.registry), (*names, 1, deadline))
        net.on.registry.send(
            "register", node.key.address, WATCHER, "https://watcher.example.org", keccak(b"tls"),
            keccak(b"info"), node.owner.address, deadline, node.key.sign(digest),
            by=node.owner.address,
        )  # fmt: skip
        net.give(node.owner.address, STAKE)
        net.allow(node.owner, net.on.staking, STAKE)
        net.stake(node, STAKE)
        return node.key

    def join(self, kind: str, label: str) -> None:
        """One more member from the next round on."""
        watcher = self.enter(label)
        self.send(kind, self.network.on.status, "join", by=watcher)
        self.watchers.append(watcher)

    def tell(self, told: Sequence[Observation], kinds: Sequence[str] = ("", "")) -> int:
        """A round in which all members tell the same; the rows of the last one. Its number."""
        current, status = self.round, self.network.on.status
        named = {self.watchers[-1]: kinds}
        salt = keccak(b"salt")
        for watcher in self.watchers:
            digest = consensus.digest(
                told, chain_id=CHAIN_ID, contract=status.address, round_number=current,
                watcher=watcher.address, salt=salt,
            )  # fmt: skip
            self.send(named.get(watcher, ("", ""))[0], status, "commit", digest, by=watcher)
        self.to_round(current, half=1)
        columns = (
            [each.subject for each in told],
            [each.aspect for each in told],
            [each.value for each in told],
        )
        for watcher in self.watchers:
            kind = named.get(watcher, ("", ""))[1]
            self.send(kind, status, "reveal", salt, *columns, by=watcher)
        self.to_round(current + 1)
        return current

    def settle(self, kind: str, number: int, told: Sequence[Observation]) -> None:
        """Agree on one value, or on several at once."""
        status = self.network.on.status
        if len(told) == 1:
            names = (told[0].subject, told[0].aspect)
            self.send(kind, status, "settle", number, *names, by=keeper)
            return
        lists = ([each.subject for each in told], [each.aspect for each in told])
        self.send(kind, status, "settle_many", number, *lists, by=keeper)


def tell(network: Network) -> list[Row]:
    """Every transaction of what senses."""
    senses = Senses(network, account("owner of devices"))
    network.give(senses.owner.address, 10**4 * TOKEN)
    _devices(senses)
    _watchers(senses)
    _automation(senses)
    _streams(senses)
    return senses.rows


def _devices(senses: Senses) -> None:
    senses.chapter, devices = "devices", senses.network.on.devices
    one, two = account("device 1"), account("device 2")
    told = (devices.address, TOKEN)
    senses.send("approve the fee", senses.network.on.token, "approve", *told, by=senses.owner)
    senses.enroll("enroll, first of all", one)
    senses.enroll("enroll", two)
    changed = (two.address, keccak(b"elsewhere"), senses.owner.address)
    senses.send("update", devices, "update", *changed, by=senses.owner)
    senses.send("report, by the device", devices, "report", two.address, "fw 1.1", by=two)
    senses.send("retire", devices, "retire", two.address, by=senses.owner)


def _watchers(senses: Senses) -> None:
    senses.chapter, status = "watchers", senses.network.on.status
    senses.to_round(senses.round + 1, half=1)
    for number in range(FEW):
        kinds = {0: "join, first of all", 1: "join"}
        senses.join(kinds.get(number, ""), str(number))
    senses.send("refresh", status, "refresh", senses.watchers[0].address, by=keeper)
    senses.to_round(senses.round + 1)
    _rounds(senses, FEW)
    senses.to_round(senses.round, half=1)
    for number in range(FEW, FULL):
        senses.join("", str(number))
    senses.to_round(senses.round + 1)
    _rounds(senses, FULL)


def _rounds(senses: Senses, members: int) -> None:
    """A value for the first time and again, then moved; several at once, both times."""
    words = f"{members} members"
    subject = account(f"subject of {members}").address
    first = members == FEW
    for kind, value in (("first", 9_000), ("again", 9_000), ("", 4_000)):
        told = [Observation(subject, REACHABLE, value)]
        names = (f"commit, {kind}", f"reveal a value, {kind}") if first and kind else ("", "")
        number = senses.tell(told, names)
        senses.settle(f"settle a value, {kind}, {words}" if kind else "", number, told)
    many = [
        Observation(account(f"subject {index} of {members}").address, SPEED, 10)
        for index in range(MANY)
    ]
    for kind in ("first", "again"):
        number = senses.tell(many, ("", f"reveal {MANY} values, {kind}" if first else ""))
        senses.settle(f"settle {MANY} values, {kind}, {words}", number, many)


def _automation(senses: Senses) -> None:
    senses.chapter, net = "automation", senses.network
    contract, device = net.on.automation, account("device 1")
    subject = account(f"subject of {FULL}").address
    terms = ("relay.1 open", 60, 300, DAY, net.chain.now + 30 * DAY)
    told = (device.address, subject, REACHABLE, False, 9_000, *terms)
    senses.send("approve a rule, first of all", contract, "approve", *told, by=senses.owner)
    senses.send("approve a rule", contract, "approve", *told, by=senses.owner)
    for number, kind in ((1, "first"), (2, "again")):
        senses.send(f"trigger, {kind}", contract, "trigger", 1, by=keeper)
        values = (number, device.address, DONE, keccak(b"detail"), net.chain.now)
        signed = device.sign(RECEIPT.digest(net.domain(contract), values))
        receipt = (number, DONE, keccak(b"detail"), net.chain.now, signed)
        senses.send(f"acknowledge, {kind}", contract, "acknowledge", *receipt, by=keeper)
        net.chain.warp(600)
    senses.send("order", contract, "order", device.address, "relay.1 close", 60, by=senses.owner)
    senses.send("lapse, by the owner", contract, "lapse", 3, by=senses.owner)
    senses.send("revoke a rule", contract, "revoke", 2, by=senses.owner)


def _streams(senses: Senses) -> None:
    senses.chapter, streams = "streams", senses.network.on.streams
    told = (streams.address, 10**3 * TOKEN)
    senses.send("approve the token", senses.network.on.token, "approve", *told, by=senses.owner)
    query, epoch = "metric=roof.temperature cell=u33d", streams.number("epoch")
    for kind, later, count in (
        ("buy an epoch, first of all", 0, 1),
        ("buy an epoch", 1, 1),
        ("buy an epoch that others bought", 1, 1),
        ("buy 52 epochs", 2, 52),
    ):
        bought = (query, epoch + later, count, TOKEN)
        senses.send(kind, streams, "buy", *bought, by=senses.owner)
