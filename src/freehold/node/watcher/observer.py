"""A watcher's part in the agreed status: it looks, commits, reveals, settles and triggers.

What a round is committed to is kept durably before the commit, so a restart reveals it all the
same. Threats and what meets them: services that lie or keep evidence back - only what devices
signed counts, and of a device that no service answers for nothing is told; a watcher that is cut
off - it tells nothing of nodes where none answers; floods of nodes, devices and rules - all
bounded, and each round another part of them is looked at, the same by all watchers; rules that
cost watchers gas - few triggers a round.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from freehold.client.connection import Peer
from freehold.control.consensus import Observation, digest
from freehold.domain import aspects
from freehold.domain.errors import InsufficientFundsError, IntegrityError, RefusedError
from freehold.domain.ids import Address
from freehold.ledger.contracts.base import convert_list
from freehold.ledger.contracts.registry import WATCHER
from freehold.ledger.contracts.status import Member, Seat
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import View
from freehold.node.logs import fields
from freehold.node.watcher.observe import field, honesty
from freehold.node.watcher.observe.choosing import REFRESH, Pair, Terms, choose, pair
from freehold.node.watcher.observe.field import Field, Watched, Wish
from freehold.node.watcher.observe.honesty import Measure, Seen, Span
from freehold.node.watcher.observe.reach import Reach
from freehold.node.watcher.observe.rounds import PROBES, Rounds, draw
from freehold.node.watcher.observe.settler import Settler, standing
from freehold.node.watcher.observe.trigger import Trigger
from freehold.node.watcher.observe.vault import Sealed, Vault

SPEEDS, DEVICES = 8, 64
"""Nodes whose speed and devices whose evidence is looked at in a round."""
PROBES_LEAST = 3
"""Probes before a share is told."""
SLOWEST_PROBE = 5.0
_log = logging.getLogger(__name__)


class Witness(Protocol):
    """Hands out what devices signed."""

    def gather(
        self,
        devices: Sequence[Watched],
        services: Sequence[Peer],
        span: Span,
        *,
        go_on: Callable[[], bool],
    ) -> dict[Address, list[bytes]]:
        """The batches of devices, but for those of which nobody can say."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """How a watcher sees: probes of nodes, speeds of nodes, evidence of devices and its measure."""

    reach: Reach
    speeds: Callable[[Iterable[Address]], dict[Address, int]]
    evidence: Witness
    measure: Measure = honesty.measure


class Observer:
    """One step looks at the clock and does what is due; ``random`` gives bytes for the salt."""

    def __init__(
        self,
        ledger: Ledger,
        watcher: Address,
        *,
        eyes: Eyes,
        vault: Vault,
        random: Callable[[int], bytes],
        refresh: int = REFRESH,
    ) -> None:
        self._ledger, self._watcher = ledger, watcher
        self._eyes, self._vault, self._random, self._refresh = eyes, vault, random, refresh
        self._rounds = rounds = Rounds.of(ledger.status)
        self._settler = Settler(ledger, watcher, rounds)
        self._trigger = Trigger(ledger, watcher, rounds)
        self._sealed = self._load()
        self._round = -1
        self._field = Field()
        self._mine: frozenset[Address] = frozenset()
        self._looked = self._asked_in = -1
        self._unheard: set[Observation] = set()

    def step(self) -> None:
        """What the present moment asks for."""
        now = self._ledger.now()
        if self._rounds.at(now) != self._round:
            self._begin(now)
        if self._rounds.is_first_half(now):
            self._settler.step(now)
            self._watch(now)
        else:
            self._reveal()
            self._enter()
        self._trigger.step(self._field.wishes, now)

    def _load(self) -> Sealed | None:
        try:
            return self._vault.load()
        except IntegrityError as error:
            _log.error("observed", extra=fields(reason=error.message, remedy=error.remedy))
            return None

    def _begin(self, now: int) -> None:
        """A new round: what there is to watch, and of whom this watcher sits in the committee."""
        number = self._rounds.at(now)
        self._ledger.index.sync()
        self._field = field.look(self._ledger, now=now)
        subjects = {peer.node for peer in self._field.nodes} | set(self._field.devices)
        subjects |= {wish.terms.subject for wish in self._field.wishes}
        self._mine = frozenset(self._seated(number, sorted(subjects)))
        self._eyes.reach.begin()
        self._round = number

    def _seated(self, number: int, subjects: Sequence[Address]) -> Iterator[Address]:
        views = [View("status", "committee", (number, subject)) for subject in subjects]
        for subject, answer in zip(subjects, self._ledger.call_many(views), strict=True):
            if any(seat.watcher == self._watcher for seat in convert_list(Seat, answer)):
                yield subject

    # --- the first half --------------------------------------------------------------------------

    def _watch(self, now: int) -> None:
        """Probe; when it is time commit to what was seen, or to what was kept before a crash."""
        if not self._mine or self._looked == self._round:
            return
        if self._sealed is not None and self._sealed.round == self._round:
            self._commit(self._sealed)
        elif not self._rounds.is_commit_time(now):
            self._probe(self._rounds.probes_due(now))
            return
        else:
            self._probe(PROBES_LEAST)
            self._seal(self._told())
        self._looked = self._round

    def _probe(self, count: int) -> None:
        """Probe nodes until each was probed so often in this round."""
        nodes = [peer for peer in self._field.nodes if peer.node in self._mine]
        seconds = min(SLOWEST_PROBE, self._rounds.length / (PROBES * 8))
        for _ in range(count - self._eyes.reach.probes):
            self._eyes.reach.probe(nodes, seconds=seconds)

    def _told(self) -> tuple[Observation, ...]:
        wishes: dict[Pair, list[Wish]] = {}
        for wish in self._field.wishes:
            wishes.setdefault(wish.about, []).append(wish)
        seen = [*self._nodes(), *self._devices(wishes)]
        stands = standing(self._ledger, map(pair, seen))
        seen = [each for each in seen if each not in self._unheard or stands[pair(each)].agreed.at]
        return choose(seen, stands, wishes, Terms(self._rounds, self._round, self._refresh))

    def _nodes(self) -> Iterator[Observation]:
        shares = self._eyes.reach.shares()
        for node, share in shares.items():
            yield Observation(node, aspects.REACHABLE, share)
        heard = [node for node, share in shares.items() if share]
        chosen = sorted(heard, key=lambda node: draw(self._round, node))[:SPEEDS]
        in_time = takewhile(lambda _: self._in_time(), chosen)
        for node, speed in self._eyes.speeds(in_time).items():
            yield Observation(node, aspects.SPEED, speed)

    def _devices(self, wishes: Iterable[Pair]) -> Iterator[Observation]:
        asked = set(wishes)
        self._unheard.clear()
        for device, seen in self._measured({subject for subject, _ in asked}).items():
            honest = Observation(device, aspects.HONEST, seen.honest)
            if seen.silent:
                self._unheard.add(honest)
            yield honest
            for subject, aspect in asked:
                metric = aspects.metric_of(aspect)
                if subject == device and metric in seen.readings:
                    yield Observation(device, aspect, seen.readings[metric])

    def _measured(self, ruled: set[Address]) -> dict[Address, Seen]:
        """What devices are and measure in the round before: those that rules ask for, and each
        round others."""
        known = [device for device in self._field.devices if device in self._mine]
        known.sort(key=lambda device: (device not in ruled, draw(self._round, device)))
        chosen = [self._field.devices[device] for device in known[:DEVICES]]
        span, services = self._span(), self._field.services
        evidence = self._eyes.evidence.gather(chosen, services, span, go_on=self._in_time)
        devices = {each.device: each for each in chosen}
        return self._eyes.measure(evidence, devices, self._ledger.network.network_id, span)

    def _in_time(self) -> bool:
        """Whether what is seen now can still be committed to in this round."""
        now = self._ledger.now()
        return self._rounds.at(now) == self._round and self._rounds.can_commit(now)

    def _span(self) -> Span:
        start = self._rounds.start
        return Span(*(1000 * start(self._round - ago) for ago in (2, 1, 0)))

    def _seal(self, told: tuple[Observation, ...]) -> None:
        if told:
            self._sealed = Sealed(self._round, self._random(32), told)
            self._vault.keep(self._sealed)
            self._commit(self._sealed)

    def _commit(self, sealed: Sealed) -> None:
        bound = digest(
            sealed.told,
            chain_id=self._ledger.network.chain_id,
            contract=self._ledger.status.address,
            round_number=sealed.round,
            watcher=self._watcher,
            salt=sealed.salt,
        )
        try:
            self._ledger.status.commit(bound)
        except InsufficientFundsError:
            raise
        except RefusedError as error:
            # It came before a crash, the half ended on the way, or the watcher left.
            _log.debug("commit", extra=fields(round=sealed.round, refused=error.message))

    # --- the second half -------------------------------------------------------------------------

    def _reveal(self) -> None:
        sealed = self._sealed
        if sealed is None or sealed.round != self._round or sealed.revealed:
            return
        columns = zip(*((of.subject, of.aspect, of.value) for of in sealed.told), strict=True)
        subjects, names, values = columns
        try:
            receipt = self._ledger.status.reveal(sealed.salt, subjects, names, values)
            _log.info(
                "revealed",
                extra=fields(round=sealed.round, values=len(values), transaction=receipt.hash),
            )
        except InsufficientFundsError:
            raise
        except RefusedError as error:
            # It was told before a crash, or the commit came too late.
            _log.warning("reveal", extra=fields(round=sealed.round, refused=error.message))
        self._sealed = Sealed(sealed.round, sealed.salt, sealed.told, revealed=True)
        self._vault.keep(self._sealed)

    def _enter(self) -> None:
        """Once a round: become a member, or have one's stake recorded before its record lapses."""
        if self._asked_in == self._round:
            return
        member = self._member()
        try:
            if member is None or member.left_at:
                self._join()
            elif self._is_lapsing():
                self._ledger.status.refresh(self._watcher)
        except InsufficientFundsError:
            raise
        except RefusedError as error:
            _log.warning("join", extra=fields(watcher=self._watcher, refused=error.message))
        self._asked_in = self._round

    def _join(self) -> None:
        ledger = self._ledger
        if not ledger.registry.active(self._watcher, WATCHER):
            return
        if ledger.staking.own(self._watcher) < ledger.status.parameters().least_stake:
            return
        receipt = ledger.status.join()
        joined = bool(receipt.named("Joined"))
        _log.info("joins", extra=fields(watcher=self._watcher, member=joined))

    def _member(self) -> Member | None:
        try:
            return self._ledger.status.member(self._watcher)
        except RefusedError:
            return None

    def _is_lapsing(self) -> bool:
        """Whether the last record of stake is older than half of the time for which it counts."""
        ledger = self._ledger
        last = ledger.index.last("status", "Recorded", where={"watcher": self._watcher})
        period = ledger.staking.unbonding_period()
        return last is None or last.time + period // 2 < ledger.now()
