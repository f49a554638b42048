"""Draw the pictures of the documentation: `uv run python docs/pictures.py --home HOME`.

Start one with `freehold up --detach`, store something, kill a node, wait for a few periods.
"""

from __future__ import annotations

import argparse
import html
import io
import re
from pathlib import Path

from rich.console import Console

from freehold.cli import live
from freehold.cli.home import open_home
from freehold.cli.session import open_ledger

ASSETS = Path(__file__).parent / "assets"
WIDTH = 84
_CELL = 12.2
"""Width of a character in the pictures that rich draws."""
_TEXT = re.compile(
    r'<text class="([^"]*)" x="([0-9.]+)" (y="[^"]*") textLength="[^"]*"( [^>]*)>(.*?)</text>'
)


def _words(match: re.Match[str]) -> str:
    """One text a run of words: not every viewer keeps the spaces at the ends of a text."""
    kind, left, top, rest, content = match.groups()
    text = html.unescape(content).replace("\N{NO-BREAK SPACE}", " ")
    found = re.finditer(r"\S+(?: \S+)*", text)
    return "".join(
        f'<text class="{kind}" x="{float(left) + run.start() * _CELL:g}" {top} '
        f'textLength="{len(run[0]) * _CELL:g}"{rest}>{html.escape(run[0])}</text>'
        for run in found
    )


def main() -> None:
    """Draw the live view as it is now."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=None)
    root = parser.parse_args().home
    home = open_home(root)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    with open_ledger(root) as ledger:
        console.print(live.draw(live.look(ledger, home)))
    svg = console.export_svg(title="freehold up")
    # Without the remote fonts that rich names: a picture must not call anybody.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("font-variant-east-asian: full-width;", "")
    svg = _TEXT.sub(_words, svg)
    (ASSETS / "up.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


if __name__ == "__main__":
    main()
