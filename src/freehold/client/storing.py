"""Everything that adds to the account's objects: whole puts, promises, packs, and their ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from freehold.client.catalog import Catalog
from freehold.client.chain import Chain, Opened
from freehold.client.journal import Intent, Journal
from freehold.client.liveness import Liveness
from freehold.client.options import Options, Preset
from freehold.client.packer import PACK, Load, Packer
from freehold.client.putting import Draft, Putter
from freehold.client.results import PutResult
from freehold.client.source import BytesSource, Source
from freehold.client.timing import Timing
from freehold.client.upload import Blueprint, Progress, silent
from freehold.client.wallet import Wallet
from freehold.domain.errors import FreeholdError
from freehold.markets.storage.column import PREFIX_LENGTH, ColumnLayout
from freehold.markets.storage.header import open_header, seal_header
from freehold.markets.storage.manifest import Attributes, Location, Manifest, Put
from freehold.markets.storage.seal import KEY_LENGTH

KEPT = 86_400
"""Seconds that nodes keep an unfinished upload."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A whole object to store: its name and attributes, (k, n), and the term in seconds."""

    name: str
    shape: Preset
    term: int
    attributes: Attributes = ()


class Storing:
    """The writing side of a client."""

    def __init__(
        self,
        chain: Chain,
        wallet: Wallet,
        *,
        journal: Journal,
        catalog: Catalog,
        packer: Packer,
        putter: Putter,
        liveness: Liveness,
        options: Options,
        random: Callable[[int], bytes],
    ) -> None:
        self._chain, self._wallet = chain, wallet
        self._journal, self._catalog = journal, catalog
        self._packer, self._putter = packer, putter
        self._liveness, self._options, self._random = liveness, options, random
        self._active: set[bytes] = set()
        self._lock = Lock()

    def promise(self, source: Source, name: str, attributes: Attributes) -> int:
        """Journal a small object; the promise's number. It is durable when this returns."""
        data = bytearray(source.size)
        source.read(0, memoryview(data))
        return self._packer.add(name, bytes(data), modified=time.time_ns(), attributes=attributes)

    def whole(self, source: Source, wish: Wish, *, progress: Progress = silent) -> PutResult:
        """Store an object in a deal of its own, going on where a killed put of it stopped."""
        timing = Timing()
        intent, opened = self._went_on(source, wish, timing, progress) or self._fresh(
            source, wish, timing, progress
        )
        self.resume()
        return _result(wish.name, source.size, intent.object_id, opened, timing)

    def flush(
        self, progress: Progress = silent, *, names: Collection[str] | None = None
    ) -> list[PutResult]:
        """Put all promises (about ``names``; or all) on the chain, in as many packs as it takes; a
        result for each name."""
        self.resume()
        results: list[PutResult] = []
        while packed := self._pack(progress, names):
            results += packed
        return results

    def resume(self) -> list[int]:
        """Finish or clean what dead processes left; the deals that turned out to be open.

        A whole object whose bytes are needed again waits for the same put.
        """
        found: list[int] = []
        for seen in self._journal.intents():
            with self._taking(seen) as intent:
                if intent is None:
                    continue
                opened = self._putter.reopen(intent)
                if opened is not None:
                    found.append(opened.deal)
                elif intent.name == PACK:
                    self._unpack(intent)
                elif self._chain.now() > intent.created + KEPT:
                    self._putter.abandon(intent)
        return found

    def settle(self, name: str) -> None:
        """Finish or drop what dead processes left of puts under ``name``.

        Whoever takes the name away comes first, or an opening that was still on its way would
        bring it back.
        """
        for seen in self._journal.intents():
            if seen.name == name:
                with self._taking(seen) as intent:
                    if intent is not None and self._putter.reopen(intent) is None:
                        self._putter.abandon(intent)

    def layout(self, size: int, shape: Preset, *, header_length: int) -> ColumnLayout:
        """How an object of ``size`` bytes will lie on its nodes."""
        return ColumnLayout.plan(
            size,
            k=shape[0],
            n=shape[1],
            header_length=header_length,
            segment_length=self._options.segment_length,
        )

    def _fresh(
        self, source: Source, wish: Wish, timing: Timing, progress: Progress
    ) -> tuple[Intent, Opened]:
        object_id, key = self._random(32), self._random(KEY_LENGTH)
        place = Location(object_id, key, 0, source.size)
        now = time.time_ns()
        sequence = self._journal.bump("sequence", self._catalog.next_sequence())
        entry = Put(wish.name, place, now, wish.attributes)
        manifest = Manifest(object_id, sequence, now, (entry,))
        draft = self._draft(manifest, key, source, wish)
        with self._busy(object_id):
            return self._putter.put(
                source, draft, timing=timing, progress=progress, then=self._hold
            )

    def _pack(self, progress: Progress, names: Collection[str] | None) -> list[PutResult]:
        object_id = self._random(32)
        with self._busy(object_id):
            load = self._packer.load(object_id, names)
            return self._put_pack(load, progress) if load else []

    def _put_pack(self, load: Load, progress: Progress) -> list[PutResult]:
        source, timing = BytesSource(memoryview(load.data)), Timing()
        wish = Wish(PACK, self._options.preset, self._options.term)
        try:
            draft = self._draft(load.manifest, load.key, source, wish)
            _, opened = self._putter.put(source, draft, timing=timing, progress=progress)
        except FreeholdError:
            self._give_back(load.object_id)
            raise
        return [
            _result(name, size, load.object_id, opened, timing)
            for name, size in load.sizes().items()
        ]

    def _draft(self, manifest: Manifest, key: bytes, source: Source, wish: Wish) -> Draft:
        header = seal_header(
            manifest,
            seed=self._wallet.seed,
            account=self._wallet.account,
            slots=self._wallet.slots,
            random=self._random,
        )
        layout = self.layout(source.size, wish.shape, header_length=len(header))
        blueprint = Blueprint(layout, header, manifest.object_id, key)
        term_end = self._chain.now() + wish.term
        return Draft(wish.name, source.fingerprint(), blueprint, term_end)

    def _give_back(self, object_id: bytes) -> None:
        """Let a failed pack's promises wait again, unless its opening may still be on its way."""
        for intent in self._journal.intents():
            if intent.object_id == object_id and intent.state != "opening":
                self._unpack(intent)

    def _unpack(self, intent: Intent) -> None:
        self._journal.release_pack(intent.object_id)
        self._putter.abandon(intent)

    def _went_on(
        self, source: Source, wish: Wish, timing: Timing, progress: Progress
    ) -> tuple[Intent, Opened] | None:
        """Finish the put of the same bytes under this name that died; puts of other bytes are
        dropped."""
        fingerprint = source.fingerprint()
        for seen in self._journal.intents():
            if seen.name != wish.name:
                continue
            with self._taking(seen) as intent:
                if intent is None:
                    continue
                if intent.source == fingerprint and not self._overtaken(intent):
                    return intent, self._putter.resume(
                        intent, source, timing=timing, progress=progress, then=self._hold
                    )
                if intent.state != "opening":
                    self._putter.abandon(intent)
        return None

    def _overtaken(self, intent: Intent) -> bool:
        """Whether the log has come to say something newer about the name: its own page, sealed
        and sent already, does not hold against that."""
        own = self._manifest(intent)
        return any(
            page.sequence > own.sequence and any(e.name == intent.name for e in page.entries)
            for page in self._catalog.manifests()
        )

    def _manifest(self, intent: Intent) -> Manifest:
        return open_header(
            intent.head[PREFIX_LENGTH:],
            object_id=intent.object_id,
            seed=self._wallet.seed,
            account=self._wallet.account,
        )

    @contextmanager
    def _taking(self, seen: Intent) -> Iterator[Intent | None]:
        """A put as it stands now, where nobody works on it any more and this process may; what was
        ``seen`` of it may be old."""
        with self._lock:
            free = seen.object_id not in self._active
            if free:
                self._active.add(seen.object_id)
        try:
            yield self._journal.intent(seen.object_id) if free and self._claim(seen) else None
        finally:
            if free:
                with self._lock:
                    self._active.discard(seen.object_id)

    def _claim(self, seen: Intent) -> bool:
        if seen.owner == self._liveness.id:
            return True
        if self._liveness.alive(seen.owner):
            return False
        return self._journal.claim(seen.object_id, owner=self._liveness.id, from_owner=seen.owner)

    @contextmanager
    def _busy(self, object_id: bytes) -> Iterator[None]:
        with self._lock:
            self._active.add(object_id)
        try:
            yield
        finally:
            with self._lock:
                self._active.discard(object_id)

    def _hold(self, intent: Intent) -> None:
        """Let a whole object have its name against all that was promised about it before, as part
        of the transaction in which its put ends: until then nobody closes its deal.

        What waits is void. What went into a pack while the object was being sent may rank above
        the object's own page, which took its number first: a promise says again what holds.
        """
        void = self._journal.entries_about([intent.name])
        self._journal.drop_entries([entry.id for entry in void])
        if self._journal.packing(intent.name) or self._overtaken(intent):
            for entry in self._manifest(intent).entries:
                if isinstance(entry, Put):
                    self._packer.link(entry)


def _result(name: str, size: int, object_id: bytes, opened: Opened, timing: Timing) -> PutResult:
    return PutResult(
        name,
        size,
        pending=False,
        object_id=object_id,
        deal=opened.deal,
        gas_used=opened.gas_used,
        fee=opened.fee,
        timing=timing,
    )
