"""What the contracts say of themselves at a block: the state that a verification recomputes.

Only views that do not depend on the time of the call are claimed, so that a claim is a statement
about a block and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from freehold.audit.events import Event
from freehold.audit.lines import Line
from freehold.audit.report import Spot
from freehold.ledger.values import Value

CHECK = "claims"

NEWEST = 2_000

Question = tuple[str, str, tuple[int | str, ...]]
"""Contract, view, arguments."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A contract's answer to a question, at the end of a block; ``values`` are plain JSON."""

    block: int
    question: Question
    values: list[object]
    spot: Spot

    @classmethod
    def parse(cls, line: Line) -> Claim:
        """The claim of a line; Differs where it is none."""
        spot = Spot(CHECK, line.place)
        block, contract = line.fields.get("block"), line.fields.get("contract")
        view, arguments = line.fields.get("view"), line.fields.get("arguments")
        values = line.fields.get("values")
        if not (
            isinstance(block, int)
            and isinstance(contract, str)
            and isinstance(view, str)
            and isinstance(arguments, list)
            and isinstance(values, list)
            and len(line.fields) == 5
        ):
            found = sorted(line.fields)
            raise spot.differs("the fields", expected="those of a claim", found=found)
        given = tuple(each for each in arguments if isinstance(each, int | str))
        return cls(block, (contract, view, given), values, spot)

    def __str__(self) -> str:
        contract, view, arguments = self.question
        return f"{contract}.{view}({', '.join(map(str, arguments))})"


def fields_of(block: int, question: Question, values: list[Value]) -> dict[str, object]:
    """The fields of a claim's line."""
    contract, view, arguments = question
    return {
        "block": block,
        "contract": contract,
        "view": view,
        "arguments": list(arguments),
        "values": [plain(value) for value in values],
    }


