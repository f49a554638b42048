"""``freehold verify --subnet``: an epoch's ranking reckoned anew from the chain alone, beside the
root that pays it; and the proof against a false one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.cli.amounts import brief
from freehold.cli.screen import Screen
from freehold.cli.session import open_account, open_ledger
from freehold.domain.errors import ConflictError, NotFoundError
from freehold.domain.ids import Address

if TYPE_CHECKING:
    from freehold.audit.competing import Court, Draft, Standing
    from freehold.ledger.ledger import Ledger
    from freehold.markets.models.trace.built import Built
    from freehold.node.judging.prosecutor import Plan, Prosecutor

NO_ROOT, OPEN, FINAL = "none", "open", "final"
GRAIN = 10**9
_ONE = 1 << 32


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a uid got in an epoch: the consensus of its weights (0 to 1), and base units of its
    incentive, its dividends and all together."""

    uid: int
    node: Address
    score: float
    incentive: int
    dividends: int
    emission: int

    def to_json(self) -> dict[str, object]:
        """Exact base units."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A subnet's epochs as the chain has them; ``position`` is 0 and ``state`` ``NO_ROOT`` where
    no root covers them yet. ``plan`` is what to do about a false root."""

    name: str
    subnet: int
    since: int
    epoch: int
    position: int
    state: str
    proposer: Address | None
    ranking: tuple[Ranked, ...]
    plan: Plan | None

    @property
    def passed(self) -> bool:
        """Whether the root says what it must, or there is none."""
        return self.plan is None

    def to_json(self, *, sent: bool) -> dict[str, object]:
        """For programs; calls as they are sent, their data in hex."""
        calls = self.plan.calls if self.plan else ()
        return {
            "subnet": self.name, "id": self.subnet, "since": self.since, "epoch": self.epoch,
            "root": {
                "position": self.position, "state": self.state, "proposer": self.proposer,
                "same": None if self.state == NO_ROOT else self.passed,
            },
            "first_false": self.plan.what if self.plan else None,
            "calls": [
                {"contract": each.contract, "function": each.function, "value": each.value}
                for each in calls
            ],
            "sent": sent,
            "ranking": [each.to_json() for each in self.ranking],
        }  # fmt: skip


def verify_subnet(
    screen: Screen,
    name: str,
    epoch: int | None,
    *,
    dispute: bool,
    home: Path | None,
    password_file: Path | None,
) -> bool:
    """Judge, show, and dispute where that is asked for; whether the root is what it must be."""
    with _opened(home, password_file, key=dispute) as ledger:
        with screen.waiting("reckoning the epochs"):
            verdict, prosecutor = judge(ledger, name, epoch)
        show(screen, verdict)
        sent = dispute and _dispute(screen, verdict, prosecutor)
        if dispute:
            _settle(screen, ledger)
    screen.emit(verdict.to_json(sent=sent))
    return verdict.passed


def judge(ledger: Ledger, name: str, epoch: int | None) -> tuple[Verdict, Prosecutor]:
    """The verdict on an epoch, by default on the last root. NotFoundError for an unknown subnet or
    an epoch that has not ended, FalseRootError where it rests on a false root that is final."""
    from freehold.audit.competing import Court
    from freehold.node.judging.prosecutor import Prosecutor
    from freehold.node.judging.source import proposer

    _require_market(ledger)
    subnet = ledger.subnet.id_of(name)
    if not subnet:
        raise NotFoundError(
            f"there is no subnet {name!r}", remedy="`freehold subnet list` names them."
        )
    court = Court(ledger)
    court.sync()
    prosecutor = Prosecutor(ledger, source=partial(proposer, ledger))
    position = _position(court, epoch)
    if position is None:
        return _unproposed(court, name, subnet, epoch), prosecutor
    standing = _first_false(ledger, court, position)
    plan = None if standing.sound else prosecutor.plan(standing)
    return _of(court, name, subnet, standing, plan), prosecutor


def show(screen: Screen, verdict: Verdict) -> None:
    """For people."""
    span = f"{verdict.since} to {verdict.epoch}" if verdict.since < verdict.epoch else verdict.epoch
    screen.table(
        f"{verdict.name}, epoch {span}, reckoned from the chain",
        ("uid", "node", "score", "incentive", "dividends", "emission"),
        [
            (
                each.uid, each.node, f"{each.score:.4f}", brief(each.incentive),
                brief(each.dividends), brief(each.emission),
            )
            for each in verdict.ranking
        ],
    )  # fmt: skip
    if verdict.state == NO_ROOT:
        screen.say("no root covers it yet")
    elif verdict.plan is None:
        screen.say(f"[green]✓ the {verdict.state} root {verdict.position} says the same[/]")
    else:
        told = f"the {verdict.state} root {verdict.position} by {verdict.proposer}"
        screen.say(f"[red]✗ {told} is false: {verdict.plan.what}[/]")
        _show_plan(screen, verdict, verdict.plan)


