"""A network at a glance: what the ledger says of it and of each node, right now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.registry import STORAGE
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event

READERS = 4
FEED = {
    "storage": ("DealOpened", "DealClosed", "ColumnReplaced", "RepairPaid"),
    "faults": ("NodeJoined", "NoticeGiven", "FaultsCharged", "NodeFailed", "SpotExpired"),
    "pdp": ("Proven",),
    "payments": ("RailSettled",),
    "beacon": ("Stored",),
}


@dataclass(frozen=True, slots=True)
class NodeView:
    """One storage node: bytes and columns under deal, rounds, stake and earnings in base units."""

    node: Address
    owner: Address
    endpoint: str
    state: str
    bytes: int
    columns: int
    proven: int
    missed: int
    stake: int
    earned: int


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
    addresses = [ledger.registry.at(i) for i in range(ledger.registry.count())]
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
    """How many rounds each set proved in time."""
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
    missed = ledger.pdp.missed(state.set_id) if state.set_id else 0
    owed = ledger.pdp.owed(state.set_id) if state.set_id and not state.failed else 0
    token = ledger.network.contracts["token"]
    return NodeView(
        node=node,
        owner=entry.owner,
        endpoint=entry.endpoint,
        state=_state(
            retired=entry.retired, failed=state.failed, owed=owed, leaving=bool(state.notice_at)
        ),
        bytes=state.bytes,
        columns=state.columns,
        proven=proven[state.set_id],
        missed=missed,
        stake=ledger.staking.active(node),
        earned=ledger.payments.status(token, entry.payout).funds,
    )


def _state(*, retired: bool, failed: bool, owed: int, leaving: bool) -> str:
    if retired:
        return "retired"
    if failed:
        return "failed"
    if owed:
        return f"owes {owed}"
    return "leaving" if leaving else "good"


def feed(ledger: Ledger, *, count: int) -> list[Event]:
    """The newest events worth telling, oldest first."""
    found: list[Event] = []
    for contract, names in FEED.items():
        for name in names:
            found += ledger.index.events(contract, name, newest_first=True, limit=count)
    return sorted(found, key=lambda event: (event.block, event.index))[-count:]


def tell(event: Event, names: Mapping[Address, str]) -> str:
    """One event as a line for people; ``names`` are short names of nodes."""
    return next(_sentences(event, names), event.name)


def _sentences(event: Event, names: Mapping[Address, str]) -> Iterator[str]:
    from freehold.domain.money import show

    def who(field: str) -> str:
        value = event.address(field)
        return names.get(value, value[:8] + "…")

    match event.name:
        case "DealOpened":
            yield f"deal {event.number('deal')} opened: {event.number('k')} of {event.number('n')}"
        case "DealClosed":
            yield f"deal {event.number('deal')} closed"
        case "ColumnReplaced":
            place = f"column {event.number('slot')} of deal {event.number('deal')}"
            yield f"[green]repaired[/]: {place} is on {who('node')} now"
        case "RepairPaid":
            yield f"repairer paid {show(event.number('amount'))}"
        case "NodeJoined":
            yield f"{who('node')} joined"
        case "NoticeGiven":
            yield f"{who('node')} gave notice"
        case "FaultsCharged":
            fee = show(event.number("amount"), places=9)
            yield f"[yellow]{who('node')} missed {event.number('misses')}, fee {fee}[/]"
        case "NodeFailed":
            yield f"[red]{who('node')} failed, slashed {show(event.number('slashed'), places=9)}[/]"
        case "Proven":
            late = "" if event.args["in_time"] else " late"
            yield f"set {event.number('set_id')} proved round {event.number('round')}{late}"
        case "RailSettled":
            paid = show(event.number("paid"), places=12)
            yield f"rail {event.number('rail')} paid {paid} for {event.number('seconds')} s"
        case "Stored":
            yield f"round {event.number('round')} began"
