"""Who may sign for an account besides its own key: a contract wallet's code, a session key.

Both are asked of the chain, so both are bounded: a stranger who names some account in a token
with a made-up signature makes the node ask, and must not be able to make it ask without end.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from freehold.domain.clock import Clock
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import Address
from freehold.ledger.contracts.registry import SESSION_READ, SESSION_STORE, Session
from freehold.node.ports import Chain
from freehold.node.standing import Recent

FRESH_SECONDS = 5
"""How long an answer counts: a wallet can take a signature back, an owner a session key."""
WINDOW = 10
QUESTIONS = 100
"""Questions to the chain in ``WINDOW`` seconds, about all accounts together."""
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class _Signed:
    account: Address
    digest: bytes
    signature: bytes


class Delegates:
    """Signatures that only the chain can judge."""

    def __init__(self, chain: Chain, *, clock: Clock) -> None:
        self._chain, self._clock = chain, clock
        self._wallets = Recent(self._ask_wallet, seconds=FRESH_SECONDS, clock=clock)
        self._sessions = Recent(self._ask_session, seconds=FRESH_SECONDS, clock=clock)
        self._lock = threading.Lock()
        self._window, self._asked = 0, 0

    def wallet_signed(self, account: Address, digest: bytes, signature: bytes) -> bool:
        """Whether ``account`` is a contract wallet that takes the signature (ERC-1271);
        UnavailableError when too much is asked."""
        return self._wallets.get(_Signed(account, digest, signature))

    def in_session(self, account: Address, key: Address, *, method: str, spends: int) -> bool:
        """Whether ``key`` is a session key of ``account`` that may make such a request and pay
        with a voucher of ``spends`` base units (cumulative, 0: none)."""
        session = self._sessions.get((account, key))
        needed = SESSION_READ if method in _READS else SESSION_STORE
        alive = self._clock.now() < session.expiry
        return alive and bool(session.scope & needed) and spends <= session.cap

    def _ask_wallet(self, signed: _Signed) -> bool:
        self._count()
        return self._chain.wallet_signed(signed.account, signed.digest, signed.signature)

    def _ask_session(self, pair: tuple[Address, Address]) -> Session:
        self._count()
        return self._chain.registry.session(*pair)

    def _count(self) -> None:
        window = self._clock.now() // WINDOW
        with self._lock:
            if window != self._window:
                self._window, self._asked = window, 0
            self._asked += 1
            busy = self._asked > QUESTIONS
        if busy:
            raise UnavailableError(
                "the node has asked the chain about too many signatures just now",
                remedy="Try again in a few seconds, or sign with the account's own key.",
            )
