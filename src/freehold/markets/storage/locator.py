"""Where a network is found: all that a stranger's client needs besides a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.errors import IntegrityError, UsageError
from freehold.domain.ids import Address, caip2, checksum, raw_address
from freehold.domain.network import Network
from freehold.markets.storage.codec import Reader, Writer

MAX_URLS = 8
MAX_URL = 512


@dataclass(frozen=True, slots=True)
class Locator:
    """A network: chain, id (32 bytes), registry contract, its block, 1 to 8 RPC URLs."""

    chain_id: int
    network_id: bytes
    registry: Address
    deployed_block: int
    rpc_urls: tuple[str, ...]

    def __post_init__(self) -> None:
        numbers = 0 < self.chain_id < 2**63 and 0 <= self.deployed_block < 2**63
        urls = 1 <= len(self.rpc_urls) <= MAX_URLS and all(map(_is_url, self.rpc_urls))
        if not numbers or not urls or len(self.network_id) != 32:
            raise UsageError(
                f"no network is found at {self.chain} through {self.rpc_urls}",
                remedy=f"Give a chain id, a 32-byte network id and 1 to {MAX_URLS} http URLs.",
            )

    @classmethod
    def of(cls, network: Network) -> Locator:
        """The locator of a network's descriptor; its first 8 RPC URLs are kept."""
        return cls(
            network.chain_id,
            network.network_id,
            network.contracts["registry"],
            network.deployed_block,
            network.rpc_urls[:MAX_URLS],
        )

    @property
    def chain(self) -> str:
        """The CAIP-2 name of the chain."""
        return caip2(self.chain_id)

    def write(self, writer: Writer) -> None:
        """Append the canonical fields."""
        writer.number(self.chain_id)
        writer.fixed(self.network_id + raw_address(self.registry))
        writer.number(self.deployed_block)
        write_texts(writer, self.rpc_urls)

    @classmethod
    def read(cls, reader: Reader) -> Locator:
        """The locator that ``write`` wrote; IntegrityError otherwise."""
        chain_id, network_id, registry = reader.number(), reader.fixed(32), reader.fixed(20)
        block = reader.number()
        urls = tuple(reader.text(MAX_URL) for _ in range(reader.number(MAX_URLS)))
        try:
            return cls(chain_id, network_id, checksum(registry), block, urls)
        except UsageError as error:
            raise IntegrityError(error.message, remedy=error.remedy) from error


def write_texts(writer: Writer, texts: Sequence[str]) -> None:
    """Texts behind their number."""
    writer.number(len(texts))
    for text in texts:
        writer.text(text)


def _is_url(url: str) -> bool:
    printable = url.isascii() and url.isprintable() and " " not in url
    return url.startswith(("http://", "https://")) and len(url) <= MAX_URL and printable
