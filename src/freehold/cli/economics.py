"""Token economics before launch: simulate one model, compare several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.home import read_text
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.screen import Screen, cancellable
from freehold.domain.errors import UsageError
from freehold.domain.files import PUBLIC, write_whole

if TYPE_CHECKING:
    from freehold.economics.simulation.figures import Figures
    from freehold.economics.simulation.scenario import Scenario

app = typer.Typer(
    name="economics", help="What a token model will do, before launch.", no_args_is_help=True
)
YearsOption = Annotated[int, typer.Option("--years", help="Years from launch, 1 to 50.")]
ScenarioOption = Annotated[
    Path | None, typer.Option("--scenario", help="TOML of assumptions; what it omits is default.")
]
PathsOption = Annotated[int, typer.Option("--paths", help="Monte Carlo paths, 1 to 100000.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of all draws.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite the report.")]
ReportOption = Annotated[
    Path | None, typer.Option("--out", help="The HTML report; by default in this folder.")
]


@app.command()
def simulate(
    *,
    preset: Annotated[
        str, typer.Option("--preset", help="filecoin, ionet, bittensor, or own (by scenario).")
    ],
    years: YearsOption = 10,
    scenario: ScenarioOption = None,
    paths: PathsOption = 1_000,
    seed: SeedOption = 1,
    out: ReportOption = None,
    force: ForceOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate a network's supply, stake and incomes; write an HTML report."""
    del home
    screen, target = Screen(as_json), out or Path(f"economics-{preset}.html")
    with cancellable():
        assumed = _read(scenario)
        _claim(target, force=force)
        found = _run(screen, [preset], assumed, years=years, paths=paths, seed=seed)[0]
        from freehold.economics.simulation import page
        from freehold.economics.simulation.findings import findings

        _write(target, page.render(found), force=force)
    noted = findings(found)
    screen.emit({"report": str(target), **found.to_json(), "findings": noted})
    _show(screen, found)
    for sentence in noted:
        screen.tell(f"[yellow]note: {sentence}[/]")
    screen.say(f"[green]✓[/] {target}")


@app.command()
def compare(
    presets: Annotated[list[str], typer.Argument(help="Two or more of the presets.")],
    *,
    years: YearsOption = 10,
    scenario: ScenarioOption = None,
    paths: PathsOption = 1_000,
    seed: SeedOption = 1,
    out: ReportOption = None,
    force: ForceOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put token models side by side under the same demand, costs and draws."""
    del home
    if len(set(presets)) != len(presets) or len(presets) < 2:
        raise UsageError(
            "a comparison takes two or more different presets",
            remedy="Try `freehold economics compare filecoin ionet bittensor`.",
        )
    screen, target = Screen(as_json), out or Path("economics-comparison.html")
    with cancellable():
        assumed = _read(scenario)
        _claim(target, force=force)
        found = _run(screen, presets, assumed, years=years, paths=paths, seed=seed)
        from freehold.economics.simulation import comparison

        _write(target, comparison.render(found), force=force)
    screen.emit({"report": str(target), **comparison.to_json(found)})
    title = f"after {years} years: medians of {paths:,} paths, seed {seed}"
    screen.table(title, ("at the end", *presets), comparison.rows(found))
    screen.say(f"[green]✓[/] {target}")


def _read(file: Path | None) -> Scenario:
    from freehold.economics.simulation.scenario import DEFAULT, parse_scenario

    return parse_scenario(read_text(file)) if file else DEFAULT


def _run(
    screen: Screen,
    names: Sequence[str],
    scenario: Scenario,
    *,
    years: int,
    paths: int,
    seed: int,
) -> list[Figures]:
    """The figures of each preset; all are chosen before any runs."""
    from freehold.economics.simulation.figures import figures
    from freehold.economics.simulation.model import simulate as live
    from freehold.economics.simulation.presets import choose

    chosen, found = [choose(name, scenario) for name in names], []
    for preset in chosen:
        with _bar(screen, preset.name) as advance:
            run = live(preset, scenario, years=years, paths=paths, seed=seed, progress=advance)
        found.append(figures(run))
    return found


@contextmanager
def _bar(screen: Screen, label: str) -> Iterator[Callable[[int, int], None]]:
    """Months done, on standard error; nothing for programs and pipes."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = screen.console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    quiet = screen.as_json or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task(f"{label}, months", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _claim(target: Path, *, force: bool) -> None:
    """Refuse before a long run what could not be written after it."""
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"{target} is no place for a report", remedy="Name a file with --out.")
    if target.exists() and not force:
        raise _exists(target)


def _write(target: Path, text: str, *, force: bool) -> None:
    try:
        write_whole(target, text.encode(), mode=PUBLIC, replace=force)
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written: {error.strerror}", remedy="Choose another --out."
        ) from error


def _exists(target: Path) -> UsageError:
    return UsageError(f"{target} exists", remedy="Give another --out, or --force to overwrite it.")


def _show(screen: Screen, found: Figures) -> None:
    from freehold.economics.simulation.page import COLUMNS, row

    run = found.run
    title = (
        f"{run.preset.name}: {run.paths:,} paths, seed {run.seed}; medians in {run.preset.symbol}"
    )
    rows, names = [row(year) for year in found.years], [name or "end of" for _, name, _ in COLUMNS]
    money = next(place for place, (_, _, unit) in enumerate(COLUMNS) if unit == "$")
    # Two tables, because one of twelve columns breaks its numbers in 80 characters.
    screen.table(title, names[:money], [each[:money] for each in rows])
    dollars = [[each[0], *each[money:]] for each in rows]
    screen.table("medians in US dollars", [names[0], *names[money:]], dollars)
    screen.tell(
        "[dim]The schedule is exact; the rest follows from the assumptions that the report lists."
        "[/]"
    )
