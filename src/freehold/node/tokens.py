"""Request tokens: who asks, signed for this node, this request and these few minutes.

A token is EIP-712 typed data under the registry's domain, whose salt is the network id
(PROTOCOL.md, Identity and signatures). It counts once, also across restarts of the node.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
from dataclasses import dataclass

from freehold.domain.clock import Clock
from freehold.domain.document import parse_document
from freehold.domain.errors import AccessError, FreeholdError, UnavailableError
from freehold.domain.ids import Address, address, hex32
from freehold.domain.keys import recover
from freehold.domain.network import Network
from freehold.domain.typed import REQUEST
from freehold.node import refusals
from freehold.node.database import Database
from freehold.node.delegates import Delegates

SCHEME = "Freehold "
MAX_HEADER = 2048
MAX_LIFETIME = 300
MAX_NONCES = 1_000_000
NO_BODY = bytes(32)
_SIGNATURE = re.compile(r"0x(?:[0-9a-fA-F]{2}){65,520}")
"""One signature, or those of up to eight owners of a contract wallet."""


@dataclass(frozen=True, slots=True)
class Token:
    """A parsed token; ``body`` is the SHA-256 of the request body, or 32 zero bytes."""

    audience: Address
    method: str
    path: str
    body: bytes
    expiry: int
    nonce: bytes
    signature: bytes
    account: Address | None = None
    network: bytes | None = None

    def digest(self, network: Network) -> bytes:
        """What the account signs."""
        return REQUEST.digest(
            network.domain("registry"),
            [self.audience, self.method, self.path, self.body, self.expiry, self.nonce],
        )

    def covers(self, path: str) -> bool:
        """Whether ``path`` lies under the token's path, cut at a segment's border."""
        prefix = self.path.rstrip("/")
        return path == prefix or path.startswith(prefix + "/")


def parse_token(header: str | None) -> Token:
    """The token of an Authorization header; MissingTokenError or MalformedTokenError."""
    if header is None or not header.startswith(SCHEME):
        raise refusals.MissingTokenError(
            "the request carries no token",
            remedy="Send `Authorization: Freehold <token>`, signed by your account.",
        )
    if len(header) > MAX_HEADER:
        raise _malformed("it is too long")
    try:
        raw = base64.b64decode(_padded(header.removeprefix(SCHEME)), altchars=b"-_", validate=True)
        return _build(parse_document(raw, size=MAX_HEADER))
    except (binascii.Error, ValueError) as error:
        raise _malformed("it is not base64url of JSON") from error
    except (KeyError, TypeError, FreeholdError) as error:
        raise _malformed(f"{error} is missing or wrong") from error


def _padded(value: str) -> str:
    return value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4)


def _build(fields: object) -> Token:
    if not isinstance(fields, dict):
        raise TypeError("the object")
    account, network = fields.get("account"), fields.get("network")
    body = _string(fields, "body")
    return Token(
        audience=address(_string(fields, "audience")),
        method=_string(fields, "method"),
        path=_string(fields, "path"),
        body=hex32(body) if body else NO_BODY,
        expiry=_seconds(fields, "expiry"),
        nonce=hex32(_string(fields, "nonce")),
        signature=_signature(_string(fields, "signature")),
        account=None if account is None else address(str(account)),
        network=None if network is None else hex32(str(network)),
    )


def _string(fields: dict[str, object], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _seconds(fields: dict[str, object], name: str) -> int:
    value = fields[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise TypeError(name)
    return value


def _signature(value: str) -> bytes:
    if _SIGNATURE.fullmatch(value) is None:
        raise TypeError("signature")
    return bytes.fromhex(value[2:])


def _malformed(reason: str) -> refusals.MalformedTokenError:
    return refusals.MalformedTokenError(
        f"the request token is malformed: {reason}",
        remedy="Sign the request with a current client.",
    )


class LedgerTime:
    """The ledger's clock without a question to the chain for every look at it.

    It is this machine's clock and the skew that the chain showed when ``learn`` was called.
    """

    def __init__(self, machine: Clock, chain: Clock) -> None:
        self._machine = machine
        self._chain = chain
        self._skew = 0
        self._learning = threading.Lock()
        self.learn()

    def now(self) -> int:
        """Seconds of block time, as far as it was learnt."""
        return self._machine.now() + self._skew

    def learn(self) -> None:
        """Look at the chain's clock again; at once when another thread is looking already.

        So requests with odd expiries do not queue up behind an RPC that hangs.
        """
        if self._learning.acquire(blocking=False):
            try:
                self._skew = self._chain.now() - self._machine.now()
            finally:
                self._learning.release()


class Gate:
    """Admits requests of accounts to one node of one network.

    An account signs with its key, with a session key that the registry lists for it, or by its
    code where it is a contract. ``nonces`` remembers the nonces of admitted tokens until they
    expire by ``clock``.
    """

    def __init__(
        self,
        network: Network,
        node: Address,
        *,
        nonces: Database,
        clock: LedgerTime,
        delegates: Delegates,
    ) -> None:
        self._delegates = delegates
        self._network = network
        self._node = node
        self._nonces = nonces
        self._clock = clock
        self._kept = nonces.number("SELECT count(*) FROM nonces")

    def admit(
        self,
        header: str | None,
        *,
        method: str,
        path: str,
        body: bytes | None,
        spends: int = 0,
    ) -> Address:
        """The account that signed this request; a TokenError says what is wrong with it.

        ``spends`` is the amount of the voucher that comes with it. ``body`` is the whole body
        where the node holds it before it acts, None for a stream: a stream's hash is not asked
        for because its bytes are checked against their CID.
        """
        token = parse_token(header)
        self._check_address(token)
        self._check_time(token)
        self._check_scope(token, method=method, path=path, body=body)
        account = self._signer(token, spends)
        self._use(token)
        return account

    def _check_address(self, token: Token) -> None:
        if token.network is not None and token.network != self._network.network_id:
            raise refusals.ForeignNetworkError(
                "the request token was made for another network",
                remedy=f"Use the descriptor of network {self._network.name}.",
            )
        if token.audience != self._node:
            raise refusals.WrongAudienceError(
                f"the request token is for node {token.audience}, this is {self._node}",
                remedy="Sign a token for this node.",
            )

    def _check_time(self, token: Token) -> None:
        if not 0 < token.expiry - self._clock.now() <= MAX_LIFETIME:
            self._clock.learn()  # a devnet's time may have been moved a moment ago
        left = token.expiry - self._clock.now()
        if left <= 0:
            raise refusals.ExpiredTokenError(
                f"the request token expired {-left} s ago",
                remedy="Sign a fresh one; check this machine's clock.",
            )
        if left > MAX_LIFETIME:
            raise refusals.FarExpiryError(
                f"the request token would hold for {left} s",
                remedy=f"Sign one for at most {MAX_LIFETIME} s; check this machine's clock.",
            )

    def _check_scope(self, token: Token, *, method: str, path: str, body: bytes | None) -> None:
        if token.method != method or not token.covers(path):
            raise refusals.OutOfScopeError(
                f"the request token covers {token.method} {token.path}, not {method} {path}",
                remedy="Sign a token for this request.",
            )
        if body is not None and token.body != (hashlib.sha256(body).digest() if body else NO_BODY):
            raise refusals.OutOfScopeError(
                "the request token was signed for another body",
                remedy="Put the SHA-256 of the body into the token.",
            )

    def _signer(self, token: Token, spends: int) -> Address:
        digest, account = token.digest(self._network), token.account
        try:
            signer = recover(digest, token.signature)
        except AccessError as error:
            if account is None or not self._delegates.wallet_signed(
                account, digest, token.signature
            ):
                raise refusals.BadSignatureError(error.message, remedy=error.remedy) from error
            return account
        if account is None or signer == account:
            return signer
        if not (
            self._delegates.in_session(account, signer, method=token.method, spends=spends)
            or self._delegates.wallet_signed(account, digest, token.signature)
        ):
            raise refusals.BadSignatureError(
                f"the request token was not signed by {account} for this network, nor by a "
                "session key of it that may ask for this",
                remedy="Sign with the account's key, under this network's registry and id.",
            )
        return account

    def _use(self, token: Token) -> None:
        if self._kept >= MAX_NONCES:
            raise UnavailableError(
                "the node has admitted as many requests as it can remember",
                remedy="Try again in a few minutes.",
            )
        with self._nonces.write():
            fresh = self._nonces.run(
                "INSERT OR IGNORE INTO nonces VALUES (?, ?)", (token.nonce, token.expiry)
            )
        self._kept += fresh
        if not fresh:
            raise refusals.ReplayedTokenError(
                "the request token was used before", remedy="Sign a fresh token for each request."
            )

    def forget_expired(self) -> int:
        """Drop nonces that expiry refuses anyway; returns how many.

        They stay for one lifetime longer, for a clock that is set back a little.
        """
        horizon = self._clock.now() - MAX_LIFETIME
        with self._nonces.write():
            dropped = self._nonces.run("DELETE FROM nonces WHERE expiry <= ?", (horizon,))
        self._kept -= dropped
        return dropped
