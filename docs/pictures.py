"""Draw the pictures of the documentation: `uv run python docs/pictures.py --home HOME`.

Start one with `freehold up --detach`, store something, kill a node, wait for a few periods. For
those of the tutorial on devices add `--device NAME`, when it has reported for a quarter of an hour
and was silent once.
"""

from __future__ import annotations

import argparse
import html
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import segno
from rich.console import Console
from rich.text import Text

from freehold.cli import live
from freehold.cli.device import enrolling
from freehold.cli.home import open_home
from freehold.cli.session import open_ledger
from freehold.cli.wallets import WalletFolder

ASSETS = Path(__file__).parent / "assets"
WIDTH, WIDE = 84, 120
SECONDS = 60.0
"""That a command may take."""
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


def live_view(root: Path | None) -> None:
    """Draw the live view of ``freehold up`` as it is now."""
    console = _console(WIDTH)
    with open_ledger(root) as ledger:
        console.print(live.draw(live.look(ledger, open_home(root))))
    _keep(console, "freehold up", "up.svg")


def command(root: Path | None, file: str, *arguments: str, width: int = WIDE) -> None:
    """Draw what a command prints, as a terminal of ``width`` characters shows it."""
    place = () if root is None else ("--home", str(root))
    told = subprocess.run(
        [sys.executable, "-m", "freehold.cli", *place, *arguments],
        capture_output=True, text=True, check=True, timeout=SECONDS,
        env=os.environ | {"COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm-256color"},
    )  # fmt: skip
    console = _console(width)
    console.print(Text.from_ansi(told.stdout.rstrip()))
    _keep(console, f"freehold {' '.join(arguments)}", file)


def pairing(root: Path | None, name: str) -> None:
    """Draw the code that a device shows its owner: a device of its own, made for the picture."""
    home = open_home(root)
    with tempfile.TemporaryDirectory(prefix="freehold-") as folder:
        owner = WalletFolder(home.wallet).address()
        wishes = enrolling.Wishes(sensors="host")
        network = home.network()
        _, keys = enrolling.prepare(Path(folder) / name, network, owner, wishes)
        code = enrolling.pairing_code(
            network, keys, owner=owner, generation=1, now=int(time.time())
        )
    made = segno.make(code.encode(), error="m", micro=False)
    made.save(str(ASSETS / "pairing.svg"), scale=3, border=4, light="white")


def main() -> None:
    """Draw the views as they are now; those of devices where ``--device`` names one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--device", default="", help="name of a device of this home that reports")
    parser.add_argument("--metric", default="host.memory.share", help="what to plot of it")
    given = parser.parse_args()
    root, device = given.home, given.device
    if not device:
        live_view(root)
        return
    command(root, "devices.svg", "device", "list")
    query = ("telemetry", "query", "--device", device, "--metric", given.metric)
    command(root, "readings.svg", *query, "--plot", "--since", "15m", width=WIDTH)
    command(root, "alerts.svg", "alert", "list")
    pairing(root, device)


def _console(width: int) -> Console:
    return Console(record=True, width=width, file=io.StringIO(), highlight=False, emoji=False)


def _keep(console: Console, title: str, file: str) -> None:
    svg = console.export_svg(title=title)
    # Without the remote fonts that rich names: a picture must not call anybody.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("font-variant-east-asian: full-width;", "")
    svg = _TEXT.sub(_words, svg)
    (ASSETS / file).write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


if __name__ == "__main__":
    main()
