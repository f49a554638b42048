"""Competitions among model nodes: who takes part, by which rules, weights, and budgets."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.errors import UsageError
from freehold.domain.ids import Address, keccak, raw_address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt

GRAIN = 10**9
"""Base units in a grain: stakes are told in grains, budgets are whole ones."""
PAGE = 128
"""Uids that one view tells of."""
SPAN_MAX = 1_024
"""Epochs whose budgets one view adds up."""
NAME_MAX = 32
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
_SIGNS = _LETTERS | frozenset("0123456789-")
_ROW = keccak(b"Freehold subnet row")


@dataclass(frozen=True, slots=True)
class Rules:
    """What an epoch is reckoned by, and whom newcomers may replace.

    ``immunity`` in seconds, ``kappa``, ``bonds_penalty`` and both bounds of liquid alpha of 65535,
    ``bonds_ema_ppm`` the part of old bonds that stays, ``steepness`` in hundredths, ``min_stake``
    in grains, ``owner_bps`` of each epoch's budget.
    """

    max_validators: int = 64
    immunity: int = 86_400
    kappa: int = 32_767
    bonds_penalty: int = 65_535
    bonds_ema_ppm: int = 500_000
    yuma3: bool = True
    liquid: bool = False
    liquid_low: int = 45_875
    liquid_high: int = 58_982
    steepness: int = 1_000
    min_stake: int = 0
    owner_bps: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """How the price of a registration moves: base units, base units, seconds, ten-thousandths."""

    lowest: int
    highest: int
    half_life: int
    factor_bps: int


@dataclass(frozen=True, slots=True)
class Task:
    """Hashes (32 bytes) of what is asked and of what scores the answers."""

    schema: bytes
    scorer: bytes


@dataclass(frozen=True, slots=True)
class Terms:
    """By which subnets are opened: the moving price of one (as an `Entry`), the base units locked
    until it ended, epochs of notice, and what burns back of the emission, ten-thousandths."""

    lowest: int
    highest: int
    half_life: int
    factor_bps: int
    lock: int
    notice: int
    share_bps: int


@dataclass(frozen=True, slots=True)
class Subnet:
    """Where a subnet stands; ``closing`` is the first epoch that it has no part in, 0 where none is
    set, ``nodes`` how many uids it gave out, ``lock`` base units."""

    owner: Address
    created_at: int
    closing: int
    max_nodes: int
    nodes: int
    lock: int
    revisions: int


@dataclass(frozen=True, slots=True)
class Seat:
    """Who holds a uid, since when (seconds), and how many have held it so far."""

    node: Address
    registered_at: int
    generation: int


@dataclass(frozen=True, slots=True)
class Record:
    """Of a uid in an epoch: the hash of its revealed row and when that was committed (zeros where
    none was), and the stake behind it in grains (0 where nobody put it down)."""

    row: bytes
    committed_at: int
    stake: int


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a uid committed in an epoch; zeros where it did not."""

    hashed: bytes
    epoch: int
    committed_at: int
    generation: int


