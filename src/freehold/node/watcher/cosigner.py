"""Co-signs the pay of devices: reckons again what a service states, and signs only what is so.

Of the newest statement that waits for a root it checks, in this order: that it follows from the
root before, that no epoch with purchases was left out, purchases, terms and emission against the
chain, owners, keys and honesty of devices against the chain, every amount and the tree (it makes
the whole statement again), and what devices did, from the batches that they signed: of all devices
where there are up to ``DEVICES_MAX``, else of as many that it draws itself. The first difference
is logged, and nothing is signed.

Threats: a service that pays itself or friends (all of the above; of n devices a lie about one is
seen by a watcher with the chance 64 / n, and each watcher draws others); a service that keeps
evidence back (then a device's worth is less than stated: not signed); floods (everything is
bounded; a statement is looked at each ten minutes). Not met: a service that leaves out devices or
readings pays them nothing, which only they can see; they can report to another.
"""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from freehold.client.token import Identity
from freehold.domain.did import Did
from freehold.domain.errors import FreeholdError, IntegrityError, UnavailableError
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.ledger.contracts.roots import State
from freehold.ledger.ledger import Ledger
from freehold.node.attesting import is_watcher
from freehold.node.logs import fields
from freehold.node.loops import Chore
from freehold.node.telemetry.epochs import PLACE, digest
from freehold.node.telemetry.facts import Enrolled, Facts
from freehold.node.telemetry.pay import carried
from freehold.node.telemetry.statement import (
    Past,
    Statement,
    Work,
    canonical,
    first_difference,
    parse,
)
from freehold.node.watcher.paysource import Source, sources
from freehold.telemetry.worth import Case, Worth, worths

DEVICES_MAX = 64
LOOKS, DEPTH = 16, 16
"""Epochs that are looked through for a statement, and statements between two roots."""
AT_ONCE = 64 * 2**20
"""Bytes of evidence that are reckoned together."""
SLOWEST, STEPS = 30.0, 32
AGAIN = 600
"""Seconds after which a statement is looked at again that has not become a root."""
_REMEMBERED = 256
K = TypeVar("K")
V = TypeVar("V")
_log = logging.getLogger(__name__)


class DifferenceError(IntegrityError):
    """A statement that is not what the chain and the evidence say."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A statement on top of a root."""

    statement: bytes
    parent: bytes


