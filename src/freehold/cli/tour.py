"""The story of a network, told by doing it: store, kill, read, fault, slash, repair, verify."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from freehold.cli import processes
from freehold.cli.amounts import brief
from freehold.cli.home import Home
from freehold.cli.live import names_of
from freehold.cli.local import LocalNetwork
from freehold.cli.screen import Screen
from freehold.cli.session import open_client, open_ledger
from freehold.domain.errors import IntegrityError, UnavailableError
from freehold.domain.ids import Address
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event

NAME = "tour/voyage.bin"
SIZE = 2 * 2**20
KILLED = 2
KILLED_BY_TOUR = "killed by `freehold tour`"
POLL = 0.5


@dataclass(slots=True)
class Tour:
    """One telling; ``run`` returns what happened, for programs."""

    home: Home
    screen: Screen
    facts: dict[str, object] = field(default_factory=dict)

    def run(self) -> dict[str, object]:
        """Tell it all; UnavailableError names the part that never came."""
        data = os.urandom(SIZE)
        deal = self._store(data)
        victims = self._kill(deal)
        self._read(data)
        with open_ledger(self.home.root) as ledger:
            period = ledger.network.parameters["period"]
            self.screen.tell(
                f"[bold]3.[/] Their next proofs will be missing: repairs come after the first, "
                f"failure after several. A period is {period} s, so this takes a few minutes."
            )
            self._see(ledger, deal, victims)
        self._read(data)
        self._verify()
        self._newcomers()
        return self.facts

    def _store(self, data: bytes) -> int:
        with open_client(self.home.root) as client:
            result = client.put(data, NAME, preset=(4, 6))
            self.screen.tell(
                f"[bold]1.[/] Stored {SIZE:,} bytes as {NAME}: six columns on nodes of six owners, "
                f"any four give it back. Deal {result.deal}, gas {result.gas_used:,}."
            )
        self.facts["deal"] = result.deal
        return result.deal

    def _kill(self, deal: int) -> dict[Address, str]:
        names = names_of(self.home)
        with open_client(self.home.root) as client:
            holders = [column.record.node for column in client.deal(deal).columns]
        victims = {node: names[node] for node in holders if node in names}
        victims = dict(list(victims.items())[:KILLED])
        for name in victims.values():
            child = processes.find(self.home, name)
            if child is not None:
                processes.kill(child)
                processes.note_killed(self.home, name, KILLED_BY_TOUR)
        self.screen.tell(
            f"[bold]2.[/] Killed {' and '.join(victims.values())}, as a power cut would."
        )
        self.facts["killed"] = sorted(victims.values())
        return victims

    def _read(self, data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder, open_client(self.home.root) as client:
            target = Path(folder) / "voyage.bin"
            client.get(NAME, target)
            if target.read_bytes() != data:
                raise IntegrityError(
                    "the bytes that came back differ", remedy="Report this with the logs."
                )
        self.screen.tell(f"   Read {NAME} back: byte for byte the same.")

    def _see(self, ledger: Ledger, deal: int, victims: dict[Address, str]) -> None:
        """Tell failures and repairs as they come, in whichever order."""
        failed: dict[Address, Event] = {}
        moved: dict[int, str] = {}

        def all_done() -> bool:
            ledger.index.sync()
            self._see_repairs(ledger, deal, victims, moved)
            self._see_failures(ledger, victims, failed)
            return len(failed) == len(victims) and len(moved) >= len(victims)

        parameters = ledger.network.parameters
        patience = (parameters["faults_max"] + 8) * parameters["period"] + 60
        self._await(all_done, "the repair of the lost columns and the failure of both", patience)
        self.facts["slashed"] = {
            victims[node]: event.number("slashed") for node, event in failed.items()
        }
        self.facts["repaired"] = {str(slot): node for slot, node in sorted(moved.items())}

    def _see_failures(
        self, ledger: Ledger, victims: dict[Address, str], failed: dict[Address, Event]
    ) -> None:
        for node, name in victims.items():
            event = ledger.index.last("faults", "NodeFailed", where={"node": node})
            if event is None or node in failed:
                continue
            failed[node] = event
            self.screen.tell(
                f"   [red]{name} owes too many proofs: it has failed, and "
                f"{brief(event.number('slashed'))} of its stake is slashed.[/] "
                "From its first missing proof on it was not paid."
            )

    def _see_repairs(
        self, ledger: Ledger, deal: int, victims: dict[Address, str], moved: dict[int, str]
    ) -> None:
        names = names_of(self.home)
        for event in ledger.index.events("storage", "ColumnReplaced", where={"deal": deal}):
            slot = event.number("slot")
            if slot in moved or event.address("old_node") not in victims:
                continue
            moved[slot] = names.get(event.address("node"), event.address("node"))
            self.screen.tell(
                f"   [green]The watcher rebuilt column {slot} from four others and put it on "
                f"{moved[slot]}[/]: the same root, another owner, while you did nothing."
            )

    def _verify(self) -> None:
        from freehold.audit.verify import verify_live

        with open_ledger(self.home.root) as ledger:
            report = verify_live([ledger.rpc], ledger.network)
        if not report.passed:
            raise IntegrityError(
                f"verification failed: {report.difference}", remedy="Run `freehold verify`."
            )
        checks = sum(report.counts.values())
        self.screen.tell(
            f"[bold]4.[/] Verified: {checks:,} checks of blocks, proofs, payouts, faults and "
            "balances recomputed, and all agree."
        )
        self.facts["checks"] = checks

    def _newcomers(self) -> None:
        """Two new owners take the place of those that failed, so that the tour can run again."""
        network = LocalNetwork(self.home, lambda text: self.screen.say(f"[dim]·[/] {text}"))
        devnet = Devnet.attach(self.home.root)
        names = [network.add_node(self.home.network(), devnet) for _ in range(KILLED)]
        self.screen.tell(f"[bold]5.[/] {' and '.join(names)} joined in their place.")
        self.facts["joined"] = names

    def _await(self, done: Callable[[], bool], what: str, patience: float) -> None:
        deadline = time.monotonic() + patience
        with self.screen.waiting(f"waiting for {what}"):
            while not done():
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"{what} did not come within {patience:.0f} s",
                        remedy="Look at `freehold status` and the watcher's log.",
                    )
                time.sleep(POLL)
