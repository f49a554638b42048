"""``freehold verify``: recompute everything, and name the first thing that differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.home import open_home, read_text
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_client, open_ledger
from freehold.cli.verdict import verify_subnet
from freehold.domain.errors import FreeholdError, UsageError

if TYPE_CHECKING:
    from freehold.audit.data import DataReport
    from freehold.audit.payout import Payout
    from freehold.audit.reckoner import Reckoner
    from freehold.audit.report import Report
    from freehold.audit.world import Observer
    from freehold.domain.network import Network


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command()(verify)


def verify(
    *,
    chain: Annotated[
        Path | None, typer.Option("--chain", help="Verify this export instead of the live chain.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Keep the chain export in this new file.")
    ] = None,
    network: Annotated[
        Path | None, typer.Option("--network", help="network.json that the export must be of.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Also read every shard of this object.")
    ] = None,
    account: Annotated[
        str | None,
        typer.Option("--account", help="Show what this node, owner, payout or set number got …"),
    ] = None,
    epoch: Annotated[
        int | None, typer.Option("--epoch", help="… for this epoch, with the arithmetic.")
    ] = None,
    subnet: Annotated[
        str | None,
        typer.Option(
            "--subnet", help="Judge this subnet's ranking instead: of --epoch, or the last root's."
        ),
    ] = None,
    dispute: Annotated[
        bool, typer.Option("--dispute", help="With --subnet: file the proof against a false root.")
    ] = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute every proof, payout, fault and balance; name the first thing that differs."""
    screen = Screen(as_json)
    if subnet is not None or dispute:
        others = (chain, export, network, data, account)
        name = _only_subnet(subnet, others)
        with cancellable():
            passed = verify_subnet(
                screen, name, epoch, dispute=dispute, home=home, password_file=password_file
            )  # fmt: skip
        if not passed:
            raise typer.Exit(1)
        return
    if chain is not None and (export is not None or data is not None):
        raise UsageError(
            "--chain reads a file; --export and --data need the live network",
            remedy="Leave out --chain, or the other two.",
        )
    reckoner = _reckoner(account, epoch)
    if export is not None and export.exists():
        raise UsageError(f"{export} exists", remedy="Name a file that does not exist yet.")
    with cancellable(), ExitStack() as stack:
        reader = None if data is None else stack.enter_context(_reader(home, password_file, data))
        observer = None if reckoner is None else reckoner.see
        report = (
            _chain(chain, network, observer) if chain else _live(home, export, screen, observer)
        )
        _show(screen, report)
        payouts = _payouts(screen, report, reckoner)
        shards = reader(screen) if reader else None
    told: dict[str, object] = {"data": shards.to_json()} if shards else {}
    if reckoner is not None and report.passed:
        told["payouts"] = [each.to_json() for each in payouts]
    screen.emit(report.to_json() | told)
    if not report.passed or (shards is not None and not shards.passed):
        raise typer.Exit(1)


def _only_subnet(subnet: str | None, others: Sequence[object]) -> str:
    """The subnet to judge; UsageError where other options are given too, or it is missing."""
    if subnet is None:
        raise UsageError("--dispute is about a subnet", remedy="Name one with --subnet.")
    if any(each is not None for each in others):
        raise UsageError(
            "--subnet goes with --epoch and --dispute only", remedy="Leave out the other options."
        )
    return subnet


@contextmanager
def _reader(
    home: Path | None, password_file: Path | None, name: str
) -> Iterator[Callable[[Screen], DataReport]]:
    """What reads an object's shards; NotFoundError or ConflictError at once when it cannot."""
    from freehold.cli.shards import check_stored, read_over

    with open_client(home, password_file) as client:
        check_stored(client, name)
        yield lambda screen: read_over(client, screen, home, name)


def _chain(chain: Path, network: Path | None, observer: Observer | None) -> Report:
    from freehold.audit.verify import verify_file
    from freehold.domain.network import Network

    known = Network.parse(read_text(network)) if network else None
    if known is not None:
        _same_network(chain, known)
    return verify_file(chain, network=known, observer=observer)


def _same_network(chain: Path, known: Network) -> None:
    """UsageError for an export that says itself that it is of another network."""
    from freehold.audit import lines

    try:
        with chain.open("rb") as source:
            told = next(lines.read(source)).fields.get("network")
    except (OSError, StopIteration, FreeholdError):
        return  # what is wrong with the file is said when it is verified
    found = told.get("network_id") if isinstance(told, dict) else None
    wanted = "0x" + known.network_id.hex()
    if isinstance(found, str) and found != wanted:
        raise UsageError(
            f"{chain} is an export of network {found[:66]!r}, not of {wanted!r}",
            remedy="Give the network.json of that network with --network, or another export.",
        )


def _live(
    home: Path | None, export: Path | None, screen: Screen, observer: Observer | None
) -> Report:
    from freehold.audit.verify import verify_live

    open_home(home)
    with open_ledger(home) as ledger, screen.waiting("reading the ledger") as label:
        return verify_live(
            [ledger.rpc],
            ledger.network,
            keep=export,
            observer=observer,
            progress=lambda stage, done, total: label(_stage(stage, done, total)),
        )


def _reckoner(account: str | None, epoch: int | None) -> Reckoner | None:
    """What reckons a payout; UsageError where only half of the question is there."""
    if account is None and epoch is None:
        return None
    if account is None or epoch is None:
        raise UsageError(
            "a payout is of an account and an epoch", remedy="Give --account and --epoch together."
        )
    from freehold.audit.reckoner import Reckoner

    return Reckoner(account, epoch)


def _payouts(screen: Screen, report: Report, reckoner: Reckoner | None) -> list[Payout]:
    """The payouts asked for, shown; none where something differs, since they rest on it."""
    if reckoner is None or not report.passed:
        return []
    found = reckoner.payouts(report.head_time)
    for each in found:
        screen.say(f"\n[bold]epoch {each.epoch}: {each.account}[/]")
        for step in each.steps:
            rule = f"{step.rule} = " if step.rule else ""
            screen.say(f"  {step.name}: {rule}{step.value}")
            if step.where:
                screen.say(f"    [dim]{step.where}[/]")
        screen.say(f"  earned {each.earned}, paid {each.paid}, in base units")
        if each.reason:
            screen.say(f"  [yellow]{each.reason}[/]")
    return found


def _stage(stage: str, done: int, total: int) -> str:
    """What is under way: ``export``, ``claims`` or ``verify``, so many of so many."""
    what = {"export": "reading blocks", "claims": "asking what the contracts claim"}
    return f"{what.get(stage, 'recomputing')}: {done:,} of {total:,}"


def _show(screen: Screen, report: Report) -> None:
    screen.table(
        f"{report.network}: blocks {report.first_block} to {report.head_block}",
        ("check", "things recomputed"),
        [(check, f"{count:,}") for check, count in sorted(report.counts.items())],
    )
    for note in report.notes:
        screen.say(f"[yellow]note: {note}[/]")
    if report.difference is None:
        screen.say("[green]✓ everything agrees[/]")
    else:
        screen.say(f"[red]✗ {report.difference.check}: {report.difference}[/]")
