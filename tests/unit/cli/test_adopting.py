"""A network taken over from its descriptor: only one that its chain confirms, and only one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.cli import account, network, nodes
from freehold.cli.adopting import adopt
from freehold.cli.home import Home
from freehold.cli.wallets import WalletFolder
from freehold.domain.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
    VersionError,
)
from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.network import CONTRACTS, Network
from freehold.ledger.ledger import Ledger
from unit.client import fakes

ON_CHAIN = b"\x07" * 32


class Chain:
    """Where the registry says whose it is."""

    def call(self, contract: str, function: str, args: tuple[object, ...]) -> bytes:
        assert (contract, function, args) == ("registry", "network_id", ())
        return ON_CHAIN


@pytest.fixture(autouse=True)
def _chain(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened(given: Network, *, state: Path, key: None) -> Iterator[Chain]:
        if given.rpc_urls == ("http://127.0.0.1:9",):
            raise UnavailableError("no RPC answered", remedy="start it")
        yield Chain()

    monkeypatch.setattr(Ledger, "open", opened)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def descriptor(folder: Path, found: Network | None = None) -> Path:
    file = folder / "given.json"
    file.write_text((found or fakes.network()).render())
    return file


def test_a_home_that_is_only_a_client_is_set_up(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network.use(descriptor(tmp_path), home=home.root, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["network_id"]) == ("test", "0x" + ON_CHAIN.hex())
    assert home.network() == fakes.network()
    network.use(descriptor(tmp_path), home=home.root)
    assert "freehold wallet create" in capsys.readouterr().out


def test_the_same_network_at_another_url_replaces_the_old_descriptor(
    home: Home, tmp_path: Path
) -> None:
    adopt(home, descriptor(tmp_path))
    moved = replace(fakes.network(), rpc_urls=("http://127.0.0.1:2",))
    adopt(home, descriptor(tmp_path, moved))
    assert home.network() == moved


@pytest.mark.parametrize(
    "other",
    [
        replace(fakes.network(), network_id=b"\x08" * 32),
        replace(fakes.network(), chain_id=1),
        replace(fakes.network(), contracts=dict.fromkeys(CONTRACTS, ZERO_ADDRESS)),
    ],
)
def test_a_home_belongs_to_one_network(home: Home, tmp_path: Path, other: Network) -> None:
    adopt(home, descriptor(tmp_path))
    with pytest.raises(ConflictError, match="belongs to another network") as caught:
        adopt(home, descriptor(tmp_path, other))
    assert "--home" in caught.value.remedy
    assert home.network() == fakes.network()


def test_what_the_chain_does_not_confirm_is_not_taken(home: Home, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="of another network"):
        adopt(home, descriptor(tmp_path, fakes.network(b"\x08" * 32)))
    away = replace(fakes.network(), rpc_urls=("http://127.0.0.1:9",))
    with pytest.raises(UnavailableError):
        adopt(home, descriptor(tmp_path, away))
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("text", "error"),
    [("{}", VersionError), ("{", UsageError), ('{"freehold_network": 99}', VersionError)],
)
def test_a_file_that_is_no_descriptor_is_refused(
    home: Home, tmp_path: Path, text: str, error: type[Exception]
) -> None:
    (tmp_path / "given.json").write_text(text)
    with pytest.raises(error):
        adopt(home, tmp_path / "given.json")
    with pytest.raises(UsageError, match="cannot be read"):
        adopt(home, tmp_path / "absent.json")
    assert not home.root.exists()


def test_a_node_that_is_not_there_joins_nothing(home: Home, tmp_path: Path) -> None:
    home.claim()
    with pytest.raises(NotFoundError, match="there is no node"):
        nodes.join("attic", network=descriptor(tmp_path), home=home.root)
    home.node("attic").mkdir(parents=True)
    (home.node("attic") / "node.toml").touch()
    with pytest.raises(NotFoundError, match="there is no wallet"):
        nodes.join("attic", network=descriptor(tmp_path), home=home.root)
    assert not home.descriptor.exists()


def test_a_new_account_is_told_how_to_name_its_network(
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    created = WalletFolder.create
    monkeypatch.setattr(WalletFolder, "create", lambda *given: created(*given, cost=4))
    monkeypatch.setenv("FREEHOLD_PASSWORD", "x")
    account.create(home=home.root)
    assert "freehold network use network.json" in capsys.readouterr().out
    adopt(Home(tmp_path / "other"), descriptor(tmp_path))
    account.create(home=tmp_path / "other")
    assert "network use" not in capsys.readouterr().out
