"""Sharing: the key of one object or of a directory, wrapped for one recipient.

A token says in clear where the network is, whose deals to look at and which; the names and
keys inside open only with the recipient's sharing key (HPKE), which also binds the clear part.
HPKE does not prove who made a token, and a key once given cannot be taken back: to revoke,
store the object anew under another name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from freehold.domain.errors import IntegrityError, UsageError, VersionError
from freehold.domain.ids import Address, checksum, raw_address
from freehold.markets.storage import hpke, names
from freehold.markets.storage.armour import armour, unarmour
from freehold.markets.storage.codec import Reader, Writer
from freehold.markets.storage.keys import DataSeed, PathKey
from freehold.markets.storage.locator import Locator
from freehold.markets.storage.manifest import (
    Put,
    decode_section,
    encode_section,
)
from freehold.markets.storage.seal import KEY_LENGTH

VERSION = 1
MAX_DEALS = 1024
_RECIPIENT = "fhr1"
_TOKEN = "fhs1"  # noqa: S105 - the label of a token, no secret
_LABEL = b"freehold share 1"
_OBJECT, _PREFIX = 1, 2
_NOWHERE = bytes(32)
_MAX_GRANT = 32768

Grant = Put | PathKey
"""One object by name, place and key; or a directory by its key."""


def recipient_text(seed: DataSeed) -> str:
    """What a recipient gives to those who share with them: their public sharing key."""
    return armour(_RECIPIENT, hpke.public_key(seed.sharing_key()))


def parse_recipient(text: str) -> bytes:
    """The 32-byte public key of a recipient; UsageError when cut or mistyped."""
    public = unarmour(_RECIPIENT, text, what="recipient's key")
    if len(public) != hpke.KEY_LENGTH:
        raise UsageError("the recipient's key is too short", remedy="Copy it again, whole.")
    return public


@dataclass(frozen=True, slots=True)
class ShareToken:
    """A grant under way: ``deals`` of ``owner`` on the network hold what it opens.

    For a directory ``deals`` may be empty: then any deal of the owner may hold some of it.
    """

    locator: Locator
    owner: Address
    deals: tuple[int, ...]
    sealed: bytes = field(repr=False)

    def render(self) -> str:
        """The token as one line of text."""
        writer = Writer()
        writer.fixed(_clear(self.locator, self.owner, self.deals))
        writer.blob(self.sealed)
        return armour(_TOKEN, writer.data)

    @classmethod
    def parse(cls, text: str) -> ShareToken:
        """The token of a line; UsageError when cut, IntegrityError or VersionError when foreign."""
        reader = Reader(unarmour(_TOKEN, text, what="share token"), what="the share token")
        version = reader.number()
        if version != VERSION:
            raise VersionError(
                f"the share token has version {version}, not {VERSION}",
                remedy="Install a newer release of freehold.",
            )
        locator = Locator.read(reader)
        owner = checksum(reader.fixed(20))
        deals = tuple(reader.number() for _ in range(reader.number(MAX_DEALS)))
        sealed = reader.blob(_MAX_GRANT + hpke.OVERHEAD)
        reader.end()
        return cls(locator, owner, deals, sealed)

    def open(self, seed: DataSeed) -> Grant:
        """What was shared; AccessError when it is for another recipient or altered."""
        info = _LABEL + _clear(self.locator, self.owner, self.deals)
        return _decode_grant(hpke.open_with(seed.sharing_key(), self.sealed, info=info))


def share(
    grant: Grant, *, recipient: bytes, locator: Locator, owner: Address, deals: tuple[int, ...]
) -> ShareToken:
    """A token of ``grant`` for the holder of the ``recipient`` public key.

    UsageError for the key of a whole account, an unusable recipient or too many deals.
    """
    if len(deals) > MAX_DEALS or not all(0 <= deal < 2**64 for deal in deals):
        raise UsageError(
            f"a token names at most {MAX_DEALS} deals", remedy="Share a directory with no deals."
        )
    info = _LABEL + _clear(locator, owner, deals)
    return ShareToken(
        locator, owner, deals, hpke.seal_to(recipient, _encode_grant(grant), info=info)
    )


def _clear(locator: Locator, owner: Address, deals: tuple[int, ...]) -> bytes:
    writer = Writer()
    writer.number(VERSION)
    locator.write(writer)
    writer.fixed(raw_address(owner))
    writer.number(len(deals))
    for deal in deals:
        writer.number(deal)
    return writer.data


def _encode_grant(grant: Grant) -> bytes:
    writer = Writer()
    if isinstance(grant, PathKey):
        names.check_prefix(grant.prefix)
        writer.number(_PREFIX)
        writer.text(grant.prefix)
        writer.fixed(grant.secret)
        return writer.data
    writer.number(_OBJECT)
    writer.fixed(encode_section(_NOWHERE, names.directory(grant.name), (grant,)))
    return writer.data


def _decode_grant(data: bytes) -> Grant:
    reader = Reader(data, what="what the token shares")
    kind = reader.number(_PREFIX)
    if kind == _PREFIX:
        prefix, secret = reader.text(names.MAX_NAME), reader.fixed(KEY_LENGTH)
        reader.end()
        return _path_key(prefix, secret)
    _, entries = decode_section(_NOWHERE, reader.rest())
    if kind != _OBJECT or len(entries) != 1 or not isinstance(entries[0], Put):
        raise IntegrityError("the token shares no object", remedy="Ask the owner for a new one.")
    return entries[0]


def _path_key(prefix: str, secret: bytes) -> PathKey:
    try:
        return PathKey(names.check_prefix(prefix), secret)
    except UsageError as error:
        raise IntegrityError(error.message, remedy="Ask the owner for a new token.") from error
