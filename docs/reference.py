"""Write the reference pages that follow from the code: `uv run python docs/reference.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from freehold.cli.main import app
from freehold.domain.money import show
from freehold.node import settings as node
from freehold.node.telemetry import settings as service
from freehold.node.validator import settings as validator
from freehold.node.workloads.models import settings as model

PAGES = Path(__file__).parent / "reference"
Kind = type[node.Settings | service.Settings | model.Settings | validator.Settings]


def commands() -> str:
    """The page of commands, from the command line's own help."""
    root = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "Written by `uv run python docs/reference.py` from the help of the program. Every command "
        "takes `--help`, `--json` and `--home`; exit codes are 0 ok, 1 failure, 2 usage, "
        "3 cancelled, 4 key or permission, 5 refused by the ledger, 6 unavailable.",
    ]
    return "\n".join([*lines, *_command(root, "freehold")]) + "\n"


def _command(command: object, path: str) -> Iterator[str]:
    if isinstance(command, TyperGroup):
        for name, child in sorted(command.commands.items()):
            yield from _command(child, f"{path} {name}")
        return
    if not isinstance(command, TyperCommand):
        raise TypeError(f"{path} is no command")
    arguments = [p for p in command.params if isinstance(p, TyperArgument)]
    options = [p for p in command.params if isinstance(p, TyperOption)]
    usage = " ".join(_place(argument) for argument in arguments)
    yield from ("", f"## `{f'{path} {usage}'.strip()}`", "", (command.help or "").strip(), "")
    for argument in arguments:
        yield f"- `{(argument.name or '').upper()}`: {argument.help}"
    for option in options:
        if option.name not in ("home", "as_json", "help"):
            yield f"- `{option.opts[0]}`: {option.help}"


def _place(argument: TyperArgument) -> str:
    name = (argument.name or "").upper()
    return name if argument.required else f"[{name}]"


def node_settings() -> str:
    """The page of a node's settings."""
    place = f"A flag of `python -m freehold.node` wins over the environment (`{node.PREFIX}<NAME>`)"
    sizes = "Sizes are bytes (`64GiB`), spans seconds (`90d`), prices tokens."
    text = f"{place}, that over `{node.FILE}` in the node's folder. {sizes}"
    return _settings("Settings of a node", text, node.Settings, node.NAMES)


def telemetry_settings() -> str:
    """The page of a telemetry service's settings."""
    place = "A flag of `python -m freehold.node.telemetry` wins over the environment"
    sizes = "Sizes are bytes (`64GiB`), spans seconds (`90d`)."
    text = f"{place} (`{service.PREFIX}<NAME>`), that over `{service.FILE}` in its folder. {sizes}"
    return _settings("Settings of a telemetry service", text, service.Settings, service.NAMES)


def model_settings() -> str:
    """The page of a model server's settings."""
    place = "A flag of `python -m freehold.node.workloads.models` wins over the environment"
    sizes = "Sizes are bytes (`16MiB`), spans seconds (`30s`), money tokens (base units inside)."
    text = f"{place} (`{model.PREFIX}<NAME>`), that over `{model.FILE}` in its folder. {sizes}"
    money = frozenset({"price", "coin"})
    return _settings("Settings of a model server", text, model.Settings, model.NAMES, money)


def validator_settings() -> str:
    """The page of a validator's settings."""
    place = "A flag of `python -m freehold.node.validator` wins over the environment"
    sizes = "Sizes are bytes (`2GiB`), spans seconds (`30s`), money tokens (base units inside)."
    names, own = validator.NAMES, f"(`{validator.PREFIX}<NAME>`), that over `{validator.FILE}`"
    text = f"{place} {own} in its folder. {sizes}"
    money = frozenset({"propose", "spend", "fare"})
    return _settings("Settings of a validator", text, validator.Settings, names, money)


def _settings(
    title: str,
    text: str,
    kind: Kind,
    names: tuple[str, ...],
    money: frozenset[str] = frozenset(),
) -> str:
    """A page; the settings in ``money`` are base units in the program, and tokens for people."""
    defaults = {f.name: f.default for f in dataclasses.fields(kind)}
    defaults |= {name: show(int(str(defaults[name]))) for name in money}
    written = f"Written by `uv run python docs/reference.py`. {text}"
    lines = [f"# {title}", "", written, "", "| setting | default |", "|---|---|"]
    for name in names:
        default = defaults[name]
        home = default is dataclasses.MISSING
        value = f"`{default}`" if default != "" else "empty"
        shown = f"in the {title.split(maxsplit=3)[-1]}'s folder" if home else value
        lines.append(f"| `{name}` | {shown} |")
    return "\n".join([*lines, "", *_meaning(kind)]) + "\n"


def _meaning(kind: type[object]) -> Iterator[str]:
    text = (kind.__doc__ or "").strip()
    yield from ("", *(line.strip() for line in text.splitlines())) if text else ()


PAGES_OF: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "node-settings.md": node_settings,
    "telemetry-settings.md": telemetry_settings,
    "model-settings.md": model_settings,
    "validator-settings.md": validator_settings,
}


def main() -> None:
    """Write all of them."""
    for name, page in PAGES_OF.items():
        (PAGES / name).write_text(page())


if __name__ == "__main__":
    main()
