"""``freehold ask``: one question to a competition's models, or the endpoint for many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief
from freehold.cli.home import open_home
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.plain import plain
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger
from freehold.domain import money
from freehold.domain.errors import AccessError, UnavailableError, UsageError

if TYPE_CHECKING:
    from freehold.client.asking.caller import Reply
    from freehold.client.asking.candidate import Candidate
    from freehold.client.asking.opening import Payer
    from freehold.client.asking.router import Router
    from freehold.client.asking.standing import LedgerRanking
    from freehold.client.token import Identity
    from freehold.ledger.ledger import Ledger
    from freehold.markets.models.agree import Quorum
    from freehold.markets.models.tensor import Tensor

HALF = 0.5
"""Of the best score: who has less is not looked at to say what an answer costs."""
SPARE = 3
"""Nodes beyond those needed that one question may have to pay."""
SHOWN = 16
"""Numbers of an output that people are shown."""
SubnetArgument = Annotated[
    str | None, typer.Argument(help="The competition whose models are asked.")
]
InputArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...",
        help="A PNG, text, JSON, an .npy file, or - for what comes in; NAME=VALUE for several.",
    ),
]


def ask(
    subnet: SubnetArgument = None,
    inputs: InputArguments = None,
    *,
    agree: Annotated[
        str, typer.Option("--agree", help="So many of so many nodes must say the same, as 2/3.")
    ] = "1/1",
    most: Annotated[
        str | None,
        typer.Option(
            "--most", "--max-price", help="Most tokens for a node's answer; none: ask me."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", help="How long to wait for an answer.", min=0.1, max=3_600)
    ] = 30.0,
    port: Annotated[
        int | None,
        typer.Option(
            "--serve",
            help="Answer programs at this port (0: any): SUBNET or all.",
            min=0,
            max=65_535,
        ),
    ] = None,
    cap: Annotated[
        str, typer.Option("--cap", help="Most tokens that --serve spends until it ends.")
    ] = "0",
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a competition's models: the best ranked node answers, others stand in for it."""
    from freehold.markets.models.agree import parse_quorum

    screen, quorum = Screen(as_json), parse_quorum(agree)
    limit = None if most is None else money.parse(most)
    door = Door(screen, home, password_file)
    if port is not None:
        from freehold.cli.ask.serving import Offer, serve

        names = [] if subnet is None else [subnet, *(inputs or [])]
        with cancellable():
            serve(door, names, Offer(port, seconds, limit or 0, money.parse(cap)))
        return
    if subnet is None or not inputs:
        raise UsageError(
            "there is nothing to ask", remedy="Name a subnet and an input: ask digits digit.png."
        )
    with cancellable(), door.ranking() as (_, ranking):
        question = Question(subnet, inputs, quorum, limit, seconds)
        reply = question.put(door, ranking, yes=yes)
    _tell(screen, reply)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of whom; ``most`` base units for a node's answer, None where nobody said."""

    subnet: str
    texts: list[str]
    quorum: Quorum
    most: int | None
    seconds: float

    def _limit(self, candidates: tuple[Candidate, ...], *, unasked: bool) -> int:
        """Base units for a node's answer at most; nothing where nobody can be asked whether."""
        if self.most is not None:
            return self.most
        return 0 if unasked else price_of(candidates, self.quorum.n)

    def put(self, door: Door, ranking: LedgerRanking, *, yes: bool) -> Reply:
        """The answer; before it costs something that nobody allowed, the user is asked."""
        from freehold.cli.ask.inputs import read_inputs
        from freehold.client.asking.asker import Asker
        from freehold.client.asking.candidate import Agreement, Effort, Limits
        from freehold.client.asking.purse import COLLATERAL

        with door.screen.waiting(f"looking for the nodes of {self.subnet}"):
            known = ranking.load(self.subnet)
        if not known.candidates:
            raise UnavailableError(
                f"no node of {self.subnet} answers, of {known.silent} that are registered",
                remedy="Try again in a minute, or serve one: `freehold model serve MODEL --subnet "
                f"{self.subnet}`.",
            )
        inputs = read_inputs(self.texts, known.schema)
        needed = self.quorum.n
        limit = self._limit(known.candidates, unasked=door.screen.as_json and not yes)
        costs = any(0 < each.price <= limit for each in known.candidates)
        whole = limit * (needed + SPARE) if costs else 0
        if whole and self.most is None:
            held = brief(limit * COLLATERAL, up=True)
            door.screen.tell(
                f"[dim]·[/] the first answer of a node sets {held} tokens of your deposit aside "
                "for it; what is not spent comes back"
            )
            door.screen.confirm(
                f"An answer costs up to {brief(limit, up=True)} tokens a node, "
                f"{brief(whole, up=True)} in all. Ask?",
                yes=yes,
            )
        with (
            door.router(ranking, cap=whole) as router,
            Asker(router) as asker,
            door.screen.waiting(f"asking {self.subnet}"),
        ):
            return asker.ask(
                self.subnet, inputs, limits=Limits(max_price=limit),
                effort=Effort(deadline=self.seconds), agreement=Agreement(self.quorum),
            )  # fmt: skip


