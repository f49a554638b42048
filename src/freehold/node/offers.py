"""The node's signed offer: what it asks and how much it still takes."""

from __future__ import annotations

from freehold.domain.clock import Clock
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.domain.typed import OFFER
from freehold.node.settings import Settings
from freehold.node.store import Store

LIFETIME = 600


class Offerer:
    """Signs offers under the registry's domain; each holds for ten minutes of block time.

    ``clock`` is the ledger's, and asks no chain: anyone may ask for an offer.
    """

    def __init__(
        self, network: Network, key: Key, *, clock: Clock, store: Store, settings: Settings
    ) -> None:
        self._domain = network.domain("registry")
        self._key = key
        self._clock = clock
        self._store = store
        self._settings = settings

    def offer(self) -> dict[str, str | int]:
        """The JSON of ``GET /offer``; amounts are decimal texts."""
        settings, free = self._settings, self._store.usage().free
        expiry = self._clock.now() + LIFETIME
        digest = OFFER.digest(
            self._domain,
            [
                self._key.address,
                settings.price,
                settings.retrieval_price,
                settings.min_term,
                settings.max_term,
                free,
                expiry,
            ],
        )
        return {
            "node": self._key.address,
            "price": str(settings.price),
            "retrieval_price": str(settings.retrieval_price),
            "min_term": settings.min_term,
            "max_term": settings.max_term,
            "capacity_free": free,
            "expiry": expiry,
            "signature": "0x" + self._key.sign(digest).hex(),
        }
