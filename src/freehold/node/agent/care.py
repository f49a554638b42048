"""What the agent looks after beside readings: its owner's directives and the chain's commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from freehold.domain.errors import UnavailableError
from freehold.domain.ids import address
from freehold.domain.keys import Key
from freehold.domain.receipt import Receipt
from freehold.node.agent.board import Board
from freehold.node.agent.chain import Chain, Ledger
from freehold.node.agent.commands import Commands
from freehold.node.agent.deeds import FILE as DEEDS_FILE
from freehold.node.agent.deeds import Deeds
from freehold.node.agent.directives import Directives
from freehold.node.agent.door import Door
from freehold.node.agent.settings import Settings
from freehold.node.agent.standing import Standing
from freehold.node.agent.transports import later


class Care:
    """Follows directives and obeys commands of one device."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        key: Key,
        *,
        board: Board,
        directives: Directives,
        tell: Callable[[str], None],
        wall: Callable[[], float],
    ) -> None:
        self._settings, self._key, self._directives = settings, key, directives
        self._door = Door(settings.api, fingerprint=settings.fingerprint) if settings.api else None
        self._ledger: Ledger | None = None
        self._deeds = Deeds(folder / DEEDS_FILE)
        self._commands: Commands | None = None
        self._standing: Standing | None = None
        if settings.rpc_urls and not settings.automation:
            self._ledger = Ledger(settings.rpc_urls, chain_id=settings.chain_id)
        elif settings.rpc_urls:
            self._ledger = chain = Chain(
                settings.rpc_urls,
                chain_id=settings.chain_id,
                automation=address(settings.automation),
            )
            self._commands = Commands(
                self._deeds, board, device=settings.address, chain=chain, sign=self._sign,
                deliver=self._deliver, tell=tell, wall=wall,
            )  # fmt: skip
        if self._ledger is not None:
            self._standing = Standing(settings, address(settings.devices), self._ledger)

    def check(self) -> None:
        """RetiredError where the ledger has the device as retired."""
        if self._standing is not None:
            self._standing.check()

    def follow(self) -> None:
        """Ask for directives, where the service gives any."""
        if self._door is not None:
            self._directives.poll(self._door)

    def obey(self) -> None:
        """Carry out what the chain commands."""
        if self._commands is not None:
            self._commands.poll()

    def end_due(self) -> None:
        """Undo what was held long enough."""
        if self._commands is not None:
            self._commands.end_due()

    def held(self) -> int:
        """How many commands hold a line now."""
        return 0 if self._commands is None else self._commands.held()

    def close(self) -> None:
        """Close connections and the journal."""
        if self._door is not None:
            self._door.close()
        if self._ledger is not None:
            self._ledger.close()
        self._deeds.close()

    def _sign(self, command: int, outcome: int, detail: bytes, at: int) -> bytes:
        return sign_receipt(self._settings, self._key, command, outcome, detail, at)

    def _deliver(self, receipt: Receipt) -> None:
        """Hand a receipt to the service, which brings it to the ledger."""
        if self._door is None:
            raise UnavailableError(
                f"nobody takes the receipt of command {receipt.command}: no service over HTTP",
                remedy="Name one after the broker in the device's services.",
            )
        answer = self._door.ask(
            "POST",
            "/receipts",
            json.dumps(receipt.to_json()).encode(),
            headers={"Content-Type": "application/json"},
        )
        if answer.status >= 400:
            raise later(answer)


def sign_receipt(
    settings: Settings, key: Key, command: int, outcome: int, detail: bytes, at: int
) -> bytes:
    """The device's 65-byte signature of a receipt, as contract automation checks it."""
    from freehold.domain.typed import RECEIPT, Domain

    place = Domain(
        "Freehold automation",
        settings.chain_id,
        address(settings.automation),
        settings.network,
    )
    return key.sign(RECEIPT.digest(place, [command, key.address, outcome, detail, at]))
