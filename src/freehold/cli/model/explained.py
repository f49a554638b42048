"""Why a node earns what it does: its epoch, validator by validator, out of the trace."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from freehold.domain.ids import Address
from freehold.markets.models.trace import steps
from freehold.markets.models.trace.build import Builder
from freehold.markets.models.trace.built import Built

ONE = 1 << 32


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one validator said of a node. All are shares, 0 to 1: ``stake`` of what is active,
    ``weight`` of its row, ``counted`` what was left of it (at most the consensus), ``before`` its
    weight in the epoch before. ``given`` is the raw weight, None where it revealed no row."""

    uid: int
    node: Address
    stake: float
    given: int | None
    weight: float
    counted: float
    clipped: bool
    before: float | None


@dataclass(frozen=True, slots=True)
class Earned:
    """How a node came off in an epoch: shares 0 to 1, amounts in grains. ``trust``: what was left
    of a validator's row, None of a node that did not validate."""

    consensus: float
    rank: float
    incentive: float
    incentive_grains: int
    dividend_grains: int
    grains: int
    trust: float | None
    stake: float
    permit: bool


@dataclass(frozen=True, slots=True)
class Explained:
    """A node in an epoch. ``before`` is None where it was not there then, or held by another."""

    uid: int
    node: Address
    generation: int
    now: Earned
    before: Earned | None
    opinions: tuple[Opinion, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """As programs read it."""
        return asdict(self)


def explain(built: Built, past: Built | None, uid: int) -> Explained:
    """Explain a uid of a trace, beside the trace of the root before."""
    node = built.nodes[uid]
    same = past is not None and uid < len(past.nodes) and (
        past.nodes[uid].generation == node.generation
    )  # fmt: skip
    former = past if same else None
    opinions = tuple(_opinion(built, former, uid, seat) for seat in range(len(built.members)))
    now = earned(built, uid)
    return Explained(
        uid,
        node.account,
        node.generation,
        now,
        None if former is None else earned(former, uid),
        opinions,
        tuple(_notes(built, uid, now, opinions)),
    )


def earned(built: Built, uid: int) -> Earned:
    """How a uid came off."""
    column, cell = built.columns[uid], built.cells[uid]
    ranks = built.trace.ranks
    at = _seat(built, uid)
    return Earned(
        consensus=column.consensus / ONE,
        rank=column.rank / ONE,
        incentive=steps.share(column.rank, ranks) / ONE if ranks else 0.0,
        incentive_grains=cell.server,
        dividend_grains=cell.validator,
        grains=built.grains(uid),
        trust=None if at is None else _trust(built, at),
        stake=steps.share(Builder(built.facts).node(uid).stake, built.trace.stake) / ONE,
        permit=uid in built.permits,
    )


def _opinion(built: Built, past: Built | None, uid: int, seat: int) -> Opinion:
    member, (active, _) = built.members[seat], built.table[seat]
    weight, consensus = _weight(built, uid, seat), built.columns[uid].consensus / ONE
    before = None
    if (
        past is not None
        and (old := _seat(past, member.uid)) is not None
        and past.members[old].active
    ):
        before = _weight(past, uid, old)
    return Opinion(
        uid=member.uid,
        node=built.nodes[member.uid].account,
        stake=active / ONE,
        given=built.weights[uid][seat] if member.active else None,
        weight=weight,
        counted=min(weight, consensus),
        clipped=weight > consensus,
        before=before,
    )


def _notes(built: Built, uid: int, now: Earned, opinions: tuple[Opinion, ...]) -> list[str]:
    """What a table does not say by itself."""
    notes = []
    if not built.members:
        notes.append("nobody held a permit to validate in this epoch, so no weight counts yet")
    elif not any(each.given is not None for each in opinions):
        notes.append("no validator revealed its weights")
    elif not any(each.given for each in opinions) and now.trust is None:
        notes.append("no validator gave it any weight: it is new, silent, wrong, or a copy")
    late = [
        each.uid
        for each in opinions
        if (row := built.facts.rows.get(each.uid)) and built.nodes[uid].registered >= row.committed
    ]
    if late:
        notes.append(
            f"it came after {_uids(late)} committed: what those say counts from the next epoch on"
        )
    if now.consensus == 0 and any(each.weight for each in opinions):
        notes.append("too little stake agrees on a weight above 0, so the others are cut to 0")
    if cut := [each.uid for each in opinions if each.clipped and now.consensus]:
        notes.append(f"{_uids(cut)} gave more than the consensus: the rest of it is ignored")
    return notes


def _trust(built: Built, seat: int) -> float:
    """What was left of a validator's row, 0 to 1."""
    left = (
        min(_weight(built, uid, seat), column.consensus / ONE)
        for uid, column in enumerate(built.columns)
    )
    return min(sum(left), 1.0)


def _weight(built: Built, uid: int, seat: int) -> float:
    _, total = built.table[seat]
    return built.weights[uid][seat] / total if total else 0.0


def _seat(built: Built, uid: int) -> int | None:
    return next((at for at, each in enumerate(built.members) if each.uid == uid), None)


def _uids(found: list[int]) -> str:
    return ("validator uid " if len(found) == 1 else "validators uid ") + ", ".join(map(str, found))
