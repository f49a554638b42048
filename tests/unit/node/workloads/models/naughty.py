"""A model that does what its first input tells it to: each way in which one can go wrong."""

import os
import signal
import sys
import time

import numpy as np
from numpy.typing import NDArray

Answer = dict[str, object]

schema = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
}
HANG, EXIT, KILL, RAISE, SHAPE, DTYPE, NAN = range(100, 107)
NAMES, NOTHING, PRINT, EAT, GARBAGE, SLOW, ROWS, FORGE = range(107, 115)


def answer(inputs: dict[str, NDArray[np.float32]]) -> Answer:
    x = inputs["x"]
    for value in x[:, 0]:
        found = act(value, x)
        if found is not None:
            return found
    return {"y": x * 2}


def act(value: float, x: NDArray[np.float32]) -> Answer | None:
    if value == HANG:
        time.sleep(3600)
    elif value == EXIT:
        os._exit(3)
    elif value == KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    elif value == RAISE:
        raise ValueError("the secret reason")
    elif value == SHAPE:
        return {"y": x[:, 0]}
    elif value == DTYPE:
        return {"y": x.astype("f8")}
    elif value == NAN:
        return {"y": x * np.nan}
    elif value == NAMES:
        return {"z": x}
    elif value == NOTHING:
        return {"y": object()}
    elif value == PRINT:
        print("hello from the model", "x" * 10_000)
        sys.stdout.flush()
    elif value == EAT:
        return {"y": np.ones(2**28, "f8").reshape(-1, 1)}
    elif value == GARBAGE:
        for number in range(3, 32):
            try:
                os.write(number, b"garbage" * 8)
            except OSError:
                continue
    elif value == FORGE:
        forge()
    elif value == SLOW:
        time.sleep(0.2)
    elif value == ROWS:
        return {"y": x[:1].repeat(len(x) + 1, axis=0)}
    return None


def forge() -> None:
    """Answer past the code that checks answers."""
    from freehold.markets.models.tensor import Response, Tensor, encode_response
    from freehold.node.workloads.models.wire import ANSWER, Frame

    wrong = Response("", (Tensor.of("y", np.zeros((1, 1), "<f4")),))
    frame = Frame.of(ANSWER, encode_response(wrong, binary={"y"}))
    os.write(int(sys.argv[1]), frame.head() + frame.data)
