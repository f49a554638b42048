"""``validate --withdraw``: a validator's bond, and what else it holds, goes back to its owner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from freehold.cli.amounts import brief
from freehold.cli.home import open_home
from freehold.cli.model.folder import KEY
from freehold.cli.screen import Screen
from freehold.cli.validating import idle, write, written
from freehold.domain.errors import ConflictError, NotFoundError
from freehold.domain.ids import ZERO_ADDRESS

if TYPE_CHECKING:
    from freehold.domain.ids import Address
    from freehold.ledger.ledger import Ledger


def give_back(screen: Screen, root: Path | None, folder: Path) -> None:
    """Take the bond of a validator that does not run, and send its tokens to its owner.

    NotFoundError where there is no validator, ConflictError while it runs or an open root needs
    the bond. Called again after a crash it goes on. It proposes no more until --propose is given.
    """
    from freehold.cli.local import folder_password, node_key
    from freehold.ledger.ledger import Ledger
    from freehold.node.process import alone

    idle(folder)
    if not (folder / KEY).exists():
        raise NotFoundError(
            f"{folder.name} is not validated here",
            remedy="Run this in the home that its validator was started in: --home.",
        )
    key, network = node_key(folder / KEY, folder_password(folder)), open_home(root).network()
    with alone(folder), Ledger.open(network, state=folder / "ledger", key=key) as ledger:
        owner = ledger.registry.owner_of(key.address)
        if owner == ZERO_ADDRESS:
            raise NotFoundError(
                f"{key.address} was never registered, so nobody is known to own it",
                remedy=f"Finish its start first: freehold validate --subnet {folder.name}.",
            )
        bond = _unbond(ledger, key.address)
        if told := written(folder):
            write(folder, {name: value for name, value in told.items() if name != "propose"})
        amount = ledger.token.balance_of(key.address)
        if amount:
            ledger.token.transfer(owner, amount)
    screen.emit({"node": key.address, "owner": owner, "bond": bond, "amount": amount})
    screen.tell(f"{brief(amount)} tokens went back to {owner}; it keeps its place and its stake.")


def _unbond(ledger: Ledger, node: Address) -> int:
    """Withdraw the bond, base units; 0 where there is none."""
    from freehold.node.settling import settle

    if ledger.prizes.state().unsettled:
        ledger.index.sync()
        settle(ledger, ledger.prizes)
    bond, state = ledger.prizes.bond_of(node), ledger.prizes.state()
    if not bond.amount:
        return 0
    if min(bond.last, state.tip) > state.final:
        raise ConflictError(
            f"root {bond.last} is open, and its bond of {brief(bond.amount)} tokens stands for it",
            remedy="Try again once the time to dispute it is over and it was made final.",
        )
    ledger.prizes.withdraw_bond()
    return bond.amount
