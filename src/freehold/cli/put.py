"""The verb put: files and folders onto the network, small ones together in one deal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief, size
from freehold.cli.amounts import span as span_text
from freehold.cli.names import check_new
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.plain import plain
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_client
from freehold.cli.spans import parse_preset, parse_span
from freehold.cli.terms import ends_of_deals, hint
from freehold.domain.errors import ConflictError, FreeholdError, UnavailableError, UsageError

if TYPE_CHECKING:
    from freehold.cli.sources import Item
    from freehold.client.client import Client
    from freehold.client.options import Options
    from freehold.client.quote import Quote
    from freehold.client.results import PutResult

LINES = 20
"""How many objects are told one by one."""
_FOR_EVER = 2**40

PresetOption = Annotated[
    str | None, typer.Option("--preset", help="Columns needed / kept: 4/6, 10/14 or 20/30.")
]
TermOption = Annotated[str | None, typer.Option("--term", help="How long to keep it: 90d, 12h.")]


def put(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            help="File to store (- is standard input) and its name on the network; or several "
            "files and folders, the small ones of which share one deal."
        ),
    ] = None,
    *,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Store all of them under this directory, such as photos/2026."),
    ] = None,
    preset: PresetOption = None,
    term: TermOption = None,
    quote: Annotated[bool, typer.Option("--quote", help="Only say what it would cost.")] = False,
    pending: Annotated[
        bool,
        typer.Option(
            "--pending", help="Keep small files here, to share a deal with later ones, and return."
        ),
    ] = False,
    flush: Annotated[
        bool, typer.Option("--flush", help="Send what waits, besides what is named.")
    ] = False,
    repair_fee: Annotated[
        str | None,
        typer.Option("--repair-fee", help="Tokens for whoever moves a lost column, each time."),
    ] = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store files: sealed here, spread over nodes of different owners, opened on the ledger."""
    screen, given = Screen(as_json), source or []
    if flush and (pending or quote):
        raise UsageError("--flush sends what waits", remedy="Give it alone, or with files to send.")
    from freehold.cli.sources import collect

    if len(given) == 2 and to is None and _is_placed(*given):
        check_new(given[1])
    items = [] if flush and not given else collect(given, to)
    with (
        cancellable(),
        open_client(home, password_file, _options(preset, term, repair_fee)) as client,
    ):
        if quote:
            show_quote(screen, quote_of(client, items))
            return
        if preset is not None or term is not None:
            refuse_waiting(client)
        own = any(each is not None for each in (preset, term, repair_fee))
        results = Storing(client, screen, later=pending, own=own).run(items)
        ends = _ends(client, results)
    show(screen, results, ends, alone=len(items) == 1)


def _is_placed(source: str, name: str) -> bool:
    """Whether the second of two paths can only be the name of what the first one is."""
    from freehold.cli.sources import PIPE

    if source == PIPE:
        return True
    apart = os.path.lexists(name) and not (Path(name).exists() and os.path.samefile(source, name))
    return Path(source).is_file() and not apart


def _ends(client: Client, results: Sequence[PutResult]) -> dict[int, int]:
    """When each deal ends. What is stored is stored, also where the ledger no longer says so."""
    try:
        return ends_of_deals(client, (result.deal for result in results))
    except UnavailableError:
        return {}


def _options(preset: str | None, term: str | None, repair_fee: str | None) -> Options:
    """The command sends its packs itself, when it has gathered all that goes in."""
    from freehold.client.options import Options
    from freehold.client.packer import Limits
    from freehold.client.quote import Policy
    from freehold.domain import money

    usual = Options()
    fee = None if repair_fee is None else money.parse(repair_fee)
    return Options(
        preset=parse_preset(preset) or usual.preset,
        term=parse_span(term) or usual.term,
        limits=Limits(wait=_FOR_EVER),
        policy=Policy(repair_fee=fee),
    )


def refuse_waiting(client: Client) -> None:
    """ConflictError when a pack with a preset or term of its own would take others along."""
    waiting = sum(named.pending for named in client.ls())
    if waiting:
        raise ConflictError(
            f"{waiting} object{'s' if waiting > 1 else ''} waiting here would get this preset and "
            "term too",
            remedy="Send them first, with the usual ones: `freehold put --flush`.",
        )


