"""The statement of an epoch's pay: what was bought, what devices did, who gets how much, and why.

It is one JSON object whose canonical text (sorted names, no blanks) has the keccak that the root
on the chain names as its `data`. Each names the one before as `parent`. `Statement.of` makes it
from what it is reckoned from, so whoever checks one makes it again and compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from freehold.domain.errors import FreeholdError, IntegrityError
from freehold.domain.ids import Address, address, keccak
from freehold.economics.data_pay import HONEST, Part, Pay, Purchase, Row, Terms, settle
from freehold.economics.trees import GRAIN, Tree
from freehold.telemetry.worth import MILLION

VERSION = 1
STATEMENT_MAX = 2**26
"""Bytes of the text of a statement."""
DEPTH_MAX = 6
"""Objects and lists in each other; a statement has four."""
WAITING_MAX = 1_024
"""Purchases that wait for a device, the largest; what is smaller stays in the roots."""
_COUNT_MAX = 2**53
_MONEY_MAX = 2**128
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLAIN = bytes(set(range(256)) - set(b"[]{}"))


@dataclass(frozen=True, slots=True)
class Work:
    """What a device did in an epoch, as the service tells it: ``did`` signed its readings, of
    which ``counted`` by metric; ``marked`` says why it gets nothing; ``salt`` (hex) opens the
    commitment to its ``cell``, both empty where its owner showed none."""

    device: Address
    owner: Address
    did: str
    readings: int
    counted: Mapping[str, int]
    quality: int
    honesty: int
    marked: str = ""
    cell: str = ""
    salt: str = ""

    def row(self) -> Row:
        """As pay is reckoned from it."""
        return Row(
            device=self.device, owner=self.owner, counted=self.counted, quality=self.quality,
            honesty=self.honesty, cell=self.cell, barred=bool(self.marked),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frame:
    """Of an epoch: ``network`` id, who proposes, the hash of the statement before (hex, empty
    where there is none), and what may be paid."""

    network: str
    epoch: int
    proposer: Address
    parent: str
    terms: Terms


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier epochs left: base units that each owner ever earned, of purchases that wait by
    number, and what stays in the roots."""

    accounts: Mapping[Address, int] = field(default_factory=dict)
    waiting: Mapping[int, int] = field(default_factory=dict)
    rest: int = 0


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with what it leaves to the next, and the tree of its root (None: no account has
    a whole grain yet)."""

    fields: Mapping[str, object]
    frame: Frame
    works: tuple[Work, ...]
    bought: tuple[Purchase, ...]
    past: Past
    tree: Tree | None

    @classmethod
    def of(
        cls, frame: Frame, bought: Sequence[Purchase], works: Sequence[Work], past: Past
    ) -> Statement:
        """The statement of an epoch for which ``bought`` was bought and ``works`` was done."""
        purchases = sorted(bought, key=lambda each: each.id)
        pay = settle(purchases, [work.row() for work in works], frame.terms)
        after = _after(past, works, pay)
        tree = Tree.of(after.accounts) if _grains(after) else None
        listed = tuple(sorted(works, key=lambda work: work.device))
        return cls(
            _fields(frame, purchases, listed, pay, after, tree),
            frame, listed, tuple(purchases), after, tree,
        )  # fmt: skip

    @classmethod
    def read(cls, data: bytes) -> Statement:
        """The statement that a text claims to be, reckoned again from what it tells; what it left
        before is taken from ``Past`` by whoever checks it. IntegrityError."""
        fields = parse(data)
        try:
            made = _read(cls, fields)
        except (KeyError, TypeError, ValueError, FreeholdError) as error:
            raise _odd(f"it cannot be read ({error})") from error
        return made

    @property
    def epoch(self) -> int:
        """Which epoch it is of."""
        return self.frame.epoch

    @property
    def hash(self) -> bytes:
        """What the root names as its data."""
        return keccak(canonical(self.fields))

    @property
    def root(self) -> int:
        """The root, 0 where there is none yet."""
        return self.tree.root if self.tree else 0

    @property
    def count(self) -> int:
        """Accounts of the tree."""
        return self.tree.count if self.tree else 0

    def text(self) -> bytes:
        """The canonical text."""
        return canonical(self.fields)


def canonical(fields: Mapping[str, object]) -> bytes:
    """The one text of a JSON object."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def parse(data: bytes) -> dict[str, object]:
    """The object of a statement's text; IntegrityError."""
    found = load(data)
    if found.get("version") != VERSION:
        raise _odd("it is of another version")
    return found


def load(data: bytes) -> dict[str, object]:
    """A JSON object of strangers; IntegrityError for one that is too long or nests too deep, which
    is looked at before it is parsed, since the parser recurses in C."""
    if len(data) > STATEMENT_MAX:
        raise _odd(f"it has more than {STATEMENT_MAX:,} bytes")
    nesting = _TEXT.sub(b"", data).translate(None, _PLAIN)
    for _ in range(DEPTH_MAX):
        nesting = nesting.replace(b"[]", b"").replace(b"{}", b"")
    if nesting:
        raise _odd("it nests too deep, or its brackets do not match")
    try:
        found = json.loads(data)
    except ValueError as error:
        raise _odd("it is no JSON") from error
    if not isinstance(found, dict):
        raise _odd("it is no object")
    return found


