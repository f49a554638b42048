"""A client process that lives until it is killed: ``-m journeys.worker HOME NAME SEED FILE``.

It puts, reads, renames and removes objects under ``NAME/`` at random and writes down in FILE what
it is about to do and what was acknowledged. Started again it reads FILE and goes on. SIGTERM ends
it after the operation under way.
"""

from __future__ import annotations

import io
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from freehold.cli.home import Home
from freehold.cli.wallets import WalletFolder
from freehold.client.client import Client
from freehold.client.options import Options
from freehold.client.packer import Limits
from freehold.client.session import Retry
from freehold.domain.errors import FreeholdError, NotFoundError, UnavailableError
from freehold.domain.money import UNIT
from journeys.promises import (
    BEGUN,
    DONE,
    FAILED,
    FLUSH,
    MOVE,
    OPEN,
    PAY,
    PUT,
    READ,
    REMOVE,
    RESUME,
    WRONG,
    Bytes,
    Ledger,
    Line,
    Promises,
)

OPTIONS = Options(
    preset=(2, 4),
    pack_below=4_096,
    limits=Limits(count=6, wait=5),
    retry=Retry(attempts=2, pause=0.1),
)
NAMES = 8
PAUSE = 0.2
Outcome = tuple[tuple[int, ...], str]
QUIET: Outcome = ((), "")


class Worker:
    """One client and what it was told."""

    def __init__(self, client: Client, name: str, draw: random.Random, ledger: Ledger) -> None:
        self._client, self._name, self._draw = client, name, draw
        self._ledger = ledger
        self._promises = Promises.of(ledger)
        self._number = self._promises.last

    def begin(self) -> None:
        """Sometimes finish at once what an earlier process left; else the next put does."""
        if self._draw.random() < 0.7:
            self._try(RESUME, lambda: (tuple(self._client.resume()), ""))

    def step(self) -> None:
        """One operation at random."""
        kinds = (
            (self._put_small, 30), (self._put_whole, 22), (self._put_again, 12), (self._get, 14),
            (self._remove, 9), (self._move, 7), (self._flush, 4), (self._pay, 2),
        )  # fmt: skip
        steps, weights = zip(*kinds, strict=True)
        self._draw.choices(steps, weights)[0]()

    def _put_small(self) -> None:
        self._put(self._any(), self._fresh(self._draw.randint(1, 3_000)))

    def _put_whole(self) -> None:
        self._put(self._any(), self._fresh(self._draw.randint(4_097, 60_000)))

    def _put_again(self) -> None:
        """What a user does whose put was interrupted."""
        if self._promises.unfinished:
            name = self._draw.choice(sorted(self._promises.unfinished))
            self._put(name, self._promises.unfinished[name], note="again")

    def _put(self, name: str, value: Bytes, note: str = "") -> None:
        def act() -> Outcome:
            result = self._client.put(value.content(), name)
            return ((result.deal,) if result.deal else ()), ""

        self._try(PUT, act, name=name, value=value, note=note)

    def _get(self) -> None:
        name = self._any()
        allowed = self._promises.value(name)
        self._try(READ, lambda: self._check(name, allowed), name=name)

    def _check(self, name: str, allowed: frozenset[Bytes | None]) -> Outcome:
        sink = io.BytesIO()
        try:
            self._client.get(name, sink)
        except NotFoundError:
            right = None in allowed
        else:
            right = sink.getvalue() in [value.content() for value in allowed if value]
        if not right:
            note = f"{name} is {len(sink.getvalue())} bytes, allowed {allowed}"
            self._write(DONE, WRONG, note=note)
        return QUIET

    def _remove(self) -> None:
        name = self._stored()
        if name:
            self._try(REMOVE, lambda: (tuple(self._client.rm(name)), ""), name=name)

    def _move(self) -> None:
        name, target = self._stored(), self._any()
        if name and name != target:
            (value,) = self._promises.value(name)

            def act() -> Outcome:
                self._client.mv(name, target)
                return QUIET

            self._try(MOVE, act, name=name, target=target, value=value)

    def _flush(self) -> None:
        def act() -> Outcome:
            return tuple({result.deal for result in self._client.flush()}), ""

        self._try(FLUSH, act)

    def _pay(self) -> None:
        self._try(PAY, lambda: ((), self._client.deposit(UNIT // 1_000)))

    def _any(self) -> str:
        return f"{self._name}/{self._draw.randrange(NAMES)}"

    def _stored(self) -> str:
        """A name that certainly means something, or the empty text."""
        sure = [n for n, a in self._promises.names.items() if len(a) == 1 and None not in a]
        return self._draw.choice(sorted(sure)) if sure else ""

    def _fresh(self, size: int) -> Bytes:
        return Bytes(f"{self._name} {self._number + 1}", size)

    def _try(
        self,
        what: str,
        act: Callable[[], Outcome],
        *,
        name: str = "",
        target: str = "",
        value: Bytes | None = None,
        note: str = "",
    ) -> None:
        self._number += 1
        self._write(BEGUN, what, name=name, target=target, value=value, note=note)
        try:
            deals, transaction = act()
        except FreeholdError as error:
            self._write(FAILED, what, name=name, note=f"{type(error).__name__}: {error.message}")
            time.sleep(PAUSE)
            return
        self._write(
            DONE, what, name=name, target=target, value=value, deals=deals,
            transaction=transaction, note=note,
        )  # fmt: skip

    def _write(
        self,
        phase: str,
        what: str,
        *,
        name: str = "",
        target: str = "",
        value: Bytes | None = None,
        deals: tuple[int, ...] = (),
        transaction: str = "",
        note: str = "",
    ) -> None:
        line = Line(self._number, phase, what, name, target, value, deals, transaction, note)
        self._ledger.append(line)
        self._promises.take(line)


def main(root: str, name: str, seed: str, file: str) -> None:
    """Work until told to stop."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    home, ledger, draw = Home(Path(root)), Ledger(Path(file)), random.Random(seed)
    network, folder = home.network(), WalletFolder(home.wallet)
    wallet = folder.unlock(home.password(), network_id=network.network_id)
    while not stop:
        try:
            with Client.open(network, wallet, folder.state, options=OPTIONS) as client:
                worker = Worker(client, name, draw, ledger)
                worker.begin()
                while not stop:
                    worker.step()
        except UnavailableError as error:
            ledger.append(Line(0, FAILED, OPEN, note=error.message))
            time.sleep(PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
