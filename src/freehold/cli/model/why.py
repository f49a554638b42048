"""``model why``: a node's score, validator by validator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief
from freehold.cli.handles import Handles
from freehold.cli.home import find_home
from freehold.cli.model.folder import folder_of, member_of, names
from freehold.cli.model.wishes import written
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_ledger
from freehold.cli.subnet.named import Found, find
from freehold.domain.errors import FreeholdError, NotFoundError, UsageError
from freehold.ledger.contracts.subnet import GRAIN

if TYPE_CHECKING:
    from freehold.audit.competing import Court
    from freehold.cli.model.explained import Earned, Explained, Opinion
    from freehold.ledger.ledger import Ledger
    from freehold.markets.models.trace.built import Built

FINAL, OPEN, RECKONED = "final", "open to disputes", "reckoned here, no root yet"


@dataclass(frozen=True, slots=True)
class Epochs:
    """A subnet's trace over some epochs, the one in the root before, and how far it is settled."""

    since: int
    epoch: int
    built: Built
    past: Built | None
    state: str


def register(app: typer.Typer) -> None:
    """Put the command on the noun."""
    app.command()(why)


def why(
    node: Annotated[
        str, typer.Argument(help="A model of this machine, a node's address, or a uid.")
    ],
    *,
    subnet: Annotated[
        str, typer.Option("--subnet", help="The competition; default: the model's own.")
    ] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain what a node earned: who gave it which weight, what of that counted, and what changed.

    Everything is reckoned anew from the ledger, and believed to nobody.
    """
    from freehold.audit.competing import Court
    from freehold.cli.model.explained import explain

    screen = Screen(as_json)
    subnet = subnet or _subnet_of(home, node)
    with cancellable(), open_ledger(home) as ledger:
        found = find(ledger, subnet)
        uid = _uid(home, ledger, found, node)
        with screen.waiting(f"reckoning {subnet} anew from the ledger"):
            epochs = newest(Court(ledger), found)
    if uid >= len(epochs.built.nodes):
        raise NotFoundError(
            f"uid {uid} came after epoch {epochs.epoch}, the last that is known",
            remedy="Ask again once the running epoch has ended.",
        )
    told = explain(epochs.built, epochs.past, uid)
    screen.emit(
        {"subnet": subnet, "since": epochs.since, "epoch": epochs.epoch, "state": epochs.state,
         **told.to_json()}
    )  # fmt: skip
    _tell(screen, home, found, epochs, told)


def newest(court: Court, found: Found) -> Epochs:
    """The newest epochs that can be told of: reckoned from the chain where no root covers them yet,
    else those of the last root. NotFoundError where there are none."""
    court.sync()
    state = court.state()
    ahead = _reckoned(court, found)
    if ahead is not None:
        return ahead
    for position in dict.fromkeys((state.tip, state.final)):
        epochs = _rooted(court, position, found, final=position <= state.final)
        if epochs is not None:
            return epochs
    raise NotFoundError(
        f"no epoch of {found.name} can be reckoned yet",
        remedy="Wait until one has ended; where tokens burned or were granted in it, somebody must "
        "close it, as validators with `--propose` do.",
    )


def _reckoned(court: Court, found: Found) -> Epochs | None:
    """What the next root must say, None where nothing ended since the last one, or its budget is
    not fixed, or nothing can be built on the last root."""
    last = court.ended() - 1
    if last < court.state().next_epoch:
        return None
    try:
        draft = court.draft(last)
    except FreeholdError:
        return None
    before = _rooted(court, court.state().tip, found, final=False)
    if found.id > len(draft.bundle.traces):
        return None
    past = None if before is None else before.built
    return Epochs(draft.since, draft.epoch, draft.bundle.traces[found.id - 1], past, RECKONED)


def _rooted(court: Court, position: int, found: Found, *, final: bool) -> Epochs | None:
    try:
        rooted = court.root(position)
        before = court.root(position - 1)
    except FreeholdError:
        return None  # a false one: what it says explains nothing
    if rooted is None or found.id > len(rooted[0].bundle.traces):
        return None
    header, traces = rooted[0].header, rooted[0].bundle.traces
    past = before[0].bundle.traces if before else ()
    return Epochs(
        header.since,
        header.epoch,
        traces[found.id - 1],
        past[found.id - 1] if found.id <= len(past) else None,
        FINAL if final else OPEN,
    )


def _subnet_of(root: Path | None, node: str) -> str:
    """The subnet that a model of this machine is served in; UsageError."""
    if node[:1].isalpha():
        folder = folder_of(find_home(root), node)
        if subnet := written(folder).get("subnet"):
            return subnet
        raise NotFoundError(
            f"this machine has no model {node!r} in a subnet",
            remedy="`freehold model list` shows those that it has; name a node elsewhere by its "
            "address, and --subnet.",
        )
    raise UsageError(f"which subnet of {node} is not known", remedy="Name it with --subnet.")


def _uid(root: Path | None, ledger: Ledger, found: Found, node: str) -> int:
    if node.isascii() and node.isdigit():
        uid = int(node[:9])
        if uid >= found.state.nodes:
            raise NotFoundError(
                f"{found.name} has no uid {uid}",
                remedy=f"`freehold subnet show {found.name}` lists its nodes.",
            )
        return uid
    place = ledger.subnet.place_of(found.id, member_of(root, node))
    if place is None:
        raise NotFoundError(
            f"{node} is not in {found.name}",
            remedy=f"It joins with `freehold model serve MODEL --subnet {found.name}`.",
        )
    return place


def _tell(screen: Screen, root: Path | None, found: Found, epochs: Epochs, told: Explained) -> None:
    handles = Handles.of(root)
    handles = Handles({**handles.names, **names(find_home(root))})
    span = f"epoch {epochs.epoch}"
    if epochs.since < epochs.epoch:
        span = f"epochs {epochs.since} to {epochs.epoch}"
    screen.facts(
        f"{handles(told.node)}: uid {told.uid} of {found.name}, {span} ({epochs.state})",
        _facts(told.now, told.before),
    )
    columns = ("validator", "uid", "stake", "its weight", "counts", "before")
    screen.table(
        "what validators said of it", columns, [_row(each, handles) for each in told.opinions]
    )
    for note in told.notes:
        screen.tell(f"[dim]·[/] {note}")
    handles.tell(screen)


def _facts(now: Earned, before: Earned | None) -> dict[str, object]:
    paid = before.grains * GRAIN if before is not None else None
    facts: dict[str, object] = {
        "earned": f"{brief(now.grains * GRAIN)} tokens{_was(paid)}",
        "for answers": f"{brief(now.incentive_grains * GRAIN)} tokens: "
        f"{_percent(now.incentive)} of all{_change(before, 'incentive')}",
        "consensus": f"{_percent(now.consensus)}{_change(before, 'consensus')}",
    }
    if now.dividend_grains or now.trust is not None:
        facts["for validating"] = f"{brief(now.dividend_grains * GRAIN)} tokens"
    if now.trust is not None:
        facts["validator trust"] = f"{_percent(now.trust)} of its weights were agreed on"
    if now.stake:
        permit = "with" if now.permit else "without"
        facts["stake"] = f"{_percent(now.stake)} of all, {permit} a permit for the next epoch"
    return facts


def _row(each: Opinion, handles: Handles) -> tuple[object, ...]:
    if each.given is None:
        said, counted = "did not reveal", ""
    else:
        said = _percent(each.weight)
        counted = _percent(each.counted) + (" (clipped)" if each.clipped else "")
    before = "" if each.before is None else _percent(each.before)
    return handles(each.node), each.uid, _percent(each.stake), said, counted, before


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _change(before: Earned | None, name: str) -> str:
    if before is None:
        return ""
    return f", {_percent(getattr(before, name))} before"


def _was(paid: int | None) -> str:
    return "" if paid is None else f", {brief(paid)} before"
