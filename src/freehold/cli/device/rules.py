"""``device rule``: what a device does by itself when the agreed status says so."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import moment, span
from freehold.cli.device.folder import DeviceArgument, device_of
from freehold.cli.device.ordering import CommandArgument, HoldOption, seconds_of
from freehold.cli.handles import Handles
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger
from freehold.cli.standing import known_aspects, subject_of
from freehold.cli.telemetry import reported
from freehold.domain import aspects
from freehold.domain.errors import UsageError
from freehold.telemetry.metrics import limits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from freehold.domain.ids import Address
    from freehold.ledger.contracts.automation import Rule
    from freehold.ledger.ledger import Ledger

ROUNDS = 3
"""Rounds of watchers after which nothing is done any more by what they agreed on."""
_ASPECTS = (aspects.REACHABLE, aspects.SPEED, aspects.HONEST)

app = typer.Typer(
    name="rule",
    help="Rules that you approve: when a status passes a threshold, the device acts.",
    no_args_is_help=True,
)


@app.command()
def add(
    device: DeviceArgument,
    command: CommandArgument,
    *,
    subject: Annotated[str, typer.Option("--subject", help="Whose status: a node or a device.")],
    aspect: Annotated[
        str,
        typer.Option("--aspect", help="Which status: honest, reachable, speed, reading:METRIC."),
    ],
    above: Annotated[
        int | None,
        typer.Option(
            "--above", help="Act above this status: shares are 0 to 10000, readings millionths."
        ),
    ] = None,
    below: Annotated[int | None, typer.Option("--below", help="Act below this status.")] = None,
    hold: HoldOption,
    cooldown: Annotated[
        str, typer.Option("--cooldown", help="Least time between two actions.")
    ] = "10m",
    max_age: Annotated[
        str | None,
        typer.Option(
            "--max-age",
            help="Oldest status that may be acted on. [default: three of the watchers' rounds]",
        ),
    ] = None,
    lasts: Annotated[str, typer.Option("--for", help="How long the rule lives.")] = "90d",
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a rule for a device of yours; anyone may trigger it while it is due."""
    screen, target = Screen(as_json), device_of(home, device)
    if (above is None) == (below is None):
        raise UsageError("a rule has one threshold", remedy="Give either --above or --below.")
    threshold, wanted = above if above is not None else below, known(aspect)
    of = subject_of(home, subject)
    with cancellable(), open_account(home, password_file) as ledger:
        unseen = _unseen(home, ledger, of, aspects.metric_of(wanted))
        receipt = ledger.automation.approve(
            target,
            subject=of,
            aspect=wanted,
            above=above is not None,
            threshold=threshold or 0,
            command=command,
            hold=seconds_of(hold),
            cooldown=seconds_of(cooldown),
            max_age=seconds_of(max_age) if max_age else ROUNDS * ledger.status.round_length(),
            expiry=ledger.now() + seconds_of(lasts),
        )
    number = receipt.one("Approved").number("rule")
    screen.emit({"transaction": receipt.hash, "device": target, "rule": number, "warning": unseen})
    screen.say(f"[green]✓[/] rule {number} is approved")
    if unseen:
        from rich.markup import escape

        screen.tell(f"[yellow]! {escape(unseen)}[/]")


@app.command("list")
def list_(device: DeviceArgument, *, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the rules of a device, and whether each is due."""
    screen, target, handles = Screen(as_json), device_of(home, device), Handles.of(home)
    with cancellable(), open_ledger(home) as ledger:
        automation = ledger.automation
        found = [
            (number, automation.rule(number), automation.due(number))
            for number in sorted(automation.rules_of(target))
        ]
    rows = [_json(number, rule, due) for number, rule, due in found]
    screen.emit({"device": target, "rules": rows})
    columns = ("rule", "when", "does", "holds", "until", "due")
    screen.table(f"rules of {device}", columns, [_row(*each, handles) for each in found])
    handles.tell(screen)


@app.command()
def remove(
    rule: Annotated[int, typer.Argument(help="Number of the rule.", min=1)],
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a rule; what it commanded already ends by itself."""
    screen = Screen(as_json)
    with cancellable(), open_account(home, password_file) as ledger:
        receipt = ledger.automation.revoke(rule)
    screen.emit({"transaction": receipt.hash, "rule": rule, "revoked": True})
    screen.say(f"[green]✓[/] rule {rule} is revoked")


def known(name: str) -> bytes:
    """The aspect of a name that watchers agree on; UsageError for any other."""
    found = aspects.aspect(name)
    metric = aspects.metric_of(found)
    if found not in _ASPECTS and not metric:
        raise UsageError(
            f"watchers agree on no {name!r}",
            remedy="Name reachable, speed, honest or reading:METRIC.",
        )
    if metric:
        limits(metric)
    return found


def _unseen(home: Path | None, ledger: Ledger, subject: Address, metric: str) -> str:
    """What is odd where nobody has seen the subject report the metric; empty where it is known, or
    nobody can say what it reports."""
    if not metric:
        return ""
    agreed = {aspects.metric_of(of) for of in _settled(ledger, subject)}
    told = reported.known(home, ledger, everybody=True)
    having = agreed | set((told or {}).get(subject, ()))
    if metric in having or told is None:
        return ""
    return (
        f"{subject} was not seen to report {metric}: the rule does nothing until it is. "
        f"It reports {reported.listed(having - {''})}."
    )


def _settled(ledger: Ledger, subject: Address) -> Sequence[bytes]:
    if "status" not in ledger.network.contracts:
        return ()
    ledger.index.sync()
    return known_aspects(ledger, subject)


def _json(number: int, rule: Rule, due: bool) -> dict[str, object]:
    name = aspects.name_of(rule.aspect)
    return {"rule": number, **asdict(rule), "aspect": name, "due": due}


def _row(number: int, rule: Rule, due: bool, handles: Handles) -> tuple[object, ...]:
    aspect = aspects.name_of(rule.aspect)
    side = "above" if rule.above else "below"
    return (
        number, f"{aspect} of {handles(rule.subject)} {side} {rule.threshold}", rule.command,
        span(rule.hold), moment(rule.expiry), "yes" if due else "no",
    )  # fmt: skip
