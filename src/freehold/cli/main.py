"""``freehold``: assembles the nouns and turns errors into messages and exit codes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from freehold import __version__
from freehold.cli import (
    account,
    alerts,
    ask,
    auction,
    data,
    deals,
    device,
    earnings,
    economics,
    issuance,
    model,
    network,
    nodes,
    objects,
    rewards,
    run,
    stake,
    standing,
    subnet,
    telemetry,
    validate,
    verify,
)
from freehold.domain.errors import FreeholdError

app = typer.Typer(
    name="freehold",
    help="Strangers run one cloud and pay only for work that anyone can re-check.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for room in (run, objects, ask, verify, earnings):
    room.register(app)
app.command()(validate.validate)
for noun in (
    account.wallet, stake.app, deals.app, nodes.app, device.app, data.app, standing.app,
    subnet.app, model.app, telemetry.app, alerts.app, rewards.app, network.app, issuance.app,
    economics.app, auction.app,
):  # fmt: skip
    app.add_typer(noun)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    home: Annotated[
        Path | None, typer.Option("--home", help="State folder, for any command.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
    if home is not None:
        os.environ["FREEHOLD_HOME"] = str(home)


def explain(error: FreeholdError, *, as_json: bool) -> str:
    """What the user reads (or a program parses) when ``error`` ends a command."""
    if as_json:
        fields = {"error": error.message, "remedy": error.remedy, "kind": type(error).__name__}
        return json.dumps(fields)
    return f"freehold: {error.message}\n  {error.remedy}"


def main() -> None:
    """Run the command line; the exit codes are those of the errors' page (0 to 6)."""
    try:
        app()
    except FreeholdError as error:
        sys.stderr.write(explain(error, as_json="--json" in sys.argv) + "\n")
        sys.exit(error.exit_code)