class Subnets(Contract):
    """The subnets; ids begin at 1, uids at 0. Amounts are base units unless said otherwise."""

    name = "subnet"

    def create(
        self,
        name: str,
        *,
        max_nodes: int,
        rules: Rules,
        entry: Entry,
        task: Task,
        uri: str,
        most: int,
    ) -> Receipt:
        """Open a subnet: burns `creation_price` of the sender's approved tokens, ``most`` at most,
        and locks `Terms.lock`. UsageError where the name cannot be; ``uri`` has 128 bytes."""
        told = (_name_word(name), max_nodes, *_words(rules, entry, task), uri, most)
        return self._send("create", *told)

    def set_rules(
        self, subnet: int, *, from_epoch: int, rules: Rules, entry: Entry, task: Task
    ) -> Receipt:
        """Change the rules from an epoch on, two ahead at least; its owner only."""
        return self._send("set_rules", subnet, from_epoch, *_words(rules, entry, task))

    def set_uri(self, subnet: int, uri: str) -> Receipt:
        """Say where the documents are; its owner only."""
        return self._send("set_uri", subnet, uri)

    def close(self, subnet: int) -> Receipt:
        """Announce that a subnet ends after `Terms.notice` more epochs; its owner only."""
        return self._send("close", subnet)

    def unlock(self, subnet: int) -> Receipt:
        """Return an ended subnet's lock to its owner; anyone."""
        return self._send("unlock", subnet)

    def register(self, subnet: int, node: Address, *, max_price: int) -> Receipt:
        """Enter a node, by its owner, whose approved tokens burn."""
        return self._send("register", subnet, node, max_price)

    def commit(self, subnet: int, uid: int, commitment: bytes) -> Receipt:
        """Commit to a row (`commitment`); the validator's key or its owner."""
        return self._send("commit", subnet, uid, commitment)

    def reveal(self, subnet: int, uid: int, row: bytes, salt: bytes) -> Receipt:
        """Open what was committed in the epoch before; the validator's key or its owner."""
        return self._send("reveal", subnet, uid, row, salt)

    def record(self, subnet: int, uid: int) -> Receipt:
        """Put down the stake of a validator that has not revealed; anyone."""
        return self._send("record", subnet, uid)

    def grant(self, subnet: int, amount: int, *, epochs: int) -> Receipt:
        """Bring ``amount`` of approved tokens, whole grains, for each of some epochs from now."""
        return self._send("grant", subnet, amount, epochs)

    def close_epoch(self, epoch: int) -> Receipt:
        """Fix the budgets of an ended epoch and pay them in; anyone."""
        return self._send("close_epoch", epoch)

    def commitment(
        self, subnet: int, uid: int, *, generation: int, epoch: int, row: bytes, salt: bytes
    ) -> bytes:
        """The 32 bytes to commit in ``epoch``; ``salt`` is 32 random ones, to keep for `reveal`."""
        numbers = [each.to_bytes(32, "big") for each in (subnet, uid, generation, epoch)]
        place = raw_address(self.address).rjust(32, b"\0")
        head = _ROW + self._door.network.network_id + place
        return keccak(head + b"".join(numbers) + keccak(row) + salt)

    def epoch(self) -> int:
        """The running epoch."""
        return self._view(int, "epoch")

    def terms(self) -> Terms:
        """By which subnets are opened."""
        return self._view(Terms, "terms")

    def count(self) -> int:
        """How many subnets were ever opened."""
        return self._view(int, "count")

    def id_of(self, name: str) -> int:
        """The subnet of a name, 0 where there is none."""
        return self._view(int, "id_of", _name_word(name))

    def name_of(self, subnet: int) -> str:
        """A subnet's name, empty where there is none."""
        return self._view(bytes, "name_of", subnet).rstrip(b"\0").decode("ascii")

    def uri_of(self, subnet: int) -> str:
        """Where a subnet's documents are."""
        return self._view(str, "uri_of", subnet)

    def creation_price(self) -> int:
        """What a new subnet burns now; the lock comes on top."""
        return self._view(int, "creation_price")

    def price(self, subnet: int) -> int:
        """What a registration burns now."""
        return self._view(int, "price", subnet)

    def subnet_of(self, subnet: int) -> Subnet:
        """Where a subnet stands."""
        return self._view(Subnet, "subnet_of", subnet)

    def rules_at(self, subnet: int, epoch: int) -> Rules:
        """The rules of an epoch, past or to come."""
        return self._view(Rules, "rules_at", subnet, epoch)

    def entry_at(self, subnet: int, epoch: int) -> Entry:
        """How the price moves in an epoch."""
        return self._view(Entry, "entry_at", subnet, epoch)

    def task_at(self, subnet: int, epoch: int) -> Task:
        """What is asked in an epoch."""
        return self._view(Task, "task_at", subnet, epoch)

    def place_of(self, subnet: int, node: Address) -> int | None:
        """A node's uid, None where it has none."""
        place = self._view(int, "place_of", subnet, node)
        return place - 1 if place else None

    def generation(self, subnet: int, uid: int) -> int:
        """How many have held a uid, 0 where it was not given out."""
        return self._view(int, "generation", subnet, uid)

    def seat(self, subnet: int, uid: int) -> Seat:
        """Who holds a uid."""
        return self._view(Seat, "seat", subnet, uid)

    def seats(self, subnet: int, first: int = 0) -> list[Seat]:
        """Who holds the uids from ``first`` on, `PAGE` at most."""
        return self._views(Seat, "seats", subnet, first)

    def records(self, subnet: int, epoch: int, first: int = 0) -> list[Record]:
        """Rows and stakes of an epoch of the uids from ``first`` on, `PAGE` at most."""
        return self._views(Record, "records", subnet, epoch, first)

    def committed(self, subnet: int, uid: int, epoch: int) -> Commitment:
        """What a uid committed in an epoch, the running one or the one before."""
        return self._view(Commitment, "committed", subnet, uid, epoch)

    def stake_at(self, subnet: int, epoch: int, uid: int) -> int:
        """Grains behind a uid in an epoch, 0 where nobody put them down."""
        return self._view(int, "stake_at", subnet, epoch, uid)

    def most(self) -> int:
        """What the roots can pay of an epoch: half of it is for the emission, half for grants."""
        return self._view(int, "most")

    def closed(self, epoch: int) -> bool:
        """Whether an epoch's budgets are fixed."""
        return self._view(bool, "closed", epoch)

    def emitted(self, epoch: int) -> int:
        """What an epoch drew from the emission, 0 while it is open."""
        return self._view(int, "emitted", epoch)

    def money(self, subnet: int, epoch: int) -> tuple[int, int]:
        """What burned in a subnet in an epoch, and what it was granted."""
        burned, granted = self._views(int, "money", subnet, epoch)
        return burned, granted

    def totals(self, epoch: int) -> tuple[int, int]:
        """As `money`, of all subnets."""
        burned, granted = self._views(int, "totals", epoch)
        return burned, granted

    def budget(self, subnet: int, since: int, epoch: int) -> int:
        """What a subnet pays for some epochs together, `SPAN_MAX` at most, all of them closed."""
        return self._view(int, "budget", subnet, since, epoch)

    def paused(self) -> bool:
        """Whether new subnets and registrations are stopped."""
        return self._view(bool, "paused")


