"""``python -m freehold.node.workloads.models.worker FD``: one process of a model.

It is started by the server with one end of a socket pair. Standard input is empty, what the model
prints goes to the server's log. It ends when the server does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import traceback

from freehold.domain.errors import FreeholdError
from freehold.markets.models.tensor import (
    Response,
    Schema,
    Tensor,
    TooLargeError,
    decode_request,
    encode_response,
)
from freehold.node.workloads.models.loading import Loaded, describe, load
from freehold.node.workloads.models.plan import Hello, Plan
from freehold.node.workloads.models.warming import warm
from freehold.node.workloads.models.wire import (
    ANSWER,
    ANSWER_MAX,
    ERROR,
    LIMITS,
    Frame,
    receive,
    send,
)

_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Load, warm up and answer until the other end is closed; 1 when the model is broken."""
    _end_with(int(arguments[1]))
    with socket.socket(fileno=int(arguments[0])) as connection:
        told = receive(connection)
        if told is None:
            return 0
        plan = Plan.read(told)
        _bound(plan.memory)
        try:
            model = _start(plan, connection)
        except FreeholdError as error:
            send(connection, _error(error, type(error).__name__))
            return 1
        while (frame := receive(connection)) is not None:
            send(connection, _answer(model, frame))
    return 0


def _end_with(parent: int) -> None:
    """Have this process killed when the server dies, whatever the model is doing (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _bound(memory: int) -> None:
    """Bound the bytes of data; what asks for more gets a MemoryError, or is ended."""
    if memory:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _start(plan: Plan, connection: socket.socket) -> Loaded:
    version = plan.source.version()
    model = load(plan.source, schema=plan.schema, threads=plan.threads)
    warmth = warm(model, max_batch=plan.max_batch)
    hello = Hello(model.schema, model.platform, version, warmth.batches, warmth.note)
    send(connection, hello.frame())
    return model


def _answer(model: Loaded, frame: Frame) -> Frame:
    request = decode_request(frame.data, frame.header, LIMITS)
    number = request.id
    try:
        outputs = model.answer(request.inputs)
        model.schema.check_outputs(outputs)
        _check_size(outputs)
    except FreeholdError as error:
        return _error(error, type(error).__name__, number)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the owner's code
        traceback.print_exc()
        return _failed(describe(error), type(error).__name__, number)
    response = Response("", _ordered(outputs, model.schema), id=number)
    return Frame.of(ANSWER, encode_response(response, binary={t.name for t in outputs}))


def _check_size(outputs: tuple[Tensor, ...]) -> None:
    size = sum(len(tensor.data) for tensor in outputs)
    if size > ANSWER_MAX:
        raise TooLargeError(
            f"the answer has {size:,} bytes, more than {ANSWER_MAX:,}",
            remedy="Let the model answer less at a time.",
        )


def _ordered(outputs: tuple[Tensor, ...], schema: Schema) -> tuple[Tensor, ...]:
    found = {tensor.name: tensor for tensor in outputs}
    return tuple(found[spec.name] for spec in schema.outputs)


def _error(error: FreeholdError, kind: str, number: str = "") -> Frame:
    members = {"message": error.message, "remedy": error.remedy, "kind": kind, "id": number}
    return Frame.note(ERROR, members)


def _failed(message: str, kind: str, number: str) -> Frame:
    members = {"message": message, "remedy": "", "kind": kind, "raised": True, "id": number}
    return Frame.note(ERROR, members)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
