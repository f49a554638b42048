"""The node's signed word that it holds a column, given only for bytes on its disk.

An acceptance is journaled before it is handed out: from then on the bytes are kept until the
deal opens or the acceptance can no longer be used.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from freehold.domain.errors import AccessError, UsageError
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.domain.spans import about, span
from freehold.domain.typed import ACCEPTANCE
from freehold.ledger.contracts.storage import ACTIVE
from freehold.node.database import Database, blob, integer, text
from freehold.node.ports import Chain
from freehold.node.refusals import QuotaError
from freehold.node.settings import Settings
from freehold.node.standing import Standing
from freehold.node.store import Held, Store

USABLE = 300
"""An acceptance is given again only while this many seconds of it are left."""
LATE = 600
"""Seconds past the deadline until which an opening may still turn up in the index."""
MAX_OPEN = 10_000
MAX_SAME = 4


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A signed acceptance, as the storage market takes it from ``mover``; times are block time."""

    node: Address
    client: Address
    mover: Address
    token: Address
    cid: str
    root: bytes
    size: int
    height: int
    price: int
    term_end: int
    deadline: int
    nonce: int
    signature: bytes

    def fields(self) -> dict[str, str | int]:
        """The JSON of ``POST /deals/accept``."""
        return {
            "node": self.node,
            "client": self.client,
            "mover": self.mover,
            "token": self.token,
            "cid": self.cid,
            "root": "0x" + self.root.hex(),
            "size": self.size,
            "height": self.height,
            "price": str(self.price),
            "term_end": self.term_end,
            "deadline": self.deadline,
            "nonce": str(self.nonce),
            "signature": "0x" + self.signature.hex(),
        }


