"""What processes of tests find in their environment."""

from __future__ import annotations

import os

from freehold.ledger.devnet.ports import ENVIRONMENT as PORTS


def outside() -> dict[str, str]:
    """The environment without settings of Freehold, but for the ports that are this process's."""
    return {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("FREEHOLD_") or name == PORTS
    }
