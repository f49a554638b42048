"""What a node offers of a role, in units such as devices, and the stake that is locked for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief
from freehold.cli.handles import NODE_HELP, node_of
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger
from freehold.domain import money
from freehold.domain.errors import (
    ConflictError,
    InsufficientFundsError,
    NotFoundError,
    UsageError,
)
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.economics.stake import MULTIPLIER_MAX, UNITS_MAX, WHOLE_BPS, Rule
from freehold.ledger.contracts import registry

if TYPE_CHECKING:
    from freehold.ledger.contracts.capacity import Declaration
    from freehold.ledger.contracts.capacity import Rule as Terms
    from freehold.ledger.contracts.registry import Node
    from freehold.ledger.ledger import Ledger
    from freehold.ledger.values import Receipt

ROLES = {
    "storage": registry.STORAGE, "watcher": registry.WATCHER, "compute": registry.COMPUTE,
    "model": registry.MODEL, "validator": registry.VALIDATOR, "operator": registry.OPERATOR,
}  # fmt: skip
"""The registry's bits by name."""
_ENDS = "It is released when what runs there ends; declare that many units, or more, until then."

app = typer.Typer(
    name="capacity", help="What your node offers of a role, and the stake locked for it.",
    no_args_is_help=True,
)  # fmt: skip
NodeArgument = Annotated[str, typer.Argument(help=NODE_HELP)]


@dataclass(frozen=True, slots=True)
class Order:
    """A declaration to make: ``role`` by name, ``multiplier`` in basis points; None: as declared
    before, or one."""

    role: str
    units: int
    multiplier: int | None

    @classmethod
    def of(cls, role: str, units: int, multiplier: str | None) -> Order:
        """Of what a user wrote; UsageError naming what cannot be."""
        if role not in ROLES:
            raise UsageError(
                f"there is no role {role!r}", remedy=f"Name one of: {', '.join(ROLES)}."
            )
        if not 0 <= units <= UNITS_MAX:
            raise UsageError(
                f"{units:,} units cannot be declared",
                remedy=f"Declare 0 to {UNITS_MAX:,}; 0 offers nothing and frees the stake.",
            )
        return cls(role, units, None if multiplier is None else multiplier_of(multiplier))


@dataclass(frozen=True, slots=True)
class Change:
    """What an order comes to: the multiplier ``asked`` of the contract and the one that is in force
    then, basis points; the stake locked ``before`` and ``after``, base units. ``idle``: none."""

    asked: int
    multiplier: int
    before: int
    after: int
    idle: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node declared of a role, base units: ``able`` units can still be held, ``locked`` is
    the stake of all."""

    units: int
    held: int
    able: int
    multiplier: int
    locked: int


@app.command("show")
def show(
    node: NodeArgument,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a node declared of each role, and the stake that is locked for it."""
    screen, target = Screen(as_json), node_of(home, node)
    with cancellable(), open_ledger(home) as ledger:
        _require(ledger)
        _check_known(node, ledger.registry.node(target))
        found, asked = offers(ledger, target), rules(ledger)
        free, short = ledger.staking.free(target), ledger.staking.shortfall(target)
        idle, noticed = uncounted(ledger, target)
    screen.emit(
        {
            "node": target, "free": free, "shortfall": short, "uncounted": idle,
            "roles": {role: asdict(offer) for role, offer in found.items()},
            "rules": {role: asdict(rule) for role, rule in asked.items()},
        }
    )  # fmt: skip
    if asked:
        screen.facts("a role asks for", {role: rule_words(rule) for role, rule in asked.items()})
    columns = ("role", "units", "in use", "can be taken", "multiplier", "stake")
    screen.table(f"capacity of {node}", columns, [_row(*each) for each in found.items()])
    if not found:
        screen.say("It declared none." if asked else "No role of this network asks for any.")
    screen.say(f"{brief(free)} tokens of its stake are free")
    if idle:
        why = "their delegators gave notice"
        if not noticed:
            why = "they are more than its owner's own share lets count"
        screen.tell(f"{brief(idle)} besides are not locked and count for nothing new: {why}")
    if short:
        screen.tell(
            f"[yellow]its locks exceed its stake by {brief(short, up=True)} tokens: it takes "
            "nothing new until that is added[/]"
        )


