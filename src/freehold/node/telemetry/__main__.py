"""``python -m freehold.node.telemetry --home DIR --network FILE [--port 7440] …``: one service."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from freehold.domain.errors import FreeholdError
from freehold.node.telemetry.settings import NAMES, load


def main(arguments: Sequence[str]) -> int:
    """Run the service of a home; returns the exit code that says how it ended."""
    parser = argparse.ArgumentParser(prog="python -m freehold.node.telemetry", allow_abbrev=False)
    parser.add_argument("--home", type=Path, required=True, help="folder of this service")
    for name in NAMES:
        parser.add_argument(f"--{name.replace('_', '-')}")
    given = vars(parser.parse_args(arguments))
    home = Path(given.pop("home")).expanduser().absolute()
    flags = {name: str(value) for name, value in given.items() if value is not None}
    try:
        settings = load(home, flags=flags, environment=os.environ)
        from freehold.node.telemetry.daemon import run

        run(settings)
    except FreeholdError as error:
        sys.stderr.write(f"error: {error.message}\n  {error.remedy}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
