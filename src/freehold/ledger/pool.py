"""Several RPC URLs as one: failover, quorum, checked answers, bounded in time and size."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import httpx2

from freehold.domain.closing import Closing
from freehold.domain.errors import FreeholdError, IntegrityError, UnavailableError, UsageError
from freehold.ledger import wire
from freehold.ledger.wire import Json, RpcRefusal, WireError

T = TypeVar("T")
Call = tuple[str, Sequence[Json]]

BODY_LIMIT = 64 * 2**20
BATCH_LIMIT = 100
_BUSY_CODES = frozenset({-32005, -32097, 429})
"""Rate limits (EIP-1474's "limit exceeded") and a restarting devnet: another URL may do."""


@dataclass(slots=True)
class Endpoint:
    """One URL; ``verified`` once its chain id was seen, ``suspect`` once it was caught lying."""

    url: str
    client: httpx2.Client
    verified: bool = False
    suspect: str = ""


class Pool(Closing):
    """One or more JSON-RPC URLs of one chain.

    A call goes to the first URL that answers, each tried ``rounds`` times with growing pauses;
    with ``quorum`` m, what is read by ``agreed`` counts only when m URLs agree at one block.
    Thread-safe. Raises UnavailableError when nobody answers, or too few agree; IntegrityError for
    another chain or malformed answers; RpcRefusal for errors of the chain itself.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        chain_id: int,
        quorum: int = 1,
        timeout: float = 10.0,
        rounds: int = 4,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        if not urls or len(urls) > 32 or not 1 <= quorum <= len(set(urls)):
            raise UsageError(
                f"a quorum of {quorum} cannot be had from {len(set(urls))} RPC URLs",
                remedy="Name at least as many different --rpc URLs as the quorum, at most 32.",
            )
        self.chain_id = chain_id
        self.quorum = quorum
        self._rounds = rounds
        self._sleep = sleep
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._endpoints = [
            Endpoint(url, httpx2.Client(timeout=timeout, transport=transport, trust_env=False))
            for url in dict.fromkeys(urls)
        ]

    def close(self) -> None:
        """Close the connections."""
        for endpoint in self._endpoints:
            endpoint.client.close()

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs, the one that answered last first."""
        return tuple(endpoint.url for endpoint in self._endpoints)

    def suspects(self) -> dict[str, str]:
        """URLs that were caught disagreeing with a quorum, and on what."""
        return {each.url: each.suspect for each in self._endpoints if each.suspect}

    def check_chain(self) -> None:
        """Ask every URL that answers for its chain id; IntegrityError when one is elsewhere."""
        reached = 0
        failures: list[str] = []
        for endpoint in self._endpoints:
            try:
                self._verify(endpoint)
                reached += 1
            except (WireError, httpx2.HTTPError, RpcRefusal) as error:
                failures.append(f"{endpoint.url}: {_describe(error)}")
        if reached < self.quorum:
            raise nobody("eth_chainId", failures)

    # --- calls -------------------------------------------------------------------------------

    def request(self, method: str, *params: Json) -> Json:
        """One call with failover; the raw JSON result."""
        return self._first(lambda each: self._ask(each, [(method, params)])[0], method)

    def request_many(self, calls: Sequence[Call]) -> list[Json]:
        """Several calls in batches of at most 100, each batch answered by one URL."""
        results: list[Json] = []
        for start in range(0, len(calls), BATCH_LIMIT):
            part = calls[start : start + BATCH_LIMIT]
            results += self._first(partial(self._ask, calls=part), part[0][0])
        return results

    def agreed(self, method: str, *params: Json, read: Callable[[Json], T]) -> T:
        """A value at the latest block; where ``quorum`` > 1, one that m URLs tell alike.

        The block is appended as the call's last parameter.
        """
        if self.quorum == 1:
            return self._read(method, params, "latest", read)
        return self.agreed_many(method, [params], read=read)[0]

    def agreed_many(
        self, method: str, many: Sequence[Sequence[Json]], *, read: Callable[[Json], T]
    ) -> list[T]:
        """As ``agreed`` for the parameters of each call, in batches of at most 100; with a quorum
        all at one block."""
        block = self._common_block() if self.quorum > 1 and many else "latest"
        asked: list[Call] = [(method, (*params, block)) for params in many]
        take = self._first_batch if self.quorum == 1 else self._agreed_batch
        found: list[T] = []
        for start in range(0, len(asked), BATCH_LIMIT):
            found += take(asked[start : start + BATCH_LIMIT], read)
        return found

    def _first_batch(self, calls: Sequence[Call], read: Callable[[Json], T]) -> list[T]:
        return self._first(
            lambda each: [read(told) for told in self._ask(each, calls)], calls[0][0]
        )

    def _agreed_batch(self, calls: Sequence[Call], read: Callable[[Json], T]) -> list[T]:
        told: list[tuple[Endpoint, list[Json]]] = []
        failures: list[str] = []
        for endpoint in self._trusted():
            try:
                told.append((endpoint, self._told(endpoint, calls)))
            except (WireError, httpx2.HTTPError) as error:
                failures.append(f"{endpoint.url}: {_describe(error)}")
        return [
            self._elect(method, [(each, answers[place]) for each, answers in told], failures, read)
            for place, (method, _) in enumerate(calls)
        ]

    def _told(self, endpoint: Endpoint, calls: Sequence[Call]) -> list[Json]:
        """What a URL answers, refusals too, for they are answers of the chain."""
        try:
            return self._ask(endpoint, calls)
        except RpcRefusal as error:
            if len(calls) > 1:
                return [answer for call in calls for answer in self._told(endpoint, [call])]
            return [{"refused": "0x" + error.data.hex(), "message": error.message}]

    def _elect(
        self,
        method: str,
        told: Sequence[tuple[Endpoint, Json]],
        failures: list[str],
        read: Callable[[Json], T],
    ) -> T:
        votes: dict[str, list[Endpoint]] = {}
        answers: dict[str, Json] = {}
        for endpoint, answer in told:
            if not endpoint.suspect:
                text = json.dumps(answer, sort_keys=True).lower()
                votes.setdefault(text, []).append(endpoint)
                answers[text] = answer
        ranked = sorted(votes, key=lambda text: -len(votes[text]))
        if not ranked or len(votes[ranked[0]]) < self.quorum or _tied(ranked, votes):
            if len(ranked) > 1:
                raise _disagreement(method, self.quorum, votes)
            raise nobody(method, failures, quorum=self.quorum)
        for text in ranked[1:]:
            for endpoint in votes[text]:
                endpoint.suspect = f"{method} differed from {len(votes[ranked[0]])} others"
        winner = answers[ranked[0]]
        if isinstance(winner, dict) and "refused" in winner:
            raise RpcRefusal(
                str(winner["message"]),
                remedy="Check the request; `freehold doctor` checks the chain.",
                code=3,
                data=wire.data(winner["refused"]),
            )
        return self._shaped(method, winner, read)

    def _common_block(self) -> str:
        heads: list[int] = []
        failures: list[str] = []
        for endpoint in self._trusted():
            try:
                heads.append(wire.quantity(self._ask(endpoint, [("eth_blockNumber", ())])[0]))
            except (WireError, httpx2.HTTPError, RpcRefusal) as error:
                failures.append(f"{endpoint.url}: {_describe(error)}")
        if len(heads) < self.quorum:
            raise nobody("eth_blockNumber", failures, quorum=self.quorum)
        # The block that a quorum has: a source that claims a higher or lower head moves nothing.
        return hex(sorted(heads, reverse=True)[self.quorum - 1])

    def _trusted(self) -> list[Endpoint]:
        return [endpoint for endpoint in self._endpoints if not endpoint.suspect]

    def _read(
        self,
        method: str,
        params: Sequence[Json],
        block: Json,
        read: Callable[[Json], T],
        *,
        rounds: int | None = None,
    ) -> T:
        full = params if block is None else (*params, block)
        return self._first(
            lambda each: read(self._ask(each, [(method, full)])[0]), method, rounds=rounds
        )

    def _shaped(self, method: str, answer: Json, read: Callable[[Json], T]) -> T:
        try:
            return read(answer)
        except WireError as error:
            raise wire.broken(method, error) from error

    def _first(self, ask: Callable[[Endpoint], T], what: str, *, rounds: int | None = None) -> T:
        failures: list[str] = []
        malformed: WireError | None = None
        for attempt in range(rounds or self._rounds):
            if attempt:
                self._sleep(min(0.05 * 4**attempt, 2.0))
            for endpoint in list(self._endpoints):
                try:
                    answer = ask(endpoint)
                except RpcRefusal as error:
                    if error.code not in _BUSY_CODES:
                        raise
                    failures.append(f"{endpoint.url}: {_describe(error)}")
                except (WireError, httpx2.HTTPError) as error:
                    malformed = error if isinstance(error, WireError) else malformed
                    failures.append(f"{endpoint.url}: {_describe(error)}")
                else:
                    self._prefer(endpoint)
                    return answer
        if malformed is not None and len(set(failures)) == 1:
            raise wire.broken(what, malformed)
        raise nobody(what, failures)

    def _prefer(self, endpoint: Endpoint) -> None:
        with self._lock:
            if self._endpoints[0] is not endpoint:
                self._endpoints.remove(endpoint)
                self._endpoints.insert(0, endpoint)

    def _ask(self, endpoint: Endpoint, calls: Sequence[Call]) -> list[Json]:
        if not endpoint.verified:
            self._verify(endpoint)
        return self._post(endpoint, calls)

    def _verify(self, endpoint: Endpoint) -> None:
        found = wire.quantity(self._post(endpoint, [("eth_chainId", ())])[0])
        if found != self.chain_id:
            raise IntegrityError(
                f"the RPC {endpoint.url} is on chain {found}, the network on {self.chain_id}",
                remedy="Give the --rpc of the network's own chain.",
            )
        endpoint.verified = True

    def _post(self, endpoint: Endpoint, calls: Sequence[Call]) -> list[Json]:
        with self._lock:
            first = next(self._ids)
            for _ in range(len(calls) - 1):
                next(self._ids)
        body = bytearray()
        headers = {"content-type": "application/json"}
        content = wire.render(calls, first)
        with endpoint.client.stream("POST", endpoint.url, content=content, headers=headers) as got:
            for chunk in got.iter_bytes():
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise WireError(f"the answer is longer than {BODY_LIMIT} bytes")
            if got.status_code >= 300 and not body.startswith((b"{", b"[")):
                raise WireError(f"HTTP status {got.status_code}")
        return wire.parse(bytes(body), len(calls), first)


def _tied(ranked: Sequence[str], votes: dict[str, list[Endpoint]]) -> bool:
    return len(ranked) > 1 and len(votes[ranked[0]]) == len(votes[ranked[1]])


def _describe(error: Exception) -> str:
    if isinstance(error, FreeholdError):
        return error.message
    return f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__


def nobody(what: str, failures: Sequence[str], *, quorum: int = 1) -> UnavailableError:
    """The error of a question that nobody answered, with what each URL said."""
    told = "; ".join(dict.fromkeys(failures)) or "no URL left that is not suspect"
    need = "no RPC answered" if quorum == 1 else f"fewer than {quorum} RPCs answered"
    return UnavailableError(
        f"{need} {what}: {told}",
        remedy="Check that the chain runs (`freehold status`) and that the --rpc URLs are right.",
    )


def _disagreement(method: str, quorum: int, votes: dict[str, list[Endpoint]]) -> UnavailableError:
    ranked = sorted(votes.values(), key=len, reverse=True)
    groups = " against ".join(",".join(each.url for each in group) for group in ranked)
    minority = ", ".join(each.url for group in ranked[1:] for each in group)
    return UnavailableError(
        f"RPCs disagree on {method} at one block ({groups}); fewer than {quorum} agree; "
        f"suspect: {minority}",
        remedy="Drop the URL that lies from --rpc, or add a third one to decide.",
    )
