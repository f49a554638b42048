"""The noun ``freehold telemetry``: what the network's machines and devices measure."""

from __future__ import annotations

import typer

from freehold.cli.telemetry import reading, serving, sources

app = typer.Typer(
    name="telemetry",
    help="What machines and devices measure: the service, its readings, its sources.",
    no_args_is_help=True,
)
for room in (serving, reading):
    room.register(app)
app.add_typer(sources.app)
