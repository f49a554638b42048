"""The noun ``freehold model``: models that you serve, and why they earn what they do."""

from __future__ import annotations

import typer

from freehold.cli.model import claiming, looking, serving, why

app = typer.Typer(name="model", help="Models that you serve.", no_args_is_help=True)
for room in (serving, looking, why, claiming):
    room.register(app)