def plain(value: object) -> object:
    """A value as JSON has it: bytes as 0x text, structs as objects, numbers as they are."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


class Keys:
    """The accounts, nodes and deals that have appeared in events so far.

    Of what grows with time (rails, rounds, pieces, deals, columns, entries, devices, values that
    were agreed on, commands, purchases) only the newest are kept: the older ones show in the
    accounts that they moved.
    """

    def __init__(self, *, newest: int = NEWEST) -> None:
        self._newest = newest
        self._seen: dict[str, dict[tuple[int | str, ...], None]] = {kind: {} for kind in _VIEWS}

    def see(self, event: Event) -> None:
        """Note what an event names."""
        for kind, names in _RULES.get((event.contract, event.name), ()):
            values = (plain(event.args[name]) for name in names)
            key = tuple(value for value in values if isinstance(value, int | str))
            seen = self._seen[kind]
            seen[key] = None
            if kind in _GROWING and len(seen) > self._newest:
                del seen[next(iter(seen))]

    def questions(self) -> Iterator[Question]:
        """Everything to ask the contracts, in a fixed order."""
        for contract, view in _TOTALS:
            yield contract, view, ()
        for kind, views in _VIEWS.items():
            for key in sorted(self._seen[kind], key=repr):
                for contract, view in views:
                    yield contract, view, key


Views = Mapping[str, tuple[tuple[str, str], ...]]
Rules = Mapping[tuple[str, str], tuple[tuple[str, tuple[str, ...]], ...]]


def _of_roots(place: str, kind: str) -> Views:
    """The views of roots at a place; ``kind`` stands before what they are asked about."""
    totals = ("state", "quorum", "funded", "parameters", "judge")
    return {
        place: tuple((place, view) for view in totals),
        f"{kind}proposer": ((place, "bond_of"),),
        f"{kind}position": ((place, "headers"),),
        f"{kind}root": ((place, "final_root"),),
        f"{kind}earner": ((place, "claimed"),),
    }


def _told_by_roots(place: str, kind: str) -> Rules:
    return {
        (place, "ParametersSet"): ((place, ()),),
        (place, "BondPosted"): ((f"{kind}proposer", ("proposer",)),),
        (place, "Finalized"): ((f"{kind}position", ("position",)), (f"{kind}root", ("epoch",))),
        (place, "PaidElsewhere"): ((f"{kind}earner", ("account",)),),
    }


_TOTALS = (
    ("token", "totalSupply"),
    ("token", "minted"),
    ("token", "burned"),
    ("registry", "count"),
    ("registry", "price"),
    ("beacon", "round_count"),
    ("storage", "deal_count"),
)
_VIEWS: Views = {
    "holder": (("token", "balanceOf"),),
    "node": (
        ("registry", "node"),
        ("staking", "active"),
        ("staking", "own"),
        ("staking", "free"),
        ("staking", "unbonding"),
        ("staking", "locked"),
        ("staking", "arrival"),
        ("faults", "node_state"),
        ("faults", "pool"),
    ),
    "staker": (("staking", "stake_of"), ("staking", "waiting_of"), ("staking", "claimable")),
    "entry": (("staking", "entry"),),
    "account": (("payments", "account"),),
    "payable": (("payments", "fees"),),
    "auctioneer": (("payments", "auction"),),
    "goods": (("auction", "last_sale"),),
    "role": (("capacity", "rule"),),
    "declaration": (("capacity", "declaration"),),
    "rail": (("payments", "rail"),),
    "round": (("beacon", "round"),),
    "set": (("pdp", "set"),),
    "piece": (("pdp", "piece"),),
    "deal": (("storage", "deal"),),
    "column": (("storage", "column"),),
    "issuance": tuple(
        ("issuance", view)
        for view in (
            "closed", "scheduled_total", "drawn_total", "granted_total", "vested_total", "allotted",
            "split_count", "power",
        )
    ),
    "budget": (("issuance", "budget"),),
    "draw": (("issuance", "drawn"),),
    "allocator": (("issuance", "allocators"),),
    "allocation": (("issuance", "claimed"),),
    "rewards": tuple(("rewards", view) for view in ("emitted", "claimed", "source", "market")),
    "work": (("rewards", "account"), ("rewards", "due")),
    "wait": (("rewards", "waiting"),),
    "rate": (("rewards", "rates"),),
    "payee": (("rewards", "backed_fees"),),
    **_of_roots("roots", ""),
    **_of_roots("prizes", "prizes' "),
    "list": tuple(("devices", view) for view in ("count", "fee", "paused")),
    "device": (("devices", "device"),),
    "ruled": (("automation", "rules_of"), ("automation", "open_of")),
    "watching": (("status", "parameters"), ("status", "rows")),
    "watcher": (("status", "score_of"),),
    "aspect": (("status", "tolerance_of"),),
    "agreed": (("status", "value_of"), ("status", "status_of")),
    "rules": tuple(("automation", view) for view in ("rules", "commands", "paused")),
    "rule": (("automation", "rule"),),
    "command": (("automation", "command"),),
    "sales": (("streams", "count"), ("streams", "fee_bps")),
    "purchase": (("streams", "purchase"),),
    "sold": (("streams", "bought_of"), ("streams", "burned_of")),
    "subnets": tuple(
        ("subnet", view)
        for view in ("count", "locked", "waiting", "judge", "paused")
    ),
    "subnet": (("subnet", "subnet_of"),),
    "pruned": (("disputes", "prune_list"),),
    "disputes": (("disputes", "demand_count"),),
    "uid": (("subnet", "uid_at"),),
    "subnets' epoch": (("subnet", "emitted"),),
}  # fmt: skip
_GROWING = frozenset(
    {
        "entry", "rail", "round", "piece", "deal", "column", "budget", "draw", "wait", "rate",
        "position", "root", "prizes' position", "prizes' root", "device", "agreed", "rule", "ruled",
        "command", "purchase", "sold", "uid", "subnets' epoch",
    }
)  # fmt: skip
_RULES: Rules = {
    ("token", "Transfer"): (("holder", ("sender",)), ("holder", ("receiver",))),
    ("registry", "NodeRegistered"): (("node", ("node",)),),
    ("staking", "Staked"): (("staker", ("staker", "node")),),
    ("staking", "Rewarded"): (("staker", ("owner", "node")),),
    ("staking", "Unbonded"): (("entry", ("staker", "node", "entry")),),
    ("payments", "TokenSet"): (("payable", ("token",)),),
    ("payments", "AuctionSet"): (("auctioneer", ()),),
    ("auction", "Arrived"): (("goods", ("token",)),),
    ("capacity", "RuleSet"): (("role", ("role",)),),
    ("capacity", "Declared"): (("declaration", ("node", "role")),),
    ("payments", "Deposited"): (("account", ("token", "owner")),),
    ("payments", "RailOpened"): (
        ("rail", ("rail",)),
        ("account", ("token", "payer")),
        ("account", ("token", "payee")),
    ),
    ("payments", "Sent"): (
        ("account", ("token", "sender")),
        ("account", ("token", "recipient")),
    ),
    ("payments", "VoucherOpened"): (
        ("rail", ("rail",)),
        ("account", ("token", "payer")),
        ("account", ("token", "payee")),
    ),
    ("beacon", "Stored"): (("round", ("round",)),),
    ("pdp", "SetCreated"): (("set", ("set_id",)),),
    ("pdp", "PieceAdded"): (("piece", ("set_id", "piece_id")),),
    ("storage", "DealOpened"): (("deal", ("deal",)),),
    ("storage", "ColumnOpened"): (("column", ("deal", "slot")),),
    ("issuance", "SplitSet"): (("issuance", ()),),
    ("issuance", "EpochClosed"): (("budget", ("epoch",)),),
    ("issuance", "Drawn"): (("draw", ("epoch", "market")),),
    ("issuance", "AllocatorSet"): (("allocator", ("account",)),),
    ("issuance", "Vested"): (("allocation", ("allocation",)),),
    ("rewards", "MarketSet"): (("rewards", ()),),
    ("rewards", "WorkWaits"): (("work", ("account",)), ("wait", ("account", "epoch"))),
    ("rewards", "Backed"): (("work", ("account",)), ("payee", ("payee",))),
    ("rewards", "EpochClosed"): (("rate", ("epoch",)),),
    **_told_by_roots("roots", ""),
    **_told_by_roots("prizes", "prizes' "),
    ("devices", "Enrolled"): (("list", ()), ("device", ("device",))),
    ("devices", "FeeSet"): (("list", ()),),
    ("devices", "PausedSet"): (("list", ()),),
    ("status", "ParametersSet"): (("watching", ()),),
    ("status", "ToleranceSet"): (("aspect", ("aspect",)),),
    ("status", "Joined"): (("watcher", ("watcher",)),),
    ("status", "Settled"): (("agreed", ("subject", "aspect")),),
    ("automation", "PausedSet"): (("rules", ()),),
    ("automation", "Approved"): (("rules", ()), ("rule", ("rule",))),
    ("automation", "Commanded"): (
        ("rules", ()), ("command", ("id",)), ("ruled", ("device",)),
    ),
    ("streams", "FeeSet"): (("sales", ()),),
    ("streams", "Bought"): (("purchase", ("id",)), ("sold", ("epoch",))),
    ("subnet", "JudgeSet"): (("subnets", ()),),
    ("subnet", "Created"): (("subnet", ("subnet",)),),
    ("disputes", "Settled"): (("pruned", ("subnet",)),),
    ("disputes", "Demanded"): (("disputes", ()),),
    ("subnet", "Registered"): (("uid", ("subnet", "uid", "generation")),),
    ("subnet", "EpochClosed"): (("subnets' epoch", ("epoch",)),),
}  # fmt: skip
