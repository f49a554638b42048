"""``ask --serve``: the standard endpoint for programs, on this machine, until it is ended."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.cli.amounts import brief
from freehold.client.asking.candidate import Effort, Limits
from freehold.client.asking.standing import SUBNETS
from freehold.domain.errors import FreeholdError, UsageError
from freehold.gateway.inference import Gateway, Terms
from freehold.gateway.inference import serve as serve_gateway
from freehold.node import logs

if TYPE_CHECKING:
    from freehold.cli.ask.asking import Door
    from freehold.client.asking.router import Router
    from freehold.client.asking.standing import LedgerRanking
    from freehold.ledger.ledger import Ledger

HOST = "127.0.0.1"
REFRESH_SECONDS = 20.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """What an endpoint gives: seconds for an answer, base units for a node's answer and for all
    until it ends."""

    port: int
    seconds: float
    most: int = 0
    cap: int = 0


def serve(door: Door, subnets: Sequence[str], offer: Offer) -> None:
    """Answer ``/v2/models/{subnet}/infer`` for the subnets, or for all, until SIGINT or SIGTERM.

    UsageError for a price without a cap: who reaches the endpoint spends this wallet's money.
    """
    if offer.most and not offer.cap:
        raise UsageError(
            "an endpoint that pays needs a limit", remedy="Say what it may spend: --cap TOKENS."
        )
    logs.setup("warning")
    with door.ranking() as (ledger, ranking):
        with door.screen.waiting("looking for nodes"):
            for name in subnets or all_subnets(ledger):
                ranking.load(name)
        left = threading.Event()
        reader = threading.Thread(
            target=_refresh, args=(ranking, left), name="ranking", daemon=True
        )
        reader.start()
        try:
            with door.router(ranking, cap=offer.cap if offer.most else 0) as router:
                asyncio.run(_serve(door, router, ranking, offer, left))
        finally:
            left.set()
            reader.join(REFRESH_SECONDS)
    door.screen.say("[green]✓[/] the endpoint is closed")


def all_subnets(ledger: Ledger) -> list[str]:
    """Names of the network's subnets that have not ended, the newest ones where there are many."""
    count, epoch = ledger.subnet.count(), ledger.subnet.epoch()
    found = []
    for each in range(count, max(0, count - SUBNETS), -1):
        closing = ledger.subnet.subnet_of(each).closing
        if not closing or epoch < closing:
            found.append(ledger.subnet.name_of(each))
    return found


async def _serve(
    door: Door,
    make: Callable[[], Router],
    ranking: LedgerRanking,
    offer: Offer,
    left: threading.Event,
) -> None:
    from freehold.node.process import signals

    terms = Terms(limits=Limits(max_price=offer.most), effort=Effort(deadline=offer.seconds))
    gateway = Gateway(make(), ranking, terms)

    def started(at: int) -> None:
        url = f"http://{HOST}:{at}"
        door.screen.emit({"url": url, "price": offer.most, "cap": offer.cap})
        door.screen.say(f"[green]✓[/] programs ask {url}/v2/models/SUBNET/infer; Ctrl-C ends it")
        paid = f"{brief(offer.most, up=True)} tokens a node's answer, {brief(offer.cap)} in all"
        door.screen.say(
            f"  it spends at most {paid}" if offer.most else "  only free nodes are asked"
        )

    with signals(_Stop(left)):
        await serve_gateway(gateway, host=HOST, port=offer.port, left=left, started=started)


class _Stop:
    """What a signal sets: the event that ends the endpoint."""

    force_exit = False

    def __init__(self, left: threading.Event) -> None:
        self._left = left

    @property
    def should_exit(self) -> bool:
        return self._left.is_set()

    @should_exit.setter
    def should_exit(self, wanted: bool) -> None:
        if wanted:
            self._left.set()


def _refresh(ranking: LedgerRanking, left: threading.Event) -> None:
    while not left.wait(REFRESH_SECONDS):
        try:
            ranking.refresh()
        except FreeholdError as error:
            _log.warning("the ledger", extra=logs.fields(reason=error.message))
