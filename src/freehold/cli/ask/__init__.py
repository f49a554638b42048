"""The verb ``freehold ask``: a question to the models of a competition."""

from __future__ import annotations

import typer

from freehold.cli.ask import asking


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command()(asking.ask)
