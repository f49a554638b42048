"""A validator's way into a competition, its settings, and what it saw."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from freehold.cli.amounts import brief
from freehold.cli.enlist import Enlistment, due, enlist
from freehold.cli.keeping import read_settings, write_settings
from freehold.cli.model.enlisting import Bill, Budget
from freehold.cli.model.folder import running
from freehold.cli.plain import plain
from freehold.cli.screen import Screen
from freehold.cli.sending import COIN_GAS
from freehold.cli.session import sender
from freehold.cli.subnet.joining import join, quote
from freehold.cli.subnet.named import check_held
from freehold.domain import money
from freehold.domain.errors import (
    ConflictError,
    InsufficientFundsError,
    NotFoundError,
    UsageError,
)
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import Key
from freehold.ledger.contracts.registry import VALIDATOR
from freehold.ledger.paging import every
from freehold.ledger.sender import how_to_get_coins
from freehold.node.validator.refusals import CORRECT
from freehold.node.validator.settings import FILE, Settings, load

if TYPE_CHECKING:
    from freehold.cli.subnet.named import Found
    from freehold.ledger.ledger import Ledger
    from freehold.node.validator.book import Book, Mark
    from freehold.node.validator.documents import Documents

__all__ = [
    "Bill",
    "Budget",
    "bill",
    "check_bond",
    "checked",
    "compare",
    "enter",
    "show",
    "whole",
    "write",
]
REASONS = 3
"""Reasons that a line shows; JSON has all."""


# --- settings ------------------------------------------------------------------------------------


def whole(scorer: str) -> str:
    """``scorer`` with its file's whole path; empty stays empty."""
    path, colon, name = scorer.partition(".py:")
    if not scorer:
        return ""
    file = Path(path + ".py" if colon else scorer).expanduser().absolute()
    return f"{file}:{name or 'score'}"


def written(folder: Path) -> dict[str, str]:
    """What a folder's ``validator.toml`` says; nothing where there is none."""
    return read_settings(folder / FILE)


def checked(folder: Path, settings: Mapping[str, str]) -> Settings:
    """The settings as the validator will read them; UsageError. Nothing is written."""
    return load(folder, flags=settings, environment=os.environ)


def write(folder: Path, settings: Mapping[str, str]) -> None:
    """Write ``validator.toml``."""
    write_settings(folder / FILE, settings)


def idle(folder: Path) -> None:
    """ConflictError while another process validates by what is in a folder."""
    if (process := running(folder)) is not None:
        raise ConflictError(
            f"{folder.name} is validated here already, by process {process.pid}",
            remedy=f"End it with Ctrl-C, or `kill {process.pid}`, to start it with other options.",
        )


def compare(screen: Screen, ledger: Ledger, found: Found, settings: Settings) -> Documents:
    """Find the scorer and the schema before anything is spent; say where they are not those whose
    hashes the ledger has. UsageError where one is missing, or the schema is another."""
    from freehold.cli.competition import scorer_hash
    from freehold.node.validator.documents import find

    uri = ledger.subnet.uri_of(found.id)
    documents = find(settings.scorer, settings.schema, uri=uri, local=settings.plain == "yes")
    if documents.schema.hash() != found.task.schema:
        raise UsageError(
            f"the schema here is not that of {found.name}",
            remedy="Fetch the subnet's documents anew, or name its schema with --schema.",
        )
    code = documents.source.file.read_bytes()
    if scorer_hash(code, documents.terms) != found.task.scorer:
        screen.tell(
            f"[yellow]{documents.source.file} is not the scorer that {found.name} was opened with: "
            "a validator that scores otherwise than most loses weight[/]"
        )
    return documents


def try_scorer(documents: Documents, settings: Settings) -> None:
    """Load the scorer once and have it ask, before anything is paid; UsageError,
    UnavailableError."""
    from freehold.node.validator.referee import Patience, Referee, ScorerFailedError

    patience = Patience(
        float(settings.start_timeout), float(settings.scorer_timeout), settings.memory
    )
    referee, file = Referee(documents.source, patience), documents.source.file
    try:
        if next(referee.tasks(np.random.default_rng(), np.random.default_rng()), None) is None:
            raise UsageError(f"{file} asks nothing", remedy=CORRECT)
    except ScorerFailedError as error:
        raise UsageError(f"{file} cannot ask: {error}", remedy=CORRECT) from error
    finally:
        referee.close()


# --- the way in ----------------------------------------------------------------------------------


def bill(ledger: Ledger, found: Found, node: Address, budget: Budget) -> Bill:
    """What is still to be paid; refused where it cannot be, before anything is."""
    owner = ledger.registry.owner_of(node)
    if owner not in (ZERO_ADDRESS, sender(ledger)):
        raise ConflictError(
            f"this validator's node belongs to {owner}", remedy="Use that account's wallet."
        )
    taken = ledger.subnet.place_of(found.id, node) is not None
    made = Bill(
        node=due(ledger, node),
        place=0 if taken else quote(ledger, found, budget.place),
        stake=max(0, budget.stake - ledger.staking.active(node)),
        coins=0 if taken else max(0, budget.coins - ledger.balance(node)),
        bond=_bond(ledger, node, budget.bond),
    )
    check_held(ledger, made.tokens, f"validating {found.name}")
    _check_coins(ledger, made.coins)
    return made


def check_bond(ledger: Ledger, allowed: int) -> None:
    """UsageError where what a validator may post as its bond is less than a root takes."""
    needed = ledger.prizes.parameters().bond
    if 0 < allowed < needed:
        least = money.show(needed, places=18).replace(",", "")
        raise UsageError(
            f"to propose takes a bond of {brief(needed, up=True)} tokens, {brief(allowed)} are "
            "allowed",
            remedy=f"Give --propose {least}, or leave it out.",
        )


