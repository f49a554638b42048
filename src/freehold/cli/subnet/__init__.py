"""The noun ``freehold subnet``: competitions between models."""

from __future__ import annotations

import typer

from freehold.cli.subnet import founding, funding, joining, looking

app = typer.Typer(name="subnet", help="Competitions between models.", no_args_is_help=True)
for room in (founding, looking, joining, funding):
    room.register(app)
