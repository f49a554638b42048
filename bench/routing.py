"""What routing adds to a request: straight to a model server on loopback, through ``ask``, and
through the gateway, in one run.

    uv run python bench/routing.py --json

Three processes: a server with a trivial model, a gateway before it, and this one, which asks. The
three ways take turns, request by request, so that they meet the same machine. ``added`` is the
difference of the medians (and of the 99th percentiles) to the straight way, which uses the same
connections as ``ask`` does, the fastest here; a plain httpx2 client is told beside it. Rates are
requests a second with ``--at-once`` under way. Failover: a node with the best score is killed, or
stopped so that it stays silent, and the next request's time is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
import numpy as np
import uvloop
from uvicorn import Config, Server

if __package__ is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from freehold.client.asking.caller import Caller
from freehold.client.asking.candidate import Candidate, Effort
from freehold.client.asking.router import Router
from freehold.client.asking.wire import Line, pinned, question
from freehold.client.connection import Peer
from freehold.domain.ids import Address, checksum
from freehold.gateway.inference import Gateway, Terms
from freehold.gateway.inference import serve as answer
from freehold.markets.models.tensor import (
    Request,
    Response,
    Schema,
    decode_request,
    encode_request,
    encode_response,
    from_arrays,
)
from freehold.node.server import listen

SUBNET = "trivial"
PATH = f"/v2/models/{SUBNET}/infer"
INPUTS = {"x": np.arange(16, dtype=np.float32).reshape(1, 16)}
SCHEMA = Schema.of(
    {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 16]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 16]}],
    }
)
TARGET_ADDED_MS, TARGET_RATE = 3.0, 500.0
Way = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one way."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Report:
    """The result; rates in requests a second, failover in milliseconds."""

    cores: int
    requests: int
    at_once: int
    direct: Times
    httpx: Times
    ask: Times
    gateway: Times
    ask_added: Times
    gateway_added: Times
    direct_rate: float
    ask_rate: float
    gateway_rate: float
    ask_cpu_ms: float
    failover_killed: float
    failover_silent: float
    failover_silent_hedged: float
    within: bool


class Listed:
    """A ranking of nodes on loopback."""

    def __init__(self, *ports: int) -> None:
        self._known = [
            Candidate(_node(n), n, f"http://127.0.0.1:{port}", b"", 1.0 if n == 0 else 0.3)
            for n, port in enumerate(ports)
        ]

    def candidates(self, _: str) -> Sequence[Candidate]:
        return self._known

    def schema(self, _: str) -> Schema | None:
        return SCHEMA


def _node(n: int) -> Address:
    return checksum(n.to_bytes(20, "big"))


def _router(*ports: int) -> Router:
    return Router(Listed(*ports), Caller(plain=True), chance=random.Random(1))


# --- the other processes ---------------------------------------------------------------------


async def model(_: object, receive: Way, send: Callable[..., Awaitable[None]]) -> None:
    """A server whose model doubles, as an application of ASGI."""
    body = b""
    while True:
        event = await receive()
        if not isinstance(event, dict) or event.get("type") != "http.request":
            return
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    asked = decode_request(body)
    outputs = from_arrays({"y": np.multiply(asked.inputs[0].array(), np.float32(2))})
    made = encode_response(Response(SUBNET, outputs)).data
    headers = [(b"content-length", str(len(made)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": made})


def serve(kind: str, port: int) -> None:
    """Run a model server, or a gateway before the one on ``port``, and print its own port."""

    async def run() -> None:
        if kind == "gateway":
            gateway = Gateway(_router(port), Listed(port), Terms(effort=Effort(deadline=10.0)))
            await answer(
                gateway,
                host="127.0.0.1",
                port=0,
                left=threading.Event(),
                started=lambda port: print(port, flush=True),
            )
            return
        bound = listen("127.0.0.1", 0)
        print(bound.getsockname()[1], flush=True)
        config = Config(model, http="httptools", lifespan="off", log_config=None, access_log=False)
        await Server(config).serve(sockets=[bound])

    uvloop.run(run())


@contextmanager
def process(kind: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process of ``serve`` and the port it listens on."""
    arguments = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--serve",
        kind,
        "--port",
        str(port),
    ]
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        if child.stdout is None:
            raise RuntimeError("no output to read the port from")
        yield child, int(child.stdout.readline())
    finally:
        child.kill()
        child.wait()


# --- measuring -------------------------------------------------------------------------------


def _times(seconds: Sequence[float]) -> Times:
    ms = np.array(seconds) * 1e3
    return Times(round(float(np.percentile(ms, 50)), 3), round(float(np.percentile(ms, 99)), 3))


def _added(one: Times, base: Times) -> Times:
    return Times(round(one.p50 - base.p50, 3), round(one.p99 - base.p99, 3))


async def turns(ways: Sequence[Way], count: int) -> list[Times]:
    """Time each way ``count`` times, in turn, one request at a time."""
    found: list[list[float]] = [[] for _ in ways]
    for turn in range(count + 50):
        for way, times in zip(ways, found, strict=True):
            began = time.perf_counter()
            await way()
            if turn >= 50:
                times.append(time.perf_counter() - began)
    return [_times(times) for times in found]


