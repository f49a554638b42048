from __future__ import annotations

import logging
import threading

import pytest

from freehold.domain.errors import UnavailableError
from freehold.node.loops import Chore, Crew, Loop


def loop(step: list[Exception | None]) -> tuple[Loop, list[str]]:
    failed: list[str] = []

    def take() -> None:
        error = step.pop(0)
        if error is not None:
            raise error

    return Loop(Chore("test", take, 7.0), threading.Event(), failed=failed.append), failed


def test_a_failing_step_waits_longer_each_time_and_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    down = UnavailableError("no RPC answers", remedy="Start one.")
    found, failed = loop([down, down, down, None, down])
    with caplog.at_level(logging.INFO, "freehold.node.loops"):
        waits = [found._once() for _ in range(5)]
    assert waits == [0.5, 1.0, 2.0, 7.0, 0.5]
    assert found.failing == "no RPC answers"
    assert failed == ["test"] * 4
    assert [r.getMessage() for r in caplog.records] == [
        "a loop failed", "recovered", "a loop failed",
    ]  # fmt: skip


def test_a_mistake_is_logged_with_its_trace_and_does_not_end_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found, _ = loop([KeyError("x"), None])
    found._once()
    assert caplog.records[0].exc_info
    assert found._once() == 7.0


def test_the_wait_is_bounded() -> None:
    found, _ = loop([UnavailableError("down", remedy="-")] * 50)
    assert max(found._once() for _ in range(50)) == 60.0


def test_a_crew_works_until_it_is_stopped() -> None:
    crew, ran = Crew(failed=lambda _: None), threading.Event()
    crew.add(Chore("once", ran.set, 60.0))
    crew.start()
    assert ran.wait(10)
    assert crew.stop(10) == []
    assert crew.failing() == {}
