"""Ports of this machine: those that servers keep, and those that a process has while it runs.

Both lie below those that systems hand out to connections: one of these could take a server's port
while the server is off. They lie apart for the same reason. ``FREEHOLD_PORTS=25000-25999`` says
where instead.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection

from freehold.domain.errors import CapacityError, UsageError

RANGE = range(20_000, 32_768)
ENVIRONMENT = "FREEHOLD_PORTS"
_TRIES = 500


def free_port(wanted: int = 0, *, avoid: Collection[int] = ()) -> int:
    """A port to keep: ``wanted`` where it is free, else any that is; none of ``avoid``, the ports
    of those that do not listen yet. CapacityError when none is free."""
    if wanted and wanted not in avoid and is_free("127.0.0.1", wanted):
        return wanted
    return _any(_lasting(), avoid)


def passing_port() -> int:
    """A port for a process that has it no longer than it runs; nobody keeps such a one."""
    ports = _range()
    return _any(range(_lasting().stop, ports.stop), ())


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens on a port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _any(ports: range, avoid: Collection[int]) -> int:
    for _ in range(_TRIES):
        port = ports.start + secrets.randbelow(len(ports))
        if port not in avoid and is_free("127.0.0.1", port):
            return port
    raise CapacityError(
        f"no port between {ports.start} and {ports.stop - 1} is free",
        remedy=f"Stop what listens there, or set {ENVIRONMENT} to another range.",
    )


def _lasting() -> range:
    ports = _range()
    return range(ports.start, ports.start + len(ports) * 4 // 5)


def _range() -> range:
    text = os.environ.get(ENVIRONMENT, "")
    if not text:
        return RANGE
    first, dash, last = text.partition("-")
    if dash and first.isdecimal() and last.isdecimal():
        ports = range(int(first), int(last) + 1)
        if ports.start >= 1024 and ports.stop <= 65_536 and len(ports) >= 10:
            return ports
    raise UsageError(
        f"{ENVIRONMENT} is {text!r}, no range of ports",
        remedy="Give first and last of ten ports or more, from 1024 to 65535: 25000-25999.",
    )
