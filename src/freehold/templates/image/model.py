"""Answers with the network that train.py wrote: which digit is in each image?

`freehold model serve model.py:answer` serves this function; change it as you like, as long as
inputs and outputs stay as subnet.toml says. `freehold model serve net.onnx` does the same without
any Python of yours.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions

Tensors = Mapping[str, NDArray[np.generic]]
NET = Path(__file__).with_name("net.onnx")


def answer(inputs: Tensors) -> Tensors:
    """`image` FP32 (rows, 784), 0 black to 1 white, row by row from the top left, gives
    `label` INT64 (rows,) and `probabilities` FP32 (rows, 10)."""
    labels, probabilities = _session().run(["label", "probabilities"], {"image": inputs["image"]})
    return {"label": labels, "probabilities": probabilities}


@cache
def _session() -> InferenceSession:
    if not NET.exists():
        raise FileNotFoundError(f"{NET} is missing: run `python train.py` first")
    options = SessionOptions()
    options.intra_op_num_threads = 1  # requests run beside each other; one thread each is fastest
    return InferenceSession(NET, options)
