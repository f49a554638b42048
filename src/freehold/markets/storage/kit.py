"""The recovery kit: a page of text from which everything an account owns comes back.

It holds the seed phrase and where the network is; the account's deals on the chain then lead
to the nodes, and any one live node of an object gives its manifest. Whoever reads the page
owns the account.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256

from freehold.domain.errors import UsageError, VersionError
from freehold.domain.ids import address, hex32, parse_caip2
from freehold.domain.keys import Key
from freehold.markets.storage.locator import Locator

_TITLE = "Freehold recovery kit, version 1"
_NOTE = (
    "Print this page and keep it where nobody else reads it: it opens the account and all its\n"
    "files. To use it: freehold recover <this file>, or type it in again."
)
_FIELDS = ("phrase", "chain", "network", "registry", "block", "rpc", "checksum")
_PHRASE = re.compile(r"[a-z]{2,8}(?: [a-z]{2,8}){11,23}")
_BLOCK = re.compile(r"\d{1,19}")
_MAX_KIT = 16384


@dataclass(frozen=True, slots=True)
class RecoveryKit:
    """A seed phrase (12, 15, 18, 21 or 24 words, lower case) and a network's locator."""

    phrase: str = field(repr=False)
    locator: Locator

    def __post_init__(self) -> None:
        words = self.phrase.count(" ") + 1
        if _PHRASE.fullmatch(self.phrase) is None or words % 3:
            raise UsageError(
                "the seed phrase is not 12 to 24 words of lower-case letters",
                remedy="Write its words in order, one space between them.",
            )

    def account(self) -> Key:
        """The account key of the phrase; UsageError when a word or its checksum is wrong."""
        return Key.from_phrase(self.phrase)

    def render(self) -> str:
        """The page to print."""
        lines = self._lines()
        checksum = f"checksum: {_checksum(lines)}"
        return "\n".join([_TITLE, "", _NOTE, "", *lines, checksum, ""])

    def _lines(self) -> list[str]:
        locator = self.locator
        return [
            f"phrase: {self.phrase}",
            f"chain: {locator.chain}",
            f"network: 0x{locator.network_id.hex()}",
            f"registry: {locator.registry}",
            f"block: {locator.deployed_block}",
            *(f"rpc: {url}" for url in locator.rpc_urls),
        ]

    @classmethod
    def parse(cls, text: str) -> RecoveryKit:
        """The kit of a page, typed or scanned in: case of field names and spacing may differ.

        UsageError names the field that is missing or mistyped; VersionError when newer.
        """
        fields = _fields(text)
        locator = Locator(
            chain_id=parse_caip2(_single(fields, "chain")),
            network_id=hex32(_single(fields, "network")),
            registry=address(_single(fields, "registry")),
            deployed_block=_block(_single(fields, "block")),
            rpc_urls=tuple(fields.get("rpc", ())),
        )
        kit = cls(_single(fields, "phrase").lower(), locator)
        if _checksum(kit._lines()) != _single(fields, "checksum").lower():
            raise UsageError(
                "the recovery kit does not match its checksum",
                remedy="Compare every line with the printed page; one is mistyped.",
            )
        return kit


def _fields(text: str) -> dict[str, list[str]]:
    """Values by field; lines that begin with no field name, such as the note, are skipped."""
    title = text.lstrip().partition("\n")[0].strip()
    if len(text) > _MAX_KIT or not title.lower().startswith("freehold recovery kit"):
        raise UsageError("this is no Freehold recovery kit", remedy=f"It begins with: {_TITLE}.")
    if title.lower() != _TITLE.lower():
        raise VersionError(
            f"the recovery kit is titled {title[:60]!r}",
            remedy="Install a newer release of freehold.",
        )
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() in _FIELDS:
            found.setdefault(name.strip().lower(), []).append(" ".join(value.split()))
    return found


def _single(fields: dict[str, list[str]], name: str) -> str:
    values = fields.get(name, [])
    if len(values) != 1:
        raise UsageError(
            f"the recovery kit has {len(values)} lines of {name!r}, not one",
            remedy="Compare it with the printed page.",
        )
    return values[0]


def _block(text: str) -> int:
    if _BLOCK.fullmatch(text) is None:
        raise UsageError(
            f"{text!r} is not a block number", remedy="Compare it with the printed page."
        )
    return int(text)


def _checksum(lines: list[str]) -> str:
    return sha256("\n".join([_TITLE, *lines]).encode()).hexdigest()[:8]