@dataclass(frozen=True, slots=True)
class Storing:
    """One put of several objects: the small ones first, for they share a deal.

    ``own``: under conditions that this put names itself. What waits is sent under the usual ones,
    so what cannot be stored under its own is not left waiting.
    """

    client: Client
    screen: Screen
    later: bool
    own: bool = False
    waiting: list[PutResult] = field(default_factory=list)
    """What this put left pending."""

    def run(self, items: Sequence[Item]) -> list[PutResult]:
        """Store all; the results in the order of the items, then of what had waited before."""
        limit = self.client.options.pack_below
        ordered = sorted(items, key=lambda item: item.path is None or item.size > limit)
        found: dict[str, PutResult] = {}
        for item in ordered:
            large = item.path is None or item.size > limit
            if self.waiting and (large or self._full(item)):
                found |= self._flushed()
            with self.screen.progress(plain(item.name), item.size) as advance:
                result = self.client.put(item.path or sys.stdin.buffer, item.name, progress=advance)
            found[item.name] = result
            if result.pending:
                self.waiting.append(result)
        found |= self._flushed()
        names = [item.name for item in items]
        return [found.pop(name) for name in names] + list(found.values())

    def _full(self, item: Item) -> bool:
        """Whether the pack would flush itself with one more, and not say which deal it became."""
        limits = self.client.options.limits
        total = sum(each.size for each in self.waiting) + item.size
        return len(self.waiting) + 1 >= limits.count or total >= limits.size

    def _flushed(self) -> dict[str, PutResult]:
        """What sending all that waits changes; nothing when it may wait."""
        waited = tuple(self.waiting)
        self.waiting.clear()
        if self.later:
            return {}
        try:
            return {result.name: result for result in self.client.flush()}
        except FreeholdError as error:
            error.remedy += self._what_waits(error, waited)
            raise

    def _what_waits(self, error: FreeholdError, waited: Sequence[PutResult]) -> str:
        """What becomes of small files that could not be sent; dropped where no waiting helps."""
        from freehold.control.placement import UnwantedTermError

        hopeless = self.own or isinstance(error, UnwantedTermError | UsageError)
        if waited and hopeless and self.client.take_back(waited):
            return " Nothing of it is kept here: put it again."
        return (
            " Until then it is kept here, as `freehold ls` shows; `freehold put --flush` sends it."
        )


def quote_of(client: Client, items: Sequence[Item]) -> Quote:
    """What storing all of ``items`` costs; UsageError for what has no size yet."""
    from freehold.client.quote import together

    if any(item.path is None for item in items):
        raise UsageError(
            "standard input has no size that could be quoted", remedy="Quote a file instead."
        )
    limit = client.options.pack_below
    packed = [item.size for item in items if item.size <= limit]
    sizes = [item.size for item in items if item.size > limit]
    sizes += [sum(packed)] if packed else []
    return together([client.quote(each) for each in sizes])


def show_quote(screen: Screen, quote: Quote) -> None:
    """Print a quote."""
    screen.emit(
        {
            "size": quote.size, "padded": quote.padded, "stored": quote.stored, "k": quote.k,
            "n": quote.n, "deals": quote.deals, "term": quote.term, "price": quote.price,
            "price_per_month": quote.monthly, "lockup": quote.lockup, "reserve": quote.reserve,
            "repair_fee": quote.repair_fee, "repairs": quote.repairs,
            "available": quote.funds.available, "deposit": quote.deposit, "gas": quote.gas,
            "gas_price": quote.funds.gas_price, "gas_fee": quote.gas_fee,
            "nodes": list(quote.nodes),
        }
    )  # fmt: skip
    deals = "one deal" if quote.deals == 1 else f"{quote.deals} deals"
    screen.facts(
        f"{quote.size:,} bytes for {span_text(quote.term)}, in {deals}",
        {
            "size": f"{quote.size:,} bytes, sealed and padded to {quote.padded:,}",
            "stored": f"{quote.stored:,} bytes: any {quote.k} of {quote.n} columns give it back",
            "price a month": f"{brief(quote.monthly, up=True)} tokens",
            "price for the term": f"{brief(quote.price, up=True)} tokens",
            "locked while it lasts": f"{brief(quote.lockup)} tokens, what nodes may still be owed",
            "set aside for repairs": f"{brief(quote.reserve)} tokens: {quote.repairs} times "
            f"{brief(quote.repair_fee)}; what is not used comes back",
            "of the deposit free": f"{brief(quote.funds.available)} tokens",
            "to deposit first": f"{brief(quote.deposit, up=True)} tokens",
            "gas": f"at most {quote.gas:,}, {brief(quote.gas_fee, up=True)} coins at "
            f"{quote.funds.gas_price / 10**9:g} gwei",
        },
    )
    screen.say(f"[dim]{quote.why_fee()}[/]")


def _row(result: PutResult, ends: Mapping[int, int]) -> dict[str, object]:
    return {
        "name": result.name, "size": result.size, "pending": result.pending,
        "deal": result.deal, "term_end": ends.get(result.deal),
    }  # fmt: skip


def show(
    screen: Screen, results: Sequence[PutResult], ends: Mapping[int, int], *, alone: bool
) -> None:
    """Print what a put came to: one object, or a list; ``ends`` are those of the deals."""
    rows = [_row(result, ends) for result in results]
    screen.emit(rows[0] if alone else rows)
    for result in results[:LINES]:
        stored = f"deal {result.deal}" if result.deal else "stored"
        where = "pending: kept here" if result.pending else stored
        screen.say(f"[green]✓[/] {plain(result.name)}  {result.size:,} bytes  {where}")
    if len(results) > LINES:
        screen.say(f"  and {len(results) - LINES:,} more")
    if len(results) > 1:
        deals = len({result.deal for result in results if not result.pending})
        total = size(sum(result.size for result in results))
        screen.say(f"{len(results):,} objects, {total}, {deals} deal{'' if deals == 1 else 's'}")
    if ends:
        screen.say(f"  {hint(ends)}")
    if not results:
        screen.say("nothing waits")
    if any(result.pending for result in results):
        screen.say("  the next put sends what is pending, and so does `freehold put --flush`")
