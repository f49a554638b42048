"""``freehold validate``: a staked validator of a competition, in the foreground."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.home import Home, open_home
from freehold.cli.model.folder import KEY, NAME, check_port, note_process, ready
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger
from freehold.cli.subnet.named import MaxPriceOption, find
from freehold.cli.telling import telling
from freehold.domain import money
from freehold.domain.errors import UsageError
from freehold.ledger.contracts.registry import VALIDATOR

if TYPE_CHECKING:
    from freehold.cli.subnet.named import Found
    from freehold.cli.validating import Budget
    from freehold.domain.keys import Key
    from freehold.ledger.ledger import Ledger
    from freehold.node.validator.settings import Settings

PORT = 7_470


def validate(
    subnet: Annotated[str, typer.Option("--subnet", help="Competition to validate.")],
    *,
    scorer: Annotated[
        str,
        typer.Option("--scorer", help="scorer.py:score; none: that of the subnet's documents."),
    ] = "",
    schema: Annotated[
        Path | None,
        typer.Option("--schema", help="File with the subnet's schema, if not beside the scorer."),
    ] = None,
    stake: Annotated[
        str, typer.Option("--stake", help="Tokens to stake behind the validator.")
    ] = "0",
    gas: Annotated[str, typer.Option("--gas", help="Coins to give the validator for gas.")] = "1",
    max_price: MaxPriceOption = None,
    propose: Annotated[
        str,
        typer.Option(
            "--propose", help="Tokens of bond to propose who is paid, sent to it; 0: do not."
        ),
    ] = "",
    spend: Annotated[
        str,
        typer.Option("--spend", help="Tokens a round for nodes that do not answer for nothing."),
    ] = "",
    asked: Annotated[
        Path | None,
        typer.Option("--asked", help="Journal of your own requests, whose spot checks count."),
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.")] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; at first 127.0.0.1.")
    ] = "",
    endpoint: Annotated[
        str, typer.Option("--endpoint", help="URL that others reach it at, if not host and port.")
    ] = "",
    status: Annotated[
        bool, typer.Option("--status", help="Show what this validator saw, and do nothing.")
    ] = False,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take back bond and tokens of one that has ended.")
    ] = False,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate a competition: ask its models, score them, commit and reveal; Ctrl-C ends it.

    The first start makes a node, shows what its place costs and asks; later ones validate at once.
    """
    from freehold.cli import validating

    screen, target = Screen(as_json), open_home(home)
    folder = validator_folder(target, subnet)
    if status:
        validating.show(screen, folder)
        return
    if withdraw:
        from freehold.cli.returning import give_back

        with cancellable():
            give_back(screen, home, folder)
        return
    given = {
        "scorer": validating.whole(scorer),
        "schema": "" if schema is None else str(schema.expanduser().absolute()),
        "asked": "" if asked is None else str(asked.expanduser().absolute()),
        "propose": propose, "spend": spend, "host": host, "endpoint": endpoint,
        "port": "" if port is None else str(port),
    }  # fmt: skip
    budget = validating.Budget(
        stake=money.parse(stake), coins=money.parse(gas),
        place=None if max_price is None else money.parse(max_price),
        bond=money.parse(propose or "0"),
    )  # fmt: skip
    wishes = {name: value for name, value in given.items() if value}
    with cancellable():
        validating.idle(folder)
        start = Start(screen, home, password_file, folder, budget, yes=yes)
        settings = start.prepare(subnet, wishes)
    _run(screen, folder, settings)


def validator_folder(home: Home, subnet: str) -> Path:
    """The folder of this machine's validator of a subnet; UsageError for what is no name."""
    if NAME.fullmatch(subnet) is None:
        raise UsageError(
            f"{subnet[:40]!r} cannot be a subnet's name",
            remedy="`freehold subnet list` shows those of the network.",
        )
    return home.root / "validators" / subnet