@app.command("set")
def set_capacity(
    node: NodeArgument,
    units: Annotated[int, typer.Argument(help="Units that it offers, such as devices; 0: none.")],
    *,
    role: Annotated[str, typer.Option("--role", help="The role they are of.")] = "compute",
    multiplier: Annotated[
        str | None,
        typer.Option(
            "--multiplier",
            help="Worth of each beside the least one, 1 to 1,000, such as 2.5; none: as declared "
            "before, or 1.",
        ),
    ] = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declare how many units of a role your node offers, which locks their stake."""
    screen, target, order = Screen(as_json), node_of(home, node), Order.of(role, units, multiplier)
    with cancellable(), open_account(home, password_file) as ledger:
        _require(ledger)
        change = check(ledger, target, node, order)
        receipt = None if change.idle else _declare(screen, ledger, target, node, order, change)
        free = ledger.staking.free(target)
    screen.emit(
        {
            "transaction": receipt.hash if receipt else None, "node": target, "role": role,
            "units": units, "multiplier": change.multiplier, "locked_before": change.before,
            "locked": change.after, "free": free,
        }
    )  # fmt: skip
    times = f" at a multiplier of {change.multiplier / WHOLE_BPS:g}" if units else ""
    offered = f"{units:,} units of {role}{times}"
    if receipt is None:
        screen.say(f"{node} offers {offered} already: nothing was sent")
    else:
        screen.say(f"[green]✓[/] {node} offers {offered}")
        moved = f"{money.show(change.before)} -> {money.show(change.after)}"
        screen.say(f"  stake that is locked for that: {moved} tokens")
    if units and change.multiplier != change.asked:
        screen.tell(
            "They keep the terms that they were declared under: a market uses some of them, or "
            "the present ones ask more."
        )


def multiplier_of(text: str) -> int:
    """Basis points of a multiplier such as ``"2.5"``; UsageError out of bounds or for finer
    ones."""
    try:
        bps, rest = divmod(money.parse(text), money.UNIT // WHOLE_BPS)
    except UsageError:
        bps, rest = 0, 0
    if rest or not WHOLE_BPS <= bps <= MULTIPLIER_MAX:
        raise UsageError(
            f"{text!r} is no multiplier",
            remedy=f"Write a number from 1 to {MULTIPLIER_MAX // WHOLE_BPS:,} with at most four "
            "places, such as 2.5.",
        )
    return bps


def rules(ledger: Ledger) -> dict[str, Rule]:
    """The rules of the roles that ask for stake; none where the network has no such contract."""
    if "capacity" not in ledger.network.contracts:
        return {}
    found = {role: ledger.capacity.rule(bit) for role, bit in ROLES.items()}
    return {
        role: Rule(rule.amount, rule.per, rule.weighed)
        for role, rule in found.items()
        if rule.amount
    }


def rule_words(rule: Rule) -> str:
    """A rule for people."""
    whose = "a unit" if rule.per == 1 else f"for every {rule.per:,} units"
    times = ", times its multiplier" if rule.weighed else ""
    return f"{brief(rule.amount, up=True)} tokens {whose}{times}"


def offers(ledger: Ledger, node: Address) -> dict[str, Offer]:
    """What a node declared, by role."""
    found = {}
    for role, bit in ROLES.items():
        told = ledger.capacity.declaration(node, bit)
        if told.units:
            able, locked = ledger.capacity.able(node, bit), ledger.capacity.locked(node, bit)
            found[role] = Offer(told.units, told.held, able, told.multiplier, locked)
    return found


def uncounted(ledger: Ledger, node: Address) -> tuple[int, bool]:
    """Active stake, base units, that is neither locked nor free; and whether that is because of
    notices, and not for want of the owner's own share."""
    staking = ledger.staking
    active, own = staking.active(node), staking.own(node)
    idle = max(0, active - staking.locked(node) - staking.free(node))
    if own == active:
        return 0, False
    backed = own * WHOLE_BPS // staking.least_own_bps()
    return idle, idle > max(0, active - backed)


def check(ledger: Ledger, node: Address, called: str, order: Order) -> Change:
    """What an order comes to; what the ledger would refuse is, telling what to do about it."""
    _check_owner(ledger, node, called, ledger.registry.node(node))
    told = ledger.capacity.declaration(node, ROLES[order.role])
    if order.units < told.held:
        raise ConflictError(
            f"markets use {told.held:,} units of {order.role} at {called}: {order.units:,} are too "
            "few",
            remedy=_ENDS,
        )
    change = _weigh(ledger, node, order, told)
    _check_stake(ledger, node, called, change.after - change.before)
    return change


def _declare(
    screen: Screen, ledger: Ledger, node: Address, called: str, order: Order, change: Change
) -> Receipt:
    if take_role(ledger, node, order):
        screen.tell(f"[dim]·[/] {called} is registered for {order.role} now, too")
    role = ROLES[order.role]
    return ledger.capacity.declare(node, role, order.units, multiplier=change.asked)


def take_role(ledger: Ledger, node: Address, order: Order) -> bool:
    """Register a node for a role that it offers and has not; whether that was needed."""
    entry = ledger.registry.node(node)
    if not _lacks_role(entry, order):
        return False
    ledger.registry.update(
        node,
        roles=entry.roles | ROLES[order.role],
        endpoint=entry.endpoint,
        tls=entry.tls,
        info=entry.info,
        payout=entry.payout,
    )
    return True


def _require(ledger: Ledger) -> None:
    if "capacity" not in ledger.network.contracts:
        raise ConflictError(
            f"the network {ledger.network.name} takes no declarations of capacity",
            remedy="It was founded before there were any; its storage nodes need none.",
        )


def _check_known(called: str, entry: Node) -> None:
    if entry.owner == ZERO_ADDRESS or entry.retired:
        raise NotFoundError(
            f"{called} is not in the network",
            remedy="Bring it in with `freehold node join`.",
        )


def _check_owner(ledger: Ledger, node: Address, called: str, entry: Node) -> None:
    _check_known(called, entry)
    if ledger.key is None or entry.owner != ledger.key.address:
        raise ConflictError(
            f"node {node} belongs to {entry.owner}", remedy="Use that account: name its --home."
        )


def _lacks_role(entry: Node, order: Order) -> bool:
    return bool(order.units) and not entry.roles & ROLES[order.role]


def _weigh(ledger: Ledger, node: Address, order: Order, told: Declaration) -> Change:
    """What an order changes, by the contract's own rule."""
    known = ledger.capacity.rule(ROLES[order.role])
    asked = _asked(order, known, told)
    before = Rule(told.amount, max(told.per, 1)), told.multiplier
    terms = Rule(known.amount, max(known.per, 1)), asked
    if _keeps(order, told, _rate(*terms), _rate(*before)):
        terms = before
    if order.units and not terms[0].amount:
        raise _no_rule(ledger, order.role)
    if asked > WHOLE_BPS and not known.weighed:
        raise UsageError(
            f"{order.role} is not weighed by a multiplier here",
            remedy="Leave --multiplier out, or give 1.",
        )
    same = order.units == told.units and (not order.units or terms == before)
    return Change(
        asked=asked,
        multiplier=terms[1],
        before=ledger.capacity.locked(node, ROLES[order.role]),
        after=terms[0].stake(order.units, Fraction(terms[1], WHOLE_BPS)),
        idle=same and not _lacks_role(ledger.registry.node(node), order),
    )


def _asked(order: Order, rule: Terms, told: Declaration) -> int:
    """The multiplier to send; where none was given, the declared one as far as the rule weighs."""
    if order.multiplier is not None:
        return order.multiplier
    return max(told.multiplier, WHOLE_BPS) if rule.weighed else WHOLE_BPS


def _keeps(order: Order, told: Declaration, made: Fraction, before: Fraction) -> bool:
    """Whether the terms stay as they were: units that a market uses get no cheaper, and lowering
    makes none dearer."""
    if told.held and made < before:
        return True
    return 0 < order.units < told.units and (not made or before < made)


def _no_rule(ledger: Ledger, role: str) -> ConflictError:
    known = ", ".join(rules(ledger))
    return ConflictError(
        f"no stake is asked for {role} in this network, so none can be declared",
        remedy=f"Name one of these with --role: {known}."
        if known
        else "No role here has a rule; its governor can set one.",
    )


def _rate(rule: Rule, multiplier: int) -> Fraction:
    """What a unit asks, not rounded."""
    return Fraction(rule.amount * multiplier, rule.per)


def _check_stake(ledger: Ledger, node: Address, called: str, more: int) -> None:
    """InsufficientFundsError where less stake is free than a declaration locks besides."""
    free = ledger.staking.free(node)
    if more <= free or more <= 0:
        return
    lacking = more - free + ledger.staking.shortfall(node)
    raise InsufficientFundsError(
        f"{called} has {money.show(free)} tokens of free stake; "
        f"{money.show(more, up=True)} more would be locked",
        remedy=f"Add at least {money.show(lacking, up=True)}: `freehold stake add {called} "
        f"{money.show(lacking, places=18).replace(',', '')}`. Or declare fewer units.",
    )


def _row(role: str, offer: Offer) -> tuple[object, ...]:
    factor = f"{offer.multiplier / WHOLE_BPS:g}"
    used = (f"{offer.units:,}", f"{offer.held:,}", f"{offer.able:,}")
    return role, *used, factor, brief(offer.locked)
