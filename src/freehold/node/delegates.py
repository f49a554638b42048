"""Who may sign for an account besides its own key: a contract wallet's code, a session key.

Both are asked of the chain, so both are bounded: a stranger who names some account in a token
with a made-up signature makes the node ask, and must not be able to make it ask without end, nor
use up what others may ask. Whom the node knows anything of has a larger budget, and whoever was
admitted before the largest: a signature that recovers to a key that signed well before cannot be
made up. No account may take more than its share of a budget.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass

from freehold.domain.clock import Clock
from freehold.domain.errors import AccessError, UnavailableError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import recover
from freehold.ledger.contracts.registry import SESSION_READ, SESSION_STORE, Session
from freehold.node.database import Database
from freehold.node.ports import Chain
from freehold.node.standing import REMEMBERED, Recent

FRESH_SECONDS = 5
"""How long an answer counts: a wallet can take a signature back, an owner a session key."""
WINDOW = 10
QUESTIONS = (16, 48, 120)
"""Questions to the chain in ``WINDOW`` seconds: about strangers, about accounts that the node knows
or whose key signed well before, about those where both holds."""
SHARES = 4
"""One account may use one part in so many of its budget."""
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class _Signed:
    account: Address
    digest: bytes
    signature: bytes


class Acquaintance:
    """Whom the node has heard of, without a question to the chain."""

    def __init__(self, chain: Chain, database: Database) -> None:
        self._index, self._database = chain.index, database

    def knows(self, account: Address) -> bool:
        """Whether the account stores here, or has ever brought money into payments."""
        return self._stores(account) or any(
            self._index.events("payments", name, where={field: account}, limit=1)
            for name, field in (("Deposited", "owner"), ("VoucherOpened", "payer"))
        )

    def _stores(self, account: Address) -> bool:
        return bool(
            self._database.number(
                "SELECT EXISTS (SELECT 1 FROM columns WHERE client = ?1) "
                "OR EXISTS (SELECT 1 FROM claims WHERE account = ?1) "
                "OR EXISTS (SELECT 1 FROM uploads WHERE account = ?1) "
                "OR EXISTS (SELECT 1 FROM acceptances WHERE account = ?1)",
                (account,),
            )
        )


class _Budgets:
    """What was asked in the present window, by standing and by account."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window = 0
        self._asked: list[Counter[Address]] = []

    def take(self, standing: int, account: Address, *, window: int) -> bool:
        """Count a question; False where the budget, or the account's share of it, is used up."""
        most = QUESTIONS[standing]
        with self._lock:
            if window != self._window or not self._asked:
                self._window, self._asked = window, [Counter() for _ in QUESTIONS]
            asked = self._asked[standing]
            if asked.total() >= most or asked[account] >= most // SHARES:
                return False
            asked[account] += 1
            return True


class Delegates:
    """Signatures that only the chain can judge."""

    def __init__(self, chain: Chain, *, database: Database, clock: Clock) -> None:
        self._chain, self._clock = chain, clock
        self._acquaintance = Acquaintance(chain, database)
        self._wallets = Recent(self._ask_wallet, seconds=FRESH_SECONDS, clock=clock)
        self._sessions = Recent(self._ask_session, seconds=FRESH_SECONDS, clock=clock)
        self._budgets = _Budgets()
        self._proven: OrderedDict[tuple[Address, Address], None] = OrderedDict()
        self._lock = threading.Lock()

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
        pair = signed.account, _first_signer(signed)
        self._count(pair)
        agreed = self._chain.wallet_signed(signed.account, signed.digest, signed.signature)
        self._remember(pair, agreed)
        return agreed

    def _ask_session(self, pair: tuple[Address, Address]) -> Session:
        self._count(pair)
        session = self._chain.registry.session(*pair)
        if self._clock.now() < session.expiry:
            self._remember(pair, True)
        return session

    def _remember(self, pair: tuple[Address, Address], good: bool) -> None:
        with self._lock:
            self._proven.pop(pair, None)
            if good and pair[1] != ZERO_ADDRESS:
                self._proven[pair] = None
            while len(self._proven) > REMEMBERED:
                self._proven.popitem(last=False)

    def _count(self, pair: tuple[Address, Address]) -> None:
        account = pair[0]
        with self._lock:
            proven = pair in self._proven
        standing = proven + self._acquaintance.knows(account)
        if not self._budgets.take(standing, account, window=self._clock.now() // WINDOW):
            raise UnavailableError(
                "the node has asked the chain about too many signatures just now",
                remedy="Try again in a few seconds, or sign with the account's own key.",
            )


def _first_signer(signed: _Signed) -> Address:
    """Whose signature stands first; the zero address where that is not one of a key."""
    try:
        return recover(signed.digest, signed.signature[:65])
    except AccessError:
        return ZERO_ADDRESS
