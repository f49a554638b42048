"""A process that puts a file and stops half-way: ``python -m journeys.putter HOME FILE``.

It says ``half`` once half of all columns has been sent, and then waits to be killed.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from freehold.client.options import Options
from journeys.town import Town


def stop_half_way(done: int, total: int) -> None:
    if 2 * done >= total:
        sys.stdout.write("half\n")
        sys.stdout.flush()
        while True:
            signal.pause()


if __name__ == "__main__":
    options = Options(segment_length=4 * 2**20)
    with Town.reopen(Path(sys.argv[1])).client(options) as client:
        client.put(Path(sys.argv[2]), "fifth/large", progress=stop_half_way)
