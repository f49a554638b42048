"""Which block a moment's first one is: the same for everybody whose RPC has come that far."""

from __future__ import annotations

from freehold.domain.errors import UnavailableError
from freehold.ledger.rpc import Rpc
from freehold.ledger.values import Header


def first_block(rpc: Rpc, since: int, *, lowest: int = 0) -> Header | None:
    """The first block whose own time is ``since`` (seconds) or later, None while there is none.

    Looked for from the head backwards in growing steps, then between two by halves: some 2 log2 of
    the blocks since then are read, none below the number ``lowest``. NotFoundError where the RPC
    does not keep a block, UnavailableError where the chain was reorganised meanwhile.
    """
    late = rpc.header("latest")
    if late.time < since:
        return None
    step = 1
    early = late.number
    while early > lowest:
        early = max(lowest, late.number - step)
        found = rpc.header(early)
        if found.time < since:
            break
        late, step = found, 2 * step
    found = _between(rpc, since, early, late)
    if found.number > lowest and rpc.header(found.number - 1).hash != found.parent:
        raise UnavailableError(
            f"block {found.number} no longer stands on the one before it",
            remedy="The chain was reorganised just now, or RPCs differ: it is looked for again.",
        )
    return found


def _between(rpc: Rpc, since: int, early: int, late: Header) -> Header:
    """The first one above ``early`` and up to ``late``, which is not before ``since``."""
    while late.number - early > 1:
        middle = rpc.header((early + late.number) // 2)
        if middle.time < since:
            early = middle.number
        else:
            late = middle
    return late
