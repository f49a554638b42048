"""Write the reference pages that follow from the code: `uv run python docs/reference.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from freehold.cli.main import app
from freehold.node.settings import NAMES, PREFIX, Settings

PAGES = Path(__file__).parent / "reference"


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


def settings() -> str:
    """The page of a node's settings, from their defaults."""
    defaults = {f.name: f.default for f in dataclasses.fields(Settings)}
    lines = [
        "# Settings of a node",
        "",
        "Written by `uv run python docs/reference.py`. A flag of `python -m freehold.node` wins "
        f"over the environment (`{PREFIX}<NAME>`), that over `node.toml` in the node's folder. "
        "Sizes are bytes (`64GiB`), spans seconds (`90d`), prices tokens.",
        "",
        "| setting | default |",
        "|---|---|",
    ]
    for name in NAMES:
        default = defaults[name]
        shown = "in the node's folder" if default is dataclasses.MISSING else f"`{default}`"
        lines.append(f"| `{name}` | {shown} |")
    return "\n".join([*lines, "", *_meaning()]) + "\n"


def _meaning() -> Iterator[str]:
    text = (Settings.__doc__ or "").strip()
    yield from ("", *(line.strip() for line in text.splitlines())) if text else ()


PAGES_OF = {"commands.md": commands, "node-settings.md": settings}


def main() -> None:
    """Write all of them."""
    for name, page in PAGES_OF.items():
        (PAGES / name).write_text(page())


if __name__ == "__main__":
    main()
