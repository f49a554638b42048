"""Draw the pictures of the documentation from a network that runs: `uv run python docs/pictures.py`.

Start one with `freehold up --detach`, store something, wait for a few periods.
"""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

from rich.console import Console

from freehold.cli import live
from freehold.cli.home import open_home
from freehold.cli.session import open_ledger

ASSETS = Path(__file__).parent / "assets"
WIDTH = 100


def main() -> None:
    """Draw the live view as it is now."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=None)
    root = parser.parse_args().home
    home = open_home(root)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    with open_ledger(root) as ledger:
        console.print(live.draw(live.look(ledger, home)))
    svg = console.export_svg(title="freehold up")
    # Without the remote fonts that rich names: a picture must not call anybody.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    (ASSETS / "up.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


if __name__ == "__main__":
    main()
