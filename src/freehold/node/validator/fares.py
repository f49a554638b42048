"""What nodes want for a request, as their servers say; who is paid, the registry says."""

from __future__ import annotations

import ssl

from freehold.client.asking.candidate import Candidate
from freehold.client.asking.refusals import AttemptError
from freehold.client.asking.wire import Line, pinned, question
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.ids import Address

ABOUT_MAX = 2**16
DIGITS_MAX = 40


class PostedFares:
    """Reads a node's price from its ``GET /v2``; ``most`` base units a request, in ``token``."""

    def __init__(self, *, token: Address, most: int, plain: bool) -> None:
        self._token, self._most, self._plain = token, most, plain
        self._tls: ssl.SSLContext = pinned()

    async def of(self, candidate: Candidate, /) -> Candidate | None:
        """The node with its price; None where it names none, or too high a one."""
        line = Line(candidate.peer, tls=self._tls, plain=self._plain, most=ABOUT_MAX)
        try:
            answer = await line.ask(question("GET", "/v2", authority=line.authority, headers={}))
        except AttemptError:
            return None
        finally:
            line.close()
        price = _price(bytes(answer.body), self._token)
        if price is None or not 0 < price <= self._most:
            return None
        return Candidate(
            node=candidate.node, uid=candidate.uid, endpoint=candidate.endpoint,
            fingerprint=candidate.fingerprint, score=candidate.score, price=price,
            token=self._token, payee=candidate.payee, owner=candidate.owner,
        )  # fmt: skip


def _price(body: bytes, token: Address) -> int | None:
    try:
        told = parse_document(body, size=ABOUT_MAX)
    except MalformedError:
        return None
    about = told.get("freehold") if isinstance(told, dict) else None
    if not isinstance(about, dict) or about.get("token") != token:
        return None
    text = about.get("price")
    sound = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
    return int(text) if sound and isinstance(text, str) else None
