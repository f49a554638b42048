"""How the processes of this room begin: a home, settings as flags, and errors as exit codes."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from freehold.domain.errors import FreeholdError

Begin = Callable[[Path, Mapping[str, str]], None]
"""Runs a home with the flags that were given, until it ends."""


def parser(prog: str, *, names: Iterable[str], about: str) -> ArgumentParser:
    """Reads ``--home`` and a flag for each of the settings ``names``."""
    made = ArgumentParser(prog=f"python -m {prog}", allow_abbrev=False)
    made.add_argument("--home", type=Path, required=True, help=f"folder of this {about}")
    for name in names:
        made.add_argument(f"--{name.replace('_', '-')}")
    return made


def launch(options: Namespace, names: Iterable[str], begin: Begin) -> int:
    """Begin what ``parser`` read; the exit code that says how it ended."""
    home = options.home.expanduser().absolute()
    given = {name: getattr(options, name) for name in names}
    try:
        begin(home, {name: text for name, text in given.items() if text is not None})
    except FreeholdError as error:
        sys.stderr.write(f"error: {error.message}\n  {error.remedy}\n")
        return error.exit_code
    return 0
