"""What an owner's devices earned, as the service that pays states it, and what this epoch brings.

The statement names the amounts and why; watchers co-sign it before anybody is paid. What a device
earns by the epoch that runs is reckoned from what the service counted so far and what is bought.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.domain.errors import FreeholdError, UnavailableError
from freehold.domain.ids import Address
from freehold.economics.data_pay import HONEST, Part, Purchase, Row, Terms, settle
from freehold.economics.earnings import Taking

if TYPE_CHECKING:
    from freehold.ledger.ledger import Ledger
    from freehold.node.telemetry.facts import Facts
    from freehold.node.telemetry.statement import Statement
    from freehold.node.watcher.paysource import Source

EPOCHS = 12
"""Settled epochs that are added up for each device, the newest."""
_MILLION = 1_000_000
_AMPLE = Terms(0, 2**127)


@dataclass(frozen=True, slots=True)
class DeviceIncome:
    """What a device earned: ``earned`` base units in the ``epochs`` settled last, ``expected`` in
    the one that runs. Why: of the last settled epoch readings, those that counted, quality in
    millionths, honesty of 10^4, and what it was caught at."""

    device: Address
    earned: int = 0
    expected: int = 0
    epochs: int = 0
    readings: int = 0
    counted: int = 0
    quality: int = 0
    honesty: int = HONEST
    marked: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """Of an owner: base units that devices ever earned and that were paid, takings by time, and
    each device; ``silent`` says why no service could be asked."""

    owner: Address
    earned: int
    paid: int
    takings: tuple[Taking, ...]
    devices: tuple[DeviceIncome, ...]
    silent: str = ""


def look(ledger: Ledger, owner: Address) -> Measured | None:
    """What an owner's devices earned; None of who never enrolled one. The index must be in step."""
    from freehold.economics.trees import GRAIN
    from freehold.ledger.paging import every

    if not {"roots", "devices", "streams"} <= ledger.network.contracts.keys():
        return None
    enrolled = every(ledger.index, "devices", "Enrolled", {"owner": owner})
    devices = list(dict.fromkeys(event.address("device") for event in enrolled))
    if not devices:
        return None
    paid = ledger.roots.claimed(owner) * GRAIN
    try:
        return _asked(ledger, owner, devices, paid)
    except FreeholdError as error:
        told = tuple(DeviceIncome(device) for device in devices)
        return Measured(owner, paid, paid, (), told, error.message)


def _asked(ledger: Ledger, owner: Address, devices: Sequence[Address], paid: int) -> Measured:
    from freehold.node.telemetry.facts import Facts
    from freehold.node.watcher.paysource import sources

    facts = Facts(ledger)
    for source in sources(ledger):
        statements, running = _told(source, facts, ledger.now())
        newest = statements[-1] if statements else None
        return Measured(
            owner,
            max(paid, newest.past.accounts.get(owner, 0) if newest else 0),
            paid,
            tuple(_taking(each, facts, set(devices)) for each in statements),
            tuple(_devices(devices, statements, _expected(facts, newest, running, ledger.now()))),
        )
    raise UnavailableError("no telemetry service is registered", remedy="Start one.")


def _told(
    source: Source, facts: Facts, now: int
) -> tuple[list[Statement], Mapping[str, tuple[int, float]]]:
    """The statements of the last settled epochs, and of the one that runs what each device did."""
    from freehold.node.telemetry.statement import Statement, canonical, load

    statements: list[Statement] = []
    running: Mapping[str, tuple[int, float]] = {}
    present = facts.calendar.at(now)
    for number in reversed(source.epochs()[-2 * EPOCHS :]):
        told = load(source.statement(number))
        if "version" in told and len(statements) < EPOCHS:
            statements.append(Statement.read(canonical(told)))
        elif number == present:
            running = dict(_counted(told))
    return statements[::-1], running


def _counted(told: Mapping[str, object]) -> Iterable[tuple[str, tuple[int, float]]]:
    rows = told.get("devices")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            yield str(row["device"]), (int(row["readings"]), float(row["quality"]))


def _expected(
    facts: Facts, newest: Statement | None, running: Mapping[str, tuple[int, float]], now: int
) -> Mapping[Address, Part]:
    """What the epoch that runs brings if all go on as they do, with metrics as in the last."""
    from freehold.node.telemetry.pay import carried

    if newest is None or not running:
        return {}
    rows = []
    for work in newest.works:
        count, quality = running.get(work.device, (0, 0.0))
        whole = sum(work.counted.values())
        counted = {name: n * count // max(whole, 1) for name, n in work.counted.items()}
        grade = int(quality * _MILLION)
        rows.append(Row(work.device, work.owner, counted, grade, work.honesty, work.cell))
    bought: Sequence[Purchase] = facts.bought(facts.calendar.at(now))
    return settle(carried(bought, newest.past.waiting, facts.query), rows, _AMPLE).parts


def _taking(statement: Statement, facts: Facts, mine: set[Address]) -> Taking:
    parts = _parts(statement)
    amount = sum(parts.get(device, 0) for device in mine)
    return Taking(facts.calendar.cut(statement.epoch), amount)


def _devices(
    devices: Sequence[Address],
    statements: Sequence[Statement],
    expected: Mapping[Address, Part],
) -> Iterable[DeviceIncome]:
    parts = [_parts(each) for each in statements]
    last = {work.device: work for work in statements[-1].works} if statements else {}
    for device in devices:
        earned = sum(each.get(device, 0) for each in parts)
        due = expected.get(device, Part())
        work = last.get(device)
        told = DeviceIncome(device, earned, due.paid + due.minted, len(statements))
        yield told if work is None else DeviceIncome(
            device, earned, due.paid + due.minted, len(statements), work.readings,
            sum(work.counted.values()), work.quality, work.honesty, work.marked,
        )  # fmt: skip


def _parts(statement: Statement) -> dict[Address, int]:
    """What each device got by a statement."""
    rows = statement.fields["rows"]
    return {
        Address(row["device"]): row["paid"] + row["minted"]
        for row in (rows if isinstance(rows, list) else [])
    }
