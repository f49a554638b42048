"""What happened lately, as lines for people: proofs of a round and payments of a node in one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from freehold.cli.amounts import brief
from freehold.cli.home import natural
from freehold.domain.ids import Address
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event

TOLD = {
    "storage": ("DealOpened", "DealClosed", "ColumnReplaced", "RepairPaid"),
    "faults": ("NodeJoined", "NoticeGiven", "FaultsCharged", "NodeFailed", "SpotExpired"),
    "pdp": ("Proven",),
    "payments": ("RailSettled",),
    "beacon": ("Stored",),
}
PER_LINE = 16
"""How many events may share a line, at most, when enough of them are read for a full view."""
_MOST_NAMES = 10
_WINDOW = 60
"""Seconds in which payments, repairs or newcomers of a kind share a line."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is who: names of nodes by id, by proof set, and by the rail that pays them."""

    nodes: Mapping[Address, str]
    sets: Mapping[int, str] = field(default_factory=dict)
    rails: Mapping[int, str] = field(default_factory=dict)

    def node(self, address: Address) -> str:
        """The name of a node, or the beginning of its address."""
        return self.nodes.get(address) or shorten(address)

    def holder(self, proof_set: int) -> str:
        """The node of a proof set."""
        return self.sets.get(proof_set, f"set {proof_set}")

    def payee(self, rail: int) -> str:
        """The node that a rail pays."""
        return self.rails.get(rail, f"rail {rail}")


def shorten(address: Address) -> str:
    """The beginning of an address, enough to tell nodes apart."""
    return f"{address[:8]}…"


def recent(ledger: Ledger, *, count: int) -> list[Event]:
    """The newest events worth telling, oldest first; enough of them for ``count`` lines."""
    found: list[Event] = []
    for contract, names in TOLD.items():
        for name in names:
            found += ledger.index.events(contract, name, newest_first=True, limit=count * PER_LINE)
    return sorted(
        (event for event in found if _matters(event)), key=lambda event: (event.block, event.index)
    )


def _matters(event: Event) -> bool:
    return event.name != "RailSettled" or event.number("paid") > 0


def cast(
    ledger: Ledger,
    events: Iterable[Event],
    *,
    names: Mapping[Address, str],
    payouts: Mapping[Address, Address],
) -> Cast:
    """Find the node behind every set and rail of ``events``; ``payouts`` are nodes by payee."""
    sets, rails = dict[int, str](), dict[int, str]()
    for event in events:
        if event.name == "Proven" and (number := event.number("set_id")) not in sets:
            joined = ledger.index.last("faults", "NodeJoined", where={"set_id": number})
            if joined is not None:
                sets[number] = Cast(names).node(joined.address("node"))
        if event.name == "RailSettled" and (number := event.number("rail")) not in rails:
            opened = ledger.index.last("payments", "RailOpened", where={"rail": number})
            if opened is not None and opened.address("payee") in payouts:
                rails[number] = Cast(names).node(payouts[opened.address("payee")])
    return Cast(names, sets, rails)


def tell(events: Sequence[Event], cast: Cast, *, count: int) -> list[str]:
    """The last ``count`` lines that ``events`` (oldest first) make, each with its hour."""
    groups: dict[object, list[Event]] = {}
    for event in events:
        key = _key(event, cast)
        together = [*groups.pop(key, []), event]
        groups[key] = together
    chosen = list(groups.values())[-count:]
    return [f"[dim]{_hour(group[-1].time)}[/]  {_TELLERS[group[0].name](group, cast)}"
            for group in chosen]  # fmt: skip


def _key(event: Event, cast: Cast) -> object:
    """Events of one key share a line."""
    match event.name:
        case "Proven":
            return "Proven", event.number("round"), bool(event.args["in_time"])
        case "RailSettled":
            return "RailSettled", cast.payee(event.number("rail")), event.time // _WINDOW
        case "NodeJoined" | "RepairPaid":
            return event.name, event.time // _WINDOW
        case "ColumnReplaced":
            return "ColumnReplaced", event.address("old_node"), event.time // _WINDOW
        case _:
            return event.block, event.index


def _hour(time: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(time).astimezone().strftime("%H:%M:%S")


def _names(names: Iterable[str]) -> str:
    unique = sorted(set(names), key=natural)
    rest = len(unique) - _MOST_NAMES
    return ", ".join(unique[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _proven(group: list[Event], cast: Cast) -> str:
    late = "" if group[0].args["in_time"] else " late"
    who = _names(cast.holder(event.number("set_id")) for event in group)
    return f"round {group[0].number('round')} proved{late} by {who}"


def _paid(group: list[Event], cast: Cast) -> str:
    paid = brief(sum(event.number("paid") for event in group))
    columns = _count(len(group))
    return f"{cast.payee(group[0].number('rail'))} was paid {paid} for {columns}"


def _count(columns: int) -> str:
    return "1 column" if columns == 1 else f"{columns} columns"


def _repaired(group: list[Event], _cast: Cast) -> str:
    paid = brief(sum(event.number("amount") for event in group))
    columns = _count(len(group))
    return f"the repairer was paid {paid} for {columns}"


def _joined(group: list[Event], cast: Cast) -> str:
    return f"{_names(cast.node(event.address('node')) for event in group)} joined"


def _opened(group: list[Event], _cast: Cast) -> str:
    (deal,) = group
    kept = f"any {deal.number('k')} of {deal.number('n')} columns give it back"
    return f"deal {deal.number('deal')} opened: {kept}"


def _moved(group: list[Event], cast: Cast) -> str:
    old = cast.node(group[0].address("old_node"))
    new = _names(cast.node(event.address("node")) for event in group)
    return f"[green]{_count(len(group))} of {old} rebuilt on {new}[/]"


def _missed(group: list[Event], cast: Cast) -> str:
    (event,) = group
    misses = event.number("misses")
    what = "a proof" if misses == 1 else f"{misses} proofs"
    fee = brief(event.number("amount"))
    return f"[yellow]{cast.node(event.address('node'))} missed {what}, fee {fee}[/]"


def _failed(group: list[Event], cast: Cast) -> str:
    (event,) = group
    return (
        f"[red]{cast.node(event.address('node'))} failed, "
        f"{brief(event.number('slashed'))} of its stake slashed[/]"
    )


_TELLERS: Mapping[str, Callable[[list[Event], Cast], str]] = {
    "Proven": _proven,
    "RailSettled": _paid,
    "NodeJoined": _joined,
    "DealOpened": _opened,
    "ColumnReplaced": _moved,
    "FaultsCharged": _missed,
    "NodeFailed": _failed,
    "DealClosed": lambda group, _: f"deal {group[0].number('deal')} closed",
    "RepairPaid": _repaired,
    "NoticeGiven": lambda group, cast: f"{cast.node(group[0].address('node'))} gave notice",
    "SpotExpired": lambda group, _: f"spot check {group[0].number('id')} expired unanswered",
    "Stored": lambda group, _: f"round {group[0].number('round')} began",
}