class Cosigner:
    """The chore; ``services`` tells whom to ask now, ``draw`` picks devices."""

    def __init__(
        self, ledger: Ledger, key: Key, *, services: Callable[[], Sequence[Source]],
        draw: random.Random,
    ) -> None:  # fmt: skip
        self._ledger, self._key = ledger, key
        self._services, self._draw = services, draw
        self._facts = Facts(ledger)
        self._again: dict[_Seen, int] = {}
        self._sound: dict[bytes, None] = {}

    def step(self) -> None:
        """Look at what each service states, where the roots know this watcher."""
        if not is_watcher(self._ledger, PLACE, self._key.address):
            return
        state = self._facts.state()
        if state.tip > state.final:
            return
        self._facts.sync()
        for source in self._services():
            try:
                self._look(source, state)
            except FreeholdError as error:
                _log.warning(
                    "not co-signed", extra=fields(service=source.node, reason=error.message)
                )

    def _look(self, source: Source, state: State) -> None:
        statement = self._newest(source, state)
        if statement is None or statement.tree is None:
            return
        seen = _Seen(statement.hash, self._facts.parent(state.tip))
        now = self._ledger.now()
        if now < self._again.get(seen, 0):
            return
        # What was refused may have lacked evidence only, and a signature can be lost.
        _remember(self._again, seen, value=now + AGAIN)
        try:
            self.check(source, statement, state)
            source.sign(statement.epoch, self._key.sign(digest(self._ledger, statement)))
        except UnavailableError:
            del self._again[seen]
            raise
        _log.info("co-signed", extra=fields(service=source.node, epoch=statement.epoch))

    def _newest(self, source: Source, state: State) -> Statement | None:
        """The latest statement that could become a root."""
        for statement in self._statements(source, self._facts.calendar.settled(self._now())):
            return statement if statement.epoch >= state.next_epoch else None
        return None

    def _now(self) -> int:
        return self._ledger.head().time

    def _statements(self, source: Source, before: int) -> Iterator[Statement]:
        """Statements of epochs before ``before``, the latest first."""
        numbers = [number for number in source.epochs() if 0 <= number < before]
        for number in reversed(numbers[-LOOKS:]):
            text = source.statement(number)
            if b'"version"' in text:
                statement = Statement.read(canonical(parse(text)))
                if statement.epoch != number:
                    raise DifferenceError(
                        f"the statement of epoch {number} is of epoch {statement.epoch}",
                        remedy="Nothing is signed.",
                    )
                yield statement

    # --- checking --------------------------------------------------------------------------------

    def check(self, source: Source, statement: Statement, state: State, depth: int = 0) -> None:
        """DifferenceError with the first thing of a statement that is not so."""
        if statement.hash in self._sound:
            return
        epoch = statement.epoch
        _same("network", statement.frame.network, self._ledger.network.network_id.hex())
        past, first = self._past(source, statement, state, depth)
        _same("an epoch left out", self._facts.next_bought(first, epoch), None)
        bought = carried(self._facts.bought(epoch), past.waiting, self._facts.query)
        _same("purchases", list(statement.bought), bought)
        self._check_terms(statement)
        roster = self._facts.roster(epoch)
        for work in statement.works:
            self._check_work(work, roster.get(work.device), epoch)
        made = Statement.of(statement.frame, bought, statement.works, past)
        difference = first_difference(statement.fields, made.fields)
        _same("the reckoning", difference, "")
        self._check_worth(source, statement)
        _remember(self._sound, statement.hash, value=None)

    def _past(
        self, source: Source, statement: Statement, state: State, depth: int
    ) -> tuple[Past, int]:
        """What a statement builds on, checked, and the first epoch after it."""
        wanted = statement.frame.parent
        if not wanted:
            _same("the final root", state.final, 1)
            return Past(), 0
        parent = self._find(source, statement.epoch, wanted)
        header = self._facts.header(state.final)
        if header is None or header.data != parent.hash:
            if depth == DEPTH:
                raise DifferenceError(
                    f"more than {DEPTH} statements since the last root",
                    remedy="Nothing is signed.",
                )
            self.check(source, parent, state, depth + 1)
        return parent.past, parent.epoch + 1

    def _find(self, source: Source, epoch: int, wanted: str) -> Statement:
        for found in self._statements(source, epoch):
            if found.hash.hex() == wanted:
                return found
        raise DifferenceError(
            f"the statement {wanted[:16]} before that of epoch {epoch} is not served",
            remedy="Nothing is signed.",
        )

    def _check_terms(self, statement: Statement) -> None:
        terms, facts = statement.frame.terms, self._facts
        _same("terms.share_bps", terms.share_bps, facts.share_bps)
        _most("terms.drawn", terms.drawn, facts.drawn(statement.epoch))
        _most("terms.room", terms.room, facts.most())

    def _check_work(self, work: Work, enrolled: Enrolled | None, epoch: int) -> None:
        name = f"rows.{work.device}"
        if enrolled is None:
            raise DifferenceError(f"{name}: it is not enrolled", remedy="Nothing is signed.")
        _same(f"{name}.owner", work.owner, enrolled.owner)
        _same(f"{name}.did", work.did, enrolled.did.text)
        _same(f"{name}.honesty", work.honesty, self._facts.honesty(work.device, epoch))
        if work.cell:
            stood = self._facts.stood(work.device, work.cell, _salt(work.salt))
            _same(f"{name}.cell", stood, True)

    def _check_worth(self, source: Source, statement: Statement) -> None:
        """Reckon again what devices did, of those that are paid before others."""
        group: list[tuple[Work, Case]] = []
        size = 0
        for work in self._drawn(statement):
            case = Case(Did.parse(work.did), self._evidence(source, work.device, statement.epoch))
            group.append((work, case))
            size += sum(map(len, case.batches))
            if size > AT_ONCE:
                self._compare(group, statement.epoch)
                group, size = [], 0
        self._compare(group, statement.epoch)

    def _drawn(self, statement: Statement) -> list[Work]:
        paid = {str(row["device"]) for row in _rows(statement) if row["paid"] or row["minted"]}
        earn = [work for work in statement.works if work.device in paid]
        rest = [work for work in statement.works if work.device not in paid]
        if len(earn) >= DEVICES_MAX:
            return self._draw.sample(earn, DEVICES_MAX)
        return earn + self._draw.sample(rest, min(len(rest), DEVICES_MAX - len(earn)))

    def _evidence(self, source: Source, device: Address, epoch: int) -> list[bytes]:
        before = source.evidence(epoch - 1, device) if epoch else []
        return before + source.evidence(epoch, device)

    def _compare(self, group: Sequence[tuple[Work, Case]], epoch: int) -> None:
        if not group:
            return
        span, network_id = self._facts.calendar.span(epoch), self._ledger.network.network_id
        done = worths([case for _, case in group], span, network_id=network_id)
        for (work, _), found in zip(group, done, strict=True):
            _check_found(work, found)


def chores(ledger: Ledger, key: Key) -> list[Chore]:
    """The cosigner's chore; none in a network without the contracts that pay devices."""
    if not {"roots", "streams", "devices"} <= ledger.network.contracts.keys():
        return []
    identity = Identity(key, ledger.network.domain("registry"), ledger, secrets.token_bytes)
    cosigner = Cosigner(
        ledger, key, services=lambda: sources(ledger, identity), draw=random.SystemRandom()
    )
    seconds = min(SLOWEST, ledger.roots.epoch_length() / STEPS)
    return [Chore("cosigner", cosigner.step, max(1.0, seconds))]


def _check_found(work: Work, found: Worth) -> None:
    name = f"rows.{work.device}"
    _same(f"{name}.readings", work.readings, found.readings)
    _same(f"{name}.counted", dict(work.counted), dict(found.metrics))
    # The last digit may be another on another machine.
    _most(f"{name}.quality", abs(work.quality - found.quality), 1)


def _rows(statement: Statement) -> list[dict[str, object]]:
    rows = statement.fields["rows"]
    return rows if isinstance(rows, list) else []


def _salt(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _same(what: str, told: object, found: object) -> None:
    if told != found:
        raise DifferenceError(
            f"{what}: told {str(told)[:160]}, found {str(found)[:160]}",
            remedy="Nothing is signed; look into the service.",
        )


def _most(what: str, told: int, most: int) -> None:
    if told > most:
        raise DifferenceError(
            f"{what}: told {told}, at most {most}",
            remedy="Nothing is signed; look into the service.",
        )


def _remember(known: dict[K, V], key: K, *, value: V) -> None:
    while len(known) >= _REMEMBERED:
        del known[next(iter(known))]
    known[key] = value
