"""What accounts, nodes and devices are called: short in a table, by a name where one is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.cli.home import find_home
from freehold.domain.errors import NotFoundError
from freehold.domain.ids import Address, address

if TYPE_CHECKING:
    from freehold.cli.screen import Screen

NODE_HELP = "Node id, an address, or the name of a node of this machine, such as node-1."
_HEAD, _TAIL = 8, 4


def short(account: str) -> str:
    """The two ends of an address: ``"0x1E4774…ab12"``."""
    return f"{account[:_HEAD]}…{account[-_TAIL:]}"


@dataclass(frozen=True, slots=True)
class Handles:
    """What a command's tables call accounts: nodes and devices of this machine by ``names``, others
    short.

    It remembers whom it shortened, so that the full addresses can follow.
    """

    names: Mapping[Address, str] = field(default_factory=dict)
    _shortened: dict[Address, None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, root: Path | None) -> Handles:
        """With the names of the nodes and devices in a home."""
        from freehold.cli.device.folder import names
        from freehold.cli.live import names_of

        home = find_home(root)
        return cls(names_of(home) | names(home))

    def __call__(self, account: Address) -> str:
        """Its name, or its short address."""
        if account in self.names:
            return self.names[account]
        self._shortened[account] = None
        return short(account)

    def of_text(self, member: str) -> str:
        """The same of what a service calls somebody: sources have names of their own."""
        return self(Address(member)) if member[:2].lower() == "0x" else member

    def tell(self, screen: Screen) -> None:
        """A line for each address that was shortened, to be copied."""
        for account in self._shortened:
            screen.say(f"[dim]{short(account)} is[/] {account}")
        self._shortened.clear()


def node_of(root: Path | None, text: str) -> Address:
    """The node that a user names: an address, or the name of one of this machine.

    UsageError for a broken address, NotFoundError for a name that no node here has.
    """
    if text[:2].lower() == "0x":
        return address(text)
    from freehold.cli.device import folder
    from freehold.cli.live import names_of

    home = find_home(root)
    names = {name: node for node, name in names_of(home).items()}
    if text in names:
        return names[text]
    here = f"Nodes of this machine: {', '.join(names)}." if names else "This machine has none."
    devices = ", ".join(folder.names(home).values())
    beside = f" Its devices: {devices}." if devices else ""
    raise NotFoundError(
        f"no node of this machine is called {text!r}",
        remedy=f"{here}{beside} Others are named by their address, 0x and 40 digits.",
    )
