"""A telemetry service as the watcher who checks its pay asks it: everything bounded, nothing
believed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from types import MappingProxyType
from typing import Protocol

from freehold.client.connection import Peer, Timeouts
from freehold.client.token import Identity
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import IntegrityError, UnavailableError
from freehold.domain.ids import Address
from freehold.ledger.contracts.registry import OPERATOR
from freehold.ledger.ledger import Ledger
from freehold.ledger.roster import serving
from freehold.node.telemetry.epochs import EVIDENCE_MAX, LENGTH
from freehold.node.telemetry.statement import STATEMENT_MAX
from freehold.node.watcher.observe.evidence import connect
from freehold.telemetry.reading import BATCH_MAX

SERVICES_MAX = 4
LIST_MAX, ANSWER_MAX = 2**20, 2**14
TIMEOUTS = Timeouts(connect=5.0, idle=30.0)
_REMEDIES = {403: "The registry must list this key as a watcher in service."}


class Source(Protocol):
    """Where pay is told, and what it was reckoned from."""

    @property
    def node(self) -> Address:
        """The service's id."""

    def epochs(self) -> Sequence[int]:
        """The epochs of which there is something, in order."""

    def statement(self, epoch: int) -> bytes:
        """The JSON that is told of an epoch."""

    def evidence(self, epoch: int, device: Address) -> list[bytes]:
        """The batches of a device that count for an epoch; none where there are none."""

    def sign(self, epoch: int, signature: bytes) -> None:
        """Hand in a signature."""


class HttpSource:
    """A service at the endpoint that the registry has; ``identity`` signs the requests for
    evidence, which a service shows to watchers and not to everybody."""

    def __init__(
        self, peer: Peer, identity: Identity | None = None, *, timeouts: Timeouts = TIMEOUTS
    ) -> None:
        self._peer, self._identity, self._timeouts = peer, identity, timeouts

    @property
    def node(self) -> Address:
        """The service's id."""
        return self._peer.node

    def epochs(self) -> Sequence[int]:
        """The epochs of which there is something; IntegrityError for another answer."""
        try:
            told = parse_document(self._get("/epochs", LIST_MAX), size=LIST_MAX)
        except MalformedError as error:
            raise self._odd("tells no epochs") from error
        if not isinstance(told, list) or not all(type(each) is int for each in told):
            raise self._odd("tells no epochs")
        return sorted(told)

    def statement(self, epoch: int) -> bytes:
        """The JSON that is told of an epoch."""
        return self._get(f"/epochs/{epoch}", STATEMENT_MAX)

    def evidence(self, epoch: int, device: Address) -> list[bytes]:
        """The batches of a device that count for an epoch."""
        path = f"/epochs/{epoch}/evidence/{device}"
        headers = self._signed(path)
        raw = self._exchange("GET", path, None, EVIDENCE_MAX, missing=True, headers=headers)
        return list(self._split(raw))

    def sign(self, epoch: int, signature: bytes) -> None:
        """Hand in a signature; UnavailableError where it is refused."""
        body = json.dumps({"signature": signature.hex()}).encode()
        self._exchange("POST", f"/epochs/{epoch}/signatures", body, ANSWER_MAX)

    def _get(self, path: str, most: int) -> bytes:
        return self._exchange("GET", path, None, most)

    def _signed(self, path: str) -> dict[str, str]:
        if self._identity is None:
            return {}
        return {"Authorization": self._identity.token(audience=self.node, method="GET", path=path)}

    def _exchange(
        self, method: str, path: str, body: bytes | None, most: int, *, missing: bool = False,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:  # fmt: skip
        connection = connect(self._peer, self._timeouts)
        try:
            connection.limit(most)
            connection.request(method, path, body=body, headers=headers)
            with connection.getresponse() as response:
                raw = response.read(most + 1)
                status = response.status
        except (OSError, HTTPException) as error:
            raise UnavailableError(
                f"the service {self.node} does not answer ({error})",
                remedy="It is asked again; its owner should look after it.",
            ) from error
        finally:
            connection.close()
        if status == 404 and missing:
            return b""
        if status != 200:
            raise UnavailableError(
                f"the service {self.node} answers {status} to {path}",
                remedy=_REMEDIES.get(status, "It is asked again."),
            )
        if len(raw) > most:
            raise self._odd(f"sends more than {most:,} bytes")
        return raw

    def _split(self, raw: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(raw):
            size = int.from_bytes(raw[at : at + LENGTH], "little")
            at += LENGTH
            if not 0 < size <= BATCH_MAX or at + size > len(raw):
                raise self._odd("sends evidence that is cut off")
            yield raw[at : at + size]
            at += size

    def _odd(self, what: str) -> IntegrityError:
        return IntegrityError(
            f"the service {self.node} {what}", remedy="Its owner should update it."
        )


def sources(ledger: Ledger, identity: Identity | None = None) -> list[Source]:
    """The telemetry services that the registry has an endpoint of, the first that came first;
    without ``identity`` they tell what is for everybody."""
    found = [
        HttpSource(Peer(name, entry.endpoint, entry.tls), identity)
        for name, entry in serving(ledger, OPERATOR)
    ]
    return list(found[:SERVICES_MAX])
