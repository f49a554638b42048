"""What nodes have earned so far, by kind and deal, and what to expect of the next thirty days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import typer

from freehold.cli.amounts import brief
from freehold.cli.handles import Handles
from freehold.cli.measuring import DeviceIncome, Measured, look
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.rewards import NodeOption, chosen
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_ledger
from freehold.domain.errors import NotFoundError
from freehold.economics.earnings import Stream, Taking, flow, forecast

if TYPE_CHECKING:
    from pathlib import Path

    from freehold.domain.ids import Address
    from freehold.ledger.ledger import Ledger
    from freehold.ledger.values import Event

AHEAD = 30 * 86_400
_LEAST = 86_400
"""Earnings that began later than a day ago are judged as if they had taken a day."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(earnings)


def earnings(
    *, node: NodeOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Show what nodes and devices have earned, by kind and deal, and what thirty days bring."""
    screen = Screen(as_json)
    with cancellable(), open_ledger(home) as ledger:
        ledger.index.sync()
        measured = None if node is not None else _measured(ledger, home)
        try:
            nodes = chosen(ledger, home, node)
        except NotFoundError:
            if measured is None:
                raise
            nodes = []
        found = take(ledger, nodes, measured)
        symbol, token = ledger.token.symbol(), ledger.token.address
    screen.emit(found.to_json())
    show(screen, found, symbol, token=token, called=Handles.of(home))


@dataclass(frozen=True, slots=True)
class DealIncome:
    """What a node was paid under a deal, base units of ``token``, after fees; ``live`` while one
    of its columns is paid for."""

    node: Address
    deal: int
    token: Address
    paid: int
    live: bool


@dataclass(frozen=True, slots=True)
class Income:
    """One kind of earnings of one account, base units of the network's token.

    Of storage and rewards the account is a node, of retrieval a payout account, which several
    nodes may share. ``month`` is the forecast: no rewards of a node that leaves or has left.
    ``shared``: went, or will go, to all the stake behind the node, of which the owner has a part
    that ``stake claim`` pays; it is in no sum.
    """

    account: Address
    kind: str
    earned: int
    month: int
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Earnings:
    """All of it at a block time; deals in other tokens and shared rewards are in no sum."""

    now: int
    incomes: tuple[Income, ...]
    deals: tuple[DealIncome, ...]
    devices: tuple[DeviceIncome, ...] = ()
    silent: str = ""

    @property
    def earned(self) -> int:
        """Everything so far."""
        return sum(each.earned for each in self.incomes if not each.shared)

    @property
    def month(self) -> int:
        """The forecast of thirty days."""
        return sum(each.month for each in self.incomes if not each.shared)

    def to_json(self) -> dict[str, object]:
        """A JSON object; ``days`` is how far the forecast goes."""
        return {
            "now": self.now, "earned": self.earned, "forecast": self.month,
            "days": AHEAD // 86_400, "incomes": [asdict(each) for each in self.incomes],
            "deals": [asdict(each) for each in self.deals],
            "devices": [asdict(each) for each in self.devices],
        }  # fmt: skip


def take(ledger: Ledger, nodes: Iterable[Address], measured: Measured | None = None) -> Earnings:
    """Add up the events of the index, and what devices measured."""
    ledger.index.sync()
    now, incomes, deals = ledger.now(), list[Income](), list[DealIncome]()
    payees: dict[Address, None] = {}
    for node in nodes:
        paid, month = _storage(ledger, node, now)
        deals += paid
        own = sum(each.paid for each in paid if each.token == ledger.token.address)
        incomes.append(Income(node, "storage", own, month))
        if "rewards" in ledger.network.contracts:
            incomes += _parted(ledger, _rewarded(ledger, node, now))
        payees[ledger.registry.payout_of(node)] = None
    for payee in payees:
        incomes.append(_income(payee, "retrieval", _retrieval(ledger, payee), now))
    if measured is None:
        return Earnings(now, tuple(incomes), tuple(deals))
    readings = _income(measured.owner, "readings", list(measured.takings), now)
    incomes.append(replace(readings, earned=measured.earned))
    return Earnings(now, tuple(incomes), tuple(deals), measured.devices, measured.silent)


def _measured(ledger: Ledger, root: Path | None) -> Measured | None:
    """What the wallet's devices earned; None where it has none."""
    from freehold.cli.home import open_home
    from freehold.cli.wallets import WalletFolder

    wallet = WalletFolder(open_home(root).wallet)
    return look(ledger, wallet.address()) if wallet.exists() else None


def show(screen: Screen, found: Earnings, symbol: str, *, token: Address, called: Handles) -> None:
    """The sums, then the deals, with their tokens where not all pay in the network's."""
    rows: list[tuple[str, str, str, str]] = [
        (_kind(i), called(i.account), brief(i.earned), brief(i.month)) for i in found.incomes
    ]
    rows.append(("together", "", brief(found.earned), brief(found.month)))
    columns = ("of", "account", "so far", "next 30 days")
    screen.table(f"earnings in {symbol}", columns, rows)
    if found.deals:
        _show_deals(screen, found.deals, symbol, token, called)
    if found.devices:
        _show_devices(screen, found, called)
    screen.tell(
        "[dim]Storage goes on at the rates of its live deals if every round is proven; rewards "
        "and retrieval as in the last 30 days, but no rewards of nodes that leave.[/]"
    )
    for each in (i for i in found.incomes if i.shared):
        name = called.names.get(each.account, each.account)
        screen.tell(
            f"Others have staked behind {name}: such rewards go to the stake, which splits them. "
            f"They are in no sum; your part comes with `freehold stake claim {name}`."
        )
    called.tell(screen)


def _show_deals(
    screen: Screen, deals: Iterable[DealIncome], symbol: str, token: Address, called: Handles
) -> None:
    listed = list(deals)
    foreign = any(d.token != token for d in listed)
    rows: list[tuple[object, ...]] = []
    for d in listed:
        row = (d.deal, called(d.node), brief(d.paid), "pays" if d.live else "over")
        unit = symbol if d.token == token else called(d.token)
        rows.append((*row, unit) if foreign else row)
    columns = ("deal", "node", "paid", "state", *(("in token",) if foreign else ()))
    screen.table("storage by deal", columns, rows)


def _show_devices(screen: Screen, found: Earnings, called: Handles) -> None:
    epochs = max(each.epochs for each in found.devices)
    columns = ("device", f"last {epochs} epochs", "this epoch", "readings", "counted", "quality",
               "honest", "")  # fmt: skip
    screen.table(
        "readings by device",
        columns,
        [
            (
                called(d.device), brief(d.earned), brief(d.expected), d.readings, d.counted,
                f"{d.quality / 10_000:.1f} %", f"{d.honesty / 100:.0f} %", d.marked,
            )
            for d in found.devices
        ],
    )  # fmt: skip
    screen.tell(
        f"[dim]No service could be asked: {found.silent}[/]"
        if found.silent
        else "[dim]A device is paid by readings that counted, times quality, times honesty, of "
        "what its epoch's purchases ask for.[/]"
    )


def _income(account: Address, kind: str, takings: list[Taking], now: int) -> Income:
    month = forecast(takings, since=now - AHEAD, now=now, ahead=AHEAD, least=_LEAST)
    return Income(account, kind, sum(each.amount for each in takings), month)


def _kind(income: Income) -> str:
    return f"{income.kind}, shared with delegated stake" if income.shared else income.kind


def _rewarded(ledger: Ledger, node: Address, now: int) -> Income:
    found = _income(node, "rewards", _rewards(ledger, node), now)
    return replace(found, month=0) if _leaves(ledger, node) else found


def _parted(ledger: Ledger, whole: Income) -> Iterator[Income]:
    """A node's rewards; apart from them those that went to stake which others share, if any did.

    What is not claimed yet, and what is to come, is the one or the other as things stand.
    """
    goes = ledger.staking.active(whole.account) > ledger.staking.own(whole.account)
    account, staking = ledger.faults.set_of(whole.account), ledger.staking.address
    claims = _all(ledger, "rewards", "Claimed", {"account": account}) if account else []
    shared = sum(e.number("amount") for e in claims if e.address("payee") == staking)
    if goes:
        shared += whole.earned - sum(e.number("amount") for e in claims)
    yield replace(whole, earned=whole.earned - shared, month=0 if goes else whole.month)
    if shared or goes:
        yield replace(whole, earned=shared, month=whole.month if goes else 0, shared=True)


def _leaves(ledger: Ledger, node: Address) -> bool:
    """Whether a node has left, was failed, or gave notice: it takes nothing on any more."""
    state = ledger.faults.node_state(node)
    return ledger.registry.node(node).retired or state.failed or bool(state.notice_at)


def _storage(ledger: Ledger, node: Address, now: int) -> tuple[list[DealIncome], int]:
    """Every deal of a node with what it paid, and what the live ones will pay in the network's
    token."""
    paid: dict[tuple[int, Address], int] = {}
    streams: list[Stream] = []
    live: set[int] = set()
    for deal, rail_id in _columns(ledger, node):
        rail = ledger.payments.rail(rail_id)
        key = (deal, rail.token)
        paid[key] = paid.get(key, 0) + rail.paid - rail.fee
        if rail.closed or rail.end_at:
            continue
        live.add(deal)
        if rail.token == ledger.token.address:
            until = ledger.storage.deal(deal).term_end
            streams.append(Stream(rail.rate, until, rail.fee_bps))
    found = [
        DealIncome(node, deal, token, amount, deal in live)
        for (deal, token), amount in paid.items()
    ]
    return found, flow(streams, now=now, ahead=AHEAD)


def _columns(ledger: Ledger, node: Address) -> list[tuple[int, int]]:
    """The deal and rail of every column that a node ever had, in order."""
    found = [*_all(ledger, "storage", "ColumnOpened", {"node": node}),
             *_all(ledger, "storage", "ColumnReplaced", {"node": node})]  # fmt: skip
    found.sort(key=lambda event: (event.block, event.index))
    return [(event.number("deal"), event.number("rail")) for event in found]


def _rewards(ledger: Ledger, node: Address) -> list[Taking]:
    account = ledger.faults.set_of(node)
    if not account:
        return []
    found = _all(ledger, "rewards", "Rewarded", {"account": account})
    return [Taking(event.time, event.number("amount")) for event in found]


def _retrieval(ledger: Ledger, payee: Address) -> list[Taking]:
    """What readers paid an account, in the network's token."""
    takings = []
    for opened in _all(ledger, "payments", "VoucherOpened", {"payee": payee}):
        if opened.address("token") != ledger.token.address:
            continue
        rail = {"rail": opened.number("rail")}
        for event in _all(ledger, "payments", "VoucherRedeemed", rail):
            amount = event.number("paid") - event.number("fee")
            takings.append(Taking(event.time, amount))
    return takings


def _all(ledger: Ledger, contract: str, name: str, where: Mapping[str, object]) -> list[Event]:
    from freehold.ledger.paging import every

    return list(every(ledger.index, contract, name, where))