def _show_plan(screen: Screen, verdict: Verdict, plan: Plan) -> None:
    if verdict.state == FINAL:
        screen.say("it is final: nobody can disprove it any more")
    elif not plan.calls:
        screen.say("its proposer was asked for the rest; look again when it has answered")
    for call in plan.calls if verdict.state == OPEN else ():
        value = f" with {call.value} wei" if call.value else ""
        screen.say(f"  --dispute sends {call.contract}.{call.function}{value}")


def _dispute(screen: Screen, verdict: Verdict, prosecutor: Prosecutor) -> bool:
    plan = verdict.plan
    if plan is None or not plan.calls:
        return False
    if verdict.state == FINAL:
        raise ConflictError(
            "the root is final", remedy="Roots can be disputed within their window only."
        )
    prosecutor.send(plan)
    screen.say(f"[green]✓[/] sent {len(plan.calls)} transactions")
    return True


def _settle(screen: Screen, ledger: Ledger) -> None:
    """Take the bonds of void roots, those included that others have left."""
    from freehold.node.settling import settle

    ledger.index.sync()
    if done := settle(ledger, ledger.prizes):
        screen.say(f"[green]✓[/] settled {done} verdicts")


@contextmanager
def _opened(home: Path | None, password_file: Path | None, *, key: bool) -> Iterator[Ledger]:
    """With the wallet's key only where something is to be sent."""
    with open_account(home, password_file) if key else open_ledger(home) as ledger:
        yield ledger


def _require_market(ledger: Ledger) -> None:
    if not {"prizes", "subnet", "disputes"} <= ledger.network.contracts.keys():
        raise NotFoundError(
            f"{ledger.network.name} has no model market", remedy="Found a network with an economy."
        )


def _position(court: Court, epoch: int | None) -> int | None:
    if epoch is not None:
        return court.position(epoch)
    tip = court.state().tip
    return tip if tip > 1 else None


def _first_false(ledger: Ledger, court: Court, position: int) -> Standing:
    """The first open root up to one that is false, else that one: a root on a false one falls with
    it. Budgets are fixed where a key is there to pay for it."""
    from freehold.node.judging.closing import close

    first = min(court.state().final + 1, position)
    for place in range(first, position + 1):
        header = court.header(place)
        if header is not None and ledger.key is not None:
            close(ledger, court, header.since, header.epoch)
        standing = court.standing(place)
        if not standing.sound:
            return standing
    return court.standing(position)


def _unproposed(court: Court, name: str, subnet: int, epoch: int | None) -> Verdict:
    last = court.ended() - 1
    wanted = last if epoch is None else epoch
    if not court.state().next_epoch <= wanted <= last:
        raise NotFoundError(
            f"epoch {wanted} has not ended", remedy=f"The last one that has is {last}."
        )
    draft = court.draft(wanted)
    rows = _ranking(_trace(draft, name, subnet))
    return Verdict(name, subnet, draft.since, draft.epoch, 0, NO_ROOT, None, rows, None)


def _of(
    court: Court, name: str, subnet: int, standing: Standing, plan: Plan | None
) -> Verdict:  # fmt: skip
    header, own = standing.header, standing.own
    state = FINAL if header.position <= court.state().final else OPEN
    rows = _ranking(_trace(own, name, subnet))
    return Verdict(
        name, subnet, own.since, own.epoch, header.position, state, header.proposer, rows, plan
    )  # fmt: skip


def _trace(draft: Draft, name: str, subnet: int) -> Built:
    if subnet > len(draft.bundle.traces):
        raise NotFoundError(
            f"subnet {name} was created after epoch {draft.epoch}", remedy="Name a later epoch."
        )
    return draft.bundle.traces[subnet - 1]


def _ranking(built: Built) -> tuple[Ranked, ...]:
    """Who earned most first."""
    found = (
        Ranked(
            uid, node.account, round(built.columns[uid].consensus / _ONE, 6),
            built.cells[uid].server * GRAIN, built.cells[uid].validator * GRAIN,
            built.grains(uid) * GRAIN,
        )
        for uid, node in enumerate(built.nodes)
    )  # fmt: skip
    return tuple(sorted(found, key=lambda each: (-each.emission, each.uid)))
