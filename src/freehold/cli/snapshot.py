"""A network at a glance: what the ledger says of it and of each node, right now."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.registry import STORAGE
from freehold.ledger.ledger import Ledger
from freehold.ledger.roster import listed

READERS = 4
REPLACED = 5
"""Why a column ended, in ColumnEnded: another node took it over."""
_ENDED_MAX = 256


@dataclass(frozen=True, slots=True)
class NodeView:
    """One storage node: bytes and columns that it holds under deals, rounds, and in base units its
    stake and the balance of its payout account, from which its owner may have withdrawn.

    What was ``moved`` to other nodes is not held, though its records stand until somebody cleans
    up; a node that failed holds nothing: what was not moved yet is ``lost``.
    """

    node: Address
    owner: Address
    payout: Address
    endpoint: str
    state: str
    bytes: int
    columns: int
    proven: int
    missed: int
    stake: int
    balance: int
    lost: int = 0
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The network: block, round, deals, and all its storage nodes."""

    name: str
    block: int
    period: int
    rounds: int
    deals: int
    nodes: tuple[NodeView, ...]

    def to_json(self) -> dict[str, object]:
        """A JSON object with all of it."""
        return asdict(self)


def take(ledger: Ledger) -> Snapshot:
    """Look at everything once."""
    ledger.index.sync()
    addresses = listed(ledger)
    proven = proofs(ledger)
    with ThreadPoolExecutor(READERS) as pool:
        views = pool.map(lambda node: _view(ledger, node, proven), addresses)
        nodes = tuple(view for view in views if view is not None)
    return Snapshot(
        name=ledger.network.name,
        block=ledger.head().number,
        period=ledger.beacon.period_of(ledger.now()),
        rounds=ledger.beacon.round_count(),
        deals=ledger.storage.deal_count(),
        nodes=nodes,
    )


def node_json(view: NodeView) -> dict[str, object]:
    """A JSON object of one node."""
    return asdict(view)


def proofs(ledger: Ledger) -> Mapping[int, int]:
    """How many rounds each set proved, in time or late."""
    return _Counter(ledger)


class _Counter(dict[int, int]):
    """Counts on demand, in the index's database."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def __missing__(self, set_id: int) -> int:
        return self._ledger.index.count("pdp", "Proven", where={"set_id": set_id})


def _view(ledger: Ledger, node: Address, proven: Mapping[int, int]) -> NodeView | None:
    entry = ledger.registry.node(node)
    if not entry.roles & STORAGE:
        return None
    state = ledger.faults.node_state(node)
    owed = ledger.pdp.owed(state.set_id) if state.set_id and not state.failed else 0
    token = ledger.network.contracts["token"]
    moved = _moved(ledger, node) if state.columns else []
    columns, held = state.columns - len(moved), state.bytes - sum(moved)
    return NodeView(
        node=node,
        owner=entry.owner,
        payout=entry.payout,
        endpoint=entry.endpoint,
        state=_state(
            retired=entry.retired, failed=state.failed, owed=owed, leaving=bool(state.notice_at)
        ),
        bytes=0 if state.failed else held,
        columns=0 if state.failed else columns,
        proven=proven[state.set_id],
        missed=_missed(ledger, node, state.set_id),
        stake=ledger.staking.active(node),
        balance=ledger.payments.status(token, entry.payout).funds,
        lost=columns if state.failed else 0,
        moved=len(moved),
    )


def _moved(ledger: Ledger, node: Address) -> list[int]:
    """Sizes of the columns that other nodes took over and that nobody finished yet."""
    ended = ledger.index.events(
        "storage", "ColumnEnded", where={"node": node, "reason": REPLACED}, newest_first=True,
        limit=_ENDED_MAX,
    )  # fmt: skip
    return [
        ledger.storage.deal(event.number("deal")).size
        for event in ended
        if ledger.index.last(
            "storage",
            "ColumnFinished",
            where={name: event.number(name) for name in ("deal", "slot", "rail")},
        )
        is None
    ]


def _missed(ledger: Ledger, node: Address, set_id: int) -> int:
    """Rounds missed: what the ledger charged, or, before that or beyond it, what it counts."""
    charged = ledger.index.events("faults", "FaultsCharged", where={"node": node})
    counted = ledger.pdp.missed(set_id) if set_id else 0
    return max(sum(event.number("misses") for event in charged), counted)


def _state(*, retired: bool, failed: bool, owed: int, leaving: bool) -> str:
    if retired:
        return "retired"
    if failed:
        return "failed"
    if owed:
        return f"owes {owed}"
    return "leaving" if leaving else "good"
