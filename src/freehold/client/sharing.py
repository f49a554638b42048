"""Objects given to others, and received from them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from freehold.client.catalog import FETCHERS, Catalog, Page, Unread
from freehold.client.chain import Chain
from freehold.client.reading import Library
from freehold.client.view import View
from freehold.client.wallet import Wallet
from freehold.domain.errors import (
    AccessError,
    ConflictError,
    FreeholdError,
    InsufficientFundsError,
    NotFoundError,
    UnavailableError,
)
from freehold.domain.ids import Address
from freehold.markets.storage.header import Header, open_shared
from freehold.markets.storage.keys import PathKey
from freehold.markets.storage.listing import fold
from freehold.markets.storage.locator import Locator
from freehold.markets.storage.manifest import Manifest, Put
from freehold.markets.storage.share import ShareToken, parse_recipient, recipient_text, share


@dataclass(frozen=True, slots=True)
class Shared:
    """An object of another account that a token opens, and where its bytes lie.

    ``page`` is None while no node of its deal answers, or while the reader cannot pay them, which
    ``lacking`` tells.
    """

    owner: Address
    put: Put
    page: Page | None
    lacking: InsufficientFundsError | None = None

    def place(self) -> Page:
        """Where its bytes lie; UnavailableError while no node of its deal answers,
        InsufficientFundsError while the reader cannot pay them."""
        if self.lacking is not None:
            raise self.lacking
        if self.page is None:
            raise UnavailableError(
                f"no node of {self.put.name!r} answers now",
                remedy="Try again later; a watcher repairs lost columns.",
            )
        return self.page


@dataclass(frozen=True, slots=True)
class Received:
    """What a token opens: objects by name, and deals whose share of them no node told."""

    objects: tuple[Shared, ...]
    unread: tuple[Unread, ...] = ()


class Sharing:
    """Tokens of one account."""

    def __init__(self, chain: Chain, library: Library, wallet: Wallet) -> None:
        self._chain, self._library, self._wallet = chain, library, wallet

    def recipient(self) -> str:
        """What others need to share with this account."""
        return recipient_text(self._wallet.seed)

    def share(self, name: str, to: str, view: View, catalog: Catalog) -> str:
        """A token for the holder of ``to``: of an object, or of a directory with all under it."""
        recipient = parse_recipient(to)
        try:
            named = view.named(name)
        except NotFoundError:
            if not view.under(name):
                raise
            prefix = name.rstrip("/")
            grant: Put | PathKey = self._wallet.seed.root(self._wallet.account).lineage(prefix)[-1]
            return self._token(grant, recipient, ())
        if named.pending:
            raise ConflictError(f"{name!r} is still pending", remedy="Flush, then share it.")
        deal = catalog.page(named.put.location.object_id).deal
        return self._token(named.put, recipient, (deal,))

    def open(self, text: str) -> Received:
        """What a token opens; AccessError when it is for another account or network,
        InsufficientFundsError when nothing of it can be read for lack of money."""
        token = ShareToken.parse(text)
        if token.locator.network_id != self._chain.network.network_id:
            raise AccessError(
                f"the share token is of network 0x{token.locator.network_id.hex()[:16]}…, this is "
                f"{self._chain.network.name}",
                remedy="Join that network first: its token says where it is.",
            )
        grant = token.open(self._wallet.seed)
        deals = token.deals or tuple(self._chain.deals(token.owner))
        if isinstance(grant, Put):
            return Received((self._one(token.owner, grant, deals),))
        return self._directory(token.owner, grant, deals)

    def _token(self, grant: Put | PathKey, recipient: bytes, deals: tuple[int, ...]) -> str:
        return share(
            grant,
            recipient=recipient,
            locator=Locator.of(self._chain.network),
            owner=self._wallet.account,
            deals=deals,
        ).render()

    def _one(self, owner: Address, put: Put, deals: Sequence[int]) -> Shared:
        for deal in deals:
            if self._chain.deal(deal).object_id == put.location.object_id:
                return Shared(owner, put, self._library.agreed_page(deal, _whole))
        raise NotFoundError(
            f"{put.name!r} is in none of the deals that the token names",
            remedy="Ask the owner for a new token: the object was stored anew.",
        )

    def _directory(self, owner: Address, key: PathKey, deals: Sequence[int]) -> Received:
        with ThreadPoolExecutor(FETCHERS) as pool:
            asked = list(pool.map(lambda deal: self._visible(deal, key), deals))
        seen = [s for s in asked if isinstance(s, _Seen)]
        silent = {self._chain.deal(s.deal).object_id: s for s in asked if isinstance(s, _Silent)}
        lacking = {oid: s.lacking for oid, s in silent.items() if s.lacking is not None}
        if lacking and not seen:
            raise next(iter(lacking.values()))
        pages = {s.page.object_id: s.page for s in seen}
        found = fold(s.manifest for s in seen if s.manifest).items.values()
        return Received(
            tuple(
                Shared(owner, item.put, pages.get(place), lacking.get(place))
                for item in found
                if (place := item.put.location.object_id) in pages.keys() | silent.keys()
            ),
            tuple(Unread(s.deal, s.error.message) for s in silent.values()),
        )

    def _visible(self, deal: int, key: PathKey) -> _Seen | _Silent:
        """A deal's head and what the key opens in it, or why no node tells."""

        def accept(page: Page) -> Manifest | None:
            _whole(page)
            return open_shared(page.header, object_id=page.object_id, key=key)

        try:
            page = self._library.agreed_page(deal, accept)
            return _Seen(page, accept(page))
        except FreeholdError as error:
            return _Silent(deal, error)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A page, and what a shared key opens in it."""

    page: Page
    manifest: Manifest | None


@dataclass(frozen=True, slots=True)
class _Silent:
    """A deal whose head no node gave, and why."""

    deal: int
    error: FreeholdError

    @property
    def lacking(self) -> InsufficientFundsError | None:
        """The error, where it is the reader's money that lacks."""
        return self.error if isinstance(self.error, InsufficientFundsError) else None


def _whole(page: Page) -> None:
    """Raises on a head that is cut, padded or put together wrongly; its content is sealed."""
    Header.parse(page.header)
