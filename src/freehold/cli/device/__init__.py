"""The noun ``freehold device``: sensors and meters that you own."""

from __future__ import annotations

import typer

from freehold.cli.device import looking, ordering, pairing, rules, running

app = typer.Typer(name="device", help="Sensors and meters that you own.", no_args_is_help=True)
for room in (pairing, looking, running, ordering):
    room.register(app)
app.add_typer(rules.app)
