"""The way from a request to an answer of one of a subnet's nodes; for one event loop.

Threats: nodes that hang, lie, answer garbage, change their price, or are not who they say (each
attempt is bounded, checked and pinned, the next node takes over); a caller that asks for more than
the nodes bear (requests under way and waiting are bounded); a crash (what was signed is on disk).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import monotonic

from freehold.client.asking.caller import Call, Caller, Reply
from freehold.client.asking.candidate import (
    CANDIDATES_MAX,
    ONE,
    Agreement,
    Candidate,
    Effort,
    Limits,
    Ranking,
)
from freehold.client.asking.choice import by_merit, field, order
from freehold.client.asking.inputs import tensors
from freehold.client.asking.journal import Journal
from freehold.client.asking.measured import Measures
from freehold.client.asking.purse import Purse
from freehold.client.asking.race import Finish, Note, Race
from freehold.client.asking.refusals import (
    CrowdedError,
    DeadlineError,
    NobodyError,
    TooDearError,
)
from freehold.client.asking.scribe import Scribe
from freehold.client.asking.spots import NONE, Canaries, Shares, Spots
from freehold.domain.money import show
from freehold.markets.models.tensor import Request, encode_request

UNDER_WAY, WAITING = 256, 1_024
RANKINGS = 256
"""Subnets whose nodes are kept in order."""
BINARY = 4_096
"""Bytes of inputs from which they are sent as bytes instead of lists."""


class Router:
    """Asks the nodes that ``ranking`` knows; close it at the end, in its loop."""

    def __init__(
        self,
        ranking: Ranking,
        caller: Caller,
        *,
        journal: Journal | None = None,
        purse: Purse | None = None,
        chance: random.Random,
        shares: Shares = NONE,
        canaries: Canaries | None = None,
        under_way: int = UNDER_WAY,
        waiting: int = WAITING,
    ) -> None:
        """``purse`` is the one of ``caller``; it and ``journal`` are closed with the router.
        ``chance`` draws nodes and checks."""
        self._ranking, self._caller = ranking, caller
        self._purse, self._journal, self._chance = purse, journal, chance
        self.measures = Measures()
        self._scribe = Scribe(journal)
        self._spots = Spots(
            caller,
            self.measures,
            scribe=self._scribe,
            shares=shares,
            chance=chance,
            canaries=canaries,
        )
        self._room = asyncio.Semaphore(under_way)
        self._open, self._most = 0, under_way + waiting
        self._ranked: dict[tuple[str, Limits], tuple[Sequence[Candidate], list[Candidate]]] = {}

    async def ask(
        self,
        subnet: str,
        inputs: Mapping[str, object],
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        effort: Effort = Effort(),  # noqa: B008 - frozen
        agreement: Agreement = ONE,
    ) -> Reply:
        """The answer of a node of ``subnet`` to ``inputs`` (arrays or lists by name).

        UsageError and kin where the inputs do not fit, an UnansweredError where none came of it,
        CrowdedError.
        """
        request = Request(tensors(inputs, self._ranking.schema(subnet)))
        return await self.route(subnet, request, limits=limits, effort=effort, agreement=agreement)

    async def route(
        self,
        subnet: str,
        request: Request,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        effort: Effort = Effort(),  # noqa: B008 - frozen
        agreement: Agreement = ONE,
    ) -> Reply:
        """As ``ask``, for a request of the protocol; its id and choice of outputs stay here."""
        if self._open >= self._most:
            raise CrowdedError(
                f"{self._open} requests are under way and waiting",
                remedy="Ask less at once, or try again in a moment.",
            )
        self._open += 1
        try:
            call = self._call(subnet, request)
            return await self._admitted(call, limits, effort, agreement)
        finally:
            self._open -= 1

    async def settle(self) -> None:
        """Wait for spot checks under way, and for what was seen to be on the disk."""
        await self._spots.settle()
        await self._scribe.settle()

    async def close(self) -> None:
        """End checks and connections, write down what was seen and signed."""
        await self._spots.close()
        self._caller.close()
        await self._scribe.settle()
        for file in (self._purse, self._journal):
            if file is not None:
                await asyncio.to_thread(file.close)

    def _call(self, subnet: str, request: Request) -> Call:
        schema = self._ranking.schema(subnet)
        if schema is not None:
            schema.check_inputs(request.inputs)
        size = sum(len(tensor.data) for tensor in request.inputs)
        # Nodes see one form, whoever asks: a check must not look different from a user's request,
        # and all outputs are compared.
        sent = replace(request, id="", outputs=(), binary_output=size >= BINARY)
        return Call(subnet, encode_request(sent, binary=size >= BINARY), schema)

    async def _admitted(
        self, call: Call, limits: Limits, effort: Effort, agreement: Agreement
    ) -> Reply:
        began = monotonic()
        try:
            async with asyncio.timeout(effort.deadline):
                await self._room.acquire()
        except TimeoutError as error:
            raise DeadlineError(
                f"no room for a request in {effort.deadline:g} seconds",
                remedy="Ask less at once, or allow more time.",
            ) from error
        try:
            left = max(effort.deadline - (monotonic() - began), 1e-3)
            ranked = self._candidates(call.subnet, limits, agreement)
            finish = await self._race(call, ranked, replace(effort, deadline=left), agreement)
        finally:
            self._room.release()
        self._spots.after(call, finish, ranked, agreement)
        return finish.reply

    def _candidates(self, subnet: str, limits: Limits, agreement: Agreement) -> list[Candidate]:
        """Those that the caller admits, the best first."""
        known = self._ranking.candidates(subnet)
        key = (subnet, limits)
        kept = self._ranked.get(key)
        if kept is None or kept[0] is not known:
            admitted = [each for each in known[:CANDIDATES_MAX] if limits.admits(each)]
            kept = (known, by_merit(admitted))
            if len(self._ranked) >= RANKINGS:
                self._ranked.clear()
            self._ranked[key] = kept
        if not kept[1]:
            raise self._nobody(subnet, known, limits)
        parties = len({each.party for each in kept[1]}) if agreement.quorum.n > 1 else 1
        if parties < agreement.quorum.k:
            raise NobodyError(
                f"{subnet} has nodes of {parties} owner{'s' * (parties != 1)}, and "
                f"{agreement.quorum.k} of different owners are to agree",
                remedy="Ask for agreement of fewer (--agree), or wait until others serve.",
            )
        return kept[1]

    def _nobody(self, subnet: str, known: Sequence[Candidate], limits: Limits) -> Exception:
        free = replace(limits, max_price=2**256)
        prices = [each.price for each in known if free.admits(each)]
        if prices:
            return TooDearError(
                f"every node of {subnet} wants more than {show(limits.max_price)} a request, "
                f"the cheapest {show(min(prices), up=True)}",
                remedy="Raise the highest price (--most).",
            )
        return NobodyError(
            f"{subnet} has no node that may be asked, of {len(known)}",
            remedy="Lower the least score, exclude fewer nodes, or wait until nodes join.",
        )

    async def _race(
        self, call: Call, ranked: list[Candidate], effort: Effort, agreement: Agreement
    ) -> Finish:
        now = monotonic()
        looked_at = field(ranked, self.measures, chance=self._chance, now=now)
        race = Race(
            self._caller,
            self.measures,
            call=call,
            line=order(looked_at, self.measures, chance=self._chance, now=now),
            agreement=agreement,
            effort=effort,
            note=self._note(call.subnet),
        )
        return await race.run()

    def _note(self, subnet: str) -> Note:
        def note(candidate: Candidate, seconds: float, failure: str) -> None:
            self._scribe.note(subnet, candidate, seconds=seconds, failure=failure)

        return note
