from __future__ import annotations

import os
from pathlib import Path

import pytest

from freehold.cli import doctor, processes, run
from freehold.cli.doctor import Finding, examine
from freehold.cli.home import Home
from freehold.cli.live import names_of
from freehold.cli.local import node_key, write_settings
from freehold.cli.session import open_ledger
from freehold.cli.tour import KILLED_BY_TOUR
from freehold.domain.errors import ConflictError, UnavailableError, UsageError
from freehold.domain.ids import Address, checksum
from freehold.domain.network import CONTRACTS, Network


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with one node that belongs to a network elsewhere."""
    place = Home(tmp_path / "home")
    place.claim()
    contracts = {name: checksum(bytes([i]) * 20) for i, name in enumerate(CONTRACTS, start=1)}
    network = Network("far", 31337, bytes(32), contracts, {}, ("http://127.0.0.1:1",), 0)
    place.descriptor.write_text(network.render())
    write_settings(place.node("attic"), {"capacity": "2GiB"})
    node_key(place.node("attic") / "key.json", "password")
    return place


def found(home: Home) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(home)}


def test_a_stopped_node_of_a_foreign_network_is_started_alone(home: Home) -> None:
    attic = found(home)["attic"]
    assert not attic.good
    assert attic.remedy == "Start it with `freehold node start attic`."


def test_a_home_without_a_watcher_lacks_none(home: Home) -> None:
    assert "watcher" not in found(home)


def test_a_ledger_elsewhere_is_not_started_by_up(home: Home) -> None:
    ledger = found(home)["ledger"]
    assert not ledger.good
    assert "freehold up" not in ledger.remedy


def test_a_network_of_this_machine_is_started_by_up(home: Home) -> None:
    home.devnet.mkdir()
    home.watcher.mkdir()
    home.logs.mkdir()
    (home.logs / "watcher.log").write_text("a line")
    everything = found(home)
    assert everything["ledger"].remedy == "Start it with `freehold up`."
    assert everything["watcher"].remedy.endswith("watcher.log, then `freehold up`.")


def test_what_somebody_stopped_is_no_defect(home: Home) -> None:
    processes.note_stop(home, "attic", "stopped by `freehold node stop`")
    attic = found(home)["attic"]
    assert (attic.good, attic.deliberate) == (True, True)
    assert attic.found == "stopped by `freehold node stop`"
    assert attic.advice == "Start it with `freehold node start attic`."
    processes.keep(home, "attic", os.getpid())
    assert processes.why_stopped(home, "attic") == ""
    assert found(home)["attic"].found == "runs"


def test_a_network_that_was_put_down_is_no_defect(home: Home) -> None:
    home.devnet.mkdir()
    processes.note_stop(home, "ledger", "stopped with the network")
    ledger = found(home)["ledger"]
    assert ledger.good
    assert "freehold up" in ledger.advice


@pytest.mark.parametrize(("deliberate", "again"), [(True, False), (True, True), (False, False)])
def test_a_node_that_failed_is_a_defect_unless_somebody_killed_it(
    home: Home, deliberate: bool, again: bool
) -> None:
    if deliberate:
        processes.note_killed(home, "attic", KILLED_BY_TOUR)
        if again:
            processes.keep(home, "attic", os.getpid())
    finding = doctor.examine_node(home, home.node("attic"), fates(home, doctor.FAILED))
    assert (finding.good, finding.deliberate) == (deliberate, deliberate)
    assert "lost or moved" in finding.found
    assert ("Nothing" if deliberate else "freehold node init") in finding.advice


def test_a_node_that_left_need_not_run(home: Home) -> None:
    finding = doctor.examine_node(home, home.node("attic"), fates(home, doctor.LEFT))
    assert (finding.good, finding.found) == (True, "stopped, and has left the network")


def fates(home: Home, fate: str) -> dict[Address, str]:
    return dict.fromkeys(names_of(home), fate)


def test_up_founds_nothing_in_the_home_of_a_foreign_network(home: Home) -> None:
    with pytest.raises(ConflictError, match="does not run on this machine"):
        run.up(home=home.root)
    assert not home.devnet.exists()


def test_settings_that_are_refused_leave_no_folder(home: Home) -> None:
    with pytest.raises(UsageError):
        write_settings(home.node("b"), {"capacity": "lots"})
    assert not home.node("b").exists()


def test_a_node_without_a_key_has_no_name_yet(home: Home) -> None:
    home.node("half").mkdir()
    assert list(names_of(home).values()) == ["attic"]


def test_nodes_are_in_the_order_that_people_count(home: Home) -> None:
    for number in (10, 9, 1):
        home.node(f"node-{number}").mkdir()
    assert [path.name for path in home.nodes()] == ["attic", "node-1", "node-9", "node-10"]


def test_a_stopped_network_says_how_to_start_it(home: Home) -> None:
    with pytest.raises(UnavailableError) as elsewhere, open_ledger(home.root):
        pass
    assert "freehold up" not in elsewhere.value.remedy
    home.devnet.mkdir()
    with pytest.raises(UnavailableError, match="does not answer") as here, open_ledger(home.root):
        pass
    assert "freehold up" in here.value.remedy
