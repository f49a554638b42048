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

if TYPE_CHECKING:
    from freehold.ledger.contracts.capacity import Declaration
    from freehold.ledger.contracts.registry import Node
    from freehold.ledger.ledger import Ledger

ROLES = {"storage": 1, "watcher": 2, "compute": 4, "model": 8, "validator": 16, "operator": 32}
"""The registry's bits by name."""
_ENDS = "It is released when what runs there ends; declare that many units, or more, until then."

app = typer.Typer(
    name="capacity", help="What your node offers of a role, and the stake locked for it.",
    no_args_is_help=True,
)  # fmt: skip
NodeArgument = Annotated[str, typer.Argument(help=NODE_HELP)]


@dataclass(frozen=True, slots=True)
class Order:
    """A declaration to make: ``role`` by name, ``multiplier`` in basis points."""

    role: str
    units: int
    multiplier: int

    @classmethod
    def of(cls, role: str, units: int, multiplier: str) -> Order:
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
        return cls(role, units, multiplier_of(multiplier))


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
        found, asked = offers(ledger, target), rules(ledger)
        free, short = ledger.staking.free(target), ledger.staking.shortfall(target)
    screen.emit(
        {
            "node": target, "free": free, "shortfall": short,
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
        str, typer.Option("--multiplier", help="Worth of each beside the least one, such as 2.5.")
    ] = "1",
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declare how many units of a role your node offers, which locks their stake."""
    screen, target, order = Screen(as_json), node_of(home, node), Order.of(role, units, multiplier)
    with cancellable(), open_account(home, password_file) as ledger:
        _require(ledger)
        check(ledger, target, node, order)
        if take_role(ledger, target, order):
            screen.tell(f"[dim]·[/] {node} is registered for {role} now, too")
        receipt = ledger.capacity.declare(target, ROLES[role], units, multiplier=order.multiplier)
        free = ledger.staking.free(target)
    event = receipt.one("Declared")
    locked, factor = event.number("locked"), event.number("multiplier")
    screen.emit(
        {
            "transaction": receipt.hash, "node": target, "role": role, "units": units,
            "multiplier": factor, "locked": locked, "free": free,
        }
    )  # fmt: skip
    stake = f"{money.show(locked)} tokens of its stake are locked for that"
    screen.say(f"[green]✓[/] {node} offers {units:,} units of {role}; {stake}")
    if units and factor > max(order.multiplier, WHOLE_BPS):
        screen.tell("A market uses some of them: their stake a unit stays until it ends.")


def multiplier_of(text: str) -> int:
    """Basis points of a multiplier such as ``"2.5"``; UsageError beyond the bound or for finer
    ones."""
    bps, rest = divmod(money.parse(text), money.UNIT // WHOLE_BPS)
    if rest or bps > MULTIPLIER_MAX:
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


def check(ledger: Ledger, node: Address, called: str, order: Order) -> None:
    """Refuse what the ledger would, telling what to do about it."""
    _check_owner(ledger, node, called, ledger.registry.node(node))
    told = ledger.capacity.declaration(node, ROLES[order.role])
    if order.units < told.held:
        raise ConflictError(
            f"markets use {told.held:,} units of {order.role} at {called}: {order.units:,} are too "
            "few",
            remedy=_ENDS,
        )
    terms, multiplier = _terms(ledger, order, told)
    needed = terms.stake(order.units, Fraction(multiplier, WHOLE_BPS))
    _check_stake(ledger, node, called, needed - ledger.capacity.locked(node, ROLES[order.role]))


def take_role(ledger: Ledger, node: Address, order: Order) -> bool:
    """Register a node for a role that it offers and has not; whether that was needed."""
    entry = ledger.registry.node(node)
    if not order.units or entry.roles & ROLES[order.role]:
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


def _check_owner(ledger: Ledger, node: Address, called: str, entry: Node) -> None:
    if entry.owner == ZERO_ADDRESS or entry.retired:
        raise NotFoundError(
            f"{called} is not in the network",
            remedy="Bring it in with `freehold node join`.",
        )
    if ledger.key is None or entry.owner != ledger.key.address:
        raise ConflictError(
            f"node {node} belongs to {entry.owner}", remedy="Use that account: name its --home."
        )


def _terms(ledger: Ledger, order: Order, told: Declaration) -> tuple[Rule, int]:
    """The rule and the multiplier (basis points) that a declaration is made under."""
    rule = ledger.capacity.rule(ROLES[order.role])
    if order.multiplier > WHOLE_BPS and not rule.weighed:
        raise UsageError(
            f"{order.role} is not weighed by a multiplier here", remedy="Leave --multiplier out."
        )
    made = Rule(rule.amount, max(rule.per, 1)), max(order.multiplier, WHOLE_BPS)
    before = Rule(told.amount, max(told.per, 1)), told.multiplier
    if told.held and _rate(*made) < _rate(*before):
        made = before
    if order.units and not made[0].amount:
        known = ", ".join(rules(ledger))
        raise ConflictError(
            f"no stake is asked for {order.role} in this network, so none can be declared",
            remedy=f"Name one of these with --role: {known}."
            if known
            else "No role here has a rule; its governor can set one.",
        )
    return made


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
