"""What the network's emission owes nodes: show it, fetch it, allow it, prove it from a root."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief, size
from freehold.cli.handles import NODE_HELP, Handles, node_of
from freehold.cli.home import open_home
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.plain import plain
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger, sender
from freehold.cli.stake import countdown
from freehold.domain import money
from freehold.domain.errors import (
    ConflictError,
    InsufficientFundsError,
    NotFoundError,
    RefusedError,
)
from freehold.domain.ids import Address, address

if TYPE_CHECKING:
    from freehold.ledger.ledger import Ledger
    from freehold.ledger.values import Receipt
    from freehold.node.dues import Dues, Errand

app = typer.Typer(
    name="rewards", help="What the network's emission owes nodes.", no_args_is_help=True
)
NodeOption = Annotated[
    str | None,
    typer.Option("--node", help="Node id or name; none: those of this wallet and machine."),
]
_DAY = 86_400


@app.command("show")
def show_rewards(
    *, node: NodeOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Show what nodes have worked in this epoch, what is due to them, and what is missing."""
    screen = Screen(as_json)
    with cancellable(), open_ledger(home) as ledger:
        require_economy(ledger)
        ledger.index.sync()
        found = [look(ledger, each) for each in chosen(ledger, home, node)]
        left = _left(ledger)
    screen.emit([to_json(each) for each in found])
    show(screen, found, left, Handles.of(home))


