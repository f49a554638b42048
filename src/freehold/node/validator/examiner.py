"""Once an epoch: ask every node of the subnet, score what it says, and write down what that means.

Threats and what meets them. Nodes that answer well only while they are watched: a round begins at a
moment that nobody can foretell, questions come in random order, strewn over an eighth of the epoch,
from an account and by a connection like any other's - though a node that knows this validator's
address can serve it alone, which the journal of users' requests (``evidence``) and other nodes'
canaries are for. Validators that copy what others found in the epoch before: each epoch is about
something else, by its theme (``themes``). Nodes that cannot be reached, or announce nothing: 0. A
validator that is cut off: where nobody at all answers, it says nothing of anyone. A broken scorer:
nobody's scores fall.

Answers whose truth comes later are kept in memory, those of the last ``WAITING`` rounds; a restart
forgets them, and they then count neither for nor against anyone.
"""

from __future__ import annotations

import asyncio
import logging
import random as chances
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from freehold.client.asking.caller import Caller
from freehold.domain.errors import ConflictError
from freehold.domain.ids import Address
from freehold.markets.models.copies import Past
from freehold.markets.models.scoring import Round
from freehold.markets.models.task import Judgement, Scorer
from freehold.node.logs import fields
from freehold.node.validator.book import Shelf
from freehold.node.validator.documents import Documents
from freehold.node.validator.epochs import Epochs
from freehold.node.validator.evidence import Told, Witness, weighed
from freehold.node.validator.field import Key, Member, look
from freehold.node.validator.metrics import Metrics
from freehold.node.validator.ports import Chain
from freehold.node.validator.questioner import Fares, Pace, Questioner
from freehold.node.validator.themes import Themes

WAITING = 8
"""Former rounds whose answers may still wait for their truth."""
CUT_OFF = 3
"""Nodes of which none answers: then it is this machine that is cut off."""
LOOK_SECONDS = 0.25
"""How often a round looks whether it is still wanted."""
LOGGED = 16
"""Nodes of whose trouble a line is logged in a round."""
_log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The validator ends; never leaves this file."""


class Judge(Scorer, Protocol):
    """A scorer that may fail (``referee.Referee``)."""

    @property
    def broken(self) -> bool:
        """Whether what it said of this round is worth nothing."""

    def prepare(self) -> None:
        """Have it loaded, so that no round has to wait for that."""

    def begin(self) -> None:
        """A new round."""

    def score_until(self, seconds: float) -> None:
        """Let wait what is not scored ``seconds`` from now."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How nodes are asked: ``open`` gives a caller for a round, and what finds out prices."""

    open: Callable[[], AbstractContextManager[tuple[Caller, Fares | None]]]
    together: int = 32


@dataclass(frozen=True, slots=True)
class Place:
    """The validator's own place: the subnet's id and name, its uid, and its node."""

    subnet: int
    name: str
    uid: int
    node: Address


@dataclass(slots=True)
class _Former:
    """A round some of whose answers wait; ``keys`` are whom it asked."""

    round: Round
    keys: Mapping[int, Key]
    registered: Mapping[int, float]
    waiting: dict[int, int]


