"""The devnet's server process: ``python -m freehold.ledger.devnet --home HOME``.

It writes one JSON line on its standard output, ``{"ready": url}`` or ``{"error": …}``, and its log
to HOME/devnet/devnet.log. SIGTERM and SIGINT end it after a dump; so does the end of its
standard input with ``--follow-stdin``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
import uvloop

from freehold.domain.clock import SystemClock
from freehold.domain.errors import ConflictError, FreeholdError, UnavailableError
from freehold.ledger.devnet import engine
from freehold.ledger.devnet.chain import Chain
from freehold.ledger.devnet.disk import FolderDisk
from freehold.ledger.devnet.home import CHAIN_ID, FOLDER, Home, Lock, create_or_open
from freehold.ledger.devnet.machine import Machine
from freehold.ledger.devnet.saver import DumpPolicy
from freehold.ledger.devnet.server import Server

_log = logging.getLogger("freehold.devnet")


class _Uvicorn(uvicorn.Server):
    """Leaves signals to us: the chain is dumped after the last request."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield


def main() -> int:
    """Serve until told to stop; the exit code."""
    options = _options()
    home = Path(options.home)
    try:
        lock = Lock.take(home / FOLDER)
    except FreeholdError as error:
        return _report(error)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(home, options))
    except FreeholdError as error:
        _log.error("%s", error)
        return _report(error)
    finally:
        lock.release()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m freehold.ledger.devnet")
    parser.add_argument("--home", required=True)
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--chain-id", type=int, default=CHAIN_ID)
    parser.add_argument("--admin", action="store_true", help="let tests move time and blocks")
    parser.add_argument("--follow-stdin", action="store_true", help="stop when stdin ends")
    parser.add_argument("--dump-records", type=int, default=DumpPolicy().records)
    parser.add_argument("--dump-seconds", type=float, default=DumpPolicy().seconds)
    return parser.parse_args()


async def _serve(folder: Path, options: argparse.Namespace) -> int:
    clock = SystemClock()
    home = create_or_open(
        folder,
        now=clock.now(),
        random=secrets.token_bytes,
        chain_id=options.chain_id,
        port=options.port,
    )
    logging.basicConfig(
        filename=home.log,
        format="%(asctime)s %(levelname)s %(message)s",
        level=logging.INFO,
    )
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    listener = _listen(home)
    machine = Machine(
        home=home,
        binary=engine.install(),
        disk=FolderDisk(home.folder / "chain"),
        clock=clock,
        policy=DumpPolicy(records=options.dump_records, seconds=options.dump_seconds),
    )
    chain = Chain(machine)
    try:
        await chain.open()
        return await _answer(chain, listener, home, options)
    finally:
        await chain.close()
        listener.close()


async def _answer(
    chain: Chain, listener: socket.socket, home: Home, options: argparse.Namespace
) -> int:
    config = uvicorn.Config(
        Server(chain, admin=options.admin),
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        log_level="warning",
        limit_concurrency=1_024,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=10,
    )
    server = _Uvicorn(config)
    stop = _stop_requests(follow_stdin=options.follow_stdin)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    _say({"ready": home.url, "pid": os.getpid()})
    failed = asyncio.create_task(chain.failed.wait())
    await asyncio.wait({stop, failed, serving}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving
    stop.cancel()
    failed.cancel()
    return UnavailableError.exit_code if chain.failed.is_set() else 0


def _stop_requests(*, follow_stdin: bool) -> asyncio.Task[bool]:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if follow_stdin:

        def drained() -> None:
            if not os.read(0, 4_096):
                loop.remove_reader(0)
                stop.set()

        loop.add_reader(0, drained)
    return asyncio.create_task(stop.wait())


def _listen(home: Home) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", home.port))
    except OSError as error:
        listener.close()
        raise ConflictError(
            f"port {home.port} of the devnet in {home.folder} is taken: {error}",
            remedy="Stop the program that listens there, and start again.",
        ) from error
    listener.listen(1_024)
    return listener


def _report(error: FreeholdError) -> int:
    _say({"error": type(error).__name__, "message": error.message, "remedy": error.remedy})
    return error.exit_code


def _say(fields: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
