"""Options that many commands share, with one wording each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", envvar="FREEHOLD_HOME", help="State folder of the network."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        envvar="FREEHOLD_PASSWORD_FILE",
        help="File that holds the keystore's password.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
