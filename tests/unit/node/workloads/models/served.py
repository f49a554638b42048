"""A model server in a process of its own, and requests to it written by hand."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from freehold.markets.models.tensor import (
    Request,
    Response,
    Tensor,
    decode_response,
    encode_request,
    header_length,
)

SECONDS = 60.0
WORKER = "freehold.node.workloads.models.worker"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def kind(self) -> object:
        return self.json["kind"]

    def response(self) -> Response:
        length = header_length(self.headers.get("inference-header-content-length"))
        return decode_response(self.body, length)


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    home: Path
    state: dict[str, str]

    @property
    def model(self) -> str:
        return self.state["model"]

    def connect(self) -> http.client.HTTPConnection:
        url = urlsplit(self.state["url"])
        return http.client.HTTPConnection(url.hostname or "", url.port, timeout=SECONDS)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        connection = self.connect()
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            found = connection.getresponse()
            named = {name.lower(): value for name, value in found.getheaders()}
            return Reply(found.status, named, found.read())
        finally:
            connection.close()

    def infer(self, *inputs: Tensor, binary: bool = False) -> Reply:
        body = encode_request(Request(inputs, binary_output=binary), binary=binary)
        return self.ask("POST", f"/v2/models/{self.model}/infer", body.data, body.headers())

    def number(self, value: float) -> Reply:
        return self.infer(Tensor.of("x", np.array([[value]], "<f4")))

    def workers(self) -> list[int]:
        """The processes of the model."""
        children = psutil.Process(self.process.pid).children()
        return [child.pid for child in children if WORKER in child.cmdline()]

    def metric(self, name: str) -> float:
        text = self.ask("GET", "/metrics").body.decode()
        lines = [line for line in text.splitlines() if line.startswith(f"freehold_model_{name}")]
        return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0

    def log(self) -> str:
        return (self.home / "log").read_text()

    def wait_for(self, what: str) -> None:
        """Until the log says so."""
        until(lambda: what in self.log())

    def wait_ready(self) -> None:
        until(lambda: self.ask("GET", "/v2/health/ready").status == 200)


def until(condition: object) -> None:
    """Wait until ``condition()``, and fail after a while."""
    assert callable(condition)
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@contextmanager
def serving(home: Path, model: Path | str, **settings: object) -> Iterator[Served]:
    """A server of ``model`` that is ready; killed at the end if it runs still."""
    home.mkdir(parents=True, exist_ok=True)
    running = begin(home, model, **settings)
    try:
        ready = home / "ready.json"
        until(lambda: ready.exists() or running.poll() is not None)
        assert running.poll() is None, (home / "log").read_text()
        yield Served(running, home, json.loads(ready.read_text()))
    finally:
        running.kill()
        running.wait(SECONDS)


def begin(home: Path, model: Path | str, **settings: object) -> subprocess.Popen[bytes]:
    """A server that is starting; what it says goes to ``log``."""
    given = {"alone": "yes", "port": 0, "model": model} | settings
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (home / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "freehold.node.workloads.models", f"--home={home}", *flags],
            stderr=log,
            env=environment,
        )
