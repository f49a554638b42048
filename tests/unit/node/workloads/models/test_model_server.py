"""A model server over real sockets: what a client of the protocol sees, whatever the model does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from freehold.markets.models.tensor import Tensor
from freehold.node.workloads.models.inbox import STEP
from unit.node.workloads.models import naughty
from unit.node.workloads.models.served import Served, begin, serving, until

pytestmark = pytest.mark.xdist_group("model-server")
MODEL = Path(__file__).parent / "naughty.py"
INFER = "/v2/models/naughty/infer"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("model") / "home"
    with serving(
        home, MODEL, timeout=2, memory="2GiB", max_body="256KiB", max_json="64KiB", queue=400
    ) as found:
        yield found


def body(*values: object, **members: object) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [len(values), 1], "data": values}
    return json.dumps({"inputs": [tensor]} | members).encode()


# --- the protocol --------------------------------------------------------------------------------


def test_what_it_is(served: Served) -> None:
    about = served.ask("GET", "/v2").json
    assert about["name"] == "freehold"
    assert about["extensions"] == ["binary_tensor_data"]
    assert served.ask("GET", "/v2/health/live").json == {"live": True}
    assert served.ask("GET", "/v2/health/ready").json == {"ready": True}
    found = served.ask("GET", "/v2/models/naughty").json
    assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
    assert (found["platform"], found["versions"]) == ("python", [served.state["version"]])


def test_a_request_of_any_client_is_answered(served: Served) -> None:
    reply = served.ask("POST", INFER, body(1, 2.5, id="a-1"))
    assert reply.status == 200
    assert reply.json == {
        "model_name": "naughty",
        "model_version": served.state["version"],
        "id": "a-1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [2.0, 5.0]}],
    }
    version = served.state["version"]
    assert served.ask("POST", f"/v2/models/naughty/versions/{version}/infer", body(1)).status == 200


def test_tensors_travel_as_bytes(served: Served) -> None:
    sent = Tensor.of("x", np.arange(1000, dtype="<f4").reshape(-1, 1) / 4096)
    reply = served.infer(sent, binary=True)
    assert reply.headers["content-type"] == "application/octet-stream"
    (output,) = reply.response().outputs
    assert (output.array() == sent.array() * 2).all()


def test_a_chunked_body_is_read(served: Served) -> None:
    connection = served.connect()
    connection.request("POST", INFER, iter([body(1)[:9], body(1)[9:]]), encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (b"", 400, "MalformedError"),
        (b"{", 400, "MalformedError"),
        (bytes(range(128, 256)), 400, "MalformedError"),
        (b'{"inputs":' + b"[" * 30_000, 400, "MalformedError"),
        (body(1).replace(b"[1]", b"[NaN]"), 400, "NotFiniteError"),
        (body(1).replace(b'"x"', b'"z"'), 400, "MismatchError"),
        (body(1, outputs=[{"name": "z"}]), 400, "MismatchError"),
        (body(*range(20_000)), 413, "TooLargeError"),
        (b" " * 2**18 + b" ", 413, "TooLargeError"),
    ],
)
def test_what_cannot_be_read_is_refused(
    served: Served, sent: bytes, status: int, kind: str
) -> None:
    reply = served.ask("POST", INFER, sent)
    assert (reply.status, reply.kind) == (status, kind)
    assert {"error", "remedy"} <= reply.json.keys()


def test_a_binary_body_must_be_whole(served: Served) -> None:
    for length in ("x", "100000", "3"):
        headers = {"Inference-Header-Content-Length": length}
        assert served.ask("POST", INFER, body(1), headers).status == 400


def test_a_body_of_unknown_length_is_cut_off(served: Served) -> None:
    connection = served.connect()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", INFER, iter([b" " * 2**16] * 6), encode_chunked=True)
    reply = connection.getresponse()
    assert (reply.status, b"longer than" in reply.read()) == (413, True)
    connection.close()
    assert served.number(1).status == 200


def test_slow_large_bodies_leave_room_for_small_ones(tmp_path: Path) -> None:
    large = STEP  # what a body takes at once: whoever was admitted stays, and the room fills up
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {large}\r\n\r\n".encode()
    with contextlib.ExitStack() as held:
        served = held.enter_context(
            serving(tmp_path / "home", MODEL, max_body="1MiB", bodies="4MiB", body_timeout=60)
        )

        def hog() -> bool:
            """Send most of a body; whether there is no room for another one."""
            connection = served.connect()
            held.callback(connection.close)
            connection.connect()
            with contextlib.suppress(OSError):
                connection.sock.sendall(head + b" " * (large - 10))
            return served.ask("POST", INFER, b" " * large).kind == "BusyError"

        until(hog)
        assert served.number(1).status == 200


@pytest.mark.parametrize(
    "path", ["/v2/models/other", "/v2/models/naughty/versions/1", "/v3", "/v2/models/other/ready"]
)
def test_other_names_are_not_found(served: Served, path: str) -> None:
    assert served.ask("GET", path).status == 404


def test_only_posts_are_answered(served: Served) -> None:
    assert served.ask("GET", INFER).status == 405


def test_200_requests_at_once_are_all_answered(served: Served) -> None:
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(served.number, range(naughty.HANG, naughty.HANG + 200)))
        served.wait_ready()
        odd = list(pool.map(served.number, [0.5 + n for n in range(200)]))
    assert {reply.status for reply in odd} == {200}
    found = [reply.response().outputs[0].array()[0, 0] for reply in odd]
    assert found == [1 + 2 * n for n in range(200)]
    assert len(replies) == 200


# --- what a model does wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (naughty.RAISE, "ModelFailedError"),
        (naughty.SHAPE, "ModelFailedError"),
        (naughty.DTYPE, "ModelFailedError"),
        (naughty.NAN, "ModelFailedError"),
        (naughty.NAMES, "ModelFailedError"),
        (naughty.NOTHING, "ModelFailedError"),
        (naughty.EAT, "ModelFailedError"),
    ],
)
def test_an_answer_that_is_none_is_a_typed_refusal(served: Served, value: int, kind: str) -> None:
    served.wait_ready()
    before = served.workers()
    reply = served.number(value)
    assert (reply.status, reply.kind) == (500, kind)
    assert "secret" not in reply.body.decode()
    assert served.number(1).status == 200
    assert served.workers() == before


def test_the_reason_is_in_the_log(served: Served) -> None:
    assert served.number(naughty.RAISE).status == 500
    served.wait_for("the secret reason")
    assert served.number(naughty.PRINT).status == 200
    served.wait_for("hello from the model")
    assert max(map(len, served.log().splitlines())) < 5_000


@pytest.mark.parametrize(
    ("value", "status", "kind"),
    [
        (naughty.EXIT, 500, "ModelLostError"),
        (naughty.KILL, 500, "ModelLostError"),
        (naughty.GARBAGE, 500, "ModelLostError"),
        (naughty.HANG, 504, "ModelTimeoutError"),
    ],
)
def test_a_process_that_is_gone_is_replaced(
    served: Served, value: int, status: int, kind: str
) -> None:
    served.wait_ready()
    before, restarts = served.workers(), served.metric("restarts_total")
    reply = served.number(value)
    assert (reply.status, reply.kind) == (status, kind)
    assert served.number(1).status == 200
    assert not set(before) & set(served.workers())
    assert served.metric("restarts_total") == restarts + 1


def test_one_bad_request_does_not_fail_those_beside_it(served: Served) -> None:
    """Whatever batches they are joined to."""
    served.wait_ready()
    values = [naughty.SLOW, 1, naughty.RAISE, 2, naughty.SHAPE, 3, naughty.ROWS, naughty.KILL, 4, 5]
    with ThreadPoolExecutor(len(values)) as pool:
        replies = list(pool.map(served.number, values))
    good = [reply.status for value, reply in zip(values, replies, strict=True) if value < 100]
    assert good == [200] * 5
    assert served.metric("batch_rows_count") < served.metric("batch_rows_sum")


def test_a_killed_process_costs_its_request_and_no_more(served: Served) -> None:
    served.wait_ready()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.number, naughty.HANG)
        (worker,) = served.workers()
        os.kill(worker, signal.SIGKILL)
        assert asked.result().kind in ("ModelLostError", "ModelTimeoutError")
    assert served.number(1).status == 200


def test_an_answer_that_the_model_forged_is_none(served: Served) -> None:
    served.wait_ready()
    assert served.number(naughty.FORGE).status == 500
    assert served.number(3).response().outputs[0].array() == 6


def test_a_process_that_is_killed_while_idle_costs_nothing(served: Served) -> None:
    served.wait_ready()
    (worker,) = served.workers()
    restarts = served.metric("restarts_total")
    os.kill(worker, signal.SIGKILL)
    until(lambda: served.metric("restarts_total") > restarts)
    assert served.number(1).status == 200


# --- the process ---------------------------------------------------------------------------------


def test_a_crash_loop_is_damped_and_shown(tmp_path: Path) -> None:
    with serving(tmp_path / "home", MODEL, max_batch=1) as served:
        statuses = [served.number(naughty.EXIT).status]
        while statuses[-1] == 500 and len(statuses) < 9:
            statuses.append(served.number(naughty.EXIT).status)
        reply = served.number(1)
        assert (reply.status, reply.kind) == (503, "NotReadyError")
        assert int(reply.headers["retry-after"]) >= 2
        assert served.ask("GET", "/v2/health/ready").status == 503
        assert served.ask("GET", "/v2/health/live").status == 200
        served.wait_ready()
        assert served.number(1).status == 200


def test_it_stops_in_order_and_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home, MODEL, workers=2, timeout=2, max_batch=1) as served:
        until(lambda: served.metric("processes") == 2)
        workers = served.workers()
        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(served.number, naughty.HANG) for _ in range(3)]
            until(lambda: served.metric("waiting") == 1)
            served.process.send_signal(signal.SIGTERM)
            assert {each.result().status for each in asked} <= {503, 504}
        assert served.process.wait(30) == 0
        assert not any(map(psutil.pid_exists, workers))
        assert not (home / "ready.json").exists()


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "home", MODEL, timeout=60) as served:
        (worker,) = served.workers()
        with hanging(served):
            served.process.send_signal(signal.SIGTERM)
            served.process.send_signal(signal.SIGINT)
            assert served.process.wait(5) == 0
        assert not psutil.pid_exists(worker)


def test_processes_end_with_a_server_that_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "home", MODEL) as served:
        (worker,) = served.workers()
        with hanging(served):
            served.process.kill()
            until(lambda: not psutil.pid_exists(worker))


@contextmanager
def hanging(served: Served) -> Iterator[None]:
    """While the model hangs over a request."""
    sent = body(naughty.HANG)
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sent)}\r\n\r\n"
    before = served.metric("batch_rows_count")
    with socket.create_connection(("127.0.0.1", int(served.state["url"].split(":")[2]))) as used:
        used.sendall(head.encode() + sent)
        until(lambda: served.metric("batch_rows_count") > before)
        yield


@pytest.mark.parametrize(
    ("model", "code", "word"),
    [
        ("none.py:answer", 2, "none.py cannot be read"),
        (f"{MODEL}:act", 2, "does not take one argument"),
    ],
)
def test_a_model_that_cannot_be_loaded_ends_the_start(
    tmp_path: Path, model: str, code: int, word: str
) -> None:
    running = begin(tmp_path, model)
    assert running.wait(30) == code
    assert word in (tmp_path / "log").read_text()
