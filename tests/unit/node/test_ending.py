"""Processes end in order, however many signals they get and when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

BUSY = """
import sys
import threading
from freehold.node.ending import on_signals
stop, calls = threading.Event(), []

def end():
    calls.append(1)
    stop.set()

on_signals(end)
print("ready", flush=True)
while not stop.is_set():  # the event's lock is held at most moments
    stop.wait(0)
stop.wait()
print(len(calls), flush=True)
"""
CALM = BUSY.replace("while not stop", "while False and not stop")
LOOP = BUSY.replace("    stop.wait(0)", "    asyncio.run(asyncio.sleep(0.01))").replace(
    "import sys", "import asyncio"
)


def ended(script: str, *, signals: int) -> str:
    """What a process says that gets so many signals in a burst once it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "ready\n"
            for turn in range(signals):
                os.kill(child.pid, (signal.SIGTERM, signal.SIGINT)[turn % 2])
            said, _ = child.communicate(timeout=10)
        finally:
            child.kill()
    return said


def test_a_burst_of_signals_ends_a_process_once() -> None:
    for _ in range(10):
        for script in (BUSY, CALM, LOOP):
            assert ended(script, signals=50) == "1\n"


def test_one_signal_is_heard_at_once() -> None:
    began = time.monotonic()
    assert ended(CALM, signals=1) == "1\n"
    assert time.monotonic() - began < 5
