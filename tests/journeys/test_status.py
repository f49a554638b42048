"""Watchers agree on how honest a device is; some of them lie."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from freehold.audit import inputs
from freehold.client.connection import Timeouts
from freehold.client.token import Identity
from freehold.domain.aspects import HONEST, WHOLE
from freehold.domain.ids import Address, checksum
from freehold.ledger.contracts.status import Status
from freehold.ledger.ledger import Ledger
from freehold.node.loops import Chore, Crew
from freehold.node.watcher.observe import honesty
from freehold.node.watcher.observe.evidence import Epochs, Evidence
from freehold.node.watcher.observe.field import Watched
from freehold.node.watcher.observe.honesty import Seen, Span
from freehold.node.watcher.observe.reach import Reach
from freehold.node.watcher.observe.vault import Vault
from freehold.node.watcher.observer import Eyes, Observer
from freehold.node.watcher.observing import STEPS
from journeys.field import STAKE, Field, Gauge, Seat, running, wait_for
from journeys.town import Town

pytestmark = pytest.mark.journey

ROUND = 10
HONEST_LEAST = WHOLE * 9 // 10
TIMEOUTS = Timeouts(connect=5.0, idle=10.0)


@dataclass
class Liar:
    """A watcher in this process that calls honest devices liars while ``lies``."""

    seat: Seat
    lies: bool = True

    def measure(
        self,
        evidence: Mapping[Address, Sequence[bytes]],
        devices: Mapping[Address, Watched],
        network_id: bytes,
        span: Span,
    ) -> dict[Address, Seen]:
        seen = honesty.measure(evidence, devices, network_id, span)
        if not self.lies:
            return seen
        return {device: Seen(0, each.readings) for device, each in seen.items()}

    @contextmanager
    def running(self, field: Field) -> Iterator[None]:
        """The real observer at work, but for its measure."""
        with Ledger.open(field.town.network, state=self.seat.folder, key=self.seat.key) as ledger:
            epochs = Epochs(ledger.roots.genesis(), ledger.roots.epoch_length())
            network, key = field.town.network, self.seat.key
            identity = Identity(key, network.domain("registry"), ledger, secrets.token_bytes)
            evidence = Evidence(network.network_id, epochs, TIMEOUTS, identity=identity)
            eyes = Eyes(Reach(), lambda nodes: dict.fromkeys(nodes, 0), evidence, self.measure)
            observer = Observer(
                ledger, self.seat.key.address, eyes=eyes, vault=Vault(self.seat.folder),
                random=secrets.token_bytes,
            )  # fmt: skip
            crew = Crew(failed=lambda _: None)
            crew.add(Chore("observer", observer.step, ROUND / STEPS))
            crew.start()
            try:
                yield
            finally:
                assert crew.stop(20.0) == []


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """A telemetry service and a watcher, who looks once a round."""
    found = Field.found(tmp_path / "town", round_length=ROUND).town
    yield found
    found.stop()


@pytest.fixture
def field(town: Town) -> Field:
    return Field(town)


def test_liars_change_nothing_and_a_wrong_status_is_restored(field: Field, tmp_path: Path) -> None:
    """Five watchers of equal stake, two of them honest for good; the value is the share of a
    device's readings that are sound."""
    gauge = Gauge(tmp_path / "roof", 20.0)
    two, *others = (field.seat(number) for number in (2, 3, 4, 5))
    liars = [Liar(seat) for seat in others]
    turncoat = liars[2]
    turncoat.lies = False
    field.start_watcher(two)
    with ExitStack() as stack:
        stack.enter_context(running([gauge]))
        device = field.add_device("roof", sensors=gauge.sensor)
        field.start_agent("roof")
        for liar in liars:
            stack.enter_context(liar.running(field))
        ledger = stack.enter_context(field.town.ledger())
        status = ledger.status

        wait_for("the watchers agree", lambda: _value(status, device) > HONEST_LEAST)
        wait_for("the liars tell their lie", lambda: _have_lied(status, liars[:2], device))
        assert _value(status, device) > HONEST_LEAST

        turncoat.lies = True  # now three of five lie, which is more than half
        wait_for("liars with most of the stake win", lambda: _value(status, device) == 0)

        field.stake(two, 2 * STAKE)
        wait_for("the honest restore it", lambda: _value(status, device) > HONEST_LEAST)
        restored = status.status_of(device, HONEST)
        told = status.told_of(restored.round, two.key.address, device, HONEST)
        assert told == restored.value
        # Nothing moves any more, so nobody tells and nobody is scored: that round has to show it.
        before, after = _scores_around(ledger, restored.round)
        assert after[two.key.address] > before[two.key.address]
        for liar in liars:
            assert after[liar.seat.key.address] < before[liar.seat.key.address]


def _value(status: Status, device: Address) -> int:
    return status.value_of(device, HONEST)[0]


def _scores_around(ledger: Ledger, round_: int) -> tuple[dict[Address, int], dict[Address, int]]:
    """Everybody's scores before and after the settlement of a round."""
    ledger.index.sync()
    before: dict[Address, int] = {}
    for event in ledger.index.events("status", "Scored"):
        scores = inputs.numbers(event.args, "scores")
        after = before | {
            checksum((word >> 16).to_bytes(20, "big")): word & 0xFFFF for word in scores
        }
        if event.number("round") == round_:
            return before, after
        before = after
    raise AssertionError(f"round {round_} scored nobody")


def _have_lied(status: Status, liars: Sequence[Liar], device: Address) -> bool:
    """Whether they told in this round or the one before that the device is none to believe."""
    now = status.round_now()
    told = [
        {status.told_of(number, each.seat.key.address, device, HONEST) for each in liars}
        for number in (now - 1, now)
    ]
    return {0} in told