@app.command()
def claim(
    *,
    node: NodeOption = None,
    proof: Annotated[
        Path | None, typer.Option("--proof", help="JSON of `freehold rewards proof` instead.")
    ] = None,
    coin: Annotated[
        str, typer.Option("--coin", help="Tokens that a coin of the chain is worth, for its gas.")
    ] = "1",
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close epochs, back work, collect and claim: whatever rewards still need, paid by you."""
    screen, worth = Screen(as_json), money.parse(coin)
    with cancellable(), open_account(home, password_file) as ledger:
        require_economy(ledger)
        if proof is not None:
            _claim_leaf(screen, ledger, proof)
            return
        ledger.index.sync()
        nodes = chosen(ledger, home, node)
        if not (yes or as_json):
            agree(screen, weigh(ledger, nodes), coin=worth)
        done = [step for each in nodes for step in fetch(ledger, each, screen)]
        staking = ledger.network.contracts["staking"]
    amount = sum(step.claimed for step in done)
    shared = {step.node: step.paid(staking) for step in done if step.paid(staking)}
    screen.emit(
        {
            "claimed": amount, "to_stake": sum(shared.values()),
            "transactions": [step.to_json() for step in done],
        }
    )  # fmt: skip
    if not done:
        screen.say("nothing that this wallet can fetch; see `freehold rewards show`")
        return
    gas = money.show(sum(step.fee for step in done), places=9)
    what = f"claimed {brief(amount)} tokens" if amount else "nothing to claim yet; prepared it"
    screen.say(f"[green]✓[/] {what} for {gas} coins of gas")
    for each, part in shared.items():
        screen.say(
            f"[yellow]·[/] {brief(part)} of them went to the stake of {each}, which others share: "
            f"its owner fetches a part with `freehold stake claim {each}`"
        )


@app.command()
def allow(
    node: Annotated[str, typer.Argument(help=NODE_HELP)],
    *,
    stop: Annotated[bool, typer.Option("--stop", help="Allow it no more.")] = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a node that pays you, and that another owns, use the fees that burned for you."""
    screen, target = Screen(as_json), node_of(home, node)
    with cancellable(), open_account(home, password_file) as ledger:
        require_economy(ledger)
        account = set_of(ledger, target)
        receipt = ledger.rewards.set_backer(account, not stop)
    screen.emit({"transaction": receipt.hash, "node": target, "allowed": not stop})
    what = "may use no more of" if stop else "may use"
    screen.say(f"[green]✓[/] {target} {what} what burned for you")


@app.command()
def proof(
    account: Annotated[str, typer.Argument(help="Who earned, an address.")],
    *,
    epoch: Annotated[int, typer.Option("--epoch", min=0, help="Epoch with a final root.")],
    market: Annotated[
        str, typer.Option("--market", help="Market that pays by roots: devices or models.")
    ] = "devices",
    data: Annotated[
        Path | None, typer.Option("--data", help="The leaves as the root's proposer serves them.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the proof of what an account earned by a root; with it anyone can claim."""
    from freehold.cli import leaf

    screen = Screen(as_json)
    with cancellable(), open_ledger(home) as ledger:
        require_economy(ledger)
        ledger.index.sync()
        found = leaf.prove(ledger, address(account), epoch=epoch, market=market, data=data)
        paid = leaf.payer(ledger, market).claimed(found.account)
    due = max(0, found.grains - paid) * leaf.GRAIN
    screen.emit({**found.to_json(), "due": due})
    facts = {
        "account": found.account, "market": market, "epoch": epoch, "leaf": found.index,
        "earned ever": brief(found.grains * leaf.GRAIN), "due": brief(due),
    }  # fmt: skip
    screen.facts("a proof of earnings", facts)
    for level, word in enumerate(found.path):
        screen.say(f"{level:>6}  0x{word:064x}")
    screen.say(f"  root  0x{found.root:064x}")
    screen.tell("With --json this is a file that `freehold rewards claim --proof` takes.")


def require_economy(ledger: Ledger) -> None:
    """NotFoundError in a network whose work earns no emission."""
    if "rewards" not in ledger.network.contracts:
        raise NotFoundError(
            f"network {ledger.network.name} pays no rewards",
            remedy="Its nodes live from fees alone; or fetch a newer network.json.",
        )


def chosen(ledger: Ledger, root: Path | None, node: str | None) -> list[Address]:
    """The node that was named, or all in the market that the home's wallet owns or is paid for, and
    those of the home itself. Anybody may name this wallet as the payout of a node."""
    from freehold.cli.wallets import WalletFolder, keystore_address

    if node is not None:
        return [node_of(root, node)]
    home = open_home(root)
    wallet, keys = WalletFolder(home.wallet), [each / "key.json" for each in home.nodes()]
    found = list(of(ledger, wallet.address())) if wallet.exists() else []
    found += [keystore_address(key) for key in keys if key.exists()]
    found = [each for each in dict.fromkeys(found) if ledger.faults.set_of(each)]
    if not found:
        raise NotFoundError(
            "this wallet owns no node, and none of this machine is in the market",
            remedy="Name one with --node, or run one.",
        )
    return found


def of(ledger: Ledger, account: Address) -> Iterator[Address]:
    """The nodes that an account owns or is paid for."""
    from freehold.ledger.roster import listed

    for node in listed(ledger):
        entry = ledger.registry.node(node)
        if account in (entry.owner, entry.payout):
            yield node


def set_of(ledger: Ledger, node: Address) -> int:
    """A node's account in ``rewards``; NotFoundError when it never joined the market."""
    found = ledger.faults.set_of(node)
    if not found:
        raise NotFoundError(
            f"{node} is not in the storage market",
            remedy="Bring it in with `freehold node join`.",
        )
    return found


def look(ledger: Ledger, node: Address) -> Dues:
    """What a node is owed; NotFoundError when it never joined the market."""
    from freehold.node import dues

    set_of(ledger, node)
    found = dues.look(ledger, node)
    if found is None:
        raise NotFoundError(f"{node} has left the ledger", remedy="Run the command again.")
    return found


class Step:
    """A transaction that was sent for a node."""

    def __init__(self, node: Address, errand: Errand, receipt: Receipt) -> None:
        self.node, self.errand, self.receipt = node, errand, receipt
        self.fee = receipt.fee
        self._claims = [e for e in receipt.named("Claimed") if e.contract == "rewards"]
        self.claimed = sum(event.number("amount") for event in self._claims)

    def paid(self, payee: Address) -> int:
        """What of it went to an account, base units."""
        return sum(e.number("amount") for e in self._claims if e.address("payee") == payee)

    def to_json(self) -> dict[str, object]:
        """A JSON object; amounts in base units, the fee in wei."""
        return {
            "node": self.node, "what": self.errand.what, "epoch": self.errand.epoch,
            "transaction": self.receipt.hash, "claimed": self.claimed, "fee": self.fee,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bargain:
    """What fetching rewards comes to: base units that are ``sure``, the ``most`` that they and
    work to come may bring, and the ``fee`` of all transactions at the most, wei."""

    sure: int
    most: int
    fee: int

    def pays(self, coin: int) -> bool:
        """Whether what is sure is worth the gas, with a coin worth ``coin`` base units."""
        return self.fee * coin <= self.sure * money.UNIT


def weigh(ledger: Ledger, nodes: Sequence[Address]) -> Bargain:
    """What ``fetch`` would bring for these nodes, at the present price of gas."""
    from freehold.node import dues

    me, sure, most, gas = sender(ledger), 0, 0, 0
    for found in (look(ledger, node) for node in nodes):
        for trip in (dues.settling(found), dues.backing(found, me)):
            most, gas = most + trip.gain, gas + trip.gas
        known = [each.amount for each in found.ended if each.closed or each.budgeted]
        sure += found.due.reward + sum(known)
    return Bargain(sure, most, gas * ledger.gas_price() if gas else 0)


def agree(screen: Screen, bargain: Bargain, *, coin: int) -> None:
    """Ask where gas is dearer than what it surely brings; CancelledError without a yes."""
    if bargain.pays(coin):
        return
    rest = bargain.most - bargain.sure
    more = f", and up to {brief(rest)} more that is not sure," if rest else ""
    screen.confirm(
        f"Spend up to {brief(bargain.fee, up=True)} coins on gas for {brief(bargain.sure)} "
        f"tokens{more} with a coin worth {brief(coin)} tokens?",
        yes=False,
    )


def fetch(ledger: Ledger, node: Address, screen: Screen) -> list[Step]:
    """Do everything that a node's rewards need, a line for each transaction; what another did
    meanwhile is left out. RefusedError where the ledger refused and nothing could be done."""
    from freehold.node import dues

    found, me = look(ledger, node), sender(ledger)
    if found.bounds.backing(found.fresh) and not found.may_back(me):
        who = f"its owner {found.owner}" if found.agreed else f"its payout account {found.payee}"
        screen.say(f"[yellow]·[/] not: burned fees back work of {node}; that is for {who}")
    done: list[Step] = []
    refused: RefusedError | None = None
    for errand in (*dues.settling(found).errands, *dues.backing(found, me).errands):
        try:
            receipt = dues.perform(ledger, found.account, errand)
        except InsufficientFundsError:
            raise
        except RefusedError as error:
            refused = error
            screen.say(f"[yellow]·[/] not: {_told(errand)}; {plain(error.message)}")
            continue
        if receipt is not None:
            done.append(Step(node, errand, receipt))
            screen.say(f"[dim]·[/] {_told(errand)}, {receipt.gas_used:,} gas, {receipt.hash}")
    if refused is not None and not done:
        raise refused
    return done


def missing(found: Dues) -> list[str]:
    """What keeps a node from earning more, and what to do about it."""
    lacking = []
    if not found.agreed and found.payee != found.node:
        lacking.append(
            f"{found.payee} must agree: with its wallet `freehold rewards allow {found.node}`"
        )
    if found.fresh and found.bounds.backing(found.fresh):
        lacking.append(f"{brief(found.fresh)} burned fees back no work yet")
    elif not found.standing.credit and not found.working:
        lacking.append("no fees burned yet for its payout account")
    opened = [each for each in found.ended if not each.closed]
    lost = sum(1 for each in opened if not each.amount)
    if len(opened) > lost:
        count = len(opened) - lost
        lacking.append("an epoch is not closed" if count == 1 else f"{count} epochs are not closed")
    if lost:
        lacking.append(f"{lost} bring nothing: no budget, or too late to draw it")
    return lacking


def to_json(found: Dues) -> dict[str, object]:
    """A JSON object; amounts in base units, work in MiB-seconds."""
    return {
        "node": found.node, "owner": found.owner, "payout": found.payee,
        "account": found.account, "epoch": found.epoch, "work": found.working,
        "credit": found.standing.credit, "unbacked_fees": found.fresh,
        "agreed": found.agreed or found.payee == found.node,
        "waiting": [
            {"epoch": e.epoch, "work": e.weight, "closed": e.closed, "at_most": e.amount,
             "exact": e.closed or e.budgeted}
            for e in found.ended
        ],
        "expected": found.expected, "claimable": found.claimable, "missing": missing(found),
    }  # fmt: skip


def work(units: int) -> str:
    """Work as the bytes that it would be over one day: ``"4.2 MB for a day"``."""
    return f"{size(units * 2**20 // _DAY)} for a day" if units else "none"


def show(screen: Screen, found: list[Dues], left: int, called: Handles) -> None:
    """What is due as a table, what is missing below it; ``left`` is seconds of the epoch."""
    columns = ("node", "work a day", "credit a day", "waiting", "claimable")
    rows = [_row(each, called(each.node)) for each in found]
    screen.table(f"this epoch ends in {countdown(left)}", columns, rows)
    for each in found:
        for told in missing(each):
            screen.tell(f"{called(each.node)}: {told}")
    called.tell(screen)


def _row(found: Dues, name: str) -> tuple[object, ...]:
    waiting = f"up to {brief(found.expected)}" if found.expected else "0"
    return (
        name, _volume(found.working), _volume(found.standing.credit), waiting,
        brief(found.claimable),
    )  # fmt: skip


def _volume(units: int) -> str:
    return work(units).removesuffix(" for a day")


def _told(errand: Errand) -> str:
    texts = {
        "advance": f"issuance closed up to epoch {errand.epoch}",
        "close": f"epoch {errand.epoch} closed",
        "collect": f"epoch {errand.epoch} collected",
        "back": "burned fees back work",
        "claim": "claimed",
    }
    return texts[errand.what]


def _left(ledger: Ledger) -> int:
    length = ledger.rewards.epoch_seconds()
    return length - (ledger.now() - ledger.rewards.genesis()) % length


def _claim_leaf(screen: Screen, ledger: Ledger, file: Path) -> None:
    from freehold.cli import leaf

    found = leaf.read(file)
    leaf.check(ledger, found)
    roots = leaf.payer(ledger, found.market)
    due = (found.grains - roots.claimed(found.account)) * leaf.GRAIN
    if due <= 0:
        raise ConflictError(
            f"{found.account} was paid that already",
            remedy="Make a proof from a later epoch: `freehold rewards proof`.",
        )
    receipt = roots.claim(found.epoch, found.account, found.grains, found.index, found.path)
    screen.emit({"transaction": receipt.hash, "account": found.account, "claimed": due})
    screen.say(f"[green]✓[/] {brief(due)} tokens paid for {found.account}")
