"""The door of ``freehold``: Python may keep what it compiles, then the command line is imported.

Where PYTHONDONTWRITEBYTECODE is set, every command and each of the ten processes of `up` would
compile the same hundreds of modules again; uv's own compilation takes every file of every
package, 13 s at the first start, and looks at them all at each `uv run`.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; its children keep what they compile too."""
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        from freehold.cli.main import main as run
    except KeyboardInterrupt:
        raise SystemExit(3) from None
    run()


if __name__ == "__main__":
    main()
