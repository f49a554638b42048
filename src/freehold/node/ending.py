"""How a process is asked to end: any number of SIGTERM and SIGINT, at any moment.

Python runs a handler in the midst of whatever the main thread does, another handler too, so it must
not take a lock, and ``threading.Event.set`` takes one. Nor does it run before the main thread comes
back to Python: a signal that comes just before it falls asleep on a lock is not heard. So here the
interpreter's own handler writes the signal into a pipe, and a thread that waits there does the
rest.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def on_signals(end: Callable[[], None]) -> None:
    """Have ``end`` called once, in a thread of its own, as soon as SIGTERM or SIGINT comes; for the
    rest of the process's life, and from its main thread only."""
    heard, told = os.pipe()
    os.set_blocking(told, False)

    def wait() -> None:
        while os.read(heard, 1)[0] not in SIGNALS:
            pass
        end()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: None)
