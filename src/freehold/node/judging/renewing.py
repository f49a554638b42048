"""Whether a root is wanted for the sake of newcomers alone.

A newcomer of a full subnet replaces somebody of the list in the last final root's trace. Where that
list is used up, nobody can join until there is another root, be there something to pay or not.
"""

from __future__ import annotations

from collections.abc import Iterator

from freehold.audit.competing import AT_ONCE, Draft
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.subnet import Seat, Subnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import View
from freehold.markets.models.trace.claims import prune_list
from freehold.markets.models.trace.values import OWNER


def renews(ledger: Ledger, draft: Draft, *, end: int) -> bool:
    """Whether a full subnet's list is used up and a draft of epochs up to a moment names somebody;
    never where nobody has earned anything yet, for the roots take none such."""
    words = [built.trace.prune for built in draft.bundle.traces]
    return draft.total > 0 and any(
        not _names(ledger, subnet, *ledger.disputes.prune_list(subnet))
        and _names(ledger, subnet, words[subnet - 1], end)
        for subnet in _full(ledger, len(words))
    )


def _full(ledger: Ledger, count: int) -> Iterator[int]:
    """Which of the first subnets are full, and take newcomers."""
    for first in range(1, count + 1, AT_ONCE):
        subnets = range(first, min(first + AT_ONCE, count + 1))
        views = [View("subnet", "subnet_of", (subnet,)) for subnet in subnets]
        for subnet, told in zip(subnets, ledger.call_many(views), strict=True):
            known = convert(Subnet, told)
            if known.nodes >= known.max_nodes and not known.closing:
                yield subnet


def _names(ledger: Ledger, subnet: int, word: int, end: int) -> bool:
    """Whether one of those that a list names has held the uid since before the list was made."""
    if not end:
        return False
    uids = [uid for uid in prune_list(word) if uid != OWNER]
    views = [View("subnet", "seat", (subnet, uid)) for uid in uids]
    found = ledger.call_many(views) if views else []
    return any(convert(Seat, each).registered_at < end for each in found)
