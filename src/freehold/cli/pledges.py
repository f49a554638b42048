"""What is checked of stake that comes or goes before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.cli.amounts import brief
from freehold.cli.session import sender
from freehold.domain import money
from freehold.domain.errors import (
    CapacityError,
    ConflictError,
    FreeholdError,
    InsufficientFundsError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from freehold.domain.ids import ZERO_ADDRESS
from freehold.economics.delegation import room

if TYPE_CHECKING:
    from freehold.domain.ids import Address
    from freehold.ledger.contracts.staking import Commission
    from freehold.ledger.ledger import Ledger


def check_own(ledger: Ledger, node: Address, called: str, amount: int) -> None:
    """Whether the wallet can put so much behind a node of its own."""
    _check_some(amount)
    if owner_of(ledger, node, called) != sender(ledger):
        raise ConflictError(
            f"{called} is not a node of yours",
            remedy=f"Stake behind others' nodes is delegated: `freehold stake delegate {called} "
            f"{exact(amount)}`.",
        )
    _check_held(ledger, amount)


def check_delegation(
    ledger: Ledger, node: Address, called: str, amount: int, *, terms: Commission, most: int
) -> None:
    """Whether the wallet can put so much behind another's node, at a commission of at most
    ``most`` basis points."""
    _check_some(amount)
    if owner_of(ledger, node, called) == sender(ledger):
        raise ConflictError(
            f"{called} is your own node",
            remedy=f"Use `freehold stake add {called} {exact(amount)}`.",
        )
    _check_commission(called, terms, most)
    _check_held(ledger, amount)
    _check_room(ledger, node, called, amount)


def check_leaving(ledger: Ledger, node: Address, called: str, amount: int | None) -> int:
    """What leaves, base units: ``amount``, or for None all that the wallet has there."""
    held = ledger.staking.stake_of(sender(ledger), node)
    if not held:
        raise no_stake(ledger, node, called)
    if amount is None:
        return held
    _check_some(amount)
    if amount > held:
        raise ConflictError(
            f"you have {brief(held)} behind {called}, less than {brief(amount, up=True)}",
            remedy=f"Give at most {exact(held)}.",
        )
    return amount


def owner_of(ledger: Ledger, node: Address, called: str) -> Address:
    """Whose a node is; NotFoundError for one that the network does not know."""
    owner = ledger.registry.node(node).owner
    if owner == ZERO_ADDRESS:
        raise NotFoundError(
            f"{called} is no node of the network {ledger.network.name}",
            remedy="`freehold stake compare` lists those that take stake.",
        )
    return owner


def no_stake(ledger: Ledger, node: Address, called: str) -> NotFoundError:
    """The error of who has no stake behind a node."""
    own = owner_of(ledger, node, called) == sender(ledger)
    command = "add" if own else "delegate"
    return NotFoundError(
        f"you have no stake behind {called}",
        remedy=f"`freehold stake {command} {called} AMOUNT` puts some there; `freehold stake "
        "compare` tells where you have some, and what is on its way out.",
    )


def nothing_earned(ledger: Ledger, node: Address, called: str) -> FreeholdError:
    """The error of who claims where nothing is to be had."""
    held = ledger.staking.stake_of(sender(ledger), node)
    if not held:
        return no_stake(ledger, node, called)
    return ConflictError(
        f"your {brief(held)} behind {called} have earned nothing that is not claimed",
        remedy=f"`freehold rewards show --node {called}` tells what its work is to bring, "
        "`freehold stake compare` what it has brought.",
    )


def locked(ledger: Ledger, node: Address, called: str, error: RefusedError) -> RefusedError:
    """The ledger's refusal to unbond what commitments hold, with what to do about it."""
    remedy = (
        "What the node holds or declared locks it: remove less; declare no devices (`freehold node "
        "capacity set NODE 0`), or `freehold node leave` first and wait until `freehold node "
        "status` shows no columns."
    )
    if owner_of(ledger, node, called) != sender(ledger):
        remedy = f"Give notice, which ends that: `freehold stake undelegate {called}`."
    return RefusedError(error.message, remedy=remedy)


def exact(amount: int) -> str:
    """An amount to be copied into a command."""
    return money.show(amount, places=18).replace(",", "")


def _check_some(amount: int) -> None:
    if not amount:
        raise UsageError("an amount of 0", remedy="Give one above zero, such as 2.5.")


def _check_held(ledger: Ledger, amount: int) -> None:
    account = sender(ledger)
    held = ledger.token.balance_of(account)
    if held < amount:
        raise InsufficientFundsError(
            f"{account} holds {brief(held)} tokens, {brief(amount, up=True)} would be staked",
            remedy="Stake less, or take back what no deal locks: `freehold wallet withdraw "
            "AMOUNT`.",
        )


def _check_commission(called: str, terms: Commission, most: int) -> None:
    asked = max(terms.bps, terms.raised)
    if asked > most:
        when = "keeps" if asked == terms.bps else "has announced that it will keep"
        raise ConflictError(
            f"the owner of {called} {when} {asked / 100:g} %, --most accepts {most / 100:g} %",
            remedy=f"Accept it with --most {asked / 100:g}, or choose another: `freehold stake "
            "compare`.",
        )


def _check_room(ledger: Ledger, node: Address, called: str, amount: int) -> None:
    staking = ledger.staking
    own, active, least = staking.own(node), staking.active(node), staking.least_own_bps()
    left = room(own=own, active=active, least_own_bps=least)
    if amount > left:
        raise CapacityError(
            f"{called} has room for {brief(left)} more: {least / 100:g} % of its stake must be its "
            f"owner's, who has {brief(own)} of {brief(active)}",
            remedy="`freehold stake compare` tells the room of all."
            if not left
            else f"Delegate at most {exact(left)}, or another too: `freehold stake compare`.",
        )
