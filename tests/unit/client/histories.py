"""Histories of an account: several processes at once, each of which may be stopped at any step.

One thread runs them all: wherever one asks its files or the chain, another may do something whole
first, or the process may die there; two of them are threads of one process. Only the sending of
bytes is left out.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from freehold.client.catalog import Page
from freehold.client.chain import Opened
from freehold.client.client import Client
from freehold.client.journal import Intent
from freehold.client.options import Options
from freehold.client.packer import PUT, Limits
from freehold.client.putting import Draft, Putter, Then, _nothing, _Work
from freehold.client.source import Source
from freehold.client.timing import Timing
from freehold.client.upload import Progress, silent
from freehold.client.wallet import Wallet
from freehold.domain.errors import FreeholdError, NotFoundError, UnavailableError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import Key
from freehold.ledger.contracts.storage import Acceptance, Deal, Mandate, OpenRequest
from freehold.markets.storage.listing import fold
from unit.client.fakes import FakeChain, FakeLedger, network

SMALL, LARGE = 20, 200
OPTIONS = Options(preset=(2, 4), pack_below=SMALL, limits=Limits(count=4, wait=10**9))
MANDATE = Mandate(0, 0, 0, 0, 0, 0)
Allowed = frozenset[int | None]
NOTHING: Allowed = frozenset({None})
JOURNAL = ("write", "rows", "run")
CATALOG = ("listing", "manifests", "page", "add", "drop")


class Died(BaseException):
    """As kill -9: no handler of ours may catch it."""


class LightPutter(Putter):
    """A putter whose columns need no nodes."""

    def put(
        self,
        source: Source,
        draft: Draft,
        *,
        timing: Timing,
        progress: Progress = silent,
        then: Then = _nothing,
    ) -> tuple[Intent, Opened]:
        intent = self._intent(draft)
        self._journal.save_intent(intent, [])
        work = _Work(draft, {}, [], then=then)
        self._linger()
        return intent, self._complete(work)

    def _complete(self, work: _Work, *_: object) -> Opened:
        self._linger()
        return self._open(work)

    def _linger(self) -> None:
        """Sending takes longer than all else."""
        assert isinstance(self._chain, Watched)
        self._chain.history.moment(self._chain.host, weight=10)

    def _usable(self, work: _Work) -> bool:
        return True

    def _request(self, work: _Work) -> OpenRequest:
        chain = self._chain
        assert isinstance(chain, Watched)
        draft = work.draft.blueprint
        chain.history.heads[draft.object_id] = draft.head
        return OpenRequest(draft.object_id, ZERO_ADDRESS, 2, 1, 1, (), MANDATE, b"")


@dataclass
class Watched(FakeChain):
    """A chain where a process may be held up, die, or hear nothing of what it did."""

    history: History = field(kw_only=True)
    host: Host = field(kw_only=True)

    def open(self, request: OpenRequest, acceptances: Sequence[Acceptance], *, tag: str) -> Opened:
        self._falter()
        if (known := self.ledger.tags.get(tag)) is None:
            number = len(self.ledger.opened) + 1
            self.ledger.opened[number] = Deal(
                self.account, request.token, request.object_id, 2, 4, 1, 1, self.now(),
                self.now() + 10**8, 0, MANDATE, 0, 0, b"",
            )  # fmt: skip
            known = self.ledger.tags[tag] = Opened(number, "0x2", 1, 1)
        self._falter()
        return known

    def close(self, deal: int) -> str:
        self._falter()
        done = super().close(deal)
        self._falter()
        return done

    def deals(self, client: Address) -> Sequence[int]:
        found = super().deals(client)
        self.history.moment(self.host)
        return found

    def find(self, object_id: bytes) -> int | None:
        self.history.moment(self.host)
        return super().find(object_id)

    def _falter(self) -> None:
        self.history.moment(self.host)
        if self.history.draw.random() < 0.03:
            raise UnavailableError("no RPC answered", remedy="Try again.")


@dataclass
class Host:
    """A process: its client while it lives."""

    client: Client | None = None


@dataclass
class Worker:
    """A thread of a process; its names are its own."""

    name: str
    host: Host
    busy: bool = False
    unfinished: dict[str, int] = field(default_factory=dict)

    def names(self) -> list[str]:
        return [f"b/{self.name}{number}" for number in range(3)]


@dataclass
class History:
    """What happens to one account under one seed, and what each name may mean."""

    folder: Path
    draw: random.Random
    switches: float
    deaths: float
    ledger: FakeLedger = field(default_factory=lambda: FakeLedger(network()))
    heads: dict[bytes, bytes] = field(default_factory=dict)
    allowed: dict[str, Allowed] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    left: int = 0
    number: int = 0
    looking: bool = False

    def __post_init__(self) -> None:
        key = Key.from_secret(b"\xa0" * 32)
        self.wallet = Wallet.create(
            key, network_id=self.ledger.net.network_id, random=self.draw.randbytes
        )
        self.hosts = [Host() for _ in "xyz"]
        self.workers = [Worker(name, self.hosts[i]) for i, name in enumerate("abc")]
        self.workers.append(Worker("d", self.hosts[0]))

    def run(self, steps: int) -> None:
        """About that many operations, some in the middle of others."""
        self.left = steps
        while self.left > 0:
            self.act(self.draw.choice(self.workers))

    def end(self) -> None:
        """All processes end; another finishes what they left, and all must be as promised."""
        self.switches = self.deaths = 0.0
        self.close()
        self.ledger.time += 2 * 86_400  # nobody goes on with a put that is as old
        last = self.hosts[0]
        client = last.client = self.open(last)
        while not self._try(client.resume) or not self._try(client.flush):
            continue
        for _ in range(50):
            self._try(client.tidy)
        self.check()
        assert not client._journal.intents()
        assert not client._journal.all_entries()
        assert client._catalog.listing().obsolete == frozenset()
        assert self.listed() == self.meant(client)
        self.bury(last)

    def close(self) -> None:
        """End all processes."""
        for host in self.hosts:
            self.bury(host)

    def act(self, worker: Worker) -> None:
        """One operation of a worker that does nothing else just now."""
        host = worker.host
        worker.busy, self.left = True, self.left - 1
        try:
            if host.client is None:
                host.client = self.open(host)
                if self.draw.random() < 0.5:
                    self._try(host.client.resume)
            else:
                self._operation(worker, host.client)
        except Died:
            self.told.append(f"{worker.name} died")
            self.bury(host)
        finally:
            worker.busy = False
        self.check()

    def moment(self, host: Host, *, weight: int = 1) -> None:
        """A step between two effects of a process: anything may happen here."""
        client = host.client
        if self.looking or client is None or _holds_a_lock(client):
            return
        if self.draw.random() < self.deaths:
            raise Died
        idle = [each for each in self.workers if not each.busy]
        while idle and self.left > 0 and self.draw.random() < min(self.switches * weight, 0.8):
            self.act(self.draw.choice(idle))
        if host.client is not client:
            raise Died

    def open(self, host: Host) -> Client:
        """A new process of the account, all of whose doors are watched."""
        chain = Watched(self.ledger, self.wallet.account, history=self, host=host)
        client = Client(
            chain, self.wallet, self.folder, options=OPTIONS, random=self.draw.randbytes
        )
        putter = client._storing._putter
        putter.__class__ = LightPutter
        setattr(client.library, "page", self._page)  # noqa: B010 - a method of an instance
        for part, doors in ((client._journal, JOURNAL), (client._catalog, CATALOG)):
            for door in doors:
                setattr(part, door, self._watched(host, getattr(part, door)))
        return client

    def bury(self, host: Host) -> None:
        """What the system does with a process that is gone."""
        client, host.client = host.client, None
        if client is not None:
            client.close()

    def check(self) -> None:
        """Every name means, to every process, what it may mean."""
        self.looking = True
        for host in self.hosts:
            if host.client is not None:
                for name, seen in self.meant(host.client, all_names=True).items():
                    right = self.allowed.get(name, NOTHING)
                    assert seen in right, (name, seen, sorted(right, key=str), self.told[-40:])
        self.looking = False

    def meant(self, client: Client, *, all_names: bool = False) -> dict[str, int | None]:
        """What names mean to a client, with their bytes at hand."""
        names = {name for worker in self.workers for name in worker.names()}
        found = {name: self._seen(client, name) for name in sorted(names)}
        return found if all_names else {n: v for n, v in found.items() if v is not None}

    def listed(self) -> dict[str, int | None]:
        """What the chain alone says."""
        live = [deal.object_id for deal in self.ledger.opened.values() if not deal.closed_at]
        client = self.hosts[0].client
        assert client is not None
        pages = [client._catalog._open(Page(oid, 1, self.heads[oid])) for oid in live]
        return {name: _value(item.put.attributes) for name, item in fold(pages).items.items()}

    def _seen(self, client: Client, name: str) -> int | None:
        entry = client._packer.promise_of(name)
        try:
            put = client._view.means(name, entry).put
        except NotFoundError:
            return None
        if entry is None or entry.kind != PUT:
            deal = client._catalog.page(put.location.object_id).deal
            if self.ledger.opened[deal].closed_at and self.allowed.get(name, NOTHING) != NOTHING:
                return None  # nobody gives its bytes: right in the middle of a removal only
        return _value(put.attributes)

    def _page(self, deal: int, accept: Callable[[Page], None]) -> Page:
        object_id = self.ledger.opened[deal].object_id
        page = Page(object_id, deal, self.heads[object_id])
        accept(page)
        return page

    def _watched(self, host: Host, act: Callable[..., object]) -> Callable[..., object]:
        def watched(*given: object, **named: object) -> object:
            self.moment(host)
            return act(*given, **named)

        return watched

    def _operation(self, worker: Worker, client: Client) -> None:
        names = worker.names()
        name = self.draw.choice(names)
        sure = [n for n in names if len(a := self.allowed.get(n, NOTHING)) == 1 and None not in a]
        kind = self.draw.choices(
            [
                "small",
                "whole",
                "again",
                "rm",
                "mv",
                "flush",
                "flush some",
                "tidy",
                "resume",
                "refresh",
            ],
            [24, 16, 8, 20, 14, 12, 4, 4, 3, 2],
        )[0]
        self.told.append(f"{worker.name} {kind} {name}")
        if kind in ("small", "whole"):
            self._put(worker, client, name, SMALL if kind == "small" else LARGE)
        elif kind == "again" and worker.unfinished:
            name = self.draw.choice(sorted(worker.unfinished))
            self._put(worker, client, name, LARGE, worker.unfinished[name])
        elif kind == "rm" and sure:
            name = self.draw.choice(sure)
            self._promise({name: None}, lambda: client.rm(name))
        elif kind == "mv" and sure and (old := self.draw.choice(sure)) != name:
            (value,) = self.allowed[old]
            self._promise({old: None, name: value}, lambda: client.mv(old, name))
        elif kind == "flush some":
            self._try(lambda: client.flush(names={name}))
        elif kind in ("flush", "tidy", "resume", "refresh"):
            self._try(getattr(client, kind))

    def _put(
        self, worker: Worker, client: Client, name: str, size: int, value: int | None = None
    ) -> None:
        if value is None:
            self.number += 1
            value = self.number
        if size == LARGE:
            worker.unfinished[name] = value
        data, attributes = str(value).encode().rjust(size), (("value", str(value)),)
        done = self._promise({name: value}, lambda: client.put(data, name, attributes=attributes))
        if done and worker.unfinished.get(name) == value:
            del worker.unfinished[name]

    def _promise(self, effects: dict[str, int | None], act: Callable[[], object]) -> bool:
        """An operation that gives names a meaning, at the latest when it is acknowledged."""
        self.told.append(f"  {effects}")
        for name, value in effects.items():
            self.allowed[name] = self.allowed.get(name, NOTHING) | {value}
        done = self._try(act)
        if done:
            self.allowed |= {name: frozenset({value}) for name, value in effects.items()}
        return done

    def _try(self, act: Callable[[], object]) -> bool:
        with suppress(FreeholdError):
            act()
            self.done["done"] += 1
            self.told.append("  done")
            return True
        self.done["failed"] += 1
        self.told.append("  failed")
        return False


def _holds_a_lock(client: Client) -> bool:
    """Whether this thread does: others of its process would wait for it."""
    owned = attrgetter("_lock._is_owned")  # what threading's own Condition asks of an RLock
    parts = (client._journal, client._catalog)
    return client._storing._lock.locked() or any(owned(part)() for part in parts)


def _value(attributes: Sequence[tuple[str, str]]) -> int:
    return int(dict(attributes)["value"])