async def rate(way: Way, *, at_once: int, seconds: float) -> float:
    """Requests a second with so many under way."""
    until, done = time.perf_counter() + seconds, 0

    async def keep() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await way()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(keep() for _ in range(at_once)))
    return done / (time.perf_counter() - began)


def straight(port: int) -> Way:
    """Requests on kept connections, without anything between."""
    peer = Peer(_node(0), f"http://127.0.0.1:{port}", b"")
    line = Line(peer, tls=pinned(), plain=True, most=2**20)
    body = encode_request(Request(from_arrays(INPUTS)))
    asked = question("POST", PATH, authority=line.authority, headers=body.headers(), body=body.data)

    async def way() -> object:
        answer = await line.ask(asked)
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}: {bytes(answer.body[:200])!r}")
        return answer

    return way


def asking(router: Router, effort: Effort) -> Way:
    """Requests through ``ask``."""

    async def way() -> object:
        return await router.ask(SUBNET, INPUTS, effort=effort)

    return way


async def failover(how: signal.Signals, *, hedge: bool) -> float:
    """Milliseconds of the request that meets a node which was just killed or stopped."""
    with process("model") as (first, one), process("model") as (_, two):
        router = _router(one, two)
        way = asking(router, Effort(deadline=10.0, hedge=hedge))
        for _ in range(60):
            await way()
        first.send_signal(how)
        worst = 0.0
        for _ in range(5):
            began = time.perf_counter()
            await way()
            worst = max(worst, time.perf_counter() - began)
        first.send_signal(signal.SIGCONT)
        await router.close()
    return round(worst * 1e3, 1)


async def measure(requests: int, at_once: int, seconds: float) -> Report:
    """Everything, one after the other."""
    with ExitStack() as stack:
        _, port = stack.enter_context(process("model"))
        _, door = stack.enter_context(process("gateway", port))
        router = _router(port)
        direct, through = straight(port), straight(door)
        ask = asking(router, Effort(deadline=10.0))
        body = encode_request(Request(from_arrays(INPUTS))).data
        async with httpx2.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{port}{PATH}"

            async def plain() -> object:
                return (await client.post(url, content=body)).json()

            base, httpx, asked, gated = await turns([direct, plain, ask, through], requests)
        rates = [await rate(direct, at_once=at_once, seconds=seconds)]
        began = time.process_time()
        rates.append(await rate(ask, at_once=at_once, seconds=seconds))
        cpu = (time.process_time() - began) / (rates[1] * seconds)
        rates.append(await rate(through, at_once=at_once, seconds=seconds))
        await router.close()
    killed = await failover(signal.SIGKILL, hedge=False)
    silent = [await failover(signal.SIGSTOP, hedge=hedge) for hedge in (False, True)]
    added = [_added(each, base) for each in (asked, gated)]
    return Report(
        cores=len(os.sched_getaffinity(0)),
        requests=requests,
        at_once=at_once,
        direct=base,
        httpx=httpx,
        ask=asked,
        gateway=gated,
        ask_added=added[0],
        gateway_added=added[1],
        direct_rate=round(rates[0]),
        ask_rate=round(rates[1]),
        gateway_rate=round(rates[2]),
        ask_cpu_ms=round(cpu * 1e3, 3),
        failover_killed=killed,
        failover_silent=silent[0],
        failover_silent_hedged=silent[1],
        within=max(added[0].p50, added[1].p50) <= TARGET_ADDED_MS and min(rates[1:]) >= TARGET_RATE,
    )


def show(report: Report) -> str:
    """The report for people to read."""
    return "\n".join(
        [
            f"{report.requests} requests one at a time, ms (p50 / p99); added to direct:",
            f"  direct   {report.direct.p50:7.3f} / {report.direct.p99:7.3f}"
            f"   (httpx2 {report.httpx.p50:.3f} / {report.httpx.p99:.3f})",
            f"  ask      {report.ask.p50:7.3f} / {report.ask.p99:7.3f}"
            f"   added {report.ask_added.p50:.3f} / {report.ask_added.p99:.3f}",
            f"  gateway  {report.gateway.p50:7.3f} / {report.gateway.p99:7.3f}"
            f"   added {report.gateway_added.p50:.3f} / {report.gateway_added.p99:.3f}",
            f"requests a second, {report.at_once} at once, {report.cores} cores: direct "
            f"{report.direct_rate:.0f}, ask {report.ask_rate:.0f}, "
            f"gateway {report.gateway_rate:.0f}; {report.ask_cpu_ms:.2f} ms CPU an ask",
            f"failover: killed {report.failover_killed} ms, silent {report.failover_silent} ms, "
            f"silent and hedged {report.failover_silent_hedged} ms",
            f"within {TARGET_ADDED_MS} ms p50 and {TARGET_RATE:.0f} a second: {report.within}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench/routing.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=1_000, help="of each way, one at a time")
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each rate")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--serve", choices=("model", "gateway"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port)
        return
    report = uvloop.run(measure(options.requests, options.at_once, options.seconds))
    print(json.dumps(asdict(report), indent=1) if options.json else show(report))


if __name__ == "__main__":
    main()
