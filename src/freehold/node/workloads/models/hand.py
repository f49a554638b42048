"""One process of a model, as the server holds it: started, asked, timed, killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

from freehold.domain.errors import FreeholdError, UnavailableError
from freehold.markets.models.tensor import (
    MalformedError,
    Request,
    Tensor,
    decode_response,
    encode_request,
)
from freehold.node.logs import fields
from freehold.node.workloads.models.brake import Brake
from freehold.node.workloads.models.plan import Hello, Plan
from freehold.node.workloads.models.refusals import (
    BrokenModelError,
    ModelFailedError,
    ModelLostError,
    ModelTimeoutError,
)
from freehold.node.workloads.models.wire import (
    ANSWER,
    ASK,
    ERROR,
    HELLO,
    LIMITS,
    Frame,
    read,
    write,
)

CORRECT = "The server's log has the reason; its owner must correct the model."
BUFFER = 2**20
LINE_MAX, LINES, LINE_SECONDS = 500, 100, 10.0
"""Characters of a printed line, and lines that are logged of one process in so many seconds."""
_SETTINGS = "FREEHOLD_"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_log = logging.getLogger(__name__)


class _Reader(asyncio.StreamReader):
    """A reader that tells of the end."""

    ended: Callable[[], None] | None = None

    def feed_eof(self) -> None:
        super().feed_eof()
        if self.ended is not None:
            self.ended()


class Hand:
    """A model's process that is warm; ``hello`` is what it said of itself."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: _Reader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self._printed = asyncio.ensure_future(_print(process))
        self._hello: Hello | None = None
        self._asked = 0

    @property
    def hello(self) -> Hello:
        """What it said when it was warm."""
        if self._hello is None:
            raise RuntimeError("not started")
        return self._hello

    @property
    def gone(self) -> bool:
        """Whether the process has ended, as far as its end of the socket pair tells."""
        return self._reader.at_eof()

    def when_gone(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` when the process ends, now if it has."""
        self._reader.ended = tell
        if self.gone:
            tell()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @classmethod
    async def start(cls, plan: Plan, *, seconds: float) -> Hand:
        """A process that has loaded ``plan`` and is warm.

        BrokenModelError when it cannot, or is not within ``seconds``.
        """
        here, there = socket.socketpair()
        try:
            with there:
                process = _spawn(there, plan.threads)
        except BaseException:
            here.close()
            raise
        hand = cls(process, *await _streams(here))
        try:
            async with asyncio.timeout(seconds):
                write(hand._writer, plan.frame())
                hand._hello = _greeted(await read(hand._reader))
        except TimeoutError as error:
            await hand.close()
            raise BrokenModelError(
                f"{plan.source.file.name} was not loaded and warm within {seconds:g} s",
                remedy="Give it longer with --start-timeout, or load less.",
            ) from error
        except (OSError, asyncio.IncompleteReadError) as error:
            status = await hand.close()
            raise BrokenModelError(
                f"the process of {plan.source.file.name} ended while it was loaded ({status})",
                remedy="See the log for what it printed; raise --memory if it is bound.",
            ) from error
        except BaseException:
            await hand.close()
            raise
        return hand

    async def call(self, inputs: Sequence[Tensor], *, seconds: float) -> tuple[Tensor, ...]:
        """The model's outputs.

        ModelFailedError: it raised or broke its schema, and can be asked again. ModelTimeoutError
        and ModelLostError: the process is gone; close it.
        """
        self._asked += 1
        number = str(self._asked)
        body = encode_request(Request(tuple(inputs), number), binary=True)
        try:
            async with asyncio.timeout(seconds):
                write(self._writer, Frame.of(ASK, body))
                frame = await read(self._reader)
        except TimeoutError as error:
            raise ModelTimeoutError(
                f"the model did not answer within {seconds:g} s",
                remedy="Ask less at a time, or another node.",
            ) from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise ModelLostError(
                "the model's process ended over the request", remedy="Try again, or another node."
            ) from error
        except FreeholdError as error:
            raise ModelLostError(error.message, remedy=error.remedy) from error
        return _outputs(frame, number)

    async def close(self) -> str:
        """End the process and all that it started; says how it ended."""
        if self._process.returncode is not None:
            return f"exit code {self._process.returncode}"
        self._writer.close()
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        status = await asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        await asyncio.wait([self._printed], timeout=1.0)
        self._printed.cancel()
        return f"exit code {status}" if status >= 0 else f"signal {-status}"


async def _streams(connection: socket.socket) -> tuple[_Reader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = _Reader(limit=BUFFER)
    transport, protocol = await loop.create_connection(
        lambda: asyncio.StreamReaderProtocol(reader), sock=connection
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _spawn(there: socket.socket, threads: int) -> subprocess.Popen[bytes]:
    number = there.fileno()
    command = [sys.executable, "-m", "freehold.node.workloads.models.worker"]
    try:
        return subprocess.Popen(  # noqa: S603 - this program, with numbers for arguments
            [*command, str(number), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(number,),
            env=_environment(threads),
            start_new_session=True,
        )
    except OSError as error:
        raise UnavailableError(
            f"no process can be started for the model: {error.strerror}",
            remedy="Raise the machine's limits on processes and memory.",
        ) from error


def _environment(threads: int) -> dict[str, str]:
    """Ours, without our own settings, and with as many threads for numpy as were asked for."""
    found = {k: v for k, v in os.environ.items() if not k.startswith(_SETTINGS)}
    for name in _THREADS:
        found.setdefault(name, str(threads))
    return found | {"PYTHONUNBUFFERED": "1"}


def _greeted(frame: Frame) -> Hello:
    if frame.kind == HELLO:
        return Hello.read(frame)
    members = frame.members()
    raise BrokenModelError(str(members.get("message")), remedy=str(members.get("remedy")))


def _outputs(frame: Frame, number: str) -> tuple[Tensor, ...]:
    """The outputs of the answer to request ``number``; the reason of a failure stays in the log."""
    try:
        if frame.kind == ANSWER:
            response = decode_response(frame.data, frame.header, LIMITS)
            _check_number(response.id, number)
            return response.outputs
        members = frame.members() if frame.kind == ERROR else {}
        _check_number(members.get("id"), number)
    except FreeholdError as error:
        raise ModelLostError(error.message, remedy=error.remedy) from error
    kind, reason = str(members.get("kind", "Error")), str(members.get("message", ""))
    _log.warning("the model failed", extra=fields(kind=kind, reason=reason))
    if members.get("raised"):
        raise ModelFailedError(f"the model raised {kind}", remedy=CORRECT)
    raise ModelFailedError(f"the model gave no answer: {reason}", remedy=CORRECT)


def _check_number(found: object, number: str) -> None:
    """An answer to another request would be given to somebody who asked something else."""
    if found != number:
        raise MalformedError(
            "the model's process answered what it was not asked",
            remedy="Let the model leave the file descriptors alone that it did not open.",
        )


async def _print(process: subprocess.Popen[bytes]) -> None:
    """Log what the model prints, so much of it as is bearable, and read the rest."""
    if process.stdout is None:
        return
    reader = asyncio.StreamReader(limit=BUFFER)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stdout
    )
    try:
        brake = Brake(most=LINES, seconds=LINE_SECONDS)
        while chunk := await reader.read(4096):
            for line in filter(None, chunk.decode(errors="replace").splitlines()):
                if brake.go():
                    said = fields(pid=process.pid, line=line[:LINE_MAX], dropped=brake.since())
                    _log.info("the model says", extra=said)
    finally:
        transport.close()
