"""``freehold agreed``: what watchers agreed on of nodes and devices, and how well each one sees."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief, minute
from freehold.cli.handles import Handles, node_of
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_ledger
from freehold.domain import aspects
from freehold.domain.errors import ConflictError, NotFoundError, RefusedError
from freehold.domain.ids import Address

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from freehold.ledger.contracts.status import Agreed, Member
    from freehold.ledger.ledger import Ledger

SUBJECTS_MAX, ASPECTS_MAX = 512, 64
_COMMON = (aspects.REACHABLE, aspects.SPEED, aspects.HONEST)

app = typer.Typer(
    name="agreed", help="What watchers agreed on: who is reachable, fast, honest.",
    no_args_is_help=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a watcher of the committee told in a round; None where nothing is known any more."""

    watcher: Address
    weight: int
    told: int | None


@app.command("list")
def list_(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List what is agreed on of every node and device."""
    screen, handles = Screen(as_json), Handles.of(home)
    with cancellable(), open_ledger(home) as ledger:
        require(ledger)
        found = overview(ledger)
    rows = [
        {"subject": subject, **{aspects.name_of(of): asdict(said) for of, said in known.items()}}
        for subject, known in found.items()
    ]
    screen.emit({"agreed": rows})
    screen.table(
        "agreed by the watchers",
        ("of", "reachable", "speed", "honest", "since"),
        [_row(handles(subject), known) for subject, known in found.items()],
    )
    if not found:
        screen.say("Nothing yet: watchers settle what they told a round later.")
    handles.tell(screen)


@app.command()
def show(
    subject: Annotated[str, typer.Argument(help="A node or device: its address, or its name.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything that is agreed on of one node or device, and who told what."""
    screen, target, handles = Screen(as_json), subject_of(home, subject), Handles.of(home)
    with cancellable(), open_ledger(home) as ledger:
        require(ledger)
        ledger.index.sync()
        names = known_aspects(ledger, target)
        found = {of: ledger.status.status_of(target, of) for of in names}
        told = {of: opinions(ledger, target, of, said.round) for of, said in found.items()}
    if not found:
        raise NotFoundError(
            f"nothing is agreed on of {subject}", remedy="See `freehold agreed list`."
        )
    screen.emit(
        {
            "subject": target,
            "aspects": {
                aspects.name_of(of): {**asdict(said), "told": [asdict(each) for each in told[of]]}
                for of, said in found.items()
            },
        }
    )
    columns = ("aspect", "value", "round", "when", "told", "spread")
    screen.table(f"agreed of {subject}", columns, [_line(of, said) for of, said in found.items()])
    for of, each in told.items():
        screen.table(
            f"who told what of {aspects.name_of(of)}", ("watcher", "weight", "told"),
            [(handles(o.watcher), brief(o.weight), _told(of, o.told)) for o in each],
        )  # fmt: skip
    handles.tell(screen)


@app.command()
def watchers(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the watchers who agree, their weight, and how well they see."""
    screen, handles = Screen(as_json), Handles.of(home)
    with cancellable(), open_ledger(home) as ledger:
        require(ledger)
        ledger.index.sync()
        found, terms = members(ledger), ledger.status.parameters()
        number, length = ledger.status.round_now(), ledger.status.round_length()
    screen.emit(
        {
            "round": number, "round_length": length, **asdict(terms),
            "watchers": [{"watcher": name, **asdict(member)} for name, member in found.items()],
        }
    )  # fmt: skip
    columns = ("watcher", "weight", "sees", "member since round", "")
    rows = [_member(handles(name), each, terms.floor) for name, each in found.items()]
    screen.table(f"watchers in round {number}, of {length} seconds each", columns, rows)
    if not found:
        screen.say("No watcher has joined yet.")
    handles.tell(screen)


def subject_of(root: Path | None, text: str) -> Address:
    """The node or device that a user names: an address, or the name of one of this machine."""
    try:
        return node_of(root, text)
    except NotFoundError as error:
        from freehold.cli.device.folder import device_of

        try:
            return device_of(root, text)
        except NotFoundError:
            raise error from None


def require(ledger: Ledger) -> None:
    """ConflictError where watchers of the network do not agree on anything."""
    if "status" not in ledger.network.contracts:
        raise ConflictError(
            f"the watchers of {ledger.network.name} agree on no status",
            remedy="It was founded before there was one; nodes are judged by their proofs alone.",
        )


def overview(ledger: Ledger) -> dict[Address, dict[bytes, Agreed]]:
    """What is agreed on of nodes and devices, of the common aspects; the newest of each."""
    from freehold.ledger.roster import newest

    kinds = ("registry", "devices")
    subjects = [each for kind in kinds for each in newest(ledger, kind, most=SUBJECTS_MAX)]
    pairs = [(subject, of) for subject in dict.fromkeys(subjects) for of in _COMMON]
    found: dict[Address, dict[bytes, Agreed]] = {}
    for (subject, of), said in zip(pairs, agreed(ledger, pairs), strict=True):
        if said.at:
            found.setdefault(subject, {})[of] = said
    return found


def agreed(ledger: Ledger, pairs: Sequence[tuple[Address, bytes]]) -> list[Agreed]:
    """What stands of each subject and aspect, in order."""
    from freehold.ledger.contracts.base import convert
    from freehold.ledger.contracts.status import Agreed
    from freehold.ledger.values import View

    answers = ledger.call_many([View("status", "status_of", pair) for pair in pairs])
    return [convert(Agreed, answer) for answer in answers]


def known_aspects(ledger: Ledger, subject: Address) -> list[bytes]:
    """The aspects of which something was ever settled, the latest first."""
    events = ledger.index.events(
        "status", "Settled", where={"subject": subject}, limit=1_000, newest_first=True
    )
    return list(dict.fromkeys(event.data("aspect") for event in events))[:ASPECTS_MAX]


def opinions(ledger: Ledger, subject: Address, of: bytes, number: int) -> list[Opinion]:
    """What the committee told in a round, as far as the ledger still says who sat in it."""
    events = ledger.index.events("status", "Revealed", where={"round": number}, limit=64)
    told: dict[Address, int] = {}
    for event in events:
        subjects, names, values = (event.args[key] for key in ("subjects", "aspects", "values"))
        if isinstance(subjects, list) and isinstance(names, list) and isinstance(values, list):
            for about, name, value in zip(subjects, names, values, strict=True):
                if about == subject and name == of and isinstance(value, int):
                    told[event.address("watcher")] = value
    fresh = number + 1 >= ledger.status.round_now()
    sitting = ledger.status.committee(number, subject) if fresh else []
    seats = {seat.watcher: seat.weight for seat in sitting}
    return [Opinion(each, seats.get(each, 0), told.get(each)) for each in {**seats, **told}]


def members(ledger: Ledger) -> dict[Address, Member]:
    """Everybody who joined and has a place yet, the heaviest first."""
    from freehold.ledger.paging import every

    joined = dict.fromkeys(e.address("watcher") for e in every(ledger.index, "status", "Joined"))
    found = {}
    for name in list(joined)[-SUBJECTS_MAX:]:
        try:
            found[name] = ledger.status.member(name)
        except RefusedError:
            continue  # somebody else has its place
    return dict(sorted(found.items(), key=lambda item: -item[1].weight))


def _row(called: str, known: dict[bytes, Agreed]) -> tuple[object, ...]:
    latest = max(said.at for said in known.values())
    told = [_told(of, known[of].value if of in known else None) for of in _COMMON]
    return called, *told, minute(latest)


def _line(of: bytes, said: Agreed) -> tuple[object, ...]:
    share = f"{said.told_bps / 100:g} %"
    value, spread = _told(of, said.value), _told(of, said.spread)
    return aspects.name_of(of), value, said.round, minute(said.at), share, spread


def _told(of: bytes, value: int | None) -> str:
    """A value for people."""
    if value is None:
        return "-"
    if of in (aspects.REACHABLE, aspects.HONEST):
        return f"{value / 100:g} %"
    if of == aspects.SPEED:
        return f"{2**value:,} KiB/s" if 0 < value < 64 else "slow"
    return f"{value / aspects.MICRO:g}" if aspects.metric_of(of) else f"{value:,}"


def _member(called: str, member: Member, floor: int) -> tuple[object, ...]:
    note = "left" if member.left_at else "not believed" if member.score < floor else ""
    return called, brief(member.weight), f"{member.score / 100:g} %", member.since, note
