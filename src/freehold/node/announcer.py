"""Keeps the registry true to where a node listens."""

from __future__ import annotations

import logging
from typing import Protocol

from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.keys import Key
from freehold.node import logs
from freehold.node.ports import RegistryPort

_log = logging.getLogger(__name__)


class Listed(Protocol):
    """A ledger with a registry."""

    @property
    def registry(self) -> RegistryPort: ...


class Announcer:
    """Keeps the node's entry in the registry true to where it really listens; ``fingerprint`` has
    32 bytes, zeros where it speaks plain HTTP."""

    def __init__(self, chain: Listed, key: Key, *, endpoint: str, fingerprint: bytes) -> None:
        self._registry = chain.registry
        self._key = key
        self._endpoint = endpoint
        self._fingerprint = fingerprint
        self._warned = False

    def step(self) -> None:
        """Announce a changed endpoint or certificate; warn once while unregistered."""
        entry = self._registry.node(self._key.address)
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
            self._fingerprint,
        ):
            self._registry.announce(
                self._key.address, endpoint=self._endpoint, tls=self._fingerprint
            )
            _log.info("announced", extra=logs.fields(endpoint=self._endpoint))
