"""Nodes of a local network keep a port that nobody else uses."""

from __future__ import annotations

import socket
from pathlib import Path

from freehold.cli.local import keep_port, write_settings
from freehold.node.settings import load


def test_a_node_whose_port_was_taken_gets_another(tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        write_settings(tmp_path, {"capacity": "2GiB", "port": str(port)})
        assert keep_port(tmp_path)
        moved = load(tmp_path, flags={}, environment={})
        assert moved.port != port
        assert moved.capacity == 2 * 2**30
    assert not keep_port(tmp_path)
    assert load(tmp_path, flags={}, environment={}).port == moved.port
