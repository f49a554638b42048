"""A network that others founded, taken over into a home from its network.json."""

from __future__ import annotations

import tempfile
from pathlib import Path

from freehold.cli.home import Home, read_text
from freehold.domain.errors import ConflictError, IntegrityError
from freehold.domain.files import PUBLIC, write_whole
from freehold.domain.network import Network
from freehold.ledger.ledger import Ledger


def adopt(home: Home, given: Path) -> Network:
    """Make the network of a descriptor the home's own, once its chain has confirmed it.

    The same network again, with other RPC URLs, replaces the old descriptor. UsageError or
    VersionError for a file that is no descriptor, ConflictError in a home of another network,
    UnavailableError while no RPC answers, IntegrityError where the chain says otherwise; the home
    stays as it was then.
    """
    network = Network.parse(read_text(given))
    if home.descriptor.exists():
        _check_same(home, network)
    _check_chain(network, given)
    home.claim()
    write_whole(home.descriptor, network.render().encode(), mode=PUBLIC)
    return network


def _check_same(home: Home, network: Network) -> None:
    known = home.network()
    if _identity(known) != _identity(network):
        raise ConflictError(
            f"{home.root} belongs to another network, {known.name} on chain {known.chain_id}",
            remedy="Choose another --home; a home belongs to one network.",
        )


def _identity(network: Network) -> tuple[object, ...]:
    return network.network_id, network.chain_id, dict(network.contracts)


def _check_chain(network: Network, given: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="freehold-") as state,
        Ledger.open(network, state=Path(state), key=None) as ledger,
    ):
        found = ledger.call("registry", "network_id", ())
    if found != network.network_id:
        raise IntegrityError(
            f"the registry that {given} names is of another network",
            remedy="Fetch network.json again from the network's founder.",
        )