def first_difference(told: object, found: object, name: str = "") -> str:
    """Where two JSON values differ first, in words; empty where they do not."""
    if isinstance(told, dict) and isinstance(found, dict):
        pairs: Iterator[tuple[object, object, object]] = (
            (key, told.get(key), found.get(key)) for key in sorted({*told, *found})
        )
    elif isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        pairs = ((at, a, b) for at, (a, b) in enumerate(zip(told, found, strict=True)))
    else:
        same = type(told) is type(found) and told == found
        return "" if same else f"{name}: {str(told)[:80]}, not {str(found)[:80]}"
    found_first = (first_difference(a, b, f"{name}.{key}".strip(".")) for key, a, b in pairs)
    return next((each for each in found_first if each), "")


def _after(past: Past, works: Sequence[Work], pay: Pay) -> Past:
    accounts = dict(past.accounts)
    owners = {work.device: work.owner for work in works}
    for device, part in pay.parts.items():
        owner = owners[device]
        accounts[owner] = accounts.get(owner, 0) + part.paid + part.minted
    waits = {each.id: each.waiting for each in pay.sold if each.waiting}
    kept = dict(sorted(waits.items(), key=lambda each: (-each[1], each[0]))[:WAITING_MAX])
    lost = sum(waits.values()) - sum(kept.values())
    return Past(accounts, kept, past.rest + lost + sum(each.dust for each in pay.sold))


def _grains(past: Past) -> bool:
    return any(amount >= GRAIN for amount in past.accounts.values())


def _fields(
    frame: Frame, purchases: Sequence[Purchase], works: Sequence[Work], pay: Pay, after: Past,
    tree: Tree | None,
) -> dict[str, object]:  # fmt: skip
    sold = {each.id: each for each in pay.sold}
    return {
        "version": VERSION,
        "network": frame.network,
        "epoch": frame.epoch,
        "parent": frame.parent,
        "proposer": frame.proposer,
        "terms": asdict(frame.terms),
        "purchases": [{**asdict(each), **asdict(sold[each.id])} for each in purchases],
        "rows": [{**asdict(each), **asdict(pay.parts.get(each.device, Part()))} for each in works],
        "accounts": {owner: after.accounts[owner] for owner in sorted(after.accounts)},
        "waiting": [[number, after.waiting[number]] for number in sorted(after.waiting)],
        "rest": after.rest,
        "root": f"{tree.root if tree else 0:064x}",
        "count": tree.count if tree else 0,
        "leaves": keccak(tree.data()).hex() if tree else "",
    }


def _read(kind: type[Statement], fields: Mapping[str, object]) -> Statement:
    terms = _dict(fields["terms"])
    frame = Frame(
        _str(fields["network"]), _whole(fields["epoch"], 2**48),
        address(_str(fields["proposer"])), _str(fields["parent"]),
        Terms(*(_whole(terms[name], _MONEY_MAX) for name in ("share_bps", "room", "drawn"))),
    )  # fmt: skip
    works = tuple(_work(_dict(each)) for each in _list(fields["rows"]))
    bought = tuple(_purchase(_dict(each)) for each in _list(fields["purchases"]))
    if len({work.device for work in works}) != len(works):
        raise _odd("a device comes twice")
    if len({each.id for each in bought}) != len(bought):
        raise _odd("a purchase comes twice")
    accounts = {
        address(owner): _whole(amount, _MONEY_MAX)
        for owner, amount in _dict(fields["accounts"]).items()
    }
    waiting = dict(_pair(each) for each in _list(fields["waiting"]))
    past = Past(accounts, waiting, _whole(fields["rest"], _MONEY_MAX))
    tree = Tree.of(accounts) if _grains(past) else None
    return kind(fields, frame, works, bought, past, tree)


def _work(told: Mapping[str, object]) -> Work:
    counted = {name: _whole(count, _COUNT_MAX) for name, count in _dict(told["counted"]).items()}
    return Work(
        device=address(_str(told["device"])),
        owner=address(_str(told["owner"])),
        did=_str(told["did"]),
        readings=_whole(told["readings"], _COUNT_MAX),
        counted=counted,
        quality=_whole(told["quality"], MILLION),
        honesty=_whole(told["honesty"], HONEST),
        marked=_str(told["marked"]),
        cell=_str(told["cell"]),
        salt=_str(told["salt"]),
    )


def _purchase(told: Mapping[str, object]) -> Purchase:
    number, net, burned, carried = (
        _whole(told[name], _MONEY_MAX) for name in ("id", "net", "burned", "carried")
    )
    return Purchase(number, _str(told["query"]), net, burned, carried)


def _pair(told: object) -> tuple[int, int]:
    number, amount = _list(told)
    return _whole(number, _MONEY_MAX), _whole(amount, _MONEY_MAX)


def _dict(told: object) -> dict[str, object]:
    if not isinstance(told, dict):
        raise TypeError("no object where one should be")
    return told


def _list(told: object) -> list[object]:
    if not isinstance(told, list):
        raise TypeError("no list where one should be")
    return told


def _str(told: object) -> str:
    if not isinstance(told, str):
        raise TypeError("no text where one should be")
    return told


def _whole(told: object, most: int) -> int:
    if isinstance(told, bool) or not isinstance(told, int) or not 0 <= told <= most:
        raise TypeError(f"no whole number from 0 to {most} where one should be")
    return told


def _odd(reason: str) -> IntegrityError:
    return IntegrityError(
        f"this is no statement of an epoch's pay: {reason}",
        remedy="The service that serves it should be updated, or is not to be trusted.",
    )
