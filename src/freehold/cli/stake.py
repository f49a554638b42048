"""Stake behind nodes: one's own (add, remove, commission), others' (delegate, undelegate,
compare), and what it earned (claim)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli import pledges, settling
from freehold.cli.amounts import brief, moment, span
from freehold.cli.handles import NODE_HELP, Handles, node_of
from freehold.cli.home import open_home
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger, sender
from freehold.domain import money
from freehold.domain.errors import ConflictError, RefusedError, UsageError
from freehold.domain.ids import Address

if TYPE_CHECKING:
    from freehold.cli.operators import Comparison, Leaving
    from freehold.economics.delegation import Operator
    from freehold.ledger.contracts.staking import Commission
    from freehold.ledger.ledger import Ledger

app = typer.Typer(name="stake", help="Stake behind nodes.", no_args_is_help=True)

AmountArgument = Annotated[str, typer.Argument(help="Amount in whole tokens, such as 2.5.")]
NodeArgument = Annotated[str, typer.Argument(help=NODE_HELP)]
_DAY = 86_400
_MOST_BPS = 5_000


@app.command()
def add(
    node: NodeArgument,
    amount: AmountArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put stake behind a node of yours."""
    screen = Screen(as_json)
    with cancellable(), open_account(home, password_file) as ledger:
        target, units = node_of(home, node), money.parse(amount)
        pledges.check_own(ledger, target, node, units)
        ledger.token.approve(ledger.network.contracts["staking"], units)
        receipt = ledger.staking.stake(target, units)
        active = ledger.staking.active(target)
        wait = settling.wait_of(ledger, target)
    screen.emit({"transaction": receipt.hash, "node": target, "active": active, **wait.to_json()})
    screen.say(f"[green]✓[/] {money.show(active)} stands behind {node}")
    settling.tell_new(screen, wait, node)


