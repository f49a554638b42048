"""Putting one object: nodes chosen, columns sent, acceptances gathered, the deal opened.

Every step is journaled before its effect, so that a put whose process died is finished or
cleaned by the next: nothing is acknowledged before the chain has the deal, and none opens twice.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256

from freehold.client import accepting
from freehold.client.accepting import UploadChannel
from freehold.client.catalog import Catalog, Page
from freehold.client.chain import Chain, Opened
from freehold.client.journal import Intent, Journal, Leg
from freehold.client.peers import Peers
from freehold.client.placing import Placing
from freehold.client.quote import stake_needed
from freehold.client.reserving import Reservations
from freehold.client.session import LostError
from freehold.client.source import Source, changed
from freehold.client.timing import Timing
from freehold.client.upload import Blueprint, Progress, Sealer, silent, spread
from freehold.control.placement import Candidate
from freehold.domain.buffers import Buffers
from freehold.domain.errors import (
    CapacityError,
    ConflictError,
    FreeholdError,
    InsufficientFundsError,
    RefusedError,
    UnavailableError,
)
from freehold.domain.ids import Address, address
from freehold.ledger.contracts.storage import Acceptance, Mandate, OpenRequest
from freehold.markets.storage.column import PREFIX_LENGTH, ColumnLayout
from freehold.markets.storage.piece import Piece, parse_cid
from freehold.markets.storage.seal import open_box, seal_box

ROUNDS = 4
"""How often columns whose node failed are sent anew to spare nodes."""
Then = Callable[[Intent], None]
"""What the end of a put brings about."""


def _nothing(_: Intent) -> None:
    return


@dataclass(frozen=True, slots=True)
class Draft:
    """An object to put: ``name`` and ``fingerprint`` say what, for the journal and in errors."""

    name: str
    fingerprint: str
    blueprint: Blueprint = field(repr=False)
    term_end: int


@dataclass(slots=True)
class _Work:
    """A put under way: which node each column goes to, what it has come to, and ``then``."""

    draft: Draft
    legs: dict[int, Leg]
    spares: list[Candidate]
    pieces: dict[int, Piece] = field(default_factory=dict)
    acceptances: dict[int, Acceptance] = field(default_factory=dict)
    failures: list[FreeholdError] = field(default_factory=list)
    repair_fee: int = 0
    then: Then = _nothing


class Putter:
    """Puts objects of one account; safe to use from several threads."""

    def __init__(
        self,
        chain: Chain,
        peers: Peers,
        journal: Journal,
        catalog: Catalog,
        placing: Placing,
        reservations: Reservations,
        *,
        buffers: Buffers,
        secret: bytes,
        random: Callable[[int], bytes],
        owner: int,
    ) -> None:
        self._placing, self._reservations, self._owner = placing, reservations, owner
        self._buffers = buffers
        self._chain, self._peers = chain, peers
        self._journal, self._catalog = journal, catalog
        self._secret, self._random, self._policy = secret, random, placing.policy

    def put(
        self,
        source: Source,
        draft: Draft,
        *,
        timing: Timing,
        progress: Progress = silent,
        then: Then = _nothing,
    ) -> tuple[Intent, Opened]:
        """Store an object; returns once the chain has its deal, and ``then`` was done in the
        transaction of the journal that forgets the put.

        While nodes are chosen the first segments are read and sealed. InsufficientFundsError
        carries the quote and comes before anything is sent.
        """
        blueprint = draft.blueprint
        with ExitStack() as stack:
            sealer = stack.enter_context(self._sealer(source, draft, timing))
            term = draft.term_end - self._chain.now()
            placement = self._placing.plan(blueprint.layout, term=term, seed=blueprint.object_id)
            quote = self._placing.quote(source.size, blueprint.layout, term, placement)
            with self._reservations.holding(blueprint.object_id, quote):
                legs = {slot: Leg(slot, node.node) for slot, node in enumerate(placement.chosen)}
                intent = self._intent(draft)
                self._journal.save_intent(intent, list(legs.values()))
                work = _Work(draft, legs, list(placement.spares), repair_fee=quote.repair_fee)
                work.then = then
                rising = _Rising(progress, work)
                self._send(work, source, sealer, rising)
                stack.close()
                return intent, self._complete(work, source, timing, rising)

    def resume(
        self,
        intent: Intent,
        source: Source,
        *,
        timing: Timing,
        progress: Progress = silent,
        then: Then = _nothing,
    ) -> Opened:
        """Finish a put that another process left; ``source`` must be what it stored. ``then`` as
        for ``put``.

        ConflictError when the bytes are others: their key must never seal anything else.
        """
        deal = self._chain.find(intent.object_id)
        if deal is not None:
            return self._settle(intent, Opened(deal, "", 0, 0), then)
        if source.fingerprint() != intent.source:
            raise ConflictError(
                f"{intent.name} changed since it was being stored",
                remedy="Put it again as a new version; what was sent is dropped.",
            )
        work = self._revive(intent)
        work.then = then
        if intent.state == "opening":
            if self._usable(work):
                return self._open(work, again=True)
            work.acceptances.clear()
            self._journal.set_state(intent.object_id, "sending")
        return self._complete(work, source, timing, _Rising(progress, work))

    def reopen(self, intent: Intent) -> Opened | None:
        """End an intent without its bytes: the deal when it opened or can, None when it never did.

        None means that no transaction of it is or can come on its way.
        """
        deal = self._chain.find(intent.object_id)
        if deal is not None:
            ended = self._chain.deal(deal).closed_at > 0
            return self._settle(intent, Opened(deal, "", 0, 0), _nothing, ended=ended)
        if intent.state != "opening":
            return None
        work = self._revive(intent)
        return self._open(work, again=True) if self._usable(work) else None

    def abandon(self, intent: Intent) -> None:
        """Drop a put that never opened: its uploads are given up, its key never used again."""
        for leg in self._journal.legs(intent.object_id).values():
            self._discard(leg)
        self._journal.drop_intent(intent.object_id)
        self._reservations.free(intent.object_id)

    def _usable(self, work: _Work) -> bool:
        """Whether an opening with these acceptances may still pass: none has expired."""
        return min(a.deadline for a in work.acceptances.values()) >= self._chain.now()

    def _intent(self, draft: Draft) -> Intent:
        blueprint = draft.blueprint
        secret = seal_box(
            blueprint.key, key=self._secret, bound=blueprint.object_id, random=self._random
        )
        return Intent(
            blueprint.object_id,
            draft.name,
            draft.fingerprint,
            blueprint.head,
            secret,
            draft.term_end,
            self._chain.now(),
            owner=self._owner,
        )

    def _revive(self, intent: Intent) -> _Work:
        key = open_box(intent.secret, key=self._secret, bound=intent.object_id)
        if key is None:
            raise ConflictError(
                f"the journal's record of {intent.name} is of another account",
                remedy="Use the wallet that began the put.",
            )
        layout = ColumnLayout.parse(intent.head[:PREFIX_LENGTH])
        blueprint = Blueprint(layout, intent.head[PREFIX_LENGTH:], intent.object_id, key)
        draft = Draft(intent.name, intent.source, blueprint, intent.term_end)
        legs = self._journal.legs(intent.object_id)
        work = _Work(draft, legs, [], repair_fee=self._placing.repair_fee(layout.n))
        for slot, leg in legs.items():
            if leg.cid:
                work.pieces[slot] = parse_cid(leg.cid)
            if leg.acceptance:
                work.acceptances[slot] = _saved(leg)
        return work

    def _complete(self, work: _Work, source: Source, timing: Timing, rising: _Rising) -> Opened:
        for _ in range(ROUNDS):
            self._each(self._accept_known, work, self._open_slots(work))
            if not self._open_slots(work):
                try:
                    return self._open(work)
                except RefusedError as error:
                    self._move_barred(work, error)
                    continue
            with self._sealer(source, work.draft, timing) as sealer:
                self._send(work, source, sealer, rising)
        if not self._open_slots(work):
            return self._open(work)
        raise self._gave_up(work)

    def _sealer(self, source: Source, draft: Draft, timing: Timing) -> Sealer:
        return Sealer(source, draft.blueprint, self._buffers, timing=timing)

    def _send(self, work: _Work, source: Source, sealer: Sealer, rising: _Rising) -> None:
        """Send every column that is not accepted yet; those that fail move to other nodes."""
        if source.fingerprint() != work.draft.fingerprint:
            raise changed(work.draft.name)
        missing = self._open_slots(work)
        outcomes = spread(
            sealer,
            missing,
            partial(self._channels, work, missing, sealer),
            then=partial(self._finish, work),
            progress=rising.tell,
        )
        for slot, outcome in outcomes.items():
            if outcome.error is not None:
                self._move(work, slot, outcome.error)

    def _open_slots(self, work: _Work) -> list[int]:
        return [slot for slot in work.legs if slot not in work.acceptances]

    def _each(self, step: Callable[[_Work, int], None], work: _Work, slots: list[int]) -> None:
        """``step`` for every slot at once; a column that fails moves to a spare node."""
        with ThreadPoolExecutor(max(1, len(slots))) as pool:
            futures = {slot: pool.submit(step, work, slot) for slot in slots}
        for slot, future in futures.items():
            error = future.exception()
            if isinstance(error, FreeholdError):
                self._move(work, slot, error)
            elif error is not None:
                raise error

    def _accept_known(self, work: _Work, slot: int) -> None:
        """A resumed column whose piece may be complete on its node: ask before sending again."""
        leg = work.legs[slot]
        if not leg.cid:
            return
        try:
            self._accept(work, slot, parse_cid(leg.cid))
        except FreeholdError:
            self._keep(work, replace(leg, cid=""))

    def _channels(self, work: _Work, slots: list[int], sealer: Sealer) -> dict[int, UploadChannel]:
        """An upload for every slot; nodes that refuse one are replaced while spares last."""
        channels: dict[int, UploadChannel] = {}

        def prepare(_: _Work, slot: int) -> None:
            channels[slot] = self._channel(work, slot)

        for _ in range(ROUNDS):
            left = [slot for slot in slots if slot not in channels]
            if not left or sealer.given_up:
                return channels
            self._each(prepare, work, left)
        if len(channels) == len(slots):
            return channels
        raise self._gave_up(work)

    def _channel(self, work: _Work, slot: int) -> UploadChannel:
        leg = work.legs[slot]
        session = self._peers.session(address(leg.node))
        if leg.upload:
            path = f"/upload/{leg.upload}"
            try:
                return UploadChannel(session, path, session.offset(path))
            except FreeholdError:
                leg = replace(leg, upload="", cid="")
        upload = accepting.begin(session, work.draft.blueprint.layout.total)
        self._keep(work, replace(leg, upload=upload))
        return UploadChannel(session, f"/upload/{upload}")

    def _finish(self, work: _Work, slot: int, piece: Piece) -> None:
        """Make a column that was sent whole a piece of its node, and get it accepted."""
        leg = work.legs[slot]
        session = self._peers.session(address(leg.node))
        self._keep(work, replace(leg, cid=piece.cid))
        accepting.finish(session, leg.upload, piece.cid)
        self._accept(work, slot, piece)

    def _accept(self, work: _Work, slot: int, piece: Piece) -> None:
        leg = work.legs[slot]
        acceptance = accepting.accept(
            self._peers.session(address(leg.node)),
            self._chain.network,
            parties=accepting.own(self._chain, self._chain.network.contracts["token"]),
            piece=piece,
            term_end=work.draft.term_end,
            now=self._chain.now(),
        )
        if acceptance.price > self._policy.max_price:
            raise UnavailableError(
                f"node {leg.node} raised its price to {acceptance.price}",
                remedy="Another node is asked.",
            )
        work.pieces[slot], work.acceptances[slot] = piece, acceptance
        self._keep(work, replace(leg, acceptance=accepting.render_acceptance(acceptance)))

    def _keep(self, work: _Work, leg: Leg) -> None:
        work.legs[leg.slot] = leg
        self._journal.save_leg(work.draft.blueprint.object_id, leg)

    def _move(self, work: _Work, slot: int, error: FreeholdError) -> None:
        """Give a column to the best spare; raises ``error`` when no node is left."""
        work.failures.append(error)
        self._discard(work.legs[slot])
        try:
            spares = work.spares or self._more_spares(work)
        except CapacityError as none_left:
            if not isinstance(error, LostError):
                raise error from none_left
            self._keep(work, Leg(slot, work.legs[slot].node))
            return
        work.spares = spares[1:]
        self._keep(work, Leg(slot, spares[0].node))

    def _move_barred(self, work: _Work, error: RefusedError) -> None:
        """Give columns of nodes that may take nothing new any more to others, if that is why."""
        barred = self._placing.barred()
        moving = [slot for slot, leg in work.legs.items() if leg.node in barred]
        if not moving or isinstance(error, InsufficientFundsError):
            raise error
        self._journal.set_state(work.draft.blueprint.object_id, "sending")
        for slot in moving:
            del work.acceptances[slot]
            self._move(work, slot, error)

    def _more_spares(self, work: _Work) -> list[Candidate]:
        """Nodes of other owners, for a put whose list of spares ran out or died with a process."""
        blueprint = work.draft.blueprint
        used = frozenset(address(leg.node) for leg in work.legs.values())
        term = work.draft.term_end - self._chain.now()
        return self._placing.spares(
            blueprint.layout, term=term, seed=blueprint.object_id, used=used
        )

    def _discard(self, leg: Leg) -> None:
        """Give an upload's room back; a node that cannot be told lets it expire by itself."""
        if not leg.upload:
            return
        try:
            self._peers.session(address(leg.node)).ask("DELETE", f"/upload/{leg.upload}")
        except FreeholdError:
            return

    def _open(self, work: _Work, *, again: bool = False) -> Opened:
        object_id = work.draft.blueprint.object_id
        if not again:
            self._renew_acceptances(work)
        request, acceptances = self._request(work), [work.acceptances[s] for s in sorted(work.legs)]
        self._journal.set_state(object_id, "opening")
        seal = sha256(b"".join(a.signature for a in acceptances)).hexdigest()[:16]
        tag = f"open:{object_id.hex()}:{seal}"
        opened = self._chain.open(request, acceptances, tag=tag)
        return self._settle(self._intent(work.draft), opened, work.then)

    def _renew_acceptances(self, work: _Work) -> None:
        """Ask again for acceptances that are about to run out."""
        limit = self._chain.now() + accepting.MARGIN
        for slot, acceptance in list(work.acceptances.items()):
            if acceptance.deadline < limit:
                self._accept(work, slot, work.pieces[slot])

    def _request(self, work: _Work) -> OpenRequest:
        layout = work.draft.blueprint.layout
        dearest = max(a.price for a in work.acceptances.values())
        pieces = [work.pieces[slot] for slot in sorted(work.legs)]
        policy = self._policy
        return OpenRequest(
            object_id=work.draft.blueprint.object_id,
            token=self._chain.network.contracts["token"],
            k=layout.k,
            size=layout.total,
            height=pieces[0].height,
            roots=tuple(piece.root for piece in pieces),
            mandate=Mandate(
                max_price=dearest * policy.headroom_bps // 10_000,
                min_stake=stake_needed(layout.total, self._chain.terms()),
                per_owner=policy.per_owner,
                expiry=work.draft.term_end,
                repair_fee=work.repair_fee,
                repairs=policy.repairs,
            ),
            locator=b"",
        )

    def _settle(self, intent: Intent, opened: Opened, then: Then, *, ended: bool = False) -> Opened:
        """The deal is on the chain: list the object, unless the deal has ``ended`` since, then
        forget how it got there."""
        if not ended:
            self._catalog.add(Page(intent.object_id, opened.deal, intent.head))
        with self._journal.write():
            self._journal.drop_pack(intent.object_id)
            then(intent)
            self._journal.drop_intent(intent.object_id)
            self._reservations.free(intent.object_id)
        return opened

    def _gave_up(self, work: _Work) -> UnavailableError:
        reasons = "; ".join(error.message for error in work.failures[-3:])
        return UnavailableError(
            f"{work.draft.name} could not be placed on {len(work.legs)} nodes: {reasons}",
            remedy="Put it again: what was sent is kept for a while and is not sent twice.",
        )


class _Rising:
    """Progress of a put whose columns may be sent more than once: it never goes back."""

    def __init__(self, progress: Progress, work: _Work) -> None:
        self._progress, self._most = progress, 0
        self._total = work.draft.blueprint.layout.total * len(work.legs)

    def tell(self, done: int, of: int) -> None:
        """``done`` of the ``of`` bytes that are still to be sent."""
        self._most = max(self._most, self._total - of + done)
        self._progress(self._most, self._total)


def _saved(leg: Leg) -> Acceptance:
    import json

    node: Address = address(leg.node)
    return accepting.parse_acceptance(json.loads(leg.acceptance), node)
