"""The evidence of one deal: what happened, what was proven and paid, and how it is reckoned.

Self-contained: beside every event stand its block's header and receipts, so that whoever trusts a
block hash can check with nothing else that the event is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from freehold.audit.blocks import Block
from freehold.audit.claims import plain
from freehold.audit.events import Event
from freehold.audit.report import Report
from freehold.audit.verify import Verification
from freehold.audit.world import Models
from freehold.domain import money
from freehold.domain.errors import IntegrityError, NotFoundError
from freehold.domain.ids import caip10

VERSION = 1
_OF_DEAL = frozenset(
    {"DealOpened", "ColumnOpened", "ColumnReplaced", "ColumnEnded", "ColumnFinished", "DealClosed",
     "DealRenewed", "RepairPaid", "SpotChallenged"}
)  # fmt: skip
_OF_RAIL = frozenset({"RailModified", "RailEnded", "RailSettled", "RailClosed"})
_OF_NODE = frozenset({"FaultsCharged", "NodeFailed", "NoticeGiven"})


@dataclass(slots=True)
class _Gathering:
    """What concerns a deal, as the chain goes by."""

    deal: int
    rails: set[int] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    sets: set[int] = field(default_factory=set)
    events: list[dict[str, object]] = field(default_factory=list)
    blocks: dict[int, dict[str, object]] = field(default_factory=dict)
    proofs: int = 0
    late: int = 0
    paid: int = 0
    fees: int = 0

    def see(self, event: Event, block: Block, models: Models) -> None:
        """Take an event that the models have re-run, if it concerns the deal."""
        if not self._concerns(event):
            return
        self._learn(event, models)
        self.events.append(
            {
                "time": event.time,
                "block": event.block,
                "transaction": event.place.transaction,
                "log": event.place.log,
                "contract": event.contract,
                "event": event.name,
                "arguments": plain(event.args),
                **self._reckoned(event, models),
            }
        )
        if event.block not in self.blocks:
            self.blocks[event.block] = {
                "hash": "0x" + block.header.hash.hex(),
                "header": "0x" + block.raw_header.hex(),
                "receipts": ["0x" + raw.hex() for raw in block.raw_receipts],
            }

    def _concerns(self, event: Event) -> bool:
        args = event.args
        if event.contract in ("storage", "faults") and event.name in _OF_DEAL:
            return args["deal"] == self.deal
        if event.contract == "payments" and event.name in _OF_RAIL:
            return args["rail"] in self.rails
        if event.contract == "pdp" and event.name == "Proven":
            return args["set_id"] in self.sets
        return event.contract == "faults" and event.name in _OF_NODE and args["node"] in self.nodes

    def _learn(self, event: Event, models: Models) -> None:
        if event.name in ("ColumnOpened", "ColumnReplaced"):
            self.rails.add(event.number("rail"))
            self.nodes.add(event.text("node"))
            self.sets.add(models.faults.nodes[event.text("node")].set_id)
        elif event.name == "RailSettled":
            self.paid += event.number("paid")
            self.fees += event.number("fee")
        elif event.name == "Proven":
            self.proofs += bool(event.number("in_time"))
            self.late += not event.number("in_time")

    def _reckoned(self, event: Event, models: Models) -> dict[str, object]:
        """The arithmetic behind a payment, in the numbers of its rail."""
        if event.name != "RailSettled":
            return {}
        rail = models.payments.rails[event.number("rail")]
        deal, seconds = models.deals.deals[self.deal], event.number("seconds")
        price, paid = rail.rate // deal.size, event.number("paid")
        carried = paid * money.RATE_UNIT + rail.dust - rail.rate * seconds
        return {
            "reckoning": {
                "price_per_tib_month": price,
                "bytes": deal.size,
                "seconds_proven": seconds,
                "unit": money.RATE_UNIT,
                "carried_in": carried,
                "rule": f"({price} * {deal.size} * {seconds} + {carried}) // {money.RATE_UNIT}",
                "paid": paid,
                "carried_on": rail.dust,
                "fee_bps": rail.fee_bps,
                "fee_of_all_paid": rail.fee,
                "all_paid": rail.paid,
            }
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """One deal's record; ``content`` is plain JSON, ``render`` the text that people read."""

    content: Mapping[str, object]
    report: Report

    def to_json(self) -> str:
        """The record as canonical JSON."""
        return json.dumps(self.content, sort_keys=True, indent=1) + "\n"

    def render(self) -> str:
        """The record as text: what was agreed, each event in order, and the sums."""
        deal, sums = _part(self.content, "deal"), _part(self.content, "sums")
        lines = [f"Deal {deal['deal']} on {self.content['network']}", ""]
        lines += [f"  {name:12} {value}" for name, value in deal.items() if name != "deal"]
        lines += ["", "What happened", ""]
        events = self.content["events"]
        lines += [_line(event) for event in events] if isinstance(events, list) else []
        lines += ["", "Sums", ""]
        lines += [f"  {name:28} {value}" for name, value in sums.items()]
        verdict = "agrees" if self.report.passed else f"differs: {self.report.difference}"
        lines += ["", f"Recomputed up to block {self.report.head_block}: everything {verdict}."]
        return "\n".join(lines) + "\n"


def evidence(path: Path, deal: int) -> Evidence:
    """The evidence of a deal out of an export, which is verified on the way.

    NotFoundError when the export has no such deal, IntegrityError when the export does not hold
    up to the point where the deal could be read.
    """
    gathering = _Gathering(deal)
    check = Verification(observer=gathering.see)
    with path.open("rb") as source:
        report = check.run(source)
    models = check.world.models if check.world is not None and report.passed else None
    if models is None:
        raise IntegrityError(
            f"the export {path} does not hold: {report.difference}",
            remedy="Export the chain again, then ask for the evidence.",
        )
    found = models.deals.deals.get(deal)
    if found is None:
        raise NotFoundError(
            f"the network has no deal {deal}",
            remedy="List your deals with `freehold deal list`.",
        )
    chain = models.network.chain_id
    agreed = {
        "deal": deal, "client": caip10(chain, found.client),
        "object": "0x" + found.object_id.hex(), "code": f"{found.k} of {found.n}",
        "bytes each": found.size, "opened": found.opened_at, "term ends": found.term_end,
        "closed": found.closed_at, "token": caip10(chain, found.token),
        "nodes": [caip10(chain, c.node) for _, c in sorted(found.present.items())],
    }  # fmt: skip
    sums = {
        "proofs in time by its nodes": gathering.proofs,
        "proofs too late": gathering.late,
        "paid, fees included": money.show(gathering.paid, places=18),
        "of that fees": money.show(gathering.fees, places=18),
        "moves paid from the reserve": found.claims,
    }
    return Evidence(
        {
            "freehold_evidence": VERSION, "network": report.network, "deal": agreed,
            "events": gathering.events, "sums": sums, "blocks": gathering.blocks,
            "head": {"number": report.head_block, "hash": report.head_hash},
        },
        report,
    )  # fmt: skip


def _line(event: Mapping[str, object]) -> str:
    arguments = event["arguments"]
    told = (
        ", ".join(f"{k} {v}" for k, v in arguments.items()) if isinstance(arguments, dict) else ""
    )
    text = f"  {event['time']}  block {event['block']}  {event['event']}: {told}"
    reckoning = event.get("reckoning")
    if isinstance(reckoning, dict):
        text += f"\n      {reckoning['rule']} = {reckoning['paid']}"
    return text


def _part(content: Mapping[str, object], name: str) -> dict[str, object]:
    part = content[name]
    return part if isinstance(part, dict) else {}