@app.command()
def remove(
    node: NodeArgument,
    amount: Annotated[
        str | None, typer.Argument(help="Amount to unbond; none: withdraw what is ready.")
    ] = None,
    *,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Unbond stake; without an amount, withdraw what has waited long enough."""
    screen = Screen(as_json)
    target = node_of(home, node)
    with cancellable(), open_account(home, password_file) as ledger:
        if amount is not None:
            units = pledges.check_leaving(ledger, target, node, money.parse(amount))
            settling.before_leaving(screen, ledger, target, yes=yes)
            try:
                _unbond(screen, ledger, target, units, node)
            except RefusedError as error:
                if "locked" not in error.message:
                    raise
                raise pledges.locked(ledger, target, node, error) from error
            return
        taken = withdraw_ready(ledger, target)
    screen.emit({"node": target, "withdrawn": taken})
    screen.say(f"[green]✓[/] withdrew {money.show(taken)}")


@app.command()
def delegate(
    node: NodeArgument,
    amount: AmountArgument,
    *,
    most: Annotated[
        str | None,
        typer.Option(
            "--most",
            help="Highest commission to accept, in force or announced, percent; none: as it is.",
        ),
    ] = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put stake behind somebody else's node: it earns with it, and is slashed with it."""
    screen, target, units = Screen(as_json), node_of(home, node), money.parse(amount)
    accepted = None if most is None else bps_of(most)
    with cancellable(), open_account(home, password_file) as ledger:
        terms = ledger.staking.commission(target)
        limit = max(terms.bps, terms.raised) if accepted is None else accepted
        pledges.check_delegation(ledger, target, node, units, terms=terms, most=limit)
        ledger.token.approve(ledger.network.contracts["staking"], units)
        receipt = ledger.staking.delegate(target, units, most_bps=limit)
        held = ledger.staking.stake_of(sender(ledger), target)
        wait = settling.wait_of(ledger, target)
    screen.emit(
        {"transaction": receipt.hash, "node": target, "stake": held, **wait.to_json(),
         "commission": terms.bps, "raised": terms.raised, "raised_at": terms.raised_at}
    )  # fmt: skip
    screen.say(f"[green]✓[/] {money.show(held)} of yours stand behind {node}")
    settling.tell_new(screen, wait, node)
    screen.tell(f"Of what it is rewarded with its owner keeps {_kept(terms)}.")


@app.command()
def undelegate(
    node: NodeArgument,
    amount: Annotated[str | None, typer.Argument(help="Amount; none: all of it.")] = None,
    *,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take delegated stake back: unbond what nothing holds, or give notice where it is locked."""
    screen, target = Screen(as_json), node_of(home, node)
    with cancellable(), open_account(home, password_file) as ledger:
        wanted = None if amount is None else money.parse(amount)
        units = pledges.check_leaving(ledger, target, node, wanted)
        if pledges.owner_of(ledger, target, node) == sender(ledger):
            raise ConflictError(
                f"{node} is your own node", remedy=f"Use `freehold stake remove {node} AMOUNT`."
            )
        if ledger.staking.can_unbond(sender(ledger), target, units):
            settling.before_leaving(screen, ledger, target, yes=yes)
            units = pledges.check_leaving(ledger, target, node, wanted)
            _unbond(screen, ledger, target, units, node)
            return
        ready_at = give_notice(ledger, target, units)
    screen.emit({"node": target, "notice": units, "ready_at": ready_at})
    screen.say(f"[green]✓[/] notice of {money.show(units)} given to {node}")
    screen.tell(
        f"Its commitments hold that stake until they end, or until {moment(ready_at)}: run the "
        "same command again then. Until it is unbonded it earns and can be slashed."
    )


@app.command()
def claim(
    node: NodeArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take what your stake behind a node has earned; let it earn where it waited to."""
    screen, target = Screen(as_json), node_of(home, node)
    with cancellable(), open_account(home, password_file) as ledger:
        overdue = settling.wait_of(ledger, target).over
        admitted = overdue and settling.admit(ledger, target)
        wait = settling.wait_of(ledger, target)
        due = ledger.staking.claimable(sender(ledger), target)
        if not (due or admitted or wait.amount):
            raise pledges.nothing_earned(ledger, target, node)
        receipt = ledger.staking.claim_rewards(target) if due else None
    amount = receipt.one("RewardsClaimed").number("amount") if receipt else 0
    screen.emit(
        {"transaction": receipt.hash if receipt else None, "node": target, "amount": amount,
         "admitted": admitted, **wait.to_json()}
    )  # fmt: skip
    if receipt:
        screen.say(f"[green]✓[/] claimed {brief(amount)}")
    if admitted:
        screen.say(f"[green]✓[/] your new stake behind {node} earns from now on")
    settling.tell_wait(screen, wait, node)


@app.command()
def commission(
    node: NodeArgument,
    percent_: Annotated[str, typer.Argument(metavar="PERCENT", help="Such as 5 or 7.25.")],
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set what you keep of a node's rewards; a raise waits until delegators could have left."""
    screen, target = Screen(as_json), node_of(home, node)
    with cancellable(), open_account(home, password_file) as ledger:
        receipt = ledger.staking.set_commission(target, bps_of(percent_))
    event = receipt.one("CommissionSet")
    told = {name: event.number(name) for name in ("bps", "raised", "raised_at")}
    screen.emit({"transaction": receipt.hash, "node": target, **told})
    screen.say(f"[green]✓[/] the commission of {node} is {percent(told['bps'] * 100)}")
    if told["raised_at"]:
        when = moment(told["raised_at"])
        screen.say(f"  it becomes {percent(told['raised'] * 100)} at {when}")


@app.command()
def compare(
    *,
    days: Annotated[
        int, typer.Option("--days", min=1, max=3_650, help="Days back that yields are taken from.")
    ] = 30,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the operators you could delegate to, and see what of yours is on its way out."""
    from freehold.cli import operators
    from freehold.cli.wallets import WalletFolder

    screen, target = Screen(as_json), open_home(home)
    folder = WalletFolder(target.wallet)
    account = folder.address() if folder.exists() else None
    with cancellable(), open_ledger(home) as ledger:
        found = operators.compare(ledger, account=account, window=days * _DAY)
    screen.emit(found.to_json())
    show(screen, found, Handles.of(home))


def show(screen: Screen, found: Comparison, called: Handles) -> None:
    """The comparison as tables, and what is special of an operator as lines."""
    columns = ("node", "net a year", "rewards", "keeps", "own", "delegated", "room")
    rows = [_row(each, called) for each in found.operators]
    screen.table("operators, best first", columns, rows)
    for each in found.operators:
        for told in _special(found, each):
            screen.tell(f"{called(each.node)}: {told}")
    if found.holdings:
        mine = [
            (called(h.node), brief(h.stake), brief(h.waiting), brief(h.claimable))
            for h in found.holdings
        ]
        screen.table("yours", ("node", "stake", "earns later", "claimable"), mine)
    if found.leaving:
        names = ("node", "what", "amount", "ready in")
        going = [_going(found, each, called) for each in found.leaving]
        screen.table("on their way out", names, going)
    called.tell(screen)


def percent(millionths: int) -> str:
    """Millionths as a percentage with two places, rounded down."""
    hundredths = millionths // 100
    sign, hundredths = ("-", -hundredths) if hundredths < 0 else ("", hundredths)
    return f"{sign}{hundredths // 100}.{hundredths % 100:02d} %"


def bps_of(text: str) -> int:
    """Basis points of a percentage such as ``"7.25"``; UsageError beyond 50 or for finer ones."""
    units = money.parse(text.removesuffix("%"))
    bps, rest = divmod(units, money.UNIT // 100)
    if rest or bps > _MOST_BPS:
        raise UsageError(
            f"{text!r} is no commission",
            remedy="Write a percentage from 0 to 50 with at most two places, such as 7.25.",
        )
    return bps


def countdown(seconds: int) -> str:
    """How long is left, in days and hours, or finer when it is near."""
    if seconds == 0:
        return "now"
    if seconds < 3_600:
        return span(seconds)
    days, hours = seconds // _DAY, seconds % _DAY // 3_600
    return f"{days} d {hours} h" if days else f"{hours} h {seconds % 3_600 // 60} min"


def give_notice(ledger: Ledger, node: Address, amount: int) -> int:
    """Give notice of so much stake; when it is over.

    ConflictError where a notice is over but covers less, or runs and covers as much: a new one
    would only begin the wait anew.
    """
    account = sender(ledger)
    running = ledger.staking.notice(account, node)
    if running.shares:
        held = ledger.staking.stake_of(account, node)
        covered = held * running.shares // ledger.staking.shares_of(account, node)
        if running.ready_at <= ledger.now():
            raise ConflictError(
                f"notice of {money.show(covered, places=18)} at {node} is over, not of more",
                remedy="Take that out first: `freehold stake undelegate NODE AMOUNT`.",
            )
        if covered >= amount:
            raise ConflictError(
                f"notice of that stake of {node} runs until {moment(running.ready_at)}",
                remedy="Run it again then, or as soon as the node's commitments end.",
            )
    receipt = ledger.staking.give_notice(node, amount)
    return receipt.one("NoticeSet").number("ready_at")


def withdraw_ready(ledger: Ledger, node: Address) -> int:
    """Withdraw every entry of the account that is ready; base units. ConflictError for none."""
    from freehold.cli.operators import unbonding

    ledger.index.sync()
    taken, waiting = 0, 0
    for event in unbonding(ledger, sender(ledger), node):
        if event.number("ready_at") > ledger.now():
            waiting = event.number("ready_at")
            continue
        receipt = ledger.staking.withdraw(node, event.number("entry"))
        taken += receipt.one("Withdrawn").number("amount")
    if not taken:
        when = f"the next is ready at {moment(waiting)}" if waiting else "nothing is unbonding"
        raise ConflictError(
            f"no stake of {node} can be withdrawn: {when}",
            remedy="Unbond first: `freehold stake remove NODE AMOUNT`, then wait.",
        )
    return taken


def _unbond(screen: Screen, ledger: Ledger, node: Address, amount: int, called: str) -> None:
    event = ledger.staking.unbond(node, amount).one("Unbonded")
    screen.emit({"entry": event.number("entry"), "ready_at": event.number("ready_at")})
    when = moment(event.number("ready_at"))
    screen.say(f"[green]✓[/] unbonding {money.show(amount)}; ready at {when}")
    screen.say(f"  then: freehold stake remove {called}")
    if "rewards" in ledger.network.contracts:
        screen.tell(
            "It earns no more: what the present epoch brings the node is for those who stay. What "
            f"it earned before, if anything: `freehold stake claim {called}`."
        )


def _kept(terms: Commission) -> str:
    """What an owner keeps, with the raise announced."""
    now = percent(terms.bps * 100)
    if not terms.raised_at:
        return now
    return f"{now} now, {percent(terms.raised * 100)} from {moment(terms.raised_at)} on"


def _going(found: Comparison, each: Leaving, called: Handles) -> tuple[object, ...]:
    what = "notice" if each.entry is None else f"entry {each.entry}"
    return called(each.node), what, brief(each.amount), countdown(found.left(each.ready_at))


def _row(each: Operator, called: Handles) -> tuple[object, ...]:
    yearly = each.yearly
    return (
        called(each.node), percent(yearly.net), percent(yearly.gross),
        percent(each.commission * 100), _coarse(each.own), _coarse(each.delegated),
        "none" if each.shortfall else _coarse(each.room),
    )  # fmt: skip


def _coarse(amount: int) -> str:
    """Base units as tokens: whole ones from a hundred on, which leaves room beside them."""
    return brief(amount) if amount < 100 * money.UNIT else money.show(amount, places=0)


def _special(found: Comparison, each: Operator) -> Iterator[str]:
    """What few operators have: a raise to come, too little own stake, slashes."""
    if each.raised_at:
        when = countdown(found.left(each.raised_at))
        yield f"its owner keeps {percent(each.raised * 100)} in {when}"
    if each.shortfall:
        yield f"short of {brief(each.shortfall, up=True)} own stake"
    if each.slashes:
        times = "once" if len(each.slashes) == 1 else f"{len(each.slashes)} times"
        yield f"slashed {times}, of {brief(each.slashed)} in all"