def rules_of(word: int) -> Rules:
    """Rules as the event ``RulesSet`` tells them, one word."""
    return Rules(
        max_validators=word >> 102 & 0x1FF,
        immunity=word >> 111 & 0xFFFF_FFFF,
        kappa=word & 0xFFFF,
        bonds_penalty=word >> 16 & 0xFFFF,
        bonds_ema_ppm=word >> 32 & 0xF_FFFF,
        yuma3=bool(word >> 52 & 1),
        liquid=bool(word >> 53 & 1),
        liquid_low=word >> 54 & 0xFFFF,
        liquid_high=word >> 70 & 0xFFFF,
        steepness=word >> 86 & 0xFFFF,
        min_stake=word >> 154 & (1 << 60) - 1,
        owner_bps=word >> 143 & 0x7FF,
    )


def entry_of(word: int) -> Entry:
    """Terms of entry as the event ``RulesSet`` tells them, one word."""
    price = (1 << 96) - 1
    return Entry(word & price, word >> 96 & price, word >> 192 & 0xFFFF_FFFF, word >> 224)


def _name_word(name: str) -> bytes:
    fits = 0 < len(name) <= NAME_MAX and name[0] in _LETTERS and _SIGNS.issuperset(name)
    if not fits:
        raise UsageError(
            f"{name!r} cannot be a subnet's name",
            remedy=f"Use a letter, then letters, digits and hyphens, {NAME_MAX} at most.",
        )
    return name.encode("ascii").ljust(NAME_MAX, b"\0")


def _words(rules: Rules, entry: Entry, task: Task) -> tuple[tuple[object, ...], ...]:
    return (
        (
            rules.max_validators, rules.immunity, rules.kappa, rules.bonds_penalty,
            rules.bonds_ema_ppm, rules.yuma3, rules.liquid, rules.liquid_low, rules.liquid_high,
            rules.steepness, rules.min_stake, rules.owner_bps,
        ),
        (entry.lowest, entry.highest, entry.half_life, entry.factor_bps),
        (task.schema, task.scorer),
    )  # fmt: skip
