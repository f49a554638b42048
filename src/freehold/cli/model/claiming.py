"""``model claim``: what models and validators of this wallet earned, paid to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief
from freehold.cli.home import find_home
from freehold.cli.model.folder import member_of, names
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, sender
from freehold.domain.errors import NotFoundError
from freehold.ledger.contracts.subnet import GRAIN

if TYPE_CHECKING:
    from freehold.audit.competing import Court
    from freehold.domain.ids import Address
    from freehold.economics.trees import Tree
    from freehold.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Due:
    """The last final root's epoch and accounts."""

    epoch: int
    tree: Tree

    def grains(self, account: Address) -> int:
        """What an account ever earned; 0 where it has no leaf."""
        try:
            return self.tree.leaf(self.tree.index(account)).grains
        except NotFoundError:
            return 0


def register(app: typer.Typer) -> None:
    """Put the command on the noun."""
    app.command()(claim)


def claim(
    node: Annotated[
        str | None,
        typer.Argument(help="A model, a validator or a node's address; none: all of this machine."),
    ] = None,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch what your models and validators earned by final roots; it is paid to this wallet, or to
    the stake of a node for which others have staked, too."""
    from freehold.audit.competing import Court

    screen = Screen(as_json)
    called = names(find_home(home))
    wanted = list(called) if node is None else [member_of(home, node)]
    paid: dict[Address, int] = {}
    with cancellable(), open_account(home, password_file) as ledger:
        with screen.waiting("reckoning the last final root anew from the ledger"):
            due = last_final(Court(ledger))
        for each in wanted:
            if amount := pay(ledger, due, each):
                paid[each] = amount
        split = [each for each in paid if shared(ledger, each)]
        before = sum(ledger.prizes.claimed(each) for each in wanted) * GRAIN
    screen.emit({"epoch": due.epoch, "paid": paid})
    for each, amount in paid.items():
        where = " to its stake" if each in split else ""
        screen.say(f"[green]✓[/] {called.get(each, each)}: {brief(amount)} tokens{where}")
    if split:
        screen.tell("A stake splits what it gets: `freehold stake claim NODE` pays your part.")
    if not paid:
        earlier = f"; {brief(before)} tokens were claimed before" if before else ""
        screen.tell(
            f"Nothing is due by epoch {due.epoch}, the last that is final{earlier}: later ones can "
            "still be disputed."
        )


def last_final(court: Court) -> Due:
    """The last final root, reckoned anew; NotFoundError where there is none yet."""
    court.sync()
    found = court.root(court.state().final)
    if found is None:
        raise NotFoundError(
            "no root that pays models is final yet",
            remedy="One is when the time to dispute it is over; `freehold model why NAME` tells "
            "what will be due.",
        )
    root, draft = found
    return Due(draft.epoch, root.tree)


def pay(ledger: Ledger, due: Due, node: Address) -> int:
    """Claim what a node is due, for whom it names; base units paid, 0 where nothing is."""
    grains, before = due.grains(node), ledger.prizes.claimed(node)
    if grains <= before:
        return 0
    _direct(ledger, node)
    index = due.tree.index(node)
    ledger.prizes.claim(due.epoch, node, grains, index, due.tree.path(index))
    return (grains - before) * GRAIN


def shared(ledger: Ledger, node: Address) -> bool:
    """Whether others than its owner have staked for a node, whose stake then gets what it earns."""
    return ledger.staking.active(node) > ledger.staking.own(node)


def _direct(ledger: Ledger, node: Address) -> None:
    """Have rewards that would go to a node's own key paid to its owner: that key lies beside a
    model, and holds no more than its gas."""
    account = sender(ledger)
    if ledger.prizes.payout_of(node) == node and ledger.registry.owner_of(node) == account:
        ledger.prizes.set_payout(node, account)
