"""Commands of the chain, carried out once: remembered before the deed, undone after their hold.

Threats and what meets them: a crash in the midst (the journal knows what was begun, so it is
never done again: the line goes back and the receipt says failed); a hold that nobody ends
(deadlines are kept, and survive a restart; a clock set back cannot lengthen one beyond its hold);
two commands on one line (it goes back to what it was before the first of them); a service that
makes commands up (only what the chain shows as open for this device is done); a service that
loses receipts (they are brought again until the chain closed the command).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from freehold.domain.errors import FreeholdError, NotFoundError
from freehold.domain.ids import Address
from freehold.domain.receipt import Receipt
from freehold.node.agent.board import Board, Switch
from freehold.node.agent.chain import Command
from freehold.node.agent.deeds import DONE, FAILED, PENDING, REFUSED, Deed, Deeds

AGAIN_SECONDS = 30.0
"""Between two deliveries of the same receipt."""


class Views(Protocol):
    """What is asked of the chain."""

    def open_of(self, device: Address) -> list[int]:
        """The commands that wait for a receipt."""

    def command(self, number: int) -> Command:
        """A command."""

    def now(self) -> int:
        """The moment of the latest block, seconds."""


Sign = Callable[[int, int, bytes, int], bytes]
"""The agent key's signature of a receipt's command, outcome, detail and moment."""
Deliver = Callable[[Receipt], None]


class Commands:
    """The commands of one device; ``poll`` and ``end_due`` may run in two threads."""

    def __init__(
        self,
        deeds: Deeds,
        board: Board,
        *,
        device: Address,
        chain: Views,
        sign: Sign,
        deliver: Deliver,
        tell: Callable[[str], None],
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deeds, self._board, self._device, self._chain = deeds, board, device, chain
        self._sign, self._deliver, self._tell = sign, deliver, tell
        self._wall, self._clock = wall, clock
        self._lock = threading.Lock()
        self._brought: dict[int, float] = {}
        self._ends: dict[int, float] = {}
        self._begin_again()

    def poll(self) -> None:
        """Carry out what is newly open, then bring the receipts of what still is.

        All is tried before the first error is raised: no command waits for another's trouble.
        """
        waiting = sorted(self._chain.open_of(self._device))
        self._brought = {n: at for n, at in self._brought.items() if n in waiting}
        errors: list[FreeholdError] = []
        for step in (self._act, self._bring):
            for number in waiting:
                try:
                    step(number)
                except FreeholdError as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    def end_due(self) -> None:
        """Undo what was held long enough; a line that cannot be reached is tried again."""
        with self._lock:
            now = self._clock()
            for deed in self._deeds.live():
                if self._ends.get(deed.command, now) <= now:
                    self._end(deed)

    def held(self) -> int:
        """How many commands hold a line now."""
        return len(self._deeds.live())

    def _begin_again(self) -> None:
        """After a start: fail what was under way, and set the deadlines of what is held."""
        for deed in self._deeds.unfinished():
            self._deeds.finish(deed.command, FAILED, "restarted while acting", self._seconds())
        now, wall = self._clock(), self._wall()
        for deed in self._deeds.live():
            left = 0.0 if deed.outcome == FAILED else min(deed.ends - wall, deed.hold)
            self._ends[deed.command] = now + max(0.0, left)
        self.end_due()

    def _act(self, number: int) -> None:
        """Carry out a command that was never seen here, if it is ours to do."""
        known = self._deeds.find(number)
        if known is not None:
            self._close(known)
            return
        command = self._chain.command(number)
        if command.device != self._device or not command.open:
            return
        if self._chain.now() > command.answer_by:
            self._deeds.refuse(number, REFUSED, "came too late", self._seconds())
            return
        try:
            switch = self._board.parse(command.text)
        except NotFoundError as error:
            self._tell(error.message)
            self._deeds.refuse(number, REFUSED, "unknown command", self._seconds())
            return
        with self._lock:
            self._switch(command, switch)

    def _switch(self, command: Command, switch: Switch) -> None:
        rest = self._deeds.rest(switch.line)
        try:
            rest = self._board.read(switch.line) if rest is None else rest
        except FreeholdError as error:
            self._tell(error.message)
            self._deeds.refuse(command.id, FAILED, "board failed", self._seconds())
            return
        deed = Deed(
            command.id, switch.line, switch.value, rest, command.hold, self._wall() + command.hold
        )
        self._deeds.begin(deed)
        self._ends[command.id] = self._clock() + command.hold
        try:
            self._board.set(switch.line, switch.value)
        except FreeholdError as error:
            self._tell(error.message)
            self._ends[command.id] = self._clock()
            self._deeds.finish(command.id, FAILED, "board failed", self._seconds())
            return
        self._deeds.finish(command.id, DONE, "done", self._seconds())

    def _close(self, deed: Deed) -> None:
        """A deed whose outcome could not be noted when it was done ends now, as failed."""
        if deed.outcome == PENDING:
            with self._lock:
                self._ends[deed.command] = self._clock()
                self._deeds.finish(deed.command, FAILED, "journal failed", self._seconds())

    def _end(self, deed: Deed) -> None:
        """Give a line back to whoever else holds it, or to rest. Setting it twice does no harm, so
        it is noted after."""
        others = [
            d for d in self._deeds.live() if d.line == deed.line and d.command != deed.command
        ]
        value = others[-1].value if others else deed.rest
        try:
            self._board.set(deed.line, value)
        except FreeholdError as error:
            self._tell(error.message)
            return
        self._deeds.end(deed.command)
        self._ends.pop(deed.command, None)

    def _bring(self, number: int) -> None:
        """Hand over the receipt of a command, now and then until the chain closes it."""
        deed, last = self._deeds.find(number), self._brought.get(number)
        if deed is None or deed.outcome == PENDING:
            return
        if last is not None and self._clock() - last < AGAIN_SECONDS:
            return
        self._brought[deed.command] = self._clock()
        detail = deed.detail.encode()[:32].ljust(32, b"\0")
        signature = self._sign(deed.command, deed.outcome, detail, deed.at)
        self._deliver(Receipt(deed.command, self._device, deed.outcome, detail, deed.at, signature))

    def _seconds(self) -> int:
        return int(self._wall())
