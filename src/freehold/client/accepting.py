"""One column's dealings with its node: open an upload, finish it, get it accepted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from freehold.client.chain import Chain
from freehold.client.peers import number, signature
from freehold.client.session import Body, LostError, Session
from freehold.domain.errors import AccessError, ConflictError, IntegrityError, NotFoundError
from freehold.domain.ids import Address
from freehold.domain.keys import recover
from freehold.domain.network import Network
from freehold.domain.typed import ACCEPTANCE
from freehold.ledger.contracts.storage import Acceptance
from freehold.markets.storage.piece import Piece

MARGIN = 30
"""Seconds of an acceptance that must be left when it is used."""


@dataclass(frozen=True, slots=True)
class UploadChannel:
    """An open upload as ``upload.Channel``."""

    session: Session
    path: str
    held: int = 0

    def send(self, offset: int, body: Body) -> None:
        """Append to the upload."""
        self.session.send(self.path, offset, body)


def begin(session: Session, size: int) -> str:
    """Open an upload of ``size`` bytes; its id."""
    upload = session.ask("POST", "/upload", {"size": size}).get("id")
    if not isinstance(upload, str) or not upload.isalnum() or len(upload) > 64:
        raise IntegrityError(
            f"node {session.peer.node} names upload {upload!r}",
            remedy="Use other nodes; its owner should update it.",
        )
    return upload


def finish(session: Session, upload: str, cid: str) -> None:
    """Make an upload the piece ``cid``; IntegrityError when the node hashed something else.

    An upload that is gone may have been finished by a request whose answer was lost: then the
    node's acceptance tells.
    """
    try:
        session.ask("PUT", f"/piece/{cid}", headers={"Upload-Id": upload})
    except NotFoundError:
        session.ask("HEAD", f"/piece/{cid}")
    except ConflictError as error:  # it crashed since it was sent the last bytes
        raise LostError(error.message, remedy=error.remedy) from error


@dataclass(frozen=True, slots=True)
class Parties:
    """Whose deal it is, which account submits the acceptance, and the token that pays."""

    client: Address
    mover: Address
    token: Address


def own(chain: Chain, token: Address) -> Parties:
    """The parties of a deal that the chain's account opens or renews itself."""
    return Parties(chain.account, chain.account, token)


def accept(
    session: Session,
    network: Network,
    *,
    parties: Parties,
    piece: Piece,
    term_end: int,
    now: int,
) -> Acceptance:
    """The node's signed acceptance of a piece; AccessError or IntegrityError when it is not one.

    The node signs for whoever asks: ``parties.mover`` must be the session's account.
    """
    fields = session.ask(
        "POST",
        "/deals/accept",
        {
            "client": parties.client,
            "cid": piece.cid,
            "term_end": term_end,
            "token": parties.token,
        },
    )
    acceptance = parse_acceptance(fields, session.peer.node)
    check_acceptance(acceptance, network, parties=parties, piece=piece, term_end=term_end, now=now)
    return acceptance


def parse_acceptance(fields: Mapping[str, object], node: Address) -> Acceptance:
    """The acceptance in a node's answer or in the journal."""
    return Acceptance(
        node=node,
        price=number(fields, "price", who=node),
        term_end=number(fields, "term_end", who=node),
        deadline=number(fields, "deadline", who=node),
        nonce=number(fields, "nonce", who=node),
        signature=signature(fields, who=node),
    )


def render_acceptance(acceptance: Acceptance) -> str:
    """JSON that ``parse_acceptance`` reads."""
    return json.dumps(
        {
            "price": str(acceptance.price),
            "term_end": acceptance.term_end,
            "deadline": acceptance.deadline,
            "nonce": str(acceptance.nonce),
            "signature": "0x" + acceptance.signature.hex(),
        }
    )


def check_acceptance(
    acceptance: Acceptance,
    network: Network,
    *,
    parties: Parties,
    piece: Piece,
    term_end: int,
    now: int,
) -> None:
    """AccessError unless the node signed just this, for this network, and it can still be used."""
    digest = ACCEPTANCE.digest(
        network.domain("storage"),
        [
            acceptance.node,
            parties.client,
            parties.mover,
            parties.token,
            piece.root,
            piece.raw_size,
            piece.height,
            acceptance.price,
            acceptance.term_end,
            acceptance.deadline,
            acceptance.nonce,
        ],
    )
    signed = recover(digest, acceptance.signature) == acceptance.node
    if not signed or acceptance.term_end != term_end or acceptance.deadline < now + MARGIN:
        raise AccessError(
            f"node {acceptance.node} did not sign an acceptance of {piece.cid} until {term_end} "
            "that can be used",
            remedy="Another node is asked; its owner should check its key and network.json.",
        )
