from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError, UsageError
from freehold.domain.ids import Address, checksum
from freehold.domain.network import CONTRACTS, Network
from freehold.markets.storage.codec import Reader, Writer
from freehold.markets.storage.locator import Locator
from unit.markets.storage.strategies import LOCATOR, NETWORK_ID

_urls = st.from_regex(r"https?://[a-z0-9.:/-]{1,30}", fullmatch=True)
locators = st.builds(
    Locator,
    st.integers(1, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=20, max_size=20).map(checksum),
    st.integers(0, 2**63 - 1),
    st.lists(_urls, min_size=1, max_size=8).map(tuple),
)


@settings(deadline=None)
@given(locators)
def test_a_locator_reads_as_written(locator: Locator) -> None:
    writer = Writer()
    locator.write(writer)
    reader = Reader(writer.data, what="the test")
    assert Locator.read(reader) == locator
    reader.end()


def test_a_network_is_found_by_its_descriptor() -> None:
    contracts = {name: Address("0x" + f"{i:040x}") for i, name in enumerate(CONTRACTS)}
    urls = tuple(f"http://node{i}" for i in range(9))
    network = Network("n", 31337, NETWORK_ID, contracts, {}, urls, 7)
    locator = Locator.of(network)
    assert (locator.registry, locator.deployed_block) == (contracts["registry"], 7)
    assert locator.rpc_urls == urls[:8]
    assert locator.chain == "eip155:31337"


@pytest.mark.parametrize(
    "urls",
    [(), ("ftp://x",), ("http://x y",), ("http://x\n",), ("http://é",), ("http://x",) * 9,
     ("http://" + "x" * 506,)],
)  # fmt: skip
def test_impossible_urls_are_refused(urls: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        Locator(31337, NETWORK_ID, LOCATOR.registry, 7, urls)


def test_impossible_numbers_are_refused() -> None:
    for chain, network_id, block in ((0, NETWORK_ID, 7), (1, b"x", 7), (1, NETWORK_ID, -1)):
        with pytest.raises(UsageError):
            Locator(chain, network_id, LOCATOR.registry, block, LOCATOR.rpc_urls)


def test_hostile_locators_are_integrity_errors() -> None:
    writer = Writer()
    LOCATOR.write(writer)
    with pytest.raises(IntegrityError):
        Locator.read(Reader(writer.data.replace(b"http://", b"gopher:"), what="the test"))