class Start:
    """What a start takes; every step is left out that was taken before."""

    def __init__(
        self,
        screen: Screen,
        root: Path | None,
        password_file: Path | None,
        folder: Path,
        budget: Budget,
        *,
        yes: bool,
    ) -> None:
        self._screen, self._root, self._password_file = screen, root, password_file
        self._folder, self._budget, self._yes = folder, budget, yes

    def prepare(self, subnet: str, wishes: Mapping[str, str]) -> Settings:
        """The settings to validate by, once the node is in the subnet."""
        from freehold.cli import validating

        with open_ledger(self._root) as ledger:
            found = find(ledger, subnet)
            told = self._told(ledger, found, wishes)
            settings = validating.checked(self._folder, told)
            documents = validating.compare(self._screen, ledger, found, settings)
            validating.check_bond(ledger, self._budget.bond)
            key = self._key()
            entered = _has_entered(ledger, found, key)
            lacks = validating.lacks(ledger, key.address, self._budget)
        if not entered:
            check_port(settings.port)
            with self._screen.step("the scorer is loaded, and asks"):
                validating.try_scorer(documents, settings)
        if not entered or lacks:
            self._enter(found, key)
        with open_ledger(self._root) as ledger:
            self._warn(ledger, found, key)
        validating.write(self._folder, told)
        return settings

    def _told(self, ledger: Ledger, found: Found, wishes: Mapping[str, str]) -> dict[str, str]:
        """What ``validator.toml`` will say; UsageError before anything is spent."""
        from freehold.cli import validating
        from freehold.cli.competition import is_local
        from freehold.ledger.devnet.ports import free_port

        told = validating.written(self._folder) | dict(wishes)
        told |= {"subnet": found.name, "network": str(open_home(self._root).descriptor)}
        told.setdefault("plain", "yes" if is_local(ledger.network) else "no")
        if "port" not in told:
            told["port"] = str(free_port(PORT))
        return told

    def _key(self) -> Key:
        from freehold.cli.local import folder_password, node_key

        return node_key(self._folder / KEY, folder_password(self._folder))

    def _enter(self, found: Found, key: Key) -> None:
        from freehold.cli.validating import bill, enter

        with open_account(self._root, self._password_file) as ledger:
            costs = bill(ledger, found, key.address, self._budget)
            if costs.tokens or costs.coins:
                self._screen.tell(f"[dim]·[/] validating {found.name} takes {costs.text()}")
                self._screen.confirm(f"Validate {found.name}?", yes=self._yes)
            enter(ledger, found, key, costs, self._budget, screen=self._screen)

    def _warn(self, ledger: Ledger, found: Found, key: Key) -> None:
        from freehold.node.validator.standing import stand

        standing = stand(ledger, found.id, key.address, epoch=found.epoch)
        if warning := standing.warning(key.address):
            self._screen.tell(f"[yellow]{warning}[/]")


def _has_entered(ledger: Ledger, found: Found, key: Key) -> bool:
    entry = ledger.registry.node(key.address)
    seated = ledger.subnet.place_of(found.id, key.address) is not None
    return seated and bool(entry.roles & VALIDATOR) and not entry.retired


def _run(screen: Screen, folder: Path, settings: Settings) -> None:
    """Validate on this thread until SIGINT or SIGTERM."""
    from freehold.node.validator.daemon import serve

    if sys.stderr.isatty() and settings.log_level == "info":
        settings = replace(settings, log_level="warning")  # whoever looks is told in words
    looking = partial(ready, folder, os.getpid())
    with telling(looking, partial(_tell, screen, folder, settings)):
        serve(settings)
    screen.say(f"[green]✓[/] the validator of {settings.subnet} ended")


def _tell(screen: Screen, folder: Path, settings: Settings, state: Mapping[str, str]) -> None:
    note_process(folder, os.getpid())  # now that no other one can hold the folder
    screen.emit({**state, "pid": os.getpid()})
    screen.say(f"[green]✓[/] {state['node']} validates {settings.subnet}; Ctrl-C ends it")
    screen.say(f"  {state['url']}/health")
    screen.say(f"  freehold validate --subnet {settings.subnet} --status")
    sys.stdout.flush()
