"""``python -m freehold.node --home DIR [--network FILE] [--port 7420] …``: one node process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from freehold.node.launch import launch, parser
from freehold.node.settings import NAMES, load


def main(arguments: Sequence[str]) -> int:
    """Run the node of a home; returns the exit code that says how it ended."""
    reader = parser("freehold.node", names=NAMES, about="node")
    return launch(reader.parse_args(arguments), NAMES, _begin)


def _begin(home: Path, flags: Mapping[str, str]) -> None:
    settings = load(home, flags=flags, environment=os.environ)
    from freehold.node.daemon import run

    run(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
