"""``python -m freehold.node.agent --home DIR``: one device's agent, until it is told to end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from freehold.domain.errors import FreeholdError
from freehold.node.agent.agent import Agent, Progress
from freehold.node.ending import on_signals


def main(arguments: Sequence[str]) -> int:
    """Run the agent of a device's folder; returns the exit code that says how it ended."""
    parser = argparse.ArgumentParser(prog="python -m freehold.node.agent", allow_abbrev=False)
    parser.add_argument("--home", type=Path, required=True, help="folder of this device")
    home = Path(parser.parse_args(arguments).home).expanduser().absolute()
    try:
        serve(home, report=Teller().tell)
    except FreeholdError as error:
        sys.stderr.write(f"error: {error.message}\n  {error.remedy}\n")
        return error.exit_code
    return 0


def serve(home: Path, *, report: Callable[[Progress], None]) -> None:
    """Run the agent in ``home`` until SIGTERM or SIGINT."""
    agent = Agent.open(home)
    on_signals(agent.stop)
    agent.run(report)


class Teller:
    """Writes a line to standard error whenever what it says of errors changed."""

    def __init__(self) -> None:
        self._error: str | None = None

    def tell(self, progress: Progress) -> None:
        """Tell of progress, if there is something new to tell."""
        if progress.error != self._error:
            self._error = progress.error
            with suppress(OSError):  # nobody listens any more, which is no reason to stop
                sys.stderr.write(f"{progress.line()}\n")
                sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
