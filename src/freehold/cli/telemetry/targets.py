"""Where a hook leads: to everybody's network, or to a private one, which must be meant."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from freehold.domain.errors import UsageError

_PORT = 443


def check_public(host: str) -> None:
    """UsageError where a host has an address of this machine or of a private network.

    The service looks again before each message, so a name that is not known here is left to it.
    """
    for address in _addresses(host):
        if not _is_public(address):
            raise UsageError(
                f"{host} is an address of a private network: {address}",
                remedy="If that is meant, add --private; else use a URL that all can reach.",
            )


def _addresses(host: str) -> list[IPv4Address | IPv6Address]:
    try:
        found = socket.getaddrinfo(host, _PORT, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ip_address(str(each[4][0]).partition("%")[0]) for each in found]


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    judged = inner or address
    return judged.is_global and not judged.is_multicast
