"""What every process of a node's home does alike: its files, its lock, its signals."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from freehold.domain.errors import AccessError, ConflictError, NotFoundError
from freehold.domain.network import Network
from freehold.node.files import disk

LOCK = "lock"


class Stoppable(Protocol):
    """A server that ends when it is asked to."""

    should_exit: bool
    force_exit: bool


def read_network(file: Path) -> Network:
    """The network that a descriptor names; NotFoundError when there is no such file."""
    if not file.is_file():
        raise NotFoundError(
            f"there is no network descriptor at {file}",
            remedy="Name one with --network; its founder publishes it as network.json.",
        )
    with disk(file):
        return Network.parse(file.read_text())


def read_password(file: Path) -> str:
    """The keystore's password from a file; AccessError when there is none."""
    if not file.is_file():
        raise AccessError(
            f"there is no password file at {file}",
            remedy="Name the file that holds the keystore's password with --password.",
        )
    with disk(file):
        return file.read_text().strip()


@contextmanager
def signals(server: Stoppable) -> Iterator[None]:
    """SIGTERM and SIGINT end the server in order; a second one ends it at once."""

    def stop(_: int, __: object) -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(TypeError):  # set by something that is not Python
                signal.signal(number, handler)


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold ``home`` while the body runs; ConflictError while another process does."""
    with (home / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                f"another node process uses {home}",
                remedy="Stop it with `freehold node stop`, or name another home.",
            ) from error
        yield