def lacks(ledger: Ledger, node: Address, budget: Budget) -> bool:
    """Whether a validator that is in its subnet wants stake or the tokens of a bond."""
    staked = not budget.stake or ledger.staking.active(node) >= budget.stake
    return not staked or _bond(ledger, node, budget.bond) > 0


def _bond(ledger: Ledger, node: Address, allowed: int) -> int:
    """Base units that the node lacks to post a bond, with which it would then propose: as its
    proposer reckons, which replaces no bond that was lost unless its owner allows both."""
    if not allowed:
        return 0
    prizes, where = ledger.prizes, {"proposer": node}
    lost = sum(
        event.number("reward") + event.number("burned")
        for event in every(ledger.index, "prizes", "BondLost", where)
    )
    needed = prizes.parameters().bond
    lacking = needed - prizes.bond_of(node).amount
    if lacking <= 0 or needed + lost > allowed:
        return 0
    return max(0, lacking - ledger.token.balance_of(node))


def enter(
    ledger: Ledger, found: Found, node: Key, costs: Bill, budget: Budget, *, screen: Screen
) -> None:
    """Take every step that is missing; called again after a crash it goes on."""
    if costs.coins:
        with screen.step("the validator has coins for its gas"):
            ledger.transfer(node.address, costs.coins)
    with screen.step("the validator is registered"):
        enlist(ledger, node, Enlistment(roles=VALIDATOR, stake=budget.stake))
        _add_role(ledger, node.address)
    if ledger.subnet.place_of(found.id, node.address) is None:
        with screen.step(f"it has a place in {found.name}"):
            join(ledger, found, node.address, costs.place)
    if costs.bond:
        with screen.step("the validator has the tokens of its bond"):
            ledger.token.transfer(node.address, costs.bond)


def _add_role(ledger: Ledger, node: Address) -> None:
    entry = ledger.registry.node(node)
    if not entry.roles & VALIDATOR:
        ledger.registry.update(
            node, roles=entry.roles | VALIDATOR, endpoint=entry.endpoint, tls=entry.tls,
            info=entry.info, payout=entry.payout,
        )  # fmt: skip


def _check_coins(ledger: Ledger, coins: int) -> None:
    account = sender(ledger)
    held, gas = ledger.balance(account), COIN_GAS * 2 * ledger.gas_price()
    if coins and held < coins + gas:
        raise InsufficientFundsError(
            f"{account} has {brief(held)} coins, the validator is to get {brief(coins, up=True)}",
            remedy=how_to_get_coins(account, coins + gas - held),
        )


# --- what it saw ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rows:
    """The newest epochs whose rows were committed and revealed, -1 where there is none."""

    committed: int
    revealed: int


def show(screen: Screen, folder: Path) -> None:
    """Print what the validator of a folder saw last; NotFoundError where there is none."""
    from freehold.node.validator import book as books

    book = books.read(folder / books.FILE) if folder.is_dir() else None
    if not (folder / FILE).is_file():
        raise NotFoundError(
            f"{folder.name} is not validated here",
            remedy=f"Begin: freehold validate --subnet {folder.name}.",
        )
    process, rows = running(folder), _rows(folder)
    screen.emit(
        {
            "subnet": folder.name,
            "runs": process is not None,
            "url": process.url if process else "",
            "scored": book.epoch if book else -1,
            **asdict(rows),
            "nodes": [_fields(mark) for mark in _ranked(book)],
        }
    )
    screen.facts(
        f"validator of {folder.name}",
        {
            "process": f"runs (process {process.pid})" if process else "stopped",
            "last epoch scored": _epoch(book.epoch if book else -1),
            "last row committed": _epoch(rows.committed),
            "last row revealed": _epoch(rows.revealed),
        },
    )
    columns = ("uid", "node", "weighs", "smoothed", "score", "answered", "why")
    ranked = [_row(mark) for mark in _ranked(book)]
    screen.table("what it thinks of the nodes", columns, ranked)
    if not ranked:
        screen.tell("Nothing yet: it asks once an epoch, whoever serves then.")


def _rows(folder: Path) -> Rows:
    from freehold.node.validator.vault import Vault

    rows = Vault(folder).rows
    return Rows(
        max((each.epoch for each in rows if each.sent), default=-1),
        max((each.epoch for each in rows if each.done and each.sent), default=-1),
    )


def _ranked(book: Book | None) -> Sequence[Mark]:
    marks = book.marks if book else ()
    return sorted(marks, key=lambda mark: (-mark.standing, -mark.smoothed, mark.uid))


def _fields(mark: Mark) -> dict[str, object]:
    told = asdict(mark)
    del told["past"]
    return told


def _row(mark: Mark) -> tuple[object, ...]:
    told = sorted(mark.reasons.items(), key=lambda each: -each[1])
    why = [f"{reason} ({times})" for reason, times in told[:REASONS]]
    why += [f"{mark.waiting} wait for their truth"] if mark.waiting else []
    return (
        mark.uid, f"{mark.node[:10]}…", f"{mark.standing:.3f}", f"{mark.smoothed:.3f}",
        "-" if mark.score is None else f"{mark.score:.3f}", f"{mark.answered} of {mark.asked}",
        plain("; ".join(why)),
    )  # fmt: skip


def _epoch(number: int) -> str:
    return "none yet" if number < 0 else str(number)