class Examiner:
    """One step looks at the clock, and holds this epoch's round when its time has come."""

    def __init__(
        self,
        chain: Chain,
        place: Place,
        documents: Documents,
        judge: Judge,
        *,
        epochs: Epochs,
        shelf: Shelf,
        reach: Reach,
        metrics: Metrics,
        chance: chances.Random,
        witness: Witness | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """``stop`` says that the validator ends: a round that is under way is given up then."""
        self._chain, self._place, self._documents, self._judge = chain, place, documents, judge
        self._epochs, self._shelf, self._reach, self._metrics = epochs, shelf, reach, metrics
        self._chance, self._witness, self._stop = chance, witness, stop
        self._themes = Themes(chain, place.subnet, place.node, epochs=epochs)
        self._former: list[_Former] = []
        self._drawn = (-1, 0.0)
        self._missed = self._blind = -1

    def step(self) -> None:
        """What the present moment asks for."""
        self._judge.prepare()  # it may take longer than an epoch leaves to ask
        now, epochs = self._chain.now(), self._epochs
        epoch = epochs.at(now)
        if epoch <= self._shelf.book.epoch:
            return
        if self._drawn[0] != epoch:
            self._drawn = (epoch, self._chance.random())
        if epochs.left_to_ask(now) <= 0:
            self._miss(epoch)
        elif epochs.age(now) >= max(epochs.asks_at(self._drawn[1]), self._themes.settled):
            self._begin(epoch)

    def _begin(self, epoch: int) -> None:
        """The round, unless the epoch has no theme yet: then the next step tries again."""
        self._blind = epoch
        theme = self._themes.of(epoch)
        if theme is None:
            return
        self._blind = -1
        self._check_task(epoch)
        try:
            self._hold(epoch, theme)
        except _StoppedError:
            _log.info("a round was given up", extra=fields(epoch=epoch))

    def _check_task(self, epoch: int) -> None:
        """ConflictError where the subnet asks for something else by now."""
        told = self._chain.subnet.task_at(self._place.subnet, epoch).schema
        if told != self._documents.schema.hash():
            raise ConflictError(
                f"{self._place.name} has another schema than the documents here",
                remedy="Fetch the subnet's documents anew, then start the validator again.",
            )

    def _miss(self, epoch: int) -> None:
        if self._missed != epoch:
            self._missed = epoch
            self._metrics.rounds.labels("missed").inc()
            late, blind = "it is too late to ask in this epoch", "its theme could not be read"
            reason = blind if self._blind == epoch else late
            _log.warning("no round", extra=fields(epoch=epoch, reason=reason))

    def _hold(self, epoch: int, theme: np.random.Generator) -> None:
        members = look(self._chain, self._place.subnet)
        asked = [m for m in members if m.serves and m.uid != self._place.uid]
        told, heard = self._told()
        found = self._examined(asked, epoch, theme)
        found = weighed(found, asked, told)
        # Whoever serves no more is forgotten with its uid; validators are not scored.
        book = self._shelf.book.folded(
            epoch, asked, found,
            half_life=self._documents.terms.half_life, now=self._chain.now(), heard=heard,
        )  # fmt: skip
        self._shelf.keep(book)
        ranked = sum(mark.standing > 0 for mark in book.marks)
        self._metrics.epoch.set(epoch)
        self._metrics.nodes.set(ranked)
        _log.info("scored", extra=fields(epoch=epoch, nodes=len(asked), above_zero=ranked))

    def _told(self) -> tuple[Told, int]:
        heard = self._shelf.book.heard
        if self._witness is None:
            return {}, heard
        return self._witness.told(self._place.name, after=heard)

    def _examined(
        self, asked: Sequence[Member], epoch: int, theme: np.random.Generator
    ) -> dict[Key, Judgement]:
        """What this round found, and what former ones found since."""
        self._judge.begin()
        absent = {m.key: _absent() for m in asked if not m.entry.endpoint}
        there = [m for m in asked if m.entry.endpoint]
        if not there:
            return absent
        now, former = self._held(there, epoch, theme)
        later = self._later({m.key for m in asked})
        self._remember(former)
        if self._judge.broken:
            self._metrics.rounds.labels("broken").inc()
            _log.error("the scorer is broken: nobody's score changes", extra=fields(epoch=epoch))
            return {key: _unknown(each) if each.answered else each for key, each in now.items()}
        self._metrics.rounds.labels("held").inc()
        return absent | {key: _merged(each, later.get(key, ())) for key, each in now.items()}

    def _held(
        self, there: Sequence[Member], epoch: int, theme: np.random.Generator
    ) -> tuple[dict[Key, Judgement], _Former]:
        terms, epochs = self._documents.terms, self._epochs
        round_ = Round.plan(
            self._judge,
            [member.uid for member in there],
            random=np.random.default_rng(self._chance.getrandbits(128)),
            theme=theme,
            forms=self._documents.forms,
            terms=terms,
        )
        left = epochs.left_to_ask(self._chain.now())
        spread = min(epochs.spread, left / 2)
        pace = Pace(terms.seconds, max(left, 1.0), spread, self._reach.together)
        asyncio.run(self._ask(round_, there, pace))
        self._judge.score_until(max(epochs.left_to_score(self._chain.now()), 1.0))
        keys = {member.uid: member.key for member in there}
        book, now = self._shelf.book, self._chain.now()
        begun = epochs.start(book.epoch)
        registered = {each.uid: book.came(each, begun=begun, now=now) for each in there}
        found = round_.judge(registered, self._past(keys), self._accused(keys))
        if len(found) >= CUT_OFF and not any(each.answered for each in found.values()):
            _log.error("nobody answers", extra=fields(epoch=epoch, remedy="Check the network."))
            found = {uid: _unknown(each) for uid, each in found.items()}
        self._report(epoch, found)
        former = _Former(round_, keys, registered, _waiting(found))
        return {keys[uid]: each for uid, each in found.items()}, former

    async def _ask(self, round_: Round, there: Sequence[Member], pace: Pace) -> None:
        nodes = {member.uid: member.candidate() for member in there}
        with self._reach.open() as (caller, fares):
            questioner = Questioner(caller, nodes, subnet=self._place.name, pace=pace, fares=fares)
            try:
                if not await self._watched(asyncio.ensure_future(questioner.ask(round_))):
                    _log.warning("the time to ask was too short", extra=fields(nodes=len(nodes)))
            finally:
                self._metrics.questions.inc(questioner.asked)
                caller.close()

    async def _watched(self, work: asyncio.Future[bool]) -> bool:
        while not work.done():
            await asyncio.wait([work], timeout=LOOK_SECONDS)
            if self._stop():
                work.cancel()
                await asyncio.wait([work])
                raise _StoppedError
        return work.result()

    def _past(self, keys: Mapping[int, Key]) -> dict[int, Past]:
        past = self._shelf.book.past()
        return {uid: past.get(key, ()) for uid, key in keys.items()}

    def _accused(self, keys: Mapping[int, Key]) -> dict[int, int]:
        """Who was called a copy in the last round, by uid with the one it answered like."""
        accused = self._shelf.book.accused()
        return {uid: accused[key] for uid, key in keys.items() if key in accused}

    # --- truths that come later ------------------------------------------------------------------

    def _remember(self, former: _Former) -> None:
        if any(former.waiting.values()):
            self._former = [*self._former, former][-WAITING:]

    def _later(self, present: set[Key]) -> dict[Key, list[Judgement]]:
        """What former rounds know by now that they did not know before, of those still there."""
        found: dict[Key, list[Judgement]] = {}
        for former in self._former:
            judged = former.round.judge(
                former.registered, self._past(former.keys), self._accused(former.keys)
            )
            for uid, each in judged.items():
                key = former.keys[uid]
                if each.waiting < former.waiting[uid] and key in present:
                    found.setdefault(key, []).append(each)
            former.waiting = _waiting(judged)
        self._former = [each for each in self._former if any(each.waiting.values())]
        return found

    def _report(self, epoch: int, found: Mapping[int, Judgement]) -> None:
        bad = [(uid, each) for uid, each in found.items() if each.score == 0]
        for uid, each in bad[:LOGGED]:
            told = fields(epoch=epoch, uid=uid, reasons=dict(each.reasons))
            _log.info("a node scores nothing", extra=told)


def _waiting(found: Mapping[int, Judgement]) -> dict[int, int]:
    return {uid: each.waiting for uid, each in found.items()}


def _merged(now: Judgement, later: Sequence[Judgement]) -> Judgement:
    """This round's judgement, with the mean of all scores that are new."""
    scores = [each.score for each in (now, *later) if each.score is not None]
    if not later or not scores or now.score == 0:
        return now
    quality = now.quality if now.quality is not None else later[-1].quality
    return replace(now, score=sum(scores) / len(scores), quality=quality)


def _unknown(judged: Judgement) -> Judgement:
    return replace(judged, score=None)


def _absent() -> Judgement:
    return Judgement(0.0, 0.0, asked=0, answered=0, reasons={"announces no endpoint": 1})
