"""Keeps the registry true to where a node listens."""

from __future__ import annotations

import logging

from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.keys import Key
from freehold.node import logs
from freehold.node.ports import Chain
from freehold.node.tls import Certificate

_log = logging.getLogger(__name__)


class Announcer:
    """Keeps the node's entry in the registry true to where it really listens."""

    def __init__(self, chain: Chain, key: Key, *, endpoint: str, certificate: Certificate) -> None:
        self._chain = chain
        self._key = key
        self._endpoint = endpoint
        self._certificate = certificate
        self._warned = False

    def step(self) -> None:
        """Announce a changed endpoint or certificate; warn once while unregistered."""
        entry = self._chain.registry.node(self._key.address)
        if entry.owner == ZERO_ADDRESS:
            if not self._warned:
                _log.warning(
                    "not registered",
                    extra=logs.fields(
                        node=self._key.address, remedy="Run `freehold node join` as its owner."
                    ),
                )
            self._warned = True
        elif not entry.retired and (entry.endpoint, entry.tls) != (
            self._endpoint,
            self._certificate.fingerprint,
        ):
            self._chain.registry.announce(
                self._key.address, endpoint=self._endpoint, tls=self._certificate.fingerprint
            )
            _log.info("announced", extra=logs.fields(endpoint=self._endpoint))
