"""What a user's program imports: one account's objects on one network."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from freehold.client.catalog import Catalog, Page, Unread, Version
from freehold.client.chain import Chain
from freehold.client.journal import Journal
from freehold.client.ledger_chain import LedgerChain
from freehold.client.liveness import Liveness
from freehold.client.objects import Delivery, Objects, Range, clip
from freehold.client.options import Options, Preset
from freehold.client.packer import PUT, Packer, unframe
from freehold.client.peers import Peers
from freehold.client.placing import Placing
from freehold.client.putting import Putter
from freehold.client.quote import Quote
from freehold.client.reading import Library
from freehold.client.removing import Removing
from freehold.client.renewing import Objection, Renewing
from freehold.client.repair import Repaired, Repairer
from freehold.client.reserving import Reservations
from freehold.client.results import ColumnInfo, DealInfo, ObjectInfo, PutResult
from freehold.client.retrieval import Cheques
from freehold.client.sharing import Received, Shared, Sharing
from freehold.client.sink import SinkLike, open_sink
from freehold.client.source import Source, SourceLike, open_source
from freehold.client.storing import Storing, Wish
from freehold.client.timing import Timing
from freehold.client.token import Identity
from freehold.client.upload import IN_FLIGHT, Progress, silent
from freehold.client.view import Named, View
from freehold.client.wallet import Wallet
from freehold.domain.buffers import Buffers
from freehold.domain.closing import Closing
from freehold.domain.errors import FreeholdError, NotFoundError
from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.ledger.ledger import Ledger
from freehold.markets.storage import names
from freehold.markets.storage.erasure import room
from freehold.markets.storage.manifest import Attributes, Location, Put

HEADER_GUESS = 2048
"""Bytes of a header with one name: what a quote assumes."""
APPROVAL = 2**200
"""Approved rate and lockup when a deposit names none: the deposit itself is the limit."""


class Client(Closing):
    """An account's objects. Threads may share a client, processes the ``state`` folder."""

    def __init__(
        self,
        chain: Chain,
        wallet: Wallet,
        state: Path,
        *,
        options: Options | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.options = options or Options()
        self.chain, self.wallet = chain, wallet
        self._state, self._random = state, random
        self._ledger: Ledger | None = None
        self._liveness = Liveness(state / "live", random=random)
        self._journal = Journal(state / "journal.db")
        self._catalog = Catalog(state / "catalog.db", seed=wallet.seed, account=wallet.account)
        signer, domain = self.options.session_key or wallet.key, chain.network.domain("registry")
        identity = Identity(signer, domain, chain, random, account=wallet.account)
        self.peers = Peers(
            chain, identity, timeouts=self.options.timeouts, retry=self.options.retry
        )
        cheques = Cheques(chain, self._journal, wallet.key, budget=self.options.budget)
        self.library = Library(chain, self.peers, cheques)
        self._buffers = Buffers(room, kept=IN_FLIGHT)
        self._objects = Objects(self.library, self._buffers)
        self._packer = Packer(
            self._journal,
            self._catalog,
            clock=chain,
            random=random,
            owner=self._liveness.id,
            limits=self.options.limits,
        )
        self._placing = Placing(chain, self.peers, self.options.policy)
        putter = Putter(
            chain,
            self.peers,
            self._journal,
            self._catalog,
            self._placing,
            Reservations(chain, self._journal, owner=self._liveness.id, alive=self._liveness.alive),
            buffers=self._buffers,
            secret=wallet.seed.catalogue_key(),
            random=random,
            owner=self._liveness.id,
        )
        self._view = View(self._catalog, self._packer)
        self._removing = Removing(chain, self._catalog, self._packer, self._view)
        self._storing = Storing(
            chain,
            wallet,
            journal=self._journal,
            catalog=self._catalog,
            packer=self._packer,
            putter=putter,
            liveness=self._liveness,
            options=self.options,
            random=random,
        )
        self._sharing = Sharing(chain, self.library, wallet)

    @classmethod
    def open(
        cls, network: Network, wallet: Wallet, state: Path, *, options: Options | None = None
    ) -> Client:
        """The client of a network through its RPCs; ``close`` also closes the ledger."""
        ledger = Ledger.open(network, state=state / "ledger", key=wallet.key)
        try:
            client = cls(LedgerChain(ledger), wallet, state, options=options)
        except BaseException:
            ledger.close()
            raise
        client._ledger = ledger
        return client

    def close(self) -> None:
        """Close files and connections; promises that wait for a pack stay in the journal."""
        self.peers.close()
        self._buffers.clear()
        self._catalog.close()
        self._journal.close()
        self._liveness.close()
        if self._ledger is not None:
            self._ledger.close()

    # --- putting ---------------------------------------------------------------------------------

    def put(
        self,
        source: SourceLike,
        name: str,
        *,
        preset: Preset | None = None,
        term: int | None = None,
        progress: Progress = silent,
        attributes: Attributes = (),
    ) -> PutResult:
        """Store ``source`` (a path, bytes, or a binary file) as ``name`` (``bucket/key``).

        A small object is journaled, and pending until its pack opens; any other is on the chain
        when this returns. When a pack was due and could not be put, the result's ``trouble`` says
        why: the promise stands. A put that was killed goes on where it stopped when its source
        did not change. InsufficientFundsError (with the quote) and CapacityError come before any
        cost.
        """
        names.check(name)
        opened = open_source(source, scratch=self._state)
        try:
            if opened.size <= self.options.pack_below and preset is None:
                return self._promise(opened, name, attributes)
            self._know()
            wish = Wish(name, preset or self.options.preset, term or self.options.term, attributes)
            result = self._storing.whole(opened, wish, progress=progress)
        finally:
            opened.close()
        if not self.options.keep_versions:
            self.tidy()
        return result

    def quote(self, size: int, *, preset: Preset | None = None, term: int | None = None) -> Quote:
        """What storing ``size`` bytes costs right now; CapacityError when no nodes would fit."""
        k, n = preset or self.options.preset
        span = term or self.options.term
        layout = self._storing.layout(size, (k, n), header_length=HEADER_GUESS)
        seed = self._random(32)
        placement = self._placing.plan(layout, term=span, seed=seed)
        return self._placing.quote(size, layout, span, placement)

    def deposit(self, amount: int, *, rate_cap: int = APPROVAL, lockup_cap: int = APPROVAL) -> str:
        """Deposit base units and approve the storage market in one transaction; its hash."""
        return self.chain.fund(amount, rate_cap=rate_cap, lockup_cap=lockup_cap)

    def flush(
        self, *, names: Collection[str] | None = None, progress: Progress = silent
    ) -> list[PutResult]:
        """Put what waits (about ``names``; or all) on the chain, in as many packs as it takes.

        A result for each name; those of one pack share its deal and its gas.
        """
        self._know()
        results = self._storing.flush(progress, names=names)
        if results and not self.options.keep_versions:
            self.tidy()
        return results

    def take_back(self, results: Iterable[PutResult]) -> bool:
        """Forget what these puts promised, if nobody counts on it; whether all of it is forgotten.

        What a pack carries stays, and what stands in for an older promise, whose word it keeps.
        """
        pending = [result for result in results if result.pending]
        self._packer.take_back([result.promise for result in pending if result.promise])
        return all(self._packer.promise_of(result.name) is None for result in pending)

    def resume(self) -> list[int]:
        """Finish or clean what dead processes left; the deals that turned out to be open."""
        return self._storing.resume()

    # --- reading ---------------------------------------------------------------------------------

    def get(
        self,
        name: str,
        sink: SinkLike,
        *,
        version: int | None = None,
        span: Range | None = None,
        progress: Progress = silent,
        timing: Timing | None = None,
    ) -> Delivery:
        """Write an object's bytes to ``sink`` (a path or a binary file).

        ``version`` is a sequence number of ``versions``, ``span`` first byte and byte after the
        last. NotFoundError, NotEnoughShardsError below k readable columns, IntegrityError when
        the bytes are not what was stored.
        """
        entry = self._packer.promise_of(name) if version is None else None
        if entry is not None and entry.kind == PUT:
            _, data = unframe(entry.body)
            start, stop = clip(span, len(data))
            with open_sink(sink) as write:
                write(memoryview(data)[start:stop])
            return Delivery(stop - start, (), ())
        self._know()
        put = self._view.means(name, entry).put if version is None else self._find(name, version)
        place = put.location
        page = self._catalog.page(place.object_id)
        return self._deliver(place, page, sink, span, progress, timing or Timing())

    def ls(self, prefix: str = "") -> list[Named]:
        """What the account has under a prefix, by name; pending objects are marked."""
        self._know()
        return self._view.under(prefix)

    def versions(self, name: str) -> list[Version]:
        """Stored versions of a name, newest first."""
        self._know()
        return self._catalog.versions(name)

    def info(self, name: str) -> ObjectInfo:
        """Where an object is: its deal and the state of every column."""
        self._know()
        named = self._view.named(name)
        if named.pending:
            return ObjectInfo(named, None)
        place = named.put.location
        return ObjectInfo(named, self.deal(self._catalog.page(place.object_id).deal))

    # --- changing --------------------------------------------------------------------------------

    def rm(self, name: str) -> list[int]:
        """Delete an object; the deals that were closed for it.

        One that shares its deal with others is deleted by a promise, pending until the next pack.
        """
        self._know()
        self._storing.settle(name)
        return self._removing.remove(name)

    def mv(self, old: str, new: str) -> None:
        """Rename an object, whatever its size, by a promise that is pending until the next pack."""
        self._know()
        self._removing.move(old, new)

    def tidy(self) -> list[int]:
        """Close the deals of objects that no name needs any more; their ids."""
        self._know()
        return self._removing.tidy()

    # --- sharing and recovery --------------------------------------------------------------------

    def share(self, name: str, to: str) -> str:
        """A token that lets the holder of the recipient's key ``to`` read an object.

        ``name`` may also be a directory: then all that is and will be in it. ConflictError while
        the object is pending.
        """
        self._know()
        return self._sharing.share(name, to, self._view, self._catalog)

    def recipient(self) -> str:
        """What others need to share with this account."""
        return self._sharing.recipient()

    def open_share(self, token: str) -> Received:
        """The objects that a token opens; AccessError when it is for another account or network."""
        return self._sharing.open(token)

    def get_shared(
        self,
        shared: Shared,
        sink: SinkLike,
        *,
        span: Range | None = None,
        progress: Progress = silent,
    ) -> Delivery:
        """Write a shared object's bytes to ``sink``; retrieval is paid by voucher."""
        return self._deliver(shared.put.location, shared.place(), sink, span, progress, Timing())

    def refresh(self) -> list[Unread]:
        """Make the catalog what the chain and the nodes say; deals whose nodes are all silent."""
        return self._catalog.refresh(
            lambda: self.chain.deals(self.wallet.account),
            lambda deal: self.library.page(deal, self._catalog.check),
        )

    # --- deals -----------------------------------------------------------------------------------

    def deals(self) -> list[DealInfo]:
        """The account's deals with their columns."""
        return [self.deal(deal) for deal in self.chain.deals(self.wallet.account)]

    def deal(self, deal: int) -> DealInfo:
        """One deal with its columns."""
        record = self.chain.deal(deal)
        columns = tuple(ColumnInfo(slot, self.chain.column(deal, slot)) for slot in range(record.n))
        return DealInfo(deal, record, columns)

    def renew(self, deal: int, term: int) -> str:
        """Extend a deal to ``term`` seconds from now; the transaction's hash.

        NotRenewedError names every node that did not sign; then nothing was renewed.
        """
        renewing = Renewing(self.chain, self.peers, self.library)
        return renewing.renew(deal, self.chain.now() + term)

    def objections(self, deal: int, term: int) -> tuple[Objection, ...]:
        """The nodes that would not sign a term of ``term`` seconds from now; nothing is renewed."""
        renewing = Renewing(self.chain, self.peers, self.library)
        return renewing.objections(deal, self.chain.now() + term)

    def close_deal(self, deal: int) -> str:
        """End a deal: what it holds is gone; the transaction's hash."""
        done = self.chain.close(deal)
        object_id = self._catalog.deals().get(deal)
        if object_id is not None:
            self._catalog.drop(object_id)
        return done

    def repair(self, deal: int, slot: int, *, target: Address | None = None) -> Repaired:
        """Regenerate one column on another node."""
        return Repairer(self.chain, self.peers, self.library).repair(deal, slot, target=target)

    # --- inside ----------------------------------------------------------------------------------

    def _promise(self, source: Source, name: str, attributes: Attributes) -> PutResult:
        promise = self._storing.promise(source, name, attributes)
        trouble: FreeholdError | None = None
        if self._packer.due():
            try:
                self.flush()
            except FreeholdError as error:
                trouble = error
        pending = self._packer.promise_of(name) is not None
        return PutResult(name, source.size, pending=pending, trouble=trouble, promise=promise)

    def _know(self) -> None:
        """Read the chain once where the catalog is new: this account may own more than it says."""
        if not self._catalog.complete:
            self.refresh()

    def _find(self, name: str, version: int) -> Put:
        for known in self._catalog.versions(name):
            if known.sequence == version:
                return known.put
        raise NotFoundError(
            f"{name!r} has no version {version}", remedy="List its versions with `info`."
        )

    def _deliver(
        self,
        place: Location,
        page: Page,
        sink: SinkLike,
        span: Range | None,
        progress: Progress,
        timing: Timing,
    ) -> Delivery:
        clipped = clip(span, place.size)
        with open_sink(sink) as write:
            return self._objects.deliver(
                place, page, write, span=clipped, timing=timing, progress=progress
            )
