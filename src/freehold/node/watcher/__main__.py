"""The watcher's process: ``python -m freehold.node.watcher --home HOME --network network.json``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from freehold.domain.errors import FreeholdError
from freehold.domain.network import Network
from freehold.ledger.keystore import load
from freehold.node import logs
from freehold.node.watcher.daemon import Watch, run


def main() -> int:
    """Run until stopped; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m freehold.node.watcher")
    parser.add_argument("--home", type=Path, required=True, help="the watcher's state folder")
    parser.add_argument("--network", type=Path, required=True, help="network.json")
    parser.add_argument("--metrics", type=int, default=0, help="port of the metrics, 0 for none")
    options = parser.parse_args()
    logs.setup("info")
    try:
        key = load(options.home / "key.json", (options.home / "password").read_text().strip())
        network = Network.parse(options.network.read_text())
        run(Watch(options.home, network, key, options.metrics))
    except FreeholdError as error:
        sys.stderr.write(f"watcher: {error.message}\n  {error.remedy}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
