from __future__ import annotations

import json

import pytest

from freehold.domain.errors import FreeholdError, UsageError, VersionError
from freehold.domain.ids import checksum
from freehold.domain.network import CONTRACTS, Network

NETWORK = Network(
    name="test",
    chain_id=31337,
    network_id=bytes(range(32)),
    contracts={name: checksum(bytes([i]) * 20) for i, name in enumerate(CONTRACTS)},
    parameters={"period": 60},
    rpc_urls=("http://127.0.0.1:8545",),
    deployed_block=3,
)


def test_a_descriptor_reads_back() -> None:
    assert Network.parse(NETWORK.render()) == NETWORK


def test_domains_carry_the_network_id() -> None:
    domain = NETWORK.domain("payments")
    assert (domain.name, domain.salt) == ("Freehold payments", NETWORK.network_id)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_other_versions_are_refused(version: object) -> None:
    fields = json.loads(NETWORK.render()) | {"freehold_network": version}
    with pytest.raises(VersionError):
        Network.parse(json.dumps(fields))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '"x"'])
def test_foreign_files_are_refused(text: str) -> None:
    with pytest.raises(FreeholdError):
        Network.parse(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, " " * 2**20 + "{}"])
def test_a_descriptor_that_would_exhaust_the_parser_is_malformed(text: str) -> None:
    with pytest.raises(UsageError, match=r"malformed: it (is longer|has more)"):
        Network.parse(text)


@pytest.mark.parametrize(
    "change",
    [
        {"chain": "eip155:x"},
        {"network_id": "0x12"},
        {"contracts": {}},
        {"contracts": None},
        {"parameters": {"period": -1}},
        {"parameters": {"period": True}},
        {"rpc_urls": []},
        {"rpc_urls": ["file:///etc/passwd"]},
        {"deployed_block": "3"},
    ],
)
def test_malformed_fields_are_named(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Network.parse(json.dumps(json.loads(NETWORK.render()) | change))


@pytest.mark.parametrize("name", ["name", "chain", "network_id", "contracts", "rpc_urls"])
def test_missing_fields_are_named(name: str) -> None:
    fields = json.loads(NETWORK.render())
    del fields[name]
    with pytest.raises(UsageError, match=name):
        Network.parse(json.dumps(fields))
