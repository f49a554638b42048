"""A rule that its owner approved opens a relay, and the device's receipt is on the ledger."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from freehold.domain.aspects import MICRO, reading
from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.ledger.contracts.automation import DONE, OPEN, Command
from freehold.ledger.ledger import Ledger
from freehold.node.agent.care import sign_receipt
from freehold.node.agent.settings import load
from journeys.field import Field, Gauge, board, running, wait_for
from journeys.town import Town

pytestmark = pytest.mark.journey

HOT, RULED, NEVER = 313_150_000, 303_150_000, 333_150_000
"""40, 30 and 60 degrees in millionths of a kelvin."""
STRANGER = Key.from_secret(b"\x31" * 32)
DETAIL = b"done".ljust(32, b"\0")


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """A telemetry service and a watcher, who looks every ten seconds."""
    found = Field.found(tmp_path / "town", round_length=10).town
    yield found
    found.stop()


@pytest.fixture
def field(town: Town) -> Field:
    return Field(town)


def test_a_rule_opens_a_relay_and_its_receipt_is_on_the_ledger(
    field: Field, tmp_path: Path
) -> None:
    field.start_watcher(field.seat(2))
    relays = board(tmp_path / "board", "relay.1", "relay.2")
    gauge = Gauge(tmp_path / "roof", HOT / MICRO - 273.15)
    with running([gauge]), field.town.ledger() as ledger:
        roof = field.add_device("roof", sensors=gauge.sensor)
        field.start_agent("roof")
        fan = field.add_device("fan", sensors="host", board=relays)
        _forged_receipts_are_refused(field, ledger, fan)
        field.start_agent("fan")
        wait_for("the order is obeyed", lambda: _line(relays, "relay.2") == "1")
        assert _line(relays, "relay.1") == "0"

        rule, never = (_rule(field, threshold) for threshold in (RULED, NEVER))
        wait_for("the relay opens", lambda: _line(relays, "relay.1") == "1")
        value, _ = ledger.status.value_of(roof, reading("roof.temperature"))
        assert abs(value - HOT) < MICRO
        wait_for("the relay is closed again", lambda: _line(relays, "relay.1") == "0")
        wait_for("the receipts are there", lambda: ledger.automation.open_of(fan) == [])
        command = _last(ledger, rule)
        assert (command.device, command.rule) == (fan, rule)
        assert (command.outcome, command.detail) == (DONE, DETAIL)
        assert ledger.automation.rule(never).last == 0
        assert _line(relays, "relay.2") == "0"


def _rule(field: Field, threshold: int) -> int:
    """Above so much on the roof, the fan runs for five seconds."""
    made = field.freehold(
        "device", "rule", "add", "fan", "relay.1 on", "--subject", "roof",
        "--aspect", "reading:roof.temperature", "--above", str(threshold), "--hold", "5s",
    )  # fmt: skip
    return int(str(made["rule"]))


def _forged_receipts_are_refused(field: Field, ledger: Ledger, fan: Address) -> None:
    """An order waits for its device; nobody else can say that it was carried out."""
    order = field.freehold("device", "order", "fan", "relay.2 on", "--hold", "5s")
    number = int(str(order["command"]))
    at = ledger.now()
    forged = sign_receipt(load(field.folder("fan")), STRANGER, number, DONE, DETAIL, at)
    receipt = {
        "command": number, "device": fan, "outcome": DONE, "detail": "0x" + DETAIL.hex(),
        "at": at, "signature": "0x" + forged.hex(),
    }  # fmt: skip
    code, told = _post(field, receipt)
    assert (code, told["kind"]) == (403, "AccessError")
    with field.wallet() as owner, pytest.raises(RefusedError, match="automation"):
        owner.automation.acknowledge(number, outcome=DONE, detail=DETAIL, at=at, signature=forged)
    assert ledger.automation.command(number).outcome == OPEN


def _post(field: Field, receipt: Mapping[str, object]) -> tuple[int, dict[str, object]]:
    host = urlsplit(field.service["url"])
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=30)
    try:
        body, headers = json.dumps(receipt), {"Content-Type": "application/json"}
        connection.request("POST", "/receipts", body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def _last(ledger: Ledger, rule: int) -> Command:
    """The latest command of a rule."""
    ledger.index.sync()
    event = ledger.index.last("automation", "Triggered", where={"rule": rule})
    assert event is not None
    return ledger.automation.command(event.number("id"))


def _line(relays: Path, line: str) -> str:
    return (relays / line / "value").read_text()
