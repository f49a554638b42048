"""``kill -9`` and power cuts lose nothing that was acknowledged.

FREEHOLD_KILLS and FREEHOLD_CUTS say how many (.ci/run: 200 and 16), FREEHOLD_SEED which; the
figures are printed.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.powercut import ForgetfulDisk
from freehold.ledger.plan import devnet
from journeys.aftermath import Aftermath
from journeys.storm import Storm, Victim
from journeys.town import Logs, Town
from journeys.zygote import Zygote

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]

KILLS = int(os.environ.get("FREEHOLD_KILLS", "60"))
CUTS = int(os.environ.get("FREEHOLD_CUTS", "5"))
PARAMETERS = devnet(12)
NODES = 5
CLIENTS = 3
WEIGHTS = {"client": 21.0, "watcher": 12.0, "node": 3.4, "devnet": 9.0}
"""How often each process is chosen: what starts quickly more often; all nodes together 17."""
Record = Callable[[str, object], None]


@pytest.fixture
def seed() -> int:
    """FREEHOLD_SEED, or one drawn now; every failure names it."""
    return int(os.environ.get("FREEHOLD_SEED") or secrets.randbits(32))


def test_kills(tmp_path: Path, logs: Logs, seed: int, record_property: Record) -> None:
    print(f"seed {seed}")
    with Zygote.running(logs.folder, environment={}) as zygote:
        town = Town.found(
            tmp_path / "town", nodes=NODES, parameters=PARAMETERS, launch=zygote.launch
        )
        storm = Storm.over(town, seed=seed, clients=CLIENTS, notes=tmp_path, logs=logs.folder)
        try:
            adopt(storm)
            begun = time.monotonic()
            rage(storm, kills=KILLS)
            storm.calm()
            figures = reckon(storm, tmp_path / "elsewhere")
        finally:
            town.stop()
    say(record_property, figures | {"seconds": round(time.monotonic() - begun), "seed": seed})
    assert storm.kills.total() >= KILLS
    assert all(storm.kills[kind] for kind in WEIGHTS)


def test_power_cuts(tmp_path: Path, logs: Logs, seed: int, record_property: Record) -> None:
    print(f"seed {seed}")
    root = tmp_path / "town"
    Town.found(root, nodes=NODES, parameters=PARAMETERS).stop()
    disk = ForgetfulDisk.below(root, scratch=tmp_path)
    with Zygote.running(logs.folder, environment=disk.environment()) as zygote:
        town = Town.reopen(root).launched(zygote.launch, environment=disk.environment())
        storm = Storm.over(town, seed=seed, clients=CLIENTS - 1, notes=tmp_path, logs=logs.folder)
        try:
            begun = time.monotonic()
            undone = cut_power(storm, disk, cuts=CUTS)
            storm.calm()
            figures = reckon(storm, tmp_path / "elsewhere")
        finally:
            town.stop()
    figures |= {"cuts": CUTS, "files undone": undone}
    say(record_property, figures | {"seconds": round(time.monotonic() - begun), "seed": seed})
    assert undone > CUTS, "the disk forgot next to nothing"


def adopt(storm: Storm) -> None:
    """Take over what was started when the town was founded, and start the rest."""
    storm.start(storm.victims)
    storm.ready()


def rage(storm: Storm, *, kills: int) -> None:
    """Kill at random moments, one or several at once, until there were enough."""
    down: list[Victim] = []
    while storm.kills.total() < kills:
        storm.progress(storm.draw.randint(0, 8), patience=10.0)
        time.sleep(storm.draw.uniform(0, 0.12))
        storm.check()
        killed = storm.kill(choose(storm, without=down))
        storm.start(down)
        down = [victim for victim in killed if storm.draw.random() < 0.3]
        storm.start([victim for victim in killed if victim not in down])
    storm.start(down)


def choose(storm: Storm, *, without: list[Victim]) -> list[Victim]:
    """One to four different victims."""
    left = [victim for victim in storm.victims if victim not in without]
    chosen: list[Victim] = []
    for _ in range(storm.draw.choice((1, 1, 2, 3, 4))):
        victim = storm.draw.choices(left, [WEIGHTS[each.kind] for each in left])[0]
        left.remove(victim)
        chosen.append(victim)
    return chosen


def cut_power(storm: Storm, disk: ForgetfulDisk, *, cuts: int) -> int:
    """Run for a while, end everything at once, forget what was not synced; files that changed."""
    undone = 0
    for _ in range(cuts):
        storm.start([storm.devnet])
        if storm.draw.random() < 0.8:
            storm.devnet.ready()
        storm.start(storm.members)
        storm.progress(storm.draw.randint(2, 24), patience=30.0)
        time.sleep(storm.draw.uniform(0, 0.1))
        storm.check()
        storm.kill(storm.victims)
        undone += disk.cut()
    storm.start(storm.victims)
    storm.ready()
    storm.progress(10, patience=30.0)
    return undone


def reckon(storm: Storm, elsewhere: Path) -> dict[str, object]:
    """Everything that must hold afterwards; the figures."""
    storm.check()
    town, told = storm.town, storm.told()
    after = Aftermath(town, told)
    names = after.check_objects(elsewhere)
    with town.ledger() as ledger:
        after.check_nodes(ledger)
        report = after.verify(ledger)
        transactions = after.check_transactions(ledger)
        storm.stop_nodes()
        held = after.check_disks(ledger)
    acknowledged = sum((Counter(each.acknowledged) for each in told), Counter())
    return {
        "kills": dict(storm.kills),
        "starts": dict(storm.starts),
        "acknowledged": dict(acknowledged),
        "recovered puts": sum(each.recovered for each in told),
        "names checked": names,
        "transactions checked": transactions,
        "bytes on nodes": held,
        "blocks verified": report.counts["blocks"],
    }


def say(record_property: Record, figures: dict[str, object]) -> None:
    """Print the figures and keep them with the test's report."""
    for name, value in figures.items():
        print(f"{name}: {value}")
        record_property(name, value)
