"""The operators of a network as a delegator compares them, and an account's own delegations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.economics.delegation import Operator, Reward, Slash, rank, room, yearly
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.roster import listed
from freehold.ledger.values import Event

_YOUNG = 7 * 86_400
"""A node younger than this is judged as if it were so old: one early reward makes no yield."""
_CHANGES = {"Staked": 1, "Withdrawn": -1, "Slashed": -1}


@dataclass(frozen=True, slots=True)
class Leaving:
    """Stake of the account on its way out of a node, base units; ``ready_at`` in block time.

    ``entry`` is None for a notice: what is under notice is still active until it is unbonded.
    """

    node: Address
    entry: int | None
    amount: int
    ready_at: int


@dataclass(frozen=True, slots=True)
class Holding:
    """The account's stake behind a node, what of it does not earn yet, and what it earned there
    unclaimed, base units."""

    node: Address
    stake: int
    waiting: int
    claimable: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Operators, best first, and what the account has with them, at a block time."""

    now: int
    window: int
    operators: tuple[Operator, ...]
    holdings: tuple[Holding, ...] = ()
    leaving: tuple[Leaving, ...] = ()

    def to_json(self) -> dict[str, object]:
        """A JSON object; yields in millionths a year, countdowns in seconds."""
        return {
            "now": self.now,
            "window": self.window,
            "operators": [self._operator(each) for each in self.operators],
            "holdings": [asdict(each) for each in self.holdings],
            "leaving": [
                {**asdict(each), "left": self.left(each.ready_at)} for each in self.leaving
            ],
        }

    def left(self, moment: int) -> int:
        """Seconds until a moment, 0 when it has come."""
        return max(0, moment - self.now)

    def _operator(self, each: Operator) -> dict[str, object]:
        raised_in = self.left(each.raised_at) if each.raised_at else None
        found = {**asdict(each), "slashed": each.slashed, "raised_in": raised_in}
        found["yearly"] = {**asdict(each.yearly), "net": each.yearly.net}
        return found


def compare(ledger: Ledger, *, account: Address | None, window: int) -> Comparison:
    """Look at every node once; ``window`` is how many seconds back yields are taken from."""
    ledger.index.sync()
    now = ledger.now()
    least = ledger.staking.least_own_bps()
    nodes = listed(ledger)
    operators = [
        _operator(ledger, node, since=now - window, now=now, least=least) for node in nodes
    ]
    mine = [] if account is None else [_holding(ledger, node, account) for node in nodes]
    return Comparison(
        now=now,
        window=window,
        operators=tuple(rank(found for found in operators if found is not None)),
        holdings=tuple(each for each in mine if each.stake or each.claimable),
        leaving=() if account is None else tuple(_leaving(ledger, nodes, account)),
    )


def _operator(
    ledger: Ledger, node: Address, *, since: int, now: int, least: int
) -> Operator | None:
    """A node that ever had stake; None for others and for nodes that retired."""
    entry = ledger.registry.node(node)
    rewards, slashes, first = _history(ledger, node)
    if entry.owner == ZERO_ADDRESS or entry.retired or first is None:
        return None
    active, own = ledger.staking.active(node), ledger.staking.own(node)
    terms = ledger.staking.commission(node)
    start = max(since, min(first, now - _YOUNG))
    return Operator(
        node=node,
        owner=entry.owner,
        own=own,
        delegated=active - own,
        commission=terms.bps,
        raised=terms.raised,
        raised_at=terms.raised_at,
        room=room(own=own, active=active, least_own_bps=least),
        shortfall=ledger.staking.shortfall(node),
        slashes=tuple(slashes),
        yearly=yearly(rewards, slashes, start=start, end=now + 1),
    )


def _history(ledger: Ledger, node: Address) -> tuple[list[Reward], list[Slash], int | None]:
    """Rewards, slashes with the whole stake before each, and when stake first came."""
    rewards = [
        Reward(e.time, e.number("amount"), e.number("commission"), e.number("active"))
        for e in events(ledger, "Rewarded", {"node": node})
    ]
    changes = [e for name in _CHANGES for e in events(ledger, name, {"node": node})]
    changes.sort(key=lambda e: (e.block, e.index))
    slashes: list[Slash] = []
    whole = 0
    for event in changes:
        if event.name == "Slashed" and event.number("amount"):
            slashes.append(Slash(event.time, event.number("amount"), whole))
        whole += _CHANGES[event.name] * event.number("amount")
    return rewards, slashes, changes[0].time if changes else None


def _holding(ledger: Ledger, node: Address, account: Address) -> Holding:
    staking = ledger.staking
    return Holding(
        node,
        staking.stake_of(account, node),
        staking.waiting_of(account, node),
        staking.claimable(account, node),
    )


def _leaving(ledger: Ledger, nodes: list[Address], account: Address) -> Iterator[Leaving]:
    for event in unbonding(ledger, account):
        node, entry = event.address("node"), event.number("entry")
        amount = ledger.staking.entry_amount(account, node, entry)
        yield Leaving(node, entry, amount, event.number("ready_at"))
    for node in nodes:
        notice = ledger.staking.notice(account, node)
        if notice.shares:
            held = ledger.staking.stake_of(account, node)
            whole = ledger.staking.shares_of(account, node)
            yield Leaving(node, None, held * notice.shares // whole, notice.ready_at)


def unbonding(ledger: Ledger, account: Address, node: Address | None = None) -> list[Event]:
    """The events of an account's entries that are not withdrawn, oldest first."""
    where: dict[str, object] = {"staker": account, **({"node": node} if node else {})}
    done = {(e.address("node"), e.number("entry")) for e in events(ledger, "Withdrawn", where)}
    opened = events(ledger, "Unbonded", where)
    return [e for e in opened if (e.address("node"), e.number("entry")) not in done]


def events(ledger: Ledger, name: str, where: dict[str, object]) -> list[Event]:
    """All events of that name of the staking contract that match, in order."""
    return list(every(ledger.index, "staking", name, where))
