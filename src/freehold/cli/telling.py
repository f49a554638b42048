"""Say that a daemon serves, while it runs on the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

LOOK_SECONDS = 0.05
T = TypeVar("T")


@contextmanager
def telling(look: Callable[[], T | None], tell: Callable[[T], None]) -> Iterator[None]:
    """Hand the first thing that ``look`` sees to ``tell``, once, while the body runs."""
    over = threading.Event()

    def wait() -> None:
        while not over.wait(LOOK_SECONDS):
            state = look()
            if state is not None:
                tell(state)
                return

    teller = threading.Thread(target=wait, name="telling", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join(1.0)
