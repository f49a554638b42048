"""The HTTP server of a service: plain on loopback, TLS everywhere else."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from freehold.node.server import NodeServer, listen, make_server
from freehold.node.tls import ensure_certificate, server_context

CONNECTIONS = 512


@dataclass(frozen=True, slots=True)
class Service:
    """A server and the socket to serve it on; ``fingerprint`` of its certificate, empty where it
    speaks plain HTTP."""

    server: NodeServer
    socket: socket.socket
    fingerprint: bytes

    @property
    def port(self) -> int:
        """The port it listens on."""
        found: int = self.socket.getsockname()[1]
        return found


def make_service(
    app: FastAPI, *, host: str, port: int, home: Path, connections: int = CONNECTIONS
) -> Service:
    """A server for ``app``, with the limits of a node's; port 0 takes any free one.

    ConflictError when the port is taken.
    """
    bound = listen(host, port)
    # Connections inherit it. Without it the second part of every answer waits 40 ms for an ACK,
    # for asyncio sets it only on sockets that were made with the protocol's number.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if on_loopback(host):
        return Service(_plain(app, connections), bound, b"")
    try:
        certificate = ensure_certificate(home, host=host, now=int(time.time()))
        tls = server_context(certificate)
    except BaseException:
        bound.close()
        raise
    return Service(
        make_server(app, tls=tls, connections=connections), bound, certificate.fingerprint
    )


def _plain(app: FastAPI, connections: int) -> NodeServer:
    unused = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = make_server(app, tls=unused, connections=connections)
    server.config.ssl = None
    return server


def on_loopback(host: str) -> bool:
    """Whether nobody outside this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: whoever answers for it may say something else tomorrow