class Door:
    """How this command reaches nodes: the home's ledger, and its wallet where something costs."""

    def __init__(self, screen: Screen, root: Path | None, password_file: Path | None) -> None:
        self.screen = screen
        self._root, self._password_file = root, password_file

    @contextmanager
    def ranking(self) -> Iterator[tuple[Ledger, LedgerRanking]]:
        """The ledger, to read, and its ranking."""
        from freehold.cli.subnet.named import require_market
        from freehold.client.asking.scores import FinalScores
        from freehold.client.asking.standing import LedgerRanking

        with open_ledger(self._root) as ledger:
            require_market(ledger)
            here = self._is_local()
            yield ledger, LedgerRanking(ledger, FinalScores(ledger, plain=here), plain=here)

    @contextmanager
    def router(self, ranking: LedgerRanking, *, cap: int) -> Iterator[Callable[[], Router]]:
        """Makes a router that spends at most ``cap`` base units; the wallet is opened only where
        it may spend something."""
        from freehold.client.asking.opening import open_router

        state, here = open_home(self._root).root / "asking", self._is_local()
        if not cap:
            yield lambda: open_router(ranking, state, plain=here)
            return
        with open_account(self._root, self._password_file) as ledger:
            identity, payer = _purse(ledger, cap)
            yield lambda: open_router(
                ranking, state, identity=identity, payer=payer, plain=here
            )  # fmt: skip

    def _is_local(self) -> bool:
        from freehold.cli.competition import is_local

        return is_local(open_home(self._root).network())


def price_of(candidates: tuple[Candidate, ...], needed: int) -> int:
    """What to offer when nobody said: the price at which so many of the better nodes answer."""
    best = max((each.score for each in candidates), default=0.0)
    prices = sorted(each.price for each in candidates if each.score >= HALF * best)
    return prices[min(needed, len(prices)) - 1] if prices else 0


def _purse(ledger: Ledger, cap: int) -> tuple[Identity, Payer]:
    """Who asks, and who pays: the account of a ledger."""
    import secrets

    from freehold.client.asking.opening import Payer
    from freehold.client.ledger_chain import LedgerChain
    from freehold.client.token import Identity

    if ledger.key is None:
        raise AccessError("the account's key is needed", remedy="Open its wallet.")
    domain = ledger.network.domain("registry")
    identity = Identity(ledger.key, domain, ledger, secrets.token_bytes)
    return identity, Payer(LedgerChain(ledger), ledger.key, cap)


def _tell(screen: Screen, reply: Reply) -> None:
    screen.emit(
        {"subnet": reply.subnet, "node": reply.node, "uid": reply.uid, "seconds": reply.seconds,
         "paid": reply.paid, "outputs": {t.name: _plain(t) for t in reply.outputs}}
    )  # fmt: skip
    for tensor in reply.outputs:
        show = screen.say if tensor.datatype == "BYTES" else screen.tell
        show(f"[bold]{plain(tensor.name)}[/]  {plain(_short(tensor))}")
    price = f"{brief(reply.paid, up=True)} tokens" if reply.paid else "nothing"
    screen.say(f"[dim]uid {reply.uid}, {reply.node}, {reply.seconds * 1000:.0f} ms, {price}[/]")


def _plain(tensor: Tensor) -> dict[str, object]:
    return {"datatype": tensor.datatype, "shape": list(tensor.shape), "data": _values(tensor)}


def _values(tensor: Tensor) -> list[object]:
    from freehold.markets.models.tensor import to_arrays

    flat = to_arrays([tensor])[tensor.name].ravel().tolist()
    return [each.decode(errors="replace") if isinstance(each, bytes) else each for each in flat]


def _short(tensor: Tensor) -> str:
    """A tensor for people: all of a small one, the head and the largest of a large one."""
    values = _values(tensor)
    shown = ", ".join(_number(each) for each in values[:SHOWN])
    if len(values) <= SHOWN:
        return shown
    numbers = [each for each in values if isinstance(each, int | float)]
    top = values.index(max(numbers)) if len(numbers) == len(values) else None
    peak = "" if top is None else f"; the largest, {_number(values[top])}, at {top}"
    return f"{shown}, … ({len(values):,} in all{peak})"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