class Acceptor:
    """Signs acceptances with the node's key, within its owner's limits."""

    def __init__(
        self,
        network: Network,
        key: Key,
        *,
        chain: Chain,
        store: Store,
        database: Database,
        standing: Standing,
        settings: Settings,
        draw: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self._domain = network.domain("storage")
        self._token = network.contracts["token"]
        self._key = key
        self._chain = chain
        self._store = store
        self._database = database
        self._standing = standing
        self._settings = settings
        # The market keeps used nonces as bits of words, so neighbours are cheap; a new start
        # takes a new place, so that a home restored from a backup repeats none.
        self._nonces = itertools.count(draw(200) << 40)

    def accept(
        self,
        account: Address,
        *,
        client: Address,
        cid: str,
        term_end: int,
        token: Address | None = None,
    ) -> Acceptance:
        """A signed acceptance for a sound piece on this disk; a typed refusal otherwise.

        ``account`` asks: who stored the piece here, for itself or to repair a client's deal, or
        the client of a column of it, to renew the deal. It alone can submit the acceptance, and
        promises count against it, so that nobody uses up another's quota; a renewal locks no more
        stake than is locked. ``token`` is what the deal pays in: this node takes the network's.
        """
        self._check_token(token)
        held = self._store.sound(cid)
        now = self._chain.now()
        renews = account == client and self._has_column(cid, client)
        self._check_asker(account, cid, renews=renews)
        self._check_term(term_end, now)
        self._standing.check_open(account)
        known = self._known(account, held, client=client, term_end=term_end, now=now)
        if known is not None:
            return known
        self._check_quota(account, held)
        if not renews:
            self._standing.check_stake(account, held.size)
        acceptance = self._sign(account, held, client=client, term_end=term_end, now=now)
        self._journal(acceptance)
        return acceptance

    def _check_token(self, token: Address | None) -> None:
        if token not in (None, self._token):
            raise UsageError(
                f"this node is not paid in {token}",
                remedy=f"Open the deal in the network's token, {self._token}.",
            )

    def _check_term(self, term_end: int, now: int) -> None:
        low, high = now + self._settings.min_term, now + self._settings.max_term
        if not low <= term_end <= high:
            raise UsageError(
                f"the term would end in {about(term_end - now)}; this node takes "
                f"{span(self._settings.min_term)} to {span(self._settings.max_term)}",
                remedy="Choose a term within the node's offer.",
            )

    def _known(
        self, account: Address, held: Held, *, client: Address, term_end: int, now: int
    ) -> Acceptance | None:
        usable = now + min(USABLE, self._settings.acceptance_window // 2)
        row = self._database.row(
            "SELECT price, deadline, nonce, signature FROM acceptances WHERE account = ? "
            "AND cid = ? AND client = ? AND term_end = ? AND deadline > ? AND NOT opened",
            (account, held.cid, client, term_end, usable),
        )
        if row is None or integer(row[0]) != self._settings.price:
            return None
        return self._made(
            account,
            held,
            client=client,
            term_end=term_end,
            deadline=integer(row[1]),
            nonce=integer(text(row[2])),
            signature=blob(row[3]),
        )

    def _has_column(self, cid: str, client: Address) -> bool:
        return bool(
            self._database.number(
                "SELECT count(*) FROM columns WHERE cid = ? AND client = ? AND state = ?",
                (cid, client, ACTIVE),
            )
        )

    def _check_asker(self, account: Address, cid: str, *, renews: bool) -> None:
        """Names of pieces stand on the chain: whoever could ask without having sent the bytes
        could use up a node's stake and its promises, and keep others' deals from being renewed.
        """
        if not renews and not self._store.has_claim(cid, account):
            raise AccessError(
                f"{account} has not stored {cid} here and has no deal of it",
                remedy="Ask as the deal's client, or store the piece here first.",
            )

    def _check_quota(self, account: Address, held: Held) -> None:
        promised = self._database.number(
            "SELECT sum(size) FROM acceptances WHERE account = ? AND NOT opened", (account,)
        )
        kept = self._database.number("SELECT sum(size) FROM columns WHERE client = ?", (account,))
        if promised + kept + held.size > self._settings.client_quota:
            raise QuotaError(
                f"{account} would have more than {self._settings.client_quota} bytes on this node",
                remedy="Choose another node for this column.",
            )
        same = self._database.number(
            "SELECT count(*) FROM acceptances WHERE cid = ? AND account = ? AND NOT opened",
            (held.cid, account),
        )
        if (
            same >= MAX_SAME
            or self._database.number("SELECT count(*) FROM acceptances") >= MAX_OPEN
        ):
            raise QuotaError(
                f"this node has signed {same} acceptances of {held.cid} for {account} that "
                "nobody opened",
                remedy="Open the deal with one of them, or choose another node.",
            )

    def _sign(
        self, account: Address, held: Held, *, client: Address, term_end: int, now: int
    ) -> Acceptance:
        deadline = now + self._settings.acceptance_window
        nonce = next(self._nonces)
        digest = ACCEPTANCE.digest(
            self._domain,
            [
                self._key.address,
                client,
                account,
                self._token,
                held.root,
                held.size,
                held.height,
                self._settings.price,
                term_end,
                deadline,
                nonce,
            ],
        )
        return self._made(
            account,
            held,
            client=client,
            term_end=term_end,
            deadline=deadline,
            nonce=nonce,
            signature=self._key.sign(digest),
        )

    def _made(
        self,
        account: Address,
        held: Held,
        *,
        client: Address,
        term_end: int,
        deadline: int,
        nonce: int,
        signature: bytes,
    ) -> Acceptance:
        return Acceptance(
            self._key.address,
            client,
            account,
            self._token,
            held.cid,
            held.root,
            held.size,
            held.height,
            self._settings.price,
            term_end,
            deadline,
            nonce,
            signature,
        )

    def _journal(self, a: Acceptance) -> None:
        with self._database.write():
            self._store.find(a.cid)
            self._database.run(
                "INSERT INTO acceptances VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    str(a.nonce),
                    a.cid,
                    a.client,
                    a.mover,
                    a.size,
                    str(a.price),
                    a.term_end,
                    a.deadline,
                    a.signature,
                ),
            )

    def forget_unopened(self, seen_until: int) -> int:
        """Drop acceptances that nobody used, given that the chain was followed until then."""
        with self._database.write():
            return self._database.run(
                "DELETE FROM acceptances WHERE deadline < ?", (seen_until - LATE,)
            )
