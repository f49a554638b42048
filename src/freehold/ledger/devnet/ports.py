"""Ports of this machine that servers can have for good.

They lie below those that systems hand out to connections: one of these could take a server's port
while the server is off.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection

from freehold.domain.errors import CapacityError

RANGE = range(20_000, 32_768)
_TRIES = 500


def free_port(wanted: int = 0, *, avoid: Collection[int] = ()) -> int:
    """``wanted`` where it is free, else any that is; none of ``avoid``, the ports of those that
    do not listen yet."""
    if wanted and wanted not in avoid and is_free("127.0.0.1", wanted):
        return wanted
    for _ in range(_TRIES):
        port = RANGE.start + secrets.randbelow(len(RANGE))
        if port not in avoid and is_free("127.0.0.1", port):
            return port
    raise CapacityError(
        f"no port between {RANGE.start} and {RANGE.stop} is free",
        remedy="Stop what listens there, and start again.",
    )


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens on a port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
