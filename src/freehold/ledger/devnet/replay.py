"""Journaled blocks made again in an engine, each with the hash it had the first time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import Protocol

from freehold.ledger import wire
from freehold.ledger.devnet.seals import Seal, overlay, seal_of, without_copies
from freehold.ledger.wire import Json

_log = logging.getLogger("freehold.devnet")


class Told(Protocol):
    """A call of the engine that it cannot refuse."""

    def __call__(self, method: str, *params: Json) -> Awaitable[Json]:
        """The answer."""


async def reread_hashes(told: Told) -> None:
    """Let the engine know the hashes of blocks that it was given instead of mining them.

    It answers BLOCKHASH out of a table that it fills when it rolls a block back. The block made
    for that must not move the base fee, or a replay would charge otherwise than the first time.
    """
    head = wire.fields(await told("eth_getBlockByNumber", "latest", False))
    pending = wire.fields(await told("eth_getBlockByNumber", "pending", False))
    await told("evm_mine", head.get("timestamp"))
    await told("anvil_rollback", 1)
    await told("anvil_setNextBlockBaseFeePerGas", pending.get("baseFeePerGas"))


class Replay:
    """One replay: tell it of every block, and ``mend`` before a transaction may read hashes."""

    def __init__(self, told: Told, seals: Mapping[int, Seal]) -> None:
        self._told = told
        self._seals = seals
        self._raw: list[dict[str, Json]] = []
        self.mended = 0
        """Blocks whose hash was put back."""

    async def state(self) -> bytes:
        """The engine's state, for a fresh engine to load."""
        dumped = wire.data(await self._told("anvil_dumpState"))
        return await asyncio.to_thread(without_copies, dumped, self._seals)

    def knows(self, number: int) -> bool:
        """Whether it is known what a block's hash was."""
        return number in self._seals

    async def mined(self) -> None:
        """Take note of the block that was just mined."""
        block = wire.fields(await self._told("eth_getBlockByNumber", "latest", True))
        if self.knows(wire.quantity(block.get("number"))):
            self._raw.append(block)

    async def mend(self) -> None:
        """Put back the hashes of the blocks mined since the last call."""
        if not self._raw:
            return
        await self._told("anvil_loadState", overlay(self._raw, self._seals))
        await reread_hashes(self._told)
        self.mended += len(self._raw)
        self._raw.clear()
        await self._compare()

    async def _compare(self) -> None:
        found = seal_of(wire.fields(await self._told("eth_getBlockByNumber", "latest", False)))
        if found != self._seals[found.number]:
            _log.error(
                "block %d was %s and is %s after the replay: proofs given since may be refused",
                found.number,
                self._seals[found.number].hash,
                found.hash,
            )
